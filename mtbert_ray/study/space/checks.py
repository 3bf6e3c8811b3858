"""Checks parts of a search space: the plain keys, `resources` and the like, and `fixed`."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.places import KeyPath, Problems
from mtbert_ray.mistakes import mistakes_in, shown, shown_briefly
from mtbert_ray.schema import Schema, key_text
from mtbert_ray.study.space.experiments import EXPERIMENT
from mtbert_ray.study.space.fields import add_problems, field_of, is_section, normalized, problem_with, unknown_key
from mtbert_ray.study.space.parameters import YamlValue
from mtbert_ray.tasks import TaskSpec

_NEEDED = {
    "name": "what the sweep is called, as `name: lora_rank`",
    "objectives": "a metric each, as `dev_score: {direction: maximize, reference: 0.5}`",
    "search": "a parameter each, as `learning_rate: {loguniform: [1e-5, 1e-3]}`",
}
OPEN_KEYS = (
    *("objectives", "fixed", "experiments", "search", "resources"),
    *("halving", "probe", "points_to_evaluate", "warm_start_from"),
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
            fixed[key] = value if key == "tasks" else normalized(TrialConfig, key, value)
        if key in searched:
            problems.add(
                ("search", key), f"'{key}' is both searched and fixed (at {problems.place_of(path)}); keep one"
            )
    return fixed


def tasks_of(fixed: Mapping[str, YamlValue]) -> tuple[TaskSpec, ...]:
    """Return the tasks of every trial."""
    if "tasks" not in fixed:
        return TrialConfig().tasks
    tasks: tuple[TaskSpec, ...] = normalized(TrialConfig, "tasks", fixed["tasks"])
    return tasks


Values = Mapping[str, YamlValue]
Build = Callable[[Values], object]
"""Makes a TrialConfig of searched values; raises pydantic's ValidationError when they don't go together."""


@dataclass(frozen=True, kw_only=True)
class _Failure:
    values: Values
    reason: str
    keys: KeyPath
    """What it is said of."""


def check_combinations(draws: Sequence[Values], build: Build, problems: Problems) -> None:
    """Report each group of values that is refused in every draw that has it, and how to leave it out."""
    failures, passed = [], []
    for values in draws:
        failure = _failure_of(values, build)
        if failure is None:
            passed.append(values)
        else:
            failures.append(failure)
    if failures and not passed and _is_fixed_wrong(failures, build):
        _report_fixed(failures[0], problems)
        return
    for name in dict.fromkeys(values[EXPERIMENT] for values in draws if EXPERIMENT in values):
        alone = _failure_of({EXPERIMENT: name}, build)
        if alone is not None and not any(values[EXPERIMENT] == name for values in passed):
            problems.add(("experiments", name), f"experiments.{name}: {alone.reason}")
            failures = [failure for failure in failures if failure.values[EXPERIMENT] != name]
    while failures:
        culprit = _culprit(failures[0], failures, passed)
        _report(culprit, failures[0], passed, build, problems)
        failures = [failure for failure in failures if not _has(failure.values, culprit)]


def _is_fixed_wrong(failures: Sequence[_Failure], build: Build) -> bool:
    """Whether it is the same words whatever is drawn, and not because every experiment makes the same mistake."""
    if len({failure.reason for failure in failures}) > 1:
        return False
    if EXPERIMENT not in failures[0].values:
        return True
    without = _failure_of({}, build)
    return without is not None and without.reason == failures[0].reason


def _failure_of(values: Values, build: Build) -> _Failure | None:
    try:
        build(values)
    except ValidationError as error:
        mistake = mistakes_in(error, TrialConfig)[0]
        return _Failure(values=values, reason=mistake.said(), keys=tuple(map(str, mistake.keys)))
    return None


def _report_fixed(failure: _Failure, problems: Problems) -> None:
    if failure.keys[:1] in (("data",), ("tasks",)):  # Nothing that is searched is to do with it.
        problems.add(("fixed", *failure.keys), f"fixed.{failure.reason}")
        return
    path = failure.keys if failure.keys[:1] == ("resources",) else ("fixed", *failure.keys)
    problems.add(path, f"no setting is valid: {failure.reason}")


def _has(values: Values, part: Values) -> bool:
    return all(key in values and values[key] == value for key, value in part.items())


def _culprit(failure: _Failure, failures: Sequence[_Failure], passed: Sequence[Values]) -> Values:
    """Return the fewest of the failed draw's values that no valid draw has together."""
    listed = {key: value for key, value in failure.values.items() if not isinstance(value, float)}
    for size in (1, 2, 3):
        parts = [{key: listed[key] for key in keys} for keys in combinations(listed, size)]
        parts = [part for part in parts if not any(_has(values, part) for values in passed)]
        if parts:
            # Several may fit by chance; the one that explains most failures is the rule.
            return max(parts, key=lambda part: sum(_has(other.values, part) for other in failures))
    return failure.values


def _report(culprit: Values, failure: _Failure, passed: Sequence[Values], build: Build, problems: Problems) -> None:
    pairs = ", ".join(f"{key} {shown(value)}" for key, value in culprit.items())
    last = list(culprit)[-1]
    if culprit.keys() == {EXPERIMENT}:
        name = culprit[EXPERIMENT]
        problems.add(("experiments", name), f"experiments.{name}: {failure.reason}, whatever is searched")
        return
    if len(culprit) == 1:
        advice = f"take {shown(culprit[last])} out of search.{last}"
        problems.add(("search", last), f"search.{last}: {failure.reason}; {advice}")
        return
    subject, condition = _condition(culprit, failure, passed, build) or (last, None)
    advice = f"add `when: {condition}` to search.{subject}" if condition else "no condition on one key avoids it"
    problems.add(("search", subject), f"search.{subject}: {failure.reason} (drawn together: {pairs}); {advice}")


def _condition(culprit: Values, failure: _Failure, passed: Sequence[Values], build: Build) -> tuple[str, str] | None:
    """Return a key and the condition under which it may keep its value, for two values that clash."""
    for subject in [key for key in reversed(list(culprit)) if key != EXPERIMENT]:
        others = [key for key in culprit if key != subject]
        without = {key: value for key, value in failure.values.items() if key != subject}
        if len(others) != 1 or _failure_of(without, build) is not None:
            continue
        together = [values for values in passed if _has(values, {subject: culprit[subject]}) and others[0] in values]
        partners = [values[others[0]] for values in together]
        distinct = list({_hashable(partner): partner for partner in partners}.values())
        if distinct:
            return subject, f"{{{others[0]}: {shown(distinct[0] if len(distinct) == 1 else distinct)}}}"
    return None


def _hashable(value: YamlValue) -> Hashable:
    return value if isinstance(value, Hashable) else repr(value)
