"""A run's epochs together with what they cost, over all ranks. Joins the loop to the meters; knows no Ray."""

import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch

from mtbert_ray.config import ResourceConfig
from mtbert_ray.metrics import MetricValue
from mtbert_ray.resources.gpu import GpuReader, GpuReadError, NvmlReader
from mtbert_ray.resources.meter import Meter, Usage, reduce_usages
from mtbert_ray.training.loop import TrainingRun

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class MeteredEpoch:
    """One epoch's metrics under the names of `mtbert_ray.metrics`, the same on every rank."""

    metrics: dict[str, MetricValue]
    is_best: bool
    """Whether this epoch's checkpoint is the one kept so far."""
    is_last: bool
    gpu_problem: str | None
    """Why the GPU's metrics are null although the run holds a GPU."""


def metered_epochs(run: TrainingRun, *, reader: GpuReader | None = None) -> Generator[MeteredEpoch]:
    """Train, score and meter, one epoch a turn; every turn carries the totals so far.

    Ray kills the workers of a stopped trial without warning, so nothing may wait for the end.

    Args:
        run: ready for its first step.
        reader: reads this rank's GPU; none opens NVML for a run on a GPU.
    """
    if reader is None:
        reader = open_gpu_reader(run.process.device)
    with Meter(reader) as meter:
        for epoch in run.epochs(while_scoring=meter.not_counted):
            usages = run.process.gather(meter.usage())
            allocated = run.process.gather(_peak_allocated_gib(run.process.device))
            usage = reduce_usages(usages)
            metrics = {
                **epoch.metrics(),
                **usage.metrics(),
                "peak_allocated_gib": _largest(allocated),
                "gpu_seconds": _gpu_seconds(epoch.train_seconds, run),
            }
            yield MeteredEpoch(
                metrics=metrics,
                is_best=epoch.is_best,
                is_last=epoch.epoch == run.config.epochs,
                gpu_problem=_problem(usage, run.process.device),
            )


def open_gpu_reader(device: torch.device) -> GpuReader | None:
    """Return a reader of this device through NVML; none on a CPU, or with one warning where NVML does not answer."""
    if device.type != "cuda":
        return None
    # NVML counts all cards of the machine and ignores CUDA_VISIBLE_DEVICES; the UUID names the same card to both.
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    try:
        return NvmlReader(uuid)
    except GpuReadError as error:
        warnings.warn(f"the GPU's metrics will be null: {error}", RuntimeWarning, stacklevel=2)
        return None


def _peak_allocated_gib(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / _GIB if device.type == "cuda" else None


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _gpu_seconds(train_seconds: float, run: TrainingRun) -> float | None:
    if run.process.device.type != "cuda":
        return None
    return train_seconds * run.process.world_size * gpus_held(run.config.resources)


def gpus_held(resources: ResourceConfig) -> float:
    """Return the GPUs of one worker of a run on a GPU, where `auto` means one."""
    return 1.0 if resources.gpus_per_worker == "auto" else float(resources.gpus_per_worker)


def _problem(usage: Usage, device: torch.device) -> str | None:
    if device.type != "cuda":
        return None
    if usage.gpu_problem is None and usage.peak_memory_gib is None:
        return "NVML does not tell this process's memory on the GPU"
    return usage.gpu_problem
