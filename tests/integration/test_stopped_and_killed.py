"""A trial whose process is stopped in a running sweep is named and runs again; one that is killed is left to resume."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from command_line import invoke, options

from mtbert_ray.journal import read_events, read_journal
from mtbert_ray.ray_backend import hang_watch

pytestmark = pytest.mark.ray


def signal_first(out: Path, number: signal.Signals, signalled: list[int]) -> None:
    """Send a signal to the process of the first trial once it has done an epoch."""
    journal, deadline = out / "journal.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline:
        signs = list(out.glob("trials/t000/heartbeat-0.json"))
        if signs and '"event":"epoch"' in journal.read_text():
            signalled.append(json.loads(signs[0].read_text())["pid"])
            os.kill(signalled[0], number)
            return
        time.sleep(0.05)


def test_a_stopped_process_is_named_and_its_trial_runs_again(space_file, ray_address, tmp_path, monkeypatch):
    out, stopped = tmp_path / "out", list[int]()
    # Some signs of life fit into it; a minute would be a minute of this test.
    monkeypatch.setattr(hang_watch, "SILENCE_SECONDS", 20.0)
    settings = options(
        epochs=30, hang_minutes=0.1, search__learning_rate="{grid: [1e-3]}", search__adapter__kind="{grid: [lora]}"
    )
    stopping = threading.Thread(target=signal_first, args=(out, signal.SIGSTOP, stopped))
    stopping.start()
    done = invoke("sweep", space_file, "--out", out, "--address", ray_address, *settings)
    stopping.join()
    assert done.exit_code == 0, (done.output, done.exception)
    [pid] = stopped
    [hangs] = [line for line in done.stderr.splitlines() if "hangs on node" in line]
    assert hangs.startswith("t000 ") and f"process {pid}" in hangs and "no sign of life" in hangs
    assert "t000: ended after hang_minutes: 0.1" in done.stderr
    [failed] = [event for event in read_events(out)[0] if event.event == "trial_failed"]
    assert failed.kind == "died" and failed.reason.startswith("hung for ") and "no sign of life" in failed.reason
    [trial] = read_journal(out).trials
    assert (trial.status, trial.attempts) == ("finished", 2)
    assert [epoch["epoch"] for epoch in trial.epochs] == list(range(1, 31)), "it continued"


def test_a_trial_that_died_more_often_than_retries_is_left_to_resume(space_file, ray_address, tmp_path):
    out, killed = tmp_path / "out", list[int]()
    settings = options(
        epochs=20, retries=0, search__learning_rate="{grid: [1e-3]}", search__adapter__kind="{grid: [none, lora]}"
    )
    killing = threading.Thread(target=signal_first, args=(out, signal.SIGKILL, killed))
    killing.start()
    done = invoke("sweep", space_file, "--out", out, "--address", ray_address, *settings)
    killing.join()
    assert killed and done.exit_code == 3, (done.output, done.exception)
    assert "t000 died more often than `retries` allows" in done.stderr
    first = read_journal(out)
    assert first.finished is not None and first.finished.reason == "deaths"
    assert [(trial.status, trial.failure_kind) for trial in first.trials] == [("failed", "died"), ("finished", None)]
    resumed = invoke("sweep", "--resume", out, "--address", ray_address)
    assert resumed.exit_code == 0, (resumed.output, resumed.exception)
    trials = read_journal(out).trials
    assert [(trial.status, trial.attempts) for trial in trials] == [("finished", 2), ("finished", 1)]
    assert [epoch["epoch"] for epoch in trials[0].epochs] == list(range(1, 21)), "it continued"
