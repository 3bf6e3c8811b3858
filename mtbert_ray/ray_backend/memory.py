"""Whose memory it was that ran out: the trial's own, or that of others on its node or GPU."""

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from mtbert_ray.resources.node_memory import node_memory
from mtbert_ray.training.heartbeat import read_signs
from mtbert_ray.training.process import Process

OUTSIDE_THE_ALLOCATOR = re.compile(r"CUDA error: out of memory|Cuda failure (\d+ )?'out of memory'")
"""Of CUDA's driver, when a process opens the GPU, and of NCCL."""
_GIB = 2**30
_ROOM = 0.9
"""Share of a memory that one process can have: the system, and a GPU's context, take some."""


@dataclass(frozen=True, kw_only=True)
class MemoryUse:
    """How a node's memory, or a GPU's, was used when a trial ran out of it, in GiB."""

    own: float
    """Of the process that ran out."""
    others: float
    total: float
    share: float = 1.0
    """Of the total, that the trial may have: less than 1 where trials share a GPU."""

    def is_own_fault(self, asked: float = 0.0, *, alone: bool = False) -> bool:
        """Whether the trial would have run out alone as well, when it asked for so many GiB more.

        One that did run alone has, if it held more than the rest of the machine.
        """
        if alone and self.own + asked > self.others:
            return True
        return self.own + asked > _ROOM * self.share * self.total or self.others < (1 - _ROOM) * self.total

    def in_words(self) -> str:
        """Return who held what."""
        return f"it held {self.own:.1f} GiB, others {self.others:.1f} of {self.total:.1f} GiB"


def memory_of_gpu(process: Process) -> MemoryUse:
    """Return how the GPU's memory is used now that a process computes on."""
    free, total = torch.cuda.mem_get_info(process.device)
    own = torch.cuda.memory_reserved(process.device)
    return MemoryUse(
        own=own / _GIB, others=max(0, total - free - own) / _GIB, total=total / _GIB, share=min(1.0, process.gpus)
    )


def memory_of_node(trial_folder: Path) -> MemoryUse:
    """Return how the node's memory is used now; what the ranks of this process's trial on it hold is its own."""
    memory, ranks = node_memory(), {os.getpid()}
    ranks |= {sign.pid for sign in read_signs(trial_folder) if sign.node == platform.node()}
    own = sum(map(_rss, ranks))
    return MemoryUse(own=own / _GIB, others=max(0, memory.used - own) / _GIB, total=memory.total / _GIB)


def _rss(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0  # It has ended.


def memory_use_at(error: BaseException) -> MemoryUse | None:
    """Return how the memory was used when an error was raised, None where nobody noted it."""
    return getattr(error, "memory_use", None)


@contextmanager
def noting_memory_use(process: Process, trial_folder: Path) -> Iterator[None]:
    """Note on an error how the memory that it is about is used as it is raised, for `memory_use_at`.

    It survives pickling. A GPU that does not even answer leaves no note.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        with suppress(Exception):  # The error itself must go on.
            on_gpu = isinstance(error, torch.OutOfMemoryError) or OUTSIDE_THE_ALLOCATOR.search(str(error))
            use = memory_of_gpu(process) if on_gpu else memory_of_node(trial_folder)
            error.memory_use = use  # type: ignore[union-attr]
        raise
