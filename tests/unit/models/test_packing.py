"""Packed forwards against padded ones: the same embeddings and the same gradients."""

import pytest
import torch
from tiny_encoders import FAMILIES, tiny_model

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.models.build import build_model
from mtbert_ray.models.encoder import Encoder, load_encoder, load_tokenizer
from mtbert_ray.models.packing import PACKABLE, Packing, packed_attention

FIRST = ["Is the mill open?", "A red barge, late.", "No"]
SECOND = ["It opens at nine, if the miller is up.", "Why?", "The ducks have gone to the other pond."]


def tokens_of(*sentences):
    return dict(load_tokenizer("tiny")(*sentences, padding=True, return_tensors="pt"))


def random_tokens(lengths, *, pad):
    """Return a padded batch of random tokens, none of which is the padding's."""
    mask_BL = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids_BL = torch.randint(5, 60, mask_BL.shape, generator=torch.Generator().manual_seed(len(lengths)))
    return {
        "input_ids": torch.where(mask_BL == 1, ids_BL, pad),
        "attention_mask": mask_BL,
        "token_type_ids": torch.zeros_like(ids_BL),
    }


def padded(encoder, batches, noise=None):
    return tuple(
        encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"], noise_BLE)
        for tokens, noise_BLE in zip(batches, noise or [None] * len(batches), strict=True)
    )


def assert_same(encoder, batches, noise=None):
    """Compare embeddings, and the gradients of every parameter and of the noise, of both ways."""
    results = []
    for embed in (padded, Encoder.embed_packed):
        encoder.zero_grad()
        inputs = None if noise is None else tuple(part.clone().requires_grad_() for part in noise)
        embeddings = embed(encoder, batches, inputs)
        torch.cat(embeddings).tanh().pow(3).sum().backward()
        gradients = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
        results.append((embeddings, gradients, [part.grad for part in inputs or ()]))
    (embeddings, gradients, by_noise), (packed, packed_gradients, packed_by_noise) = results
    torch.testing.assert_close(packed, embeddings, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == packed_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(packed_gradients[name], gradient, rtol=1e-4, atol=1e-5, msg=name)
    torch.testing.assert_close(packed_by_noise, by_noise, rtol=1e-4, atol=1e-5)
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients.values())


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
def test_two_batches_in_one_pass_are_as_two_padded_forwards(pooling):
    assert_same(load_encoder("tiny", pooling=pooling), (tokens_of(FIRST), tokens_of(SECOND)))


def test_token_types_and_batches_of_unlike_sizes():
    assert_same(load_encoder("tiny"), (tokens_of(FIRST, SECOND), tokens_of(["Alone"]), tokens_of(FIRST[:2])))


def test_every_packable_architecture_is_among_the_families():
    """Which test_families.py compares."""
    assert FAMILIES.keys() > PACKABLE


@pytest.mark.parametrize("family", sorted(PACKABLE))
def test_batches_of_unlike_lengths(family):
    encoder = Encoder(tiny_model(family), pooling="mean")
    assert encoder.can_pack
    pad = encoder.model.config.pad_token_id
    assert_same(encoder, (random_tokens([7, 3, 12], pad=pad), random_tokens([2, 9], pad=pad)))


def test_eager_attention_keeps_its_forwards():
    encoder = load_encoder("tiny")
    encoder.model.set_attn_implementation("eager")
    assert not encoder.can_pack


def test_noise_and_its_gradient():
    batches = tokens_of(FIRST), tokens_of(SECOND)
    noise = tuple(0.1 * torch.randn(*tokens["input_ids"].shape, 32) for tokens in batches)
    encoder = load_encoder("tiny")
    assert_same(encoder, batches, noise)
    (plain, _), (perturbed, _) = (encoder.embed_packed(batches, given) for given in (None, noise))
    assert not torch.allclose(plain, perturbed, atol=1e-3)


@pytest.mark.parametrize("adapter", [{"kind": "lora"}, {"kind": "dora"}, {"kind": "vera"}, {"library": "loralib"}])
def test_adapters(adapter):
    if adapter.get("library") == "loralib":
        pytest.importorskip("loralib")
    changes = {"encoder": "tiny", "adapter": {"kind": "lora", "dropout": 0.0, **adapter}}
    encoder = build_model(TrialConfig.model_validate(changes)).encoder
    generator = torch.Generator().manual_seed(0)
    for parameter in encoder.parameters():
        if parameter.requires_grad:  # A fresh adapter changes nothing.
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    assert_same(encoder, (tokens_of(FIRST), tokens_of(SECOND)))


def test_places_that_are_known_are_taken():
    batches = tokens_of(FIRST), tokens_of(SECOND)
    known = [tokens | {"places": tokens["attention_mask"].flatten().nonzero().squeeze(1)} for tokens in batches]
    encoder = load_encoder("tiny")
    torch.testing.assert_close(encoder.embed_packed(known), encoder.embed_packed(batches), rtol=0, atol=0)


def test_packing_and_unpacking_are_inverse():
    masks = torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([[1, 0], [1, 1], [1, 0]])
    packing = Packing(masks, [None, None])
    packed = torch.arange(1.0, 19.0).view(1, 9, 2)
    grids = packing.unpack(packed)
    assert [grid.shape for grid in grids] == [(2, 3, 2), (3, 2, 2)]
    assert torch.equal(packing.pack(grids), packed)
    assert all((grid[mask == 0] == 0).all() for grid, mask in zip(grids, masks, strict=True))
    assert packing.positions.tolist() == [[0, 1, 0, 1, 2, 0, 0, 1, 0]]


def test_dropout_inside_the_attention_is_honoured():
    encoder = load_encoder("tiny", dropout=0.0)
    for module in encoder.modules():
        if type(module).__name__ == "BertSelfAttention":
            module.dropout.p = 0.5
    encoder.train()
    batches = tokens_of(FIRST), tokens_of(SECOND)
    (first, _), (again, _) = encoder.embed_packed(batches), encoder.embed_packed(batches)
    assert not torch.allclose(first, again, atol=1e-3)
    encoder.eval()
    (first, _), (again, _) = encoder.embed_packed(batches), encoder.embed_packed(batches)
    assert torch.equal(first, again)


def test_a_pass_that_fails_leaves_the_attention_as_it_was():
    encoder = load_encoder("tiny")
    with pytest.raises(ZeroDivisionError), packed_attention(encoder.model):
        assert encoder.model.config._attn_implementation == "packed"
        raise ZeroDivisionError
    assert encoder.can_pack


def test_the_model_packs_separate_pairs():
    changes = nest({"encoder": "tiny", "pair_encoding": "separate"})
    model = build_model(TrialConfig.model_validate(changes))
    seen = []
    hook = model.encoder.word_embeddings.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    batches = tokens_of(FIRST), tokens_of(SECOND)
    embeddings = model.embed(batches)
    hook.remove()
    (ids,) = seen
    assert ids.shape == (1, sum(int(tokens["attention_mask"].sum()) for tokens in batches))
    torch.testing.assert_close(embeddings, padded(model.encoder, batches), rtol=1e-5, atol=1e-5)
