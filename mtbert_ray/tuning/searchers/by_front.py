"""A searcher that breeds from the current front, early results of trials that were stopped included.

Everything is minimised. Knows nothing of Ray, of metrics or of how trials are stopped.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.pareto.priority import priorities
from mtbert_ray.tuning.searchers.offspring import OffspringSuggest
from mtbert_ray.tuning.searchers.unseen import MAX_REDRAWS, Unseen
from mtbert_ray.tuning.space.model import SearchSpace
from mtbert_ray.tuning.space.parameters import Suggest
from mtbert_ray.tuning.space.random_suggest import RandomSuggest

_FULL = math.inf
"""The resource of a trial that ran to its end."""
_MIN_RESULTS = 8
"""A resource level is bred from when it has so many results; the highest such level is."""
_RANDOM_SHARE = 0.5
"""Of the suggestions, drawn from the whole space: what keeps a wrong front from being final."""
_CROSSOVER_SHARE = 0.5
"""Of the bred suggestions, with two parents."""
_MIN_MUTATION_RATE = 0.2
_SPREAD = 0.1


class FrontSearcher:
    """Draws part of the settings at random and breeds the rest from the best known front.

    Results are compared only with results after the same amount of training, so a trial's early losses are never
    taken for what it would have reached; the front is that of the highest level with enough results.

    Args:
        space: what to draw from; its seed seeds the draws.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._rng = np.random.default_rng(space.seed)
        self._unseen = Unseen(space, self._rng)
        self._settings: list[dict[str, Any]] = []
        self._waiting: set[int] = set()
        self._results: dict[float, dict[int, tuple[tuple[float, ...], float]]] = {}
        self._parents: tuple[int, ...] | None = None

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and a setting that has not been suggested before."""
        for _ in range(MAX_REDRAWS):
            values = self._space.sample(self._suggest())
            if self._unseen.add(values):
                return self._open(values)
        left = self._unseen.one_left()
        if left is None:
            return None
        self._unseen.add(left)
        return self._open(left)

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take the result of a full run, or None of a failed one."""
        self._waiting.remove(key)
        self._note(key, _FULL, losses, violation)

    def tell_progress(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Take an intermediate result, which may be bred from at its own level."""
        if key not in self._waiting:
            raise KeyError(key)
        self._note(key, resource, losses, violation)

    def tell_stopped(self, key: int) -> None:
        """Take note that no more comes; what came stays."""
        self._waiting.remove(key)

    def _open(self, values: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        key = len(self._settings)
        self._settings.append(values)
        self._waiting.add(key)
        return key, values

    def _note(self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float) -> None:
        if losses is None or not np.isfinite(losses).all() or math.isnan(violation):
            return
        at_level = self._results.setdefault(resource, {})
        at_level[key] = (tuple(float(loss) for loss in losses), violation)
        self._parents = None

    def _suggest(self) -> Suggest:
        parents = self._front()
        if not parents or self._rng.random() < _RANDOM_SHARE:
            return RandomSuggest(self._rng)
        count = 2 if self._rng.random() < _CROSSOVER_SHARE else 1
        drawn = [parents[int(index)] for index in self._rng.integers(len(parents), size=count)]
        return OffspringSuggest(
            self._rng,
            [self._settings[key] for key in drawn],
            mutation_rate=max(_MIN_MUTATION_RATE, 1 / len(self._space.search)),
            spread=_SPREAD,
        )

    def _front(self) -> tuple[int, ...]:
        """Return the keys of the best settings at the highest level with enough results; where none is feasible, those
        nearest to it."""
        if self._parents is None:
            level = max((r for r, results in self._results.items() if len(results) >= _MIN_RESULTS), default=None)
            self._parents = () if level is None else _best(self._results[level])
        return self._parents


def _best(results: dict[int, tuple[tuple[float, ...], float]]) -> tuple[int, ...]:
    losses_NM = np.array([losses for losses, _ in results.values()])
    violations_N = np.array([violation for _, violation in results.values()])
    priorities_N = priorities(losses_NM, violations_N)
    return tuple(key for key, priority in zip(results, priorities_N, strict=True) if priority == priorities_N.min())
