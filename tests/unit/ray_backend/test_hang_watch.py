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


def new_trial() -> Trial:
    return Trial.started_by(TrialStarted(trial_id="t007", hyperparameters={}, config={"epochs": 9, "tasks": []}))


class Watched:
    """A watch over one trial, with a clock of the test's."""

    def __init__(self, folder: Path, *, hang_minutes: float | None = None) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.ended: list[Sign] = []
        self.trial = new_trial()
        self.watch = HangWatch(
            lambda trial_id: folder,
            self.lines.append,
            hang_minutes=hang_minutes,
            end=self.ended.append,
            clock=lambda: self.now,
        )

    def after(self, seconds: float, *, looking: bool = True) -> list[str]:
        """Let time pass; a sweep looks every few seconds, unless it does something else."""
        while looking and seconds > 10:
            self.now, seconds = self.now + 6, seconds - 6
            self.watch.look([self.trial])
        self.now += seconds
        self.watch.look([self.trial])
        return self.lines

    def score(self) -> None:
        self.trial.apply(EpochFinished(trial_id="t007", metrics={"epoch": self.trial.num_done + 1}))


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
    ("pause", "scored", "waited", "hangs"),
    [
        (1.0, "here", 55, False),  # Never before a minute.
        (1.0, "here", 65, True),
        (10.0, "here", 190, False),  # Twenty times the longest pause so far, which may have been for scoring.
        (10.0, "here", 210, True),
        (1.0, "never", 500, False),  # Nobody knows yet how long scoring takes.
        (1.0, "never", 610, True),
        (1.0, "by another process", 500, False),
    ],
)
def test_one_that_takes_no_step_is_named_with_where_it_stands(tmp_path, pause, scored, waited, hangs):
    steps, watched = Steps(tmp_path), Watched(tmp_path)
    if scored == "by another process":
        watched.score()
    with steps.heartbeat:
        for _ in range(3):
            steps.take(pause)
        steps.wait()
        watched.after(6)
        if scored == "here":
            watched.score()
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


def test_one_that_waits_for_the_sweep_does_not_hang(tmp_path):
    steps, watched = Steps(tmp_path), Watched(tmp_path, hang_minutes=1)
    with steps.heartbeat:
        steps.take(1)
        steps.heartbeat.wait()
        for _ in range(3):
            steps.now += 1000
            steps.wait()
            assert watched.after(6) == [] and not watched.ended
        steps.heartbeat.work()
        steps.take(1)
        steps.wait()
        assert read_signs(tmp_path)[0].longest_pause == 1


def test_the_scoring_before_a_wait_is_a_pause_that_is_known(tmp_path):
    """Steps of a second, and five minutes of scoring at the end of each epoch."""
    steps, watched = Steps(tmp_path), Watched(tmp_path, hang_minutes=2)
    with steps.heartbeat:
        for _ in range(2):
            steps.take(1)
            steps.take(1)
            steps.now += 300
            steps.wait()
            assert watched.after(6) == [] and not watched.ended
            steps.heartbeat.wait()
            watched.score()
            steps.heartbeat.work()


def test_a_sweep_that_did_not_look_blames_nobody(tmp_path, beating):
    watched = Watched(tmp_path, hang_minutes=1)
    watched.after(6)
    os.kill(beating.pid, signal.SIGSTOP)
    assert watched.after(600, looking=False) == [] and not watched.ended
    assert watched.after(SILENCE_SECONDS + 10) and watched.after(20) and len(watched.ended) == 1


def test_a_sign_that_cannot_be_written_is_not_the_last(tmp_path, caplog):
    steps = Steps(tmp_path)
    with steps.heartbeat:
        wait_for(lambda: read_signs(tmp_path))
        (tmp_path / "heartbeat-0.new").mkdir()
        wait_for(lambda: "could not be written" in caplog.text)
        (tmp_path / "heartbeat-0.new").rmdir()
        steps.wait()
    assert caplog.text.count("could not be written") == 1


def test_a_trial_of_which_nothing_is_seen_is_named_once(tmp_path):
    watched = Watched(tmp_path)
    assert watched.after(500) == []
    (line,) = watched.after(200)
    assert line.startswith("t007 has given no sign of life for 10 min")
    assert watched.after(2000) == [line]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"count": 1}', '{"pid": "x"}'])
def test_a_file_that_is_no_sign_is_left_aside(tmp_path, content):
    (tmp_path / "heartbeat-0.json").write_text(content)
    assert Watched(tmp_path).after(500) == []


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
