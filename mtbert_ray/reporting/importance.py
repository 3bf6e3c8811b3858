"""Importance of each hyperparameter, for each objective and for reaching the front, with bootstrap intervals.

PED-ANOVA (Watanabe, Bansal and Hutter 2023), in the form for conditional hyperparameters that Optuna's evaluator has
(arXiv 2601.20800): how much the distribution of a hyperparameter among the best trials differs from that among all. The
numbers are those of `optuna.importance.PedAnovaImportanceEvaluator`, which a test compares. That takes 10 to 30 ms a
call, so 800 draws take up to half a minute; here all draws are taken at once, in under a second, and without Optuna.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from scipy.special import ndtr

from mtbert_ray.events import Scalar, as_scalar
from mtbert_ray.pareto.front import pareto_ranks
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange, Parameter

# N compared trials, M objectives, B draws, G places on a grid, T targets

Importance = tuple[float, float, float]
"""The share of one hyperparameter, and the ends of its 95% interval."""

FRONT_TARGET = "on_front"
"""The target of reaching the front; no task can have its name."""
MIN_TRIALS = 10
"""Fewer say nothing."""
_MIN_BEST = 5
"""Trials among the best, as Optuna advises."""
_BEST_SHARE = 0.1
_NUM_STEPS = 50
_PRIOR_WEIGHT = 1.0
_MIN_SIGMA = 0.5 / 1.64
_MIN_IN_REGIME = 2
_PARAMETER: TypeAdapter[Parameter] = TypeAdapter(Parameter)


def importance_of(
    outcome: Outcome, *, num_draws: int = 200, seed: int = 0
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return target -> hyperparameter -> its share of the importance, and the ends of the share's 95% interval.

    Targets are the objectives and, where there are several, `FRONT_TARGET`. The best are the tenth of the compared
    trials with the best values, but at least five (for the front: with the best Pareto ranks, feasible ones first). The
    shares of a target sum to 1; they are all 0 where its best trials are distributed as all of them. An interval is of
    the shares in resampled trials, so it is not of trials that the search might have drawn elsewhere.

    Nothing for fewer than `MIN_TRIALS` compared trials, or where no hyperparameter can vary.
    """
    num_trials = len(outcome.compared)
    grids = {
        name: grid for name in outcome.sweep.started.hyperparameters if (grid := _grid_of(name, outcome)) is not None
    }
    if num_trials < MIN_TRIALS or not grids:
        return {}
    rng = np.random.default_rng(seed)
    # The first draw is of the trials as they are.
    drawn_BN = np.vstack([np.arange(num_trials), rng.integers(num_trials, size=(num_draws, num_trials))])
    best = {name: _best(outcome.losses[drawn_BN, place]) for place, name in enumerate(outcome.objectives)}
    if len(best) > 1 and int(outcome.feasible.sum()) >= _MIN_BEST:
        best[FRONT_TARGET] = _best(np.array([_ranks(outcome, drawn_N) for drawn_N in drawn_BN]))
    values_TBH = np.stack([grid.importances(drawn_BN, list(best.values())) for grid in grids.values()], axis=-1)
    return {
        target: _with_intervals(values_BH, tuple(grids)) for target, values_BH in zip(best, values_TBH, strict=True)
    }


def best_share(num_trials: int) -> float:
    """Return the share of trials that count as the best."""
    return max(_BEST_SHARE, min(0.5, _MIN_BEST / num_trials))


def _with_intervals(values_BH: NDArray[np.float64], names: Sequence[str]) -> dict[str, Importance]:
    totals_B1 = values_BH.sum(axis=1, keepdims=True)
    shares_BH = values_BH / np.where(totals_B1 > 0, totals_B1, 1.0)
    lows, highs = np.quantile(shares_BH[1:], [0.025, 0.975], axis=0)
    # Resampled trials repeat, so a share may lie outside of its own draws.
    return {
        name: (share, min(low, share), max(high, share))
        for name, share, low, high in zip(names, shares_BH[0].tolist(), lows.tolist(), highs.tolist(), strict=True)
    }


