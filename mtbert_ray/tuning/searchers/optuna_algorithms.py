"""Optuna's algorithms as searchers: TPE, NSGA-II and a Gaussian process. Knows nothing of Ray or of metrics."""

import optuna

from mtbert_ray.tuning.searchers.with_optuna import OptunaSearcher, quiet
from mtbert_ray.tuning.space.model import SearchSpace

_GP_REDRAWS = 2
"""A Gaussian process that has suggested an old setting mostly does so again, and each time takes its half second."""


def tpe_searcher(space: SearchSpace) -> OptunaSearcher:
    """Multivariate TPE (Bergstra et al. 2011; several objectives: Ozaki et al. 2022).

    `group` models the keys of each branch of a conditional space together. `constant_liar` counts running trials as
    bad ones, so that parallel trials spread. The first quarter of the trials, at least 4 and at most 10, is random.
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
    """NSGA-II (Deb et al. 2002), with a population of a quarter of the trials, at least 8 and at most 50.

    The first population is random, so this leaves three generations of breeding; under a time budget alone it is 20.
    """
    population = min(50, max(8, space.trials // 4)) if space.trials is not None else 20
    sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=space.seed)
    return OptunaSearcher(space, sampler, whole_settings=True)


def gp_searcher(space: SearchSpace) -> OptunaSearcher:
    """Gaussian processes, by expected hypervolume improvement (Daulton et al. 2020) and the chance to be feasible.

    Running trials are accounted for as such. A suggestion takes about half a second, one or two where trials run
    beside it: for some dozens of trials that take minutes. The first trials are random as with TPE.

    Constructing it imports torch, which this module does not.
    """
    with quiet():
        sampler = optuna.samplers.GPSampler(
            n_startup_trials=_num_random(space), seed=space.seed, warn_independent_sampling=False
        )
    return OptunaSearcher(space, sampler, whole_settings=True, max_redraws=_GP_REDRAWS)


def _num_random(space: SearchSpace) -> int:
    return min(10, max(4, (space.trials or 40) // 4))
