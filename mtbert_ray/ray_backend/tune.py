"""Ray Tune as the backend of a study: translates its calls into events and the study's answers back, decides nothing.

Tune may hand a result over twice, after a stop, or once more with a trial's end: `StudyOnTune.receive` deals with it.
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from ray import cloudpickle, tune
from ray.exceptions import RayError
from ray.tune.experiment import Trial as RayTrial
from ray.tune.search import Searcher as RaySearcher

from mtbert_ray.disk import disk_error, naming
from mtbert_ray.events import (
    EpochFinished,
    Event,
    ProbeFinished,
    TrialFailed,
    TrialFinished,
    TrialResumed,
    TrialStopped,
)
from mtbert_ray.ray_backend.disk_watch import DiskWatch
from mtbert_ray.ray_backend.failure import disk_refusal, failure_kind_of, reason_of
from mtbert_ray.ray_backend.hang_watch import HangWatch
from mtbert_ray.ray_backend.reports import out_of_memory
from mtbert_ray.ray_backend.session import collect_folder
from mtbert_ray.ray_backend.slots import NewestFirst
from mtbert_ray.ray_backend.trial_files import trial_folder
from mtbert_ray.scoring.dev_predictions import PREDICTIONS_NAME
from mtbert_ray.study.study import Study
from mtbert_ray.training.loop import CHECKPOINT_NAME
from mtbert_ray.training.profile import PROFILE_NAME
from mtbert_ray.trial import Trial

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_log = logging.getLogger(__name__)


class StudyOnTune:
    """Feeds a study with what Tune reports, for the three interfaces that Tune calls.

    `folder` is the sweep's; `disk` ends the sweep when a disk refuses what a trial, or this, writes; `watch` looks at
    the running trials from time to time. `node_id` is the node's that this runs on.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        *,
        node_id: str,
        disk: DiskWatch | None = None,
        watch: HangWatch | None = None,
    ) -> None:
        self._study = study
        self.node_id = node_id
        self.disk = disk or DiskWatch(folder)
        self._watch = watch
        self._folder = folder
        self._nodes: dict[str, str] = {}
        """Trial -> the node that holds its checkpoint, dev predictions and traces."""
        self._node_names: dict[str, str | None] = {}
        self._out_of_memory: dict[str, TrialStopped | TrialFailed] = {}
        """Trial -> the end that its worker reported; Tune has yet to end it."""
        self.searcher = _Searcher(self)
        self.scheduler = _Scheduler(self)
        self.callback = _Callback(self)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles what it is given; the journal, not Tune, restores a sweep.

    def suggest(self) -> dict[str, Any] | None:
        """Return the next trial as the launchers take it; None where there is none for now, or none any more.

        It is `{"trial_id": "t007", "trial": a whole TrialConfig as a dict, "probe": a ProbeConfig as a dict, or None}`
        with the `attempt` at the trial from 1, `epochs_done` by earlier ones, whether it runs `alone`, and
        `checkpoint_minutes`.
        """
        started = None if self.disk.refused else self._study.ask()
        if started is None:
            return None
        self._node_names.pop(started.trial_id, None)  # Another attempt may run elsewhere.
        space, trial = self._study.space, self._trial(started.trial_id)
        is_probed = space.scheduler == "pareto" and space.probe.steps > 0 and not trial.is_rerun
        probe = space.probe if is_probed else None
        return {
            "trial_id": started.trial_id,
            "trial": started.config,
            "probe": None if probe is None else probe.model_dump(mode="json"),
            "attempt": started.attempt,
            "epochs_done": trial.num_done,
            "alone": trial.runs_alone,
            "checkpoint_minutes": space.checkpoint_minutes,
        }

    @property
    def is_over(self) -> bool:
        """Whether no trial runs any more, so that none can die and start again."""
        return not self._study.running

    def receive(self, result: Mapping[str, Any]) -> bool:
        """Take what a worker reported, new or repeated or too late, and return whether its trial must stop."""
        if "event" not in result:
            return False
        event = _EVENT.validate_json(result["event"])
        assert isinstance(event, TrialResumed | ProbeFinished | EpochFinished | TrialStopped | TrialFailed)
        trial_id = event.trial_id
        self._nodes[trial_id], self._node_names[trial_id] = result["node_id"], result.get("node_name")
        if self._study.decision(trial_id) is not None:
            return True
        if not _is_news(event, self._trial(trial_id)):
            return False
        if isinstance(event, TrialStopped | TrialFailed):
            self._out_of_memory[trial_id] = event
            return False
        if result.get("profile_problem"):
            _log.warning("%s: %s", trial_id, result["profile_problem"])
        return self._study.add(event) is not None

    def complete(self, trial_id: str) -> None:
        """Take note that a trial ended, by itself or because it was stopped."""
        trial, decision = self._trial(trial_id), self._study.decision(trial_id)
        if trial.status != "running":
            return
        if (end := self._out_of_memory.pop(trial_id, None)) is not None:
            self._end_of_memory(end)
            return
        checkpoint = self._fetch(trial)
        if trial.num_done == trial.num_epochs:
            self._study.add(TrialFinished(trial_id=trial_id, checkpoint=checkpoint))
        elif decision is not None:
            reason = decision.in_words()
            self._study.add(TrialStopped(trial_id=trial_id, reason=reason, kind=decision.kind, checkpoint=checkpoint))
        else:
            self.interrupt(trial_id, "ended by the sweep before its last epoch")

    def fail(self, trial_id: str, error: BaseException | None) -> None:
        """Take note that a trial raised an error, or that its process died without one."""
        if (refusal := disk_refusal(error)) is not None:
            refused = disk_error(refusal, trial_id)
            self.disk.note(refused)
            self.interrupt(trial_id, str(refused))
            return
        end = out_of_memory(trial_id, error, alone=self._trial(trial_id).runs_alone)
        if end is None:
            node, kind, reason = self._node_names.get(trial_id), failure_kind_of(error), reason_of(error)
            if self._watch is not None and (hung := self._watch.reason(self._trial(trial_id))) is not None:
                kind, reason = "died", hung
            if kind == "died" and node is not None:
                reason = f"{reason}, on node {node}"
            self._study.add(TrialFailed(trial_id=trial_id, reason=reason, kind=kind, node=node))
        else:
            self._end_of_memory(end)

    def _end_of_memory(self, end: TrialStopped | TrialFailed) -> None:
        if isinstance(end, TrialStopped):
            end = end.model_copy(update={"checkpoint": self._fetch(self._trial(end.trial_id))})
        else:
            end = end.model_copy(update={"node": self._node_names.get(end.trial_id)})
        self._study.add(end)

    def interrupt(self, trial_id: str, reason: str) -> None:
        """Take note that the sweep ended before a trial did."""
        checkpoint = self._fetch(self._trial(trial_id))
        self._study.add(TrialStopped(trial_id=trial_id, reason=reason, kind="sweep", checkpoint=checkpoint))

    def look(self) -> None:
        """Look whether a running trial hangs."""
        if self._watch is not None:
            self._watch.look(self._study.running)

    def folder_of(self, trial_id: str) -> Path:
        """Return the folder of a trial's files."""
        return trial_folder(self._folder, trial_id)

    def _trial(self, trial_id: str) -> Trial:
        trial = self._study.sweep.trial(trial_id)
        assert trial is not None, f"{trial_id} was suggested and so has started"
        return trial

    def _fetch(self, trial: Trial) -> str | None:
        """Bring what a trial left on its node; return the checkpoint's folder below the sweep's."""
        if trial.trial_id not in self._nodes or not trial.epochs:
            return None  # Stopped before its first epoch.
        if trial.purpose == "remeasure":
            return None  # Its costs are all that is wanted.
        folder = self._collect(trial.trial_id, CHECKPOINT_NAME)  # First, as room may be short.
        self._collect(trial.trial_id, PREDICTIONS_NAME)
        if trial.config["profile"]["steps"] > 0:
            self._collect(trial.trial_id, PROFILE_NAME)
        return None if folder is None else str(folder.relative_to(self._folder))

    def _collect(self, trial_id: str, name: str) -> Path | None:
        folder = self.folder_of(trial_id) / name
        if self._nodes[trial_id] == self.node_id:
            return folder
        try:
            with naming(folder):
                collect_folder(folder, folder, node_id=self._nodes[trial_id])
        except (RayError, OSError) as error:  # As a full disk: that it ended must be written down all the same.
            self.disk.note(error)
            _log.warning("%s: its %s could not be fetched from its node: %s", trial_id, name, error)
            return None
        return folder


