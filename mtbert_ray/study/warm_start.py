"""Reads an earlier sweep's trial as a setting of another search space. Knows nothing of results or of algorithms."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.keys import YamlValue, leaf_keys
from mtbert_ray.errors import shown
from mtbert_ray.metrics import Metrics, Objectives
from mtbert_ray.pareto.objectives import to_losses
from mtbert_ray.study.feedback import Telling
from mtbert_ray.study.search.base import Searcher
from mtbert_ray.study.space.experiments import EXPERIMENT
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.trial import Sweep, Trial, projection

_NO_DIFFERENCE = (EXPERIMENT, "seed")
"""A name, and what any two trials may differ in."""
_LONGEST_SHOWN = 60


class DoesNotFit(Exception):  # noqa: N818  # It is no error: such trials are counted.
    """Why a trial is none of a search space's, in a few words, the same for all trials with the same reason."""


def config_text(trial: Trial, space: SearchSpace) -> dict[str, Any]:
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


def differences(trial: Trial, space: SearchSpace, values: Mapping[str, Any]) -> list[str]:
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

    def __init__(self, trial: Trial) -> None:
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


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What became of an earlier sweep's trials."""

    num_trials: int
    """That the searcher was told of."""
    num_left_out: int
    reasons: Mapping[str, int]
    """Why trials were left out -> how many."""
    differences: tuple[str, ...]
    """What neither sweep searches, and they have set differently: their results may not be comparable."""

    def notes(self, name: str) -> list[str]:
        """Return what the reader of a report should know of it, in a line or two.

        Args:
            name: the earlier sweep's.
        """
        total = self.num_trials + self.num_left_out
        counted = [f"{reason} ({count})" for reason, count in self.reasons.items()]
        left_out = f"; left out: {', '.join(counted)}" if counted else ""
        notes = [f"The algorithm began with {self.num_trials} of {total} trials of {name}{left_out}."]
        if self.differences:
            notes.append(f"In {name}, {'; '.join(self.differences)}: its results may not be comparable.")
        return notes


def warm_start(searcher: Searcher, space: SearchSpace, record: Sweep, objectives: Objectives) -> Learned:
    """Tell a searcher of an earlier sweep's trials, all that fit, as if it had asked for them.

    Trials that still run there count as stopped. Full runs are told first, so that what stopped ones would have
    reached can be told from them.

    Args:
        searcher: of this space.
        space: what is searched now; the earlier sweep may have searched other keys.
        record: the earlier sweep.
        objectives: of this sweep, as resolved for this cluster.
    """
    opened: list[tuple[int, Trial]] = []
    reasons: Counter[str] = Counter()
    different: dict[str, None] = {}
    for trial in record.trials:
        try:
            values = config_text(trial, space)
            _check_has_results(trial, objectives, record.started.objectives)
        except DoesNotFit as reason:
            reasons[str(reason)] += 1
            continue
        opened.append((searcher.open(values), trial))
        different |= dict.fromkeys(differences(trial, space, values))
    telling = Telling(space, objectives)
    for key, trial in opened:
        for done in range(1, len(trial.epochs) + 1):
            telling.epoch(searcher, key, done, _projection_after(trial, done))
    for key, trial in sorted(opened, key=lambda one: one[1].status != "finished"):
        _tell_end(telling, searcher, key, trial)
    return Learned(
        num_trials=len(opened),
        num_left_out=reasons.total(),
        reasons=dict(reasons),
        differences=tuple(different),
    )


def _check_has_results(trial: Trial, objectives: Objectives, earlier: Objectives) -> None:
    """Refuse a trial that has all that was asked of it then, but not what is asked now: it did not fail."""
    if trial.status != "finished" or to_losses(trial.metrics, earlier) is None:
        return
    for name, objective in objectives.items():
        if to_losses(trial.metrics, {name: objective}) is None:
            raise DoesNotFit(f"no {name} was measured")


def _tell_end(telling: Telling, searcher: Searcher, key: int, trial: Trial) -> None:
    if trial.status == "failed":
        telling.failed(searcher, key)
    elif trial.status == "finished":
        telling.finished(searcher, key, trial.metrics)
    else:
        telling.stopped(searcher, key, len(trial.epochs), _last_projection(trial), trial.stop_kind or "sweep")


def _last_projection(trial: Trial) -> Metrics:
    """Return what a trial would come to as it last told; its probe tells of costs only."""
    if trial.epochs:
        return _projection_after(trial, len(trial.epochs))
    return {} if trial.probe is None else trial.probe.projection


def _projection_after(trial: Trial, num_done: int) -> Metrics:
    return projection(trial.epochs[:num_done], trial.tasks, num_epochs=int(trial.config["epochs"]))
