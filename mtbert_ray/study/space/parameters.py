"""The kinds of searched parameter: what each can take, how a value of it is drawn, and how YAML becomes one."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self

from pydantic import Field

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.keys import (
    YamlValue,
    add_problems,
    field_of,
    is_section,
    normalized,
    problem_with,
    unknown_key,
)
from mtbert_ray.errors import Problems, did_you_mean, key_text, shown, shown_briefly
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
    values: tuple[YamlValue, ...]

    def draw(self, key: str, suggest: Suggest) -> YamlValue:
        """Return one value."""
        return suggest.categorical(key, self.values)

    def listed(self) -> Sequence[YamlValue]:
        """Return every value."""
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


_KINDS_TEXT = ", ".join(PARAMETER_KINDS)
_NOT_SEARCHED = ("resources", "tasks", "data")


def read_parameters(raw: Mapping[str, YamlValue], problems: Problems) -> dict[str, Parameter]:
    """Return the parameters that are right; the mistakes of the others go to `problems`."""
    found = {key: _read(key, entry, problems) for key, entry in raw.items()}
    return {key: parameter for key, parameter in found.items() if parameter is not None}


def _read(key: str, entry: YamlValue, problems: Problems) -> Parameter | None:
    path = ("search", key)
    if key.split(".")[0] in _NOT_SEARCHED:
        where = "resources" if key.startswith("resources") else "fixed"
        text = f" cannot be searched: it is the same for a whole sweep; set it under {where}"
        problems.about(path, text, "misplaced")
    elif field_of(TrialConfig, key) is None:
        problems.add(path, unknown_key(TrialConfig, key, "search."), "unknown_key")
    elif is_section(TrialConfig, key):
        problems.about(path, f" is a group of keys; search one of them, as search.{key}.kind", "misplaced")
    elif not isinstance(entry, dict):
        wanted = f"a mapping with one of {_KINDS_TEXT}, as {{choice: [..]}}"
        problems.wrong_type(path, entry, f"{wanted}; a value that never changes belongs under fixed")
    elif kind := _kind(key, entry, problems):
        when = _read_when(key, entry.get("when"), problems)
        if kind in ("choice", "grid"):
            return _read_choice(key, kind, entry[kind], when, problems)
        return _read_range(key, kind, entry, when, problems)
    return None


def _kind(key: str, entry: Mapping[str, YamlValue], problems: Problems) -> str | None:
    path, name = ("search", key), f"search.{key}"
    kinds = [kind for kind in entry if kind in PARAMETER_KINDS]
    options = ("when", "log", "step") if kinds == ["int"] else ("when",)
    wrong = [key_text(word) for word in entry if word not in PARAMETER_KINDS and word not in options]
    for word in wrong:
        if word in ("log", "step") and kinds:
            problems.add((*path, word), f"{name}.{word} goes with int only", "conflict")
        else:
            near = did_you_mean(word, (*PARAMETER_KINDS, *options))
            problems.add((*path, word), f"{name} has the unknown kind '{word}'{near} ({_KINDS_TEXT})", "unknown_key")
    if len(kinds) > 1:
        problems.add(path, f"{name} has several kinds ({', '.join(kinds)}); keep one", "conflict")
    elif not kinds and not wrong:
        problems.add(path, f"{name} has no kind; give one of {_KINDS_TEXT}", "missing_key")
    return kinds[0] if len(kinds) == 1 and not wrong else None


def _read_choice(key: str, kind: str, values: YamlValue, when: YamlValue, problems: Problems) -> Choice | None:
    path, name = ("search", key, kind), f"search.{key}"
    if not isinstance(values, list):
        problems.wrong_type(path, values, "a list of values")
        return None
    if not values:
        problems.about(path, " is empty; list at least one value", "out_of_bounds")
        return None
    right: list[YamlValue] = []
    for index, value in enumerate(values):
        if add_problems(TrialConfig, key, value, (*path, str(index)), problems, name=name):
            continue
        if (value_held := normalized(TrialConfig, key, value)) in right:
            problems.add((*path, str(index)), f"{name} has {shown_briefly(value)} twice", "duplicate_value")
        else:
            right.append(value_held)
    return Choice(values=tuple(right), when=when) if len(right) == len(values) else None


def _read_range(
    key: str, kind: str, entry: Mapping[str, YamlValue], when: YamlValue, problems: Problems
) -> FloatRange | IntRange | None:
    path, bounds = ("search", key, kind), entry[kind]
    number, numbers = (int, "whole numbers") if kind == "int" else (int | float, "numbers")
    if (
        not isinstance(bounds, list)
        or len(bounds) != 2
        or not all(isinstance(bound, number) and not isinstance(bound, bool) for bound in bounds)
    ):
        problems.wrong_type(path, bounds, f"two {numbers}, [lowest, highest]")
        return None
    low, high = bounds
    log, step = entry.get("log", False), entry.get("step", 1)
    infinite = [bound for bound in bounds if not abs(bound) < math.inf]
    wrong = [f"has {shown(bound)}; must be a finite number" for bound in infinite[:1]] or [
        *_wrong_bounds(key, kind, low, high, log=log),
        *_wrong_steps(log, step),
    ]
    for text in wrong:
        problems.add(path, f"search.{key}.{kind} {text}", "out_of_bounds")
    if wrong:
        return None
    if kind == "int":
        return IntRange(low=low, high=high, log=log, step=step, when=when)
    return FloatRange(kind="uniform" if kind == "uniform" else "loguniform", low=low, high=high, when=when)


def _wrong_bounds(key: str, kind: str, low: YamlValue, high: YamlValue, *, log: YamlValue) -> list[str]:
    wrong = []
    if not low < high:
        shape = "equal" if low == high else "reversed"
        wrong.append(f"has {shown_briefly([low, high])}: the bounds are {shape}; must be [lowest, highest]")
    if (kind == "loguniform" or log is True) and low <= 0:
        wrong.append(f"has {shown_briefly(low)} as its lowest; a logarithmic scale needs more than 0")
    if kind != "int" and problem_with(TrialConfig, key, 1) is None and problem_with(TrialConfig, key, 1.5) is not None:
        return [*wrong, f"draws fractions, but {key} is a whole number; use {{int: {shown([int(low), int(high)])}}}"]
    for bound in (low, high):
        is_whole = kind == "int" or abs(bound) > sys.float_info.max
        text = problem_with(TrialConfig, key, bound if is_whole else float(bound))
        if text is not None:
            wrong.append(text)
    return wrong


def _wrong_steps(log: YamlValue, step: YamlValue) -> list[str]:
    wrong = []
    if not isinstance(log, bool):
        wrong.append(f"has log {shown(log)}; must be true or false")
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        wrong.append(f"has step {shown(step)}; must be a whole number of at least 1")
    elif step != 1 and log is True:
        wrong.append("has log and step; a logarithmic scale has no step")
    return wrong


def _read_when(key: str, raw: YamlValue, problems: Problems) -> dict[str, tuple[YamlValue, ...]]:
    """Return the conditions as written; `check_conditions` holds them against the other keys."""
    if raw is None:
        return {}
    path = ("search", key, "when")
    if not isinstance(raw, dict):
        problems.wrong_type(path, raw, "a mapping, as {adapter.kind: [lora, dora]}")
        return {}
    when = {}
    for other, values in raw.items():
        other = key_text(other)
        when[other] = tuple(values) if isinstance(values, list) else (values,)
        if values == []:
            problems.about((*path, other), f" is empty; list the values with which {key} applies", "out_of_bounds")
    return when
