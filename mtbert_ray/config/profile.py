"""ProfileConfig: which steps torch.profiler records."""

from pydantic import Field

from mtbert_ray.config.bounds import MAX_STEPS
from mtbert_ray.schema import Schema


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
