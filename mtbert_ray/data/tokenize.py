"""Tokenizes once per node and set of sentences: a folder of memory-mapped arrays, found by a hash of its content.

It holds each sentence's ids without special tokens, so the same folder serves separate and joint pairs and any length
limit. A digest of the arrays lies beside them: where anything is wrong with the folder, it is written anew.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock
from tokenizers import Tokenizer

from mtbert_ray.data.examples import Examples, RowsRead
from mtbert_ray.disk import disk_error, refusal_in
from mtbert_ray.errors import DataError
from mtbert_ray.files import put_file, remove_below

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FORMAT_VERSION = 2
CACHE_VARIABLE = "MTBERT_RAY_CACHE"
_ARRAYS = ("tokens.npy", "offsets.npy")
_DIGEST = "digest"
SENTENCES_AT_ONCE = 8192
"""Bounds the memory that the tokenizer's own objects take."""

_log = logging.getLogger(__name__)

Column = tuple[np.ndarray, np.ndarray]
"""Token ids of all sentences one after another, (T,) uint16 or uint32, and offsets (N + 1,) int64: sentence i has
tokens[offsets[i] : offsets[i + 1]]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenizedSplit:
    """A split as token ids, without special tokens; see `Column` for the arrays."""

    ids: list[str]
    tokens1: np.ndarray
    offsets1: np.ndarray
    tokens2: np.ndarray | None
    offsets2: np.ndarray | None
    labels: np.ndarray | None
    """(N,) float64; none for a test split."""
    rows_read: RowsRead | None = None
    """Counts of the source's rows; none without a source."""

    def __len__(self) -> int:
        return len(self.ids)


def tokenize(
    examples: Examples, tokenizer: "PreTrainedTokenizerFast", *, cache: Path | None = None, keep: bool = True
) -> TokenizedSplit:
    """Return the tokens of a split, from the cache where this machine has tokenized the same sentences before.

    Processes that start together wait for the first one. The tokenizer's truncation and padding are ignored. Without
    `keep` the cache is not used: rows that come once are not worth a folder. Where the cache's disk is full or fails,
    which the rows can do without, a warning is logged.

    Raises:
        DataError: the cache folder cannot be written for another reason, as one that belongs to somebody else.
    """
    column_of: Callable[[Sequence[str]], Column]
    if keep:
        column_of = partial(_cached, cache or default_cache(), _bare(tokenizer))
    else:
        backend = tokenizer.backend_tokenizer
        is_bare = backend.truncation is None and backend.padding is None
        column_of = partial(_encode, backend if is_bare else _bare(tokenizer))  # A copy of a vocabulary takes a second.
    tokens1, offsets1 = column_of(examples.sentence1)
    tokens2, offsets2 = None, None
    if examples.sentence2 is not None:
        tokens2, offsets2 = column_of(examples.sentence2)
    return TokenizedSplit(
        ids=examples.ids,
        tokens1=tokens1,
        offsets1=offsets1,
        tokens2=tokens2,
        offsets2=offsets2,
        labels=examples.labels,
        rows_read=examples.rows_read,
    )


