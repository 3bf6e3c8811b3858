"""The front searcher: offspring of the Pareto front by crossover and mutation, screened by a surrogate model."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.config.keys import YamlValue
from mtbert_ray.pareto.front import priorities
from mtbert_ray.study.search.base import Unseen, coordinates
from mtbert_ray.study.search.early_results import FULL, EarlyResults
from mtbert_ray.study.search.front_model import FrontModel
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.study.space.parameters import RandomSuggest


class OffspringSuggest:
    """A `Suggest` that takes each value from one of one or two parents, and mutates it with `mutation_rate`.

    A key that no parent has is drawn at random. `spread` is the standard deviation of a mutated number, as a share of
    its range on its own scale.
    """

    def __init__(
        self, rng: np.random.Generator, parents: Sequence[Mapping[str, Any]], *, mutation_rate: float, spread: float
    ) -> None:
        self._rng = rng
        self._parents = parents
        self._mutation_rate = mutation_rate
        self._spread = spread
        self._random = RandomSuggest(rng)

    def categorical(self, key: str, choices: Sequence[YamlValue]) -> YamlValue:
        """Return a parent's choice, or any of them."""
        inherited = self._inherited(key)
        if not inherited or self._mutates():
            return self._random.categorical(key, choices)
        return inherited[0]

    def real(self, key: str, low: float, high: float, *, log: bool) -> float:
        """Return a parent's number or one near it."""
        inherited = self._inherited(key)
        if not inherited:
            return self._random.real(key, low, high, log=log)
        value = float(inherited[0])
        if not self._mutates():
            return value
        return min(max(self._moved(value, low, high, log=log), low), high)

    def integer(self, key: str, low: int, high: int, *, log: bool, step: int) -> int:
        """Return a parent's whole number or one near it; a change is never by less than a step."""
        inherited = self._inherited(key)
        if not inherited:
            return self._random.integer(key, low, high, log=log, step=step)
        value = int(inherited[0])
        if not self._mutates() or low == high:
            return value
        moved = self._moved(value, low, high, log=log)
        rounded = low + step * round((moved - low) / step)
        if rounded == value:
            rounded += step if moved > value else -step
        if not low <= rounded <= high:
            rounded = value + step if value == low else value - step
        return min(max(rounded, low), high)

    def _inherited(self, key: str) -> list[Any]:
        """Return a list of one parent's value, drawn where both have one; empty where none has."""
        values = [parent[key] for parent in self._parents if key in parent]
        return [values[int(self._rng.integers(len(values)))]] if values else []

    def _mutates(self) -> bool:
        return bool(self._rng.random() < self._mutation_rate)

    def _moved(self, value: float, low: float, high: float, *, log: bool) -> float:
        """Return a number near a value, reflected at the bounds, so that they do not collect what lies beyond."""
        if low == high:
            return low
        start, end, here = (math.log(x) if log else float(x) for x in (low, high, value))
        moved = here + self._spread * (end - start) * self._rng.normal()
        moved = start + abs(moved - start)
        moved = end - abs(end - moved)
        moved = min(max(moved, start), end)
        return math.exp(moved) if log else moved


# N trials, M objectives, C candidates, D coordinates, R running trials

# All by measurement on the tuning half of benchmarks/scheduling.py; docs/scheduling.md has what else was tried.
_MIN_RESULTS = 4
"""Trials with results before anything is learned from them."""
_RANDOM_SHARE = 0.15
"""Share of the suggestions that are random, so that a wrong model is corrected."""
_NUM_CANDIDATES = 32
_RANDOM_CANDIDATES = 0.5
"""Share of the candidates that are random; the rest is bred."""
_CROSSOVER_SHARE = 0.5
"""Of the bred candidates, with two parents."""
_MIN_MUTATION_RATE = 0.2
_SPREAD = 0.3
_MAX_MODELLED = 60
"""The model is fitted to at most so many trials, half of them the best, the others random."""
_REFIT_SHARE = 0.1
"""The model is fitted again when this share of the trials is new."""


