"""A row's topic by nearness: the cosine of its embedding and the topic's. Knows nothing of quotas and files."""

# N rows, S sentences of a row (1 or 2), U distinct sentences, T topics, D width

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import nn

from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.data.batching import eval_batches
from mtbert_ray.data.encoding import EncodedSplit, SpecialIds
from mtbert_ray.data.examples import Examples, RowsRead
from mtbert_ray.data.tokenize import TokenisedSplit, tokenize
from mtbert_ray.models.encoder import load_encoder, load_tokenizer
from mtbert_ray.models.state import base_fingerprint
from mtbert_ray.sampling.chunks import FloatArray, digest_of

MAX_TOKENS = {"cpu": 1024, "cuda": 65536}
"""Padded tokens of a batch; on a processor few, so that a layer's states stay in its cache."""


@final
class EmbeddingReader:
    """Embeds sentences, each to length 1.

    Args:
        config: names the encoder, its pooling and the longest sequence.
        texts: (U,) sentences, those of like length together.
        device: where the encoder runs.
        cache: folder of the cache of tokens; none takes the user's.

    Raises:
        EncoderError: the encoder cannot be found or is not BERT-like.
        DataError: the cache cannot be written.
    """

    chunk_size = 2048

    def __init__(
        self, config: SampleConfig, texts: Sequence[str], device: torch.device, *, cache: Path | None = None
    ) -> None:
        self.texts = texts
        self._tokenizer = load_tokenizer(config.encoder)
        self._special = SpecialIds.of(self._tokenizer)
        encoder = load_encoder(config.encoder, pooling=config.pooling, seed=config.seed).requires_grad_(False).eval()
        self._max_length = min(config.data.max_length, encoder.max_length or config.data.max_length)
        self.fingerprint = digest_of(
            "embeddings",
            base_fingerprint(encoder),
            encoder.pooling,
            self._tokenizer.backend_tokenizer.to_str(),
            str(self._max_length),
        )
        self._width = encoder.width
        self._device = device
        self._encoder = _faster_on_processors(encoder) if device.type == "cpu" else encoder.to(device)
        self._cache = cache
        self._split = self._tokenized(texts)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the embeddings of texts[start:stop], (stop - start, D) float16, which halves the cache."""
        return self._embedded(self._split, start, stop).astype(np.float16)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return the embeddings of other texts, (len(texts), D) float32."""
        return self._embedded(self._tokenized(texts), 0, len(texts))

    def _tokenized(self, texts: Sequence[str]) -> TokenisedSplit:
        return tokenize(_as_examples(texts), self._tokenizer, cache=self._cache)

    @torch.inference_mode()
    def _embedded(self, split: TokenisedSplit, start: int, stop: int) -> FloatArray:
        part = TokenisedSplit(
            ids=split.ids[start:stop],
            tokens1=split.tokens1,
            offsets1=split.offsets1[start : stop + 1],
            tokens2=None,
            offsets2=None,
            labels=None,
        )
        encoded = EncodedSplit(part, self._special, pair_encoding="separate", max_length=self._max_length)
        embedding_UD = np.empty((stop - start, self._width), dtype=np.float32)
        for batch in eval_batches(encoded, task="topics", max_tokens=MAX_TOKENS[self._device.type]):
            (tokens,) = batch.to(self._device).sentences
            embedding_BD = self._encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"])
            embedding_UD[batch.rows.numpy()] = nn.functional.normalize(embedding_BD.float(), dim=1).cpu().numpy()
        return embedding_UD


def confidences(
    sentence_UD: FloatArray, sentences_of_row_NS: np.ndarray, topic_TD: FloatArray, *, temperature: float
) -> FloatArray:
    """Return how likely each topic is for each row, (N, T): softmax(cosine / temperature) over the topics.

    A row's embedding is the mean of its sentences'.

    Args:
        sentence_UD: embeddings of length 1.
        sentences_of_row_NS: which of them are a row's.
        topic_TD: embeddings of length 1.
        temperature: above 0; the lower, the nearer the likeliest topic's confidence is to 1.
    """
    row_ND = sum(sentence_UD[column].astype(np.float32) for column in sentences_of_row_NS.T)
    row_ND /= np.linalg.norm(row_ND, axis=1, keepdims=True)
    logits_NT = row_ND @ topic_TD.T / temperature
    weights_NT = np.exp(logits_NT - logits_NT.max(axis=1, keepdims=True))
    confidence_NT: FloatArray = weights_NT / weights_NT.sum(axis=1, keepdims=True)
    return confidence_NT


def _as_examples(texts: Sequence[str]) -> Examples:
    return Examples(
        ids=[""] * len(texts),
        sentence1=list(texts),
        sentence2=None,
        labels=None,
        origin="sentences",
        rows_read=RowsRead(num_rows=len(texts)),
    )


def _faster_on_processors(module: nn.Module) -> nn.Module:
    """Have oneDNN compute the linear layers, in place, still in float32.

    PyTorch takes MKL for them, which does without AVX-512 on processors that are not Intel's: there this is 1.8 times
    as fast, with the same embeddings to 1e-6.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return module
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # It is TorchScript inside.
        from torch.utils.mkldnn import to_mkldnn

        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if type(child) is nn.Linear:
                    setattr(parent, name, to_mkldnn(child))  # type: ignore[no-untyped-call]
    return module
