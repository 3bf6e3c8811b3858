"""The view's progress: the hypervolume as trials ended, and what early stopping saved."""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.events import StopKind
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.pareto.objectives import loss_of, reference_losses
from mtbert_ray.reporting.facts import seconds_run
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.trial import Trial

# N compared trials, M objectives

_SAVED_BY: dict[StopKind, str] = {
    "rung": "rank at a rung",
    "probe": "costs at the probe",
    "constraint": "a constraint",
    "memory": "out of memory",
}


class HypervolumeView(TypedDict):
    """The hypervolume of the feasible finished trials after each trial that ended, in the order of their ends."""

    trials: list[str]
    volumes: list[float]
    box: float | None
    """The volume between the reference and the ideal point, which shares are of; null where nothing bounds it."""
    hours: list[float]
    """Hours of the sweep until then, without pauses."""
    device_hours: list[float]
    """What all trials that had ended had spent in training."""
    device: str
    """`GPU-hours`, or `training hours` where no GPU was held."""


class SavedView(TypedDict):
    """What early stopping saved; seconds are of training, and null where nothing projects them."""

    epochs_trained: int
    epochs_planned: int
    """Of the trials that finished or were stopped by a decision, had each run to its end."""
    seconds_spent: float | None
    seconds_saved: float | None
    causes: list[tuple[str, int, int]]
    """A cause, the trials that it stopped, their epochs that were not trained."""


def hypervolume_view(outcome: Outcome, ideal_M: Sequence[float | None]) -> HypervolumeView | None:
    """Return the hypervolume over time; none where no trial dominates any of it."""
    ended = sorted(
        (trial for trial in outcome.sweep.trials if trial.ended is not None and not trial.is_interrupted),
        key=lambda trial: trial.ended or 0.0,
    )
    places = {trial.trial_id: place for place, trial in enumerate(outcome.compared) if outcome.feasible[place]}
    if not places:
        return None
    reference_M = reference_losses(outcome.objectives)
    volumes: list[float] = []
    front_FM = np.zeros((0, len(reference_M)))
    for trial in ended:
        volume = volumes[-1] if volumes else 0.0
        place = places.get(trial.trial_id)
        if place is not None and not (front_FM <= outcome.losses[place]).all(axis=1).any():
            losses_M = outcome.losses[place]
            front_FM = np.vstack([front_FM[~(losses_M <= front_FM).all(axis=1)], losses_M])
            volume = hypervolume(front_FM, reference_M)
        volumes.append(volume)
    if not volumes[-1]:
        return None
    spent = [trial.metrics for trial in ended]
    has_gpu = any(metrics.get("gpu_seconds") is not None for metrics in spent)
    seconds = [float(metrics.get("gpu_seconds" if has_gpu else "train_seconds") or 0.0) for metrics in spent]
    return HypervolumeView(
        trials=[trial.trial_id for trial in ended],
        volumes=volumes,
        box=_box(outcome, reference_M, ideal_M),
        hours=[seconds_run(outcome.sweep, trial.ended or 0.0) / 3600 for trial in ended],
        device_hours=(np.cumsum(seconds) / 3600).tolist(),
        device="GPU-hours" if has_gpu else "training hours",
    )


def _box(outcome: Outcome, reference_M: NDArray[np.float64], ideal_M: Sequence[float | None]) -> float | None:
    if any(ideal is None for ideal in ideal_M):
        return None
    directions = [objective.direction for objective in outcome.objectives.values()]
    losses_M = [loss_of(ideal or 0.0, direction) for ideal, direction in zip(ideal_M, directions, strict=True)]
    volume = math.prod((reference_M - losses_M).tolist())
    return volume if volume > 0 and (reference_M > losses_M).all() else None


def saved_view(outcome: Outcome) -> SavedView:
    """Return what was left out by stopping trials early."""
    ended = [
        trial
        for trial in outcome.sweep.trials
        if trial.status in ("finished", "stopped") and trial.stop_kind != "sweep"
    ]
    stopped = [trial for trial in ended if trial.status == "stopped"]
    spent = [trial.metrics.get("train_seconds") for trial in ended]
    left = [_seconds_left(trial) for trial in stopped]
    known = [seconds for seconds in left if seconds is not None]
    return SavedView(
        epochs_trained=sum(len(trial.epochs) for trial in ended),
        epochs_planned=sum(trial.num_epochs for trial in ended),
        seconds_spent=sum(seconds for seconds in spent if seconds is not None)
        if any(seconds is not None for seconds in spent)
        else None,
        seconds_saved=sum(known) if known else None,
        causes=[
            (cause, len(own), sum(trial.num_epochs - len(trial.epochs) for trial in own))
            for kind, cause in _SAVED_BY.items()
            if (own := [trial for trial in stopped if trial.stop_kind == kind])
        ],
    )


def _seconds_left(trial: Trial) -> float | None:
    projected, spent = trial.projection.get("train_seconds"), trial.metrics.get("train_seconds")
    return None if projected is None or spent is None else max(0.0, projected - spent)
