"""The vocabulary of what a trial reports: every name, its unit and its better direction, and what an objective is.

A task's own score has the task's name (`sst`, `quora`, `sts` or a user's), so it is added to these per sweep.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from pydantic import Field, model_validator

from mtbert_ray.deprecated import KEYS, renaming
from mtbert_ray.schema import Schema
from mtbert_ray.task_metrics import (
    CLASSIFICATION_METRICS,
    F1_OF_CLASS,
    REGRESSION_METRICS,
    Direction,
    meaning_of,
    problem_with_metric,
    task_metric,
)
from mtbert_ray.tasks import TaskSpec

OverTime = Literal["varies", "fixed", "peak", "total"]
"""How a metric changes while a trial trains: either way, not at all, only upwards, or in proportion to the training."""
MetricValue = float | int | None
Metrics = Mapping[str, MetricValue]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One reported quantity."""

    unit: str
    direction: Direction
    meaning: str
    needs_gpu: bool = False
    over_time: OverTime = "varies"
    worst: float | None = None
    """What no trial can be worse than; none where there is no such value."""
    best: float | None = None
    """What no trial can be better than; none where there is no such value."""
    reaches_best: bool = True
    """Whether a trial can have the best value itself: no training takes 0 seconds."""
    is_a_matter_of_taste: bool = False
    """Whether it makes sense to want it the other way round as well."""

    def bounds(self, direction: Direction) -> tuple[float | None, float | None]:
        """Return the worst and the best value, for whoever wants it in this direction."""
        return (self.worst, self.best) if direction == self.direction else (self.best, self.worst)


_score = partial(Metric, unit="", direction="maximize", worst=-1.0, best=1.0)
_utilization = partial(
    Metric, unit="%", direction="maximize", needs_gpu=True, worst=0.0, best=100.0, is_a_matter_of_taste=True
)
_cost = partial(Metric, direction="minimize", best=0.0, reaches_best=False)
_gpu_cost = partial(_cost, needs_gpu=True)

METRICS: dict[str, Metric] = {
    "dev_score": _score(meaning="mean of the tasks' dev scores, by their weights"),
    "leaderboard_score": _score(
        meaning="mean of the tasks' dev scores, by their weights, with (r + 1) / 2 for a correlation r"
    ),
    "train_loss": _cost(unit="", meaning="mean training loss of the epoch"),
    "peak_memory_gib": _gpu_cost(
        unit="GiB", meaning="largest over ranks of what this trial's process held on its GPU", over_time="peak"
    ),
    "peak_allocated_gib": _gpu_cost(
        unit="GiB", meaning="largest over ranks of the allocator's own peak", over_time="peak"
    ),
    "gpu_utilization_mean": _utilization(meaning="GPU utilization while training, mean over time and ranks"),
    "gpu_utilization_peak": _utilization(meaning="GPU utilization while training, highest over time and ranks"),
    "energy_kj": _gpu_cost(unit="kJ", meaning="integral of GPU power over all ranks while training", over_time="total"),
    "gpu_seconds": _gpu_cost(unit="s", meaning="training time times the GPUs held", over_time="total"),
    "peak_rss_gib": _cost(unit="GiB", meaning="largest over ranks of the process's resident memory", over_time="peak"),
    "cpu_seconds": _cost(unit="s", meaning="CPU time of all ranks", over_time="total"),
    "train_seconds": _cost(unit="s", meaning="wall time spent in training steps", over_time="total"),
    "eval_seconds": _cost(unit="s", meaning="wall time spent scoring the dev sets", over_time="total"),
    "train_once_seconds": _cost(
        unit="s",
        meaning="of train_seconds, what is done once and not in every epoch: a frozen encoder's work on the rows",
        over_time="fixed",
        reaches_best=True,
    ),
    "eval_once_seconds": _cost(
        unit="s", meaning="of eval_seconds, the same for the dev rows", over_time="fixed", reaches_best=True
    ),
    "trainable_parameters": _cost(unit="", meaning="parameters that the optimizer changes", over_time="fixed"),
    "trainable_percent": _cost(unit="%", meaning="their share of all parameters", over_time="fixed", worst=100.0),
}
"""What every trial reports, besides one score a task. Metrics that need a GPU are null without one."""

MEAN_SCORES = ("dev_score", "leaderboard_score")
"""The means over the tasks' scores."""

MAX_OBJECTIVES = 20
"""Of a sweep: its report draws each pair of them."""

RESERVED_NAMES = frozenset(METRICS) | {
    # Taken names: of an epoch's metrics and of the tables' columns; `para` is the course's quora.
    *("epoch", "step", "all", "adapter_percent", "smart_penalty", "smart_steps", "gpu_shared", "others_cpus"),
    *("best_epoch", "epochs_done", "para", "trial_id", "experiment", "status", "on_front", "knee", "feasible"),
    *("reason", "checkpoint"),
}
"""What a task cannot be named."""


def known_metrics(tasks: Iterable[TaskSpec]) -> dict[str, Metric]:
    """Return `METRICS` with one score a task in front (`topic`), and behind them what else a task can be scored by.

    These are named `topic.f1_macro`, `topic.f1.CLASS`; a trial reports those that the task's `metrics` name.
    """
    tasks = tuple(tasks)
    scores = {task.name: _as_metric(task, task.metric) for task in tasks}
    others = {f"{task.name}.{metric}": _as_metric(task, metric) for task in tasks for metric in _metrics_of(task)}
    negative = [metric for task in tasks if (metric := task_metric(task.metric)).worst == -1]
    # A correlation counts in leaderboard_score as (r + 1) / 2, which is never negative.
    can_be_negative = {"dev_score": bool(negative), "leaderboard_score": not all(m.is_correlation for m in negative)}
    means = {name: replace(METRICS[name], worst=-1.0 if can_be_negative[name] else 0.0) for name in MEAN_SCORES}
    return scores | METRICS | means | others


