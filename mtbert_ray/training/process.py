"""One process of a run: its rank among the others (torch.distributed), its device and its precision."""

from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist

from mtbert_ray.config import ResourceConfig, TrialConfig

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Process:
    """One rank of a run. The default is a run of one process on the CPU."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    gpus: float = 0.0
    """GPUs that each rank holds; a fraction of one that is shared."""

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


def local_process(resources: ResourceConfig) -> Process:
    """Return a run of this process alone: on the first GPU, unless there is none or `resources` ask for none."""
    if resources.gpus_per_worker == 0 or not torch.cuda.is_available():
        return Process()
    # Alone it holds a whole GPU, also where a sweep would give it a share of one.
    return Process(device=torch.device("cuda", 0), gpus=1.0)


def uses_bf16(config: TrialConfig, device: torch.device) -> bool:
    """Return whether the forward pass is autocast to bfloat16 on this device."""
    if config.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return config.precision == "bf16"
