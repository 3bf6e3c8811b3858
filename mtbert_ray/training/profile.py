"""Records chosen training steps with torch.profiler, as traces that TensorBoard's profiler and Perfetto open."""

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from mtbert_ray.config import ProfileConfig

PROFILE_NAME = "profile"


@contextmanager
def profiling(config: ProfileConfig, folder: Path | None) -> Generator[Callable[[], None]]:
    """Yield a function to call after each optimizer step; write a trace after each recording.

    A trace is `profile/rank0.STEP.pt.trace.json.gz`, STEP being its first step, from 1. Evaluation between two recorded
    steps is recorded as part of the earlier one. A recording that the run's end cuts short is written with the steps it
    has. A RuntimeWarning reports fewer or shorter recordings than configured. With `steps` 0, or without a folder,
    nothing is recorded.
    """
    if config.steps == 0 or folder is None:
        yield lambda: None
        return
    profiler = profile(
        activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])],
        schedule=schedule(wait=config.wait, warmup=config.warmup, active=config.steps, repeat=config.repeat),
        on_trace_ready=_trace_writer(config, folder / PROFILE_NAME),
        profile_memory=config.memory,
    )
    try:
        with profiler:
            yield profiler.step
    finally:
        # Also where a sweep stops the run after an epoch: then nothing after the `with` would be reached.
        problem = profile_problem(config, taken=profiler.step_num)
        if problem is not None:
            # Past contextlib and ours, to the loop.
            warnings.warn(problem, RuntimeWarning, stacklevel=3)


def profile_problem(config: ProfileConfig, *, taken: int) -> str | None:
    """Return a warning for a run that ended after too few optimizer steps for its recordings; none otherwise."""
    cycle = config.wait + config.warmup + config.steps
    asked, needed = config.repeat * config.steps, config.repeat * cycle
    if config.steps == 0 or taken >= needed:
        return None
    cut_short = max(0, taken % cycle - config.wait - config.warmup)
    recorded = taken // cycle * config.steps + cut_short
    found = f"only {recorded} of {asked} steps were recorded" if recorded else "no trace was written"
    return (
        f"profile: {found}: the run ended after optimizer step {taken}, and {config.repeat} x (wait {config.wait} + "
        f"warmup {config.warmup} + steps {config.steps}) are {needed}; make profile.wait or profile.steps smaller, or "
        "give the run more steps"
    )


def _trace_writer(config: ProfileConfig, traces: Path) -> Callable[[profile], None]:
    """Return the profiler's `on_trace_ready`."""
    written: set[int] = set()  # The last step of each trace.

    def write(profiler: profile) -> None:
        last = profiler.step_num
        in_cycle = (last - 1) % (config.wait + config.warmup + config.steps) + 1
        steps = in_cycle - config.wait - config.warmup if last else 0
        # A recording that would start after the run's last step is empty.
        if steps > 0 and last not in written:
            traces.mkdir(parents=True, exist_ok=True)
            profiler.export_chrome_trace(str(traces / f"rank0.{last - steps + 1}.pt.trace.json.gz"))
            written.add(last)

    return write
