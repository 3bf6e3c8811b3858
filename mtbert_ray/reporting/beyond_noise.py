"""What of a sweep's differences is more than noise, all of it at once: the critical value, comparisons, the front.

The error of each difference between two trials is compared with the largest of all such errors, each in its own
standard error: the studentized maximum of the bootstrap (Romano and Wolf 2005; Chernozhukov, Chetverikov and Kato
2013). So the best of many trials gets no credit for being the luckiest of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import Objective, Objectives
from mtbert_ray.pareto.objectives import loss_of
from mtbert_ray.reporting.noise import NOT_KNOWN, Noise

# B draws, N trials

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CONFIDENCE = 0.95
_QUANTILE = CONFIDENCE + 0.01
"""A point in reserve: of ten trials alike on 200 rows, 6.1% of 1,200 simulated sweeps exceeded the quantile of 95%."""
_LEAST_CRITICAL = 1.96
"""Of one difference alone."""
_NEVER = 1e9
"""With a handful of dev rows nothing is beyond noise."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One trial against another in an objective, in the metric's unit."""

    objective: str
    difference: float
    """The first one's estimate minus the second one's."""
    low: float
    high: float
    """The difference as it may truly be, for all pairs and objectives of the sweep at once; NaN where not known."""
    is_beyond_noise: bool | None
    """None where the noise is not known."""


def critical_value(noises: Sequence[Noise], objectives: Objectives) -> float:
    """Return how many of its yardsticks the largest difference that is noise alone exceeds in 5% of sweeps.

    Differences are those between any two trials, in any objective, and those from any constraint. Standard errors are
    estimated from the rows as well, and where a difference is large by chance they are small: a t of R rows counts as
    t / sqrt(1 + t^2 / R), which is the score test's (of accuracies McNemar's).
    """
    largest_B = np.zeros(0, dtype=np.float32)
    for noise, objective in zip(noises, objectives.values(), strict=True):
        if not noise.is_known:
            continue
        of_objective = _largest_errors(noise, with_single=objective.constraint is not None)
        largest_B = np.maximum(largest_B, of_objective, dtype=np.float32) if len(largest_B) else of_objective
    if not len(largest_B):
        return _LEAST_CRITICAL
    critical = max(_LEAST_CRITICAL, float(np.quantile(largest_B, _QUANTILE)))
    num_rows = min([noise.num_rows for noise in noises if noise.num_rows is not None], default=None)
    left = 1.0 if num_rows is None else 1 - critical**2 / num_rows
    return critical / math.sqrt(left) if left > 0 else _NEVER


def _largest_errors(noise: Noise, *, with_single: bool) -> NDArray[np.float32]:
    """Return for each draw the largest (B,) error of a difference between two trials, by its yardstick."""
    yards_NN = noise.yards_of_differences
    deviations_NB = np.ascontiguousarray(noise.deviations.T, dtype=np.float32)
    largest_B = np.zeros(deviations_NB.shape[1], dtype=np.float32)
    for place in range(len(deviations_NB) - 1):
        per_error = _inverse(yards_NN[place, place + 1 :])
        ratios = np.abs(deviations_NB[place + 1 :] - deviations_NB[place]) * per_error[:, None]
        np.maximum(largest_B, ratios.max(axis=0), out=largest_B)
    if with_single:
        per_error = _inverse(noise.yards)
        np.maximum(largest_B, np.abs(deviations_NB * per_error[:, None]).max(axis=0), out=largest_B)
    return largest_B


def _inverse(errors: Floats) -> NDArray[np.float32]:
    """Return 1 / error; 0 where there is none, or it is not known."""
    is_error = errors > 0
    return np.where(is_error, 1 / np.where(is_error, errors, 1.0), 0.0).astype(np.float32)


def reach_of(noise: Noise, yards: Floats, critical: float) -> Floats:
    """Return how far values may differ by noise alone, on its scale; with a handful of dev rows without end."""
    return np.full_like(yards, np.inf) if critical >= _NEVER and noise.num_rows is not None else critical * yards


def compare(noise: Noise, critical: float, name: str, first: int, second: int) -> Comparison:
    """Return how two trials, by their places, differ in an objective."""
    estimates = noise.estimates[[first, second]]
    difference = float(estimates[0] - estimates[1])
    reach_1 = reach_of(noise, noise.yards_of_differences[first, [second]], critical)
    reach = float("nan") if noise.source == NOT_KNOWN else float(reach_1[0])
    on_scale = noise.scaled(estimates)
    middle = float(on_scale[0] - on_scale[1])
    ends = np.array([middle - reach, middle + reach])
    with np.errstate(over="ignore"):  # Of costs that one rerun tells, anything may be.
        low, high = np.expm1(ends) * estimates[1] if noise.is_log else ends
    return Comparison(
        objective=name,
        difference=difference,
        low=float(low),
        high=float(high),
        is_beyond_noise=None if np.isnan(reach) else abs(middle) > reach,
    )


def may_be_on_front(noises: Sequence[Noise], critical: float, objectives: Objectives, num_trials: int) -> Flags:
    """Return which trials (N,) may be feasible and not dominated, as far as noise leaves it open."""
    surely_feasible = np.ones(num_trials, dtype=np.bool_)
    maybe_feasible = np.ones(num_trials, dtype=np.bool_)
    for noise, objective in zip(noises, objectives.values(), strict=True):
        sure, maybe = _meet_constraint(noise, objective, critical)
        surely_feasible &= sure
        maybe_feasible &= maybe
    beaten_NN = beaten_beyond_noise(noises, critical, objectives, num_trials) & surely_feasible
    return np.asarray(maybe_feasible & ~beaten_NN.any(axis=1))


def beaten_beyond_noise(noises: Sequence[Noise], critical: float, objectives: Objectives, num_trials: int) -> Flags:
    """Return (N, N): which trials each other one beats in every objective, beyond noise where there is any."""
    nowhere_worse = np.ones((num_trials, num_trials), dtype=np.bool_)
    somewhere_better = np.zeros_like(nowhere_worse)
    for noise, objective in zip(noises, objectives.values(), strict=True):
        losses_N = loss_of(1.0, objective.direction) * noise.scaled(noise.estimates)
        ahead_NN = losses_N[:, None] - losses_N
        # A comparison with NaN, of a trial whose noise is not known, is false: nothing is sure of it.
        is_sure = ahead_NN >= reach_of(noise, noise.yards_of_differences, critical)
        nowhere_worse &= is_sure
        somewhere_better |= is_sure & (ahead_NN > 0)
    return np.asarray(nowhere_worse & somewhere_better)


def _meet_constraint(noise: Noise, objective: Objective, critical: float) -> tuple[Flags, Flags]:
    """Return which trials surely meet a constraint, and which may."""
    always = np.ones(len(noise.estimates), dtype=np.bool_)
    if objective.constraint is None:
        return always, always
    if noise.is_log and objective.constraint <= 0:  # Of a journal alone: no cost lies there.
        meets = always if objective.direction == "maximize" else ~always
        return meets, meets
    sign = loss_of(1.0, objective.direction)
    beyond = sign * (noise.scaled(noise.estimates) - noise.scaled(np.array(objective.constraint)))
    reach = reach_of(noise, noise.yards, critical)
    return beyond <= -reach, ~(beyond > reach)
