"""Draws values at random. Knows nothing of search spaces or of what did well."""

import math
from collections.abc import Sequence

import numpy as np

from mtbert_ray.tuning.space.parameters import YamlValue


class RandomSuggest:
    """A `Suggest` that draws each value independently.

    Args:
        rng: the generator that every draw advances.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def categorical(self, key: str, choices: Sequence[YamlValue]) -> YamlValue:
        """Return one of the choices, each as likely."""
        return choices[int(self._rng.integers(len(choices)))]

    def real(self, key: str, low: float, high: float, *, log: bool) -> float:
        """Return a number, uniform on the given scale."""
        if not log:
            return float(self._rng.uniform(low, high))
        drawn = math.exp(self._rng.uniform(math.log(low), math.log(high)))
        return min(max(drawn, low), high)  # exp(log(x)) may miss x by a rounding error.

    def integer(self, key: str, low: int, high: int, *, log: bool, step: int) -> int:
        """Return a whole number, uniform on the given scale."""
        if not log:
            return low + step * int(self._rng.integers((high - low) // step + 1))
        # Half a unit beyond each bound, so that the bounds get their share in the rounding.
        drawn = math.exp(self._rng.uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return min(max(round(drawn), low), high)
