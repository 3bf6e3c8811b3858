"""A cache of what a model gives for many texts, in chunks on disk, so that no chunk is computed twice.

A chunk is put in its place whole: a process that is killed at any moment loses the chunk it was at, no more. Each
begins with a digest of the rest, and is computed anew where anything is wrong with it.
"""

# U texts, K values of each

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from mtbert_ray.data.tokenize import CACHE_VARIABLE, default_cache
from mtbert_ray.errors import DataError
from mtbert_ray.files import put_file

FORMAT_VERSION = 2
_DIGEST_SIZE = 20

FloatArray = npt.NDArray[np.floating]


class Reader(Protocol):
    """A model that gives some numbers for each text."""

    texts: Sequence[str]
    fingerprint: str
    """Of everything that decides the numbers except the texts."""
    chunk_size: int
    """Texts read between two writes."""

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the values of texts[start:stop], (stop - start, K)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """The values of all texts, and how many of these were on disk already."""

    values: FloatArray
    """(U, K)"""
    num_found: int


def read_all(reader: Reader, *, cache: Path | None = None, on_texts: Callable[[int], None]) -> Reading:
    """Return the values of every text, from disk where this machine has read the same ones in the same way.

    Processes that start together wait for the first one. The reader has at least one text. The cache is a folder; none
    takes `default_cache`. `on_texts` is called after each chunk with the number of texts done.

    Raises:
        DataError: the cache folder cannot be written.
    """
    home = (cache or default_cache()) / "topics" / _key(reader)
    chunks: list[FloatArray] = []
    num_found = 0
    with _writing(home):
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home.with_suffix(".lock")).acquire()
    with lock:
        for number, start in enumerate(range(0, len(reader.texts), reader.chunk_size)):
            stop = min(start + reader.chunk_size, len(reader.texts))
            path = home / f"{number:05d}.npy"
            values = _opened(path, stop - start)
            if values is None:
                values = reader.read(start, stop)
                with _writing(home):
                    put_file(path, partial(_save, values))
            else:
                num_found += stop - start
            chunks.append(values)
            on_texts(stop)
    return Reading(values=np.concatenate(chunks), num_found=num_found)


def digest_of(*parts: str) -> str:
    """Hash texts, so that no two lists of them give the same bytes."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def _key(reader: Reader) -> str:
    return digest_of(str(FORMAT_VERSION), reader.fingerprint, str(reader.chunk_size), *reader.texts)


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    """Explain errors of the disk; errors of the reader, which may be OSErrors too, stay as they are."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{home}: the cache of classified texts cannot be written: {error}. "
            f"Set the environment variable {CACHE_VARIABLE} to a folder with room that you may write to"
        ) from error


def _save(values: FloatArray, path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, values)
    content = buffer.getvalue()
    path.write_bytes(_bytes_digest(content) + content)


def _bytes_digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_SIZE).digest()


def _opened(path: Path, num_texts: int) -> FloatArray | None:
    """Read a chunk; none when it is not there, not whole, or not what was written."""
    try:
        written = path.read_bytes()
        digest, content = written[:_DIGEST_SIZE], written[_DIGEST_SIZE:]
        if digest != _bytes_digest(content):
            return None
        values: FloatArray = np.load(io.BytesIO(content))
    except (OSError, ValueError, EOFError):
        return None
    return values if values.ndim == 2 and len(values) == num_texts else None
