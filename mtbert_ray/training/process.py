"""Where this process stands among the ranks of a run. Knows torch.distributed, not who started it."""

from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Process:
    """One rank of a run. The default is a run of one process on the CPU."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this rank writes checkpoints."""
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over all ranks (in place where there are several)."""
        if self.world_size > 1:
            dist.all_reduce(tensor, op=dist.ReduceOp.SUM)
        return tensor

    def gather(self, value: T) -> list[T]:
        """Return every rank's value, in the order of the ranks."""
        if self.world_size == 1:
            return [value]
        values: list[T | None] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # all_gather_object fills every place


def local_process() -> Process:
    """Return a run of this process alone, on the first GPU if there is one."""
    return Process(device=torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"))
