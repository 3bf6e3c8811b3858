"""The kinds of searched parameter: what each can take and how a value of it is drawn.

Knows nothing of files, of TrialConfig or of any search algorithm.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import Field

from mtbert_ray.schema import Schema

YamlValue = Any
"""A scalar, list or mapping of YAML."""


class Suggest(Protocol):
    """Where values come from: a random generator, or a model of what did well."""

    def categorical(self, key: str, choices: Sequence[YamlValue]) -> YamlValue:
        """Return one of the choices, which may be lists or mappings."""
        ...

    def real(self, key: str, low: float, high: float, *, log: bool) -> float:
        """Return a number from `low` to `high`."""
        ...

    def integer(self, key: str, low: int, high: int, *, log: bool, step: int) -> int:
        """Return `low`, `low + step`, ... up to `high`, which is one of them."""
        ...


class _Conditional(Schema):
    when: dict[str, tuple[YamlValue, ...]] = Field(default={})
    """Other key -> the values with which this parameter applies; all keys must agree."""


class Choice(_Conditional):
    """One of the listed values, in no order."""

    kind: Literal["choice"] = "choice"
    values: tuple[YamlValue, ...]

    def draw(self, key: str, suggest: Suggest) -> YamlValue:
        """Return one value."""
        return suggest.categorical(key, self.values)

    def listed(self) -> Sequence[YamlValue]:
        """Return every value."""
        return self.values

    @property
    def outermost(self) -> tuple[YamlValue, ...]:
        """The values that decide whether all of them are valid."""
        return self.values

    def takes(self, value: object) -> bool:
        """Whether the parameter can have this value."""
        return value in self.values


class FloatRange(_Conditional):
    """A real number, uniform on a linear or a logarithmic scale."""

    kind: Literal["uniform", "loguniform"]
    low: float
    high: float

    def draw(self, key: str, suggest: Suggest) -> float:
        """Return one value."""
        return suggest.real(key, self.low, self.high, log=self.kind == "loguniform")

    def listed(self) -> None:
        """Return None: there are too many values to list."""
        return None

    @property
    def outermost(self) -> tuple[float, float]:
        """The values that decide whether all of them are valid."""
        return (self.low, self.high)

    def takes(self, value: object) -> bool:
        """Whether the parameter can have this value."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class IntRange(_Conditional):
    """A whole number, both bounds included."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    """Whether small numbers are drawn as often as large ones; needs `step` 1 and `low` above 0."""
    step: int = 1

    def draw(self, key: str, suggest: Suggest) -> int:
        """Return one value."""
        return suggest.integer(key, self.low, self.listed()[-1], log=self.log, step=self.step)

    def listed(self) -> range:
        """Return every value."""
        return range(self.low, self.high + 1, self.step)

    @property
    def outermost(self) -> tuple[int, int]:
        """The values that decide whether all of them are valid."""
        return (self.low, self.high)

    def takes(self, value: object) -> bool:
        """Whether the parameter can have this value."""
        return isinstance(value, int) and value in self.listed()


Parameter = Annotated[Choice | FloatRange | IntRange, Field(discriminator="kind")]
"""What a searched key can be."""

PARAMETER_KINDS = ("choice", "uniform", "loguniform", "int", "grid")
"""The names of the kinds in YAML; `grid` reads as a choice."""


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
