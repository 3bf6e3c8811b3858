"""Searchers by name: random, grid and front are our own, TPE, NSGA-II and GP are Optuna's samplers."""

from collections.abc import Callable

from mtbert_ray.study.search.base import Searcher
from mtbert_ray.study.search.front import FrontSearcher
from mtbert_ray.study.search.optuna_samplers import gp_searcher, nsga2_searcher, tpe_searcher
from mtbert_ray.study.search.random_and_grid import GridSearcher, RandomSearcher
from mtbert_ray.study.space import SearchSpace

__all__ = ["SEARCHERS", "Searcher"]

SEARCHERS: dict[str, Callable[[SearchSpace], Searcher]] = {
    "random": RandomSearcher,
    "grid": GridSearcher,
    "tpe": tpe_searcher,
    "nsga2": nsga2_searcher,
    "gp": gp_searcher,
    "front": FrontSearcher,
}
"""Algorithm -> its searcher of a search space."""
