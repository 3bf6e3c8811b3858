"""The first error of a disk ends the sweep, alone or wrapped by Ray; every other error stays what it is."""

import errno
import os
import signal
from types import SimpleNamespace

import pytest
from ray.exceptions import OutOfDiskError, RayTaskError
from ray.train import ControllerError, WorkerGroupError
from rich.console import Console
from sweep_on_tune import SweepOnTune

from mtbert_ray import disk
from mtbert_ray.errors import DataError, DiskError, DivergedError, ResourceError
from mtbert_ray.events import SweepFinished
from mtbert_ray.ray_backend import run, session
from mtbert_ray.ray_backend.disk_watch import DiskWatch, ray_failures_as_disk_errors
from mtbert_ray.ray_backend.failure import disk_refusal
from mtbert_ray.ray_backend.session import collect_folder

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "trials/t000/checkpoint/model.safetensors")


def task_error(cause: BaseException) -> RayTaskError:
    return RayTaskError("step", f"Traceback:\n  a long one\n{cause!r}", cause, proctitle="p", pid=1, ip="127.0.0.1")


@pytest.fixture
def sweep(tmp_path) -> SweepOnTune:
    return SweepOnTune(tmp_path / "sweep")


OF_A_DISK = [
    FULL,
    task_error(FULL),
    task_error(FULL).as_instanceof_cause(),
    WorkerGroupError("two ranks failed", {1: ValueError("later"), 0: task_error(FULL)}),
    task_error(ControllerError(WorkerGroupError("a rank failed", {3: FULL}))),
    OutOfDiskError("no room for an object"),
    DataError("the cache cannot be written: [Errno 122] Disk quota exceeded: '/home/x'"),
]


@pytest.mark.parametrize("error", OF_A_DISK)
def test_a_disk_s_error_interrupts_its_trial_and_ends_the_sweep(sweep, error):
    assert disk_refusal(error) is not None
    ended = []
    for _ in range(2):
        sweep.start()
    with sweep.backend.disk.ending_by(lambda: ended.append(1)):
        sweep.fail("t000", error)
        sweep.fail("t001", error)
    assert ended == [1], "once"
    trials = sweep.read_trials()
    assert [(trial.status, trial.stop_kind, trial.is_interrupted) for trial in trials] == [
        ("stopped", "sweep", True)
    ] * 2
    assert isinstance(sweep.backend.disk.refused, DiskError)
    assert trials[0].reason == str(sweep.backend.disk.refused)
    assert sweep.backend.suggest() is None, "no other trial starts"


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("a mistake of its own"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        MemoryError(),
        task_error(DivergedError("not finite; the checkpoint cannot be removed: [Errno 30] Read-only file system")),
        WorkerGroupError("both", {0: FULL, 1: DivergedError("not finite")}),
    ],
)
def test_any_other_error_is_the_trial_s_and_the_sweep_goes_on(sweep, error):
    sweep.start()
    sweep.fail("t000", error)
    assert disk_refusal(error) is None and sweep.backend.disk.refused is None
    assert sweep.read_trials()[0].stop_kind != "sweep" and sweep.backend.suggest() is not None


def test_a_checkpoint_that_finds_no_room_here_ends_the_sweep_but_not_the_result_of_its_trial(sweep, monkeypatch):
    def collect(source, target, node_id):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mtbert_ray.ray_backend.tune.collect_folder", collect)
    sweep.backend.node_id = "another"
    sweep.start()
    sweep.finish("t000")
    [trial] = sweep.read_trials()
    assert (trial.status, trial.checkpoint) == ("finished", None)
    assert str(sweep.backend.folder_of("t000") / "checkpoint") in str(sweep.backend.disk.refused)


def test_a_copy_that_finds_no_room_leaves_no_half(tmp_path, monkeypatch):
    files = {"a": b"x", "b/c": b"y"}  # The second cannot be written.
    monkeypatch.setattr(session, "NodeAffinitySchedulingStrategy", lambda *_, **__: None)
    monkeypatch.setattr(session.ray, "get", lambda *_, **__: files)
    fake = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda source, marker: None))
    monkeypatch.setattr(session, "_read_folder", fake)
    with pytest.raises(OSError):
        collect_folder(tmp_path / "there", tmp_path / "here", node_id="0" * 56)
    assert list(tmp_path.iterdir()) == []


