"""What happens in a sweep, event by event: the lines of the journal, and what they make known of its trials."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mtbert_ray.metrics import MEAN_SCORES, Metrics, MetricValue, whole_run
from mtbert_ray.objective import Objective
from mtbert_ray.schema import Schema
from mtbert_ray.task_metrics import in_words

Scalar = str | int | float | bool | None
"""What a hyperparameter's value can be in a table; lists and mappings are written as JSON text."""


def _without_infinities(metrics: dict[str, MetricValue]) -> dict[str, MetricValue]:
    """Return the same with null for NaN and infinity: JSON has neither, and neither is a value of anything."""
    return {name: value if value is None or math.isfinite(value) else None for name, value in metrics.items()}


FiniteMetrics = Annotated[dict[str, MetricValue], AfterValidator(_without_infinities)]
"""Metric name -> number, or null where it has no value."""


class _Event(Schema):
    time: float = Field(default_factory=time.time)
    """Seconds since the epoch."""


class SweepStarted(_Event):
    """What was asked for, and on what it runs."""

    event: Literal["sweep_started"] = "sweep_started"
    name: str
    space: dict[str, Any]
    """The search space as validated."""
    objectives: dict[str, Objective]
    """Metric name -> objective, as resolved for this cluster."""
    hyperparameters: tuple[str, ...]
    """The searched keys, dotted."""
    tasks: tuple[str, ...]
    num_trials: int | None
    """Trials planned; none under a time budget alone."""
    seed: int
    versions: dict[str, str]
    """Package -> version."""
    git_revision: str | None
    """Commit of this code, with `-dirty` when the tree had changes; none outside a checkout."""
    hardware: dict[str, Scalar]
    notes: tuple[str, ...] = ()
    """What the reader of the report should know, as a stated subset of the dev rows or a stand-in metric."""


class SweepResumed(_Event):
    """Another session goes on with the sweep; trials that were cut off start again."""

    event: Literal["sweep_resumed"] = "sweep_resumed"
    num_trials: int | None
    """Trials planned now, those of earlier sessions among them."""
    versions: dict[str, str]
    git_revision: str | None
    hardware: dict[str, Scalar]


class TrialStarted(_Event):
    """A trial was given its setting."""

    event: Literal["trial_started"] = "trial_started"
    trial_id: str
    hyperparameters: dict[str, Any]
    """The searched keys that apply to this trial, dotted."""
    config: dict[str, Any]
    """The whole TrialConfig."""


class ProbeFinished(_Event):
    """A trial's costs after its first steps."""

    event: Literal["probe"] = "probe"
    trial_id: str
    steps: int
    """Optimiser steps taken, warm-up included."""
    metrics: FiniteMetrics
    """Spent until then."""
    outlook: FiniteMetrics
    """What the whole run would cost."""
    gpu_problem: str | None = None


class EpochFinished(_Event):
    """A trial's scores and costs so far."""

    event: Literal["epoch"] = "epoch"
    trial_id: str
    metrics: FiniteMetrics
    undefined: dict[str, str] = Field(default_factory=dict)
    """Scores that are null -> why."""
    gpu_problem: str | None = None
    """Why metrics of the GPU are null although the trial holds one."""


class TrialFinished(_Event):
    """A trial ran to its end."""

    event: Literal["trial_finished"] = "trial_finished"
    trial_id: str
    checkpoint: str | None = None
    """Folder of the best checkpoint, relative to the sweep's folder."""


StopKind = Literal["rung", "probe", "constraint", "memory", "sweep"]
"""What ended a trial early: its rank among the others at a rung, its costs at the probe, a constraint that it can no
longer meet, want of memory, or the sweep's own end."""


class TrialStopped(_Event):
    """A trial was ended before its last epoch; what it reported until then stands."""

    event: Literal["trial_stopped"] = "trial_stopped"
    trial_id: str
    reason: str
    """In plain words, as `epoch 3: dominated on both objectives by t004, t017`."""
    kind: StopKind = "sweep"
    checkpoint: str | None = None
    """Folder of the best checkpoint so far, relative to the sweep's folder."""


FailureKind = Literal["error", "died", "diverged"]
"""What made a trial fail: an error of its own, which would come again, the death of its process or node, or weights,
losses or outputs that are not finite, which would come again as well."""


class TrialFailed(_Event):
    """A trial ended without a result."""

    event: Literal["trial_failed"] = "trial_failed"
    trial_id: str
    reason: str
    kind: FailureKind = "error"


class SweepFinished(_Event):
    """The sweep ended."""

    event: Literal["sweep_finished"] = "sweep_finished"
    reason: Literal["completed", "interrupted", "time_budget"]


Event = Annotated[
    SweepStarted
    | SweepResumed
    | TrialStarted
    | ProbeFinished
    | EpochFinished
    | TrialFinished
    | TrialStopped
    | TrialFailed
    | SweepFinished,
    Field(discriminator="event"),
]


