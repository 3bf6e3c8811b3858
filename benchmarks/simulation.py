"""Runs a searcher and a stopping rule on a task of LCBench, with asynchronous workers on a simulated clock.

A worker is never idle: when its trial ends it takes the next one. What is asked and decided takes no time.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from lcbench import NUM_EPOCHS, Curve, Task
from numpy.typing import NDArray

from mtbert_ray.tuning.searchers import Searcher

# N full runs


class Verdict(Protocol):
    """What the simulation needs of a `Decision`."""

    @property
    def stop(self) -> bool:
        """Whether the trial ends."""
        ...


class StoppingRule(Protocol):
    """What the simulation needs of `Rungs`."""

    def report(self, trial: str, resource: int, losses: NDArray[np.float64]) -> Verdict:
        """Decide whether a trial goes on."""
        ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one sweep reached."""

    spent: NDArray[np.float64]
    """`(N,)`: what all workers together had spent when each full run ended, in mean full runs of the task."""
    losses: NDArray[np.float64]
    """`(N, 2)`: theirs."""
    num_trials: int

    def volumes(self, task: Task, budgets: Sequence[float]) -> list[float]:
        """Return the hypervolume of the full runs that ended within each budget."""
        return [task.volume(self.losses[self.spent <= budget]) for budget in budgets]


@dataclass(kw_only=True)
class _Trial:
    key: int
    curve: Curve
    start: float
    step: int = 0
    """Index of the next epoch at which something is decided."""


def simulate(task: Task, searcher: Searcher, rule: StoppingRule | None, *, workers: int, budget: float) -> Outcome:
    """Run until the workers together have spent the budget.

    Args:
        task: known at the rungs and at the end.
        searcher: of this task's space.
        rule: None lets every trial run to its end.
        workers: how many trials run at once.
        budget: in mean full runs of the task.
    """
    end = budget * task.mean_seconds / workers
    events: list[tuple[float, int, _Trial]] = []
    num_trials = 0

    def start(now: float) -> None:
        nonlocal num_trials
        asked = searcher.ask()
        assert asked is not None, "a continuous space has no last setting"
        trial = _Trial(key=asked[0], curve=task.curve(asked[1]), start=now)
        heapq.heappush(events, (now + trial.curve.seconds[0], num_trials, trial))
        num_trials += 1

    for _ in range(workers):
        start(0.0)
    finished: list[tuple[float, NDArray[np.float64]]] = []
    while events[0][0] <= end:
        now, number, trial = heapq.heappop(events)
        epoch, losses = task.epochs[trial.step], trial.curve.losses[trial.step]
        if epoch == NUM_EPOCHS:
            searcher.tell(trial.key, losses)
            finished.append((now * workers / task.mean_seconds, losses))
            start(now)
            continue
        searcher.tell_progress(trial.key, epoch, losses)
        if rule is not None and rule.report(str(number), epoch, losses).stop:
            searcher.tell_stopped(trial.key)
            start(now)
            continue
        trial.step += 1
        heapq.heappush(events, (trial.start + trial.curve.seconds[trial.step], number, trial))
    return Outcome(
        spent=np.array([spent for spent, _ in finished]),
        losses=np.array([losses for _, losses in finished]).reshape(-1, 2),
        num_trials=num_trials,
    )
