"""The files of each trial in a sweep's folder: config.yaml and TensorBoard's event file."""

import logging
from contextlib import suppress
from pathlib import Path

from ruamel.yaml import YAML

from mtbert_ray.events import EpochFinished, Event, ProbeFinished, TrialStarted, as_scalar
from mtbert_ray.files import empty_folder, remove_below
from mtbert_ray.task_metrics import in_words
from mtbert_ray.training.tensorboard import TENSORBOARD_NAME, ScalarLog
from mtbert_ray.trial import Trial

TRIALS_NAME = "trials"
_log = logging.getLogger(__name__)


class TrialFiles:
    """An observer of a study that writes to the sweep's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scalars: dict[str, ScalarLog] = {}
        """Trial -> its event file, while it runs."""
        self._warned: set[tuple[str, str]] = set()
        """Trials and what of them has been logged: epochs mostly lack the same."""

    def __call__(self, event: Event, trial: Trial | None) -> None:
        """Write an event to its trial's files, and log null metrics."""
        if trial is None:
            return
        if isinstance(event, TrialStarted):
            self._start(trial)
        elif isinstance(event, EpochFinished):
            self._add_epoch(trial, event)
        elif not isinstance(event, ProbeFinished):
            self._close(trial)

    def _start(self, trial: Trial) -> None:
        # What is there is of an interrupted attempt.
        with suppress(OSError):  # TensorBoard may have it open on another file system.
            remove_below(self._folder, f"{TENSORBOARD_NAME}/{trial.trial_id}")
        folder = empty_folder(self._folder, f"{TRIALS_NAME}/{trial.trial_id}")
        with (folder / "config.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(trial.config, file)

    def _add_epoch(self, trial: Trial, event: EpochFinished) -> None:
        if trial.trial_id not in self._scalars:
            self._scalars[trial.trial_id] = ScalarLog(self._folder / TENSORBOARD_NAME / trial.trial_id)
        self._scalars[trial.trial_id].add_epoch(event.metrics)
        gpu = f"GPU metrics are null: {event.gpu_problem}" if event.gpu_problem else ""
        for kind, text in (("gpu", gpu), ("scores", "; ".join(in_words(event.undefined)))):
            if text and (trial.trial_id, kind) not in self._warned:
                self._warned.add((trial.trial_id, kind))
                _log.warning("%s: %s", trial.trial_id, text)

    def _close(self, trial: Trial) -> None:
        """Write a trial's hyperparameters and result for TensorBoard and close its file."""
        scalars = self._scalars.pop(trial.trial_id, None)
        if scalars is not None:
            with scalars:
                if trial.status != "failed":
                    hyperparameters = {name: as_scalar(value) for name, value in trial.hyperparameters.items()}
                    scalars.add_result(hyperparameters, trial.metrics)


def trial_folder(sweep_folder: Path, trial_id: str) -> Path:
    """Return the folder of a trial's config.yaml and checkpoint."""
    return sweep_folder / TRIALS_NAME / trial_id
