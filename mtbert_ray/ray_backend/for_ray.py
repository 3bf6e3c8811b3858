"""Lets Ray Tune ask one of our searchers. The only file of the search that knows Ray."""

import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher as RaySearcher

from mtbert_ray.events import StopKind
from mtbert_ray.metrics import Metrics, Objectives
from mtbert_ray.study.feedback import Telling
from mtbert_ray.study.pruning.decision import Decision
from mtbert_ray.study.search.base import Searcher
from mtbert_ray.study.space.model import SearchSpace


@dataclass(frozen=True, kw_only=True)
class FirstTrial:
    """A trial to run before the searcher is asked: its setting is known to the searcher already."""

    trial_id: str
    key: int
    """From the searcher's `open`."""
    values: Mapping[str, Any]


@dataclass(kw_only=True)
class _Running:
    trial_id: str
    key: int
    """The searcher's."""
    epochs: int
    """Of the whole run."""
    told: int = 0
    """Epochs that the searcher has been told of."""


class SpaceSearcher(RaySearcher):  # type: ignore[misc]  # Ray has no types.
    """Suggests settings of a search space to Ray Tune, as the launchers of `mtbert_ray.ray_backend` take them.

    A suggestion is `{"trial_id": "t007", "values": {dotted key: value}, "trial": a whole TrialConfig as a dict,
    "probe": a ProbeConfig as a dict, or None}`.

    Metric and mode stay unset, and must in TuneConfig: set there, they make Ray look at one objective only.

    Args:
        space: what is searched, and in how many trials.
        searcher: one of `SEARCHERS`, of this space.
        objectives: as resolved for this cluster, with stand-ins where there is no GPU.
        first: trials to run before any other.
        decisions: trial -> why the scheduler stopped it, kept up to date by that; None where nobody tells, and a trial
            that ends early is told of by its costs alone.
        num_known: trials that have an id already, those of `first` among them.
        next_number: of the first new trial; those that are known may leave gaps below. None: `num_known`.
    """

    def __init__(
        self,
        space: SearchSpace,
        searcher: Searcher,
        objectives: Objectives,
        *,
        first: Sequence[FirstTrial] = (),
        decisions: Mapping[str, Decision] | None = None,
        num_known: int = 0,
        next_number: int | None = None,
    ) -> None:
        super().__init__()
        self._space = space
        self._num_trials = space.num_trials
        self._num_known = num_known
        self._next_number = num_known if next_number is None else next_number
        self._searcher = searcher
        self._first = list(first)
        self._decisions = decisions
        self._telling = Telling(space, objectives)
        self._running: dict[str, _Running] = {}
        """Ray's id -> the trial."""

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
        name = trial_name(self._next_number)
        self._num_known, self._next_number = self._num_known + 1, self._next_number + 1
        return self._suggestion(trial_id, name, *asked)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the searcher how a trial stands, each epoch once; its probe has no scores."""
        running = self._running.get(trial_id)
        if running is not None and result.get("epoch", 0) > running.told:
            running.told = result["epoch"]
            self._telling.epoch(self._searcher, running.key, running.told, _projection_in(result))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the searcher what a trial reached: at its end, at its early one, or that it failed.

        A trial that ran to its end without a value for every objective is a failed one. Ray may announce an end twice;
        the second is ignored.
        """
        running = self._running.get(trial_id)
        if running is None:
            return
        result = result or {}
        done, metrics = result.get("epoch", 0), _projection_in(result)
        if error:
            self._telling.failed(self._searcher, running.key)
        elif "out_of_memory" in result:
            self._telling.stopped(self._searcher, running.key, done, metrics, "memory")
        else:
            # Where a trial ends by what it told last, Ray tells of that with its end only, and else once more.
            self.on_trial_result(trial_id, result)
            if done >= running.epochs:
                self._telling.finished(self._searcher, running.key, metrics)
            else:
                self._telling.stopped(self._searcher, running.key, done, metrics, self._kind_of_stop(running.trial_id))
        del self._running[trial_id]

    def save(self, checkpoint_path: str) -> None:
        """Write everything that decides the next suggestions to a file.

        For Ray's own restore, which calls this; this project's sweeps resume from their journal instead.
        """
        numbers = (self._num_known, self._next_number)
        state = (numbers, self._first, self._running, self._searcher)
        Path(checkpoint_path).write_bytes(pickle.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from a file of `save`, as Ray's own restore does; this project's sweeps resume from their journal.

        Only ever from a file that this user's own sweep wrote, since it is a pickle.
        """
        state = pickle.loads(Path(checkpoint_path).read_bytes())
        numbers, self._first, self._running, self._searcher = state
        self._num_known, self._next_number = numbers

    def _suggestion(self, ray_id: str, trial_id: str, key: int, values: dict[str, Any]) -> dict[str, Any]:
        trial = self._space.trial_config(values)
        self._running[ray_id] = _Running(trial_id=trial_id, key=key, epochs=trial.epochs)
        probe = self._space.probe if self._space.scheduler == "pareto" and self._space.probe.steps > 0 else None
        return {
            "trial_id": trial_id,
            "values": values,
            "trial": trial.model_dump(mode="json"),
            "probe": None if probe is None else probe.model_dump(mode="json"),
        }

    def _kind_of_stop(self, name: str) -> StopKind | None:
        """Return what ended a trial early: the scheduler, or the sweep's end; None where the scheduler is not known."""
        if self._decisions is None:
            return None
        decision = self._decisions.get(name)
        return "sweep" if decision is None else decision.kind

    def _finished(self) -> str:
        finished: str = RaySearcher.FINISHED
        return finished


def trial_name(number: int) -> str:
    """Return what the trial with this number is called."""
    return f"t{number:03d}"


def next_number(trial_names: Iterable[str]) -> int:
    """Return the number behind all those in names of `trial_name`, which may leave gaps."""
    numbers = [int(name[1:]) for name in trial_names if name[:1] == "t" and name[1:].isdecimal()]
    return max(numbers, default=-1) + 1


def _projection_in(result: Mapping[str, Any]) -> Metrics:
    """Return what a trial would come to as it told, which Ray has flattened to `projection/dev_score` and so on."""
    prefix = "projection/"
    return {key.removeprefix(prefix): value for key, value in result.items() if key.startswith(prefix)}
