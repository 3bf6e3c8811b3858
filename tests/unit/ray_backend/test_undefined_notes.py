"""Scores that no trial can have are noted before a sweep starts, from the labels of the dev rows alone."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from space_text import space_text

from mtbert_ray.config import DataConfig
from mtbert_ray.data.sources import load_examples
from mtbert_ray.ray_backend import launch
from mtbert_ray.ray_backend.preflight import undefined_notes
from mtbert_ray.study.request import new_request
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


def notes_of(path: Path) -> list[tuple[bool, ...]]:
    """For each note whether it names either score, and whether it is of some experiments only."""
    notes = list(undefined_notes(load_search_space(path)))
    return [(NO_SCORE in note, NO_MCC in note, "trial of few" in note) for note in notes]


def test_each_score_that_no_trial_can_have_is_noted(folder):
    assert notes_of(write_space(TASKS.replace("DEV", "constant"))) == [(True, False, False), (False, True, False)]


def test_nothing_is_noted_of_labels_that_differ(folder):
    assert notes_of(write_space(TASKS.replace("DEV", "various"))) == []


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
    assert notes_of(path) == [(True, False, True), (False, True, True)]
    path.write_text(path.read_text().replace("epochs: 2", "data.max_dev_rows: 2").replace("12}", "2}"))
    assert notes_of(path) == [(True, False, False), (False, True, False)]


def test_a_dry_run_and_a_sweep_s_notes_have_it(folder, monkeypatch):
    path = write_space(TASKS.replace("DEV", "constant"))
    sentences = list(undefined_notes(load_search_space(path)))
    lines = list(launch.dry_run(new_request(path, out=folder / "out")))
    assert [line for line in lines if NO_SCORE in line or NO_MCC in line] == [f"note: {one}" for one in sentences]

    planned = []

    def stop(study, plan, folder, console):
        planned.extend(study.sweep.started.notes)
        raise KeyboardInterrupt  # Before a trial starts.

    monkeypatch.setattr(launch, "ray_session", lambda address, **options: nullcontext())
    monkeypatch.setattr(launch, "run_study", stop)
    with pytest.warns(UserWarning, match="no dev_score") as warned, pytest.raises(KeyboardInterrupt):
        launch.run_sweep(path, folder / "out")
    assert [note for note in planned if note in sentences] == sentences
    assert [str(one.message) for one in warned if str(one.message) in sentences] == sentences
