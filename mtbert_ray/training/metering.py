"""A run's probe and epochs together with what they cost, over all ranks. Joins the loop to the meters; knows no Ray."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import torch

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.metrics import METRICS, Metrics, MetricValue
from mtbert_ray.resources.gpu import GpuReader, GpuReadError, NvmlReader
from mtbert_ray.resources.meter import Meter, reduce_usages
from mtbert_ray.training.evaluate import EpochResult
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.probe import ProbeResult
from mtbert_ray.training.process import Process
from mtbert_ray.training.profile import profile_problem
from mtbert_ray.trial import projection

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class MeteredEpoch:
    """One epoch's metrics, the same on every rank."""

    metrics: dict[str, MetricValue]
    """Those of `mtbert_ray.metrics`, and what explains them: epoch, step, each task's train_loss, SMART's penalty and
    steps, `gpu_shared` (1 if another process computed on a rank's GPU meanwhile)."""
    projection: dict[str, MetricValue]
    """What the run comes to as it looks now (`mtbert_ray.events.projection`)."""
    is_last: bool
    gpu_problem: str | None
    """Why metrics of the GPU are null although the run holds a GPU."""
    profile_problem: str | None = None
    """Why fewer steps were profiled than were asked for; known with the last epoch."""
    undefined: dict[str, str] = field(default_factory=dict)
    """Scores that are null -> why."""


@dataclass(frozen=True, kw_only=True)
class MeteredProbe:
    """What a run's first steps cost, and the whole run at their pace; the same on every rank."""

    steps: int
    """Optimizer steps taken."""
    metrics: dict[str, MetricValue]
    """Those of `mtbert_ray.metrics` that are known by now: what was spent."""
    projection: dict[str, MetricValue]
    """The costs of the whole run. Its energy, GPU and CPU time are those of its training by the means so far;
    what scoring the dev sets will add to `cpu_seconds` is not known yet, so that this is a lower bound, and so are the
    peaks, which can only grow."""
    gpu_problem: str | None


def metered_epochs(
    run: TrainingRun, *, probe: ProbeConfig | None = None, reader: GpuReader | None = None
) -> Generator[MeteredProbe | MeteredEpoch]:
    """Train, score and meter, one epoch a turn; every turn carries the totals so far.

    Ray kills the workers of a stopped trial without warning, so nothing may wait for the end. The checkpoint's
    metrics.json tells the scores of the epoch that it holds, and the costs of the whole run so far.

    Args:
        run: ready for its first step.
        probe: after which steps of the first epoch to tell what the run will cost, a turn of its own, unless the epoch
            is no longer than that; none tells of epochs only.
        reader: reads this rank's GPU; none opens NVML for a run on a GPU.
    """
    problem = None
    epochs: list[dict[str, MetricValue]] = []
    best: dict[str, MetricValue] = {}
    if reader is None:
        reader, problem = open_gpu_reader(run.process.device)
    # Closed here and not whenever it is found unused: what goes wrong then must be raised.
    with Meter(reader) as meter, closing(run.epochs(while_training=meter.counting, probe=probe)) as results:
        for result in results:
            usage = reduce_usages(run.process.gather(meter.usage()))
            problems = [text for text in run.process.gather(problem) if text is not None]
            gpu_problem = "; ".join(problems) or usage.gpu_problem
            costs: dict[str, MetricValue] = {
                **usage.metrics(),
                "gpu_shared": None if usage.gpu_shared is None else int(usage.gpu_shared),
                **_costs_over_ranks(result, run.process),
            }
            metrics = {**result.metrics(), **costs}
            if isinstance(result, ProbeResult):
                yield MeteredProbe(
                    steps=result.step,
                    metrics=metrics,
                    projection=_costs_at_the_end(metrics, _largest(run.process.gather(result.whole_train_seconds))),
                    gpu_problem=gpu_problem,
                )
                continue
            epochs.append(metrics)
            best = metrics if result.is_best else best
            if best and run.checkpoints is not None:
                run.checkpoints.write_metrics({**best, **costs})
            yield _metered_epoch(run.config, epochs, result.undefined, gpu_problem)


def _metered_epoch(
    config: TrialConfig, epochs: Sequence[dict[str, MetricValue]], undefined: dict[str, str], gpu_problem: str | None
) -> MeteredEpoch:
    """Return the last one of the epochs done."""
    is_last = len(epochs) == config.epochs
    taken = epochs[-1]["step"]
    assert isinstance(taken, int), "a step is a number"
    return MeteredEpoch(
        metrics=epochs[-1],
        projection=projection(epochs, [task.name for task in config.tasks], num_epochs=config.epochs),
        is_last=is_last,
        undefined=undefined,
        gpu_problem=gpu_problem,
        profile_problem=profile_problem(config.profile, taken=taken) if is_last else None,
    )


def _costs_at_the_end(metrics: Metrics, whole_train_seconds: float | None) -> dict[str, MetricValue]:
    """Return the costs of a run whose training takes so long, from those of its first steps; no totals without that."""
    spent = metrics["train_seconds"]
    assert spent, "a probe takes time"
    # Nothing was scored yet, so what scoring takes is not known.
    over_time = {name: METRICS[name].over_time for name in metrics if name in METRICS and not name.startswith("eval_")}
    costs = {name: metrics[name] for name, kind in over_time.items() if kind in ("fixed", "peak")}
    if whole_train_seconds is not None:
        totals = {name: metrics[name] for name, kind in over_time.items() if kind == "total"}
        growth = whole_train_seconds / spent
        costs |= {name: None if value is None else value * growth for name, value in totals.items()}
    return costs


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


def _costs_over_ranks(result: ProbeResult | EpochResult, process: Process) -> dict[str, MetricValue]:
    """Return what the slowest rank took, and what only the allocator and the scheduler know."""
    train_seconds = max(process.gather(result.train_seconds))
    on_gpu = process.device.type == "cuda"
    allocated = torch.cuda.max_memory_allocated(process.device) / _GIB if on_gpu else None
    return {
        "train_seconds": train_seconds,
        "eval_seconds": max(process.gather(result.eval_seconds)),
        "peak_allocated_gib": _largest(process.gather(allocated)),
        "gpu_seconds": train_seconds * process.world_size * process.gpus if on_gpu else None,
    }


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None