def _best(losses_BN: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of the drawn trials are among the best `best_share`, all that are as good as the last among them."""
    num_trials = losses_BN.shape[1]
    last = math.ceil(best_share(num_trials) * num_trials) - 1
    cutoffs_B1 = np.partition(losses_BN, last, axis=1)[:, last : last + 1]
    return np.asarray(losses_BN <= cutoffs_B1)


def _ranks(outcome: Outcome, drawn_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the Pareto ranks of drawn trials among the feasible ones; infeasible ones come last."""
    feasible_N = outcome.feasible[drawn_N]
    ranks_N = np.full(len(drawn_N), math.inf)
    ranks_N[feasible_N] = pareto_ranks(outcome.losses[drawn_N[feasible_N]])
    return ranks_N


@dataclass(frozen=True, kw_only=True, eq=False)
class _Grid:
    """The values of one hyperparameter, as places on a grid."""

    places: NDArray[np.int64]
    """Of the trials `(N,)`; `size` for one that it does not apply to."""
    size: int
    is_categorical: bool

    def importances(self, drawn_BN: NDArray[np.int64], best: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
        """Return the importance `(T, B)` for each target and draw (theorem 4.2 there), up to a common factor."""
        # Each draw has its own row of places, and the last place of it is for trials that it does not apply to.
        cells_BN = self.places[drawn_BN] + np.arange(len(drawn_BN))[:, None] * (self.size + 1)
        all_BG = self._counts(cells_BN.ravel(), len(drawn_BN))
        density_BG = self._density(all_BG) + 1e-12
        num_all_B = all_BG.sum(axis=1)
        found = []
        for best_BN in best:
            best_BG = self._counts(cells_BN[best_BN], len(drawn_BN))
            best_density_BG = self._density(best_BG) + 1e-12
            divergence_B = (density_BG * (best_density_BG / density_BG - 1) ** 2).sum(axis=1)
            num_best_B = best_BG.sum(axis=1)
            share_B = (num_best_B / best_BN.sum(axis=1)) ** 2 / np.maximum(num_all_B, 1) * drawn_BN.shape[1]
            found.append(np.where((num_all_B >= _MIN_IN_REGIME) & (num_best_B > 0), share_B * divergence_B, 0.0))
        return np.array(found)

    def _counts(self, cells: NDArray[np.int64], num_draws: int) -> NDArray[np.float64]:
        counts = np.bincount(cells, minlength=num_draws * (self.size + 1))
        return counts.reshape(num_draws, self.size + 1)[:, :-1].astype(np.float64)

    def _density(self, counts_BG: NDArray[np.float64]) -> NDArray[np.float64]:
        return _categorical_density(counts_BG) if self.is_categorical else _numerical_density(counts_BG)


def _categorical_density(counts_BG: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Optuna's estimate: one kernel a seen choice, which leaves a little to the others, and a prior."""
    size = counts_BG.shape[1]
    kernels_B1 = (counts_BG > 0).sum(axis=1, keepdims=True) + 1
    total_B1 = counts_BG.sum(axis=1, keepdims=True)
    left_B1 = _PRIOR_WEIGHT / kernels_B1
    mixture_BG = (total_B1 * left_B1 + counts_BG) / (size * left_B1 + 1) + _PRIOR_WEIGHT / size
    return np.asarray(mixture_BG / (total_B1 + _PRIOR_WEIGHT))


def _numerical_density(counts_BG: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Optuna's estimate: truncated normal kernels by Scott's rule (1992), and a wide prior in the middle."""
    size = counts_BG.shape[1]
    places_G = np.arange(size, dtype=np.float64)
    total_B = np.maximum(counts_BG.sum(axis=1), 1.0)
    mean_B = counts_BG @ places_G / total_B
    squares_B = (counts_BG * (places_G - mean_B[:, None]) ** 2).sum(axis=1)
    deviation_B = np.sqrt(squares_B / np.maximum(1.0, total_B - 1))
    below_BG = counts_BG.cumsum(axis=1)
    first_quarter_B = (below_BG >= np.maximum(1, total_B // 4)[:, None]).argmax(axis=1)
    third_quarter_B = (below_BG > (total_B * 3 // 4)[:, None]).argmax(axis=1)
    spread_B = np.minimum((third_quarter_B - first_quarter_B) / 1.34, deviation_B)
    sigma_B = np.maximum(1.059 * spread_B * total_B**-0.2, _MIN_SIGMA)
    # Few sigmas are different: with many trials all are the smallest.
    sigmas_S, which_B = np.unique(sigma_B, return_inverse=True)
    result_BG = np.empty_like(counts_BG)
    for number, sigma in enumerate(sigmas_S):
        result_BG[which_B == number] = counts_BG[which_B == number] @ _kernels(places_G, sigma, size)
    prior_1G = _kernels(np.array([(size - 1) / 2]), float(size), size)
    return np.asarray((result_BG + _PRIOR_WEIGHT * prior_1G) / (total_B[:, None] + _PRIOR_WEIGHT))


def _kernels(centers_K: NDArray[np.float64], sigma: float, size: int) -> NDArray[np.float64]:
    """Return normal distributions `(K, G)` over the places of a grid, cut off at its ends."""
    edges_KG = ndtr((np.arange(size + 1) - 0.5 - centers_K[:, None]) / sigma)
    masses_KG = np.diff(edges_KG, axis=1)
    return np.asarray(masses_KG / masses_KG.sum(axis=1, keepdims=True))


def _grid_of(name: str, outcome: Outcome) -> _Grid | None:
    """Return the grid of a hyperparameter; none where it has a single value."""
    has_N = [name in trial.hyperparameters for trial in outcome.compared]
    values = [as_scalar(trial.hyperparameters.get(name)) for trial in outcome.compared]
    seen = [value for value, has in zip(values, has_N, strict=True) if has]
    match _parameter(outcome.sweep.started.space, name):
        case FloatRange(low=low, high=high, kind=kind) if _are_numbers(seen):
            size, log = _NUM_STEPS, kind == "loguniform"
        case IntRange(low=low, high=highest, step=step, log=log) if _are_numbers(seen):
            steps = (highest - low) // step
            high = low + steps * step
            size = min(_NUM_STEPS, math.ceil(math.log2(high - low + 1)) + 1 if log else steps + 1)
        case Choice(values=choices):
            return _categorical(values, has_N, [*map(as_scalar, choices), *seen])
        case _:  # A journal of another version, or one that was made up.
            return _categorical(values, has_N, seen)
    if low == high or not math.isfinite(float(high) - float(low)):
        return None
    numbers_N = np.array([value if has else low for value, has in zip(values, has_N, strict=True)], dtype=np.float64)
    places_N = _places(np.clip(numbers_N, low, high), low, high, size=size, log=log)
    return _Grid(places=np.where(has_N, places_N, size), size=size, is_categorical=False)


def _places(numbers_N: NDArray[np.float64], low: float, high: float, *, size: int, log: bool) -> NDArray[np.int64]:
    """Return the nearest places of a grid from `low` to `high`; halfway between two the lower one, as Optuna."""
    if log:
        numbers_N, low, high = np.log(numbers_N), math.log(low), math.log(high)
    return np.ceil((numbers_N - low) / ((high - low) / (size - 1)) - 0.5).clip(0, size - 1).astype(np.int64)


def _categorical(values: Sequence[Scalar], has_N: Sequence[bool], choices: Sequence[Scalar]) -> _Grid | None:
    # True is no 1 here.
    places = {key: place for place, key in enumerate(dict.fromkeys((isinstance(c, bool), c) for c in choices))}
    if len(places) < 2:
        return None
    of_trials = [
        places[isinstance(value, bool), value] if has else len(places) for value, has in zip(values, has_N, strict=True)
    ]
    return _Grid(places=np.array(of_trials, dtype=np.int64), size=len(places), is_categorical=True)


def _parameter(space: Mapping[str, Any], name: str) -> Parameter | None:
    """Return what a hyperparameter can be, as a journal has it; none where it has no such parameter."""
    search = space.get("search")
    content = search.get(name) if isinstance(search, Mapping) else None
    try:
        return _PARAMETER.validate_python(content)
    except ValidationError:
        return None


def _are_numbers(values: Sequence[Scalar]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
