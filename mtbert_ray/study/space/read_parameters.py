"""Reads the searched parameters of a YAML file, with every mistake in them."""

import math
import sys
from collections.abc import Mapping

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
from mtbert_ray.study.space.parameters import PARAMETER_KINDS, Choice, FloatRange, IntRange, Parameter

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
        wrong.append(f"has log {shown_briefly(log)}; must be true or false")
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        wrong.append(f"has step {shown_briefly(step)}; must be a whole number of at least 1")
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
