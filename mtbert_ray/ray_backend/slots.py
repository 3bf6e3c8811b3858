"""Keeps all slots of a sweep busy: a process that is ready takes a new trial, never one that has its own on the way.

Tune's default is the order of submission (Ray 2.60). With reused actors a trial that waits for its own actor is then
moved to the first actor that becomes free, and the one that was starting is ended. Where trials are shorter than the
start of a process, no second process is ever ready.
"""

import time
from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

PATIENCE_SECONDS = 120.0
"""A process that is not up by then may lack its resources, so its trial takes the next one that is free."""


class NewestFirst(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
    """Offers a free actor to the trial that was asked for last: of those that wait, it alone has no actor starting.

    Once no trial is left to ask for, the trial whose actor is starting is the last one, and takes the free actor.

    Args:
        clock: seconds, from any start.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._waiting: dict[str, float] = {}
        """Ray's id of a trial that waits for an actor -> since when."""

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:  # noqa: ANN401  # Ray's wrapper of it
        """Return the last of the trials that wait; the first of them if it has waited longer than its patience."""
        pending = [trial for trial in tune_controller.get_trials() if trial.status == Trial.PENDING]
        now = self._clock()
        self._waiting = {trial.trial_id: self._waiting.get(trial.trial_id, now) for trial in pending}
        if not pending:
            return None
        first = min(pending, key=lambda trial: self._waiting[trial.trial_id])
        return first if now - self._waiting[first.trial_id] > PATIENCE_SECONDS else pending[-1]
