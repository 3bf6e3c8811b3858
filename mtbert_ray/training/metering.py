"""What a run costs: its probe and epochs with the meters' readings, reduced over all ranks."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mtbert_ray.config import ProbeConfig
from mtbert_ray.metrics import METRICS, Metrics, MetricValue
from mtbert_ray.resources.gpu import GpuReader, GpuReadError, NvmlReader
from mtbert_ray.resources.meter import Meter
from mtbert_ray.resources.node_cpu import others_cpus
from mtbert_ray.resources.usage import Usage, reduce_usages
from mtbert_ray.training.evaluate import EpochResult
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.probe import ProbeResult
from mtbert_ray.training.process import Process
from mtbert_ray.training.profile import profile_problem

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class MeteredEpoch:
    """One epoch's metrics, the same on every rank."""

    metrics: dict[str, MetricValue]
    """Those of `mtbert_ray.metrics`, and what explains them: epoch, step, each task's train_loss, SMART's penalty and
    steps, `gpu_shared` (1 if another process computed on a rank's GPU meanwhile), `others_cpus` (CPUs of the node that
    other processes kept busy while training, mean over time, of the rank with the most)."""
    undefined: dict[str, str]
    """Scores that are null -> why."""
    is_last: bool
    gpu_problem: str | None
    """Why metrics of the GPU are null although the run holds a GPU."""
    profile_problem: str | None
    """Why fewer steps were profiled than were asked for; known with the last epoch."""


@dataclass(frozen=True, kw_only=True)
class MeteredProbe:
    """The costs of a run's first steps, and those of the whole run projected from them; the same on every rank."""

    steps: int
    """Optimizer steps taken."""
    metrics: dict[str, MetricValue]
    """Those of `mtbert_ray.metrics` that are known by now: costs so far."""
    projection: dict[str, MetricValue]
    """The costs of the whole run. Energy, GPU and CPU time are those of training, from the means so far; evaluation is
    not known yet, so that `cpu_seconds` is a lower bound, and so are the peaks, which can only grow."""
    gpu_problem: str | None


def metered_epochs(
    run: TrainingRun, *, probe: ProbeConfig | None = None, reader: GpuReader | None = None
) -> Generator[MeteredProbe | MeteredEpoch]:
    """Train, evaluate and meter; yield the probe, if the run has one, then each epoch, with the totals so far.

    Ray kills the workers of a stopped trial without warning, so nothing may wait for the end. The checkpoint's
    metrics.json holds the scores of its epoch, and the costs of the whole run so far. The state is saved before an
    epoch is yielded. A run that continues yields its last epoch once more, as that may have been lost; its totals go
    on, without what loading takes. The reader reads this rank's GPU; none opens NVML for a run on a GPU.
    """
    problem = None
    totals = _Totals(run)
    if totals.last is not None:
        yield totals.last
    if reader is None:
        reader, problem = open_gpu_reader(run.process.device)
    # Closed here and not by garbage collection, which would swallow errors.
    with Meter(reader) as meter, closing(run.epochs(while_training=meter.counting, probe=probe)) as results:
        totals.meter = meter
        for result in results:
            usages = run.process.gather(totals.usage())
            usage = reduce_usages(usages)
            problems = [text for text in run.process.gather(problem) if text is not None]
            gpu_problem = "; ".join(problems) or usage.gpu_problem
            costs: dict[str, MetricValue] = {
                **usage.metrics(),
                "gpu_shared": None if usage.gpu_shared is None else int(usage.gpu_shared),
                "others_cpus": others_cpus([each.cpu_spans for each in usages]),
                **_costs_over_ranks(result, run.process, allocated=totals.peak_allocated_gib()),
            }
            metrics = {**result.metrics(), **costs}
            if isinstance(result, ProbeResult):
                yield MeteredProbe(
                    steps=result.step,
                    metrics=metrics,
                    projection=_projected(metrics, _largest(run.process.gather(result.projected_train_seconds))),
                    gpu_problem=gpu_problem,
                )
                continue
            totals.best = metrics if result.is_best else totals.best
            if run.checkpoints is not None:
                run.checkpoints.write_metrics({**totals.best, **costs})
            is_last = result.epoch == run.config.epochs
            totals.last = MeteredEpoch(
                metrics=metrics,
                undefined=result.undefined,
                is_last=is_last,
                gpu_problem=gpu_problem,
                profile_problem=profile_problem(run.config.profile, taken=result.step) if is_last else None,
            )
            if not is_last:
                run.save_state()
            yield totals.last