def _is_news(event: TrialResumed | ProbeFinished | EpochFinished | TrialStopped | TrialFailed, trial: Trial) -> bool:
    if trial.status != "running":
        return False
    if isinstance(event, EpochFinished):
        return (event.metrics.get("epoch") or 0) > trial.num_done
    if isinstance(event, TrialResumed):
        return trial.continued_from is None
    return isinstance(event, TrialStopped | TrialFailed) or trial.probe is None


class _Searcher(RaySearcher):  # type: ignore[misc]  # Ray is untyped
    """Metric and mode stay unset, and must in TuneConfig: set there, they make Tune look at one objective only."""

    def __init__(self, backend: StudyOnTune) -> None:
        super().__init__()
        self._backend = backend

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        suggested = self._backend.suggest()
        if suggested is None and self._backend.is_over:
            return str(RaySearcher.FINISHED)
        return suggested  # None lets Tune ask again.

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()  # Tune's snapshot wants a file.


class _Scheduler(NewestFirst):
    # With results in a buffer a trial would continue for some while after its stop.
    _supports_buffered_results = False

    def __init__(self, backend: StudyOnTune) -> None:
        super().__init__()
        self._backend = backend

    def on_trial_result(self, tune_controller: Any, trial: RayTrial, result: dict[str, Any]) -> str:  # noqa: ANN401
        return str(self.STOP if self._backend.receive(result) else self.CONTINUE)


class _Callback(tune.Callback):  # type: ignore[misc]  # Ray is untyped
    def __init__(self, backend: StudyOnTune) -> None:
        self._backend = backend

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:  # noqa: ANN401
        self._backend.look()

    def on_trial_result(self, result: dict[str, Any], **info: Any) -> None:  # noqa: ANN401
        # The last result of a trial comes to the callbacks alone.
        self._backend.receive(result)

    def on_trial_complete(self, trial: RayTrial, **info: Any) -> None:  # noqa: ANN401
        self._backend.complete(str(trial.config["trial_id"]))

    def on_trial_error(self, trial: RayTrial, **info: Any) -> None:  # noqa: ANN401
        trial_id = str(trial.config["trial_id"])
        self._backend.fail(trial_id, error_of(trial))
        if trial.error_file is not None and Path(trial.error_file).exists():
            with self._backend.disk.watching(), naming(path := self._backend.folder_of(trial_id) / "error.txt"):
                shutil.copyfile(trial.error_file, path)


def error_of(trial: RayTrial) -> BaseException | None:
    """Return what a trial raised; Tune has it in a local file before it is in the storage."""
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return None
    error: BaseException = cloudpickle.loads(Path(path).read_bytes())
    return error
