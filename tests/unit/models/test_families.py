"""Every family's outputs against transformers' own: one sentence at a time, eager attention, no padding."""

import logging

import pytest
import torch
from tiny_encoders import FAMILIES, MAX_TOKENS, save_tiny_encoder, tiny_model
from transformers import AutoModel

from mtbert_ray.compat import has_onednn_linear
from mtbert_ray.errors import EncoderError
from mtbert_ray.models.architecture import padding_error
from mtbert_ray.models.cpu import quick_on_cpu
from mtbert_ray.models.encoder import Encoder, load_encoder, load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.models.packing import PACKABLE

FIRST = ["Is the mill open, or is it shut again?", "A red barge, late.", "No"]
SECOND = ["It opens at nine, if the miller is up.", "Why?", "The ducks went."]
USUAL = {"distilbert": "cls", "electra": "cls", "deberta-v2": "cls", "modernbert": "cls", "gte": "cls"} | {
    "eurobert": "mean",
    "nomic_bert": "mean",
    "convbert": "cls",
    "roformer": "cls",
}
"""Pooling by default of the families without a pooling layer's weights; the others take it."""
MIXES_PADDING = "convbert"
every_family = pytest.mark.parametrize("family", FAMILIES)
every_right_family = pytest.mark.parametrize("family", [family for family in FAMILIES if family != MIXES_PADDING])


def poolings(family):
    return ["cls", "mean", *(["pooler"] if FAMILIES[family].has_pooler else [])]


def tokens_of(tokenizer, *texts):
    return dict(tokenizer(*texts, padding=True, return_tensors="pt", return_token_type_ids=True))


class Reference:
    """What transformers computes for each row alone, by pooling."""

    def __init__(self, folder):
        self.model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
        self.tokenizer = load_tokenizer(folder)

    @torch.no_grad()
    def embed(self, *texts):
        takes_types = getattr(self.model.config, "type_vocab_size", 0) > 1
        rows = {"cls": [], "mean": [], "pooler": []}
        for text in zip(*texts, strict=True):
            output = self.model(**self.tokenizer(*text, return_tensors="pt", return_token_type_ids=takes_types))
            rows["cls"].append(output.last_hidden_state[:, 0])
            rows["mean"].append(output.last_hidden_state.mean(dim=1))
            if getattr(output, "pooler_output", None) is not None:
                rows["pooler"].append(output.pooler_output)
        return {pooling: torch.cat(found) for pooling, found in rows.items() if found}


def padded(encoder, tokens, noise=None):
    return encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"], noise)


def with_padding_in_the_text(texts, tokenizer):
    """RoBERTa gives a padding token that a text names no position of its own."""
    return [*texts, f"a {tokenizer.pad_token} b c"]


def close(got, expected):
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@every_right_family
def test_padded_and_packed_outputs_are_transformers_own(family, encoder_folder):
    folder = encoder_folder(family)
    tokenizer = load_tokenizer(folder)
    first, second = (with_padding_in_the_text(texts, tokenizer) for texts in (FIRST, SECOND))
    transformers_own = Reference(folder)
    of_each = [transformers_own.embed(texts) for texts in (first, second)]
    of_both = transformers_own.embed(first, second)
    assert list(of_both) == poolings(family)
    separate = [tokens_of(tokenizer, texts) for texts in (first, second)]
    joint = tokens_of(tokenizer, first, second)
    for pooling, together in of_both.items():
        encoder = load_encoder(folder, pooling=pooling)
        alone = [embeddings[pooling] for embeddings in of_each]
        assert together.std() > 0.05, "numbers near zero would agree with anything"
        with torch.no_grad():
            for tokens, expected in zip([*separate, joint], [*alone, together], strict=True):
                close(padded(encoder, tokens), expected)
            assert encoder.can_pack == (family in PACKABLE)
            if encoder.can_pack:
                for got, expected in zip(encoder.embed_packed([*separate, joint]), [*alone, together], strict=True):
                    close(got, expected)
            with quick_on_cpu(linears=has_onednn_linear()):
                close(padded(encoder, joint), together)
            for got, expected in zip(MultitaskModel(encoder, {}).embed(tuple(separate)), alone, strict=True):
                close(got, expected)


