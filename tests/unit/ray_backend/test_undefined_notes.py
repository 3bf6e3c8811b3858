"""Scores that no trial can have are said before a sweep starts, from the labels of the dev rows alone."""

from pathlib import Path

import pytest
from rich.console import Console
from space_text import space_text

from mtbert_ray.config import DataConfig
from mtbert_ray.data.sources import load_examples
from mtbert_ray.ray_backend.launch import dry_run, launch
from mtbert_ray.ray_backend.preflight import undefined_notes
from mtbert_ray.study import request as request
from mtbert_ray.study.request import SweepRequest
from mtbert_ray.study.space.load import load_search_space

TASKS = """\
encoder: tiny
epochs: 1
tasks:
  - name: grade
    kind: regression
    label_range: [0, 5]
    source: {train: train.csv, dev: DEV.csv, columns: {sentence1: text, label: grade}}
  - name: topic
    kind: classification
    num_classes: 2
    metrics: [accuracy, mcc]
    source: {train: train.csv, dev: DEV.csv, columns: {sentence1: text, label: topic}}
"""
SCORE = "dev_score: {direction: maximize, reference: 0.0}"
NO_SCORE = "no dev_score: grade has no pearson: every label is 2.5"
NO_MCC = "no topic.mcc: every label is of class '1'"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The current one, with training rows, dev rows of one label a task, and dev rows of several."""
    monkeypatch.chdir(tmp_path)
    for name, grades, topics in (
        ("train", ["1.5", "2.5"], ["0", "1"]),
        ("various", ["1.5", "2.5"], ["0", "1"]),
        ("constant", ["2.5"], ["1"]),
    ):
        rows = [f"row {n} of {name},{grades[n % len(grades)]},{topics[n % len(topics)]}" for n in range(12)]
        Path(f"{name}.csv").write_text("\n".join(["text,grade,topic", *rows, ""]))
    return tmp_path


def write_space(fixed: str) -> Path:
    path = Path("space.yaml")
    path.write_text(space_text(SCORE, fixed))
    return path


def test_each_score_that_no_trial_can_have_is_a_sentence(folder):
    space = load_search_space(write_space(TASKS.replace("DEV", "constant")))
    assert list(undefined_notes(space)) == [
        f"Whatever is learned, trials will have {NO_SCORE}.",
        f"Whatever is learned, trials will have {NO_MCC}.",
    ]


def test_nothing_is_said_of_labels_that_differ(folder):
    assert not list(undefined_notes(load_search_space(write_space(TASKS.replace("DEV", "various")))))


def test_the_experiments_are_named_unless_it_is_so_in_all(folder):
    path = write_space(TASKS.replace("DEV", "various"))
    # The two rows that a limit keeps are the same for all; only another one has other labels.
    grade, _ = load_search_space(path).tasks
    kept = load_examples(grade, DataConfig(max_dev_rows=2), "dev", seed=0).ids
    rows = [f"row {n},2.5,1" for n in range(12)]
    other = next(n for n in range(12) if str(n) not in kept)
    rows[other] = f"row {other},1.5,0"
    Path("various.csv").write_text("\n".join(["text,grade,topic", *rows, ""]))
    experiments = "experiments: {all: {epochs: 2}, few: {data.max_dev_rows: 2}, most: {data.max_dev_rows: 12}}\n"
    path.write_text(path.read_text() + experiments)
    assert list(undefined_notes(load_search_space(path))) == [
        f"Whatever is learned, trials of few will have {NO_SCORE}.",
        f"Whatever is learned, trials of few will have {NO_MCC}.",
    ]
    path.write_text(path.read_text().replace("epochs: 2", "data.max_dev_rows: 2").replace("12}", "2}"))
    assert list(undefined_notes(load_search_space(path))) == [
        f"Whatever is learned, trials will have {NO_SCORE}.",
        f"Whatever is learned, trials will have {NO_MCC}.",
    ]


def test_a_dry_run_and_a_sweep_s_notes_say_it(folder, monkeypatch):
    path = write_space(TASKS.replace("DEV", "constant"))
    told = list(dry_run(SweepRequest(space_file=path, out=folder / "out")))
    sentences = [f"Whatever is learned, trials will have {what}." for what in (NO_SCORE, NO_MCC)]
    assert [line for line in told if "Whatever" in line] == [f"note: {sentence}" for sentence in sentences]

    planned = []

    def stop(asked, space, notes):
        planned.extend(notes)
        raise KeyboardInterrupt  # Before a cluster is looked for.

    monkeypatch.setattr(request, "_planned", stop)
    with pytest.warns(UserWarning, match="Whatever is learned") as warned, pytest.raises(KeyboardInterrupt):
        launch(SweepRequest(space_file=path, out=folder / "out"), console=Console(quiet=True))
    assert [note for note in planned if "Whatever" in note] == sentences
    assert [str(one.message) for one in warned if "Whatever" in str(one.message)] == sentences
