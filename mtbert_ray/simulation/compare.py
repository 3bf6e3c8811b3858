"""Simulates every pruner with every searcher and number of workers over seeds."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.events import TrialStarted
from mtbert_ray.simulation.clock import Clock, Curve, Outcome, simulate
from mtbert_ray.simulation.pruners import NamedPruner
from mtbert_ray.study.pruning.decision import Pruner
from mtbert_ray.study.study import Study

# N full runs that count, M objectives

_ROUNDING = 1e-9
"""Relative tolerance of a budget."""

MakePruner = Callable[[], Pruner | None]


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A simulated sweep before its first trial."""

    study: Study
    curve_of: Callable[[TrialStarted], Curve]
    clock: Clock


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A benchmark of simulated sweeps."""

    name: str
    mean_seconds: float
    """Of a full run."""
    max_epochs: int
    """Of the longest full run."""
    start: Callable[[str, int, MakePruner], Simulation]
    """Searcher, seed and pruner -> simulation."""
    volume: Callable[[NDArray[np.float64]], float]
    """Losses `(N, M)` of full runs -> their hypervolume, as a share of a fixed one."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The config of a simulated sweep."""

    pruner: NamedPruner
    searcher: str
    workers: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """The result of one simulated sweep."""

    setup: Setup
    problem: str
    seed: int
    spent: NDArray[np.float64]
    """`(N,)`: by all workers together when each full run that counts ended, in mean full runs."""
    shares: NDArray[np.float64]
    """`(N,)`: the hypervolume from then on."""
    num_trials: int
    """Finished or stopped."""
    stopped_after: dict[int, int]
    """Epochs done -> number of trials stopped there."""
    epochs: int
    steps: int | None
    """Optimizer steps; None where they were not recorded."""
    seconds: float
    """Of all workers together."""
    wall_seconds: float

    def share_at(self, budget: float) -> float:
        """Return the hypervolume within a budget, in mean full runs."""
        within = np.flatnonzero(self.spent <= budget * (1 + _ROUNDING))
        return float(self.shares[within[-1]]) if len(within) else 0.0

    @property
    def final_share(self) -> float:
        """The hypervolume at the end."""
        return float(self.shares[-1]) if len(self.shares) else 0.0

    def reaches(self, share: float) -> float | None:
        """Return the budget at which a hypervolume is reached, in mean full runs; None if it never is."""
        there = np.flatnonzero(self.shares >= share)
        return float(self.spent[there[0]]) if len(there) else None

    @property
    def num_stopped(self) -> int:
        """How many trials were stopped."""
        return sum(self.stopped_after.values())


def compare(
    problems: Sequence[Problem],
    setups: Sequence[Setup],
    *,
    seeds: int,
    budget: float = np.inf,
    on_run: Callable[[], None] = lambda: None,
) -> list[Run]:
    """Return a run for each setup, problem and seed, in this order; the budget is in mean full runs of the problem."""
    runs = []
    for setup, problem, seed in product(setups, problems, range(seeds)):
        pruner = partial(setup.pruner.start, seed=seed, max_epochs=problem.max_epochs)
        sim = problem.start(setup.searcher, seed, pruner)
        mean = problem.mean_seconds
        outcome = simulate(sim.study, sim.curve_of, sim.clock, workers=setup.workers, mean_seconds=mean, budget=budget)
        runs.append(_run_of(outcome, setup, problem, seed))
        on_run()
    return runs


def _run_of(outcome: Outcome, setup: Setup, problem: Problem, seed: int) -> Run:
    spent = [trial.spent for trial in outcome.trials if trial.counts]
    steps = [trial.steps for trial in outcome.trials]
    return Run(
        setup=setup,
        problem=problem.name,
        seed=seed,
        spent=np.array(spent),
        shares=np.array(outcome.volumes(problem.volume, spent)),
        num_trials=len(outcome.trials),
        stopped_after=dict(sorted(Counter(trial.epochs for trial in outcome.trials if trial.stopped).items())),
        epochs=sum(trial.epochs for trial in outcome.trials),
        steps=None if None in steps else sum(count for count in steps if count is not None),
        seconds=sum(trial.seconds for trial in outcome.trials),
        wall_seconds=outcome.wall_seconds,
    )
