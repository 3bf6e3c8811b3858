"""What happens in a sweep, event by event: the lines of the journal, and all that a `Study` is ever fed.

A journal may come from anywhere, so an event is checked for all that its readers rely on: names that become paths, the
keys of a config or a search space that reports look into, and numbers that are counted up to.
"""

import json
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mtbert_ray.metrics import MAX_OBJECTIVES, MetricValue, Objective
from mtbert_ray.recorded_config import has_recorded_config, has_recorded_space
from mtbert_ray.schema import MAX_REPEATS, MAX_ROWS, MAX_STEPS, Schema, problem_with_path_part

Scalar = str | int | float | bool | None
"""What a hyperparameter's value can be in a table; lists and mappings are written as JSON text."""


_EXACT = 2**53
"""Whole numbers up to this are floats without rounding; no count of ours is larger."""


def _without_infinities(metrics: dict[str, MetricValue]) -> dict[str, MetricValue]:
    return {name: _finite(value) for name, value in metrics.items()}


def _finite(value: MetricValue) -> MetricValue:
    if value is None or not abs(value) <= sys.float_info.max:  # Nor is NaN.
        return None
    return float(value) if abs(value) > _EXACT else value


def _counting(metrics: dict[str, MetricValue]) -> dict[str, MetricValue]:
    for name, lowest, highest in (("epoch", 1, MAX_STEPS), ("step", 0, MAX_STEPS * MAX_ROWS)):
        value = metrics.get(name)
        if value is not None and not (lowest <= value <= highest and value == int(value)):
            raise ValueError(f"{name} has {value:g}; must be a whole number from {lowest} to {highest}")
    return metrics


FiniteMetrics = Annotated[dict[str, MetricValue], AfterValidator(_without_infinities), AfterValidator(_counting)]
"""Metric name -> number, or null where it has no value."""


def _path_part(name: str) -> str:
    if problem := problem_with_path_part(name):
        raise ValueError(problem)
    return name


TrialId = Annotated[str, AfterValidator(_path_part)]
"""The name of a trial, which names its folder: letters, digits, `_` and `-`."""
MAX_TIME = 253_402_300_799.0
"""The end of the year 9999."""


class _Event(Schema):
    time: float = Field(default_factory=time.time, ge=0, le=MAX_TIME)
    """Seconds since the epoch."""


class _EndedTrial(_Event):
    """The end of a trial that may leave a checkpoint."""

    trial_id: TrialId
    checkpoint: str | None = None
    """Folder of the best checkpoint, relative to the sweep's folder and inside the trial's own."""

    @model_validator(mode="after")
    def _checkpoint_is_inside(self) -> Self:
        if self.checkpoint is None:
            return self
        above = f"trials/{self.trial_id}/"
        parts = self.checkpoint.removeprefix(above).split("/")
        if not self.checkpoint.startswith(above) or any(map(problem_with_path_part, parts)):
            raise ValueError(f"checkpoint has '{self.checkpoint}'; must be a folder below {above}")
        return self


PlannedTrials = Annotated[int, Field(ge=0, le=MAX_STEPS)] | None
Purpose = Literal["search", "repeat", "remeasure"]
"""What a trial runs for: `search`, one that the searcher asked for; `repeat`, the config of such a one with another
seed; `remeasure`, the same config alone for an epoch, for its costs. The last two are reruns."""


class SweepStarted(_Event):
    """What was asked for, and on what it runs."""

    event: Literal["sweep_started"] = "sweep_started"
    name: str
    space: Annotated[dict[str, Any], AfterValidator(has_recorded_space)]
    """The search space as validated."""
    space_text: str | None = None
    """The search space as the user wrote it; none in journals of earlier versions."""
    objectives: dict[str, Objective] = Field(max_length=MAX_OBJECTIVES)
    """Metric name -> objective, as resolved for this cluster."""
    hyperparameters: tuple[str, ...]
    """The searched keys, dotted."""
    tasks: tuple[str, ...]
    num_trials: PlannedTrials
    """Trials planned; none under a time budget alone."""
    seed: int = Field(ge=0, lt=2**32)
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
    num_trials: PlannedTrials
    """Trials planned now, those of earlier sessions among them."""
    space_text: str | None = None
    """The search space as the user wrote it, as it was then."""
    repeats: int | None = Field(default=None, ge=0, le=MAX_REPEATS)
    """Further seeds of each trial on the front from now on; none as before."""
    remeasure: bool = False
    """Whether each trial on the front is measured alone once more from now on."""
    versions: dict[str, str]
    git_revision: str | None
    hardware: dict[str, Scalar]


