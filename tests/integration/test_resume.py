"""A sweep that was killed resumes with what it had, and one that was complete with more trials."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from command_line import ROOT, command, invoke

from mtbert_ray.journal import read_journal
from mtbert_ray.trial import Trial

pytestmark = pytest.mark.ray

SPACE = """\
name: resumed
objectives:
  dev_score: {direction: maximize, reference: 0.0}
  train_seconds: {direction: minimize, reference: 600}
fixed:
  encoder: tiny
  epochs: 3
  data.max_train_rows: 120
  data.max_dev_rows: 30
search:
  learning_rate: {loguniform: [1e-4, 1e-2]}
points_to_evaluate: [{learning_rate: 0.001}]
trials: 5
probe: {steps: 2, warmup_steps: 1}
resources: {concurrent_trials: 2}
"""


def wait_for(process: subprocess.Popen, journal: Path, events: dict[str, int]) -> None:
    deadline = time.monotonic() + 200
    while not (journal.exists() and all(journal.read_text().count(f'"event":"{e}"') >= n for e, n in events.items())):
        assert process.poll() is None and time.monotonic() < deadline, journal.read_text()
        time.sleep(0.05)


def outcome(trial: Trial) -> tuple:
    return trial.trial_id, trial.hyperparameters, trial.epochs, trial.status, trial.reason


def test_a_killed_sweep_resumes_and_a_complete_one_takes_more_trials(ray_address, tmp_path):
    space, out = tmp_path / "space.yaml", tmp_path / "out"
    space.write_text(SPACE)
    process = subprocess.Popen(command("sweep", space, "--out", out), cwd=ROOT)
    try:
        wait_for(process, out / "journal.jsonl", {"trial_finished": 1, "trial_started": 3})
        [session] = psutil.Process(process.pid).children()
        processes = [session, *session.children(recursive=True)]
        os.killpg(session.pid, signal.SIGSTOP)  # It must not end before the next command has come so far.
        busy = invoke("sweep", "--resume", out)
        assert busy.exit_code == 2 and "another process is running this sweep" in busy.stderr
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs([session], timeout=60)
    assert not alive, "the session must not outlive the command"
    for one in filter(psutil.Process.is_running, processes):  # Agents of Ray that were stopped as well.
        one.kill()

    killed = read_journal(out)
    assert killed.finished is None
    before = {trial.trial_id: outcome(trial) for trial in killed.trials if trial.status != "running"}
    interrupted = {trial.trial_id: trial.hyperparameters for trial in killed.trials if trial.status == "running"}
    assert before and interrupted

    done = invoke("sweep", "--resume", out, "--address", ray_address)
    assert done.exit_code == 0, (done.output, done.exception)
    sweep = read_journal(out)
    after = {trial.trial_id: trial for trial in sweep.trials}
    assert sorted(after) == [f"t{number:03d}" for number in range(5)]
    assert sweep.finished is not None and sweep.finished.reason == "completed" and len(sweep.resumed) == 1
    assert {name: outcome(after[name]) for name in before} == before
    assert {name: after[name].hyperparameters for name in interrupted} == interrupted
    assert {trial.status for trial in sweep.trials} <= {"finished", "stopped"}
    assert all(trial.stop_kind in (None, "rung") for trial in sweep.trials)
    assert len({trial.hyperparameters["learning_rate"] for trial in sweep.trials}) == 5
    assert after["t000"].hyperparameters == {"learning_rate": 0.001}
    assert all(trial.probe is not None and trial.probe.projection["train_seconds"] > 0 for trial in sweep.trials)
    assert (out / "index.html").exists() and not (out / "ray").exists()

    nothing_left = invoke("sweep", "--resume", out)
    assert nothing_left.exit_code == 2
    assert "all 5 trials" in nothing_left.stderr and "--trials" in nothing_left.stderr
    more = invoke("sweep", "--resume", out, "--trials", 6, "--address", ray_address)
    assert more.exit_code == 0, (more.output, more.exception)
    assert "6 of 6 trials done" in more.stderr and len(read_journal(out).trials) == 6


def test_resume_takes_no_other_configs(tmp_path):
    refused = invoke("sweep", "space.yaml", "--resume", tmp_path, "--set", "epochs=3")
    assert refused.exit_code == 2
    assert "SPACE, --set" in refused.stderr
