"""Why a trial failed: the innermost error inside those of Ray's layers, in one line, or a death without a word."""

from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from mtbert_ray.records import FailureKind

_DEATHS = (RayActorError, WorkerCrashedError, NodeDiedError, LocalRayletDiedError)


def reason_of(error: BaseException | None) -> str:
    """Return why a trial failed in one line: the innermost cause, without the traces of the layers around it."""
    cause = _innermost(error)
    if cause is None or _is_death(cause):
        return "the trial's process died without a word (out of memory, or killed)"
    # A file name that is not UTF-8 comes as lone surrogates, which no journal can hold.
    text = str(cause).encode(errors="backslashreplace").decode()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(cause).__name__}: {'; '.join(lines[:3])}" if lines else type(cause).__name__


def failure_kind_of(error: BaseException | None) -> FailureKind:
    """Return whether a trial raised an error, or its process or node is gone and nobody knows how it would have gone.

    None, where Tune has no error of it, is a death.
    """
    cause = _innermost(error)
    return "died" if cause is None or _is_death(cause) else "error"


def _is_death(cause: BaseException) -> bool:
    # An actor whose constructor raised is dead as well, of an error that would come again.
    return isinstance(cause, _DEATHS) and not getattr(cause, "actor_init_failed", False)


def _innermost(error: BaseException | None) -> BaseException | None:
    match error:
        case RayTaskError():
            return _innermost(error.cause)
        case WorkerGroupError() if error.worker_failures:
            return _innermost(next(iter(error.worker_failures.values())))
        case ControllerError():
            return _innermost(error.controller_failure)
        case WorkerHealthCheckFailedError():
            return _innermost(error.health_check_failure)
    return error
