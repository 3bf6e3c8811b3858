"""What happens in a sweep, event by event: the lines of the journal, and all that a `Study` is ever fed."""

import json
import math
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mtbert_ray.metrics import MetricValue, Objective
from mtbert_ray.schema import Schema

Scalar = str | int | float | bool | None
"""What a hyperparameter's value can be in a table; lists and mappings are written as JSON text."""


def _without_infinities(metrics: dict[str, MetricValue]) -> dict[str, MetricValue]:
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
    space_text: str | None = None
    """The search space as the user wrote it; none in journals of earlier versions."""
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
    """What the reader of the report should know, as a subset of the dev rows or a fallback metric."""


class SweepResumed(_Event):
    """Another session continues the sweep; interrupted trials start again."""

    event: Literal["sweep_resumed"] = "sweep_resumed"
    num_trials: int | None
    """Trials planned now, those of earlier sessions among them."""
    space_text: str | None = None
    """The search space as the user wrote it, as it was then."""
    versions: dict[str, str]
    git_revision: str | None
    hardware: dict[str, Scalar]


class TrialStarted(_Event):
    """A trial was given its config, or an interrupted one starts again."""

    event: Literal["trial_started"] = "trial_started"
    trial_id: str
    hyperparameters: dict[str, Any]
    """The searched keys that apply to this trial, dotted."""
    config: dict[str, Any]
    """The whole TrialConfig."""
    attempt: int = Field(default=1, ge=1)
    """1, then one more each time that an interrupted trial starts again. In journals of earlier versions always 1."""


class TrialResumed(_Event):
    """A later attempt at a trial continues from its saved state, or starts over where that is lost."""

    event: Literal["trial_resumed"] = "trial_resumed"
    trial_id: str
    epoch: int = Field(ge=0)
    """Epochs that the state has; 0 where there is none: what the trial had reported does not count any more."""


class ProbeFinished(_Event):
    """A trial's costs after its first steps."""

    event: Literal["probe"] = "probe"
    trial_id: str
    steps: int
    """Optimizer steps taken, warm-up included."""
    metrics: FiniteMetrics
    """Spent until then."""
    projection: FiniteMetrics
    """What it will cost at its end."""
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
"""What ended a trial early: its rank at a rung, its costs at the probe, a constraint that it cannot meet any more, lack
of memory, or the sweep's own end."""


class TrialStopped(_Event):
    """A trial was ended before its last epoch; what it reported until then stands."""

    event: Literal["trial_stopped"] = "trial_stopped"
    trial_id: str
    reason: str
    """In plain words, as `epoch 3: dominated on both objectives by t004, t017`."""
    kind: StopKind = "sweep"
    checkpoint: str | None = None
    """Folder of the best checkpoint so far, relative to the sweep's folder."""


FailureKind = Literal["error", "died", "diverged", "memory_taken"]
"""What made a trial fail: an error of its own, the death of its process or node, values that are not finite, or memory
that others held. A death and memory that others held say nothing about its config: it runs again."""


class TrialFailed(_Event):
    """A trial ended without a result."""

    event: Literal["trial_failed"] = "trial_failed"
    trial_id: str
    reason: str
    kind: FailureKind = "error"
    node: str | None = None
    """The node that it ran on, where that is known."""


SweepEnd = Literal["completed", "interrupted", "time_budget", "disk_full"]
"""What ended a session; `disk_full` stands for every disk that took no more, a failing or read-only one too."""


class SweepFinished(_Event):
    """The sweep ended."""

    event: Literal["sweep_finished"] = "sweep_finished"
    reason: SweepEnd


Event = Annotated[
    SweepStarted
    | SweepResumed
    | TrialStarted
    | TrialResumed
    | ProbeFinished
    | EpochFinished
    | TrialFinished
    | TrialStopped
    | TrialFailed
    | SweepFinished,
    Field(discriminator="event"),
]


def as_scalar(value: object) -> Scalar:
    """Return a hyperparameter's value as one cell of a table."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value)
    assert value is None or isinstance(value, str | int | float | bool), f"{value!r} is not a value of YAML"
    return value
