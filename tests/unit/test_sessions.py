"""A journal that several sessions write one after another, and never two at once."""

import errno
import fcntl
import subprocess
import sys

import pytest
from old_journals import unseal

from mtbert_ray.errors import JournalError
from mtbert_ray.events import (
    EpochFinished,
    SweepFinished,
    SweepResumed,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    TrialStopped,
)
from mtbert_ray.journal import Journal, read_journal, writing_alone
from mtbert_ray.metrics import Objective

CONFIG = {"tasks": [{"name": "sst"}], "epochs": 2}


@pytest.fixture
def folder(tmp_path):
    """A sweep that was killed: one trial finished, one was stopped at a rung, one was running."""
    journal = Journal(tmp_path / "sweep")
    objectives = {"dev_score": Objective(direction="maximize", reference=0.0)}
    common = {"versions": {}, "git_revision": None, "hardware": {}}
    journal.append(
        SweepStarted(
            name="s",
            space={},
            objectives=objectives,
            hyperparameters=("x",),
            tasks=("sst",),
            num_trials=4,
            seed=0,
            **common,
        )
    )
    for number in range(3):
        journal.append(TrialStarted(trial_id=f"t{number}", hyperparameters={"x": number}, config=CONFIG))
        journal.append(epoch(f"t{number}", 1, 0.4))
    journal.append(epoch("t0", 2, 0.5))
    journal.append(TrialFinished(trial_id="t0"))
    journal.append(TrialStopped(trial_id="t1", reason="epoch 1: dominated", kind="rung"))
    return tmp_path / "sweep"


def epoch(trial_id: str, number: int, score: float) -> EpochFinished:
    return EpochFinished(trial_id=trial_id, metrics={"epoch": number, "sst": score, "dev_score": score})


def resumed(num_trials: int | None = 4) -> SweepResumed:
    return SweepResumed(num_trials=num_trials, versions={}, git_revision=None, hardware={})


def test_a_session_goes_on_behind_the_last_whole_line(folder):
    path = folder / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "epoch", "trial')
    Journal.reopen(folder).append(resumed())
    assert path.read_bytes().startswith(whole + b'{"time":')
    sweep = read_journal(folder)
    assert (sweep.torn, len(sweep.resumed)) == (False, 1)


def test_a_trial_that_starts_again_begins_anew_in_its_old_place(folder):
    journal = Journal.reopen(folder)
    journal.append(resumed())
    journal.append(TrialStarted(trial_id="t2", hyperparameters={"x": 2}, config=CONFIG))
    trials = read_journal(folder).trials
    assert [trial.trial_id for trial in trials] == ["t0", "t1", "t2"]
    assert (trials[2].status, trials[2].epochs) == ("running", [])
    assert [trial.status for trial in trials[:2]] == ["finished", "stopped"]


def test_the_last_session_says_how_many_trials_there_are_and_whether_the_sweep_ended(folder):
    journal = Journal.reopen(folder)
    journal.append(SweepFinished(reason="interrupted"))
    assert read_journal(folder).finished is not None
    journal.append(resumed(9))
    sweep = read_journal(folder)
    assert (sweep.finished, sweep.num_trials, sweep.started.num_trials) == (None, 9, 4)


def test_a_pause_begins_with_the_last_event_before_the_next_session(folder):
    journal = Journal.reopen(folder)
    before = read_journal(folder)
    assert before.paused_at == []
    journal.append(epoch("t2", 2, 0.5).model_copy(update={"time": 50.0}))
    journal.append(resumed().model_copy(update={"time": 90.0}))
    journal.append(SweepFinished(time=120.0, reason="interrupted"))
    journal.append(resumed().model_copy(update={"time": 200.0}))
    assert read_journal(folder).paused_at == [50.0, 120.0]


def test_a_folder_without_a_journal_has_nothing_to_resume(tmp_path):
    with pytest.raises(JournalError, match="no sweep can be resumed there"):
        Journal.reopen(tmp_path)


def test_two_processes_cannot_run_one_sweep(folder):
    code = (
        "import sys; from pathlib import Path; from mtbert_ray.errors import JournalError\n"
        "from mtbert_ray.journal import writing_alone\n"
        "try:\n    with writing_alone(Path(sys.argv[1])): print('mine')\n"
        "except JournalError as error: print(error)\n"
    )

    def other() -> str:
        return subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True).stdout

    with writing_alone(folder):
        assert "another process is running this sweep" in other()
    assert other() == "mine\n"


def test_the_lock_is_one_that_a_shared_file_system_grants(folder, monkeypatch):
    """NFS refuses an exclusive lock on a file that is open for reading only."""
    flock, modes = fcntl.flock, []

    def over_nfs(file, operation):
        modes.append(file.mode)
        if not file.writable():
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", over_nfs)
    with writing_alone(folder):
        assert modes == ["rb+"]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_a_file_system_without_locks_is_logged_and_stops_nothing(folder, monkeypatch, caplog, code):
    def refuse(file, operation):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with writing_alone(folder):
        Journal.reopen(folder).append(resumed())
    assert f"{folder}: cannot be guarded against a second process on the same sweep" in caplog.text
    assert len(read_journal(folder).resumed) == 1


def test_a_folder_without_a_journal_cannot_be_kept(tmp_path):
    with pytest.raises(JournalError, match="no sweep can be resumed there"), writing_alone(tmp_path):
        pass


@pytest.mark.parametrize("damage", ["without its end", "no event", "zeros"])
def test_whoever_reads_leaves_out_the_last_line_that_whoever_resumes_cuts_off(folder, damage):
    path = folder / "journal.jsonl"
    whole = path.read_bytes()
    last = TrialStopped(trial_id="t2", reason="enough").model_dump_json().encode()
    path.write_bytes(whole + {"without its end": last, "no event": last[:-3] + b"\n", "zeros": b"\0" * 9}[damage])
    sweep = read_journal(folder)
    assert sweep.torn and sweep.trials[2].status == "running"
    Journal.reopen(folder)
    assert path.read_bytes() == whole
    assert not read_journal(folder).torn


def test_a_journal_has_errors_and_deaths(folder):
    journal = Journal.reopen(folder)
    journal.append(TrialFailed(trial_id="t1", reason="ValueError: no"))
    journal.append(TrialFailed(trial_id="t2", reason="gone", kind="died"))
    assert [trial.failure_kind for trial in read_journal(folder).trials] == [None, "error", "died"]
    path = unseal(folder)
    path.write_text(path.read_text().replace(',"kind":"died"', ""))  # As older versions wrote it.
    assert read_journal(folder).trials[2].failure_kind == "error"
