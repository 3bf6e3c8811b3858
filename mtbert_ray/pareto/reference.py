"""Finds the objectives in which no trial is better than the reference: without such a trial the hypervolume is 0."""

import math
from collections.abc import Iterable

from mtbert_ray.metrics import METRICS
from mtbert_ray.objective import Objectives
from mtbert_ray.pareto.objectives import loss_of
from mtbert_ray.records import TrialRecord


def unreached_references(objectives: Objectives, trials: Iterable[TrialRecord]) -> dict[str, float]:
    """Return objective -> the best value of it so far, where that is no better than the reference.

    Trials that still run, or were stopped, count with what they have reached; but not for what adds up while they
    train, as seconds, which is known only of a trial that finished. Failed trials do not count. An objective that no
    trial has a value for is not among them.
    """
    trials = [trial for trial in trials if trial.status != "failed" and trial.epochs]
    unreached = {}
    for name, objective in objectives.items():
        adds_up = name in METRICS and METRICS[name].over_time == "total"
        values = [
            float(value)
            for trial in trials
            if (trial.status == "finished" or not adds_up)
            and (value := trial.metrics.get(name)) is not None
            and math.isfinite(value)
        ]
        if not values:
            continue
        best = min(values, key=lambda value: loss_of(value, objective.direction))
        if loss_of(best, objective.direction) >= loss_of(objective.reference, objective.direction):
            unreached[name] = best
    return unreached
