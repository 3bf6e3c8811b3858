"""The kinds of searched parameter: what each can take, and how a value of it is drawn."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self, TypeVar

from pydantic import Field, model_validator

from mtbert_ray.config.keys import YamlValue
from mtbert_ray.schema import Schema

if TYPE_CHECKING:
    import numpy as np  # Imported when a value is drawn: a file's mistakes are reported before.


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
    values: tuple[YamlValue, ...] = Field(min_length=1)

    def draw(self, key: str, suggest: Suggest) -> YamlValue:
        """Return one value."""
        return suggest.categorical(key, self.values)

    def listed(self) -> Sequence[YamlValue]:
        """Return every value."""
        return self.values

    def takes(self, value: object) -> bool:
        """Whether the parameter can have this value."""
        return value in self.values


_Range = TypeVar("_Range", bound=_Conditional)


def _with_room(parameter: _Range, low: float, high: float, *, log: bool) -> _Range:
    if low > high:
        raise ValueError(f"low {low} is above high {high}")
    if log and low <= 0:
        raise ValueError(f"low {low} must be greater than 0 on a logarithmic scale")
    return parameter


class FloatRange(_Conditional):
    """A real number, uniform on a linear or a logarithmic scale."""

    kind: Literal["uniform", "loguniform"]
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        return _with_room(self, self.low, self.high, log=self.kind == "loguniform")

    def draw(self, key: str, suggest: Suggest) -> float:
        """Return one value."""
        return suggest.real(key, self.low, self.high, log=self.kind == "loguniform")

    def listed(self) -> None:
        """Return None: there are too many values to list."""
        return None

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
    step: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.log and self.step != 1:
            raise ValueError(f"step {self.step} has no use on a logarithmic scale")
        return _with_room(self, self.low, self.high, log=self.log)

    def draw(self, key: str, suggest: Suggest) -> int:
        """Return one value."""
        return suggest.integer(key, self.low, self.listed()[-1], log=self.log, step=self.step)

    def listed(self) -> range:
        """Return every value."""
        return range(self.low, self.high + 1, self.step)

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

    def __init__(self, rng: "np.random.Generator") -> None:
        self._rng = rng

    @classmethod
    def seeded(cls, seed: int) -> Self:
        """Return one with a generator of its own."""
        import numpy as np

        return cls(np.random.default_rng(seed))

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