def metric_of_task(name: str, tasks: Iterable[TaskSpec]) -> tuple[TaskSpec, str] | None:
    """Return the task and the metric that `topic.f1_macro` names, or none where it names no task and metric."""
    task_name, dot, metric = name.partition(".")
    for task in tasks:
        if dot and task.name == task_name and _problem_with(task, metric) is None:
            return task, metric
    return None


def completed_with(task: TaskSpec, metric: str) -> TaskSpec:
    """Return the same task, scored by one metric more; the metric of its score stays the first."""
    if metric in task.metrics:
        return task
    return task.model_copy(update={"metrics": (*task.metric_names, *({metric} - {*task.metric_names}))})


def _metrics_of(task: TaskSpec) -> list[str]:
    listed = REGRESSION_METRICS if task.kind.is_regression else CLASSIFICATION_METRICS
    of_classes = () if task.kind.is_regression else tuple(f"{F1_OF_CLASS}{name}" for name in task.class_names)
    return list(dict.fromkeys((*task.metric_names, *listed, *of_classes)))


def _as_metric(task: TaskSpec, name: str) -> Metric:
    metric = task_metric(name)
    meaning = meaning_of(name, task.name)
    return Metric(unit="", direction=metric.direction, meaning=meaning, worst=metric.worst, best=metric.best)


def _problem_with(task: TaskSpec, metric: str) -> str | None:
    classes = task.class_names if task.knows_its_classes else None
    return problem_with_metric(metric, is_regression=task.kind.is_regression, classes=classes)


def project(metrics: Metrics, *, share: float) -> dict[str, MetricValue]:
    """Return a projection of a trial's metrics to its end.

    Totals grow in proportion to the training, but for what is done once; peaks and scores stay what they are so far.
    `share` is the share of the epochs that are done, over 0 and at most 1.
    """
    return {
        name: value * _growth(name, metrics, share)
        if value is not None and name in METRICS and METRICS[name].over_time == "total"
        else value
        for name, value in metrics.items()
    }


_PARTS = {"eval_seconds": ("eval",), "cpu_seconds": ("train", "eval")}
"""Total -> the parts of a run that it is spent in; others are spent in training alone."""


def _growth(total: str, metrics: Metrics, share: float) -> float:
    """Return how many times as much a total will be at the end, by the time that its parts take once and each epoch."""
    parts = _PARTS.get(total, ("train",))
    spent = sum(metrics.get(f"{part}_seconds") or 0.0 for part in parts)
    once = sum(metrics.get(f"{part}_once_seconds") or 0.0 for part in parts)
    return (once + (spent - once) / share) / spent if once else 1 / share


def task_scores(tasks: Sequence[TaskSpec], scores: Mapping[str, MetricValue]) -> dict[str, MetricValue]:
    """Return the tasks' scores with `dev_score` and `leaderboard_score`, their means by the tasks' weights.

    Both are null where a task's score is: a mean over the others would be another score. Other scores are passed on.
    """
    means: dict[str, MetricValue] = dict.fromkeys(MEAN_SCORES)
    own = [value for task in tasks if (value := scores[task.name]) is not None]
    if len(own) == len(tasks):
        on_leaderboard = [
            (value + 1) / 2 if task_metric(task.metric).is_correlation else value
            for task, value in zip(tasks, own, strict=True)
        ]
        total = sum(task.weight for task in tasks)
        for name, values in zip(means, (own, on_leaderboard), strict=True):
            means[name] = sum(task.weight * value for task, value in zip(tasks, values, strict=True)) / total
    return {**scores, **means}


class Objective(Schema):
    """One axis of the Pareto front."""

    direction: Direction
    """Which way is better."""
    reference: float
    """Coordinate of the hypervolume's reference point, in the metric's unit: the worst value still worth anything."""
    constraint: float | None = None
    """A hard bound in the metric's unit: a trial that is worse is infeasible and never on the front."""
    attainable: float | None = None
    """The best value that any trial can reach, in the metric's unit; none takes the metric's own bound, as 1 for a
    score. A trial whose costs rule out the front even with this ends at its probe."""
    tolerance: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """What is no difference to anybody, in the metric's unit: a member of the front that is no better than another one
    by more, in any objective, stays out of the report's short list. None takes what the noise shows: a standard error
    of a difference between two members, and of a measured cost at least 1%."""
    fallback: str | None = None
    """The metric taken in its place when trials have no GPU, in the same unit and direction."""

    _old_keys = model_validator(mode="before")(renaming(KEYS))

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> "Objective":
        if self.attainable is not None:
            best, worst = self.attainable, self.reference
            if not (best < worst if self.direction == "minimize" else best > worst):
                raise ValueError(f"attainable {best} is no better than the reference {worst}: no trial would count")
        if self.constraint is None:
            return self
        beyond = self.constraint > self.reference if self.direction == "minimize" else self.constraint < self.reference
        if beyond:
            raise ValueError(
                f"constraint {self.constraint} is looser than the reference {self.reference}: no trial between them "
                "would count; set the reference at the constraint or beyond"
            )
        return self


Objectives = Mapping[str, Objective]
"""Metric name -> objective, in the order of the YAML, which is the order of the axes."""
