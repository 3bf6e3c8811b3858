"""The interface of a searcher: which config to try next, and what is learned from one that runs or ended.

Everything is minimized.
"""

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
    """Chooses configs of a search space. Can be pickled at any time and continues as if it had not been."""

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key to tell the result by and a config; None when every config has been tried."""
        ...

    def open(self, values: Mapping[str, Any]) -> int:
        """Return a key for a config that comes from elsewhere, as if it had been asked for.

        For configs that the user wants tried first, and for trials of an earlier sweep. It is not suggested again.

        Args:
            values: a config of this space, whole.
        """
        ...

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take the result of a config that was tried to the end, or that cannot be.

        Args:
            key: from `ask` or `open`; results may come in any order.
            losses: `(M,)`, all minimized; None for a trial that failed, of which what it told before counts no more, or
                one that was ended for breaking a constraint, whose losses nobody knows.
            violation: how far the constraints are exceeded; 0 is feasible, or failed where there are no losses;
                infinite where it is not known how far, as for one that ran out of memory.

        Raises:
            KeyError: nothing with this key is waiting for a result.
        """
        ...

    def tell_intermediate(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Take what a config has reached so far; never to be taken for the result of a full run.

        Args:
            key: from `ask`.
            resource: how much it was trained, as epochs; results are comparable at the same resource only.
            losses: `(M,)` as of `tell`.
            violation: as of `tell`.

        Raises:
            KeyError: nothing with this key is waiting for a result.
        """
        ...

    def tell_stopped(self, key: int) -> None:
        """Take note that a config was stopped early, in place of `tell`.

        Raises:
            KeyError: nothing with this key is waiting for a result.
        """
        ...


_CHOSEN = math.sqrt(0.5)
"""Puts two different choices at distance 1, as far as the ends of a range."""
_ABSENT = 0.5
"""Of a number whose conditions do not hold: the middle, where it says least."""


def coordinates(search: Mapping[str, Parameter], values: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return a config as a point `(D,)`, the same D for all configs of a space."""
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
"""Draws of an algorithm that may repeat themselves before `one_left` is asked."""
_MAX_LISTED = 10_000


class Unseen:
    """Draws configs until one is new. In a finite space, the last ones are drawn from a list of what is left."""

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

    def one_left(self) -> dict[str, Any] | None:
        """Return a random config that has not been suggested, or None when there is none."""
        if not self._space.is_finite:
            return self._space.sample(RandomSuggest(self._rng))
        unseen = (values for values in self._space.grid() if config_key(values) not in self._seen)
        left = list(islice(unseen, _MAX_LISTED))
        return left[int(self._rng.integers(len(left)))] if left else None
