"""TPE and NSGA-II, from Optuna through ask and tell. Everything is minimised; knows nothing of Ray or of metrics."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from mtbert_ray.tuning.searchers.unseen import MAX_REDRAWS, Unseen
from mtbert_ray.tuning.space.model import SearchSpace
from mtbert_ray.tuning.space.parameters import Choice, YamlValue

# M objectives


class _OptunaSuggest:
    """A `Suggest` over an Optuna trial. Choices go by their index, since Optuna's must be plain scalars."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def categorical(self, key: str, choices: Sequence[YamlValue]) -> YamlValue:
        return choices[self._trial.suggest_categorical(key, range(len(choices)))]

    def real(self, key: str, low: float, high: float, *, log: bool) -> float:
        return self._trial.suggest_float(key, low, high, log=log)

    def integer(self, key: str, low: int, high: int, *, log: bool, step: int) -> int:
        return self._trial.suggest_int(key, low, high, log=log, step=step)


class OptunaSearcher:
    """Asks and tells a study of Optuna's, held in memory, with every direction minimised.

    Args:
        space: what to draw from.
        sampler: the algorithm, seeded.
        whole_settings: draw a value for every parameter of a trial, whether it applies or not. A genetic algorithm
            crosses only the keys that all trials have, so without this it would draw conditional ones at random.
    """

    def __init__(
        self,
        space: SearchSpace,
        sampler: optuna.samplers.BaseSampler,
        *,
        whole_settings: bool = False,
    ) -> None:
        self._space = space
        self._whole_settings = whole_settings
        with _quiet():
            self._study = optuna.create_study(directions=["minimize"] * len(space.objectives), sampler=sampler)
        self._unseen = Unseen(space, np.random.default_rng(space.seed))
        self._running: dict[int, optuna.Trial] = {}

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and the setting that the algorithm wants to see."""
        for _ in range(MAX_REDRAWS):
            trial, values = self._draw()
            if self._unseen.add(values):
                return self._open(trial, values)
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        left = self._unseen.one_left()
        if left is None:
            return None
        self._study.enqueue_trial(self._as_parameters(left))
        trial, values = self._draw()
        self._unseen.add(values)
        return self._open(trial, values)

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take a result. A failed trial is told as such: left running, it would count as a bad one for ever."""
        trial = self._running.pop(key)
        if losses is None or not np.isfinite(losses).all() or np.isnan(violation):
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        trial.set_constraint("violation", violation)
        self._study.tell(trial, [float(loss) for loss in losses])

    def tell_progress(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Take an intermediate result, which Optuna has no use for when there are several objectives."""
        if key not in self._running:
            raise KeyError(key)

    def tell_stopped(self, key: int) -> None:
        """Leave a stopped trial out of the model: taken for its result, its early losses would mislead it."""
        self._study.tell(self._running.pop(key), state=optuna.trial.TrialState.FAIL)

    def _draw(self) -> tuple[optuna.Trial, dict[str, Any]]:
        with _quiet():
            trial = self._study.ask()
            suggest = _OptunaSuggest(trial)
            if self._whole_settings:
                for key, parameter in self._space.search.items():
                    parameter.draw(key, suggest)
            return trial, self._space.sample(suggest)

    def _open(self, trial: optuna.Trial, values: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._running[trial.number] = trial
        return trial.number, values

    def _as_parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a setting as Optuna has it, with the index of a choice in place of its value."""
        parameters = {}
        for key, value in values.items():
            parameter = self._space.search[key]
            parameters[key] = parameter.values.index(value) if isinstance(parameter, Choice) else value
        return parameters


def tpe_searcher(space: SearchSpace) -> OptunaSearcher:
    """Multivariate TPE (Bergstra et al. 2011; several objectives: Ozaki et al. 2022).

    `group` models the keys of each branch of a conditional space together. `constant_liar` counts running trials as
    bad ones, so that parallel trials spread. The first quarter of the trials, at least 4 and at most 10, is random.
    """
    with _quiet():
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=min(10, max(4, (space.trials or 40) // 4)),
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=space.seed,
        )
    return OptunaSearcher(space, sampler)


def nsga2_searcher(space: SearchSpace) -> OptunaSearcher:
    """NSGA-II (Deb et al. 2002), with a population of a quarter of the trials, at least 8 and at most 50.

    The first population is random, so this leaves three generations of breeding; under a time budget alone it is 20.
    """
    population = min(50, max(8, space.trials // 4)) if space.trials is not None else 20
    sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=space.seed)
    return OptunaSearcher(space, sampler, whole_settings=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's notes on new studies and on experimental arguments from the user, and from nobody else's code."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        logger.setLevel(level)
