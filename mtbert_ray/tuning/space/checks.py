"""Checks every part of a search space but `search`: the plain keys, `resources`, `objectives` and `fixed`."""

from collections.abc import Mapping

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import did_you_mean
from mtbert_ray.metrics import Metric, Objective, known_metrics
from mtbert_ray.schema import Schema
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.tuning.space.fields import field_of, is_section, normalised, problem_with, shown, unknown_key
from mtbert_ray.tuning.space.file import KeyPath, Problems
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
            near = did_you_mean(key, model.model_fields)
            problems.add((key,), f"unknown key '{key}'{near} ({', '.join(model.model_fields)})")
        elif key not in OPEN_KEYS and (text := problem_with(model, key, value)) is not None:
            problems.add((key,), f"{key} {text}")
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
        problems.add(path, f"{name} has {shown(raw)}; must be a mapping with {', '.join(model.model_fields)}")
        return None
    right = True
    for key, value in raw.items():
        if key not in model.model_fields:
            problems.add((*path, str(key)), unknown_key(model, str(key), f"{name}."))
            right = False
        elif (text := problem_with(model, key, value)) is not None:
            problems.add((*path, key), f"{name}.{key} {text}")
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
        for detail in error.errors():
            problems.add(path, f"{name}: {detail['msg'].removeprefix('Value error, ')}")
        return None


def check_objectives(raw: YamlValue, tasks: tuple[TaskSpec, ...], problems: Problems) -> dict[str, Objective]:
    """Return the objectives that are right; the mistakes of the others go to `problems`."""
    if not isinstance(raw, dict) or not raw:
        problems.add(("objectives",), f"objectives has {shown(raw)}; must be a mapping of at least one metric")
        return {}
    metrics = known_metrics(tasks)
    objectives = {}
    for name, entry in raw.items():
        path = ("objectives", str(name))
        if name not in metrics:
            near = did_you_mean(name, metrics)
            problems.add(path, f"objectives has the unknown metric '{name}'{near} ({', '.join(metrics)})")
            continue
        objective = check_section(entry, Objective, path, problems)
        if objective is not None:
            assert isinstance(objective, Objective)
            _check_stand_in(name, objective.without_gpu, metrics, problems)
            _check_unique(name, objective.without_gpu, raw, problems)
            objectives[name] = objective
    return objectives


def _check_stand_in(name: str, stand_in: str | None, metrics: Mapping[str, Metric], problems: Problems) -> None:
    if stand_in is None:
        return
    path, place = ("objectives", name, "without_gpu"), f"objectives.{name}.without_gpu"
    if stand_in not in metrics:
        near = did_you_mean(stand_in, metrics)
        problems.add(path, f"{place} has the unknown metric '{stand_in}'{near} ({', '.join(metrics)})")
    elif not metrics[name].needs_gpu:
        problems.add(path, f"{place}: {name} needs no GPU, so nothing stands in for it")
    elif metrics[stand_in].needs_gpu:
        problems.add(path, f"{place}: {stand_in} needs a GPU itself")
    elif metrics[stand_in].unit != metrics[name].unit:
        units = f"{name} is in {metrics[name].unit or 'no unit'}, {stand_in} in {metrics[stand_in].unit or 'no unit'}"
        problems.add(path, f"{place}: {units}; a stand-in needs the same unit")


def _check_unique(name: str, stand_in: str | None, raw: Mapping[str, YamlValue], problems: Problems) -> None:
    others = {other: entry for other, entry in raw.items() if other != name}
    taken = {entry.get("without_gpu") for entry in others.values() if isinstance(entry, dict)} | set(others)
    if stand_in is not None and stand_in in taken:
        place = f"objectives.{name}.without_gpu"
        text = f"{place}: {stand_in} is another objective already; without a GPU there would be one axis fewer"
        problems.add(("objectives", name, "without_gpu"), text)


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
            problems.add(path, f"{name} has {shown(value)}; must be a mapping")
        elif (text := problem_with(TrialConfig, key, value)) is not None:
            problems.add(path, f"{name} {text}")
        else:
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