class FrontSearcher:
    """Suggests the candidate with the most expected hypervolume gain, of random configs and offspring of the front.

    A Gaussian process on extrapolated results, so that pruned trials count too, predicts the candidates. Running
    trials without results count as predicted, so that parallel trials spread. Failed and infeasible trials make
    their neighborhood unlikely; while no trial is feasible, the violations are minimized instead.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._rng = np.random.default_rng(space.seed)
        self._unseen = Unseen(space, self._rng)
        self._configs: list[dict[str, Any]] = []
        self._points: list[NDArray[np.float64]] = []
        self._waiting: set[int] = set()
        self._results = EarlyResults(space.objectives)
        self._broken: dict[int, float] = {}
        self._failed: set[int] = set()
        self._model: FrontModel | None = None

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and a config that has not been suggested before."""
        if len(self._results) + len(self._broken) >= _MIN_RESULTS and self._rng.random() >= _RANDOM_SHARE:
            values = self._most_promising()
            if values is not None:
                return self.open(values), values
        values = self._unseen.random()
        return None if values is None else (self.open(values), values)

    def open(self, values: Mapping[str, Any]) -> int:
        """Return a key for a given config."""
        self._unseen.add(values)
        key = len(self._configs)
        self._configs.append(dict(values))
        self._points.append(coordinates(self._space.search, values))
        self._waiting.add(key)
        return key

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take a final result."""
        self._waiting.remove(key)
        if self._note(key, FULL, losses, violation):
            return
        if not violation > 0:
            self._failed.add(key)
            if self._results.discard(key):
                self._model = None  # It was fitted to the results of this trial.
        elif key in self._results:  # Its intermediate losses stay.
            self._results.set_violation(key, violation)
        else:
            self._broken[key] = violation

    def tell_intermediate(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Take an intermediate result."""
        if key not in self._waiting:
            raise KeyError(key)
        self._note(key, resource, losses, violation)

    def tell_stopped(self, key: int) -> None:
        """Take note of an end; the intermediate results stay."""
        self._waiting.remove(key)

    def _note(self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float) -> bool:
        if losses is None or not np.isfinite(losses).all() or math.isnan(violation):
            return False
        self._results.add(key, resource, losses, violation)
        return True

    def _most_promising(self) -> dict[str, Any] | None:
        """Return the best new candidate, or None when none of them is new."""
        keys, losses_NM, violations_N = self._results.extrapolated()
        priorities_N = priorities(losses_NM, violations_N) if keys else violations_N
        on_front_N = (priorities_N == priorities_N.min(initial=math.inf)) & (violations_N <= 0)
        parents = [key for key, is_on in zip(keys, on_front_N, strict=True) if is_on]
        if not parents:  # Where none is feasible, those nearest to it.
            excess = dict(zip(keys, violations_N, strict=True)) | self._broken
            parents = [key for key in sorted(excess) if excess[key] == min(excess.values())]
        candidates = self._candidates([self._configs[key] for key in parents])
        if not candidates:
            return None
        num_trials = len(keys) + len(self._broken) + len(self._failed)
        if self._model is None or num_trials >= self._model.num_trials + max(3, _REFIT_SHARE * num_trials):
            self._model = self._fitted(num_trials, keys, losses_NM, violations_N, priorities_N)
        points_CD = np.array([coordinates(self._space.search, values) for values in candidates])
        running = [self._points[key] for key in sorted(self._waiting) if key not in self._results]
        running_RD = np.array(running).reshape(-1, points_CD.shape[1])
        return candidates[int(self._model.scores(points_CD, losses_NM[on_front_N], running_RD).argmax())]

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
        num_trials: int,
        keys: tuple[int, ...],
        losses_NM: NDArray[np.float64],
        violations_N: NDArray[np.float64],
        priorities_N: NDArray[np.float64],
    ) -> FrontModel:
        order_N = np.argsort(priorities_N, kind="stable")
        best_N, others_N = np.split(order_N, [_MAX_MODELLED // 2])
        room = _MAX_MODELLED - len(best_N)
        if len(others_N) > room:
            others_N = self._rng.choice(others_N, room, replace=False)
        chosen_N = np.concatenate([best_N, others_N])
        broken = sorted(self._broken)[-_MAX_MODELLED:]
        failed = [self._points[key] for key in sorted(self._failed)][-_MAX_MODELLED:]
        return FrontModel(
            num_trials=num_trials,
            points=[self._points[keys[index]] for index in chosen_N],
            losses_NM=losses_NM[chosen_N],
            violations=[*violations_N[chosen_N], *(self._broken[key] for key in broken)],
            broken_points=[self._points[key] for key in broken],
            failed_points=failed,
        )
