"""Which values go together: the conditions of a search space, and the combinations that no TrialConfig allows."""

import functools
import warnings
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import chain, combinations

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.keys import YamlValue, field_of, problem_with
from mtbert_ray.errors import KeyPath, Problems, did_you_mean, shown_briefly
from mtbert_ray.mistakes import violations_in
from mtbert_ray.study.space.experiments import EXPERIMENT, SettledKeys
from mtbert_ray.study.space.parameters import FloatRange, Parameter


def in_dependency_order(parameters: Mapping[str, Parameter]) -> Sequence[str]:
    """Return the keys so that each comes after those its conditions name, and otherwise in their own order.

    Raises:
        CycleError: conditions run in a circle.
    """
    return _ordered(tuple(_dependencies(parameters).items()))


def _dependencies(parameters: Mapping[str, Parameter]) -> dict[str, tuple[str, ...]]:
    return {
        key: tuple([other for other in parameter.when if other in parameters]) for key, parameter in parameters.items()
    }


@functools.lru_cache  # A space asks for it at every draw.
def _ordered(dependencies: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[str, ...]:
    places = {key: place for place, (key, _) in enumerate(dependencies)}
    sorter = TopologicalSorter(dict(dependencies))
    sorter.prepare()
    ordered: list[str] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        ordered += sorted(ready, key=places.__getitem__)
        sorter.done(*ready)
    return tuple(ordered)


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
            if other in parameters or any(other in keys for keys in settled):
                _check_condition(key, other, allowed, parameters.get(other), settled, problems)
            elif other not in searched:
                near = did_you_mean(other, (*searched, *chain.from_iterable(settled)))
                text = f"search.{key}.when names '{other}', which is neither searched nor fixed{near}"
                problems.add(("search", key, "when", other), text, "unknown_key")
    _check_circles(parameters, problems)


def _check_condition(
    key: str,
    other: str,
    allowed: Sequence[YamlValue],
    parameter: Parameter | None,
    settled: SettledKeys,
    problems: Problems,
) -> None:
    """Check the values of one condition, on a searched key that has the parameter, or on a settled one."""
    path, name = ("search", key, "when", other), f"search.{key}.when"
    if isinstance(parameter, FloatRange):
        problems.add(path, f"{name} names '{other}', which is drawn from a range; a condition needs listed values")
    elif problems.is_from_command_line(("fixed" if parameter is None else "search", other)):
        # Then the condition may be impossible, but its values must have the right type.
        for value in allowed if field_of(TrialConfig, other) is not None else ():
            if text := problem_with(TrialConfig, other, value):
                problems.add(path, f"{name}.{other} {text}", "wrong_type")
    elif parameter is None:
        values = [keys[other] for keys in settled if other in keys]
        if not any(value in allowed for value in values):
            fixed_at = " or ".join(dict.fromkeys(map(shown_briefly, values)))
            problems.add(path, f"{name}.{other} never holds: {other} is fixed at {fixed_at}", "never_applies")
    else:
        listed = list(parameter.listed())
        few = (
            ", ".join(map(shown_briefly, listed)).replace("'", "")
            if len(listed) <= 10
            else f"{listed[0]} to {listed[-1]}"
        )
        for value in allowed:
            if not parameter.takes(value):
                near = did_you_mean(value, [item for item in listed if isinstance(item, str)])
                text = f"{name}.{other} has {shown_briefly(value)}, which {other} never takes{near} ({few})"
                problems.add(path, text, "not_allowed")


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
    code: str


def check_combinations(draws: Sequence[Values], build: Build, problems: Problems) -> None:
    """Report each group of values that is refused in every draw that has it, and how to leave it out."""
    outcomes = [(values, _failure_of(values, build)) for values in draws]
    failures = [failure for _, failure in outcomes if failure is not None]
    passed = [values for values, failure in outcomes if failure is None]
    if failures and not passed and _is_fixed_wrong(failures, build):
        _report_fixed(failures[0], problems)
        return
    for name in dict.fromkeys(values[EXPERIMENT] for values in draws if EXPERIMENT in values):
        alone = _failure_of({EXPERIMENT: name}, build)
        if alone is not None and not any(values[EXPERIMENT] == name for values in passed):
            problems.add(("experiments", name), f"experiments.{name}: {alone.reason}", "combination")
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
        keys = tuple(map(str, violation.keys))
        return _Failure(values=values, reason=violation.message(), keys=keys, code=violation.code)
    return None


def _report_fixed(failure: _Failure, problems: Problems) -> None:
    is_of_data = failure.keys[:1] in (("data",), ("tasks",))  # Nothing that is searched has to do with it.
    path = failure.keys if failure.keys[:1] == ("resources",) else ("fixed", *failure.keys)
    text = f"fixed.{failure.reason}" if is_of_data else f"no config is valid: {failure.reason}"
    problems.add(path, text, failure.code if is_of_data else "combination")


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
    subject = list(culprit)[-1]
    path = ("search", subject)
    if culprit.keys() == {EXPERIMENT}:
        path, advice = ("experiments", culprit[EXPERIMENT]), ", for all searched values"
    elif len(culprit) == 1:
        advice = f"; take {shown_briefly(culprit[subject])} out of search.{subject}"
    else:
        subject, condition = _condition(culprit, failure, passed, build) or (subject, None)
        path = ("search", subject)
        pairs = ", ".join(f"{key} {shown_briefly(value)}" for key, value in culprit.items())
        remedy = f"add `when: {condition}` to search.{subject}" if condition else "no condition on one key avoids it"
        advice = f" (drawn together: {pairs}); {remedy}"
    problems.add(path, f"{'.'.join(path)}: {failure.reason}{advice}", "combination")


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
            return subject, f"{{{others[0]}: {shown_briefly(distinct[0] if len(distinct) == 1 else distinct)}}}"
    return None


def _hashable(value: YamlValue) -> Hashable:
    return value if isinstance(value, Hashable) else repr(value)
