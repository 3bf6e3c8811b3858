"""Whose memory it was that ran out: the trial's own, or that of others on its node or GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch

from mtbert_ray.resources.node_memory import node_memory
from mtbert_ray.training.process import Process

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

    def is_own_fault(self, asked: float = 0.0) -> bool:
        """Whether the trial would have run out alone as well, when it asked for so many GiB more."""
        return self.own + asked > _ROOM * self.share * self.total or self.others < (1 - _ROOM) * self.total

    def in_words(self) -> str:
        """Return who held what."""
        return f"it held {self.own:.1f} GiB, others {self.others:.1f} of {self.total:.1f} GiB"


def memory_use(process: Process) -> MemoryUse:
    """Return how the memory is used now that a process computes in: its GPU's, or the node's."""
    if process.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(process.device)
        own = torch.cuda.memory_reserved(process.device)
        return MemoryUse(
            own=own / _GIB, others=max(0, total - free - own) / _GIB, total=total / _GIB, share=min(1.0, process.gpus)
        )
    memory, own = node_memory(), psutil.Process().memory_info().rss
    return MemoryUse(own=own / _GIB, others=max(0, memory.used - own) / _GIB, total=memory.total / _GIB)


def memory_use_at(error: BaseException) -> MemoryUse | None:
    """Return how the memory was used when an error was raised, None where nobody noted it."""
    return getattr(error, "memory_use", None)


@contextmanager
def noting_memory_use(process: Process) -> Iterator[None]:
    """Note on an error how the memory is used as it is raised, for `memory_use_at`; it survives pickling."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        error.memory_use = memory_use(process)  # type: ignore[union-attr]
        raise
