"""`report --watch`: the report is written again as the journal grows."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mtbert_ray.errors import JournalError
from mtbert_ray.reporting.watch import watch


def test_it_writes_now_then_where_the_journal_has_grown_and_stops_at_the_end(sweep):
    seen, steps = [], iter(["nothing", "trial", "nothing", "finish"])

    def sleep(seconds):
        assert seconds >= 3
        match next(steps):
            case "trial":
                sweep.trial("t0", [0.7], peak_memory_gib=1.0)
            case "finish":
                sweep.finish()

    count = watch(sweep.folder, lambda: seen.append(len(seen)), every_seconds=3, sleep=sleep)
    assert count == len(seen) == 3
    assert next(steps, None) is None


def test_what_is_written_meanwhile_is_not_missed(sweep):
    writes = []

    def write():
        writes.append((sweep.folder / "journal.jsonl").stat().st_size)
        if len(writes) == 1:
            sweep.finish()

    watch(sweep.folder, write, every_seconds=1, sleep=lambda seconds: None)
    assert len(writes) == 2 and writes[0] < writes[1]


def test_a_sweep_that_has_ended_is_written_once(eight_trials):
    assert watch(eight_trials, lambda: None, every_seconds=1, sleep=pytest.fail) == 1


def test_a_line_that_is_half_written_is_no_end(sweep):
    path = sweep.folder / "journal.jsonl"
    whole = path.read_bytes()
    sweep.finish()
    ended = path.read_bytes()
    path.write_bytes(ended[:-20])
    sleeps = []

    def sleep(seconds):
        sleeps.append(seconds)
        path.write_bytes(ended)

    assert watch(sweep.folder, lambda: None, every_seconds=1, sleep=sleep) == 2
    assert len(sleeps) == 1 and len(whole) < len(ended)


def test_a_folder_without_a_journal_is_refused(tmp_path):
    with pytest.raises(JournalError):
        watch(tmp_path, lambda: None, every_seconds=1)


def test_the_command_follows_a_sweep_until_ctrl_c(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=1.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "mtbert_ray.report", "--watch", "--every", "1", str(sweep.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("The report: ")
        sweep.trial("t1", [0.9], peak_memory_gib=2.0)
        assert process.stdout.readline().startswith("The report: ")
        assert "t1" in (sweep.folder / "trials.csv").read_text()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (130, "")
    finally:
        process.kill()
