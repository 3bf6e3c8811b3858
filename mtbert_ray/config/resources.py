"""ResourceConfig: what one trial holds while it runs."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mtbert_ray.config.bounds import MAX_PROCESSES
from mtbert_ray.schema import FiniteSchema


class ResourceConfig(FiniteSchema):
    """What one trial holds while it runs."""

    num_workers: int = Field(default=1, ge=1, le=MAX_PROCESSES)
    """Data-parallel workers (DDP ranks) of the trial; they share the global batch."""
    gpus_per_worker: float | Literal["auto"] = "auto"
    """GPUs of each worker; a fraction shares one. `auto`: 1 where the cluster has GPUs, else 0."""
    cpus_per_worker: int = Field(default=1, ge=1, le=MAX_PROCESSES)
    """CPU cores of each worker, which is also its number of computing threads when it has no GPU."""
    launcher: Literal["auto", "inline", "train"] = "auto"
    """`inline`: in a reused Tune actor, one worker. `train`: Ray Train's TorchTrainer. `auto`: by `num_workers`."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        gpus = self.gpus_per_worker
        if isinstance(gpus, (int, float)):
            if not 0 <= gpus <= 1:
                raise ValueError(f"gpus_per_worker {gpus:g} must be 0, a fraction, or 1; for more raise num_workers")
            if 0 < gpus < 1 and self.num_workers > 1:
                raise ValueError("a fraction of a GPU means one worker: NCCL refuses two ranks on one GPU")
        if self.launcher == "inline" and self.num_workers > 1:
            raise ValueError(f"launcher 'inline' has one worker, got num_workers {self.num_workers}; use 'train'")
        return self

    @property
    def uses_ray_train(self) -> bool:
        """Whether trials run under Ray Train's TorchTrainer."""
        return self.launcher == "train" or (self.launcher == "auto" and self.num_workers > 1)
