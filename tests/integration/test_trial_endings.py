"""A sweep in which each trial ends in another way, where one process trains a trial and where two do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from command_line import invoke, options

from mtbert_ray.config.file import load_config
from mtbert_ray.journal import read_journal
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.training.alone import run_alone
from mtbert_ray.training.checkpoint import load_checkpoint
from mtbert_ray.trial import Sweep, Trial

pytestmark = pytest.mark.ray

SPACE = """\
name: endings
objectives:
  dev_score: {direction: maximize, reference: -1.0}
  trainable_percent: {direction: minimize, reference: 100, constraint: 50}
  trainable_parameters: {direction: minimize, reference: 20000}
fixed:
  encoder: tiny
  epochs: 2
  learning_rate: 1e-3
  dropout: 0
  encoder_dropout: 0
  data.max_train_rows: 80
  data.max_dev_rows: 30
experiments:
  over-its-limit: {adapter.kind: none}
  diverges: {adapter.kind: lora, learning_rate: 1e38, epochs: 1, batch_size: 80}
  finishes: {adapter.kind: lora, adapter.dropout: 0}
algorithm: grid
probe: {steps: 3, warmup_steps: 1}
resources: {concurrent_trials: 1}
"""
WITH_ONE_PROCESS = """\
  beyond-the-reference: {adapter.kind: lora, adapter.rank: 96}
  out-of-memory: {adapter.kind: lora, adapter.rank: 10000000000000}
"""
"""Decided as the others are, and so tried under one launcher only: a trial under Ray Train takes half a minute."""
LOSSES = ("train_loss", "train_loss.sst", "train_loss.quora", "train_loss.sts")


@contextmanager
def another_ray() -> Iterator[None]:
    """Write what a second Ray of this machine, started later, leaves for whoever looks for one."""
    latest = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
    before = latest.read_text()
    latest.write_text("127.0.0.1:1")
    try:
        yield
    finally:
        latest.write_text(before)


@pytest.fixture(scope="module", params=[1, 2], ids=["one-process", "two-ranks"])
def out(request, ray_address, tmp_path_factory) -> Iterator[Path]:
    """The folder of a sweep that has ended."""
    folder = tmp_path_factory.mktemp("endings")
    space = SPACE.replace("experiments:\n", "experiments:\n" + WITH_ONE_PROCESS) if request.param == 1 else SPACE
    (folder / "space.yaml").write_text(space)
    more = options(resources__num_workers=request.param)
    with another_ray():
        done = invoke("sweep", folder / "space.yaml", "--out", folder / "out", "--address", ray_address, *more)
    assert done.exit_code == 0, (done.output, done.exception)
    (folder / "out" / "stderr").write_text(done.stderr)
    yield folder / "out"


@pytest.fixture
def sweep(out) -> Sweep:
    return read_journal(out)


@pytest.fixture
def trials(sweep) -> dict[str, Trial]:
    """The trials by their experiments."""
    return {trial.config["experiment"]: trial for trial in sweep.trials}


def test_the_one_that_finishes_has_the_losses_of_a_run_outside_of_a_sweep(out, trials, tmp_path):
    trial = trials["finishes"]
    assert trial.status == "finished" and trial.probe is not None
    config = load_config(out / "trials" / trial.trial_id / "config.yaml")
    assert load_checkpoint(out / trial.checkpoint)[1].resources == config.resources
    alone = config.model_copy(update={"resources": config.resources.model_copy(update={"num_workers": 1})})
    expected = list(run_alone(alone, tmp_path / "run", on_step=lambda step, total: None))
    for epoch, other in zip(trial.epochs, expected, strict=True):
        assert sorted(epoch) == sorted(other)
        assert [epoch[name] for name in LOSSES] == pytest.approx([other[name] for name in LOSSES], rel=1e-3)


def test_one_that_would_break_a_constraint_ends_at_its_probe(out, trials):
    full = trials["over-its-limit"]
    assert (full.status, full.stop_kind, full.epochs) == ("stopped", "probe", [])
    assert "limit 50" in full.reason
    # It would have had 3 tasks of 5 steps of batch 16 in each of its epochs, and took 4.
    assert full.probe.steps == 4 and trials["finishes"].epochs[0]["step"] == 15
    assert 0 < full.metrics["train_seconds"] < full.probe.projection["train_seconds"] / 4
    for report in ("report.md", "index.html"):
        text = (out / report).read_text()
        assert "costs at the probe" in text and "limit 50" in text and "without early stopping" in text


def test_one_beyond_a_reference_ends_at_its_probe(trials):
    if (trial := trials.get("beyond-the-reference")) is None:
        pytest.skip("tried under one launcher only")
    assert trial.probe.projection["trainable_percent"] < 50
    assert (trial.stop_kind, trial.epochs) == ("probe", []) and "beyond the reference" in trial.reason


def test_one_without_room_in_memory_ends_and_later_ones_run(trials):
    if (trial := trials.get("out-of-memory")) is None:
        pytest.skip("tried under one launcher only")
    assert (trial.status, trial.stop_kind, trial.epochs) == ("stopped", "memory", [])
    assert trials["finishes"].started > trial.ended


def test_the_one_that_diverges_has_failed_and_is_on_no_front(out, sweep, trials):
    diverged = trials["diverges"]
    assert_diverged(diverged, out)
    assert outcome_of(sweep).front == (trials["finishes"],)


def assert_diverged(diverged: Trial, out: Path) -> None:
    assert (diverged.status, diverged.failure_kind) == ("failed", "diverged")
    assert not (out / "trials" / diverged.trial_id / "checkpoint").exists()
    table = pd.read_csv(out / "trials.csv").set_index("trial_id")
    assert table.loc[diverged.trial_id, "status"] == "failed (diverged)"
    assert pd.isna(table.loc[diverged.trial_id, "dev_score"])
    assert "failed (diverged)" in (out / "report.md").read_text()
    assert f"failed (diverged): {diverged.reason}" in (out / "stderr").read_text()


def test_case_03_the_one_that_diverged_has_failed_and_is_on_no_front(cases, ray_address, tmp_path, monkeypatch):
    monkeypatch.chdir(cases)
    out = tmp_path / "out"
    done = invoke("sweep", "03-diverged-sweep.yaml", "--out", out, "--address", ray_address)
    assert done.exit_code == 0, (done.output, done.exception)
    (out / "stderr").write_text(done.stderr)
    sweep = read_journal(out)
    fine, diverged = sorted(sweep.trials, key=lambda trial: trial.config["learning_rate"])
    assert diverged.config["learning_rate"] == 1e38 and fine.status == "finished"
    assert_diverged(diverged, out)
    assert outcome_of(sweep).front == (fine,)


def test_a_sweep_in_which_every_trial_fails_has_failed(space_file, ray_address, tmp_path):
    only = options(learning_rate=1e38, adapter__kind="none", search__seed="{grid: [1]}")
    done = invoke("sweep", space_file, "--out", tmp_path / "out", "--address", ray_address, *only)
    assert done.exit_code == 1, (done.output, done.exception)
