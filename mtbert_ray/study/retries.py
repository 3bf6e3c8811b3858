"""Which trials start again after a death, when one has to run alone, and when too many have died."""

from collections.abc import Sequence

from mtbert_ray.events import (
    RUNS_AGAIN,
    EpochFinished,
    Event,
    ProbeFinished,
    SweepResumed,
    TrialFailed,
    TrialFinished,
)
from mtbert_ray.trial import Trial

_LEAST_IN_A_ROW = 10
_TIMES_AT_ONCE = 3


class Retries:
    """Counts the deaths of a session; `limit` is how often a trial starts again in one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._deaths: dict[str, int] = {}
        """Trial -> how often it died in this session."""
        self._in_a_row = 0
        self._most_at_once = 1

    def add(self, event: Event, trials: Sequence[Trial]) -> bool:
        """Take in an event that the trials have been applied to; return whether its trial starts again."""
        # The one that has failed ran until now.
        at_once = sum(trial.status == "running" for trial in trials) + isinstance(event, TrialFailed)
        self._most_at_once = max(self._most_at_once, at_once)
        match event:
            case SweepResumed():
                self._deaths.clear()
                self._in_a_row = 0
            case ProbeFinished() | EpochFinished() | TrialFinished():
                self._in_a_row = 0
            case TrialFailed() if event.kind in RUNS_AGAIN:
                self._in_a_row += 1
                self._deaths[event.trial_id] = self._deaths.get(event.trial_id, 0) + 1
                return self._deaths[event.trial_id] <= self._limit
        return False

    @property
    def gives_up(self) -> bool:
        """Whether trials die one after another without an epoch in between: something else than a config is wrong.

        A node that is lost takes all its trials at once, so their number counts.
        """
        return self._in_a_row >= max(_LEAST_IN_A_ROW, _TIMES_AT_ONCE * self._most_at_once)


def must_wait(running: Sequence[Trial], *, alone: bool) -> bool:
    """Return whether a trial that is to start, `alone` or not, must wait until others have ended: one runs alone."""
    return bool(running) and (alone or any(trial.runs_alone for trial in running))
