"""Sessions in processes of their own: what follows one that is cut off, and the signals. Ray is left out."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from study_sessions import GRID, SPACE
from supervise_fake import FAKE

from mtbert_ray.journal import read_journal
from mtbert_ray.ray_backend import supervisor
from mtbert_ray.ray_backend.processes import end_when_closed, has_ended
from mtbert_ray.ray_backend.supervisor import SweepSoFar, supervise
from mtbert_ray.study.request import new_request, resume_request

SCRIPT = FAKE.with_name("supervise_fake.py")
DONE = 'tell:{"exit_code": 0}'


@dataclass
class Run:
    code: int
    said: str
    noted: list[str]

    @property
    def num_sessions(self) -> int:
        return sum(line.startswith("session") for line in self.noted)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{FAKE.parent}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "space.yaml").write_text(SPACE.replace("ALGORITHM", "random"))
    return tmp_path


def run(folder: Path, *sessions: list[str], address: str | None = None, request=None) -> Run:
    """Supervise sessions that go by these plans, one after another."""
    (folder / "plan.json").write_text(json.dumps(sessions))
    console = Console(file=io.StringIO(), width=1000)
    request = request or new_request(folder / "space.yaml", out=folder / "out")
    command = (sys.executable, str(FAKE), str(folder / "plan.json"))
    code = supervise(request, address=address, verbose=False, console=console, command=command)
    return Run(code, console.file.getvalue(), (folder / "noted").read_text().splitlines())


def processes_of(folder: Path) -> list[psutil.Process | None]:
    """Those that the sessions have noted; None for one that is gone."""
    lines = (folder / "noted").read_text().splitlines()
    numbers = [int(line.split()[1]) for line in lines if line.startswith("process")]
    return [psutil.Process(number) if psutil.pid_exists(number) else None for number in numbers]


def all_gone(folder: Path) -> bool:
    return all(process is None or has_ended(process) for process in processes_of(folder))


def wait_for(condition, process: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline and (process is None or process.poll() is None)
        time.sleep(0.02)


@pytest.mark.parametrize("code", [0, 1, 2, 4, 130])
def test_a_session_that_ends_in_order_gives_its_exit_code(folder, code):
    done = run(folder, ["open", "finish", f'tell:{{"exit_code": {code}}}', "exit:9"])
    assert (done.code, done.num_sessions, done.said) == (code, 1, "")


@pytest.mark.parametrize("end", ["kill", "exit:0", "exit:1", 'tell:{"lost": "Ray is gone"}'])
def test_a_session_that_is_cut_off_is_resumed(folder, end):
    done = run(folder, ["open", "finish:2", "epochs:3", end], ["open", "finish:3", DONE])
    assert (done.code, done.num_sessions) == (0, 2)
    sweep = read_journal(folder / "out")
    assert len(sweep.resumed) == 1
    assert [trial.status for trial in sweep.trials] == ["finished"] * 5
    assert sweep.num_trials == 12


def test_the_loss_of_a_daemon_of_ray_ends_the_session_with_all_its_processes(folder):
    lost = ["open", "daemon", "worker", "finish", "lose", "hang"]
    done = run(folder, lost, ["open", "finish", DONE])
    assert (done.code, done.num_sessions) == (0, 2)
    assert "raylet" in done.said
    assert len(processes_of(folder)) == 3 and all_gone(folder)


def test_daemons_that_the_session_stops_are_not_lost(folder):
    done = run(folder, ["open", "daemon", "finish", "stop_daemon", DONE])
    assert (done.code, done.num_sessions, done.said) == (0, 1, "")


def test_a_daemon_that_had_ended_when_it_was_reported_is_lost(folder):
    gone = subprocess.Popen(["true"])
    gone.wait()
    told = json.dumps({"daemons": {"gcs_server": gone.pid}})
    done = run(folder, ["open", "finish", f"tell:{told}", "hang"], ["open", "finish", DONE])
    assert (done.code, done.num_sessions) == (0, 2)
    assert "gcs_server" in done.said


IN_VAIN = {
    "nothing": ["open", "kill"],
    "the same epochs": ["open", "epochs:2", "kill"],
    "a trial that died with it": ["open", "died", "kill"],
    "before it is open": ["kill"],
}


@pytest.mark.parametrize("case", IN_VAIN)
def test_sessions_that_add_nothing_are_not_started_for_ever(folder, case):
    done = run(folder, ["open", "epochs:2", "kill"], *[IN_VAIN[case]] * 10)
    assert (done.code, done.num_sessions) == (3, 1 + supervisor.MAX_IN_VAIN)
    assert (folder / "out" / "index.html").exists()
    assert {trial.status for trial in read_journal(folder / "out").trials} <= {"running", "failed"}


def test_each_progress_allows_as_many_again(folder):
    add, none = ["open", "finish", "kill"], ["open", "kill"]
    done = run(folder, add, none, none, add, none, none, ["open", "finish", DONE])
    assert (done.code, done.num_sessions) == (0, 7)


NOT_AGAIN = {
    "not begun": (["kill"], None),
    "a traceback": (["open", "finish", 'tell:{"raised": true}'], None),
    "a Ray of others": (["open", "finish", "kill"], "10.0.0.1:6379"),
}


@pytest.mark.parametrize("case", NOT_AGAIN)
def test_what_is_not_resumed_by_itself_says_why(folder, case, capsys, message_snapshot):
    plan, address = NOT_AGAIN[case]
    done = run(folder, plan, ["open", "finish", DONE], address=address)
    assert (done.code, done.num_sessions) == (3, 1)
    printed = capsys.readouterr().out.replace(str(folder.resolve()), "FOLDER")
    assert ("--resume" in printed) == (folder / "out" / "index.html").exists() == (case != "not begun")
    message_snapshot(f"supervisor: {case}", done.said + printed)


def test_a_session_that_was_to_resume_is_started_again_where_it_had_not_begun(folder):
    assert run(folder, ["open", "finish", DONE]).code == 0
    request = resume_request(folder / "out", num_trials=20)
    done = run(folder, [], ["kill"], ["open", "finish", DONE], request=request)
    assert (done.code, done.num_sessions) == (0, 3)
    assert read_journal(folder / "out").num_trials == 20


def test_what_is_left_of_a_time_budget_is_handed_on(folder):
    space = folder / "space.yaml"
    space.write_text(space.read_text() + "time_budget_minutes: 30\n")
    done = run(folder, ["open", "finish", "kill"], ["open", "finish", DONE])
    first, second = (float(line.split()[2]) for line in done.noted if line.startswith("session"))
    assert first == 30 and 29 < second < 30


ENDED = {
    "completed": (["finish", "finished:completed"], 0),
    "no trial finished": (["died", "finished:completed"], 1),
    "time budget": (["finish", "finished:time_budget"], 0),
    "interrupted": (["finish", "finished:interrupted"], 130),
}


@pytest.mark.parametrize("case", ENDED)
def test_a_session_that_is_lost_after_its_last_event_gets_its_report(folder, case, capsys):
    steps, code = ENDED[case]
    done = run(folder, ["open", *steps, "kill"], ["open", DONE])
    assert (done.code, done.num_sessions) == (code, 1)
    assert (folder / "out" / "index.html").exists()
    assert ("--resume" in capsys.readouterr().out) == (case in ("time budget", "interrupted"))


def test_a_session_that_is_lost_after_its_last_trial_is_complete(folder):
    (folder / "space.yaml").write_text(GRID)
    done = run(folder, ["open", "finish:6", "kill"], ["open", DONE])
    assert (done.code, done.num_sessions) == (0, 1)
    sweep = read_journal(folder / "out")
    assert sweep.finished is not None and sweep.finished.reason == "completed"
    assert (folder / "out" / "index.html").exists()


def test_progress_is_what_no_session_before_had(folder):
    assert SweepSoFar.of(folder / "nowhere").num_sessions == 0
    run(folder, ["open", "finish", "epochs:2", "died", "finished:interrupted", DONE])
    progress = SweepSoFar.of(folder / "out")
    assert (progress.num_sessions, progress.finished) == (1, "interrupted")
    assert progress.milestones == {*(("t000", n) for n in range(1, 10)), ("t000", "ended"), ("t001", 1), ("t001", 2)}


@pytest.fixture
def supervised(folder):
    """Start a supervisor of these sessions as a shell does, in a group of its own; kill what is left at the end."""
    started = []

    def start(*sessions: list[str], **options) -> subprocess.Popen:
        (folder / "plan.json").write_text(json.dumps(sessions))
        arguments = [folder / "space.yaml", folder / "out", folder / "plan.json"]
        process = subprocess.Popen([sys.executable, SCRIPT, *arguments], process_group=0, **options)
        started.append(process)
        wait_for(lambda: (folder / "noted").exists() and "process" in (folder / "noted").read_text(), process)
        return process

    yield start
    for process in [*started, *filter(None, processes_of(folder))]:
        process.kill()


def signals_noted(folder: Path) -> list[str]:
    return [line.split()[1] for line in (folder / "noted").read_text().splitlines() if line.startswith("got")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("to_group", [False, True])
def test_a_signal_reaches_the_session_once(folder, supervised, number, to_group):
    process = supervised(["open", "finish", "on_signals:1", 'tell:{"exit_code": 130}'])
    (os.killpg if to_group else os.kill)(process.pid, number)
    assert process.wait(timeout=60) == 130
    assert signals_noted(folder) == ["SIGHUP" if number == signal.SIGHUP else "SIGUSR2"]


def test_a_second_signal_reaches_the_session_and_a_third_ends_it(folder, supervised):
    process = supervised(["open", "finish", "on_signals:9"])
    for count in (1, 2):
        process.send_signal(signal.SIGINT)
        wait_for(lambda count=count: len(signals_noted(folder)) == count, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert all_gone(folder)
    assert (folder / "out" / "index.html").exists()


def test_a_session_that_gets_a_signal_and_is_lost_is_not_resumed(folder, supervised):
    process = supervised(["open", "finish", "on_signals:1", "kill"], ["open", "finish", DONE])
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130
    assert (folder / "sessions").stat().st_size == 1


def test_a_killed_supervisor_leaves_no_session_behind(folder, supervised):
    process = supervised(["open", "finish", "hang"])
    process.kill()
    process.wait()
    wait_for(lambda: all_gone(folder))


def test_where_the_kernel_does_not_end_it_a_closed_pipe_does(folder):
    check = f"import sys; sys.path.insert(0, {str(FAKE.parents[2])!r}); from {end_when_closed.__module__} import *\n"
    check += "end_when_closed(sys.stdin.buffer)"
    process = subprocess.Popen([sys.executable, "-c", check], stdin=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.stdin.close()
    assert process.wait(timeout=60) == -signal.SIGKILL


def test_it_is_suspended_and_continued_with_its_session(folder, supervised):
    process = supervised(["open", "finish", "on_signals:1", 'tell:{"exit_code": 130}'])
    [session] = processes_of(folder)
    process.send_signal(signal.SIGTSTP)
    wait_for(lambda: session.status() == psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: session.status() != psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130


def test_a_terminal_that_is_closed_ends_the_session_once(folder, supervised):
    ours, theirs = pty.openpty()
    process = supervised(["open", "finish", "on_signals:1", "kill"], stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.close(ours)
    for _ in range(2):  # The kernel sends one, and a shell that ends may send another.
        process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 130  # It has said what happened, to nobody.
    assert signals_noted(folder) == ["SIGHUP"]


def test_supervising_imports_neither_torch_nor_ray():
    check = (
        "import sys, mtbert_ray.sweep, mtbert_ray.ray_backend.supervisor, mtbert_ray.ray_backend.session_process\n"
        "sys.exit(bool({'torch', 'transformers', 'ray', 'pandas', 'matplotlib'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
