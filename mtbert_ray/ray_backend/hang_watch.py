"""Names trials that hang, and ends those that hang too long, so that they run again.

A trial hangs when it takes no step for many times its longest pause so far, or its process gives no sign of life at
all. It works where the sweep can read the trial's folder: on one machine, and where nodes share the folder.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mtbert_ray.reporting.wording import duration
from mtbert_ray.training.heartbeat import Sign, read_signs
from mtbert_ray.trial import Trial

SILENCE_SECONDS = 60.0
"""Without a sign of life, of which there is one in 5 seconds: a process that is stopped, or a node that is gone."""
_LEAST_SECONDS = 60.0
_TIMES_THE_PAUSE = 20
_BEFORE_FIRST_EPOCH_SECONDS = 600.0
"""Until a first epoch has been scored, nobody knows how long that takes."""
_BETWEEN_LOOKS = 5.0
_AWAY_SECONDS = 15.0
"""After which the sweep itself did not look for too long, as one that was stopped or fetched a checkpoint."""
_START_SECONDS = 600.0
"""Without any sign of life after a trial's start."""


@dataclass
class _Seen:
    sign: Sign
    at: float
    num_done: int
    """Epochs that the trial had when this process was first seen."""
    named: bool = False
    ended: bool = False


class HangWatch:
    """Watches the running trials of a sweep.

    Args:
        folder_of: a trial's id -> its folder.
        announce: called with a line for each trial that hangs.
        hang_minutes: after which a trial that hangs is ended; none lets it be.
        end: ends the process that a sign is of.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        folder_of: Callable[[str], Path],
        announce: Callable[[str], None],
        *,
        hang_minutes: float | None,
        end: Callable[[Sign], None] = lambda sign: kill(sign),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder_of = folder_of
        self._announce = announce
        self._hang_minutes = hang_minutes
        self._end = end
        self._clock = clock
        self._looked_at = clock()
        self._seen: dict[tuple[str, int, str, int], _Seen] = {}
        """Trial, attempt, node and process -> its last sign."""
        self._reasons: dict[tuple[str, int], str] = {}
        """Trial and attempt -> why it was ended."""
        self._without_sign: dict[tuple[str, int], float | None] = {}
        """Trial and attempt -> since when nothing has been seen of it; None once that has been said."""

    def look(self, running: Iterable[Trial]) -> None:
        """Look at the running trials, not more often than every few seconds."""
        now = self._clock()
        if now - self._looked_at < _BETWEEN_LOOKS:
            return
        was_away = now - self._looked_at > _AWAY_SECONDS
        self._looked_at = now
        current = {}
        for trial in running:
            signs = read_signs(self._folder_of(trial.trial_id))
            self._note_start(trial, now, has_signs=bool(signs))
            for sign in signs:
                key = (trial.trial_id, trial.attempts, sign.node, sign.pid)
                seen = self._seen.get(key)
                if seen is None:
                    seen = _Seen(sign, now, trial.num_done)
                elif was_away or seen.sign.count != sign.count:
                    seen = replace(seen, sign=sign, at=now)
                current[key] = seen
                if not was_away:  # What it waited for meanwhile was perhaps this process.
                    self._judge(trial, seen, now)
        self._seen = current

    def _note_start(self, trial: Trial, now: float, *, has_signs: bool) -> None:
        """Tell of a trial of which nothing is seen for long after its start."""
        key = (trial.trial_id, trial.attempts)
        since = self._without_sign.setdefault(key, now)
        if since is None:
            return
        if has_signs or (trial.epochs and trial.attempts == 1):
            self._without_sign[key] = None
        elif now - since > _START_SECONDS:
            self._without_sign[key] = None
            self._announce(
                f"{trial.trial_id} has given no sign of life for {duration(now - since)} since its start: it waits for "
                "its CPUs or GPUs, or starts slowly, or its node does not share the sweep's folder"
            )

    def reason(self, trial: Trial) -> str | None:
        """Return why this attempt at a trial was ended, None if it was not ended for hanging."""
        return self._reasons.get((trial.trial_id, trial.attempts))

    def _judge(self, trial: Trial, seen: _Seen, now: float) -> None:
        sign, silence = seen.sign, now - seen.at
        pause = sign.seconds_since_step + silence
        if silence > SILENCE_SECONDS:
            text = f"its process gives no sign of life (stopped, or its node is gone), last at {sign.where}"
        elif not sign.is_waiting and pause > _longest_pause(sign, has_scored=trial.num_done > seen.num_done):
            text = f"it takes no step, at {sign.where}"
        else:
            seen.named = False
            return
        hangs = f"{trial.trial_id} hangs on node {sign.node}, process {sign.pid}, for {duration(pause)}: {text}"
        if not seen.named:
            seen.named = True
            self._announce(hangs)
        if self._hang_minutes is not None and pause > 60 * self._hang_minutes and not seen.ended:
            seen.ended = True
            self._announce(f"{trial.trial_id}: ended after hang_minutes: {self._hang_minutes:g}")
            reason = f"hung for {duration(pause)} and was ended, as hang_minutes asks for: {text}"
            self._reasons[trial.trial_id, trial.attempts] = reason
            self._end(sign)


def _longest_pause(sign: Sign, *, has_scored: bool) -> float:
    """Return after how many seconds without a step a trial hangs, whose process has scored an epoch or not yet."""
    least = _LEAST_SECONDS if has_scored else _BEFORE_FIRST_EPOCH_SECONDS
    return max(least, _TIMES_THE_PAUSE * sign.longest_pause)


def kill(sign: Sign) -> None:
    """Kill the worker that a sign of life is of, on whichever node; nothing else that has its number by now."""
    if not sign.node_id:
        return
    on_node = NodeAffinitySchedulingStrategy(sign.node_id, soft=False)
    _kill_worker.options(scheduling_strategy=on_node).remote(sign.pid, sign.created)


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]  # Ray is untyped
def _kill_worker(pid: int, created: float) -> None:
    kill_worker(pid, created)


def kill_worker(pid: int, created: float) -> bool:
    """Kill a process of this node, if it is a worker of Ray that was created then; return whether it was."""
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - created) > 1 or not " ".join(process.cmdline()).startswith("ray::"):
            return False
        process.kill()
    except psutil.Error:
        return False  # It has ended meanwhile; Ray says so.
    return True
