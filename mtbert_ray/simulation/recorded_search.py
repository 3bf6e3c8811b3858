"""Which recorded trial a simulated sweep runs next: in their own order, or the nearest to what a searcher suggests."""

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
"""Stands for a searcher: the trials in the order of the journal; seeds above 0 shuffle them."""
SUGGESTING = tuple(name for name in SEARCHERS if name != "grid")
"""Searchers that can be asked; a grid has nothing to suggest where only some of its configs are known."""


def recorded_problem(recorded: Recorded) -> Problem:
    """Return recorded trials as something to run sweeps on, each trial once."""
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
    """A searcher that goes through the recorded trials.

    Args:
        recorded: the trials.
        seed: 0 keeps their order; others shuffle it.
    """

    def __init__(self, recorded: Recorded, seed: int) -> None:
        super().__init__()
        self.place = -1
        """Of the trial that was suggested last."""
        self._recorded = recorded
        order = range(len(recorded.trials))
        self._left: Iterator[int] = iter(order if seed == 0 else np.random.default_rng(seed).permutation(order))

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and the config of the next trial."""
        place = next(self._left, None)
        if place is None:
            return None
        self.place = int(place)
        return self.new_key(), self._recorded.trials[self.place].values

    def open(self, values: Mapping[str, Any]) -> int:
        """Return a key; no config comes from elsewhere."""
        raise NotImplementedError


class Nearest:
    """A searcher that replaces what another suggests by the nearest trial that has not been run.

    The other one is told which one that was. Once it has nothing left to suggest, the rest comes in its own order.

    Args:
        recorded: the trials.
        searcher: suggests.
        space: of the suggestions.
    """

    def __init__(self, recorded: Recorded, searcher: Searcher, space: SearchSpace) -> None:
        self.place = -1
        """Of the trial that was suggested last."""
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
            self._searcher.tell_stopped(asked[0])  # Nobody knows what became of it.
        return self._searcher.open(values), values
