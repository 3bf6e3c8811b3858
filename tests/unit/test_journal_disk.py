"""A journal on a disk without room: what is in it stays whole, and the ends of its trials have room of their own."""

import errno
import json
import os
import resource
from contextlib import contextmanager

import pytest
from small_disk import run_on_small_disk
from study_sessions import new_study, space_of

from mtbert_ray import journal as journal_module
from mtbert_ray.errors import DiskError
from mtbert_ray.events import EpochFinished, SweepFinished, TrialStarted
from mtbert_ray.journal import JOURNAL_NAME, RESERVE_BYTES, RESERVE_NAME, Journal, read_journal
from mtbert_ray.study.session import resumed_session


def start(trial_id: str) -> TrialStarted:
    return TrialStarted(trial_id=trial_id, hyperparameters={}, config={"tasks": [{"name": "sst"}], "epochs": 2})


def epoch(trial_id: str, *, padding: int = 0) -> EpochFinished:
    return EpochFinished(trial_id=trial_id, metrics={"epoch": 1}, undefined={"sst": "x" * padding})


@contextmanager
def largest_file(num_bytes: int):
    """Let no file of this process become larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def folder(tmp_path):
    """A sweep of which one trial has started."""
    new_study(space_of(tmp_path), tmp_path / "sweep")
    Journal.reopen(tmp_path / "sweep").append(start("t000"))
    return tmp_path / "sweep"


def content(folder) -> bytes:
    return (folder / JOURNAL_NAME).read_bytes()


def test_of_an_event_that_found_no_room_nothing_stays_and_none_follows_it(folder):
    journal, before = Journal.reopen(folder), content(folder)
    with largest_file(len(before) + 200):
        with pytest.raises(DiskError, match=JOURNAL_NAME):
            journal.append(epoch("t000", padding=5000))
        assert content(folder) == before
        with pytest.raises(DiskError):
            journal.append(epoch("t000"))  # It would fit, but the start of its trial might be what was lost.
    with pytest.raises(DiskError):
        journal.append(epoch("t000"))
    assert content(folder) == before
    Journal.reopen(folder).append(epoch("t000"))
    assert len(read_journal(folder).trials[0].epochs) == 1


def test_a_first_event_that_found_no_room_leaves_the_folder_as_it_was(tmp_path):
    first = json.loads(content_of_new(tmp_path / "other")[0])
    started = journal_module.SweepStarted.model_validate(
        {key: value for key, value in first.items() if key not in ("line", "crc32")}
    )
    journal = Journal(tmp_path / "sweep")
    with largest_file(100), pytest.raises(DiskError):
        journal.begin(started)
    assert list((tmp_path / "sweep").iterdir()) == []
    space = space_of(tmp_path)
    with largest_file(100), pytest.raises(DiskError, match=RESERVE_NAME):
        new_study(space, tmp_path / "sweep")
    assert list((tmp_path / "sweep").iterdir()) == []
    assert len(content_of_new(tmp_path / "sweep")) == 1


def content_of_new(folder) -> list[bytes]:
    new_study(space_of(folder.parent), folder)
    return content(folder).splitlines()


def test_a_sweep_that_finds_no_room_to_continue_stays_as_it_was(folder):
    before = content(folder)
    with (
        largest_file(len(before) + 10),
        pytest.raises(DiskError),
        resumed_session(folder, num_trials=12, space_text=None, cluster="2 cores"),
    ):
        raise AssertionError("no session")
    assert content(folder) == before and not (folder / RESERVE_NAME).exists()


def test_a_line_that_did_not_reach_the_disk_is_cut_off_and_no_room_is_used_for_it(folder, monkeypatch):
    journal, before = Journal.reopen(folder), content(folder)

    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with journal.reserving():
        with monkeypatch.context() as failing:
            failing.setattr(os, "fsync", fail)
            with pytest.raises(DiskError):
                journal.append(epoch("t000"))
        assert content(folder) == before and (folder / RESERVE_NAME).exists()
        with pytest.raises(DiskError):
            journal.append(epoch("t000"))
    assert not (folder / RESERVE_NAME).exists()


def test_the_reserve_of_a_killed_session_goes_with_the_next_one(folder):
    (folder / RESERVE_NAME).write_bytes(b"0" * 1000)
    Journal.reopen(folder)
    assert not (folder / RESERVE_NAME).exists()


def test_after_the_last_event_the_report_has_the_room(folder):
    journal = Journal.reopen(folder)
    with journal.reserving():
        journal.append(epoch("t000"))
        assert (folder / RESERVE_NAME).stat().st_size == RESERVE_BYTES
        journal.append(SweepFinished(reason="completed"))
        assert not (folder / RESERVE_NAME).exists()


def test_an_error_that_is_none_of_the_disk_s_goes_through(folder):
    journal = Journal.reopen(folder)
    path = folder / JOURNAL_NAME
    kept = path.rename(folder / "kept")
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        journal.append(epoch("t000"))
    path.rmdir()
    kept.rename(path)
    journal.append(epoch("t000"))
    assert len(read_journal(folder).trials[0].epochs) == 1


ON_A_FULL_DISK = """
import sys
from pathlib import Path
from small_disk import Ballast
from study_sessions import new_study, space_of
from mtbert_ray.errors import DiskError
from mtbert_ray.events import EpochFinished, TrialStarted
from mtbert_ray.journal import JOURNAL_NAME, RESERVE_BYTES, RESERVE_NAME, Journal, read_journal

disk = Path(sys.argv[1])
folder, ballast = disk / "sweep", Ballast(disk)
new_study(space_of(Path(sys.argv[2])), folder)
journal = Journal.reopen(folder)
told = []
with journal.reserving():
    ballast.fill()
    number = 0
    while not told:  # A page that is not full yet has room.
        try:
            config = {"tasks": [{"name": "sst"}], "epochs": 2}
            journal.append(TrialStarted(trial_id=f"t{number:03d}", hyperparameters={}, config=config))
        except DiskError as error:
            told.append(str(error))
        number += 1
    assert not (folder / RESERVE_NAME).exists()
    assert [trial.trial_id for trial in read_journal(folder).trials][-1] == f"t{number - 1:03d}", "also the last one"
    added = 0
    while len(told) == 1:
        try:
            journal.append(EpochFinished(trial_id="t000", metrics={}, undefined={"sst": "x" * 3000}))
            added += 1
        except DiskError as error:
            told.append(str(error))
    assert 0.9 * RESERVE_BYTES < 3000 * added < 1.1 * RESERVE_BYTES, added
    before = (folder / JOURNAL_NAME).read_bytes()
    sweep = read_journal(folder)
    assert not sweep.torn and len(sweep.trials[0].epochs) == added
ballast.remove()
try:
    journal.append(EpochFinished(trial_id="t000", metrics={}))
except DiskError as error:
    told.append(str(error))
assert (folder / JOURNAL_NAME).read_bytes() == before
Journal.reopen(folder).append(EpochFinished(trial_id="t000", metrics={}))
assert len(read_journal(folder).trials[0].epochs) == added + 1
print(len(told), told[0])
"""


def test_a_full_disk_has_room_for_the_events_that_end_a_session_and_keeps_them_whole(tmp_path):
    printed = run_on_small_disk(tmp_path / "disk", "4m", ON_A_FULL_DISK, tmp_path)
    assert printed.startswith(f"3 {tmp_path}/disk/sweep/{JOURNAL_NAME}: No space left on device; ")
