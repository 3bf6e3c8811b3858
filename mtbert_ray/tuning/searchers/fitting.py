"""Reads an earlier sweep's trial as a setting of another search space. Knows nothing of results or of algorithms."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.mistakes import shown
from mtbert_ray.records import TrialRecord
from mtbert_ray.tuning.space.experiments import EXPERIMENT
from mtbert_ray.tuning.space.fields import leaf_keys
from mtbert_ray.tuning.space.model import SearchSpace
from mtbert_ray.tuning.space.parameters import YamlValue

_NO_DIFFERENCE = (EXPERIMENT, "seed")
"""A name, and what any two trials may differ in."""
_LONGEST_SHOWN = 60


class DoesNotFit(Exception):  # noqa: N818  # It is no error: such trials are counted.
    """Why a trial is none of a search space's, in a few words, the same for all trials with the same reason."""


def setting_of(trial: TrialRecord, space: SearchSpace) -> dict[str, Any]:
    """Return a trial's setting as this space would have it.

    A key that is searched now and was fixed then has its fixed value.

    Raises:
        DoesNotFit: a value is not searched now, or a key that was searched then is settled otherwise now.
    """
    values = space.sample(_AsItWas(trial))
    try:
        now = space.build(values).model_dump(mode="json")
    except ValidationError as error:
        raise DoesNotFit(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    name = values.get(EXPERIMENT, space.fixed.get(EXPERIMENT))
    settled = space.experiments[name] if name is not None else {}
    for key in dict.fromkeys([*trial.hyperparameters, *settled]):
        if key in space.search or key in _NO_DIFFERENCE:
            continue
        if _value(trial.config, key) != _value(now, key):
            raise DoesNotFit(f"another {key}")
    return values


def differences(trial: TrialRecord, space: SearchSpace, values: Mapping[str, Any]) -> list[str]:
    """Return what is otherwise in a trial than in this space's with the same setting, as `epochs was 3, here 10`."""
    now = space.build(values).model_dump(mode="json")
    found = []
    for key in leaf_keys(TrialConfig):
        before, here = _value(trial.config, key), _value(now, key)
        if key not in _NO_DIFFERENCE and before != here:
            text = f"{key} was {shown(before)}, here {shown(here)}"
            found.append(text if len(text) <= _LONGEST_SHOWN else f"{key} was another")
    return found


def _value(config: Mapping[str, Any], key: str) -> YamlValue:
    """Return a value of a whole TrialConfig; of a key that an older version did not have, its default."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None if config is _DEFAULTS else _value(_DEFAULTS, key)
        value = value[part]
    return value


_DEFAULTS = TrialConfig().model_dump(mode="json")


class _AsItWas:
    """A `Suggest` that has a trial's own values, and takes none that this space would not draw."""

    def __init__(self, trial: TrialRecord) -> None:
        self._trial = trial

    def categorical(self, key: str, choices: Sequence[YamlValue]) -> YamlValue:
        value = self._value(key)
        for choice in choices:
            if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                return choice
        raise DoesNotFit(f"{key} {shown(value)} is not searched")

    def real(self, key: str, low: float, high: float, *, log: bool) -> float:
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise DoesNotFit(f"{key} is outside of {shown(low)} to {shown(high)}")
        return float(value)

    def integer(self, key: str, low: int, high: int, *, log: bool, step: int) -> int:
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int) or value not in range(low, high + 1, step):
            raise DoesNotFit(f"{key} is not one of {low} to {high}" + (f" in steps of {step}" if step > 1 else ""))
        return value

    def _value(self, key: str) -> YamlValue:
        given = self._trial.hyperparameters
        return given[key] if key in given else _value(self._trial.config, key)
