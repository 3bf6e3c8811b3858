"""Asynchronous successive halving on several objectives: ASHA (Li et al. 2020) with Pareto ranks for the loss.

A trial that reaches a rung is compared at once with those that were there before it, and continues when its priority is
no worse than a quantile of theirs. Everything is minimized.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.config.sections import HalvingConfig as HalvingConfig  # Also found here by scripts.
from mtbert_ray.pareto.front import dominates, priorities
from mtbert_ray.study.pruning.decision import MAX_DOMINATING, Decision, Reason

# M objectives, N trials at a rung

_DEFAULT_GRACE = 1 / 17


@dataclass(frozen=True, kw_only=True)
class _Result:
    losses: tuple[float, ...] | None
    """None where an objective or a constrained metric has no value."""
    violation: float


class Rungs:
    """The results at each rung below `max_resource`, the epochs of a full run, and the decisions they lead to.

    Can be pickled at any time. Draws depend on the seed and the trial's name alone, not on the order of trials.
    """

    def __init__(self, config: HalvingConfig, max_resource: int) -> None:
        self._config = config
        grace_period = default_grace(max_resource) if config.grace_period is None else config.grace_period
        self.levels = rung_levels(grace_period, config.reduction_factor, max_resource)
        self._results: dict[int, dict[str, _Result]] = {level: {} for level in self.levels}
        self._stopped: dict[str, Decision] = {}
        self._num_objectives: int | None = None

    def report(
        self, trial: str, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> Decision:
        """Take a trial's intermediate result and return whether it continues.

        It continues between rungs and at a rung that it has passed; a stopped one stays stopped. One that skips rungs
        counts at the highest that it reached.

        Args:
            trial: its name.
            resource: epochs done.
            losses: `(M,)`, all minimized; None or not finite is no value and ranks last.
            violation: how far the constraints are exceeded; 0 is feasible, NaN no value. Infeasible ranks behind
                feasible.

        Raises:
            ValueError: the trials before it had another number of objectives.
        """
        if trial in self._stopped:
            return self._stopped[trial]
        result = self._result(losses, violation)
        level = self._new_level(trial, resource)
        if level is None:
            return Decision(trial=trial, reason="between_rungs", resource=resource)
        decision = self._decide(trial, resource, level, result)
        self._results[level][trial] = result
        if decision.stop:
            self._stopped[trial] = decision
        return decision

    def note(self, trial: str, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take the result of a trial that has ended, for comparison only; arguments and errors as of `report`."""
        result = self._result(losses, violation)
        level = self._new_level(trial, resource)
        if level is not None:
            self._results[level][trial] = result

    def overrule(self, trial: str) -> None:
        """Take back a stop: the trial continued."""
        self._stopped.pop(trial, None)

    def forget(self, trial: str) -> None:
        """Drop all results of a trial; decisions about others stay."""
        self._stopped.pop(trial, None)
        for results in self._results.values():
            results.pop(trial, None)

    @property
    def stopped(self) -> Mapping[str, Decision]:
        """The trials that were stopped, and why."""
        return self._stopped

    def num_results(self, level: int) -> int:
        """Return how many trials have reached a rung."""
        return len(self._results[level])

    def to_json(self) -> dict[str, Any]:
        """Return the state."""
        results = {
            str(level): [[trial, result.losses, result.violation] for trial, result in self._results[level].items()]
            for level in self.levels
        }
        return {"results": results, "stopped": [decision.to_json() for decision in self._stopped.values()]}

    def restore_json(self, state: Mapping[str, Any]) -> None:
        """Restore what `to_json` of rungs with the same config gave."""
        self._results = {level: {} for level in self.levels}
        for level, results in state["results"].items():
            for trial, losses, violation in results:
                result = self._result(None if losses is None else np.array(losses), violation)
                self._results[int(level)][trial] = result
        self._stopped = {each["trial"]: Decision.from_json(each) for each in state["stopped"]}

    def _result(self, losses: NDArray[np.float64] | None, violation: float) -> _Result:
        if losses is not None:
            if self._num_objectives not in (None, len(losses)):
                raise ValueError(f"a result with {len(losses)} losses among results with {self._num_objectives}")
            self._num_objectives = len(losses)
        if losses is None or math.isnan(violation) or not np.isfinite(losses).all():
            return _Result(losses=None, violation=0.0)
        return _Result(losses=tuple(losses.tolist()), violation=float(violation))

    def _new_level(self, trial: str, resource: float) -> int | None:
        """Return the rung that a trial has newly reached, or None."""
        level = max((level for level in self.levels if level <= resource), default=None)
        if level is None or any(trial in self._results[passed] for passed in self.levels if passed >= level):
            return None
        return level

    def _decide(self, trial: str, resource: float, level: int, result: _Result) -> Decision:
        others = self._results[level]
        if len(others) < self._config.min_results:
            return Decision(trial=trial, reason="few_results", resource=resource, rung=level, num_others=len(others))
        results = [*others.values(), result]
        missing = (math.nan,) * max((len(each.losses) for each in results if each.losses is not None), default=1)
        losses_NM = np.array([missing if each.losses is None else each.losses for each in results])
        violations_N = np.array([each.violation for each in results])
        share = self._config.keep_quantile
        priorities_N = priorities(
            losses_NM,
            violations_N,
            self._config.order,
            # The quantile lies between two places, and the trial itself may come before them.
            num_ordered=math.ceil(share * len(others)) + 2,
        )
        priority, cut = float(priorities_N[-1]), float(np.quantile(priorities_N[:-1], share))
        dominating_N = dominates(losses_NM[:-1], violations_N[:-1], losses_NM[-1], violations_N[-1])
        dominating = (name for name, beats in zip(others, dominating_N, strict=True) if beats)
        return Decision(
            trial=trial,
            reason=self._reason(trial, level, result, priority <= cut, bool(dominating_N.any())),
            resource=resource,
            rung=level,
            num_others=len(others),
            num_objectives=losses_NM.shape[1],
            priority=priority,
            cut=cut,
            violation=result.violation,
            dominated_by=tuple(islice(dominating, MAX_DOMINATING)),
            num_dominating=int(dominating_N.sum()),
        )

    def _reason(self, trial: str, level: int, result: _Result, within_cut: bool, dominated: bool) -> Reason:
        """Return the first reason that holds."""
        if within_cut:
            return "within_cut"
        if result.losses is None:
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
        """Return a number from 0 to 1, always the same for a trial and purpose."""
        digest = hashlib.sha256(f"{self._config.seed}/{purpose}/{trial}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


def default_grace(max_resource: int) -> int:
    """Return the first rung where none is given."""
    return max(1, round(max_resource * _DEFAULT_GRACE))


def rung_levels(grace_period: int, reduction_factor: float, max_resource: int) -> tuple[int, ...]:
    """Return the rungs, rounded, below `max_resource`: each is `reduction_factor` times the one before it."""
    levels: list[int] = []
    level = float(grace_period)
    while round(level) < max_resource:
        if round(level) not in levels:  # A small reduction_factor can round twice to the same.
            levels.append(round(level))
        level *= reduction_factor
    return tuple(levels)
