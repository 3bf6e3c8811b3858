"""Chunks on disk: none is read twice, a damaged one is read again, another reader finds nothing."""

import numpy as np
import pytest

from mtbert_ray.errors import DataError
from mtbert_ray.sampling.cache import digest_of, read_all


class LengthReader:
    """Gives each text its length and its first letter, and remembers what it was asked."""

    chunk_size = 4

    def __init__(self, texts, fingerprint="lengths", fail_at=None):
        self.texts, self.fingerprint, self.fail_at, self.asked = texts, fingerprint, fail_at, []

    def read(self, start, stop):
        if start == self.fail_at:
            raise KeyboardInterrupt
        self.asked.append((start, stop))
        return np.array([[len(text), ord(text[0])] for text in self.texts[start:stop]], dtype=np.float32)


TEXTS = [f"{'abc'[number % 3]} text of number {'i' * number}" for number in range(10)]


def read(reader, cache):
    done = []
    reading = read_all(reader, cache=cache, on_texts=done.append)
    assert done == [4, 8, 10]
    np.testing.assert_array_equal(reading.values[:, 0], [len(text) for text in reader.texts])
    return reading


def test_a_second_run_reads_nothing(tmp_path):
    first, second = LengthReader(TEXTS), LengthReader(TEXTS)
    one, other = read(first, tmp_path), read(second, tmp_path)
    assert first.asked == [(0, 4), (4, 8), (8, 10)] and second.asked == []
    assert (one.num_found, other.num_found) == (0, 10)
    np.testing.assert_array_equal(one.values, other.values)


def test_an_interrupted_run_is_taken_up_where_it_was(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        read_all(LengthReader(TEXTS, fail_at=8), cache=tmp_path, on_texts=lambda done: None)
    again = LengthReader(TEXTS)
    assert read(again, tmp_path).num_found == 8
    assert again.asked == [(8, 10)]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"not an array"])
def test_a_damaged_chunk_is_read_again(tmp_path, damage):
    read(LengthReader(TEXTS), tmp_path)
    (chunk,) = tmp_path.glob("topics/*/00001.npy")
    chunk.write_bytes(damage)
    again = LengthReader(TEXTS)
    read(again, tmp_path)
    assert again.asked == [(4, 8)]


def test_a_chunk_of_other_values_is_read_again(tmp_path):
    read(LengthReader(TEXTS), tmp_path)
    (chunk,) = tmp_path.glob("topics/*/00001.npy")
    content = chunk.read_bytes()
    for place in (0, 30, len(content) - 1):
        chunk.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        again = LengthReader(TEXTS)
        read(again, tmp_path)
        assert again.asked == [(4, 8)] and chunk.read_bytes() == content


@pytest.mark.parametrize(
    "other",
    [
        LengthReader(TEXTS, fingerprint="another model"),
        LengthReader([*TEXTS[:-1], "another text"]),
        LengthReader([TEXTS[1], TEXTS[0], *TEXTS[2:]]),
    ],
)
def test_other_texts_or_another_model_find_nothing(tmp_path, other):
    read(LengthReader(TEXTS), tmp_path)
    assert read(other, tmp_path).num_found == 0


def test_joining_texts_otherwise_gives_another_digest():
    assert len({digest_of("ab", "c"), digest_of("a", "bc"), digest_of("abc"), digest_of("abc", "")}) == 4


def test_a_cache_that_cannot_be_written_is_the_user_s_to_mend(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"cannot be written.*Set the environment variable MTBERT_RAY_CACHE"):
        read_all(LengthReader(TEXTS), cache=tmp_path / "file", on_texts=lambda done: None)


def test_an_error_of_the_reader_is_not_taken_for_one_of_the_cache(tmp_path):
    class Unreadable(LengthReader):
        def read(self, start, stop):
            raise OSError("the model's file is gone")

    with pytest.raises(OSError, match=r"^the model's file is gone$"):
        read_all(Unreadable(TEXTS), cache=tmp_path, on_texts=lambda done: None)
    assert read(LengthReader(TEXTS), tmp_path).num_found == 0, "the lock was let go"
