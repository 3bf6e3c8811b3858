"""The ask-and-tell interface of a searcher; everything is minimized."""

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.study.space.model import SearchSpace, config_key
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange, Parameter, RandomSuggest

# M objectives


class Searcher(Protocol):
    """Suggests configs of a search space; can be pickled at any time.

    Every method with a key raises KeyError where no running trial has it.
    """

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and a config; None when every config has been tried."""
        ...

    def open(self, values: Mapping[str, Any]) -> int:
        """Return a key for a given config, one of `points_to_evaluate` or of an earlier sweep; not suggested again."""
        ...

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take the final result of a trial, in any order.

        Losses are `(M,)`; None with violation 0 is a failed trial, whose intermediate results are dropped; None with a
        violation is a trial that was stopped for breaking a constraint. The violation is how far the constraints are
        exceeded: 0 is feasible, infinite is unknown (out of memory).
        """
        ...

    def tell_intermediate(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Take the losses `(M,)` and violation of a running trial after `resource` epochs."""
        ...

    def tell_stopped(self, key: int) -> None:
        """Take note that a trial was pruned, in place of `tell`."""
        ...


_CHOSEN = math.sqrt(0.5)
"""Puts two different choices at distance 1, as far as the ends of a range."""
_ABSENT = 0.5
"""The coordinate of a number whose conditions do not hold."""


def coordinates(search: Mapping[str, Parameter], values: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return a config as a point `(D,)` of the unit cube, the same D for all configs of a space."""
    point: list[float] = []
    for key, parameter in search.items():
        if isinstance(parameter, Choice):
            point += [_CHOSEN if key in values and values[key] == choice else 0.0 for choice in parameter.values]
        else:
            point.append(_place(parameter, values[key]) if key in values else _ABSENT)
    return np.array(point)


def _place(parameter: FloatRange | IntRange, value: float) -> float:
    log = parameter.log if isinstance(parameter, IntRange) else parameter.kind == "loguniform"
    low, high, here = (math.log(x) if log else float(x) for x in (parameter.low, parameter.high, value))
    return (here - low) / (high - low) if high > low else _ABSENT


MAX_REDRAWS = 20
"""Repeated suggestions before `one_left` is asked."""
_MAX_LISTED = 10_000


class Unseen:
    """Draws configs that have not been tried; the last ones of a finite space from a list of the untried."""

    def __init__(self, space: SearchSpace, rng: np.random.Generator) -> None:
        self._space = space
        self._rng = rng
        self._seen: set[str] = set()

    def add(self, values: Mapping[str, Any]) -> bool:
        """Remember a config and return whether it was new."""
        key = config_key(values)
        new = key not in self._seen
        self._seen.add(key)
        return new

    def knows(self, values: Mapping[str, Any]) -> bool:
        """Whether a config has been added."""
        return config_key(values) in self._seen

    def random(self) -> dict[str, Any] | None:
        """Return a random untried config, or None when there is none."""
        for _ in range(MAX_REDRAWS):
            values = self._space.sample(RandomSuggest(self._rng))
            if not self.knows(values):
                return values
        return self.one_left()

    def one_left(self) -> dict[str, Any] | None:
        """Return a random untried config of a finite space, any random one of an infinite space, or None."""
        if not self._space.is_finite:
            return self._space.sample(RandomSuggest(self._rng))
        unseen = (values for values in self._space.grid() if config_key(values) not in self._seen)
        left = list(islice(unseen, _MAX_LISTED))
        return left[int(self._rng.integers(len(left)))] if left else None
