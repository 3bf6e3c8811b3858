"""Searchers over recorded trials: in their own order, or the nearest to another searcher's suggestion."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mtbert_ray.events import SweepStarted
from mtbert_ray.metrics import Objectives
from mtbert_ray.simulation.clock import Clock
from mtbert_ray.simulation.compare import MakePruner, Problem, Simulation
from mtbert_ray.simulation.recorded import Recorded
from mtbert_ray.study.search import SEARCHERS, Searcher
from mtbert_ray.study.search.base import coordinates
from mtbert_ray.study.search.random_and_grid import Unguided
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.study import Study

# T recorded trials, D coordinates

RECORDED = "recorded"
"""Name of the searcher InOrder."""
SUGGESTING = tuple(name for name in SEARCHERS if name != "grid")
"""Searchers that Nearest can ask; a grid would suggest configs that were not recorded."""


def recorded_problem(recorded: Recorded) -> Problem:
    """Return a problem of which every recorded trial runs once."""
    return Problem(
        name=RECORDED,
        mean_seconds=recorded.mean_seconds,
        max_epochs=recorded.max_epochs,
        start=lambda searcher, seed, pruner: _start(recorded, searcher, seed, pruner),
        volume=recorded.volume,
    )


def _start(recorded: Recorded, searcher: str, seed: int, pruner: MakePruner) -> Simulation:
    if searcher == RECORDED:
        space = SearchSpace(name=RECORDED, objectives=recorded.objectives)
        asked: InOrder | Nearest = InOrder(recorded, seed)
    else:
        assert isinstance(recorded.space, SearchSpace), "checked before a comparison starts"
        space = recorded.space.model_copy(update={"seed": seed, "trials": len(recorded.trials)})
        asked = Nearest(recorded, SEARCHERS[searcher](space), space)
    if recorded.pruned_as is not None:
        space = space.model_copy(update={"probe": recorded.pruned_as.probe})
    clock = Clock()
    study = Study(
        simulated_start(RECORDED, recorded.objectives, num_trials=len(recorded.trials), seed=seed),
        space=space.model_copy(update={"points_to_evaluate": (), "warm_start_from": ()}),
        searcher=lambda _: asked,
        pruner=lambda space, objectives: pruner(),
        config_of=lambda values: dict(recorded.trials[asked.place].config),
        clock=clock,
    )
    return Simulation(study=study, curve_of=lambda _: recorded.trials[asked.place].curve, clock=clock)


def simulated_start(name: str, objectives: Objectives, *, num_trials: int | None, seed: int) -> SweepStarted:
    """Return the first event of a simulated sweep."""
    return SweepStarted(
        time=0.0,
        name=name,
        space={},
        objectives=dict(objectives),
        hyperparameters=(),
        tasks=(),
        num_trials=num_trials,
        seed=seed,
        versions={},
        git_revision=None,
        hardware={},
    )


class InOrder(Unguided):
    """The recorded trials in the order of the journal, which a seed above 0 shuffles."""

    def __init__(self, recorded: Recorded, seed: int) -> None:
        super().__init__()
        self.place = -1
        """Of the latest suggestion, in the recorded trials."""
        self._recorded = recorded
        order = range(len(recorded.trials))
        self._left: Iterator[int] = iter(order if seed == 0 else np.random.default_rng(seed).permutation(order))

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and the next trial's config."""
        place = next(self._left, None)
        if place is None:
            return None
        self.place = int(place)
        return self.new_key(), self._recorded.trials[self.place].values

    def open(self, values: Mapping[str, Any]) -> int:
        """Never called: a simulation has no configs to try first."""
        raise NotImplementedError


class Nearest:
    """Replaces a searcher's suggestions by the nearest recorded trial not yet run, and gives it the feedback of that.

    Once the searcher has nothing left to suggest, the remaining trials run in their own order.
    """

    def __init__(self, recorded: Recorded, searcher: Searcher, space: SearchSpace) -> None:
        self.place = -1
        self._recorded, self._searcher, self._search = recorded, searcher, space.search
        self._points_TD = np.array([coordinates(space.search, trial.values) for trial in recorded.trials])
        self._left_T = np.ones(len(self._points_TD), dtype=np.bool_)
        self.open, self.tell = searcher.open, searcher.tell
        self.tell_intermediate, self.tell_stopped = searcher.tell_intermediate, searcher.tell_stopped

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and the config of a recorded trial."""
        if not self._left_T.any():
            return None
        asked = self._searcher.ask()
        if asked is None:
            self.place = int(self._left_T.argmax())
        else:
            distances_T = np.linalg.norm(self._points_TD - coordinates(self._search, asked[1]), axis=1)
            self.place = int(np.where(self._left_T, distances_T, np.inf).argmin())
        self._left_T[self.place] = False
        values = self._recorded.trials[self.place].values
        if asked is not None and asked[1] == values:
            return asked
        if asked is not None:
            self._searcher.tell_stopped(asked[0])  # It has no result.
        return self._searcher.open(values), values
