"""Why a trial failed, in one line."""

import pytest
from ray.exceptions import RayTaskError
from ray.train import ControllerError, WorkerGroupError
from told_sweep import NO_WORD, Sweep

from mtbert_ray.errors import ConfigError
from mtbert_ray.journal import read_journal
from mtbert_ray.ray_backend.failure import reason_of


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    return Sweep(tmp_path / "sweep")


def task_error(cause: BaseException) -> RayTaskError:
    return RayTaskError("step", f"Traceback:\n  a long one\n{cause!r}", cause, proctitle="p", pid=1, ip="127.0.0.1")


CAUSE = RuntimeError("CUDA out of memory")


@pytest.mark.parametrize(
    "error",
    [
        CAUSE,
        task_error(CAUSE),
        task_error(CAUSE).as_instanceof_cause(),
        task_error(task_error(CAUSE)),
        WorkerGroupError("two ranks failed:\n...", {1: CAUSE, 0: ValueError("later")}),
        task_error(WorkerGroupError("a rank failed", {0: task_error(CAUSE)})),
        task_error(ControllerError(WorkerGroupError("a rank failed", {3: CAUSE}))),
        ControllerError(CAUSE),
    ],
)
def test_the_reason_is_the_innermost_cause_in_one_line(sweep, error):
    assert reason_of(error) == "RuntimeError: CUDA out of memory"
    sweep.start("t1")
    sweep.fail("t1", error)
    assert read_journal(sweep.folder).trials[0].reason == "RuntimeError: CUDA out of memory"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, NO_WORD),
        (ValueError(), "ValueError"),
        (ValueError("  \n\n "), "ValueError"),
        (ValueError("\n one \n\n\t two\n"), "ValueError: one; two"),
        (ValueError("1\n2\r\n3\n4\n5"), "ValueError: 1; 2; 3"),
        (ValueError("one\u2028two"), "ValueError: one; two"),
        (ConfigError(["adapter.rank is too large", "and more"]), "ConfigError: adapter.rank is too large; and more"),
        (FileNotFoundError(2, "No such file", "data/gr\udcfc\udcdfe.csv"), None),
        (WorkerGroupError("nobody knows why", {}), "WorkerGroupError: Training failed due to worker errors:; nobody k"),
        (KeyError("sst"), "KeyError: 'sst'"),
    ],
)
def test_a_reason_is_one_line_that_a_journal_can_hold(sweep, error, reason):
    reason = reason or r"FileNotFoundError: [Errno 2] No such file: 'data/gr\udcfc\udcdfe.csv'"
    assert reason_of(error).startswith(reason)
    assert len(reason_of(error).splitlines()) == 1
    sweep.start("t1")
    sweep.fail("t1", error)
    assert read_journal(sweep.folder).trials[0].reason == reason_of(error)


def test_the_whole_trace_of_a_failure_is_kept_beside_the_trial(tmp_path):
    trace = tmp_path / "of-tune.txt"
    trace.write_text("Traceback: all of it")
    sweep = Sweep(tmp_path / "sweep")
    sweep.start("t1")
    sweep.trials["t1"].error_file = str(trace)
    sweep.listener.on_trial_error(0, [], sweep.trials["t1"])
    assert (sweep.folder / "trials" / "t1" / "error.txt").read_text() == "Traceback: all of it"