class TrialStarted(_Event):
    """A trial was given its config, or an interrupted one starts again."""

    event: Literal["trial_started"] = "trial_started"
    trial_id: TrialId
    hyperparameters: dict[str, Any]
    """The searched keys that apply to this trial, dotted."""
    config: Annotated[dict[str, Any], AfterValidator(has_recorded_config)]
    """The whole TrialConfig."""
    attempt: int = Field(default=1, ge=1, le=MAX_STEPS)
    """1, then one more each time that an interrupted trial starts again. In journals of earlier versions always 1."""
    purpose: Purpose = "search"
    of: TrialId | None = None
    """The trial of the search whose config a rerun has."""

    @model_validator(mode="after")
    def _reruns_are_of_a_trial(self) -> Self:
        if (self.purpose == "search") is not (self.of is None):
            raise ValueError(
                f"a trial with purpose {self.purpose} has of: {self.of}; reruns, and no others, are of one"
            )
        return self


class TrialResumed(_Event):
    """A later attempt at a trial continues from its saved state, or starts over where that is lost."""

    event: Literal["trial_resumed"] = "trial_resumed"
    trial_id: TrialId
    epoch: int = Field(ge=0, le=MAX_STEPS)
    """Epochs that the state has; 0 where there is none: what the trial had reported does not count any more."""


class ProbeFinished(_Event):
    """A trial's costs after its first steps."""

    event: Literal["probe"] = "probe"
    trial_id: TrialId
    steps: int = Field(ge=0, le=MAX_STEPS * MAX_ROWS)
    """Optimizer steps taken, warm-up included."""
    metrics: FiniteMetrics
    """Spent until then."""
    projection: FiniteMetrics
    """What it will cost at its end."""
    gpu_problem: str | None = None


class EpochFinished(_Event):
    """A trial's scores and costs so far."""

    event: Literal["epoch"] = "epoch"
    trial_id: TrialId
    metrics: FiniteMetrics
    undefined: dict[str, str] = Field(default_factory=dict)
    """Scores that are null -> why."""
    gpu_problem: str | None = None
    """Why metrics of the GPU are null although the trial holds one."""


class TrialFinished(_EndedTrial):
    """A trial ran to its end."""

    event: Literal["trial_finished"] = "trial_finished"


StopKind = Literal["rung", "probe", "constraint", "memory", "sweep", "remeasured"]
"""What ended a trial early: its rank at a rung, its costs at the probe, a constraint that it cannot meet any more, lack
of memory, the sweep's own end, or that it ran for its costs alone, which are known."""


class TrialStopped(_EndedTrial):
    """A trial was ended before its last epoch; what it reported until then stands."""

    event: Literal["trial_stopped"] = "trial_stopped"
    reason: str
    """In plain words, as `epoch 3: dominated on both objectives by t004, t017`."""
    kind: StopKind = "sweep"


FailureKind = Literal["error", "died", "diverged", "memory_taken"]
"""What made a trial fail: an error of its own, the death of its process or node, values that are not finite, or memory
that others held."""
RUNS_AGAIN: tuple[FailureKind, ...] = ("died", "memory_taken")
"""Failures that say nothing about a config."""


class TrialFailed(_Event):
    """A trial ended without a result."""

    event: Literal["trial_failed"] = "trial_failed"
    trial_id: TrialId
    reason: str
    kind: FailureKind = "error"
    node: str | None = None
    """The node that it ran on, where that is known."""


SweepEnd = Literal["completed", "interrupted", "time_budget", "disk_full", "deaths"]
"""What ended a session; `disk_full` stands for every disk that took no more, a failing or read-only one too, `deaths`
for too many trials that died in a row."""


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
    if value is None or isinstance(value, str | int | float | bool):
        return value
    assert isinstance(value, Mapping | list | tuple), f"{value!r} is not a value of YAML"
    return json.dumps(value)
