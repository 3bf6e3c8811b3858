"""The embedding route against the formula: softmax(cosine / temperature)."""

import numpy as np
import pytest
import torch

from mtbert_ray.models.encoder import load_encoder, load_tokenizer
from mtbert_ray.sampling.classifiers import EmbeddingReader, confidences

CPU = torch.device("cpu")
TEXTS = ["which bus goes to the old harbour of the town?", "how long is soup good for?", "a parrot", "soup", ""]


def alone(text: str, *, max_length: int = 128) -> np.ndarray:
    """Embed one sentence with the tokenizer's own framing and no oneDNN."""
    tokens = load_tokenizer("minilm")(text, return_tensors="pt", truncation=True, max_length=max_length)
    with torch.no_grad():
        embedding = load_encoder("minilm")(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"])[0]
    return (embedding / embedding.norm()).numpy()


def test_embeddings_are_those_of_each_sentence_alone(make_config):
    reader = EmbeddingReader(make_config(encoder="minilm"), TEXTS, CPU)
    expected = np.stack([alone(text) for text in TEXTS])
    np.testing.assert_allclose(reader.embed(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(reader.read(1, 4), expected[1:4], atol=1e-3)  # kept in half precision
    assert np.abs(expected[0] - expected[1]).max() > 1e-2


def test_sentences_are_cut_to_the_longest_sequence(make_config):
    reader = EmbeddingReader(make_config(encoder="minilm", data={"max_length": 8}), TEXTS, CPU)
    np.testing.assert_allclose(reader.embed(TEXTS)[0], alone(TEXTS[0], max_length=8), atol=1e-5)


def test_confidences_are_the_softmax_of_the_cosines():
    rng = np.random.default_rng(3)
    sentences, topics = rng.normal(size=(4, 6)), rng.normal(size=(3, 6))
    sentences /= np.linalg.norm(sentences, axis=1, keepdims=True)
    topics /= np.linalg.norm(topics, axis=1, keepdims=True)
    rows = np.array([[0, 1], [2, 2], [3, 0]])
    got = confidences(sentences, rows, topics, temperature=0.1)
    for row, (first, second) in enumerate(rows):
        mean = (sentences[first] + sentences[second]) / 2
        cosines = np.array([mean @ topic / np.linalg.norm(mean) for topic in topics])
        expected = np.exp(cosines / 0.1) / np.exp(cosines / 0.1).sum()
        np.testing.assert_allclose(got[row], expected, rtol=1e-5)


def test_a_low_temperature_does_not_overflow():
    got = confidences(np.eye(2, dtype=np.float16), np.array([[0], [1]]), np.eye(2, dtype=np.float32), temperature=1e-4)
    np.testing.assert_allclose(got, np.eye(2), atol=1e-6)


@pytest.mark.parametrize("change", [{"seed": 1}, {"pooling": "mean"}, {"data": {"max_length": 64}}])
def test_the_fingerprint_follows_all_that_decides_the_embeddings(make_config, change):
    prints = {EmbeddingReader(make_config(**changed), TEXTS, CPU).fingerprint for changed in ({}, change)}
    assert len(prints) == 2


def test_quotas_and_descriptions_change_no_embedding(make_config):
    topics = {"Other": {"share": 1.0, "description": "anything"}, "Nothing": 0}
    changed = make_config(topics=topics, rows=3, temperature=1.0)
    assert EmbeddingReader(changed, TEXTS, CPU).fingerprint == EmbeddingReader(make_config(), TEXTS, CPU).fingerprint


def test_the_tokens_too_go_into_the_cache_that_is_given(make_config, tmp_path):
    def keys() -> set[str]:
        return {path.name for path in tmp_path.glob("tokens/*") if path.is_dir()}

    reader = EmbeddingReader(make_config(), ["a text of this test alone"], CPU, cache=tmp_path)
    of_texts = keys()
    reader.embed(["a topic of this test alone"])
    assert (len(of_texts), len(keys())) == (1, 2)
