"""Runs trials on a simulated clock: asynchronous workers, a searcher that learns, a rule that stops.

A worker whose trial ends takes the next one at once; what is asked and decided takes no time. Knows nothing of where
trials and their curves come from, or of Ray.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import Metrics

# E epochs at which something is decided, N trials that ran to their end, M objectives


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What a trial reports at the epochs where something is decided, the last of which is its end."""

    epochs: tuple[int, ...]
    losses: NDArray[np.float64]
    """`(E, M)`, all minimized; NaN where there is no value."""
    violations: NDArray[np.float64]
    """`(E,)`: how far the constraints are exceeded; 0 is feasible."""
    seconds: NDArray[np.float64]
    """`(E,)`: time spent until then, never falling."""
    metrics: tuple[Metrics, ...] | None = None
    """What else is known then, for rules that look at more than losses; None where there is nothing else."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A trial that could start."""

    key: int
    """What the searcher knows it by."""
    name: str
    """What the rule knows it by."""
    curve: Curve


class Learns(Protocol):
    """What the simulation tells a `Searcher`, in the words of its interface."""

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take the result of a trial that ran to its end, or by how much one broke its constraints when stopped."""
        ...

    def tell_intermediate(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Take what a trial has reached so far."""
        ...

    def tell_stopped(self, key: int) -> None:
        """Take note that a trial was stopped early."""
        ...


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a rule hears of a trial."""

    trial: str
    epoch: int
    losses: NDArray[np.float64] | None
    """`(M,)`; None where one has no value."""
    violation: float
    metrics: Metrics | None
    """As of `Curve`."""


class StoppingRule(Protocol):
    """Decides which trials end early."""

    def stops(self, report: Report) -> bool:
        """Take what a trial has reached, and return whether it ends there."""
        ...

    def excess(self, trial: str) -> float:
        """Return how far the costs of a trial that it stopped were beyond a bound; 0 if it stopped it for its rank."""
        ...

    def finish(self, report: Report) -> None:
        """Take the result of a trial that ran to its end."""
        ...


@dataclass(frozen=True, kw_only=True)
class EndedTrial:
    """A trial that ran to its end or was stopped."""

    name: str
    curve: Curve
    place: int
    """Index into the curve of the epoch after which it ended."""
    stopped: bool
    spent: float
    """What all workers together had spent by then, in mean full runs."""

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return self.curve.epochs[self.place]

    @property
    def seconds(self) -> float:
        """Time that it took."""
        return float(self.curve.seconds[self.place])

    @property
    def steps(self) -> int | None:
        """Optimizer steps taken; None where nobody knows."""
        steps = None if self.curve.metrics is None else self.curve.metrics[self.place].get("step")
        return None if steps is None else int(steps)

    @property
    def counts(self) -> bool:
        """Whether its result counts towards the hypervolume: it is a full run that meets the constraints."""
        return not self.stopped and bool(self.curve.violations[-1] <= 0)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one simulated sweep came to."""

    trials: tuple[EndedTrial, ...]
    """In the order in which they ended."""
    num_started: int
    wall_seconds: float
    """When the last of them ended."""

    def volumes(self, volume: Callable[[NDArray[np.float64]], float], budgets: Sequence[float]) -> list[float]:
        """Return the hypervolume of the full runs that ended within each budget.

        Args:
            volume: of losses `(N, M)`, N being 0 as well.
            budgets: in mean full runs.
        """
        finished = [trial for trial in self.trials if trial.counts]
        losses_NM = np.array([trial.curve.losses[-1] for trial in finished])
        spent_N = np.array([trial.spent for trial in finished])
        return [volume(losses_NM[spent_N <= budget]) for budget in budgets]


@dataclass(kw_only=True)
class _Running:
    candidate: Candidate
    start: float
    place: int = 0
    """Index into its curve of the next epoch at which something is decided."""


def simulate(
    trials: Iterator[Candidate],
    searcher: Learns | None,
    rule: StoppingRule | None,
    *,
    workers: int,
    mean_seconds: float,
    budget: float = math.inf,
) -> Outcome:
    """Run until there is no trial left, or the workers together have spent the budget.

    Args:
        trials: asked for the next one when a worker is free, so that it may follow from what was told until then.
        searcher: is told what becomes of the trials; None tells nobody.
        rule: None lets every trial run to its end.
        workers: how many trials run at once. Once there are no more trials to start, an idle one spends nothing.
        mean_seconds: of a full run, the unit of budgets.
        budget: in mean full runs; what would end beyond it is left out.
    """
    end = budget * mean_seconds / workers
    events: list[tuple[float, int, _Running]] = []
    numbers = count()
    idle_since: list[float] = []
    ended: list[EndedTrial] = []
    now = 0.0

    def start_next() -> None:
        candidate = next(trials, None)
        if candidate is None:
            idle_since.append(now)
            return
        running = _Running(candidate=candidate, start=now)
        # The number puts what happens at the same time into the order in which the trials started.
        heapq.heappush(events, (now + candidate.curve.seconds[0], next(numbers), running))

    for _ in range(workers):
        start_next()
    while events and events[0][0] <= end:
        now, number, running = heapq.heappop(events)
        curve, place = running.candidate.curve, running.place
        stopped = _report(running, searcher, rule)
        if not stopped and place + 1 < len(curve.epochs):
            running.place += 1
            heapq.heappush(events, (running.start + curve.seconds[running.place], number, running))
            continue
        spent = (now * workers - sum(now - since for since in idle_since)) / mean_seconds
        name = running.candidate.name
        ended.append(EndedTrial(name=name, curve=curve, place=place, stopped=stopped, spent=float(spent)))
        start_next()
    return Outcome(trials=tuple(ended), num_started=next(numbers), wall_seconds=float(now))


def _report(running: _Running, searcher: Learns | None, rule: StoppingRule | None) -> bool:
    """Tell what a trial has reached and return whether it is stopped."""
    key, curve, place = running.candidate.key, running.candidate.curve, running.place
    losses_M = curve.losses[place]
    report = Report(
        trial=running.candidate.name,
        epoch=curve.epochs[place],
        losses=losses_M if np.isfinite(losses_M).all() else None,
        violation=float(curve.violations[place]),
        metrics=None if curve.metrics is None else curve.metrics[place],
    )
    if searcher is not None:
        searcher.tell_intermediate(key, report.epoch, report.losses, report.violation)
    if place + 1 == len(curve.epochs):
        if searcher is not None:
            searcher.tell(key, report.losses, report.violation)
        if rule is not None:
            rule.finish(report)
        return False
    if rule is None or not rule.stops(report):
        return False
    if searcher is not None:
        # As a sweep tells it: what was stopped for its costs is infeasible, what others outdo is not.
        excess = rule.excess(report.trial)
        if excess > 0:
            searcher.tell(key, None, excess)
        else:
            searcher.tell_stopped(key)
    return True
