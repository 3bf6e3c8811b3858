"""How many trials a sweep has still to run, told from journals alone, so that Ray is not started for nothing."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.errors import JournalError
from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objectives
from mtbert_ray.study.search.points_to_evaluate import points_to_evaluate
from mtbert_ray.study.search.random_and_grid import GridSearcher
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.model import config_key
from mtbert_ray.study.warm_start import warm_start
from mtbert_ray.trial import Sweep, Trial


def was_cut_off(trial: Trial) -> bool:
    """Whether nothing of its own ended a trial, but its sweep's end or the death of its process or node."""
    if trial.status == "stopped":
        return trial.stop_kind == "sweep"
    return trial.status == "running" or trial.failure_kind == "died"


def num_to_run(sweep: Sweep, space: SearchSpace) -> int | None:
    """Return how many trials are left to run, those that were cut off among them; none if time alone decides.

    Args:
        sweep: as its journal tells it.
        space: the sweep's own, perhaps with more trials.
    """
    if space.num_trials is None:
        return None
    num_cut_off = sum(was_cut_off(trial) for trial in sweep.trials)
    num_left = max(0, space.num_trials - (len(sweep.trials) - num_cut_off))
    known = {config_key(trial.hyperparameters) for trial in sweep.trials}
    num_new = num_untried(space, sweep.started.objectives, known)
    return num_left if num_new is None else min(num_left, num_cut_off + num_new)


def num_untried(space: SearchSpace, objectives: Objectives, known: Collection[str] = ()) -> int | None:
    """Return how many more settings can be tried, at most as many as planned; none where nothing limits them.

    What the sweeps of `warm_start_from` have tried is not tried again, unless `points_to_evaluate` asks for it.

    Args:
        space: with `trials` or without.
        objectives: as resolved for the cluster.
        known: `config_key` of settings that have been tried in this sweep.
    """
    if not space.is_finite or not space.warm_start_from or space.num_trials is None:
        return None
    first = {config_key(values) for values in points_to_evaluate(space)} - set(known)
    taken = {*known, *first, *_learned(space, objectives)}
    untried = (values for values in _settings(space) if config_key(values) not in taken)
    return min(space.num_trials, len(first) + sum(1 for _ in islice(untried, space.num_trials)))


def _settings(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Yield what the searcher of a finite space can come to."""
    if space.algorithm != "grid":
        yield from space.grid()
        return
    searcher = GridSearcher(space)  # With fewer `trials` than settings it has drawn some of them.
    while (asked := searcher.ask()) is not None:
        yield asked[1]


def _learned(space: SearchSpace, objectives: Objectives) -> set[str]:
    """Return what a searcher of this space knows from earlier sweeps, as `config_key`."""
    noted = _Noted()
    for name in space.warm_start_from:
        with suppress(JournalError):  # It has been moved away since; whoever learns from it says so.
            warm_start(noted, space, read_journal(Path(name)), objectives)
    return noted.settings


class _Noted:
    """A searcher that suggests nothing and takes note of the settings that it is given."""

    def __init__(self) -> None:
        self.settings: set[str] = set()

    def ask(self) -> None:
        return None

    def open(self, values: Mapping[str, Any]) -> int:
        self.settings.add(config_key(values))
        return 0

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        pass

    def tell_intermediate(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        pass

    def tell_stopped(self, key: int) -> None:
        pass