@every_family
def test_a_padded_batch_is_transformers_own(family, encoder_folder):
    folder = encoder_folder(family)
    tokens = tokens_of(load_tokenizer(folder), FIRST, SECOND)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    inputs = tokens if getattr(model.config, "type_vocab_size", 0) > 1 else tokens | {"token_type_ids": None}
    with torch.no_grad():
        hidden = model(**{name: tensor for name, tensor in inputs.items() if tensor is not None}).last_hidden_state
        close(padded(load_encoder(folder, pooling="cls"), tokens), hidden[:, 0])


@every_family
def test_every_parameter_learns_and_packing_gives_the_same_gradients(family, encoder_folder):
    folder = encoder_folder(family)
    tokenizer = load_tokenizer(folder)
    batches = [tokens_of(tokenizer, texts) for texts in (FIRST, SECOND)]
    for pooling in poolings(family):
        encoder = load_encoder(folder, pooling=pooling)
        gradients = []
        for embed in (lambda e: [padded(e, tokens) for tokens in batches], lambda e: e.embed_packed(batches)):
            if gradients and not encoder.can_pack:
                break
            encoder.zero_grad()
            torch.cat(tuple(embed(encoder))).pow(3).sum().backward()
            gradients.append({name: parameter.grad for name, parameter in encoder.named_parameters()})
            unused = [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
            assert unused == [], "DistributedDataParallel would wait for their gradients"
            assert all(g.isfinite().all() for g in gradients[-1].values() if g is not None)
        # Keys' biases have none but for rounding: a softmax does not see them.
        largest = max(gradient.abs().max() for gradient in gradients[0].values() if gradient is not None)
        for name, gradient in gradients[0].items():
            if gradient is not None:
                torch.testing.assert_close(gradients[-1][name] / largest, gradient / largest, rtol=1e-4, atol=1e-5)


@every_family
def test_noise_reaches_the_tokens_of_either_way(family, encoder_folder):
    folder = encoder_folder(family)
    encoder, tokenizer = load_encoder(folder, pooling="mean"), load_tokenizer(folder)
    batches = [tokens_of(tokenizer, texts) for texts in (FIRST, SECOND)]
    width = encoder.word_embeddings.embedding_dim
    noise = [
        (0.1 * torch.randn(*tokens["input_ids"].shape, width) * tokens["attention_mask"].unsqueeze(-1)).requires_grad_()
        for tokens in batches
    ]
    by_padding = [padded(encoder, tokens, part) for tokens, part in zip(batches, noise, strict=True)]
    assert all(
        not torch.allclose(got, padded(encoder, tokens), atol=1e-3)
        for got, tokens in zip(by_padding, batches, strict=True)
    )
    gradients = torch.autograd.grad(sum(part.pow(3).sum() for part in by_padding), noise)
    assert all(gradient.abs().max() > 1e-3 for gradient in gradients)
    if encoder.can_pack:
        for got, expected in zip(encoder.embed_packed(batches, noise), by_padding, strict=True):
            close(got, expected)


@every_family
def test_bfloat16_stays_finite_and_near(family, encoder_folder):
    folder = encoder_folder(family)
    encoder = load_encoder(folder, pooling="mean").train()
    tokens = tokens_of(load_tokenizer(folder), FIRST)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedded = [padded(encoder, tokens), *(encoder.embed_packed([tokens]) if encoder.can_pack else ())]
        sum(part.float().pow(2).sum() for part in embedded).backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.requires_grad)
    encoder.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = padded(encoder, tokens)
    with torch.no_grad():
        exact = padded(encoder, tokens)
    assert (rounded.float() - exact).abs().mean() < 0.05 * exact.abs().mean()


