"""A searcher that breeds from the front and screens the offspring, early results of stopped trials included.

Everything is minimised. Knows nothing of Ray, of metrics or of how trials are stopped.
"""

import math
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from mtbert_ray.pareto.priority import priorities
from mtbert_ray.tuning.searchers.coordinates import coordinates
from mtbert_ray.tuning.searchers.early_results import FULL, EarlyResults
from mtbert_ray.tuning.searchers.offspring import OffspringSuggest
from mtbert_ray.tuning.searchers.surrogate import GaussianProcess
from mtbert_ray.tuning.searchers.unseen import MAX_REDRAWS, Unseen
from mtbert_ray.tuning.space.model import SearchSpace
from mtbert_ray.tuning.space.random_suggest import RandomSuggest

# N trials, M objectives, C candidates, D coordinates, F points of the front

# All by measurement on the tuning half of benchmarks/scheduling.py; docs/scheduling.md has what else was tried.
_MIN_RESULTS = 4
"""Trials with results before anything is learnt from them."""
_RANDOM_SHARE = 0.15
"""Of the suggestions, drawn from the whole space unscreened: what keeps a wrong model from being final."""
_NUM_CANDIDATES = 32
_RANDOM_CANDIDATES = 0.5
"""Share of the candidates that are random; the rest is bred."""
_CROSSOVER_SHARE = 0.5
"""Of the bred candidates, with two parents."""
_MIN_MUTATION_RATE = 0.2
_SPREAD = 0.3
_OPTIMISM = 2.0
"""Standard deviations below the predicted losses at which a candidate is judged."""
_MAX_MODELLED = 60
"""Trials the model is fitted to: half of them the best, the others drawn."""
_REFIT_SHARE = 0.1
"""The model is fitted again when this share of the trials is new."""


