"""ProbeConfig: when a trial of a sweep tells what it will cost."""

from pydantic import Field

from mtbert_ray.config.bounds import MAX_STEPS
from mtbert_ray.schema import Schema


class ProbeConfig(Schema):
    """Costs are known in seconds, scores in hours: after some steps a trial reports what its whole run would cost."""

    steps: int = Field(default=30, ge=0, le=MAX_STEPS)
    """Steps that are timed; 0 probes nothing. A run whose first epoch is shorter than warm-up and probe has none."""
    warmup_steps: int = Field(default=5, ge=0, le=MAX_STEPS)
    """Steps before them, slower than the others: caches fill, kernels are chosen."""
    margin: float = Field(default=0.1, ge=0, lt=1)
    """A projected cost stops a trial only if it would do so at this share less: steps vary."""
