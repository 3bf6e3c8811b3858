"""A run's epochs together with what they cost, over all ranks. Joins the loop to the meters; knows no Ray."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch

from mtbert_ray.metrics import MetricValue
from mtbert_ray.resources.gpu import GpuReader, GpuReadError, NvmlReader
from mtbert_ray.resources.meter import Meter
from mtbert_ray.resources.usage import reduce_usages
from mtbert_ray.training.checkpoint import write_metrics
from mtbert_ray.training.loop import CHECKPOINT_NAME, EpochResult, TrainingRun
from mtbert_ray.training.process import Process
from mtbert_ray.training.profile import profile_problem

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class MeteredEpoch:
    """One epoch's metrics, the same on every rank."""

    metrics: dict[str, MetricValue]
    """Those of `mtbert_ray.metrics`, and what explains them: epoch, step, each task's train_loss, SMART's penalty and
    steps, `gpu_shared` (1 if another process computed on a rank's GPU meanwhile)."""
    is_last: bool
    gpu_problem: str | None
    """Why metrics of the GPU are null although the run holds a GPU."""
    profile_problem: str | None = None
    """Why fewer steps were profiled than were asked for; known with the last epoch."""


def metered_epochs(run: TrainingRun, *, reader: GpuReader | None = None) -> Generator[MeteredEpoch]:
    """Train, score and meter, one epoch a turn; every turn carries the totals so far.

    Ray kills the workers of a stopped trial without warning, so nothing may wait for the end. The checkpoint's
    metrics.json tells the scores of the epoch that it holds, and the costs of the whole run so far.

    Args:
        run: ready for its first step.
        reader: reads this rank's GPU; none opens NVML for a run on a GPU.
    """
    problem = None
    best: dict[str, MetricValue] = {}
    if reader is None:
        reader, problem = open_gpu_reader(run.process.device)
    with Meter(reader) as meter:
        for epoch in run.epochs(while_training=meter.counting):
            usage = reduce_usages(run.process.gather(meter.usage()))
            problems = [text for text in run.process.gather(problem) if text is not None]
            costs: dict[str, MetricValue] = {
                **usage.metrics(),
                "gpu_shared": None if usage.gpu_shared is None else int(usage.gpu_shared),
                **_costs_over_ranks(epoch, run.process),
            }
            metrics = {**epoch.metrics(), **costs}
            best = metrics if epoch.is_best else best
            if best and run.folder is not None and run.process.is_main:
                write_metrics(run.folder / CHECKPOINT_NAME, {**best, **costs})
            is_last = epoch.epoch == run.config.epochs
            yield MeteredEpoch(
                metrics=metrics,
                is_last=is_last,
                gpu_problem="; ".join(problems) or usage.gpu_problem,
                profile_problem=profile_problem(run.config.profile, taken=epoch.step) if is_last else None,
            )


def open_gpu_reader(device: torch.device) -> tuple[GpuReader | None, str | None]:
    """Return a reader of this device through NVML, or why there is none; neither for a CPU."""
    if device.type != "cuda":
        return None, None
    # NVML counts all cards of the machine and ignores CUDA_VISIBLE_DEVICES; the UUID names the same card to both.
    uuid = torch.cuda.get_device_properties(device).uuid
    try:
        return NvmlReader(f"GPU-{uuid}"), None
    except GpuReadError as error:
        problem = str(error)
    try:
        return NvmlReader(f"MIG-{uuid}"), None
    except GpuReadError:
        return None, problem


def _costs_over_ranks(epoch: EpochResult, process: Process) -> dict[str, MetricValue]:
    """Return what the slowest rank took, and what only the allocator and the scheduler know."""
    train_seconds = max(process.gather(epoch.train_seconds))
    on_gpu = process.device.type == "cuda"
    allocated = torch.cuda.max_memory_allocated(process.device) / _GIB if on_gpu else None
    return {
        "train_seconds": train_seconds,
        "eval_seconds": max(process.gather(epoch.eval_seconds)),
        "peak_allocated_gib": _largest(process.gather(allocated)),
        "gpu_seconds": train_seconds * process.world_size * process.gpus if on_gpu else None,
    }


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None
