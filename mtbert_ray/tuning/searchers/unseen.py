"""Keeps a searcher from suggesting a setting twice: with the same seed it would only give the same run."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from mtbert_ray.tuning.space.model import SearchSpace, setting_key
from mtbert_ray.tuning.space.random_suggest import RandomSuggest

MAX_REDRAWS = 20
"""Draws of an algorithm that may repeat themselves before `one_left` is asked."""
_MAX_LISTED = 10_000


class Unseen:
    """Draws settings until one is new. In a finite space, the last ones are drawn from a list of what is left."""

    def __init__(self, space: SearchSpace, rng: np.random.Generator) -> None:
        self._space = space
        self._rng = rng
        self._seen: set[str] = set()

    def add(self, values: Mapping[str, Any]) -> bool:
        """Remember a setting and return whether it was new."""
        key = setting_key(values)
        new = key not in self._seen
        self._seen.add(key)
        return new

    def knows(self, values: Mapping[str, Any]) -> bool:
        """Whether a setting has been added."""
        return setting_key(values) in self._seen

    def one_left(self) -> dict[str, Any] | None:
        """Return a random setting that has not been suggested, or None when there is none."""
        if not self._space.is_finite:
            return self._space.sample(RandomSuggest(self._rng))
        unseen = (values for values in self._space.grid() if setting_key(values) not in self._seen)
        left = list(islice(unseen, _MAX_LISTED))
        return left[int(self._rng.integers(len(left)))] if left else None