class _Totals:
    """What a run took on this rank, over its attempts, and what else its state keeps for its reports."""

    def __init__(self, run: TrainingRun) -> None:
        earlier = {} if run.restored is None else run.restored["meter"]
        self._earlier = Usage.of_dict(earlier["usage"]) if earlier else None
        self._allocated_earlier: float | None = earlier.get("peak_allocated_gib")
        self._device = run.process.device
        self.best: dict[str, MetricValue] = earlier.get("best", {})
        """Metrics of the best epoch."""
        self.last = MeteredEpoch(**earlier["last"]) if earlier.get("last") else None
        """The epoch that ended last."""
        self.meter: Meter | None = None
        run.meter_state = self.state_dict

    def usage(self) -> Usage:
        assert self.meter is not None, "the meter runs before the first step"
        usage = self.meter.usage()
        return usage if self._earlier is None else usage.after(self._earlier)

    def peak_allocated_gib(self) -> float | None:
        """Return the allocator's peak, None on a CPU."""
        if self._device.type != "cuda":
            return None
        return max(torch.cuda.max_memory_allocated(self._device) / _GIB, self._allocated_earlier or 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {
            "usage": asdict(self.usage()),
            "peak_allocated_gib": self.peak_allocated_gib(),
            "best": self.best,
            "last": None if self.last is None else asdict(self.last),
        }


def _projected(metrics: Metrics, train_seconds: float | None) -> dict[str, MetricValue]:
    """Return the costs of a whole run from those of its first steps; no totals where its training time is not known."""
    spent = metrics["train_seconds"]
    assert spent, "a probe takes time"
    # Nothing was evaluated yet, so what that takes is not known.
    over_time = {name: METRICS[name].over_time for name in metrics if name in METRICS and not name.startswith("eval_")}
    costs = {name: metrics[name] for name, kind in over_time.items() if kind in ("fixed", "peak")}
    if train_seconds is not None:
        totals = {name: metrics[name] for name, kind in over_time.items() if kind == "total"}
        growth = train_seconds / spent
        costs |= {name: None if value is None else value * growth for name, value in totals.items()}
    return costs


def open_gpu_reader(device: torch.device) -> tuple[GpuReader | None, str | None]:
    """Return a reader of this device through NVML, or why there is none; neither for a CPU."""
    if device.type != "cuda":
        return None, None
    # NVML counts all GPUs of the machine and ignores CUDA_VISIBLE_DEVICES; the UUID names the same GPU to both.
    uuid = torch.cuda.get_device_properties(device).uuid
    try:
        return NvmlReader(f"GPU-{uuid}"), None
    except GpuReadError as error:
        problem = str(error)
    try:
        return NvmlReader(f"MIG-{uuid}"), None
    except GpuReadError:
        return None, problem


def _costs_over_ranks(
    result: ProbeResult | EpochResult, process: Process, *, allocated: float | None
) -> dict[str, MetricValue]:
    """Return the times of the slowest rank, and the costs that the meters do not read."""
    train_seconds = max(process.gather(result.train_seconds))
    on_gpu = process.device.type == "cuda"
    return {
        "train_seconds": train_seconds,
        "eval_seconds": max(process.gather(result.eval_seconds)),
        "peak_allocated_gib": _largest(process.gather(allocated)),
        "gpu_seconds": train_seconds * process.world_size * process.gpus if on_gpu else None,
    }


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None
