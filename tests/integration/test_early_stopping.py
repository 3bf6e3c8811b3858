"""Sweeps that end trials early: at the probe, at a rung, for want of memory; and what journal and report say of it."""

from pathlib import Path

import pytest
from command_line import run

from mtbert_ray.journal import read_journal
from mtbert_ray.trial import Trial

pytestmark = pytest.mark.ray

SPACE = """\
name: early
objectives:
  dev_score: {direction: maximize, reference: -1.0}
  trainable_percent: {direction: minimize, reference: 100, constraint: 50}
fixed:
  encoder: tiny
  epochs: 3
  data.max_train_rows: 80
  data.max_dev_rows: 30
search:
  adapter.kind: {grid: [lora, none]}
algorithm: grid
probe: {steps: 3, warmup_steps: 1}
"""


def trials_of(out: Path) -> list[Trial]:
    """Return the trials by their names: two that begin at the same time may do so in either order."""
    return sorted(read_journal(out).trials, key=lambda trial: trial.trial_id)


@pytest.mark.parametrize("resources", [{}, {"num_workers": 2}], ids=["inline", "ray-train"])
def test_a_trial_that_would_break_a_constraint_ends_at_its_probe(tmp_path, resources):
    space, out = tmp_path / "space.yaml", tmp_path / "out"
    space.write_text(SPACE)
    options = [text for key, value in resources.items() for text in ("--set", f"resources.{key}={value}")]
    done = run("sweep", space, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    lora, full = trials_of(out)
    assert (lora.status, len(lora.epochs)) == ("finished", 3)
    assert (full.status, full.stop_kind, full.epochs) == ("stopped", "probe", [])
    assert full.reason.startswith("probe: its trainable_percent would be 100 %, limit 50")
    # It had 15 steps of batch 16 in each of its epochs, and took 4.
    assert full.probe.steps == 4 and lora.epochs[0]["step"] == 15
    assert 0 < full.metrics["train_seconds"] < full.probe.projection["train_seconds"] / 4
    for report in ("report.md", "index.html"):
        text = (out / report).read_text()
        assert "costs at the probe" in text and "limit 50" in text
        assert "3 of the 6 without early stopping (50%)" in text


def test_one_that_could_not_count_whatever_it_scored_ends_at_its_probe(tmp_path):
    space, out = tmp_path / "space.yaml", tmp_path / "out"
    space.write_text(SPACE.replace("reference: 100, constraint: 50", "reference: 50"))
    done = run("sweep", space, "--out", out)
    assert done.returncode == 0, done.stderr
    _, full = trials_of(out)
    assert (full.stop_kind, full.epochs) == ("probe", []) and "beyond the reference" in full.reason


def test_fifo_lets_every_trial_run_to_its_end_and_probes_none(tmp_path):
    space, out = tmp_path / "space.yaml", tmp_path / "out"
    space.write_text(SPACE)
    done = run("sweep", space, "--out", out, "--set", "scheduler=fifo", "--set", "epochs=1")
    assert done.returncode == 0, done.stderr
    sweep = read_journal(out)
    assert {trial.status for trial in sweep.trials} == {"finished"}
    assert all(trial.probe is None for trial in sweep.trials)
    assert "none meets every constraint" not in (out / "report.md").read_text()
