"""Reads the `search` section: raw YAML of each key -> a `Parameter`, its conditions held against the other keys."""

import math
import sys
from collections.abc import Mapping

from pydantic import TypeAdapter

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.places import Problems
from mtbert_ray.errors import did_you_mean
from mtbert_ray.mistakes import shown, shown_briefly
from mtbert_ray.schema import key_text
from mtbert_ray.study.space.fields import add_problems, field_of, is_section, normalized, problem_with, unknown_key
from mtbert_ray.study.space.parameters import PARAMETER_KINDS, Choice, FloatRange, IntRange, Parameter, YamlValue

_KINDS_TEXT = ", ".join(PARAMETER_KINDS)
_PARAMETER: TypeAdapter[Parameter] = TypeAdapter(Parameter)
_NOT_SEARCHED = ("resources", "tasks", "data")


def read_parameters(raw: Mapping[str, YamlValue], problems: Problems) -> dict[str, Parameter]:
    """Return the parameters that are right; the mistakes of the others go to `problems`."""
    parameters = {}
    for key, entry in raw.items():
        parameter = _read(key, entry, problems)
        if parameter is not None:
            parameters[key] = parameter
    return parameters


def _read(key: str, entry: YamlValue, problems: Problems) -> Parameter | None:
    path, name = ("search", key), f"search.{key}"
    if key.split(".")[0] in _NOT_SEARCHED:
        where = "resources" if key.startswith("resources") else "fixed"
        problems.add(path, f"{name} cannot be searched: it is the same for a whole sweep; set it under {where}")
        return None
    if field_of(TrialConfig, key) is None:
        problems.add(path, unknown_key(TrialConfig, key, "search."))
        return None
    if is_section(TrialConfig, key):
        problems.add(path, f"{name} is a group of keys; search one of them, as {name}.kind")
        return None
    if not isinstance(entry, dict):
        problems.add(
            path,
            f"{name} has {shown_briefly(entry)}; must be a mapping with one of {_KINDS_TEXT}, as {{choice: [..]}}; a "
            "value that never changes belongs under fixed",
        )
        return None
    kind = _kind(key, entry, problems)
    if kind is None:
        return None
    when = _read_when(key, entry.get("when"), problems)
    if kind in ("choice", "grid"):
        return _read_choice(key, kind, entry[kind], when, problems)
    return _read_range(key, kind, entry, when, problems)


def _kind(key: str, entry: Mapping[str, YamlValue], problems: Problems) -> str | None:
    path, name = ("search", key), f"search.{key}"
    kinds = [kind for kind in entry if kind in PARAMETER_KINDS]
    options = ("when", "log", "step") if kinds == ["int"] else ("when",)
    wrong = [key_text(word) for word in entry if word not in PARAMETER_KINDS and word not in options]
    for word in wrong:
        if word in ("log", "step") and kinds:
            problems.add((*path, word), f"{name}.{word} goes with int only")
        else:
            near = did_you_mean(word, (*PARAMETER_KINDS, *options))
            problems.add((*path, word), f"{name} has the unknown kind '{word}'{near} ({_KINDS_TEXT})")
    if len(kinds) > 1:
        problems.add(path, f"{name} has several kinds ({', '.join(kinds)}); keep one")
    elif not kinds and not wrong:
        problems.add(path, f"{name} has no kind; give one of {_KINDS_TEXT}")
    return kinds[0] if len(kinds) == 1 and not wrong else None


def _read_choice(key: str, kind: str, values: YamlValue, when: YamlValue, problems: Problems) -> Choice | None:
    path, name = ("search", key, kind), f"search.{key}"
    if not isinstance(values, list):
        problems.add(path, f"{name}.{kind} has {shown_briefly(values)}; must be a list of values")
        return None
    if not values:
        problems.add(path, f"{name}.{kind} is empty; list at least one value")
        return None
    right: list[YamlValue] = []
    for index, value in enumerate(values):
        if add_problems(TrialConfig, key, value, (*path, str(index)), problems, name=name):
            continue
        if (value_held := normalized(TrialConfig, key, value)) in right:
            problems.add((*path, str(index)), f"{name} has {shown_briefly(value)} twice")
        else:
            right.append(value_held)
    return Choice(values=tuple(right), when=when) if len(right) == len(values) else None


def _read_range(
    key: str, kind: str, entry: Mapping[str, YamlValue], when: YamlValue, problems: Problems
) -> FloatRange | IntRange | None:
    path, name, bounds = ("search", key, kind), f"search.{key}", entry[kind]
    number = int if kind == "int" else int | float
    if not isinstance(bounds, list) or len(bounds) != 2:
        problems.add(path, f"{name}.{kind} has {shown_briefly(bounds)}; must be [lowest, highest]")
        return None
    if any(isinstance(bound, bool) or not isinstance(bound, number) for bound in bounds):
        wanted = "whole numbers" if kind == "int" else "numbers"
        problems.add(path, f"{name}.{kind} has {shown_briefly(bounds)}; must be two {wanted}, [lowest, highest]")
        return None
    if infinite := [bound for bound in bounds if not abs(bound) < math.inf]:
        problems.add(path, f"{name}.{kind} has {shown(infinite[0])}; must be a finite number")
        return None
    log, step = entry.get("log", False), entry.get("step", 1)
    wrong = [
        *_wrong_bounds(key, kind, bounds[0], bounds[1], log=log),
        *_wrong_steps(log, step),
    ]
    for text in wrong:
        problems.add(path, f"{name}.{kind} {text}")
    if wrong:
        return None
    low, high = bounds
    options = {"log": log, "step": step} if kind == "int" else {}
    parameter = _PARAMETER.validate_python({"kind": kind, "low": low, "high": high, "when": when, **options})
    assert not isinstance(parameter, Choice)
    return parameter


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
    path, name = ("search", key, "when"), f"search.{key}.when"
    if not isinstance(raw, dict):
        problems.add(path, f"{name} has {shown_briefly(raw)}; must be a mapping, as {{adapter.kind: [lora, dora]}}")
        return {}
    when = {}
    for other, values in raw.items():
        other = key_text(other)
        when[other] = tuple(values) if isinstance(values, list) else (values,)
        if values == []:
            problems.add((*path, other), f"{name}.{other} is empty; list the values with which {key} applies")
    return when
