"""Noise on the tokens' embeddings, as SMART adds it."""

import pytest
import torch
from transformers import DistilBertConfig, DistilBertModel

from mtbert_ray.models.encoder import load_encoder, load_tokenizer

SENTENCES = ["The kettle is boiling.", "Rain again, all week!", "A"]


def tokens_of(tokenizer, sentences, *, pad_to=None):
    batch = tokenizer(sentences, padding="max_length" if pad_to else True, max_length=pad_to, return_tensors="pt")
    types = batch.get("token_type_ids", torch.zeros_like(batch["input_ids"]))
    return batch["input_ids"], batch["attention_mask"], types


def save_encoder(folder, model):
    """Write a random encoder with the tiny tokenizer, as transformers would."""
    model.save_pretrained(folder)
    load_tokenizer("tiny").save_pretrained(folder)
    return str(folder)


@pytest.fixture
def distilbert_folder(tmp_path):
    config = DistilBertConfig(vocab_size=len(load_tokenizer("tiny")), dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    return save_encoder(tmp_path / "distilbert", DistilBertModel(config))


def test_no_noise_changes_nothing_and_noise_on_padding_neither():
    encoder, tokens = load_encoder("tiny", pooling="mean"), tokens_of(load_tokenizer("tiny"), SENTENCES)
    _, mask_BL, _ = tokens
    plain = encoder(*tokens)
    assert torch.equal(encoder(*tokens, torch.zeros(*mask_BL.shape, 32)), plain)
    on_padding = torch.randn(*mask_BL.shape, 32) * (mask_BL == 0).unsqueeze(-1)
    torch.testing.assert_close(encoder(*tokens, on_padding), plain, rtol=0, atol=1e-6)
    assert torch.equal(encoder(*tokens), plain), "the noise of one pass is not left behind"


def test_noise_is_added_before_positions_and_normalization():
    encoder = load_encoder("tiny", pooling="cls")
    ids, mask, types = tokens_of(load_tokenizer("tiny"), SENTENCES)
    noise = 0.1 * torch.randn(*ids.shape, 32, generator=torch.Generator().manual_seed(0))
    embedded = encoder.model.embeddings.word_embeddings(ids) + noise
    expected = encoder.model(inputs_embeds=embedded, attention_mask=mask, token_type_ids=types).last_hidden_state
    torch.testing.assert_close(encoder(ids, mask, types, noise), expected[:, 0])


def test_other_architectures_take_it_too(distilbert_folder):
    encoder = load_encoder(distilbert_folder)
    ids, mask, types = tokens_of(load_tokenizer("tiny"), SENTENCES)
    noise = torch.ones(*ids.shape, 16, requires_grad=True)
    encoder(ids, mask, types, noise).square().sum().backward()
    assert noise.grad.abs().sum() > 0


def test_a_pass_that_fails_takes_its_noise_with_it():
    encoder = load_encoder("tiny")
    ids, mask, types = tokens_of(load_tokenizer("tiny"), SENTENCES)
    plain = encoder(ids, mask, types)
    with pytest.raises(RuntimeError):
        encoder(ids, mask, types, torch.zeros(1, 1, 7))
    assert torch.equal(encoder(ids, mask, types), plain)
