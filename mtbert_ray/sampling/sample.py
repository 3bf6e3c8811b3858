"""Draws a topic-balanced sample: the topic of each row by a model, then each topic's most confident rows."""

# N rows, S sentences of a row, U distinct texts, T topics

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.data.classes import with_classes
from mtbert_ray.data.sources import Examples, load_examples
from mtbert_ray.errors import EncoderError
from mtbert_ray.sampling.cache import FloatArray, read_all
from mtbert_ray.sampling.classifiers import EmbeddingReader, ZeroShotReader, confidences
from mtbert_ray.tasks import TaskSpec

IntArray = npt.NDArray[np.int64]


def quotas(shares: Sequence[float], num_rows: int) -> list[int]:
    """Share rows out by largest remainder (Hamilton's method), so that the quotas sum to `num_rows`.

    The shares, (T,), sum to 1, but for rounding. Of equal remainders the first topic's counts as larger.
    """
    exact = np.asarray(shares, dtype=np.float64) / np.sum(shares) * num_rows
    # 0.29 * 100 is a little under 29: what is whole but for rounding must not be cut down.
    floors = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.argsort(floors - exact, kind="stable")
    floors[by_remainder[: num_rows - int(floors.sum())]] += 1
    return [int(quota) for quota in floors]


def likeliest(confidence_NT: FloatArray) -> IntArray:
    """Return the likeliest topic of each row, (N,); of equal ones the first."""
    topic_N: IntArray = np.argmax(confidence_NT, axis=1)
    return topic_N


def select(confidence_NT: FloatArray, quotas_T: Sequence[int]) -> list[IntArray]:
    """Return the rows that each topic keeps, the most confident first, equal ones in their order.

    A row belongs to its likeliest topic alone. A topic with fewer rows than its quota keeps them all, and no other
    topic fills the gap.
    """
    topic_N = likeliest(confidence_NT)
    kept = []
    for topic, quota in enumerate(quotas_T):
        rows = np.flatnonzero(topic_N == topic)
        order = np.argsort(-confidence_NT[rows, topic], kind="stable")
        kept.append(rows[order][:quota])
    return kept


@dataclass(frozen=True, kw_only=True, eq=False)
class TopicRows:
    """The rows of one topic."""

    name: str
    share: float
    quota: int
    num_likeliest: int
    """Rows whose likeliest topic this is."""
    rows: IntArray
    """Positions among the examples, the most confident first."""
    confidence: FloatArray
    """Of each of them."""

    @property
    def summary(self) -> str:
        """One line: rows of the quota, the lowest confidence, and how many rows are missing."""
        got = f"{self.name}: {len(self.rows)} of {self.quota}, from {self.num_likeliest} rows of this topic"
        least = f", confidence from {self.confidence[-1]:.3f}" if len(self.rows) else ""
        missing = self.quota - len(self.rows)
        return f"{got}{least}{f'; {missing} short: no other row is likeliest of this topic' if missing else ''}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A topic-balanced sample, with all classified rows."""

    task: TaskSpec
    """With its classes known."""
    examples: Examples
    """All rows that were classified."""
    topics: tuple[TopicRows, ...]
    fingerprint: str
    """Of all rows that were classified, labels included."""
    reader_fingerprint: str
    """Of the model that classified them and of how it did."""
    num_texts: int
    """Distinct texts that were classified."""
    num_found: int
    """Of these, how many an earlier run had classified."""

    @property
    def num_rows(self) -> int:
        """Rows of the sample."""
        return sum(len(topic.rows) for topic in self.topics)


def draw_sample(
    config: SampleConfig, *, cache: Path | None = None, on_texts: Callable[[int, int], None] = lambda done, total: None
) -> Sample:
    """Draw a topic-balanced sample of a task's training rows.

    The cache is a folder; none takes `default_cache`. `on_texts` is called after each chunk with (distinct texts
    classified, distinct texts).

    Raises:
        DataError: the rows cannot be read, or the cache cannot be written.
        EncoderError: the model cannot be loaded, or gives values that are not finite.
    """
    task = with_classes(config.task)
    examples = load_examples(task, config.data, "train", seed=config.seed)
    assert examples is not None, "only test rows may be absent"
    reader, text_of_row_NS = _reader_of(config, examples, cache)
    num_texts = len(reader.texts)
    on_texts(0, num_texts)
    reading = read_all(reader, cache=cache, on_texts=lambda done: on_texts(done, num_texts))
    if not np.isfinite(reading.values).all():
        name = config.model if config.method == "zero_shot" else config.encoder
        raise EncoderError(f"'{name}' gives values that are not finite; take another model")
    if isinstance(reader, EmbeddingReader):
        topic_TD = reader.embed([topic.description or name for name, topic in config.topics.items()])
        confidence_NT = confidences(reading.values, text_of_row_NS, topic_TD, temperature=config.temperature)
    else:
        confidence_NT = reading.values[text_of_row_NS[:, 0]]
    return Sample(
        task=task,
        examples=examples,
        topics=_topics(config, confidence_NT),
        fingerprint=fingerprint_of(examples),
        reader_fingerprint=reader.fingerprint,
        num_texts=num_texts,
        num_found=reading.num_found,
    )


def _reader_of(
    config: SampleConfig, examples: Examples, cache: Path | None
) -> tuple[ZeroShotReader | EmbeddingReader, np.ndarray]:
    """Return the method's reader with each text that it needs once, and where those of each row are, (N, S)."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    columns = [examples.sentence1] if examples.sentence2 is None else [examples.sentence1, examples.sentence2]
    match config.method:
        case "zero_shot":
            texts, text_of_row_NS = distinct([[" ".join(row) for row in zip(*columns, strict=True)]])
            return ZeroShotReader(config, texts, device), text_of_row_NS
        case "embeddings":
            texts, text_of_row_NS = distinct(columns)
            return EmbeddingReader(config, texts, device, cache=cache), text_of_row_NS


def distinct(columns: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """Return each text once, the longest first, and where those of each row are, (N, S)."""
    texts = sorted({text for column in columns for text in column}, key=lambda text: (-len(text), text))
    position = {text: index for index, text in enumerate(texts)}
    return texts, np.array([[position[text] for text in column] for column in columns], dtype=np.int64).T


def fingerprint_of(examples: Examples) -> str:
    """Return a BLAKE2b digest of the rows' ids, sentences and labels, in hexadecimal."""
    digest = hashlib.blake2b(digest_size=16)
    for column in (examples.ids, examples.sentence1, examples.sentence2 or []):
        for text in column:
            digest.update(len(text.encode()).to_bytes(8, "little") + text.encode())
    assert examples.labels is not None, "training rows have labels"
    digest.update(examples.labels.tobytes())
    return digest.hexdigest()


def _topics(config: SampleConfig, confidence_NT: FloatArray) -> tuple[TopicRows, ...]:
    quota_of = quotas(list(config.shares.values()), config.rows)
    counts = np.bincount(likeliest(confidence_NT), minlength=len(quota_of))
    return tuple(
        TopicRows(
            name=name,
            share=share,
            quota=quota_of[topic],
            num_likeliest=int(counts[topic]),
            rows=rows,
            confidence=confidence_NT[rows, topic],
        )
        for topic, ((name, share), rows) in enumerate(
            zip(config.shares.items(), select(confidence_NT, quota_of), strict=True)
        )
    )