class FrontSearcher:
    """Suggests what promises most hypervolume beyond the front, among random settings and offspring of the front.

    What each trial would reach is extrapolated from what it has reached, so that stopped trials teach as well; a
    Gaussian process on that predicts the candidates. Trials that run and have not reported count as they are
    predicted, so that parallel trials spread. Failed and infeasible trials make their surroundings unlikely.

    Args:
        space: what to draw from; its seed seeds the draws.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._rng = np.random.default_rng(space.seed)
        self._unseen = Unseen(space, self._rng)
        self._settings: list[dict[str, Any]] = []
        self._points: list[NDArray[np.float64]] = []
        self._waiting: set[int] = set()
        self._results = EarlyResults()
        self._failed: set[int] = set()
        self._model: _Model | None = None

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and a setting that has not been suggested before."""
        if len(self._results) >= _MIN_RESULTS and self._rng.random() >= _RANDOM_SHARE:
            values = self._most_promising()
            if values is not None:
                return self._open(values)
        suggest = RandomSuggest(self._rng)
        for _ in range(MAX_REDRAWS):
            values = self._space.sample(suggest)
            if not self._unseen.knows(values):
                return self._open(values)
        left = self._unseen.one_left()
        return None if left is None else self._open(left)

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take the result of a full run, or None of a failed one."""
        self._waiting.remove(key)
        if not self._note(key, FULL, losses, violation):
            self._failed.add(key)

    def tell_progress(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Take what a setting has reached so far."""
        if key not in self._waiting:
            raise KeyError(key)
        self._note(key, resource, losses, violation)

    def tell_stopped(self, key: int) -> None:
        """Take note that no more comes; what came stays."""
        self._waiting.remove(key)

    def _open(self, values: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._unseen.add(values)
        key = len(self._settings)
        self._settings.append(values)
        self._points.append(coordinates(self._space.search, values))
        self._waiting.add(key)
        return key, values

    def _note(self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float) -> bool:
        if losses is None or not np.isfinite(losses).all() or math.isnan(violation):
            return False
        self._results.add(key, resource, losses, violation)
        return True

    def _most_promising(self) -> dict[str, Any] | None:
        """Return the best new candidate, or None when none of them is new."""
        keys, losses_NM, violations_N = self._results.extrapolated()
        priorities_N = priorities(losses_NM, violations_N)
        # Where none is feasible, those nearest to it.
        best_N = priorities_N == priorities_N.min()
        candidates = self._candidates([self._settings[key] for key, best in zip(keys, best_N, strict=True) if best])
        if not candidates:
            return None
        if self._model is None or len(keys) >= self._model.num_trials + max(3, _REFIT_SHARE * len(keys)):
            self._model = self._fitted(keys, losses_NM, violations_N, priorities_N)
        points_CD = np.array([coordinates(self._space.search, values) for values in candidates])
        front_FM = losses_NM[best_N & (violations_N <= 0)]
        running = [self._points[key] for key in sorted(self._waiting) if key not in self._results]
        scores_C = self._model.scores(points_CD, front_FM, np.array(running).reshape(-1, points_CD.shape[1]))
        return candidates[int(scores_C.argmax())]

    def _candidates(self, parents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        candidates = []
        for _ in range(_NUM_CANDIDATES):
            if self._rng.random() < _RANDOM_CANDIDATES:
                values = self._space.sample(RandomSuggest(self._rng))
            else:
                count = 2 if self._rng.random() < _CROSSOVER_SHARE else 1
                suggest = OffspringSuggest(
                    self._rng,
                    [parents[int(index)] for index in self._rng.integers(len(parents), size=count)],
                    mutation_rate=max(_MIN_MUTATION_RATE, 1 / max(1, len(self._space.search))),
                    spread=_SPREAD,
                )
                values = self._space.sample(suggest)
            if not self._unseen.knows(values):
                candidates.append(values)
        return candidates

    def _fitted(
        self,
        keys: tuple[int, ...],
        losses_NM: NDArray[np.float64],
        violations_N: NDArray[np.float64],
        priorities_N: NDArray[np.float64],
    ) -> "_Model":
        """Return a model of the best trials and of a random part of the others."""
        order_N = np.argsort(priorities_N, kind="stable")
        best_N, others_N = np.split(order_N, [_MAX_MODELLED // 2])
        room = _MAX_MODELLED - len(best_N)
        if len(others_N) > room:
            others_N = self._rng.choice(others_N, room, replace=False)
        chosen_N = np.concatenate([best_N, others_N])
        failed = [self._points[key] for key in sorted(self._failed - set(keys))][-_MAX_MODELLED:]
        return _Model(
            num_trials=len(keys),
            points_ND=np.array([self._points[keys[index]] for index in chosen_N]),
            losses_NM=losses_NM[chosen_N],
            violations_N=violations_N[chosen_N],
            failed_points=failed,
        )


class _Model:
    """What candidates are worth: the hypervolume they promise, times the probability that they are feasible."""

    def __init__(
        self,
        *,
        num_trials: int,
        points_ND: NDArray[np.float64],
        losses_NM: NDArray[np.float64],
        violations_N: NDArray[np.float64],
        failed_points: list[NDArray[np.float64]],
    ) -> None:
        self.num_trials = num_trials
        self._losses = GaussianProcess(points_ND, losses_NM)
        self._low_M, range_M = losses_NM.min(axis=0), np.ptp(losses_NM, axis=0)
        self._range_M = np.where(range_M > 0, range_M, 1.0)
        infeasible_N = np.concatenate([violations_N > 0, np.ones(len(failed_points), dtype=np.bool_)])
        self._infeasible: GaussianProcess | None = None
        if infeasible_N.any():
            all_points_ND = np.array([*points_ND, *failed_points])
            # Where none is feasible the excess itself shows the way; failures count as twice the worst of it.
            finite_N = np.minimum(violations_N, 2 * violations_N[np.isfinite(violations_N)].max(initial=1.0))
            excess_N = np.concatenate([finite_N, np.full(len(failed_points), 2 * finite_N.max(initial=1.0))])
            target_N = excess_N if infeasible_N.all() else infeasible_N.astype(np.float64)
            self._none_feasible = bool(infeasible_N.all())
            self._infeasible = GaussianProcess(all_points_ND, target_N[:, None])

    def scores(
        self, points_CD: NDArray[np.float64], front_FM: NDArray[np.float64], running_RD: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the worth `(C,)` of candidates, given the feasible front and the trials under way."""
        unlikely_C = self._infeasible.predict(points_CD)[0][:, 0] if self._infeasible is not None else 0.0
        if self._infeasible is not None and self._none_feasible:
            return -np.asarray(unlikely_C)
        means_CM, deviations_CM = self._losses.predict(points_CD)
        hopes_CM = self._scaled(means_CM - _OPTIMISM * deviations_CM)
        known_FM = self._scaled(front_FM)
        if len(running_RD):
            known_FM = np.concatenate([known_FM, self._scaled(self._losses.predict(running_RD)[0])])
        reference_M = np.full(hopes_CM.shape[1], 1.1)
        volumes_C = [float(moocore.hypervolume(np.vstack([known_FM, hope_M]), ref=reference_M)) for hope_M in hopes_CM]
        gains_C = np.array(volumes_C) - float(moocore.hypervolume(known_FM, ref=reference_M))
        return np.asarray(gains_C * (1 - np.clip(unlikely_C, 0, 1)))

    def _scaled(self, losses_NM: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = (losses_NM - self._low_M) / self._range_M
        return scaled
