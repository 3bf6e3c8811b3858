"""What a sweep begins with: `points_to_evaluate`, the first configs, and `warm_start_from`, earlier sweeps."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.keys import YamlValue, add_problems, field_of, normalized
from mtbert_ray.errors import JournalError, Problems, did_you_mean, shown, shown_briefly
from mtbert_ray.mistakes import violations_in
from mtbert_ray.study.space.experiments import EXPERIMENT, Experiments
from mtbert_ray.study.space.model import SearchSpace, config_key
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange, Parameter, RandomSuggest, Suggest
from mtbert_ray.tasks import absolute

Given = Mapping[str, YamlValue]
"""Dotted searched key -> the value that is wanted."""


def complete(space: SearchSpace, given: Given, suggest: Suggest) -> tuple[dict[str, YamlValue], bool]:
    """Return a whole config with these values, and whether it is the only one.

    The other values are drawn, those that a given key's conditions name among what lets it apply. A given key that
    cannot apply all the same, since another one forbids it, is left out.
    """
    preferring = _PreferringSuggest(given, _needed(space, given), suggest)
    values = space.sample(preferring)
    return values, not preferring.has_drawn


def _needed(space: SearchSpace, given: Given) -> dict[str, list[YamlValue]]:
    """Return searched key -> the values that it must have for all given keys to apply, where it is not free."""
    needed: dict[str, list[YamlValue]] = {}
    asking = list(given)
    for key in asking:  # It grows: a key that must have a value must apply itself.
        for other, allowed in space.search[key].when.items():
            if other not in space.search:
                # Which of the experiments set it so.
                if EXPERIMENT not in space.search:
                    continue
                other, allowed = EXPERIMENT, _experiments_with(space, other, allowed)
            needed[other] = [value for value in needed.get(other, allowed) if value in allowed]
            if other not in asking:
                asking.append(other)
    return needed


def _experiments_with(space: SearchSpace, key: str, allowed: Sequence[YamlValue]) -> tuple[str, ...]:
    settled = {name: {**space.fixed, **space.experiments[name]} for name in space.experiment_names}
    return tuple(name for name, keys in settled.items() if key in keys and keys[key] in allowed)


class _PreferringSuggest:
    """A `Suggest` that has some values already, and of some others only a part of the choices."""

    def __init__(self, given: Given, needed: Mapping[str, Sequence[YamlValue]], suggest: Suggest) -> None:
        self._given = given
        self._needed = needed
        self._suggest = suggest
        self.has_drawn = False
        """Whether any value could have been another one."""

    def categorical(self, key: str, choices: Sequence[YamlValue]) -> YamlValue:
        if key in self._given:
            return self._given[key]
        # Where the given keys contradict each other nothing is left; that is found out by their absence.
        fitting = [choice for choice in choices if choice in self._needed.get(key, choices)] or choices
        self.has_drawn |= len(fitting) > 1
        return self._suggest.categorical(key, fitting)

    def real(self, key: str, low: float, high: float, *, log: bool) -> float:
        if key in self._given:
            return float(self._given[key])
        self.has_drawn = True
        return self._suggest.real(key, low, high, log=log)

    def integer(self, key: str, low: int, high: int, *, log: bool, step: int) -> int:
        if key in self._given:
            return int(self._given[key])
        if key in self._needed:
            return int(self.categorical(key, range(low, high + 1, step)))
        self.has_drawn |= low < high
        return self._suggest.integer(key, low, high, log=log, step=step)


@dataclass(frozen=True, kw_only=True)
class KeysOfSpace:
    """The keys of a search space that is not fully checked yet."""

    parameters: Mapping[str, Parameter]
    """The searched keys that could be read."""
    searched: Mapping[str, YamlValue]
    """All searched keys, those with mistakes of their own included."""
    fixed: Mapping[str, YamlValue]
    experiments: Experiments


def check_points_to_evaluate(raw: YamlValue, keys: KeysOfSpace, problems: Problems) -> dict[int, Given]:
    """Return place in the list -> an entry, flattened before; the mistakes go to `problems`."""
    if not isinstance(raw, list):
        problems.wrong_type(("points_to_evaluate",), raw, "a list of configs, as [{dropout: 0.1}]")
        return {}
    entries: dict[int, Given] = {}
    for index, entry in enumerate(raw):
        path = ("points_to_evaluate", str(index))
        if not isinstance(entry, dict):
            problems.wrong_type(path, entry, "a mapping of searched keys, as {dropout: 0.1}")
        elif not entry:
            problems.about(path, " is empty; give at least one searched key", "out_of_bounds")
        else:
            right = {key: value for key, value in entry.items() if _is_right(path, key, value, keys, problems)}
            _check_conditions(path, right, keys, problems)
            entries[index] = {
                key: normalized(TrialConfig, key, value) if key in right else value for key, value in entry.items()
            }
    return entries


def without_lost_keys(entries: Mapping[int, Given], search: Mapping[str, Parameter]) -> dict[int, Given]:
    """Return the entries without keys that an option has fixed or made impossible.

    An entry of which nothing, or nothing new, is left is left out.
    """
    kept: dict[int, Given] = {}
    for index, entry in entries.items():
        left = {key: value for key, value in entry.items() if key in search}
        if len(left) == len(entry) or (left and left not in kept.values()):
            kept[index] = left
    return kept


def _is_right(path: tuple[str, str], key: str, value: YamlValue, keys: KeysOfSpace, problems: Problems) -> bool:
    if problems.is_from_command_line(("fixed", key)) or (key in keys.searched and key not in keys.parameters):
        return False  # It leaves the entries; or its parameter is wrong, which is reported there.
    below = (*path, key)
    if key not in keys.searched:
        problems.add(below, _not_searched(".".join(below), key, keys, problems), "not_searched")
        return False
    if add_problems(TrialConfig, key, value, below, problems):
        return False
    is_taken = keys.parameters[key].takes(normalized(TrialConfig, key, value))
    if not is_taken:
        text = f" has {shown_briefly(value)}, which is not searched{_allowed(keys.parameters[key], value)}"
        problems.about(below, text, "not_searched")
    return is_taken


def _not_searched(name: str, key: str, keys: KeysOfSpace, problems: Problems) -> str:
    if key in keys.fixed:
        where = problems.place_of(("fixed", key))
        fixed_at = f"fixed at {shown_briefly(keys.fixed[key])} ({where})"
        return f"{name} is not searched but {fixed_at}; take it out of one of the two"
    for experiment, section in keys.experiments.items():
        if key in section:
            return f"{name} is not searched but set by experiment '{experiment}'; give an experiment instead"
    searched = ", ".join(keys.searched)
    if field_of(TrialConfig, key) is None:
        near = did_you_mean(key, keys.searched, prefix=name.removesuffix(key))
        return f"unknown key '{name}'{near} ({searched})"
    return f"{name} is not searched ({searched}); search it, or set it under fixed"


def _allowed(parameter: Parameter, value: YamlValue) -> str:
    match parameter:
        case Choice(values=values):
            near = did_you_mean(value, [item for item in values if isinstance(item, str)])
            return f"{near} ({', '.join(map(shown_briefly, values))})"
        case FloatRange(low=low, high=high):
            return f" ({shown(low)} to {shown(high)})"
        case IntRange(low=low, step=step):
            return f" ({low} to {parameter.listed()[-1]}{f' in steps of {step}' if step > 1 else ''})"


def _check_conditions(path: tuple[str, str], given: Given, keys: KeysOfSpace, problems: Problems) -> None:
    """Report keys whose condition does not hold with what is known of the same config."""
    experiment = given.get(EXPERIMENT, keys.fixed.get(EXPERIMENT))
    if experiment in keys.experiments:
        settled = {**keys.fixed, **keys.experiments[experiment]}
    else:  # Which experiment it is may still be drawn so that the key applies.
        unsure = {key for section in keys.experiments.values() for key in section}
        settled = {key: value for key, value in keys.fixed.items() if key not in unsure}
    known = {**settled, **given}
    for key in given:
        for other, allowed in keys.parameters[key].when.items():
            overridden = problems.is_from_command_line(("fixed", other))
            if other in known and known[other] not in allowed and not overridden:
                needed = " or ".join(map(shown_briefly, allowed))
                text = f" applies only where {other} is {needed}; here it is {shown_briefly(known[other])}"
                problems.about((*path, key), text, "never_applies")


def check_first_configs(space: SearchSpace, indices: Sequence[int], problems: Problems) -> None:
    """Report configs to begin with that cannot be, that come twice, and more of them than trials.

    `indices` are their places in the file's list.
    """
    first_at: dict[str, int] = {}
    suggest = RandomSuggest.seeded(space.seed)
    for index, given in zip(indices, space.points_to_evaluate, strict=True):
        path = ("points_to_evaluate", str(index))
        values, is_only_one = complete(space, given, suggest)
        if without_effect := [key for key in given if key not in values]:
            problems.about(path, f": {', '.join(without_effect)} cannot apply with its other keys", "never_applies")
            continue
        try:
            space.build(values)
        except ValidationError as error:
            problems.about(path, f": {violations_in(error, TrialConfig, values)[0].message()}", "combination")
        first = first_at.setdefault(config_key(values), index) if is_only_one else index
        if first != index:
            where = problems.place_of(("points_to_evaluate", str(first)))
            text = f" is the same config as points_to_evaluate.{first} ({where}); keep one of the two"
            problems.about(path, text, "duplicate_value")
    count = len(space.points_to_evaluate)
    if space.num_trials is not None and count > space.num_trials:
        is_planned = space.num_trials == space.trials
        have = f"{space.num_trials} trials" if is_planned else f"only {space.num_trials} configs"
        problems.about(
            ("points_to_evaluate",), f" has {count} configs, but there are {have}; leave some out", "out_of_bounds"
        )


def check_warm_start_from(raw: YamlValue, problems: Problems) -> tuple[str, ...]:
    """Return the folders by their absolute paths; the mistakes go to `problems`."""
    if not isinstance(raw, list):
        problems.wrong_type(("warm_start_from",), raw, "a list of the folders of earlier sweeps, as [reports/first]")
        return ()
    from mtbert_ray.journal import read_journal  # Few spaces need it.

    folders: dict[str, int] = {}
    for index, name in enumerate(raw):
        path = ("warm_start_from", str(index))
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            problems.wrong_type(path, name, "a text, the folder of an earlier sweep")
            continue
        folder = absolute(name)
        if folder in folders:
            text = f" is the same folder as warm_start_from.{folders[folder]}; keep one of the two"
            problems.about(path, text, "duplicate_value")
            continue
        folders[folder] = index
        try:
            if os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises for a name that is too long.
                read_journal(Path(folder))
            elif os.path.isfile(folder):  # noqa: PTH113
                problems.about(path, f": {folder}: is a file; give a folder", "file")
            else:
                problems.about(path, f": {folder}: no such folder. Give the folder of a sweep (its --out)", "file")
        except JournalError as error:
            problems.about(path, f": {error}", "file")
    return tuple(folders)
