"""Why a trial failed, in one line."""

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from sweep_on_tune import SweepOnTune

from mtbert_ray.errors import ConfigError
from mtbert_ray.ray_backend.failure import failure_kind_of, reason_of


@pytest.fixture
def sweep(tmp_path) -> SweepOnTune:
    return SweepOnTune(tmp_path / "sweep")


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
    sweep.start()
    sweep.fail("t000", error)
    assert sweep.read_trials()[0].reason == "RuntimeError: CUDA out of memory"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "the trial's process died"),
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
    sweep.start()
    sweep.fail("t000", error)
    assert sweep.read_trials()[0].reason == reason_of(error)


PEER_GONE = RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:32310")
PEER_GONE_ON_GPU = RuntimeError("NCCL error: remote process exited or there was a network error")
DEAD = WorkerHealthCheckFailedError("a rank is gone", ActorDiedError())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (None, "died"),
        (DEAD, "died"),
        (WorkerGroupError("one was killed", {0: PEER_GONE, 1: DEAD}), "died"),
        # Ray has not seen the death of the other rank yet.
        (WorkerGroupError("one was killed", {0: PEER_GONE}), "died"),
        (WorkerGroupError("one was killed", {1: PEER_GONE_ON_GPU}), "died"),
        (ControllerError(WorkerGroupStartupTimeoutError(2)), "died"),
        (ControllerError(WorkerGroupStartupFailedError("a node is gone")), "died"),
        (WorkerGroupError("no answer", {0: WorkerHealthCheckTimeoutError("no answer for 60 s")}), "died"),
        (WorkerGroupError("a mistake in one rank", {0: PEER_GONE, 1: ValueError("no such file")}), "error"),
        (ValueError("no such file"), "error"),
    ],
)
def test_what_the_machine_did_is_no_verdict(error, kind):
    assert failure_kind_of(error) == kind
