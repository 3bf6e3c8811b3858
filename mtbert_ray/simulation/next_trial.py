"""Which recorded trial a simulated sweep runs next: in their own order, or the nearest to what a searcher suggests.

Knows nothing of clocks or rules.
"""

from collections.abc import Iterator

import numpy as np

from mtbert_ray.simulation.clock import Candidate, Learns
from mtbert_ray.simulation.compare import Problem
from mtbert_ray.simulation.recorded import Recorded
from mtbert_ray.study.search import SEARCHERS, Searcher
from mtbert_ray.study.search.base import coordinates
from mtbert_ray.study.space import SearchSpace

# T recorded trials, D coordinates

RECORDED = "recorded"
"""Stands for a searcher: the trials in the order of the journal; seeds above 0 shuffle them."""
SUGGESTING = tuple(name for name in SEARCHERS if name != "grid")
"""Searchers that can be asked; a grid has nothing to say where only some of its settings are known."""


def recorded_problem(recorded: Recorded) -> Problem:
    """Return recorded trials as something to run sweeps on, each trial once."""
    return Problem(
        name=RECORDED,
        mean_seconds=recorded.mean_seconds,
        max_epochs=recorded.max_epochs,
        trials=lambda searcher, seed: _trials(recorded, searcher, seed),
        volume=recorded.volume,
    )


def _trials(recorded: Recorded, searcher: str, seed: int) -> tuple[Iterator[Candidate], Learns | None]:
    if searcher == RECORDED:
        return _in_order(recorded, seed), None
    assert isinstance(recorded.space, SearchSpace), "checked before a comparison starts"
    space = recorded.space.model_copy(update={"seed": seed, "trials": len(recorded.trials)})
    asked = SEARCHERS[searcher](space)
    return _nearest(recorded, asked, space), asked


def _in_order(recorded: Recorded, seed: int) -> Iterator[Candidate]:
    order = range(len(recorded.trials))
    for place in order if seed == 0 else np.random.default_rng(seed).permutation(order):
        trial = recorded.trials[place]
        yield Candidate(key=int(place), name=trial.name, curve=trial.curve)


def _nearest(recorded: Recorded, searcher: Searcher, space: SearchSpace) -> Iterator[Candidate]:
    """Yield for each suggestion the nearest trial that has not been run, and tell the searcher which one that was.

    Once the searcher has nothing left to suggest, the rest comes in its own order.
    """
    points_TD = np.array([coordinates(space.search, trial.values) for trial in recorded.trials])
    left_T = np.ones(len(points_TD), dtype=np.bool_)
    while left_T.any():
        asked = searcher.ask()
        if asked is None:
            place = int(left_T.argmax())
        else:
            distances_T = np.linalg.norm(points_TD - coordinates(space.search, asked[1]), axis=1)
            place = int(np.where(left_T, distances_T, np.inf).argmin())
        left_T[place] = False
        trial = recorded.trials[place]
        if asked is not None and asked[1] == trial.values:
            key = asked[0]
        else:
            if asked is not None:
                searcher.tell_stopped(asked[0])  # Nobody knows what became of it.
            key = searcher.open(trial.values)
        yield Candidate(key=key, name=trial.name, curve=trial.curve)
