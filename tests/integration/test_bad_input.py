"""Bad input: a message with its place on stderr, exit 2, no trial, no folder."""

from pathlib import Path

import pytest
from command_line import TINY_SPACE
from typer.testing import CliRunner

from mtbert_ray.sweep import app

WRONG_SPACES = {
    "unknown key": ("epochs: 2", "epoch: 2", ["space.yaml:7:", "'fixed.epochs'"]),
    "misspelt choice": ("[none, lora]", "[none, lroa]", ["space.yaml:12:", "'lora'"]),
    "wrong type": ("epochs: 2", "epochs: two", ["space.yaml:7:", "fixed.epochs"]),
    "bound reversed": (
        "{grid: [1e-3, 3e-3]}",
        "{loguniform: [1e-2, 1e-4]}",
        ["space.yaml:11:", "search.learning_rate"],
    ),
    "condition on a missing key": ("[none, lora]}", "[none, lora], when: {adaptor: x}}", ["space.yaml:12:", "adaptor"]),
    "unknown objective": ("dev_score:", "dev_scores:", ["space.yaml:3:", "'dev_score'"]),
    "impossible resources": ("algorithm: grid", "algorithm: grid\nresources: {cpus_per_worker: 4096}", ["4096 CPUs"]),
    "not YAML": ("search:", "search: {[", ["space.yaml:"]),
    "empty": (TINY_SPACE, "", ["space.yaml"]),
}
"""Mistake -> what is replaced in the space, by what, and what the message must name."""


def sweep(space: Path, out: Path, *arguments: object):
    return CliRunner().invoke(app, [str(space), "--out", str(out), *map(str, arguments)])


@pytest.mark.parametrize("mistake", WRONG_SPACES)
def test_a_wrong_space_is_refused_with_its_place(tmp_path, monkeypatch, mistake):
    monkeypatch.chdir(tmp_path)
    old, new, expected = WRONG_SPACES[mistake]
    assert old in TINY_SPACE
    Path("space.yaml").write_text(TINY_SPACE.replace(old, new))
    done = sweep(Path("space.yaml"), tmp_path / "out")
    assert done.exit_code == 2, done.output
    assert all(part in done.stderr for part in expected), done.stderr
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_missing_space_is_refused(tmp_path):
    done = sweep(tmp_path / "nowhere.yaml", tmp_path / "out")
    assert done.exit_code == 2 and "nowhere.yaml" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "space.yaml").write_text(TINY_SPACE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.md").write_text("mine")
    done = sweep(tmp_path / "space.yaml", tmp_path / "out")
    assert done.exit_code == 2 and "--out" in done.stderr
    assert (tmp_path / "out" / "report.md").read_text() == "mine"


OWN_TASK = """\
name: own
objectives: {dev_score: {direction: maximize, reference: 0}}
fixed:
  encoder: tiny
  epochs: 1
  tasks:
    - name: mood
      kind: classification
      num_classes: 3
      source: {train: train.csv, dev: dev.csv, columns: {sentence1: text, label: mood}}
search: {learning_rate: {grid: [1e-3]}}
algorithm: grid
"""
GOOD_ROWS = "text,mood\n" + "".join(f"a sentence about day {day},{day % 3}\n" for day in range(12))

BROKEN_FILES = {
    "missing column": (GOOD_ROWS.replace("text,mood", "text,feeling").encode(), "mood"),
    "label out of range": (GOOD_ROWS.replace("day 4,1", "day 4,7").encode(), "7"),
    "empty file": (b"", "empty"),
    "binary file": (bytes(range(256)) * 8, "train.csv"),
    "unlabeled rows": (GOOD_ROWS.replace(",1\n", ",\n").encode(), "label"),
}


@pytest.mark.parametrize("defect", BROKEN_FILES)
def test_a_broken_data_file_is_refused_with_its_name(tmp_path, monkeypatch, defect):
    monkeypatch.chdir(tmp_path)
    content, expected = BROKEN_FILES[defect]
    Path("own.yaml").write_text(OWN_TASK)
    Path("dev.csv").write_text(GOOD_ROWS)
    Path("train.csv").write_bytes(content)
    done = sweep(Path("own.yaml"), tmp_path / "out")
    assert done.exit_code == 2, done.output
    assert "train.csv" in done.stderr and expected in done.stderr
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_the_same_task_with_sound_files_passes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(OWN_TASK)
    for name in ("train.csv", "dev.csv"):
        Path(name).write_text(GOOD_ROWS)
    done = sweep(Path("own.yaml"), tmp_path / "out", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "12 train, 12 dev" in done.stdout


def test_a_dry_run_lists_the_experiments_before_what_is_missing(tmp_path, monkeypatch):
    """The header of a table's YAML has the dry run first; its sample and first stage are made later."""
    monkeypatch.chdir(tmp_path)
    experiments = "experiments:\n  sample: {data.train_files: {quora: sample.csv}}\n  second: {init_from: first}\n"
    Path("space.yaml").write_text(TINY_SPACE.replace("search:", f"{experiments}search:"))
    done = sweep(Path("space.yaml"), tmp_path / "out", "--dry-run")
    assert done.exit_code == 2, done.output
    assert "sample (" in done.stdout and "second (" in done.stdout
    assert f"{tmp_path}/sample.csv" in done.stderr and "data.train_files.quora" in done.stderr
    assert f"{tmp_path}/first" in done.stderr and "init_from" in done.stderr
    assert not (tmp_path / "out").exists()
