"""Holds the conditions of a search space against its keys: names, values, circles, and what can never apply."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from itertools import chain

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.places import Problems
from mtbert_ray.errors import did_you_mean
from mtbert_ray.mistakes import shown, shown_briefly
from mtbert_ray.study.space.experiments import EXPERIMENT, SettledKeys
from mtbert_ray.study.space.fields import field_of, problem_with
from mtbert_ray.study.space.parameters import FloatRange, Parameter, YamlValue


def in_dependency_order(parameters: Mapping[str, Parameter]) -> list[str]:
    """Return the keys so that each comes after those its conditions name; keys of a circle are left out."""
    ordered: list[str] = []
    waiting = list(parameters)
    while True:
        ready = [key for key in waiting if not any(other in waiting for other in parameters[key].when)]
        if not ready:
            return ordered
        ordered += ready
        waiting = [key for key in waiting if key not in ready]


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

    Args:
        parameters: the searched keys that could be read.
        settled: what is settled before a value is searched, each experiment's keys by themselves.
        searched: all searched keys, those with mistakes included: a condition on one of them is not blamed for it.
        problems: where mistakes go.
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
                problems.add(path, f"{name} names '{other}', which is neither searched nor fixed{near}")
    _check_circles(parameters, problems)


def without_the_impossible(
    parameters: Mapping[str, Parameter], settled: SettledKeys, problems: Problems
) -> dict[str, Parameter]:
    """Return the parameters that can apply; the others are left out, each with a warning.

    Only an option can make a condition impossible here: within a file that is a mistake. Arguments as of
    `check_conditions`.
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
            problems.add(path, f"{name}.{other} has {shown_briefly(value)}, which {other} never takes{near} ({few})")


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
    in_order = in_dependency_order(parameters)
    waiting = {key: parameter for key, parameter in parameters.items() if key not in in_order}
    told: set[str] = set()
    for start in waiting:
        walk = [start]
        while walk[-1] not in walk[:-1]:
            walk.append(next(other for other in waiting[walk[-1]].when if other in waiting))
        circle = walk[walk.index(walk[-1]) :]
        if not told.intersection(circle):
            told.update(circle)
            text = f"search.{circle[0]}.when: conditions run in a circle: {' -> '.join(circle)}"
            problems.add(("search", circle[0], "when"), text)
