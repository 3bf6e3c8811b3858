"""Asynchronous successive halving on several objectives: decides which trials stop early, and says why.

A trial that reaches a rung is compared at once with those that were there before it, and goes on when its priority is
no worse than a quantile of theirs: ASHA (Li et al. 2020) with Pareto ranks in place of the one loss. Everything is
minimised. Knows nothing of Ray, of torch or of what the objectives are.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtbert_ray.pareto.priority import Order, dominates, priorities
from mtbert_ray.schema import Schema
from mtbert_ray.tuning.decision import Decision, Reason

# M objectives, N trials at a rung

_DEFAULT_GRACE = 1 / 17


class HalvingConfig(Schema):
    """How trials are stopped; the defaults are what `benchmarks/scheduling.py` found best, see docs/scheduling.md."""

    grace: Annotated[int, Field(ge=1)] | None = None
    """The first rung: no trial stops before it. If not given, a seventeenth of a full run and at least 1: earlier
    results mislead."""
    eta: Annotated[float, Field(gt=1)] = 3.0
    """The next rung is this many times as far."""
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The quantile of the rung's priorities up to which a trial goes on; ASHA's is 1 / eta."""
    order: Order = "rank"
    """How results with several objectives are ordered; with one it makes no difference."""
    spare_front: bool = True
    """Never stop a trial that nobody at the rung dominates. `rank` does not either way."""
    min_results: Annotated[int, Field(ge=1)] = 1
    """Results a rung must have had before one that reaches it can be stopped."""
    share_to_end: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the trials that are never stopped for their losses, drawn by trial; with 1 nothing is."""
    brackets: Annotated[int, Field(ge=1)] = 1
    """Each trial is in one of so many brackets, drawn by trial; bracket 0 can stop it at every rung, bracket 1 from the
    second on, and so on. All compare with all."""
    seed: int = 0
    """Of the draws."""


@dataclass(frozen=True, kw_only=True)
class _Result:
    losses: tuple[float, ...] | None
    violation: float


class Rungs:
    """The results at each rung, and the decisions they lead to.

    Can be pickled at any time and goes on as if it had not been. Draws depend on the seed and the trial's name alone,
    so that the order in which trials arrive does not change them.

    Args:
        config: the rule.
        max_resource: what a full run takes, as its number of epochs; rungs lie below it.
    """

    def __init__(self, config: HalvingConfig, max_resource: int) -> None:
        self._config = config
        grace = config.grace if config.grace is not None else max(1, round(max_resource * _DEFAULT_GRACE))
        self.levels = rung_levels(grace, config.eta, max_resource)
        self._results: dict[int, dict[str, _Result]] = {level: {} for level in self.levels}
        self._stopped: dict[str, Decision] = {}

    def report(self, trial: str, resource: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> Decision:
        """Take a trial's result so far and return whether it goes on.

        Between rungs, and at a rung where it has been before, a trial goes on; one that was stopped stays so. One that
        jumps over rungs counts at the highest it reached.

        Args:
            trial: its name, the same at every report and after a restore.
            resource: what it has spent, as epochs done.
            losses: `(M,)`, all minimised; None or not finite where it has no value, which makes it the last.
            violation: how far the constraints are exceeded; 0 is feasible. Not feasible is worse than feasible.
        """
        if trial in self._stopped:
            return self._stopped[trial]
        level = max((level for level in self.levels if level <= resource), default=None)
        if level is None or trial in self._results[level]:
            return Decision(trial=trial, reason="between_rungs", resource=resource)
        result = _Result(losses=None if losses is None else tuple(float(loss) for loss in losses), violation=violation)
        others = self._results[level]
        decision = self._decide(trial, level, result, others)
        others[trial] = result
        if decision.stop:
            self._stopped[trial] = decision
        return decision

    def num_results(self, level: int) -> int:
        """Return how many trials have reached a rung."""
        return len(self._results[level])

    def _decide(self, trial: str, level: int, result: _Result, others: dict[str, _Result]) -> Decision:
        if len(others) < self._config.min_results:
            return Decision(trial=trial, reason="few_results", resource=level, rung=level, num_others=len(others))
        losses_NM, violations_N = _as_arrays([*others.values(), result])
        share = self._config.keep
        priorities_N = priorities(
            losses_NM,
            violations_N,
            self._config.order,
            # The quantile lies between two places, and the trial itself may be before them.
            num_ordered=math.ceil(share * len(others)) + 2,
        )
        priority, cut = float(priorities_N[-1]), float(np.quantile(priorities_N[:-1], share))
        dominating_N = dominates(losses_NM, violations_N, losses_NM[-1], violations_N[-1])
        return Decision(
            trial=trial,
            reason=self._reason(trial, level, result, priority <= cut, bool(dominating_N.any())),
            resource=level,
            rung=level,
            num_others=len(others),
            priority=priority,
            cut=cut,
            violation=result.violation,
            dominated_by=tuple(name for name, beats in zip(others, dominating_N, strict=False) if beats),
        )

    def _reason(self, trial: str, level: int, result: _Result, within_cut: bool, dominated: bool) -> Reason:
        """Return why the trial goes on or stops, the first that holds."""
        if within_cut:
            return "within_cut"
        if not _has_values(result):
            return "no_values"
        if result.violation > 0:
            return "infeasible"
        if self._config.spare_front and not dominated:
            return "on_front"
        if self.levels.index(level) < int(self._draw(trial, "bracket") * self._config.brackets):
            return "later_bracket"
        if self._draw(trial, "guard") < self._config.share_to_end:
            return "runs_to_end"
        return "behind"

    def _draw(self, trial: str, purpose: str) -> float:
        """Return a number from 0 to 1, the same for a trial whenever and wherever it is asked for."""
        digest = hashlib.sha256(f"{self._config.seed}/{purpose}/{trial}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


def rung_levels(grace: int, eta: float, max_resource: int) -> tuple[int, ...]:
    """Return the rungs: `grace`, `grace * eta`, `grace * eta ** 2`, ..., rounded, below `max_resource`."""
    levels: list[int] = []
    level = float(grace)
    while round(level) < max_resource:
        if round(level) not in levels:  # A small eta can round twice to the same.
            levels.append(round(level))
        level *= eta
    return tuple(levels)


def _has_values(result: _Result) -> bool:
    return result.losses is not None and all(map(math.isfinite, result.losses)) and not math.isnan(result.violation)


def _as_arrays(results: list[_Result]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return losses `(N, M)`, NaN where there are none, and violations `(N,)`."""
    num_objectives = max((len(result.losses) for result in results if result.losses is not None), default=1)
    missing = (math.nan,) * num_objectives
    losses_NM = np.array([missing if result.losses is None else result.losses for result in results])
    return losses_NM, np.array([result.violation for result in results], dtype=np.float64)
