"""Out of memory is an outcome of a trial: tells it from other errors, on either side of Ray, and says it in a line.

Knows neither trials nor what becomes of one that ends so.
"""

import re
from collections.abc import Iterator

import torch
from ray.exceptions import OutOfMemoryError, RayTaskError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from mtbert_ray.cluster.killed_actor import KilledForMemoryError

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

    None for any other error. Recognised are the allocators of torch on GPU and CPU, CUDA and NCCL beside them, Python,
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
