"""The view's trials: what each was, scored and cost, and how to get it; its hyperparameters; the curves of epochs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from mtbert_ray.events import as_scalar
from mtbert_ray.metrics import MetricValue
from mtbert_ray.pareto.objectives import is_feasible
from mtbert_ray.reporting.failures import reason_of, status_of
from mtbert_ray.reporting.outcome import Outcome, kept_checkpoint
from mtbert_ray.reporting.sharing import marks_of
from mtbert_ray.reporting.view_judgement import Judgement, TrialNoise, noise_by_trial
from mtbert_ray.reporting.wording import command_line, config_value
from mtbert_ray.trial import Sweep, Trial

_MAX_LISTED = 6
"""Different numbers that a hyperparameter is still shown as a list of."""


class HyperparameterView(TypedDict):
    """One searched key."""

    name: str
    kind: Literal["number", "category"]
    log: bool
    """Whether the space draws it on a logarithmic scale."""
    values: list[str]
    """Of a category, in the order of an axis; empty for numbers."""


class TrialView(TypedDict):
    """One trial; lists are in the order of the view's `metrics` and `hyperparameters`."""

    id: str
    experiment: str | None
    status: str
    reason: str | None
    values: list[float | str | None]
    metrics: list[MetricValue]
    epochs: int
    num_epochs: int
    attempts: int
    compared: bool
    on_front: bool
    feasible: bool | None
    """Null for trials that did not finish."""
    marks: list[str]
    """Why its costs may not be what they are alone."""
    train_command: str
    predict_command: str | None
    """Null when it has no checkpoint, or it was deleted."""
    noise: TrialNoise | None


class RerunView(TypedDict):
    """A further run of a trial's config."""

    id: str
    of: str | None
    purpose: str
    """With another seed; or alone, for its costs."""
    status: str
    objectives: list[MetricValue]
    """A value an objective; of a remeasurement the projected ones."""


class CurvesView(TypedDict):
    """What every trial reported after each epoch, with six digits."""

    metrics: list[str]
    values: dict[str, list[list[float | None]]]
    """Trial -> a list an epoch: its number, then a value a metric."""


def hyperparameters_of(outcome: Outcome) -> list[HyperparameterView]:
    """Return the searched keys, in the order of the space."""
    asked = outcome.sweep.started.space.get("search")
    search = asked if isinstance(asked, Mapping) else {}
    return [_hyperparameter(name, search.get(name), outcome.sweep) for name in outcome.sweep.started.hyperparameters]


def _hyperparameter(name: str, asked: object, sweep: Sweep) -> HyperparameterView:
    scalars = [as_scalar(trial.hyperparameters.get(name)) for trial in sweep.trials]
    present = [value for value in scalars if value is not None]
    numbers = [value for value in present if isinstance(value, int | float) and not isinstance(value, bool)]
    recorded = asked if isinstance(asked, Mapping) else {}
    kind = recorded.get("kind")
    is_range = kind in ("uniform", "loguniform", "int")
    if len(numbers) == len(present) and (is_range or len(set(numbers)) > _MAX_LISTED):
        log = kind == "loguniform" or recorded.get("log") is True
        return HyperparameterView(name=name, kind="number", log=log and min(numbers, default=1) > 0, values=[])
    if len(numbers) == len(present):
        words = [config_value(value) for value in sorted(set(numbers))]
    else:
        listed = recorded.get("values")
        order = [config_value(value) for value in listed] if isinstance(listed, list | tuple) else []
        tried = {config_value(value) for value in present}
        words = [word for word in dict.fromkeys(order) if word in tried] + sorted(tried - set(order))
    return HyperparameterView(name=name, kind="category", log=False, values=words)


def trials_of(
    outcome: Outcome,
    metrics: Sequence[str],
    hyperparameters: Sequence[HyperparameterView],
    folder: Path,
    judged: Judgement,
) -> list[TrialView]:
    """Return the trials that the searcher asked for, in the order in which they started."""
    front = {trial.trial_id for trial in outcome.front}
    compared = {trial.trial_id for trial in outcome.compared}
    noise = noise_by_trial(outcome, judged)
    views = []
    for trial in outcome.sweep.trials:
        reported = trial.metrics
        kept = kept_checkpoint(trial, outcome)
        views.append(
            TrialView(
                id=trial.trial_id,
                experiment=trial.config.get("experiment"),
                status=status_of(trial, outcome.sweep),
                reason=reason_of(trial),
                values=[_value(trial, hyperparameter) for hyperparameter in hyperparameters],
                metrics=[reported.get(name) for name in metrics],
                epochs=len(trial.epochs),
                num_epochs=trial.num_epochs,
                attempts=trial.attempts,
                compared=trial.trial_id in compared,
                on_front=trial.trial_id in front,
                feasible=is_feasible(reported, outcome.objectives) if trial.trial_id in compared else None,
                marks=marks_of(reported),
                train_command=command_line("train", "--config", folder / "trials" / trial.trial_id / "config.yaml"),
                predict_command=None if kept is None else command_line("predict", folder / kept),
                noise=noise.get(trial.trial_id),
            )
        )
    return views


def _value(trial: Trial, hyperparameter: HyperparameterView) -> float | str | None:
    value = as_scalar(trial.hyperparameters.get(hyperparameter["name"]))
    if value is None:
        return None
    return float(value) if hyperparameter["kind"] == "number" else config_value(value)


def reruns_of(outcome: Outcome) -> list[RerunView]:
    """Return the further runs of trials' configs."""
    return [
        RerunView(
            id=rerun.trial_id,
            of=rerun.of,
            purpose=rerun.purpose,
            status=status_of(rerun, outcome.sweep),
            objectives=[
                (rerun.projection if rerun.purpose == "remeasure" else rerun.metrics).get(name)
                for name in outcome.objectives
            ],
        )
        for rerun in outcome.sweep.reruns
    ]


def curves_of(outcome: Outcome) -> CurvesView:
    """Return the scores and losses of all epochs."""
    tasks = outcome.sweep.started.tasks
    wanted = ("dev_score", *tasks, "train_loss", *(f"train_loss.{task}" for task in tasks))
    trials = outcome.sweep.trials
    known = {name for trial in trials for epoch in trial.epochs for name in wanted if epoch.get(name) is not None}
    names = [name for name in wanted if name in known]
    return CurvesView(
        metrics=names,
        values={
            trial.trial_id: [
                [trial.epoch_at(place), *(_short(epoch.get(name)) for name in names)]
                for place, epoch in enumerate(trial.epochs)
            ]
            for trial in trials
            if trial.epochs
        },
    )


def _short(value: MetricValue) -> float | None:
    # A plot shows no more digits, and a page of 1,000 trials is a third of the size.
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
