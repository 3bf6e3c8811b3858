"""Checks parts of a search space: the plain keys, `resources` and the like, and `fixed`."""

from collections.abc import Mapping

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.places import KeyPath, Problems
from mtbert_ray.keys import key_text
from mtbert_ray.mistakes import mistakes_in, shown_briefly
from mtbert_ray.schema import Schema
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.tuning.space.fields import add_problems, field_of, is_section, normalised, problem_with, unknown_key
from mtbert_ray.tuning.space.parameters import YamlValue

_NEEDED = {
    "name": "what the sweep is called, as `name: lora_rank`",
    "objectives": "a metric each, as `dev_score: {direction: maximise, reference: 0.5}`",
    "search": "a parameter each, as `learning_rate: {loguniform: [1e-5, 1e-3]}`",
}
OPEN_KEYS = (
    *("objectives", "fixed", "experiments", "search", "resources"),
    *("halving", "probe", "start_with", "learn_from"),
)
"""The top-level keys with keys or a list below them."""


def check_plain_keys(content: Mapping[str, YamlValue], model: type[Schema], problems: Problems) -> None:
    """Check that every top-level key is known, that none is missing, and the type of the plain ones."""
    for key, value in content.items():
        if key not in model.model_fields:
            problems.add((key,), unknown_key(model, key))
        elif key not in OPEN_KEYS:
            add_problems(model, key, value, (key,), problems)
    for key, meaning in _NEEDED.items():
        if key not in content and not (key == "search" and "experiments" in content):
            problems.add((), f"missing key '{key}': {meaning}")
    bounded = any(content.get(key) is not None for key in ("trials", "time_budget_minutes"))
    # A misspelt algorithm may be the grid, which needs neither.
    is_known = problem_with(model, "algorithm", content.get("algorithm", "front")) is None
    if not bounded and is_known and content.get("algorithm") != "grid":
        problems.add((), "missing key 'trials' (how many to run) or 'time_budget_minutes'; give one or both")


def check_section(raw: YamlValue, model: type[Schema], path: KeyPath, problems: Problems) -> Schema | None:
    """Return a group of keys as its model, or None with its mistakes in `problems`."""
    name = ".".join(path)
    if not isinstance(raw, dict):
        problems.add(path, f"{name} has {shown_briefly(raw)}; must be a mapping with {', '.join(model.model_fields)}")
        return None
    right = True
    for key, value in raw.items():
        if key not in model.model_fields:
            problems.add((*path, key_text(key)), unknown_key(model, key_text(key), f"{name}."))
            right = False
        elif add_problems(model, key, value, (*path, key), problems):
            right = False
    for key, field in model.model_fields.items():
        if field.is_required() and key not in raw:
            problems.add(path, f"{name} has no {key}")
            right = False
    if not right:
        return None
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems.add_all(((part.place, part.said(name)) for part in mistakes_in(error, model, raw)), below=path)
        return None


def check_fixed(
    raw: Mapping[str, YamlValue], searched: Mapping[str, YamlValue], problems: Problems
) -> dict[str, YamlValue]:
    """Return the fixed values that are right; the mistakes go to `problems`."""
    fixed = {}
    for key, value in raw.items():
        path, name = ("fixed", key), f"fixed.{key}"
        if key.split(".")[0] == "resources":
            problems.add(path, f"{name} belongs under the top-level key 'resources'")
        elif field_of(TrialConfig, key) is None:
            problems.add(path, unknown_key(TrialConfig, key, "fixed."))
        elif is_section(TrialConfig, key):
            problems.add(path, f"{name} has {shown_briefly(value)}; must be a mapping")
        elif not add_problems(TrialConfig, key, value, path, problems):
            fixed[key] = value if key == "tasks" else normalised(TrialConfig, key, value)
        if key in searched:
            problems.add(
                ("search", key), f"'{key}' is both searched and fixed (at {problems.place_of(path)}); keep one"
            )
    return fixed


def tasks_of(fixed: Mapping[str, YamlValue]) -> tuple[TaskSpec, ...]:
    """Return the tasks of every trial."""
    if "tasks" not in fixed:
        return TrialConfig().tasks
    tasks: tuple[TaskSpec, ...] = normalised(TrialConfig, "tasks", fixed["tasks"])
    return tasks
