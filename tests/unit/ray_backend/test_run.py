"""A session of a sweep on Ray: its signals, and what comes before and after its trials. Ray itself is left out."""

import os
import pty
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from mtbert_ray.events import TrialFailed, TrialFinished, TrialStarted
from mtbert_ray.ray_backend.run import _Interrupts, died_too_often
from mtbert_ray.ray_backend.session_process import FORWARDED, exit_code_of
from mtbert_ray.trial import Trial

SWITCH = "TUNE_DISABLE_SIGINT_HANDLER"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, FORWARDED)


@pytest.fixture
def as_found():
    """Give the tests after this their signal handlers back, and this one none that whoever started it has set."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Under nohup it is ignored.
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("before", [None, "0"])
def test_signals_and_tune_s_switch_are_left_as_they_were_found(monkeypatch, before):
    monkeypatch.delenv(SWITCH, raising=False)
    if before is not None:
        monkeypatch.setenv(SWITCH, before)
    handlers = [signal.getsignal(number) for number in SIGNALS]
    with _Interrupts(Console(quiet=True)):
        assert os.environ[SWITCH] == "1"
        assert [signal.getsignal(number) for number in SIGNALS] != handlers
    assert os.environ.get(SWITCH) == before
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_the_trials_and_the_second_ends_at_once(as_found, number):
    to_tune = []
    with _Interrupts(Console(quiet=True)) as interrupts:
        signal.signal(signal.SIGUSR1, lambda number, frame: to_tune.append(number))  # As Tune does.
        signal.raise_signal(number)
        assert (interrupts.came, to_tune) == (1, [signal.SIGUSR1])
        if number == signal.SIGHUP:  # A shell that ends may send it again.
            signal.raise_signal(number)
            return
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


@pytest.mark.parametrize("direct", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_the_supervisor_forwards_too_counts_once(as_found, direct):
    with _Interrupts(Console(quiet=True)) as interrupts:
        for number in (direct, FORWARDED):
            signal.raise_signal(number)
            assert interrupts.came == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(FORWARDED)


def test_two_that_the_supervisor_forwards_are_two(as_found):
    with _Interrupts(Console(quiet=True)) as interrupts:
        signal.raise_signal(FORWARDED)
        assert interrupts.came == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(FORWARDED)


def test_a_signal_that_came_before_tune_listened_is_repeated(as_found):
    to_tune = []
    with _Interrupts(Console(quiet=True)) as interrupts:
        signal.raise_signal(signal.SIGHUP)
        signal.signal(signal.SIGUSR1, lambda number, frame: to_tune.append(number))
        interrupts.on_step_begin(1, [])
    assert to_tune == [signal.SIGUSR1]


def test_under_nohup_a_closed_terminal_ends_nothing(as_found):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with _Interrupts(Console(quiet=True)) as interrupts:
        signal.raise_signal(signal.SIGHUP)
        assert interrupts.came == 0
        signal.raise_signal(signal.SIGINT)
        assert interrupts.came == 1
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


CLOSED_TERMINAL = """
import signal, sys, time
from rich.console import Console
from mtbert_ray.ray_backend.run import _Interrupts
signal.signal(signal.SIGHUP, signal.SIG_DFL)
console = Console(stderr=True)
with _Interrupts(console) as interrupts:
    console.print("ready")
    while not interrupts.came:
        time.sleep(0.01)
    time.sleep(0.2)
    console.print("the next line of the progress")
    print("the report", flush=True)
open(sys.argv[1], "w").write("ended in order")
"""


def test_a_terminal_that_is_closed_ends_the_sweep_in_order(tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CLOSED_TERMINAL, tmp_path / "done"], stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    while b"ready" not in os.read(ours, 1000):
        pass
    os.close(ours)
    for _ in range(2):  # The kernel sends one, and a shell that ends may send another.
        process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "done").read_text() == "ended in order"


def test_what_died_too_often_is_named_at_the_end_and_has_its_exit_code():
    trials = [
        Trial.started_by(TrialStarted(trial_id=f"t00{number}", hyperparameters={}, config={"epochs": 9, "tasks": []}))
        for number in range(4)
    ]
    trials[0].apply(TrialFinished(trial_id="t000"))
    trials[1].apply(TrialFailed(trial_id="t001", reason="killed", kind="died"))
    trials[2].apply(TrialFailed(trial_id="t002", reason="no such file", kind="error"))
    trials[3].apply(TrialFailed(trial_id="t003", reason="taken", kind="memory_taken"))
    assert died_too_often(trials).startswith("t001 and t003 died more often than `retries` allows")
    assert died_too_often([trials[0], trials[2]]) == ""


@pytest.mark.parametrize(
    ("reason", "num_finished", "code"),
    [
        ("completed", 1, 0),
        ("completed", 0, 1),
        ("time_budget", 0, 1),
        ("interrupted", 3, 130),
        ("deaths", 9, 3),
        ("disk_full", 9, 4),
    ],
)
def test_an_end_has_one_exit_code(reason, num_finished, code):
    assert exit_code_of(reason, num_finished) == code
