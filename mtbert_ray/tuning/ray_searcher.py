"""Lets Ray Tune ask one of our searchers. The only file of the search that knows Ray."""

import pickle
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher as RaySearcher

from mtbert_ray.metrics import Objectives
from mtbert_ray.pareto.objectives import constraint_violation, to_losses
from mtbert_ray.tuning.searchers import Searcher
from mtbert_ray.tuning.space_model import SearchSpace


class SpaceSearcher(RaySearcher):  # type: ignore[misc]  # Ray has no types.
    """Suggests settings of a search space to Ray Tune as `{"values": {dotted key: value}}`.

    Metric and mode stay unset, and must in TuneConfig: set there, they make Ray look at one objective only.

    Args:
        space: what is searched, and in how many trials.
        searcher: one of `SEARCHERS`, of this space.
        objectives: as resolved for this cluster, with stand-ins where there is no GPU.
    """

    def __init__(self, space: SearchSpace, searcher: Searcher, objectives: Objectives) -> None:
        super().__init__()
        self._num_trials = space.num_trials
        self._num_suggested = 0
        self._objectives = dict(objectives)
        self._searcher = searcher
        self._key_of: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return a setting, or `FINISHED` after the last one."""
        if self._num_trials is not None and self._num_suggested >= self._num_trials:
            return self._finished()
        asked = self._searcher.ask()
        if asked is None:
            return self._finished()
        self._num_suggested += 1
        self._key_of[trial_id], values = asked
        return {"values": values}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the searcher what a trial reached; one without every objective is a failed one.

        Ray may announce an end twice, after a restore; the second is ignored.
        """
        key = self._key_of.pop(trial_id, None)
        if key is None:
            return
        losses = None if error or result is None else to_losses(result, self._objectives)
        if losses is None or result is None:
            self._searcher.tell(key, None)
        else:
            self._searcher.tell(key, losses, constraint_violation(result, self._objectives))

    def save(self, checkpoint_path: str) -> None:
        """Write everything that decides the next suggestions to a file."""
        state = (self._num_suggested, self._key_of, self._searcher)
        Path(checkpoint_path).write_bytes(pickle.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from a file of `save`; only ever one that this user's own sweep wrote, since it is a pickle."""
        state = pickle.loads(Path(checkpoint_path).read_bytes())
        self._num_suggested, self._key_of, self._searcher = state

    def _finished(self) -> str:
        finished: str = RaySearcher.FINISHED
        return finished
