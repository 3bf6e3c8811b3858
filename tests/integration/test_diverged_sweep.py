"""A sweep in which one trial diverges in its only step (case 03), of a classification and of a regression."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from command_line import run

from mtbert_ray.journal import read_journal
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.study.space.load import load_search_space
from mtbert_ray.trial import Trial

pytestmark = pytest.mark.ray

SPACE = """\
name: diverged
objectives:
  dev_score: {direction: maximize, reference: %s}
  train_seconds: {direction: minimize, reference: 600}
fixed:
  encoder: tiny
  epochs: 1
  batch_size: 24
  tasks:
    - %s
search:
  learning_rate: {grid: [1.0e-3, 1.0e+38]}
algorithm: grid
scheduler: fifo
"""
KINDS = {
    "classification": ("0.0", "num_classes: 3"),
    "regression": ("-1.0", "label_range: [0, 5]"),
}
"""Kind of the task -> the worst score that it can have, and what its labels are."""


@pytest.mark.parametrize(("kind", "workers"), [("classification", 1), ("regression", 1), ("regression", 2)])
def test_the_trial_that_diverged_has_failed_and_is_on_no_front(tmp_path, kind, workers):
    for name, count in (("train", 24), ("dev", 12)):
        rows = [f"row {number} of the {name} file,{number % 3}" for number in range(count)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    source = f"{{train: {tmp_path}/train.csv, dev: {tmp_path}/dev.csv, columns: {{sentence1: text, label: label}}}}"
    worst, labels = KINDS[kind]
    task = f"{{name: topic, kind: {kind}, {labels}, source: {source}}}"
    (tmp_path / "space.yaml").write_text(SPACE % (worst, task))
    out = tmp_path / "out"
    done = run("sweep", tmp_path / "space.yaml", "--out", out, "--set", f"resources.num_workers={workers}")
    assert done.returncode == 0, done.stderr
    diverged = diverged_in(out)
    assert f"failed (diverged): {diverged.reason}" in done.stderr


def test_case_03_the_trial_that_diverged_has_failed_and_is_on_no_front(cases, tmp_path, monkeypatch):
    shutil.copytree(cases, tmp_path / "cases")
    monkeypatch.chdir(tmp_path / "cases")
    space = load_search_space(Path("03-diverged-sweep.yaml"))
    assert sorted(config["learning_rate"] for config in space.grid()) == [1e-3, 1e38]
    done = run("sweep", "03-diverged-sweep.yaml", "--out", tmp_path / "out", folder=tmp_path / "cases")
    assert done.returncode == 0, done.stderr
    diverged = diverged_in(tmp_path / "out")
    assert f"failed (diverged): {diverged.reason}" in done.stderr


def diverged_in(out: Path) -> Trial:
    """Check a sweep of two trials of which the one with the larger learning rate diverged, and return that one."""
    sweep = read_journal(out)
    fine, diverged = sorted(sweep.trials, key=lambda trial: trial.config["learning_rate"])
    assert (fine.status_in_words, diverged.status_in_words) == ("finished", "failed (diverged)")
    assert "not finite in epoch 1; a lower learning rate than 1e+38" in diverged.reason
    assert not (out / "trials" / diverged.trial_id / "checkpoint").exists()
    assert [trial.trial_id for trial in outcome_of(sweep).front] == [fine.trial_id]
    table = pd.read_csv(out / "trials.csv").set_index("trial_id")
    assert table.loc[diverged.trial_id, "status"] == "failed (diverged)"
    assert pd.isna(table.loc[diverged.trial_id, "dev_score"])
    assert "failed (diverged)" in (out / "report.md").read_text()
    return diverged
