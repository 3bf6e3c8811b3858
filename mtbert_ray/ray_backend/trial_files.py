"""The files of each trial in a sweep's folder: config.yaml and TensorBoard's event file."""

import logging
from contextlib import suppress
from pathlib import Path

from ruamel.yaml import YAML

from mtbert_ray.disk import naming
from mtbert_ray.events import EpochFinished, Event, ProbeFinished, TrialStarted, as_scalar
from mtbert_ray.files import empty_folder, put_file, refuse_links, remove_below
from mtbert_ray.task_metrics import in_words
from mtbert_ray.training.heartbeat import SIGN_FILES
from mtbert_ray.training.run_state import STATE_NAME
from mtbert_ray.training.tensorboard import TENSORBOARD_NAME, ScalarLog
from mtbert_ray.trial import Trial

TRIALS_NAME = "trials"
_log = logging.getLogger(__name__)


class TrialFiles:
    """An observer of a study that writes to the sweep's folder; an OSError of the disk goes through."""

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
        name = f"{TRIALS_NAME}/{trial.trial_id}"
        refuse_links(self._folder, TRIALS_NAME)
        if trial.attempts == 1:
            # What is there is none of a trial's; a later attempt continues from what is there.
            with suppress(OSError):  # TensorBoard may have it open on another file system.
                remove_below(self._folder, f"{TENSORBOARD_NAME}/{trial.trial_id}")
            empty_folder(self._folder, name)
        folder, scalars = self._folder / name, self._folder / TENSORBOARD_NAME / trial.trial_id
        for path in (folder, scalars, *folder.rglob("*"), *scalars.rglob("*")):
            if path.is_symlink():  # Writing would follow it.
                path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        for sign in folder.glob(SIGN_FILES):  # Of a process that was killed.
            sign.unlink(missing_ok=True)
        put_file(folder / "config.yaml", lambda new: YAML().dump(trial.config, new))

    def _add_epoch(self, trial: Trial, event: EpochFinished) -> None:
        scalars = self._folder / TENSORBOARD_NAME / trial.trial_id
        with naming(scalars):
            if trial.trial_id not in self._scalars:
                self._scalars[trial.trial_id] = ScalarLog(scalars)
            self._scalars[trial.trial_id].add_epoch(event.metrics)
        gpu = f"GPU metrics are null: {event.gpu_problem}" if event.gpu_problem else ""
        for kind, text in (("gpu", gpu), ("scores", "; ".join(in_words(event.undefined)))):
            if text and (trial.trial_id, kind) not in self._warned:
                self._warned.add((trial.trial_id, kind))
                _log.warning("%s: %s", trial.trial_id, text)

    def _close(self, trial: Trial) -> None:
        """Write a trial's hyperparameters and result for TensorBoard and close its file."""
        scalars = self._scalars.pop(trial.trial_id, None)
        if not trial.is_interrupted:
            with suppress(OSError):
                remove_below(self._folder, f"{TRIALS_NAME}/{trial.trial_id}/{STATE_NAME}")
        if scalars is not None:
            with naming(self._folder / TENSORBOARD_NAME / trial.trial_id), scalars:
                if trial.status != "failed":
                    hyperparameters = {name: as_scalar(value) for name, value in trial.hyperparameters.items()}
                    scalars.add_result(hyperparameters, trial.metrics)


def trial_folder(sweep_folder: Path, trial_id: str) -> Path:
    """Return the folder of a trial's config.yaml and checkpoint."""
    return sweep_folder / TRIALS_NAME / trial_id
