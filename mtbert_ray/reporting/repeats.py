"""What further runs of the front's configs gave: means and spread over seeds, costs alone, and the front by these."""

from dataclasses import dataclass
from statistics import stdev

import numpy as np

from mtbert_ray.pareto.front import front_mask
from mtbert_ray.pareto.objectives import loss_of
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.uncertainty import Uncertainty
from mtbert_ray.reporting.wording import joined, quantity
from mtbert_ray.trial import Trial, is_score


@dataclass(frozen=True, kw_only=True)
class RerunTrial:
    """A trial with reruns; texts have one entry an objective, with units."""

    trial_id: str
    num_runs: int
    """With its own."""
    own: tuple[str, ...]
    """As the trial itself had it."""
    estimates: tuple[str, ...]
    """Means over seeds with their standard deviation, costs as they were alone."""


@dataclass(frozen=True, kw_only=True)
class RerunSummary:
    """All trials with reruns, in the order of the front."""

    trials: tuple[RerunTrial, ...]
    text: str
    """How the front changed."""


def rerun_summary(outcome: Outcome, uncertainty: Uncertainty) -> RerunSummary | None:
    """Return what the reruns gave; None without any that has ended with figures."""
    sweep = outcome.sweep
    order = [*outcome.front, *(trial for trial in outcome.compared if trial.trial_id not in outcome.front_ids)]
    again = [
        trial
        for trial in order
        if sweep.repeats_of(trial.trial_id) or sweep.remeasurement_of(trial.trial_id) is not None
    ]
    if not again:
        return None
    return RerunSummary(
        trials=tuple(_row(trial, outcome, uncertainty) for trial in again), text=_change(outcome, uncertainty)
    )


def _row(trial: Trial, outcome: Outcome, uncertainty: Uncertainty) -> RerunTrial:
    place = next(place for place, other in enumerate(outcome.compared) if other is trial)
    runs = [trial, *outcome.sweep.repeats_of(trial.trial_id)]
    estimates = []
    for name, value in zip(outcome.objectives, uncertainty.estimates[place].tolist(), strict=True):
        values = [float(known) for run in runs if (known := run.metrics.get(name)) is not None]
        is_spread = len(values) > 1 and is_score(name, trial.tasks)
        estimates.append(quantity(name, value) + (f" ± {quantity(name, stdev(values))}" if is_spread else ""))
    return RerunTrial(
        trial_id=trial.trial_id,
        num_runs=len(runs),
        own=tuple(quantity(name, trial.metrics[name]) for name in outcome.objectives),
        estimates=tuple(estimates),
    )


def _change(outcome: Outcome, uncertainty: Uncertainty) -> str:
    signs_M = np.array([loss_of(1.0, objective.direction) for objective in outcome.objectives.values()])
    feasible = np.flatnonzero(outcome.feasible)
    on_front = feasible[front_mask((uncertainty.estimates * signs_M)[feasible])]
    now = {outcome.compared[place].trial_id for place in on_front}
    left = [trial.trial_id for trial in outcome.front if trial.trial_id not in now]
    new = sorted(now - outcome.front_ids)
    if not left and not new:
        return "By these figures the front is the same."
    changes = [f"{joined(left)} {'leaves' if len(left) == 1 else 'leave'} it"] if left else []
    if new:
        changes.append(
            f"{joined(new)} come onto it, each by a single run"
            if len(new) > 1
            else f"{new[0]} comes onto it, by a single run"
        )
    return f"By these figures the front changes: {joined(changes)}."
