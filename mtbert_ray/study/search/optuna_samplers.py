"""Optuna's samplers as searchers, through its ask and tell.

With several objectives Optuna takes no intermediate results, so pruned trials are extrapolated here. All is minimized.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from mtbert_ray.config.keys import YamlValue
from mtbert_ray.pareto.objectives import reference_losses
from mtbert_ray.study.search.base import MAX_REDRAWS, Unseen
from mtbert_ray.study.search.early_results import FULL, EarlyResults
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.study.space.parameters import Choice, RandomSuggest

# M objectives


class _OptunaSuggest:
    """A `Suggest` over an Optuna trial. Choices are given by index: Optuna's must be plain scalars."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def categorical(self, key: str, choices: Sequence[YamlValue]) -> YamlValue:
        return choices[self._trial.suggest_categorical(key, range(len(choices)))]

    def real(self, key: str, low: float, high: float, *, log: bool) -> float:
        return self._trial.suggest_float(key, low, high, log=log)

    def integer(self, key: str, low: int, high: int, *, log: bool, step: int) -> int:
        return self._trial.suggest_int(key, low, high, log=log, step=step)


class OptunaSearcher:
    """An in-memory Optuna study with a seeded sampler.

    With `whole_configs`, conditional parameters are drawn whether they apply or not: a sampler that models only the
    keys that all trials have would otherwise draw them at random. After `max_redraws` repeated suggestions a config is
    drawn at random.
    """

    def __init__(
        self,
        space: SearchSpace,
        sampler: optuna.samplers.BaseSampler,
        *,
        whole_configs: bool = False,
        max_redraws: int = MAX_REDRAWS,
    ) -> None:
        self._space = space
        self._whole_configs = whole_configs
        self._max_redraws = max_redraws
        with quiet():
            self._study = optuna.create_study(directions=["minimize"] * len(space.objectives), sampler=sampler)
        self._rng = np.random.default_rng(space.seed)
        self._unseen = Unseen(space, self._rng)
        self._running: dict[int, optuna.Trial] = {}
        self._results = EarlyResults(space.objectives)
        self._worst_losses_M: NDArray[np.float64] | None = None
        self._worst_violation = 0.0

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and the sampler's next config."""
        for _ in range(self._max_redraws):
            trial, values = self._draw()
            if self._unseen.add(values):
                return self._open(trial), values
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        left = self._unseen.one_left()
        return None if left is None else (self.open(left), left)

    def open(self, values: Mapping[str, Any]) -> int:
        """Return a key for a given config."""
        self._study.enqueue_trial(self._as_parameters(values))
        trial, drawn = self._draw()
        assert drawn == dict(values), f"{dict(values)} is no config of this space"
        self._unseen.add(values)
        return self._open(trial)

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take a final result.

        Failed trials are marked so: left running, `constant_liar` would count them as bad. One stopped for breaking a
        constraint gets extrapolated or else the worst losses, so that its violation counts.
        """
        trial = self._running.pop(key)
        is_known = losses is not None and bool(np.isfinite(losses).all())
        if math.isnan(violation) or not (is_known or violation > 0):
            self._results.discard(key)
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif is_known:
            assert losses is not None
            self._results.add(key, FULL, losses, violation)
            self._complete(trial, losses, violation)
        else:
            expected = self._results.at_the_end(key)
            self._complete(trial, self._worst() if expected is None else expected[0], violation)

    def tell_intermediate(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Keep an intermediate result for extrapolation."""
        if key not in self._running:
            raise KeyError(key)
        if losses is not None and np.isfinite(losses).all() and not math.isnan(violation):
            self._results.add(key, resource, losses, violation)

    def tell_stopped(self, key: int) -> None:
        """Tell Optuna the extrapolated result, or leave the trial out: its early losses would mislead the model."""
        trial = self._running.pop(key)
        expected = self._results.at_the_end(key)
        if expected is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._complete(trial, *expected)

    def _draw(self) -> tuple[optuna.Trial, dict[str, Any]]:
        with quiet():
            trial = self._study.ask()
            suggest = _OptunaSuggest(trial)
            if self._whole_configs:
                for key, parameter in self._space.search.items():
                    parameter.draw(key, suggest)
            return trial, self._space.sample(suggest)

    def _open(self, trial: optuna.Trial) -> int:
        self._running[trial.number] = trial
        return trial.number

    def _complete(self, trial: optuna.Trial, losses: NDArray[np.float64], violation: float) -> None:
        if violation < math.inf:
            self._worst_violation = max(self._worst_violation, violation)
        else:  # Out of memory, by an unknown amount.
            violation = max(1.0, 2 * self._worst_violation)
        worst_M = losses if self._worst_losses_M is None else np.maximum(losses, self._worst_losses_M)
        self._worst_losses_M = np.array(worst_M)
        trial.set_constraint("violation", violation)
        with quiet():
            self._study.tell(trial, [float(loss) for loss in losses])

    def _worst(self) -> NDArray[np.float64]:
        """Return the worst losses `(M,)` so far, at first those of the reference point."""
        return reference_losses(self._space.objectives) if self._worst_losses_M is None else self._worst_losses_M

    def _as_parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a config as Optuna's parameters, with the index of a choice in place of its value."""
        parameters = {}
        for key, parameter in self._space.search.items():
            if key in values:
                value = values[key]
            elif self._whole_configs:  # Does not apply.
                value = parameter.draw(key, RandomSuggest(self._rng))
            else:
                continue
            parameters[key] = parameter.values.index(value) if isinstance(parameter, Choice) else value
        return parameters


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log and its warnings of experimental arguments."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        logger.setLevel(level)


_GP_REDRAWS = 2
"""A Gaussian process mostly repeats itself, and takes half a second each time."""


def tpe_searcher(space: SearchSpace) -> OptunaSearcher:
    """Multivariate TPE (Bergstra et al. 2011; several objectives: Ozaki et al. 2022).

    `group` models the keys of each branch of a conditional space together; `constant_liar` spreads parallel trials.
    The first quarter of the trials, at least 4 and at most 10, is random.
    """
    with quiet():
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=_num_random(space),
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=space.seed,
        )
    return OptunaSearcher(space, sampler)


def nsga2_searcher(space: SearchSpace) -> OptunaSearcher:
    """NSGA-II (Deb et al. 2002), population a quarter of the trials, 8 to 50; 20 under a time budget alone."""
    population = min(50, max(8, space.trials // 4)) if space.trials is not None else 20
    sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=space.seed)
    return OptunaSearcher(space, sampler, whole_configs=True)


def gp_searcher(space: SearchSpace) -> OptunaSearcher:
    """Gaussian processes, by expected hypervolume improvement (Daulton et al. 2020) and probability of feasibility.

    A suggestion takes 0.5 to 2 seconds: for some dozens of trials that take minutes. The first trials are random as
    with TPE. Constructing it imports torch, which this module does not.
    """
    with quiet():
        sampler = optuna.samplers.GPSampler(
            n_startup_trials=_num_random(space), seed=space.seed, warn_independent_sampling=False
        )
    return OptunaSearcher(space, sampler, whole_configs=True, max_redraws=_GP_REDRAWS)


def _num_random(space: SearchSpace) -> int:
    return min(10, max(4, (space.trials or 40) // 4))
