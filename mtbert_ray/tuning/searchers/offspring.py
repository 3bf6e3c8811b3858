"""Draws a setting near one or two others: crossover and mutation as a `Suggest`, so that conditions hold by themselves.

Knows nothing of search spaces or of what did well.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtbert_ray.tuning.space.parameters import YamlValue
from mtbert_ray.tuning.space.random_suggest import RandomSuggest


class OffspringSuggest:
    """A `Suggest` that takes each value from one of the parents, and now and then changes it.

    A key that the chosen parent lacks, since its conditions did not hold there, comes from the other one or else is
    drawn at random.

    Args:
        rng: the generator that every draw advances.
        parents: one or two settings: dotted key -> value.
        mutation_rate: probability that a value is changed.
        spread: standard deviation of a changed number, as a share of its range on its own scale.
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
        """Return the value of a parent that has one, drawn if both do, in a list; an empty list if none has."""
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
