"""Listens to Ray Tune and writes what happens: journal, config.yaml and TensorBoard's file of each trial, progress.

The only place that translates Tune's events into ours.
"""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.exceptions import RayError
from ray.tune.experiment import Trial as RayTrial
from ruamel.yaml import YAML

from mtbert_ray.errors import JournalError
from mtbert_ray.events import (
    EpochFinished,
    ProbeFinished,
    StopKind,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    TrialStopped,
    as_scalar,
)
from mtbert_ray.journal import Journal
from mtbert_ray.ray_backend.failure import failure_kind_of, memory_message, reason_of
from mtbert_ray.ray_backend.session import collect_folder
from mtbert_ray.reporting.progress import SweepProgress
from mtbert_ray.study.pruning.decision import Decision
from mtbert_ray.task_metrics import in_words
from mtbert_ray.training.loop import CHECKPOINT_NAME
from mtbert_ray.training.profile import PROFILE_NAME
from mtbert_ray.training.tensorboard import TENSORBOARD_NAME, ScalarLog
from mtbert_ray.trial import Trial

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class SweepListener(tune.Callback):  # type: ignore[misc]  # Ray is untyped
    """Keeps one Trial a trial, as the journal will tell it."""

    folder: Path
    """The sweep's output folder."""
    journal: Journal
    progress: SweepProgress | None
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """Trial -> why the scheduler stopped it; kept up to date by the scheduler."""
    ended: frozenset[str] = frozenset()
    """Trials of earlier sessions whose folders are not to be touched."""
    trials: dict[str, Trial] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    """Trial -> the node that holds its checkpoint and traces."""
    scalars: dict[str, ScalarLog] = field(default_factory=dict)
    """Trial -> its event file, while it runs."""
    out_of_memory: dict[str, str] = field(default_factory=dict)
    """Trial -> what it asked for and did not get."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks with its own state; a terminal display and open files cannot be pickled and need
        # not be: what goes on writes into new files.
        return {**self.__dict__, "progress": None, "scalars": {}}

    def on_trial_start(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:  # noqa: ANN401
        """Write down a trial's setting.

        Raises:
            JournalError: an earlier session has a result of that name.
        """
        trial_id = _id_of(trial)
        if trial_id in self.trials:
            return
        if trial_id in self.ended:
            raise JournalError(f"{self.folder}: {trial_id} has ended in an earlier session and cannot be started again")
        started = TrialStarted(trial_id=trial_id, hyperparameters=trial.config["values"], config=trial.config["trial"])
        record = Trial(
            trial_id=trial_id,
            hyperparameters=started.hyperparameters,
            config=started.config,
            started=started.time,
        )
        self.trials[trial_id] = record
        folder = self.trial_folder(trial_id)
        for old in (folder, self.folder / TENSORBOARD_NAME / trial_id):
            # Of a try that was cut off with an earlier session of this sweep.
            shutil.rmtree(old, ignore_errors=True)
        folder.mkdir(parents=True)
        with (folder / "config.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(started.config, file)
        self.journal.append(started)
        if self.progress is not None:
            self.progress.on_event(started, record)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[RayTrial],
        trial: RayTrial,
        result: dict[str, Any],
        **info: Any,  # noqa: ANN401
    ) -> None:
        """Write down a probe, an epoch, or that memory ran out."""
        trial_id = _id_of(trial)
        record = self.trials[trial_id]
        if "out_of_memory" in result:
            self.out_of_memory[trial_id] = result["out_of_memory"]
            return
        if "probe" in result:
            self._probe(record, result)
            return
        metrics = result["metrics"]
        if record.epochs and metrics["epoch"] <= (record.epochs[-1]["epoch"] or 0):
            return  # Tune hands the last result over once more when a trial ends.
        problem, knew_problem = result["gpu_problem"], record.gpu_problem is not None
        event = EpochFinished(
            trial_id=trial_id, metrics=metrics, undefined=result.get("undefined") or {}, gpu_problem=problem
        )
        metrics = event.metrics
        self._warn_of_undefined(record, event)
        record.apply(event)
        self.nodes[trial_id] = result["node_id"]
        self.journal.append(event)
        if trial_id not in self.scalars:
            self.scalars[trial_id] = ScalarLog(self.folder / TENSORBOARD_NAME / trial_id)
        self.scalars[trial_id].add_epoch(metrics)
        if problem and not knew_problem:
            _log.warning("%s: GPU metrics are null: %s", trial_id, problem)
        if result["profile_problem"]:
            _log.warning("%s: %s", trial_id, result["profile_problem"])
        if self.progress is not None:
            self.progress.on_event(event, record)

    def on_trial_complete(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:  # noqa: ANN401
        """Write down that a trial ended by itself or was stopped."""
        trial_id = _id_of(trial)
        record = self.trials[trial_id]
        decision = self.decisions.get(trial_id)
        if len(record.epochs) == record.config["epochs"]:
            self._finish(trial_id)
        elif trial_id in self.out_of_memory:
            self.stop(trial_id, f"infeasible: memory: {self.out_of_memory[trial_id]}", kind="memory")
        elif decision is not None:
            self.stop(trial_id, decision.in_words(), kind=decision.kind)
        else:
            self.stop(trial_id, "ended by the sweep before its last epoch")

    def on_trial_error(self, iteration: int, trials: list[RayTrial], trial: RayTrial, **info: Any) -> None:  # noqa: ANN401
        """Write down why a trial failed."""
        self.on_trial_start(iteration, trials, trial)  # A trial whose process never came up has not been started.
        trial_id = _id_of(trial)
        record = self.trials[trial_id]
        error = _error_of(trial)
        message = None if error is None else memory_message(error)
        if message is not None:
            self.stop(trial_id, f"infeasible: memory: {message}", kind="memory")
            return
        record.status, record.reason, record.failure_kind = "failed", reason_of(error), failure_kind_of(error)
        event = TrialFailed(trial_id=trial_id, reason=record.reason, kind=record.failure_kind)
        self.journal.append(event)
        if trial.error_file is not None and Path(trial.error_file).exists():
            shutil.copyfile(trial.error_file, self.trial_folder(trial_id) / "error.txt")
        self._close_scalars(record)
        if self.progress is not None:
            self.progress.on_event(event, record)

    def stop(self, trial_id: str, reason: str, *, kind: StopKind = "sweep") -> None:
        """Write down that a trial was ended before its last epoch."""
        record = self.trials[trial_id]
        record.status, record.reason, record.stop_kind = "stopped", reason, kind
        record.checkpoint = self._fetch(record)
        event = TrialStopped(trial_id=trial_id, reason=reason, kind=kind, checkpoint=record.checkpoint)
        self.journal.append(event)
        self._close_scalars(record)
        if self.progress is not None:
            self.progress.on_event(event, record)

    def _probe(self, record: Trial, result: dict[str, Any]) -> None:
        """Write down what a trial will cost."""
        if record.probe is not None:
            return  # Handed over once more, as it was stopped there.
        self.nodes[record.trial_id] = result["node_id"]
        record.probe = ProbeFinished(
            trial_id=record.trial_id,
            steps=result["step"],
            metrics=result["probe"],
            projection=result["projection"],
            gpu_problem=result["gpu_problem"],
        )
        self.journal.append(record.probe)
        if self.progress is not None:
            self.progress.on_event(record.probe, record)

    def _warn_of_undefined(self, record: Trial, event: EpochFinished) -> None:
        """Say in the log which scores have no value; once a trial, as epochs mostly lack the same ones."""
        if event.undefined and not record.undefined:
            _log.warning("%s: %s", record.trial_id, "; ".join(in_words(event.undefined)))

    def _finish(self, trial_id: str) -> None:
        record = self.trials[trial_id]
        record.status, record.checkpoint = "finished", self._fetch(record)
        event = TrialFinished(trial_id=trial_id, checkpoint=record.checkpoint)
        self.journal.append(event)
        self._close_scalars(record)
        if self.progress is not None:
            self.progress.on_event(event, record)

    def _fetch(self, record: Trial) -> str | None:
        """Bring what a trial left on its node; return the checkpoint's folder below the sweep's."""
        if record.trial_id not in self.nodes or not record.epochs:
            return None  # Stopped before its first epoch.
        if record.config["profile"]["steps"] > 0:
            self._collect(record.trial_id, PROFILE_NAME)
        folder = self._collect(record.trial_id, CHECKPOINT_NAME)
        return None if folder is None else str(folder.relative_to(self.folder))

    def _collect(self, trial_id: str, name: str) -> Path | None:
        """Return a folder of a trial, fetched from its node if need be."""
        folder = self.trial_folder(trial_id) / name
        try:
            collect_folder(folder, folder, node_id=self.nodes[trial_id])
        except (RayError, OSError) as error:  # As a full disk: that it ended must be written down all the same.
            _log.warning("%s: its %s could not be fetched from its node: %s", trial_id, name, error)
            return None
        return folder

    def _close_scalars(self, record: Trial) -> None:
        """Write a trial's setting and result for TensorBoard and close its file, if it has one."""
        scalars = self.scalars.pop(record.trial_id, None)
        if scalars is not None:
            setting = {name: as_scalar(value) for name, value in record.hyperparameters.items()}
            with scalars:
                if record.status != "failed":
                    scalars.add_result(setting, record.metrics)

    def trial_folder(self, trial_id: str) -> Path:
        """Return the folder of a trial's config.yaml and checkpoint."""
        return self.folder / "trials" / trial_id


def _error_of(trial: RayTrial) -> BaseException | None:
    """Return what a trial raised; Tune has it in a local file before it is in the storage."""
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return None
    error: BaseException = cloudpickle.loads(Path(path).read_bytes())
    return error


def _id_of(trial: RayTrial) -> str:
    return str(trial.config["trial_id"])
