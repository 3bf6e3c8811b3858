"""`sample` as a user runs it: what it prints and writes, a real kill, and one message and exit 2 for bad input."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import ROOT, command
from typer.testing import CliRunner, Result

from mtbert_ray.predict import app as predict_app
from mtbert_ray.sample import app as sample_app
from mtbert_ray.train import app as train_app

TOPICS = """\
rows: 30
method: embeddings
encoder: tiny
topics:
  Travel: {share: 0.5, description: a journey to a city}
  Cooking: 0.3
  Pets: 0.2
"""


def invoke(app, *arguments) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def topics(tmp_path) -> Path:
    path = tmp_path / "topics.yaml"
    path.write_text(TOPICS)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MTBERT_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_questions(folder: Path, num_rows: int) -> Path:
    """Write a training file of the course's with made-up questions, each different."""
    folder.mkdir()
    lines = ["\tid\tsentence1\tsentence2\tis_duplicate"]
    for n in range(num_rows):
        first = f"which of the {n} buses to town {n * 7} stops at harbour {n * 31}?"
        lines.append(f"{n}\tq{n:06}\t{first}\tis there soup number {n} for {'my old ' * (n % 5)}parrot?\t{n % 2}.0")
    (folder / "quora-train.csv").write_text("\n".join(lines) + "\n")
    return folder


def chunks_of(cache: Path) -> dict[str, tuple[int, int]]:
    """Each chunk on disk, and what a rewrite would change of it."""
    found = {}
    for path in cache.glob("topics/*/*.npy"):
        status = path.stat()
        found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


def test_a_sample_is_reported_topic_by_topic_and_can_be_trained_on(topics, tmp_path, cache):
    out = tmp_path / "new" / "sample.csv"
    done = invoke(sample_app, topics, "--out", out, "--set", "data.max_train_rows=200")
    assert done.exit_code == 0, (done.output, done.exception)
    *lines, last = done.stdout.splitlines()
    about = json.loads(out.with_suffix(".json").read_text())
    assert [line.split(":")[0] for line in lines] == ["Travel", "Cooking", "Pets"]
    for line, topic in zip(lines, about["topics"].values(), strict=True):
        assert f": {topic['rows']} of {topic['quota']}, from {topic['rows_of_this_topic']} rows of this topic" in line
        assert (f"{topic['short_of']} short" in line) == (topic["short_of"] > 0)
    assert last.startswith(f"{about['rows']} of 30 rows: {out} ") and "sample.json" in last
    small = {"encoder": "tiny", "tasks": "[quora]", "epochs": 1, "data.max_dev_rows": 20}
    options = [option for key, value in small.items() for option in ("--set", f"{key}={value}")]
    with_files = ["--set", f"data.train_files={{quora: {out}}}", "--out", tmp_path / "run"]
    trained = invoke(train_app, *options, *with_files)
    assert trained.exit_code == 0, (trained.output, trained.exception)
    scored = invoke(predict_app, tmp_path / "run" / "checkpoint", "--file", f"quora={out}")
    assert scored.exit_code == 0, (scored.output, scored.exception)
    file, line = scored.stdout.splitlines()
    assert file == str(tmp_path / "run" / "predictions" / "quora-sample-predictions.csv")
    assert len(Path(file).read_text().splitlines()) == about["rows"] + 1
    assert line.startswith(f"{out}: accuracy 0.") and line.endswith(f"({about['rows']} rows)")


def test_a_killed_run_goes_on_where_it_was_and_does_no_chunk_twice(topics, tmp_path, cache):
    arguments = [topics, "--data", write_questions(tmp_path / "data", 12_000), "--out"]
    killed = subprocess.Popen(
        command("sample", *arguments, tmp_path / "killed.csv"),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(chunks_of(cache)) < 3 and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "it was killed in the middle, not at its end"
    before = chunks_of(cache)
    assert 3 <= len(before) < 12 and not (tmp_path / "killed.csv").exists()

    resumed = invoke(sample_app, *arguments, tmp_path / "resumed.csv")
    assert resumed.exit_code == 0, (resumed.output, resumed.exception)
    assert f"24000 distinct texts, of which {len(before) * 2048} were classified before" in resumed.stderr
    after = chunks_of(cache)
    assert len(after) == 12 and {name: after[name] for name in before} == before

    os.environ["MTBERT_RAY_CACHE"] = str(tmp_path / "another cache")  # restored with the fixture
    whole = invoke(sample_app, *arguments, tmp_path / "whole.csv")
    assert "of which 0 were classified before" in whole.stderr
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "resumed.csv").read_bytes()
    assert (tmp_path / "whole.json").read_bytes() == (tmp_path / "resumed.json").read_bytes()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["method=nearest"], "--set method=nearest: method has 'nearest'"),
        (["topics.Travel.share=0.9"], "the shares of the topics must sum to 1, got 1.4 (Travel 0.9, "),
        (["method=zero_shot", "model=nobody/no-such-nli"], "--set method=embeddings"),
        (["encoder=nobody/no-such-encoder"], "nobody/no-such-encoder"),
        (["data.source=course"], "source 'course' needs directory"),
        (["rows"], "--set rows: must be KEY=VALUE"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(topics, tmp_path, cache, options, expected):
    arguments = [argument for option in options for argument in ("--set", option)]
    done = invoke(sample_app, topics, "--out", tmp_path / "out.csv", *arguments)
    assert (done.exit_code, done.stdout) == (2, ""), (done.output, done.exception)
    assert expected in done.stderr and "Traceback" not in done.output
    assert not (tmp_path / "out.csv").exists()


def test_a_sample_that_is_there_is_kept(topics, tmp_path, cache):
    (tmp_path / "out.csv").write_text("mine")
    done = invoke(sample_app, topics, "--out", tmp_path / "out.csv")
    assert done.exit_code == 2 and "already" in done.stderr
    assert (tmp_path / "out.csv").read_text() == "mine" and not list(cache.glob("topics/*"))
