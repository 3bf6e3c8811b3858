"""The cause of a trial's failure in one line, unwrapped from Ray's errors; and whether it ran out of memory or disk."""

import errno
import os
import re
from collections.abc import Iterator

import torch
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.train import ControllerError, WorkerGroupError

from mtbert_ray import compat
from mtbert_ray.disk import refusal_in
from mtbert_ray.errors import DivergedError
from mtbert_ray.events import FailureKind
from mtbert_ray.ray_backend.memory import OUTSIDE_THE_ALLOCATOR, MemoryUse, memory_use_at
from mtbert_ray.reporting.failures import failure_text

_ON_GPU = re.compile(
    r"Tried to allocate (?P<asked>[\d.]+ \w+)\. (?P<device>GPU \d+) has a total capacity of (?P<total>[\d.]+ \w+) "
    r"of which (?P<free>[\d.]+ \w+) is free"
)
_ON_CPU = re.compile(r"DefaultCPUAllocator: can't allocate memory: you tried to allocate (\d+) bytes")
_BY_RAY = re.compile(r"was (?P<used>[\d.]+ ?\w+) used / (?P<total>[\d.]+ ?\w+) limit")
_KILLED_BY_RAY = re.compile(r"actual memory used=([\d.]+)GB")
_GIB = 2**30


class KilledForMemoryError(RayActorError):  # type: ignore[misc]  # Ray is untyped
    """Ray's memory monitor killed an actor; the message is Ray's own, of many lines."""

    def __init__(self, message: str) -> None:
        super().__init__(error_msg=message)


def as_dead_actor(error: Exception) -> Exception:
    """Return the error of an actor that Ray's memory monitor killed as that of a dead one, and any other as it is."""
    return KilledForMemoryError(str(error)) if isinstance(error, OutOfMemoryError) else error


def memory_message(error: BaseException | None) -> str | None:
    """Return a line on the memory asked for and available, or None where the error is not an out-of-memory error.

    Recognizes torch on GPU and CPU, CUDA, NCCL, Python, numpy, Arrow and Ray's memory monitor; alone, or wrapped by Ray
    together with the errors of other ranks, which then are consequences.
    """
    for each in _innermost(error):
        if (message := _own_message(each)) is not None:
            use = _memory_use(each)
            return message if use is None else f"{message}; {use.in_words()}"
    return None


def is_own_memory(error: BaseException | None, *, alone: bool = False) -> bool:
    """Whether a trial that ran out of memory would have done so alone as well, whatever others held.

    Where it is not known who held how much: yes for an allocation that failed, no where Ray chose a process to kill or
    the GPU had not even room to be opened. `alone` says that no other trial ran beside it.
    """
    for each in _innermost(error):
        if _own_message(each) is not None:
            use = _memory_use(each)
            if use is None:
                by_others = isinstance(each, OutOfMemoryError | KilledForMemoryError)
                return not by_others and OUTSIDE_THE_ALLOCATOR.search(str(each)) is None
            return use.is_own_fault(_asked_gib(each), alone=alone)
    return False


def _memory_use(error: BaseException) -> MemoryUse | None:
    """Return how the memory was used: as noted by the worker, or from the text of Ray's memory monitor."""
    if not isinstance(error, OutOfMemoryError | KilledForMemoryError):
        return memory_use_at(error)
    node, killed = _BY_RAY.search(str(error)), _KILLED_BY_RAY.findall(str(error))
    if node is None or not killed:
        return None
    own, used, total = max(map(float, killed)), _in_gib(node["used"]), _in_gib(node["total"])
    return MemoryUse(own=own, others=max(0.0, used - own), total=total)


def _asked_gib(error: BaseException) -> float:
    """Return what the allocation that failed asked for; 0 where that is not known."""
    text = str(error)
    if (found := _ON_GPU.search(text)) is not None:
        return _in_gib(found["asked"])
    return int(found[1]) / _GIB if (found := _ON_CPU.search(text)) is not None else 0.0


_UNITS = {"bytes": 1 / _GIB, "KiB": 2**-20, "MiB": 2**-10, "GiB": 1.0, "GB": 1.0, "TiB": 2.0**10}
"""In GiB; Ray's monitor writes GB for them."""


def _in_gib(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+) ?(\w+)", text).groups()  # type: ignore[union-attr]  # By the patterns above.
    return float(number) * _UNITS.get(unit, 1.0)


def disk_refusal(error: BaseException | None) -> OSError | None:
    """Return the disk's refusal that ended a trial, alone or wrapped by Ray; None where something else did."""
    if isinstance(_cause_of(error), DivergedError):
        return None  # Whatever its text says of a checkpoint that could not be removed.
    for each in _innermost(error):
        if isinstance(each, OutOfDiskError):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "Ray's temporary folder")
        if (refusal := refusal_in(each)) is not None:
            return refusal
    return None


def _innermost(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the errors inside Ray's, and their causes."""
    match error:
        case None:
            return
        case RayTaskError():  # Its text is that of all traces, and Ray makes it an instance of its cause's class too.
            yield from _innermost(error.cause)
        case WorkerGroupError() if error.worker_failures:
            for failure in error.worker_failures.values():
                yield from _innermost(failure)
        case ControllerError():
            yield from _innermost(error.controller_failure)
        case _ if (failure := compat.health_check_failure(error)) is not None:
            yield from _innermost(failure)
        case _:
            yield error
            yield from _innermost(error.__cause__)


def _own_message(error: BaseException) -> str | None:
    text = str(error)
    match error:
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
        case RuntimeError() if found := OUTSIDE_THE_ALLOCATOR.search(text):
            return f"the GPU had no room left ({found[0]})"
    return None


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


_DEATHS = (RayActorError, WorkerCrashedError, NodeDiedError, LocalRayletDiedError)
_LOST_PEER = re.compile(r"connection (closed|reset) by peer|Broken pipe|remote process exited", re.IGNORECASE)
"""What gloo and NCCL say in the ranks that are left when one has died."""


def reason_of(error: BaseException | None) -> str:
    """Return the innermost cause of a failure in one line, without traces."""
    cause = _cause_of(error)
    is_silent = cause is None or (isinstance(cause, _DEATHS) and _is_death(cause))
    return failure_text(None if is_silent else cause)


def failure_kind_of(error: BaseException | None) -> FailureKind:
    """Return whether a trial diverged, raised another error, or died; None, for which Tune has no error, is a death."""
    cause = _cause_of(error)
    if isinstance(cause, DivergedError):
        return "diverged"
    return "died" if cause is None or _is_death(cause) else "error"


def _is_death(cause: BaseException) -> bool:
    # An actor whose constructor raised would fail again.
    has_died = isinstance(cause, _DEATHS) and not getattr(cause, "actor_init_failed", False)
    return has_died or compat.has_lost_workers(cause) or _has_lost_peer(cause)


def _has_lost_peer(cause: BaseException) -> bool:
    return isinstance(cause, RuntimeError) and _LOST_PEER.search(str(cause)) is not None


def _cause_of(error: BaseException | None) -> BaseException | None:
    """Return the innermost error that explains those of the other ranks: a divergence, a death, then their own."""

    def place(cause: BaseException) -> int:
        if isinstance(cause, DivergedError):
            return 0
        if isinstance(cause, _DEATHS):
            return 1
        return 3 if _has_lost_peer(cause) else 2

    return min(_innermost(error), key=place, default=None)
