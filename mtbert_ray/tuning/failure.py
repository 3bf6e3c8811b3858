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

from mtbert_ray.errors import DivergedError
from mtbert_ray.records import FailureKind

_DEATHS = (RayActorError, WorkerCrashedError, NodeDiedError, LocalRayletDiedError)


def reason_of(error: BaseException | None) -> str:
    """Return why a trial failed in one line: the innermost cause, without the traces of the layers around it."""
    cause = _innermost(error)
    if cause is None or _is_death(cause):
        return "the trial's process died without a word (out of memory, or killed)"
    if isinstance(cause, DivergedError):
        return str(cause)  # Its kind says that it diverged.
    # A file name that is not UTF-8 comes as lone surrogates, which no journal can hold.
    text = str(cause).encode(errors="backslashreplace").decode()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(cause).__name__}: {'; '.join(lines[:3])}" if lines else type(cause).__name__


def failure_kind_of(error: BaseException | None) -> FailureKind:
    """Return whether a trial diverged, raised another error, or is gone and nobody knows how it would have gone.

    None, where Tune has no error of it, is a death.
    """
    cause = _innermost(error)
    if isinstance(cause, DivergedError):
        return "diverged"
    return "died" if cause is None or _is_death(cause) else "error"


def _is_death(cause: BaseException) -> bool:
    # An actor whose constructor raised is dead as well, of an error that would come again.
    return isinstance(cause, _DEATHS) and not getattr(cause, "actor_init_failed", False)


def _innermost(error: BaseException | None) -> BaseException | None:
    match error:
        case RayTaskError():
            return _innermost(error.cause)
        case WorkerGroupError() if error.worker_failures:
            causes = [_innermost(failure) for failure in error.worker_failures.values()]
            # Ranks diverge together; another error of one of them then comes from that.
            return next((cause for cause in causes if isinstance(cause, DivergedError)), causes[0])
        case ControllerError():
            return _innermost(error.controller_failure)
        case WorkerHealthCheckFailedError():
            return _innermost(error.health_check_failure)
    return error
