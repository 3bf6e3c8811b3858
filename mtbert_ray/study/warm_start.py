"""`points_to_evaluate`, the configs to try first, and `warm_start_from`, the sweeps to learn from."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.keys import YamlValue, leaf_keys
from mtbert_ray.errors import JournalError, shown
from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objectives
from mtbert_ray.pareto.objectives import to_losses
from mtbert_ray.study.feedback import Feedback
from mtbert_ray.study.search.base import Searcher, Unseen
from mtbert_ray.study.search.random_and_grid import GridSearcher
from mtbert_ray.study.space.experiments import EXPERIMENT
from mtbert_ray.study.space.model import SearchSpace, config_key
from mtbert_ray.study.space.parameters import RandomSuggest
from mtbert_ray.study.space.points_to_evaluate import Given, complete
from mtbert_ray.trial import Sweep, Trial

_log = logging.getLogger(__name__)
_NO_DIFFERENCE = (EXPERIMENT, "seed")
"""Keys in which two trials of the same config may differ."""
_LONGEST_SHOWN = 60


class DoesNotFit(Exception):  # noqa: N818  # It is no error: such trials are counted.
    """A trial is not of a search space; the message is the same for all trials with the same reason."""


def config_in(space: SearchSpace, trial: Trial) -> dict[str, Any]:
    """Return a trial's values of the keys that this space searches, those that were fixed then included.

    Raises:
        DoesNotFit: a value is not searched now, or a key that was searched then has another value now.
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
    """Return how a trial differs from this space's config with the same values, as `epochs was 3, here 10`."""
    now = space.build(values).model_dump(mode="json")
    found = []
    for key in leaf_keys(TrialConfig):
        before, here = _value(trial.config, key), _value(now, key)
        if key not in _NO_DIFFERENCE and before != here:
            text = f"{key} was {shown(before)}, here {shown(here)}"
            found.append(text if len(text) <= _LONGEST_SHOWN else f"{key} was another")
    return found


def _value(config: Mapping[str, Any], key: str) -> YamlValue:
    """Return a value of a whole TrialConfig; the default of a key that an older version did not have."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None if config is _DEFAULTS else _value(_DEFAULTS, key)
        value = value[part]
    return value


_DEFAULTS = TrialConfig().model_dump(mode="json")


class _AsItWas:
    """A `Suggest` of a trial's own values, which must be in the ranges of this space."""

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
class EarlierSweep:
    """The trials of an earlier sweep that are configs of this search space."""

    name: str
    trials: tuple[tuple[dict[str, Any], Trial], ...]
    """Each with its values in this space."""
    left_out: Mapping[str, int]
    """Reason -> how many trials were left out."""
    differences: tuple[str, ...]
    """Fixed values that differ: the results may not be comparable."""

    @property
    def notes(self) -> list[str]:
        """Sentences for the report."""
        total = len(self.trials) + sum(self.left_out.values())
        counted = [f"{reason} ({count})" for reason, count in self.left_out.items()]
        left_out = f"; left out: {', '.join(counted)}" if counted else ""
        notes = [f"Warm start from {len(self.trials)} of {total} trials of {self.name}{left_out}."]
        if self.differences:
            notes.append(f"In {self.name}, {'; '.join(self.differences)}: its results may not be comparable.")
        return notes


def teach(searcher: Searcher, feedback: Feedback, trials: Iterable[tuple[Mapping[str, Any], Trial]]) -> None:
    """Give a searcher the feedback of trials that it has not asked for.

    Finished trials end first, so that pruned ones can be extrapolated from them.
    """
    keyed = [(searcher.open(values), trial) for values, trial in trials]
    for key, trial in keyed:
        for place in range(len(trial.epochs)):
            feedback.epoch(key, trial, place)
    for key, trial in sorted(keyed, key=lambda one: one[1].status != "finished"):
        feedback.end(key, trial)


