"""Lets Ray Tune ask one of our searchers. The only file of the search that knows Ray."""

import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher as RaySearcher

from mtbert_ray.metrics import Metrics, Objectives
from mtbert_ray.pareto.objectives import constraint_violation, known_violation, to_losses
from mtbert_ray.tuning.searchers.base import Searcher
from mtbert_ray.tuning.space.model import SearchSpace


@dataclass(frozen=True, kw_only=True)
class FirstTrial:
    """A trial to run before the searcher is asked: its setting is known to the searcher already."""

    trial_id: str
    key: int
    """From the searcher's `open`."""
    values: Mapping[str, Any]


class SpaceSearcher(RaySearcher):  # type: ignore[misc]  # Ray has no types.
    """Suggests settings of a search space to Ray Tune, as the launchers of `mtbert_ray.cluster` take them.

    A suggestion is `{"trial_id": "t007", "values": {dotted key: value}, "trial": a whole TrialConfig as a dict,
    "probe": a ProbeConfig as a dict, or None}`.

    Metric and mode stay unset, and must in TuneConfig: set there, they make Ray look at one objective only.

    Args:
        space: what is searched, and in how many trials.
        searcher: one of `SEARCHERS`, of this space.
        objectives: as resolved for this cluster, with stand-ins where there is no GPU.
        first: trials to run before any other.
        num_known: trials that have an id already, those of `first` among them; new ones are numbered from there.
    """

    def __init__(
        self,
        space: SearchSpace,
        searcher: Searcher,
        objectives: Objectives,
        *,
        first: Sequence[FirstTrial] = (),
        num_known: int = 0,
    ) -> None:
        super().__init__()
        self._space = space
        self._num_trials = space.num_trials
        self._num_known = num_known
        self._objectives = dict(objectives)
        self._searcher = searcher
        self._first = list(first)
        self._key_of: dict[str, int] = {}
        self._epochs_of: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return a setting, or `FINISHED` after the last one."""
        if self._first:
            first = self._first.pop(0)
            return self._suggestion(trial_id, first.trial_id, first.key, dict(first.values))
        if self._num_trials is not None and self._num_known >= self._num_trials:
            return self._finished()
        asked = self._searcher.ask()
        if asked is None:
            return self._finished()
        name = trial_name(self._num_known)
        self._num_known += 1
        return self._suggestion(trial_id, name, *asked)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the searcher how a trial that goes on stands."""
        self._tell_progress(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the searcher what a trial reached: at its end, at its early one, or that it failed.

        A trial that ran to its end without a value for every objective is a failed one. Ray may announce an end twice;
        the second is ignored.
        """
        key = self._key_of.get(trial_id)
        if key is None:
            return
        if error:
            self._searcher.tell(key, None)
        elif result and "out_of_memory" in result:
            self._searcher.tell(key, None, math.inf)
        elif result and result["epoch"] >= self._epochs_of[trial_id]:
            metrics = _outlook_in(result)
            losses = to_losses(metrics, self._objectives)
            violation = 0.0 if losses is None else constraint_violation(metrics, self._objectives)
            self._searcher.tell(key, losses, violation)
        elif result and result["epoch"] == 0 and (beyond := known_violation(_outlook_in(result), self._objectives)):
            self._searcher.tell(key, None, beyond)
        elif violation := self._tell_progress(trial_id, result or {}):
            self._searcher.tell(key, None, violation)
        else:
            self._searcher.tell_stopped(key)
        del self._key_of[trial_id]

    def save(self, checkpoint_path: str) -> None:
        """Write everything that decides the next suggestions to a file."""
        state = (self._num_known, self._first, self._key_of, self._epochs_of, self._searcher)
        Path(checkpoint_path).write_bytes(pickle.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from a file of `save`; only ever one that this user's own sweep wrote, since it is a pickle."""
        state = pickle.loads(Path(checkpoint_path).read_bytes())
        self._num_known, self._first, self._key_of, self._epochs_of, self._searcher = state

    def _suggestion(self, ray_id: str, trial_id: str, key: int, values: dict[str, Any]) -> dict[str, Any]:
        trial = self._space.trial_config(values)
        self._key_of[ray_id], self._epochs_of[ray_id] = key, trial.epochs
        probe = self._space.probe if self._space.scheduler == "pareto" and self._space.probe.steps > 0 else None
        return {
            "trial_id": trial_id,
            "values": values,
            "trial": trial.model_dump(mode="json"),
            "probe": None if probe is None else probe.model_dump(mode="json"),
        }

    def _tell_progress(self, trial_id: str, result: Mapping[str, Any]) -> float:
        """Pass on what an epoch gave; a probe has no scores. Return how far the constraints are exceeded."""
        if result.get("epoch", 0) == 0 or trial_id not in self._key_of:
            return 0.0
        metrics = _outlook_in(result)
        losses = to_losses(metrics, self._objectives)
        violation = 0.0 if losses is None else constraint_violation(metrics, self._objectives)
        self._searcher.tell_progress(self._key_of[trial_id], result["epoch"], losses, violation)
        return violation

    def _finished(self) -> str:
        finished: str = RaySearcher.FINISHED
        return finished


def trial_name(number: int) -> str:
    """Return what the trial with this number is called."""
    return f"t{number:03d}"


def _outlook_in(result: Mapping[str, Any]) -> Metrics:
    """Return what a trial would come to as it told, which Ray has flattened to `outlook/dev_score` and so on."""
    prefix = "outlook/"
    return {key.removeprefix(prefix): value for key, value in result.items() if key.startswith(prefix)}
