"""Turns a trial's metrics into losses, all minimized, and measures how far it violates its constraints.

The one place where signs flip. It also finds the best values so far, and those that do not reach the reference.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import METRICS, Metrics, Objectives
from mtbert_ray.task_metrics import Direction
from mtbert_ray.trial import Trial

# M objectives, N points


def to_losses(metrics: Metrics, objectives: Objectives) -> NDArray[np.float64] | None:
    """Return the losses `(M,)` of one trial, in the order of the objectives.

    None when the metric of any objective is missing, null, NaN or infinite: such a trial cannot be compared.
    """
    losses = []
    for name, objective in objectives.items():
        value = metrics.get(name)
        if value is None or not math.isfinite(value):
            return None
        losses.append(loss_of(value, objective.direction))
    return np.array(losses, dtype=np.float64)


def reference_losses(objectives: Objectives) -> NDArray[np.float64]:
    """Return the hypervolume's reference point `(M,)` as losses."""
    return np.array([loss_of(objective.reference, objective.direction) for objective in objectives.values()])


def losses_to_values(losses_NM: NDArray[np.float64], objectives: Objectives) -> NDArray[np.float64]:
    """Return the metrics `(N, M)`, or `(M,)`, that losses of the same shape stand for."""
    signs_M = np.array([loss_of(1.0, objective.direction) for objective in objectives.values()], dtype=np.float64)
    return np.multiply(losses_NM, signs_M)


def constraint_violation(metrics: Metrics, objectives: Objectives) -> float:
    """Return how far a trial violates its constraints; 0 when it is feasible.

    The sum over the violated constraints of the excess as a share of the constraint's magnitude (Deb and Jain 2014,
    part II, section II): 0.1 is ten percent over budget. A constraint of 0 counts its excess in the metric's own
    unit. Infinite when a constrained metric is missing, null, NaN or infinite.
    """
    violation = 0.0
    for name, objective in objectives.items():
        if objective.constraint is None:
            continue
        value = metrics.get(name)
        if value is None or not math.isfinite(value):
            return math.inf
        excess = loss_of(value, objective.direction) - loss_of(objective.constraint, objective.direction)
        violation += max(0.0, excess) / (abs(objective.constraint) or 1.0)
    return violation


def violation_of_losses(losses_M: NDArray[np.float64], objectives: Objectives) -> float:
    """Return the `constraint_violation` of the metrics that losses `(M,)` stand for."""
    return constraint_violation(
        dict(zip(objectives, losses_to_values(losses_M, objectives).tolist(), strict=True)), objectives
    )


def known_violation(metrics: Metrics, objectives: Objectives) -> float:
    """Return how far a trial's known metrics violate its bounds; 0 when they do not.

    As `constraint_violation`, but metrics without a value are left out, and the bound of an objective without a
    constraint is its reference: beyond it nothing counts towards the hypervolume.
    """
    violation = 0.0
    for name, objective in objectives.items():
        value = metrics.get(name)
        if value is None or not math.isfinite(value):
            continue
        bound = objective.reference if objective.constraint is None else objective.constraint
        violation += max(0.0, loss_of(value, objective.direction) - loss_of(bound, objective.direction)) / (
            abs(bound) or 1.0
        )
    return violation


def is_feasible(metrics: Metrics, objectives: Objectives) -> bool:
    """Whether a trial meets every constraint; a value at the bound does."""
    return constraint_violation(metrics, objectives) == 0.0


def best_values(
    objectives: Objectives, trials: Iterable[Trial], *, so_far: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return objective -> its best value among trials; objectives without any value are left out.

    Running and stopped trials count with what they have reached, but not in totals such as seconds, which only a
    finished trial has. Failed trials do not count.

    Args:
        objectives: of the sweep.
        trials: in any order.
        so_far: the best values of other trials, which count as well.
    """
    best = dict(so_far or {})
    for trial in trials:
        if trial.status == "failed" or not trial.epochs:
            continue
        metrics = trial.metrics
        for name, objective in objectives.items():
            is_total = name in METRICS and METRICS[name].over_time == "total"
            value = metrics.get(name)
            if value is None or not math.isfinite(value) or (is_total and trial.status != "finished"):
                continue
            if name not in best or loss_of(value, objective.direction) < loss_of(best[name], objective.direction):
                best[name] = float(value)
    return best


def unreached_references(objectives: Objectives, best: Mapping[str, float]) -> dict[str, float]:
    """Return the best values that are no better than their reference, in the order of the objectives."""
    return {
        name: best[name]
        for name, objective in objectives.items()
        if name in best
        and loss_of(best[name], objective.direction) >= loss_of(objective.reference, objective.direction)
    }


def loss_of(value: float, direction: Direction) -> float:
    """Return one value as a loss: the sign flips where it is maximized."""
    return value if direction == "minimize" else -value
