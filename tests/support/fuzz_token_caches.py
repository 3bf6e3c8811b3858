"""Damaged token caches: whatever is wrong with one, the tokens come out as the tokenizer makes them."""

import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from damage import BYTES, try_each

from mtbert_ray.data.tokenize import tokenize
from mtbert_ray.data.toy import toy_examples
from mtbert_ray.models.encoder import load_tokenizer

FILES = ("tokens.npy", "offsets.npy", "digest")


def run(count: int, seed: int, folder: Path, failures: list[str] | None = None) -> Counter[str]:
    """Try so many caches; return what was done to them, as `try_each` does."""
    tokenizer, examples = load_tokenizer("tiny"), toy_examples("sst", "test")
    cache = folder / "cache"

    def read() -> tuple[list[int], list[int]]:
        split = tokenize(examples, tokenizer, cache=cache)
        return split.tokens1.tolist(), split.offsets1.tolist()

    right = read()
    (home,) = (path for path in (cache / "tokens").iterdir() if path.is_dir())
    whole = {name: (home / name).read_bytes() for name in FILES}

    def attempt(rng: random.Random, number: int) -> str:
        kind = _damage(rng, home, whole, len(right[1]))
        assert read() == right, f"after {kind} other tokens came out"
        assert read() == right and {name: (home / name).read_bytes() for name in FILES} == whole
        return f"{kind}: made anew"

    return try_each("token caches", count, seed, attempt, failures=failures)


def _damage(rng: random.Random, home: Path, whole: dict[str, bytes], num_offsets: int) -> str:
    name = rng.choice(FILES)
    path = home / name
    kind = rng.randrange(6)
    if kind == 0:
        path.unlink()
        rng.choice([lambda: None, path.mkdir, lambda: path.symlink_to(home), lambda: path.write_bytes(b"")])()
        return f"{name} is no file"
    if kind == 1:
        shutil.rmtree(home)
        rng.choice([lambda: home.write_text("a file"), home.mkdir, lambda: home.symlink_to(home.parent / "nowhere")])()
        return "the folder is another thing"
    if kind == 2:
        # The same length, other ids: what no count can tell.
        tokens = np.load(home / "tokens.npy").copy()
        tokens[rng.randrange(len(tokens))] += 1
        _save(path.with_name("tokens.npy"), tokens)
        return "other ids of the same length"
    if kind == 3:
        offsets = np.load(home / "offsets.npy").copy()
        offsets[rng.randrange(1, num_offsets - 1)] += 1
        _save(path.with_name("offsets.npy"), offsets)
        return "other offsets"
    if kind == 4:
        pickled = np.array([{"an": "object"}], dtype=object)
        with (home / "tokens.npy").open("wb") as file:
            np.save(file, pickled, allow_pickle=True)
        return "pickled objects"
    damaged = rng.choice(BYTES)(rng, whole[name])
    while damaged == whole[name]:
        damaged = rng.choice(BYTES)(rng, whole[name])
    _replace(path, damaged)
    return f"bytes of {name}"


def _save(path: Path, array: np.ndarray) -> None:
    path.unlink()  # Arrays that were read may still be mapped.
    np.save(path, array)


def _replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)