def default_cache() -> Path:
    """Return the folder of the cache: the environment's MTBERT_RAY_CACHE, or ~/.cache/mtbert_ray."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "mtbert_ray")


def _bare(tokenizer: "PreTrainedTokenizerFast") -> Tokenizer:
    """Copy the tokenizer without truncation and padding, which are state that any call of it may have left."""
    bare = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    bare.no_truncation()
    bare.no_padding()
    return bare


def _cached(folder: Path, tokenizer: Tokenizer, sentences: Sequence[str]) -> Column:
    """Open the arrays of these sentences, after writing them if no process has done so."""
    home = folder / "tokens" / _key(tokenizer.to_str(), sentences)
    column = _opened(home, len(sentences))
    if column is not None:
        return column
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(home.with_suffix(".lock")):
            if (column := _opened(home, len(sentences))) is None:
                _publish(home, lambda: _encode(tokenizer, sentences))
                column = _opened(home, len(sentences))
    except OSError as error:
        if (refusal := refusal_in(error)) is not None:
            problem = f"{disk_error(refusal, home.parent)}, or set {CACHE_VARIABLE} to a folder with room"
            _log.warning("no cache of tokenized sentences, so that each process tokenizes them itself: %s", problem)
            return _encode(tokenizer, sentences)
        raise _unwritten(home, str(error)) from error
    if column is None:
        raise _unwritten(home, "what was written is not what is read")
    return column


def _unwritten(home: Path, reason: str) -> DataError:
    return DataError(
        f"{home.parent}: the cache of tokenized sentences cannot be written: {reason}. "
        f"Set the environment variable {CACHE_VARIABLE} to a folder with room that you may write to"
    )


def _key(fingerprint: str, sentences: Sequence[str]) -> str:
    """Hash what decides the tokens. Lengths go first, so that no two lists of sentences give the same bytes."""
    encoded = [sentence.encode() for sentence in sentences]
    lengths = np.array([len(sentence) for sentence in encoded], dtype="<i8")
    digest = hashlib.blake2b(digest_size=20)
    for part in (str(FORMAT_VERSION).encode(), fingerprint.encode(), lengths.tobytes(), b"".join(encoded)):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _encode(tokenizer: Tokenizer, sentences: Sequence[str]) -> Column:
    lengths: list[int] = []
    pieces: list[np.ndarray] = [np.empty(0, dtype=np.uint32)]
    for start in range(0, len(sentences), SENTENCES_AT_ONCE):
        encodings = tokenizer.encode_batch_fast(
            list(sentences[start : start + SENTENCES_AT_ONCE]), add_special_tokens=False
        )
        for encoding in encodings:
            ids = encoding.ids
            lengths.append(len(ids))
            pieces.append(np.array(ids, dtype=np.uint32))
    tokens = np.concatenate(pieces)
    if tokens.max(initial=0) <= np.iinfo(np.uint16).max:
        tokens = tokens.astype(np.uint16)
    return tokens, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _publish(home: Path, make: Callable[[], Column]) -> None:
    """Write a folder next to its place and move it there whole; what is there already is damaged."""
    unfinished = home.with_suffix(".partial")
    for left_over in (unfinished, home):
        remove_below(home.parent, left_over.name)
    arrays = make()
    try:
        unfinished.mkdir()
        for name, array in zip(_ARRAYS, arrays, strict=True):
            with (unfinished / name).open("wb") as file:
                np.save(file, array)
                file.flush()
                os.fsync(file.fileno())
        put_file(unfinished / _DIGEST, lambda new: new.write_text(_digest(unfinished)))
        unfinished.replace(home)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _digest(home: Path) -> str:
    """Return a BLAKE2b digest of the arrays' files, in hexadecimal, at about 1 GB/s."""
    digest = hashlib.blake2b(digest_size=20)
    for name in _ARRAYS:
        with (home / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=20)).digest())
    return digest.hexdigest()


def _opened(home: Path, num_sentences: int) -> Column | None:
    """Map the arrays into memory; none when they are not there, not whole, or not what was written."""
    try:
        if (home / _DIGEST).read_bytes() != _digest(home).encode():
            return None
        tokens, offsets = (np.load(home / name, mmap_mode="r") for name in _ARRAYS)
    except (OSError, ValueError, EOFError):
        return None
    # Anybody can write a digest: these are what indexing relies on.
    is_sound = (
        all(isinstance(array, np.ndarray) and array.ndim == 1 for array in (tokens, offsets))
        and (tokens.dtype in (np.uint16, np.uint32) and offsets.dtype == np.int64)
        and len(offsets) == num_sentences + 1
        and (offsets[0], offsets[-1]) == (0, len(tokens))
        and bool((np.diff(offsets) >= 0).all())
    )
    return (tokens, offsets) if is_sound else None
