"""A trial that hangs is named within a stated time, with where it stands, and ended where that is asked for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mtbert_ray.events import EpochFinished, TrialStarted
from mtbert_ray.ray_backend.hang_watch import SILENCE_SECONDS, HangWatch, kill_worker
from mtbert_ray.training.heartbeat import Heartbeat, Sign, read_signs
from mtbert_ray.trial import Trial

BEATING = """
import sys, time
from pathlib import Path
from mtbert_ray.training.heartbeat import Heartbeat
with Heartbeat(Path(sys.argv[1]), seconds=0.05) as heartbeat:
    for step in range(1, 10_000):
        heartbeat.on_step(step, 10_000)
        time.sleep(0.05)
"""


def trial_of(epochs: int = 0) -> Trial:
    trial = Trial.of(TrialStarted(trial_id="t007", hyperparameters={}, config={"epochs": 9, "tasks": []}))
    for number in range(epochs):
        trial.apply(EpochFinished(trial_id="t007", metrics={"epoch": number + 1}))
    return trial


class Watched:
    """A watch over one trial, with a clock of the test's."""

    def __init__(self, folder: Path, *, hang_minutes: float | None = None, epochs: int = 1) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.ended: list[Sign] = []
        self.trial = trial_of(epochs)
        self.watch = HangWatch(
            lambda trial_id: folder,
            self.lines.append,
            hang_minutes=hang_minutes,
            end=self.ended.append,
            clock=lambda: self.now,
        )

    def after(self, seconds: float) -> list[str]:
        self.now += seconds
        self.watch.look([self.trial])
        return self.lines


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def beating(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", BEATING, str(tmp_path)])
    try:
        wait_for(lambda: any(sign.step > 0 for sign in read_signs(tmp_path)))
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_process_that_is_stopped_is_named_and_ended(tmp_path, beating):
    watched = Watched(tmp_path, hang_minutes=2)
    assert watched.after(10) == []
    seen = read_signs(tmp_path)[0].count
    wait_for(lambda: any(sign.count > seen for sign in read_signs(tmp_path)))
    os.kill(beating.pid, signal.SIGSTOP)
    watched.after(6)
    assert watched.after(SILENCE_SECONDS - 1) == []
    (line,) = watched.after(6)
    assert line.startswith("t007 hangs on node") and f"process {beating.pid}" in line and "no sign of life" in line
    assert watched.after(10) == [line] and not watched.ended, "once"
    watched.after(60)
    assert [sign.pid for sign in watched.ended] == [beating.pid]
    watched.after(60)
    assert len(watched.ended) == 1


def test_one_that_goes_on_is_not_named(tmp_path, beating):
    watched = Watched(tmp_path)
    for _ in range(3):
        before = read_signs(tmp_path)[0].count
        wait_for(lambda before=before: read_signs(tmp_path) and read_signs(tmp_path)[0].count > before)
        assert watched.after(SILENCE_SECONDS) == []


class Steps:
    """A heartbeat whose steps the test takes, at times of its own."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.heartbeat = Heartbeat(folder, seconds=0.01, clock=lambda: self.now)
        self.folder, self.step = folder, 0

    def take(self, seconds: float) -> None:
        self.now += seconds
        self.step += 1
        self.heartbeat.on_step(self.step, 99)

    def wait(self) -> None:
        """Wait for a sign that was begun from now on: the next but one."""
        before = self._count()
        wait_for(lambda: self._count() > before + 1)

    def _count(self) -> int:
        return max((sign.count for sign in read_signs(self.folder)), default=0)


@pytest.mark.parametrize(
    ("pause", "epochs", "waited", "hangs"),
    [
        (1.0, 1, 55, False),  # Never before a minute.
        (1.0, 1, 65, True),
        (10.0, 1, 190, False),  # Twenty times the longest pause so far, which may have been for scoring.
        (10.0, 1, 210, True),
        (1.0, 0, 500, False),  # Nobody knows yet how long scoring takes.
        (1.0, 0, 610, True),
    ],
)
def test_one_that_takes_no_step_is_named_with_where_it_stands(tmp_path, pause, epochs, waited, hangs):
    steps, watched = Steps(tmp_path), Watched(tmp_path, epochs=epochs)
    with steps.heartbeat:
        for _ in range(3):
            steps.take(pause)
        steps.now += waited
        steps.wait()
        lines = watched.after(6)
        assert len(lines) == hangs
        if hangs:
            assert "takes no step, at " in lines[0] and "test_hang_watch.py:" in lines[0]
        steps.take(1)
        steps.wait()
        watched.after(6)
        steps.now += waited
        steps.wait()
        assert len(watched.after(6)) == hangs, "such a pause is known by now"
    assert read_signs(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"count": 1}', '{"pid": "x"}'])
def test_a_file_that_is_no_sign_is_left_aside(tmp_path, content):
    (tmp_path / "heartbeat-0.json").write_text(content)
    assert Watched(tmp_path).after(1000) == []


def test_only_a_worker_of_ray_that_is_the_same_process_is_killed():
    script = "import time; time.sleep(600)"
    worker = subprocess.Popen(["ray::InlineTrial", "-c", script], executable=sys.executable)
    other = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_for(lambda: psutil.Process(worker.pid).cmdline()[:1] == ["ray::InlineTrial"])
        created = psutil.Process(worker.pid).create_time()
        assert not kill_worker(worker.pid, created - 60), "a later process with the same number"
        assert not kill_worker(other.pid, psutil.Process(other.pid).create_time()), "no worker of Ray"
        assert worker.poll() is None and other.poll() is None
        assert kill_worker(worker.pid, created)
        assert worker.wait(30) == -signal.SIGKILL
        assert not kill_worker(worker.pid, created)
    finally:
        for process in (worker, other):
            process.kill()
            process.wait()
