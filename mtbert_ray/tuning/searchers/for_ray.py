"""Lets Ray Tune ask one of our searchers. The only file of the search that knows Ray."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher as RaySearcher

from mtbert_ray.metrics import Metrics, Objectives
from mtbert_ray.pareto.objectives import constraint_violation, to_losses
from mtbert_ray.records import final_metrics
from mtbert_ray.tuning.searchers.base import Searcher
from mtbert_ray.tuning.space.model import SearchSpace


class SpaceSearcher(RaySearcher):  # type: ignore[misc]  # Ray has no types.
    """Suggests settings of a search space to Ray Tune, as the launchers of `mtbert_ray.cluster` take them.

    A suggestion is `{"trial_id": "t007", "values": {dotted key: value}, "trial": a whole TrialConfig as a dict}`.

    Metric and mode stay unset, and must in TuneConfig: set there, they make Ray look at one objective only.

    Args:
        space: what is searched, and in how many trials.
        searcher: one of `SEARCHERS`, of this space.
        objectives: as resolved for this cluster, with stand-ins where there is no GPU.
    """

    def __init__(self, space: SearchSpace, searcher: Searcher, objectives: Objectives) -> None:
        super().__init__()
        self._space = space
        self._num_trials = space.num_trials
        self._num_suggested = 0
        self._objectives = dict(objectives)
        self._searcher = searcher
        self._key_of: dict[str, int] = {}
        self._epochs: dict[str, list[Metrics]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return a setting, or `FINISHED` after the last one."""
        if self._num_trials is not None and self._num_suggested >= self._num_trials:
            return self._finished()
        asked = self._searcher.ask()
        if asked is None:
            return self._finished()
        self._key_of[trial_id], values = asked
        trial = self._space.trial_config(values).model_dump(mode="json")
        suggestion = {"trial_id": f"t{self._num_suggested:03d}", "values": values, "trial": trial}
        self._num_suggested += 1
        return suggestion

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep an epoch's metrics: the best of them is what the trial reached."""
        self._epochs.setdefault(trial_id, []).append(_metrics_of(result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the searcher what a trial reached; one without every objective is a failed one.

        Ray may announce an end twice, after a restore; the second is ignored.
        """
        key = self._key_of.pop(trial_id, None)
        epochs = self._epochs.pop(trial_id, [])
        if key is None:
            return
        if result is not None:
            epochs = [*epochs, _metrics_of(result)]
        metrics = final_metrics(epochs, [task.name for task in self._space.tasks])
        losses = None if error else to_losses(metrics, self._objectives)
        if losses is None:
            self._searcher.tell(key, None)
        else:
            self._searcher.tell(key, losses, constraint_violation(metrics, self._objectives))

    def save(self, checkpoint_path: str) -> None:
        """Write everything that decides the next suggestions to a file."""
        state = (self._num_suggested, self._key_of, self._epochs, self._searcher)
        Path(checkpoint_path).write_bytes(pickle.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from a file of `save`; only ever one that this user's own sweep wrote, since it is a pickle."""
        state = pickle.loads(Path(checkpoint_path).read_bytes())
        self._num_suggested, self._key_of, self._epochs, self._searcher = state

    def _finished(self) -> str:
        finished: str = RaySearcher.FINISHED
        return finished


def _metrics_of(result: Mapping[str, Any]) -> Metrics:
    """Return the metrics of a trial's report, which Ray has flattened to `metrics/dev_score` and so on."""
    prefix = "metrics/"
    return {key.removeprefix(prefix): value for key, value in result.items() if key.startswith(prefix)}
