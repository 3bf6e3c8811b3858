"""Deletes the checkpoints of ended trials that `keep_checkpoints` does not keep, as soon as that is sure."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mtbert_ray.errors import UserError
from mtbert_ray.events import Event, TrialFailed, TrialFinished, TrialStopped
from mtbert_ray.files import remove_below
from mtbert_ray.ray_backend.trial_files import TRIALS_NAME
from mtbert_ray.reporting.outcome import Outcome, keeps_checkpoint, outcome_of
from mtbert_ray.training.loop import CHECKPOINT_NAME
from mtbert_ray.trial import Sweep, Trial

_log = logging.getLogger(__name__)


class CheckpointKeeper:
    """An observer of a study; `folder` and `sweep` are the sweep's, as it is when a session begins.

    It also deletes what an earlier session, killed before it could, has left. The journal stays as it was written.
    """

    def __init__(self, folder: Path, sweep: Sweep) -> None:
        self._folder = folder
        self._sweep = sweep
        self._front: tuple[Trial, ...] = ()
        self._sort_out(outcome_of(sweep), sweep.all_trials)

    def __call__(self, event: Event, trial: Trial | None) -> None:
        """Take note that a trial has ended."""
        if trial is not None and isinstance(event, TrialFinished | TrialStopped | TrialFailed):
            # What was off the front stays off it, so the others need not be compared again.
            of_search = [] if trial.is_rerun else [trial]
            compared = Sweep(started=self._sweep.started, trials=[*self._front, *of_search])
            self._sort_out(outcome_of(compared), [*self._front, trial])

    def _sort_out(self, outcome: Outcome, candidates: Sequence[Trial]) -> None:
        self._front = outcome.front
        for trial in candidates:
            if not keeps_checkpoint(trial, outcome):
                self._delete(trial.trial_id)

    def _delete(self, trial_id: str) -> None:
        try:
            remove_below(self._folder, f"{TRIALS_NAME}/{trial_id}/{CHECKPOINT_NAME}")
        except (OSError, UserError) as error:  # Of a link, which leads elsewhere.
            _log.warning("%s: its checkpoint could not be deleted: %s", trial_id, error)
