"""A simulated clock as the backend of a study: asynchronous workers whose trials follow known learning curves.

Suggestions and decisions take no time.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.events import EpochFinished, TrialFinished, TrialStarted, TrialStopped
from mtbert_ray.metrics import Metrics
from mtbert_ray.study.study import Study

# E epochs at which a trial reports, N trials that ran to their end, M objectives


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The learning curve of a trial."""

    metrics: Sequence[Metrics]
    """Of E epochs, each with its number as `epoch`."""
    seconds: NDArray[np.float64]
    """`(E,)`: cumulative."""
    losses: NDArray[np.float64]
    """`(M,)` of the full run, all minimized."""
    is_feasible: bool
    """Whether the full run meets the constraints."""

    def epoch_at(self, place: int) -> int:
        """Return the number of the epoch at a place of `metrics`."""
        return int(self.metrics[place]["epoch"] or 0)


@dataclass(frozen=True, kw_only=True)
class EndedTrial:
    """A trial that finished or was stopped."""

    curve: Curve
    place: int
    """Of its last epoch, in the curve."""
    stopped: bool
    spent: float
    """By all workers together until then, in mean full runs."""

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return self.curve.epoch_at(self.place)

    @property
    def seconds(self) -> float:
        """Simulated duration."""
        return float(self.curve.seconds[self.place])

    @property
    def steps(self) -> int | None:
        """Optimizer steps; None where they were not recorded."""
        steps = self.curve.metrics[self.place].get("step")
        return None if steps is None else int(steps)

    @property
    def counts(self) -> bool:
        """Whether it is a full run that meets the constraints."""
        return not self.stopped and self.curve.is_feasible


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one simulated sweep."""

    trials: tuple[EndedTrial, ...]
    """In the order of their ends."""
    wall_seconds: float

    def volumes(self, volume: Callable[[NDArray[np.float64]], float], budgets: Sequence[float]) -> list[float]:
        """Return the hypervolume, of losses `(N, M)`, within each budget, in mean full runs."""
        finished = [trial for trial in self.trials if trial.counts]
        losses_NM = np.array([trial.curve.losses for trial in finished])
        spent_N = np.array([trial.spent for trial in finished])
        return [volume(losses_NM[spent_N <= budget]) for budget in budgets]


class Clock:
    """Simulated seconds; a study's `clock`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the simulated time."""
        return self.now


@dataclass(kw_only=True)
class _Running:
    trial_id: str
    curve: Curve
    start: float
    place: int = 0
    """Of its next epoch, in the curve."""


def simulate(
    study: Study,
    curve_of: Callable[[TrialStarted], Curve],
    clock: Clock,
    *,
    workers: int,
    mean_seconds: float,
    budget: float = math.inf,
) -> Outcome:
    """Run a study until it has no trial left, or the workers together have spent the budget.

    Args:
        study: with this clock.
        curve_of: called as each trial starts.
        clock: advanced by the simulation.
        workers: how many trials run at once; one without a trial spends nothing.
        mean_seconds: of a full run, the unit of budgets.
        budget: in mean full runs; trials that end after it are left out.
    """
    end = budget * mean_seconds / workers
    events: list[tuple[float, int, _Running]] = []
    numbers = count()
    idle_since: list[float] = []
    ended: list[EndedTrial] = []

    def start_next() -> None:
        started = study.ask()
        if started is None:
            idle_since.append(clock.now)
            return
        running = _Running(trial_id=started.trial_id, curve=curve_of(started), start=clock.now)
        # Simultaneous events come in the order in which the trials started.
        heapq.heappush(events, (clock.now + running.curve.seconds[0], next(numbers), running))

    for _ in range(workers):
        start_next()
    while events and events[0][0] <= end:
        clock.now, number, running = heapq.heappop(events)
        curve, place = running.curve, running.place
        stopped = _report(study, running, clock.now)
        if not stopped and place + 1 < len(curve.metrics):
            running.place += 1
            heapq.heappush(events, (running.start + curve.seconds[running.place], number, running))
            continue
        spent = (clock.now * workers - sum(clock.now - since for since in idle_since)) / mean_seconds
        ended.append(EndedTrial(curve=curve, place=place, stopped=stopped, spent=float(spent)))
        start_next()
    return Outcome(trials=tuple(ended), wall_seconds=float(clock.now))


def _report(study: Study, running: _Running, now: float) -> bool:
    """Add an epoch to the study, and the trial's end if it ends there; return whether it is stopped."""
    trial_id = running.trial_id
    decision = study.add(EpochFinished(time=now, trial_id=trial_id, metrics=dict(running.curve.metrics[running.place])))
    if running.place + 1 == len(running.curve.metrics):
        study.add(TrialFinished(time=now, trial_id=trial_id))
        return False
    if decision is not None:
        study.add(TrialStopped(time=now, trial_id=trial_id, reason=decision.in_words(), kind=decision.kind))
    return decision is not None
