"""Completes a setting of which only some values are given. Knows nothing of files or of searchers."""

from collections.abc import Mapping, Sequence

from mtbert_ray.tuning.space.experiments import EXPERIMENT
from mtbert_ray.tuning.space.model import SearchSpace
from mtbert_ray.tuning.space.parameters import Suggest, YamlValue

Given = Mapping[str, YamlValue]
"""Dotted searched key -> the value that is wanted."""


def complete(space: SearchSpace, given: Given, suggest: Suggest) -> tuple[dict[str, YamlValue], bool]:
    """Return a whole setting with these values, and whether it is the only one.

    The other values are drawn, those that a given key's conditions name among what lets it apply. A given key that
    cannot apply all the same, since another one forbids it, is not in the setting.

    Args:
        space: that searches all these keys.
        given: values that it takes.
        suggest: where the other values come from.
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
