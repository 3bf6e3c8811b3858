"""Out of memory is an outcome of a trial: tells it from other errors, on either side of Ray, and says it in a line.

Knows neither trials nor what becomes of one that ends so.
"""

import re
from collections.abc import Iterator

import torch
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from mtbert_ray.errors import DivergedError
from mtbert_ray.events import FailureKind
from mtbert_ray.ray_backend.killed_actor import KilledForMemoryError

_ON_GPU = re.compile(
    r"Tried to allocate (?P<asked>[\d.]+ \w+)\. (?P<device>GPU \d+) has a total capacity of (?P<total>[\d.]+ \w+) "
    r"of which (?P<free>[\d.]+ \w+) is free"
)
_ON_CPU = re.compile(r"DefaultCPUAllocator: can't allocate memory: you tried to allocate (\d+) bytes")
_BESIDE_THE_ALLOCATOR = re.compile(r"CUDA error: out of memory|Cuda failure (\d+ )?'out of memory'")
"""Of CUDA's driver, when a process opens the GPU, and of NCCL."""
_BY_RAY = re.compile(r"was (?P<used>[\d.]+ ?\w+) used / (?P<total>[\d.]+ ?\w+) limit")
_GIB = 2**30


class RankOutOfMemoryError(RuntimeError):
    """A rank under Ray Train ran out of memory.

    Args:
        message: in a line.
        epochs_done: by the trial until then.
    """

    def __init__(self, message: str, epochs_done: int) -> None:
        super().__init__(message, epochs_done)  # Pickled with both.
        self.message = message
        self.epochs_done = epochs_done

    def __str__(self) -> str:
        return self.message


def memory_message(error: BaseException | None) -> str | None:
    """Return what was asked for and what there was, in a line, of an error that comes from a lack of memory.

    None for any other error. Recognized are the allocators of torch on GPU and CPU, CUDA and NCCL beside them, Python,
    numpy and Arrow, and Ray's monitor, which ends a process before the node's memory is full; alone, or wrapped by Ray
    with the traces and with what other ranks said: that one of them had no memory is why the others failed.
    """
    return next((message for message in map(_own_message, _innermost(error)) if message is not None), None)


def rank_out_of_memory(error: BaseException) -> RankOutOfMemoryError | None:
    """Return what a rank told of its lack of memory before it ended, if one did."""
    return next((cause for cause in _innermost(error) if isinstance(cause, RankOutOfMemoryError)), None)


def _innermost(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the errors inside those of Ray, and what each was raised from."""
    match error:
        case None:
            return
        case RayTaskError():  # Its text is that of all traces, and Ray makes it an instance of its cause's class too.
            yield from _innermost(error.cause)
        case WorkerGroupError():
            for _, failure in sorted(error.worker_failures.items()):
                yield from _innermost(failure)
        case ControllerError():
            yield from _innermost(error.controller_failure)
        case WorkerHealthCheckFailedError():
            yield from _innermost(error.health_check_failure)
        case _:
            yield error
            yield from _innermost(error.__cause__)


def _own_message(error: BaseException) -> str | None:
    text = str(error)
    match error:
        case RankOutOfMemoryError():
            return error.message
        case torch.OutOfMemoryError():
            found = _ON_GPU.search(text)
            if found is None:
                return _first_line(text)
            return "asked for {asked} on {device}, which has {total}, {free} of it free".format(**found.groupdict())
        case OutOfMemoryError() | KilledForMemoryError():
            found = _BY_RAY.search(text)
            known = " when {used} of its {total} were taken".format(**found.groupdict()) if found else ""
            return f"the node's memory was running out, and Ray ended the process{known}"
        case MemoryError():
            return _first_line(text) or "Python asked for more than the machine had"
        case RuntimeError() if found := _ON_CPU.search(text):
            return f"asked for {int(found[1]) / _GIB:.1f} GiB of the machine's memory, which had less"
        case RuntimeError() if found := _BESIDE_THE_ALLOCATOR.search(text):
            return f"the GPU had no room left ({found[0]})"
    return None


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


_DEATHS = (RayActorError, WorkerCrashedError, NodeDiedError, LocalRayletDiedError)


def reason_of(error: BaseException | None) -> str:
    """Return why a trial failed in one line: the innermost cause, without the traces of the layers around it."""
    cause = _innermost_failure(error)
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
    cause = _innermost_failure(error)
    if isinstance(cause, DivergedError):
        return "diverged"
    return "died" if cause is None or _is_death(cause) else "error"


def _is_death(cause: BaseException) -> bool:
    # An actor whose constructor raised is dead as well, of an error that would come again.
    return isinstance(cause, _DEATHS) and not getattr(cause, "actor_init_failed", False)


def _innermost_failure(error: BaseException | None) -> BaseException | None:
    match error:
        case RayTaskError():
            return _innermost_failure(error.cause)
        case WorkerGroupError() if error.worker_failures:
            causes = [_innermost_failure(failure) for failure in error.worker_failures.values()]
            # Ranks diverge together; another error of one of them then comes from that.
            return next((cause for cause in causes if isinstance(cause, DivergedError)), causes[0])
        case ControllerError():
            return _innermost_failure(error.controller_failure)
        case WorkerHealthCheckFailedError():
            return _innermost_failure(error.health_check_failure)
    return error
