"""The topic of a row by a model: by entailment with an NLI model, or by the similarity of embeddings."""

# N rows, S sentences of a row (1 or 2), U distinct texts, T topics, D width

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from scipy.special import softmax
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast, pipeline

from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.data.batching import eval_batches
from mtbert_ray.data.encoding import EncodedSplit, SpecialIds
from mtbert_ray.data.examples import Examples, RowsRead
from mtbert_ray.data.tokenize import TokenizedSplit, tokenize
from mtbert_ray.errors import EncoderError
from mtbert_ray.models.cpu import quick_on_cpu
from mtbert_ray.models.encoder import load_encoder, load_tokenizer
from mtbert_ray.models.pretrained import LOAD_ERRORS, quiet_transformers
from mtbert_ray.models.state import base_fingerprint
from mtbert_ray.sampling.cache import FloatArray, digest_of

MAX_TOKENS = {"cpu": 1024, "cuda": 65536}
"""Padded tokens of a batch; on a CPU few, so that a layer's states stay in its cache."""
_ALTERNATIVE = "or classify without an NLI model: --set method=embeddings"


@final
class ZeroShotReader:
    """Gives each text the softmax, over the topics, of an NLI model's logits that the text is about the topic.

    After Yin et al. 2019, through transformers' zero-shot-classification pipeline. Texts, (U,), of like length
    are to stand together, so that batches have little padding.

    Raises:
        EncoderError: the model cannot be loaded or is no NLI model.
    """

    chunk_size = 128

    def __init__(self, config: SampleConfig, texts: Sequence[str], device: torch.device) -> None:
        self.texts = texts
        self._topics = list(config.topics)
        self._hypothesis = config.hypothesis
        self._batch_size = config.batch_size
        model, tokenizer = _load(config.model)
        tokenizer.model_max_length = min(tokenizer.model_max_length, config.data.max_length)
        self.fingerprint = digest_of(
            "zero_shot",
            base_fingerprint(model),
            tokenizer.backend_tokenizer.to_str(),
            str(tokenizer.model_max_length),
            config.hypothesis,
            *self._topics,
        )
        self._pipeline: Any = pipeline("zero-shot-classification", model=model, tokenizer=tokenizer, device=device)

    @torch.inference_mode()
    def read(self, start: int, stop: int) -> FloatArray:
        """Return how likely each topic is for texts[start:stop], (stop - start, T) float32."""
        found = self._pipeline(
            [text or " " for text in self.texts[start:stop]],  # The pipeline refuses an empty one.
            candidate_labels=self._topics,
            hypothesis_template=self._hypothesis,
            batch_size=self._batch_size,
        )
        by_topic = [dict(zip(one["labels"], one["scores"], strict=True)) for one in found]
        return np.array([[scores[topic] for topic in self._topics] for scores in by_topic], dtype=np.float32)


def _load(name: str) -> tuple[Any, PreTrainedTokenizerFast]:
    """Return the model in float32 and eval mode, its parameters frozen, and its tokenizer."""
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(name)
            model, report = AutoModelForSequenceClassification.from_pretrained(
                name, dtype=torch.float32, output_loading_info=True
            )
    except LOAD_ERRORS as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EncoderError(
            f"model '{name}' cannot be loaded as an NLI model: {first_line} Give a folder written by save_pretrained "
            f"or a name on the Hugging Face Hub, as facebook/bart-large-mnli, {_ALTERNATIVE}"
        ) from error
    labels = [str(label) for label in model.config.id2label.values()]
    if not any(label.lower().startswith("entail") for label in labels):
        raise EncoderError(
            f"model '{name}' is no NLI model: none of its labels ({', '.join(labels)}) is 'entailment'; give one that "
            f"was trained on NLI, as facebook/bart-large-mnli, {_ALTERNATIVE}"
        )
    if missing := sorted(report["missing_keys"]):
        raise EncoderError(
            f"model '{name}': its files hold no weights for {len(missing)} of its parameters, which would stay random "
            f"({', '.join(missing[:3])}); give a complete model, {_ALTERNATIVE}"
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise EncoderError(f"model '{name}': its tokenizer has no fast version; give another model, {_ALTERNATIVE}")
    return model.requires_grad_(False).eval(), tokenizer


@final
class EmbeddingReader:
    """Embeds sentences, each to length 1, for `confidences`.

    Texts, (U,), of like length are to stand together. `cache` is the folder for their tokens; none takes the user's.

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
        self._encoder = encoder.to(device)
        self._device = device
        self._cache = cache
        self._split = self._tokenized(texts)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the embeddings of texts[start:stop], (stop - start, D) float16, which halves the cache."""
        return self._embedded(self._split, start, stop).astype(np.float16)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return the embeddings of other texts, (len(texts), D) float32."""
        return self._embedded(self._tokenized(texts), 0, len(texts))

    def _tokenized(self, texts: Sequence[str]) -> TokenizedSplit:
        examples = Examples(
            ids=[""] * len(texts),
            sentence1=list(texts),
            sentence2=None,
            labels=None,
            origin="sentences",
            rows_read=RowsRead(num_rows=len(texts)),
        )
        return tokenize(examples, self._tokenizer, cache=self._cache)

    @torch.inference_mode()
    def _embedded(self, split: TokenizedSplit, start: int, stop: int) -> FloatArray:
        part = replace(split, ids=split.ids[start:stop], offsets1=split.offsets1[start : stop + 1])
        encoded = EncodedSplit(part, self._special, pair_encoding="separate", max_length=self._max_length)
        embedding_UD = np.empty((stop - start, self._encoder.width), dtype=np.float32)
        with quick_on_cpu():
            for batch in eval_batches(encoded, task="topics", max_tokens=MAX_TOKENS[self._device.type]):
                (tokens,) = batch.to(self._device).sentences
                embedding_BD = self._encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"])
                embedding_UD[batch.rows.numpy()] = nn.functional.normalize(embedding_BD.float(), dim=1).cpu().numpy()
        return embedding_UD


def confidences(
    sentence_UD: FloatArray, sentences_of_row_NS: np.ndarray, topic_TD: FloatArray, *, temperature: float
) -> FloatArray:
    """Return how likely each topic is for each row, (N, T): softmax(cosine / temperature) over the topics.

    A row's embedding is the mean of its sentences'. Sentences and topics have embeddings of length 1;
    `sentences_of_row_NS` says which sentences are a row's. The temperature is above 0: the lower, the nearer the
    likeliest topic's confidence is to 1.
    """
    row_ND = sum(sentence_UD[column].astype(np.float32) for column in sentences_of_row_NS.T)
    row_ND /= np.linalg.norm(row_ND, axis=1, keepdims=True)
    confidence_NT: FloatArray = softmax(row_ND @ topic_TD.T / temperature, axis=1)
    return confidence_NT
