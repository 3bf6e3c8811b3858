"""What is no encoder for us is refused in one line, without a question on the terminal, before anything runs."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tiny_encoders import FAMILIES, save_tiny_encoder
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    LlamaConfig,
    PerceiverConfig,
    T5Config,
    ViTConfig,
    WhisperConfig,
    XmodConfig,
    XmodModel,
)

from mtbert_ray.errors import EncoderError
from mtbert_ray.models.encoder import load_encoder, load_tokenizer

REMOTE = {"auto_map": {"AutoConfig": "model.NeoBERTConfig", "AutoModel": "model.NeoBERT"}}


@pytest.fixture
def bert(tmp_path):
    """A folder of a BERT that may be spoilt."""
    return save_tiny_encoder("bert", tmp_path / "bert")


def change(file: Path, **changes):
    """Change keys of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def refusal(load, folder) -> str:
    with pytest.raises(EncoderError) as raised:
        load(str(folder))
    message = str(raised.value)
    assert "\n" not in message and str(folder) in message
    return message


@pytest.mark.parametrize(
    "config_class",
    [GPT2Config, LlamaConfig, T5Config, ViTConfig, WhisperConfig, PerceiverConfig],
    ids=lambda c: c.model_type,
)
def test_other_kinds_of_models(config_class, tmp_path):
    config_class().save_pretrained(tmp_path)
    message = refusal(load_encoder, tmp_path)
    assert f"a model of type '{config_class.model_type}'" in message and "is not a BERT-like encoder of text" in message
    # The tokenizer is read first, and would say less of what is wrong.
    assert refusal(load_tokenizer, tmp_path) == message


def test_a_bert_that_decodes(tmp_path):
    BertModel(BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, is_decoder=True)).save_pretrained(
        tmp_path
    )
    assert "'bert' that decodes is not a BERT-like encoder" in refusal(load_encoder, tmp_path)


@pytest.mark.parametrize("load", [load_encoder, load_tokenizer])
def test_code_of_its_own(load, bert, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    change(bert / "config.json", model_type="neobert", **REMOTE)
    message = refusal(load, bert)
    assert "'neobert'" in message and "trust_remote_code" in message


def test_code_of_its_own_under_the_name_of_a_known_type(tmp_path):
    """As jina-embeddings-v3's, which calls itself xlm-roberta: its weights have other names."""
    folder = save_tiny_encoder("modernbert", tmp_path / "x")
    other = save_tiny_encoder("bert", tmp_path / "y")
    shutil.copy(folder / "model.safetensors", other / "model.safetensors")
    change(other / "config.json", **REMOTE)
    message = refusal(load_encoder, other)
    assert "no weights for" in message and "auto_map" in message


def test_a_type_of_the_future(bert):
    change(bert / "config.json", model_type="bert-of-2031")
    assert "does not know its type 'bert-of-2031'; take another encoder, or a newer" in refusal(load_encoder, bert)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model_type": None}, "model_type"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_attention_heads": 5}, "attention heads"),
    ],
)
def test_a_configuration_that_makes_no_sense(bert, changes, what):
    change(bert / "config.json", **changes)
    message = refusal(load_encoder, bert)
    assert what in message and "the folder cannot be loaded as an encoder" in message


@pytest.mark.parametrize(
    ("changes", "weight"),
    [
        ({"hidden_size": 64}, "embeddings.LayerNorm.bias has the shape (32,), expected (64,); "),
        ({"type_vocab_size": 5}, "embeddings.token_type_embeddings.weight has the shape (2, 32), expected (5, 32))"),
        (
            {"max_position_embeddings": 99},
            "embeddings.position_embeddings.weight has the shape (128, 32), expected (99",
        ),
    ],
)
def test_weights_that_do_not_fit_the_configuration(bert, changes, weight):
    change(bert / "config.json", **changes)
    assert f"its weights do not fit its config.json ({weight}" in refusal(load_encoder, bert)


def test_an_activation_that_is_none(bert):
    change(bert / "config.json", hidden_act="gelo")
    message = refusal(load_encoder, bert)
    assert "hidden_act 'gelo'" in message and "did you mean 'gelu'?" in message


@pytest.mark.parametrize(("content", "got"), [("[]", "a list"), ('"x"', "a single value")])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
def test_files_that_hold_no_keys(bert, name, content, got):
    (bert / name).write_text(content)
    message = refusal(load_encoder if name == "config.json" else load_tokenizer, bert)
    assert f"{bert / name} holds {got}" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(bert, value):
    weights = load_file(bert / "model.safetensors")
    name = next(name for name in weights if "layer.0" in name)
    weights[name][0] = value
    save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    assert f"its weights are not finite: {name} hold" in refusal(load_encoder, bert)


def test_a_model_that_needs_more_than_tokens(tmp_path):
    """X-MOD needs the language."""
    config = XmodConfig(
        vocab_size=60, hidden_size=8, num_attention_heads=2, num_hidden_layers=1, languages=["en", "de"]
    )
    XmodModel(config).save_pretrained(tmp_path)
    assert "of type 'xmod' does not run on token ids and a mask alone" in refusal(load_encoder, tmp_path)


class TestTokenizers:
    @pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
    def test_files_that_are_not_there(self, family, tmp_path):
        """Transformers then makes one up, to which every word is unknown."""
        folder = save_tiny_encoder(family, tmp_path / "x")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink()
        message = refusal(load_tokenizer, folder)
        assert "tokenizer.json" in message

    def test_another_model_s(self, bert):
        FAMILIES["roberta"].tokenizer().save_pretrained(bert)
        assert "its tokenizer has 261 tokens, the model embeds" in refusal(load_tokenizer, bert)

    def test_a_damaged_one(self, bert):
        (bert / "tokenizer.json").write_text("{")
        assert "the folder cannot be loaded as a tokenizer" in refusal(load_tokenizer, bert)

    def test_one_without_padding(self, bert):
        tokenizer = FAMILIES["bert"].tokenizer()
        tokenizer.pad_token = None
        tokenizer.save_pretrained(bert)
        assert "its tokenizer has no padding token" in refusal(load_tokenizer, bert)

    def test_a_slow_one(self, bert):
        (bert / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefg")))
        change(bert / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer")
        (bert / "tokenizer.json").unlink()
        assert "tokenizer" in refusal(load_tokenizer, bert)


def test_layers_that_the_configuration_leaves_out(bert):
    """It would load, as a shorter encoder than its name says."""
    change(bert / "config.json", num_hidden_layers=1)
    assert "weights of layers that its config.json does not have (encoder.layer.1." in refusal(load_encoder, bert)