@dataclass(kw_only=True)
class TrialRecord:
    """What the journal knows of one trial."""

    trial_id: str
    hyperparameters: dict[str, Any]
    config: dict[str, Any]
    started: float
    """Seconds since the epoch."""
    status: Literal["running", "finished", "stopped", "failed"] = "running"
    """A trial that still runs in the journal of a sweep that ended was cut off with it."""
    ended: float | None = None
    probe: ProbeFinished | None = None
    epochs: list[dict[str, MetricValue]] = field(default_factory=list)
    checkpoint: str | None = None
    reason: str | None = None
    stop_kind: StopKind | None = None
    failure_kind: FailureKind | None = None
    gpu_problem: str | None = None
    undefined: dict[int, dict[str, str]] = field(default_factory=dict)
    """Place of an epoch in `epochs` -> its scores that are null -> why; not of epochs that have them all."""

    def add_epoch(self, event: EpochFinished) -> None:
        """Take in one more epoch."""
        if event.undefined:
            self.undefined[len(self.epochs)] = event.undefined
        self.epochs.append(event.metrics)
        self.gpu_problem = event.gpu_problem or self.gpu_problem

    @property
    def status_in_words(self) -> str:
        """`failed (diverged)` for a trial that did, and its status for every other."""
        return "failed (diverged)" if self.failure_kind == "diverged" else self.status

    @property
    def without_value(self) -> tuple[str, ...]:
        """Why scores of its result are null, as `no dev_score: sim has no pearson: every label is 2.5`."""
        if not self.epochs or self.status == "failed":
            return ()
        return tuple(in_words(self.undefined.get(best_place(self.epochs), {})))

    @property
    def tasks(self) -> list[str]:
        """The names of its tasks."""
        return [task["name"] for task in self.config["tasks"]]

    @property
    def metrics(self) -> dict[str, MetricValue]:
        """The trial's result so far: `final_metrics` of its epochs, or what it had spent at its probe.

        One that diverged has no scores: what it had learnt came to nothing, and its checkpoint is gone.
        """
        if not self.epochs and self.probe is not None:
            return self.probe.metrics
        found = final_metrics(self.epochs, self.tasks)
        if self.failure_kind != "diverged":
            return found
        return found | dict.fromkeys(name for name in found if is_score(name, self.tasks) or name == "best_epoch")


@dataclass(kw_only=True)
class SweepRecord:
    """What the journal knows of one sweep."""

    started: SweepStarted
    trials: list[TrialRecord]
    """In the order in which they started."""
    finished: SweepFinished | None
    """None while a session runs, or when the last one was killed."""
    resumed: list[SweepResumed] = field(default_factory=list)
    """The sessions after the first."""
    paused_at: list[float] = field(default_factory=list)
    """For each of them when the last event before it was, in seconds since the epoch."""
    torn: bool = False
    """Whether the last line was cut off while it was written (its event is lost)."""

    @property
    def num_trials(self) -> int | None:
        """Trials planned, as the last session has it; none under a time budget alone."""
        return self.resumed[-1].num_trials if self.resumed else self.started.num_trials


def final_metrics(epochs: Sequence[Metrics], tasks: Sequence[str]) -> dict[str, MetricValue]:
    """Return a trial's result: the scores of the epoch with the best dev_score, the costs of the last epoch.

    The kept checkpoint is that of the best epoch, and what it cost is all that was spent. `best_epoch` tells which one
    it was.
    """
    if not epochs:
        return {}
    best = epochs[best_place(epochs)]
    # Both may have scores that the other lacks, as in the journal of another version.
    names = dict.fromkeys((*tasks, *MEAN_SCORES, *(name for name in (*epochs[-1], *best) if is_score(name, tasks))))
    return {**epochs[-1], **{name: best.get(name) for name in names}, "best_epoch": best.get("epoch")}


def is_score(name: str, tasks: Sequence[str]) -> bool:
    """Whether a metric is a score: of a task, as `topic`, by one of its metrics, as `topic.f1_macro`, or a mean."""
    return name in MEAN_SCORES or name.partition(".")[0] in tasks


def best_place(epochs: Sequence[Metrics]) -> int:
    """Return the place of the epoch with the highest dev_score, of equal ones the first.

    While no epoch has a dev_score the latest one counts as best, so that there is a checkpoint.
    """
    scored = [(score, -place) for place, epoch in enumerate(epochs) if (score := _dev_score(epoch)) is not None]
    return -max(scored)[1] if scored else len(epochs) - 1


def outlook(epochs: Sequence[Metrics], tasks: Sequence[str], *, num_epochs: int) -> dict[str, MetricValue]:
    """Return what a trial would come to at its end as it looks now: its best scores so far, and its costs projected.

    At the same epoch this orders trials as what they have spent does, and trials of different lengths fairly as well.

    Args:
        epochs: the metrics of those done, from the first on.
        tasks: names.
        num_epochs: of the whole run.
    """
    return whole_run(final_metrics(epochs, tasks), share=len(epochs) / num_epochs)


def _dev_score(metrics: Metrics) -> float | None:
    value = metrics.get("dev_score")
    # NaN, in an old journal, compares with nothing, so that the best would depend on where it stands.
    return None if value is None or math.isnan(value) else value


def as_scalar(value: object) -> Scalar:
    """Return a hyperparameter's value as one cell of a table."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value)
    assert value is None or isinstance(value, str | int | float | bool), f"{value!r} is not a value of YAML"
    return value