@every_family
def test_defaults(family, encoder_folder):
    encoder = load_encoder(encoder_folder(family))
    assert encoder.pooling == USUAL.get(family, "pooler")
    assert encoder.max_length == (None if family == "deberta-v2" else MAX_TOKENS)
    assert encoder.width == 32


@every_family
def test_dropout_reaches_every_rate_inside(family, encoder_folder):
    encoder = load_encoder(encoder_folder(family), dropout=0.37)
    rates = {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)}
    rates |= {  # of those that hand theirs to a function
        getattr(module, name)
        for module in encoder.modules()
        for name in ("attention_dropout", "dropout_prob")
        if isinstance(getattr(module, name, None), float)
    }
    assert rates == {0.37}


@every_family
def test_a_layer_of_pooling_is_had_where_the_architecture_and_the_files_have_it(family, encoder_folder):
    folder = encoder_folder(family)
    assert getattr(load_encoder(folder, pooling="mean").model, "pooler", None) is None
    if FAMILIES[family].has_pooler:
        return
    with pytest.raises(EncoderError, match=r"no pooling layer|no weights for 2 .*or pooling cls or mean"):
        load_encoder(folder, pooling="pooler")


@pytest.mark.parametrize(
    ("family", "of_classifier", "expected"),
    [
        ("modernbert", "mean", "mean"),
        ("modernbert", "cls", "cls"),
        ("eurobert", "bos", "cls"),
        ("eurobert", "mean", "mean"),
    ],
)
def test_the_pooling_of_its_own_classifier_is_the_default(family, of_classifier, expected, tmp_path):
    assert load_encoder(str(save_tiny_encoder(family, tmp_path, classifier_pooling=of_classifier))).pooling == expected


def test_a_window_is_narrower_than_the_sentences_and_matters():
    model = tiny_model("modernbert")
    wide = tiny_model("modernbert", local_attention=2 * MAX_TOKENS)
    wide.load_state_dict(model.state_dict())
    tokenizer = FAMILIES["modernbert"].tokenizer()
    batches = [tokens_of(tokenizer, texts) for texts in (FIRST, SECOND)]
    with torch.no_grad():
        narrow, everything = (Encoder(m, pooling="mean").embed_packed(batches)[0] for m in (model, wide))
    assert not torch.allclose(narrow, everything, atol=1e-2)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_no_query_is_left_without_a_key(precision):
    """Padding behind a short sentence is further from every token than a window reaches."""
    encoder = Encoder(tiny_model("modernbert"), pooling="mean").train()
    tokenizer = FAMILIES["modernbert"].tokenizer()
    tokens = tokens_of(tokenizer, ["a", "b" * 60])
    masks = encoder._mask(tokens["attention_mask"])
    assert all(mask.any(dim=-1).all() for mask in masks.values())
    for embed in (lambda: padded(encoder, tokens), lambda: encoder.embed_packed([tokens])[0]):
        encoder.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
            embed().float().pow(2).sum().backward()
        assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_angles_that_depend_on_the_longest_sequence_are_not_packed():
    rope = {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0}
    assert not Encoder(tiny_model("eurobert", rope_parameters=rope), pooling="mean").can_pack


def test_an_architecture_that_mixes_padding_in_says_so(encoder_folder, caplog):
    with caplog.at_level(logging.WARNING, logger="mtbert_ray"):
        load_encoder(encoder_folder(MIXES_PADDING))
    assert "of type 'convbert' mixes padding into what it computes" in caplog.text
    caplog.clear()
    for family in set(FAMILIES) - PACKABLE - {MIXES_PADDING}:
        load_encoder(encoder_folder(family))
    assert caplog.text == ""


@every_right_family
def test_packed_and_other_known_families_mask_their_padding(family):
    assert padding_error(tiny_model(family)) < 1e-5