def read_earlier_sweeps(
    space: SearchSpace, objectives: Objectives, *, missing_ok: bool = False
) -> tuple[EarlierSweep, ...]:
    """Read the sweeps of `warm_start_from`, for the objectives of this sweep as resolved for this cluster.

    Raises:
        JournalError: a journal cannot be read; with `missing_ok` that is a warning.
    """
    earlier = []
    for name in space.warm_start_from:
        try:
            earlier.append(fit(name, read_journal(Path(name)), space, objectives))
        except JournalError as error:
            if not missing_ok:
                raise
            _log.warning("warm_start_from: the searcher continues without this sweep: %s", error)
    return tuple(earlier)


def fit(name: str, sweep: Sweep, space: SearchSpace, objectives: Objectives) -> EarlierSweep:
    """Return the trials of an earlier sweep that fit this space and these objectives, and why others are left out."""
    trials: list[tuple[dict[str, Any], Trial]] = []
    left_out: Counter[str] = Counter()
    different: dict[str, None] = {}
    for trial in sweep.trials:
        try:
            values = config_in(space, trial)
            _check_has_results(trial, objectives, sweep.started.objectives)
        except DoesNotFit as reason:
            left_out[str(reason)] += 1
            continue
        trials.append((values, trial))
        different |= dict.fromkeys(differences(trial, space, values))
    return EarlierSweep(name=name, trials=tuple(trials), left_out=dict(left_out), differences=tuple(different))


def _check_has_results(trial: Trial, objectives: Objectives, earlier: Objectives) -> None:
    """Refuse a trial with every objective of the earlier sweep but not of this one: it would count as failed."""
    if trial.status != "finished" or to_losses(trial.metrics, earlier) is None:
        return
    for name, objective in objectives.items():
        if to_losses(trial.metrics, {name: objective}) is None:
            raise DoesNotFit(f"no {name} was measured")


def num_untried(space: SearchSpace, earlier: Sequence[EarlierSweep], known: Collection[str] = ()) -> int | None:
    """Return how many more configs of a finite space can be tried, at most as many as planned; None without a limit.

    Configs of earlier sweeps are not tried again, unless `points_to_evaluate` has them. `known` are the `config_key` of
    those that this sweep has tried.
    """
    if not space.is_finite or not space.warm_start_from or space.num_trials is None:
        return None
    first = {config_key(values) for values in points_to_evaluate(space)} - set(known)
    taken = {*known, *first, *(config_key(values) for sweep in earlier for values, _ in sweep.trials)}
    # A grid with fewer `trials` than configs has drawn some of them.
    configs = GridSearcher(space).left if space.algorithm == "grid" else space.grid()
    untried = (values for values in configs if config_key(values) not in taken)
    return min(space.num_trials, len(first) + sum(1 for _ in islice(untried, space.num_trials)))


_STREAM = 1
"""Besides the seed, so that these draws differ from the searcher's."""
_MAX_DRAWS = 1000
"""An entry without a new config after so many draws is dropped."""


def points_to_evaluate(space: SearchSpace) -> list[dict[str, Any]]:
    """Return the configs to try first, in order, all different; keys that an entry leaves out are drawn by the seed.

    An entry is dropped where those before it have taken every config that fits.
    """
    rng = np.random.default_rng((space.seed, _STREAM))
    unseen = Unseen(space, rng)
    points = []
    for given in space.points_to_evaluate:
        values = _new(space, given, unseen, rng)
        if values is not None:
            unseen.add(values)
            points.append(values)
    return points


def _new(space: SearchSpace, given: Given, unseen: Unseen, rng: np.random.Generator) -> dict[str, Any] | None:
    for _ in range(_MAX_DRAWS):
        values, is_only_one = complete(space, given, RandomSuggest(rng))
        if not unseen.knows(values):
            return values
        if is_only_one:
            break
    return None


def trials_possible(
    planned: int | None, space: SearchSpace, trials: Sequence[Trial], earlier: Sequence[EarlierSweep]
) -> int | None:
    """Return how many trials a sweep can come to: as planned, or fewer where earlier sweeps have tried the rest."""
    space = space.model_copy(update={"trials": planned})
    untried = num_untried(space, earlier, {config_key(trial.hyperparameters) for trial in trials})
    return planned if planned is None or untried is None else min(planned, len(trials) + untried)