def test_an_observer_s_refusal_is_noted_and_any_other_error_goes_through(tmp_path):
    watch, ended = DiskWatch(tmp_path), []

    def refuse(event, trial):
        raise event

    with watch.ending_by(lambda: ended.append(1)):
        with pytest.raises(KeyError):
            watch.watched(refuse)(KeyError("x"), None)
        assert watch.refused is None
        watch.watched(refuse)(FULL, None)
        watch.watched(refuse)(OSError(errno.EIO, "later"), None)
        with pytest.raises(KeyError):
            watch.watched(refuse)(KeyError("x"), None)
    assert ended == [1] and FULL.filename in str(watch.refused)


def test_after_the_block_nothing_is_ended(tmp_path):
    """The signal that ends Tune would end a process without its handler."""
    watch, ended = DiskWatch(tmp_path), []
    with watch.ending_by(lambda: ended.append(1)):
        pass
    watch.note(FULL)
    assert ended == [] and watch.refused is not None


@pytest.mark.parametrize(
    "error", [RuntimeError("Traceback\nOSError: [Errno 28] No space left on device"), EOFError("Ran out of input")]
)
def test_what_tune_stumbles_over_after_a_refusal_is_its_consequence(tmp_path, error):
    def fit():
        raise error

    watch = DiskWatch(tmp_path)
    if isinstance(error, EOFError):
        with pytest.raises(EOFError):
            run._fit(lambda: SimpleNamespace(fit=fit), watch)
        watch.note(FULL)
    run._fit(lambda: SimpleNamespace(fit=fit), watch)
    assert watch.refused is not None


def test_a_refusal_ends_tune_as_a_signal_does_also_before_tune_listens():
    to_tune = []
    handler = signal.getsignal(signal.SIGUSR1)
    with run._Interrupts(Console(quiet=True)) as interrupts:
        interrupts.end()
        signal.signal(signal.SIGUSR1, lambda number, frame: to_tune.append(number))
        interrupts.on_step_begin(1, [])
        assert (to_tune, interrupts.came) == ([signal.SIGUSR1], 0)
    assert signal.getsignal(signal.SIGUSR1) == handler


def test_a_refusal_without_a_file_names_the_folder_whose_disk_is_full(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "ray"))
    for folder in ("out", "ray"):
        (tmp_path / folder).mkdir()
    for full in ("out", "ray"):
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda path, full=full: Usage(0 if path.name == full else 2**30))
        watch = DiskWatch(tmp_path / "out")
        watch.note(OSError(errno.ENOSPC, "no file"))
        assert str(watch.refused).startswith(f"{tmp_path / full}: ")


class Usage:
    def __init__(self, free: int) -> None:
        self.free = free


@pytest.mark.parametrize(
    ("error", "told"), [(Exception("the node timed out"), True), (ResourceError("x"), True), (DataError("x"), False)]
)
def test_where_ray_does_not_start_its_full_disk_is_told(tmp_path, monkeypatch, error, told):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(type(error)) as kept, ray_failures_as_disk_errors():
        raise error
    assert kept.value is error, "there is room"
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: Usage(1000))
    with pytest.raises(DiskError if told else type(error)) as caught, ray_failures_as_disk_errors():
        raise error
    assert str(caught.value).startswith(f"{tmp_path}: ") == told


@pytest.mark.parametrize(
    ("reason", "problem", "num_finished", "code"),
    [
        ("completed", None, 1, 0),
        ("completed", None, 0, 1),
        ("completed", "no room for the report", 1, 4),
        ("disk_full", "no room", 0, 4),
        ("interrupted", None, 1, 130),
        ("interrupted", "no room for the report", 1, 4),
    ],
)
def test_the_exit_code_tells_a_disk_from_other_ends(tmp_path, reason, problem, num_finished, code):
    outcome = run.SweepOutcome(reason=reason, num_finished=num_finished, folder=tmp_path, report=None, problem=problem)
    assert outcome.exit_code == code
    assert SweepFinished(reason=reason).reason == reason
