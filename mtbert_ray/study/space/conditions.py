"""Which values go together: the conditions of a search space, and the combinations that no TrialConfig allows."""

import warnings
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import chain, combinations

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.keys import YamlValue, field_of, problem_with
from mtbert_ray.errors import KeyPath, Problems, did_you_mean, shown, shown_briefly
from mtbert_ray.mistakes import violations_in
from mtbert_ray.study.space.experiments import EXPERIMENT, SettledKeys
from mtbert_ray.study.space.parameters import FloatRange, Parameter


def in_dependency_order(parameters: Mapping[str, Parameter]) -> list[str]:
    """Return the keys so that each comes after those its conditions name, and otherwise in their own order.

    Raises:
        CycleError: conditions run in a circle.
    """
    sorter = TopologicalSorter(_dependencies(parameters))
    sorter.prepare()
    places = {key: place for place, key in enumerate(parameters)}
    ordered: list[str] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        ordered += sorted(ready, key=places.__getitem__)
        sorter.done(*ready)
    return ordered


def _dependencies(parameters: Mapping[str, Parameter]) -> dict[str, list[str]]:
    return {key: [other for other in parameter.when if other in parameters] for key, parameter in parameters.items()}


def applies(parameter: Parameter, values: Mapping[str, YamlValue]) -> bool:
    """Whether every condition holds, given the fixed values and those drawn so far."""
    return all(other in values and values[other] in allowed for other, allowed in parameter.when.items())


def check_conditions(
    parameters: Mapping[str, Parameter],
    settled: SettledKeys,
    searched: Collection[str],
    problems: Problems,
) -> None:
    """Report conditions on keys that are not there, on values never taken, and in circles.

    `searched` has the keys with mistakes as well: a condition on one of them is not blamed for it.
    """
    for key, parameter in parameters.items():
        for other, allowed in parameter.when.items():
            path, name = ("search", key, "when", other), f"search.{key}.when"
            if other in parameters:
                _check_searched(name, other, allowed, parameters[other], path, problems)
            elif values := [keys[other] for keys in settled if other in keys]:
                _check_settled(name, other, allowed, values, path, problems)
            elif other not in searched:
                near = did_you_mean(other, (*searched, *chain.from_iterable(settled)))
                problems.add(path, f"{name} names '{other}', which is neither searched nor fixed{near}", "unknown_key")
    _check_circles(parameters, problems)


def without_the_impossible(
    parameters: Mapping[str, Parameter], settled: SettledKeys, problems: Problems
) -> dict[str, Parameter]:
    """Return the parameters that can apply; the others are left out, each with a warning.

    Only an option can make a condition impossible here: within a file that is a mistake.
    """
    kept = dict(parameters)
    causes: dict[str, str] = {}
    while True:
        impossible = [
            (key, other)
            for key, parameter in kept.items()
            for other, allowed in parameter.when.items()
            if not _can_hold(kept.get(other), settled, other, allowed)
        ]
        if not impossible:
            return kept
        for key, other in impossible:
            if kept.pop(key, None) is not None:
                # Down a chain, the option that broke its first link.
                causes[key] = causes.get(other) or _option_for(other, problems)
                text = f"search.{key} is left out, since its condition on {other} can no longer hold"
                warnings.warn(f"{causes[key]}: {text}", stacklevel=4)


def _option_for(key: str, problems: Problems) -> str:
    """Return the option that set a key, or that chose among the experiments that set it."""
    paths = [(section, name) for name in (key, EXPERIMENT) for section in ("fixed", "search")]
    return problems.place_of(next((path for path in paths if problems.is_from_command_line(path)), paths[0]))


def _can_hold(parameter: Parameter | None, settled: SettledKeys, other: str, allowed: Sequence[YamlValue]) -> bool:
    if parameter is None:
        return any(other in keys and keys[other] in allowed for keys in settled)
    return any(parameter.takes(value) for value in allowed)


def _check_searched(
    name: str, other: str, allowed: Sequence[YamlValue], parameter: Parameter, path: tuple[str, ...], problems: Problems
) -> None:
    if isinstance(parameter, FloatRange):
        problems.add(path, f"{name} names '{other}', which is drawn from a range; a condition needs listed values")
        return
    overridden = problems.is_from_command_line(("search", other))
    for value in allowed:
        if overridden:
            _check_type(name, other, value, path, problems)
        elif not parameter.takes(value):
            listed = list(parameter.listed())
            near = did_you_mean(value, [item for item in listed if isinstance(item, str)])
            few = shown(listed)[1:-1].replace("'", "") if len(listed) <= 10 else f"{listed[0]} to {listed[-1]}"
            problems.add(
                path,
                f"{name}.{other} has {shown_briefly(value)}, which {other} never takes{near} ({few})",
                "not_allowed",
            )


def _check_settled(
    name: str,
    other: str,
    allowed: Sequence[YamlValue],
    values: Sequence[YamlValue],
    path: tuple[str, ...],
    problems: Problems,
) -> None:
    if problems.is_from_command_line(("fixed", other)):
        for item in allowed:
            _check_type(name, other, item, path, problems)
    elif not any(value in allowed for value in values):
        fixed_at = " or ".join(dict.fromkeys(shown(value) for value in values))
        problems.add(path, f"{name}.{other} never holds: {other} is fixed at {fixed_at}")


def _check_type(name: str, other: str, value: YamlValue, path: tuple[str, ...], problems: Problems) -> None:
    text = problem_with(TrialConfig, other, value) if field_of(TrialConfig, other) is not None else None
    if text is not None:
        problems.add(path, f"{name}.{other} {text}")


def _check_circles(parameters: Mapping[str, Parameter], problems: Problems) -> None:
    left = dict(parameters)
    while True:
        try:
            TopologicalSorter(_dependencies(left)).prepare()
        except CycleError as error:
            circle = error.args[1][:0:-1]  # Each key behind the one that depends on it; the first is also the last.
            first = min(map(list(parameters).index, circle))
            start = circle.index(list(parameters)[first])
            circle = [*circle[start:], *circle[:start], circle[start]]
            text = f"search.{circle[0]}.when: conditions run in a circle: {' -> '.join(circle)}"
            problems.add(("search", circle[0], "when"), text, "circle")
            left = {key: parameter for key, parameter in left.items() if key not in circle}
        else:
            return


# Combinations

Values = Mapping[str, YamlValue]
Build = Callable[[Values], object]
"""Makes a TrialConfig of searched values; raises pydantic's ValidationError when they don't go together."""


@dataclass(frozen=True, kw_only=True)
class _Failure:
    values: Values
    reason: str
    keys: KeyPath
    """Whose mistake it is."""


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
    """Whether every draw fails for one reason, and not because every experiment makes the same mistake."""
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
        violation = violations_in(error, TrialConfig)[0]
        return _Failure(values=values, reason=violation.message(), keys=tuple(map(str, violation.keys)))
    return None


def _report_fixed(failure: _Failure, problems: Problems) -> None:
    if failure.keys[:1] in (("data",), ("tasks",)):  # Nothing that is searched is to do with it.
        problems.add(("fixed", *failure.keys), f"fixed.{failure.reason}")
        return
    path = failure.keys if failure.keys[:1] == ("resources",) else ("fixed", *failure.keys)
    problems.add(path, f"no config is valid: {failure.reason}")


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
        problems.add(("experiments", name), f"experiments.{name}: {failure.reason}, for all searched values")
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
