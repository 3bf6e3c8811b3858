"""What a trial runs on, and how its costs are probed and its steps profiled."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mtbert_ray.schema import MAX_PROCESSES, MAX_STEPS, FiniteSchema, Schema


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


class ProbeConfig(Schema):
    """Costs are known in seconds, scores in hours: after some steps a trial reports what its whole run would cost."""

    steps: int = Field(default=30, ge=0, le=MAX_STEPS)
    """Steps that are timed; 0 probes nothing. A run whose first epoch is shorter than warm-up and probe has none."""
    warmup_steps: int = Field(default=5, ge=0, le=MAX_STEPS)
    """Steps before them, slower than the others: caches fill, kernels are chosen."""
    margin: float = Field(default=0.1, ge=0, lt=1)
    """A projected cost stops a trial only if it would do so at this share less: steps vary."""


class ProfileConfig(Schema):
    """Traces of training steps, written to `profile/` in the trial's folder for TensorBoard and Perfetto."""

    steps: int = Field(default=0, ge=0, le=MAX_STEPS)
    """Steps recorded at a time; 0 profiles nothing."""
    wait: int = Field(default=5, ge=0, le=MAX_STEPS)
    """Steps left alone before each recording."""
    warmup: int = Field(default=2, ge=0, le=MAX_STEPS)
    """Steps traced but thrown away before each recording, as the tracer's start is slow."""
    repeat: int = Field(default=1, ge=1, le=MAX_STEPS)
    """Recordings, one trace each."""
    memory: bool = False
    """Whether allocations are recorded as well, which slows the recorded steps."""
