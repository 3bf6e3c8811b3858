"""Prunes trials by projected cost, mostly at the probe, before their scores are known.

A trial stops when a cost exceeds a constraint or the reference point, or when it is dominated on cost: a finished trial
would dominate it even with the best attainable scores. If the projections are right, no such trial gets on the front.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtbert_ray.metrics import METRICS, Metric, Metrics, Objectives
from mtbert_ray.pareto.front import dominates
from mtbert_ray.pareto.objectives import constraint_violation, known_violation, loss_of, to_losses
from mtbert_ray.study.pruning.decision import MAX_DOMINATING, Decision, Reason, some_of
from mtbert_ray.task_metrics import Direction

# M objectives, N finished trials

_DIGITS = (3, 4, 6, 9, 17)


_Verdict = tuple[Reason, str, tuple[str, ...]]
"""Reason, cause in words, names of the dominating trials."""


class CostPruner:
    """Compares the projected costs of trials with the bounds, and with the results of finished trials.

    Args:
        objectives: the axes.
        bounds: constrained metrics that are no objectives.
        metrics: how known metrics change over time. An unknown one is a cost if reported before the first score.
        margin: projected totals, and unknown metrics, must exceed a bound by this share. Peaks and fixed costs are
            exact.
    """

    def __init__(
        self,
        objectives: Objectives,
        *,
        bounds: Objectives | None = None,
        metrics: Mapping[str, Metric] = METRICS,
        margin: float = 0.1,
    ) -> None:
        self._objectives = dict(objectives)
        self._constrained = {**objectives, **(bounds or {})}
        self._metrics = dict(metrics)
        self._margin = margin
        self._finished: dict[str, tuple[float, ...]] = {}

    def finish(self, trial: str, metrics: Metrics) -> None:
        """Take the result of a full run; one that is infeasible or lacks a value prunes no other."""
        losses = to_losses(metrics, self._objectives)
        if losses is not None and constraint_violation(metrics, self._constrained) == 0:
            self._finished[trial] = tuple(losses.tolist())

    def forget(self, trial: str) -> None:
        """Drop a trial's result; decisions about others stay."""
        self._finished.pop(trial, None)

    def prune(self, trial: str, resource: float, metrics: Metrics, *, has_scores: bool) -> Decision | None:
        """Return why a trial stops, or None.

        Args:
            trial: its name.
            resource: epochs done.
            metrics: as reported, totals projected to its end.
            has_scores: whether every objective has been reported; if not, it is at its probe.
        """
        at_probe = not has_scores or resource == 0
        costs = {
            name: value
            for name in self._constrained
            if (value := metrics.get(name)) is not None and math.isfinite(value) and self._is_cost(name, has_scores)
        }
        verdict = (
            self._over_constraint(costs, at_probe)
            or self._over_reference(costs, at_probe)
            or self._dominated_on_cost(trial, costs, metrics)
        )
        if verdict is None:
            return None
        reason, cause, dominated_by = verdict
        return Decision(
            trial=trial,
            reason=reason,
            resource=resource,
            at_probe=at_probe,
            num_objectives=len(self._objectives),
            violation=known_violation(costs, self._constrained),
            dominated_by=dominated_by[:MAX_DOMINATING],
            num_dominating=len(dominated_by),
            cause=cause,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the state."""
        return {"finished": self._finished}

    def restore_json(self, state: Mapping[str, Any]) -> None:
        """Restore what `to_json` gave."""
        self._finished = {trial: tuple(losses) for trial, losses in state["finished"].items()}

    def _over_constraint(self, costs: Mapping[str, float], at_probe: bool) -> _Verdict | None:
        broken = [
            f"{self._in_words(name, value, axis.constraint, at_probe)}, limit {axis.constraint:.10g}"
            for name, value in costs.items()
            if (axis := self._constrained[name]).constraint is not None
            and self._is_beyond(name, value, axis.constraint)
        ]
        return ("constraint", "; ".join(broken), ()) if broken else None

    def _over_reference(self, costs: Mapping[str, float], at_probe: bool) -> _Verdict | None:
        beyond = [
            f"{self._in_words(name, value, bound, at_probe)}, beyond the reference {bound:.10g}"
            for name, value in costs.items()
            if name in self._objectives and self._is_beyond(name, value, bound := self._objectives[name].reference)
        ]
        return ("beyond_reference", "; ".join(beyond), ()) if beyond else None

    def _dominated_on_cost(self, trial: str, costs: Mapping[str, float], metrics: Metrics) -> _Verdict | None:
        """Compare with finished trials, at the best attainable values of the objectives that are not costs."""
        best_open = {name: self._best_attainable(name, metrics) for name in self._objectives if name not in costs}
        finished = {name: losses for name, losses in self._finished.items() if name != trial}
        if not finished or not costs or any(value is None for value in best_open.values()):
            return None
        best = {**best_open, **{name: self._at_best(name, value) for name, value in costs.items()}}
        losses_M = to_losses(best, self._objectives)
        assert losses_M is not None, "every objective is a cost or has a best value"
        losses_NM = np.array(list(finished.values()))
        dominating_N = dominates(losses_NM, np.zeros(len(losses_NM)), losses_M, 0.0)
        names = [name for name, beats in zip(finished, dominating_N, strict=True) if beats]
        if not names:
            return None
        if_only = ", even if " + " and ".join(f"{name} came to {value:.10g}" for name, value in best_open.items())
        cause = f"dominated by {some_of(names, len(names))} on costs{if_only if best_open else ''}"
        return "dominated_on_cost", cause, tuple(names)

    def _is_cost(self, name: str, has_scores: bool) -> bool:
        metric = self._metrics.get(name)
        if metric is None:
            return not has_scores
        return is_cost(metric, self._constrained[name].direction)

    def _at_best(self, name: str, value: float) -> float:
        """Return the best value of a cost that its projection allows."""
        metric = self._metrics.get(name)
        if metric is not None and metric.over_time != "total":
            return value
        margin = self._margin * abs(value)
        return value - margin if self._constrained[name].direction == "minimize" else value + margin

    def _best_attainable(self, name: str, metrics: Metrics) -> float | None:
        """Return the best value that an objective can reach; None where nothing bounds it."""
        objective, metric = self._objectives[name], self._metrics.get(name)
        best = objective.attainable
        if best is None and metric is not None and metric.reaches_best and metric.direction == objective.direction:
            best = metric.best
        now = metrics.get(name)
        if best is None or now is None or not math.isfinite(now):
            return best
        return min(best, now) if objective.direction == "minimize" else max(best, now)

    def _is_beyond(self, name: str, value: float, bound: float) -> bool:
        direction = self._constrained[name].direction
        return loss_of(self._at_best(name, value), direction) > loss_of(bound, direction)

    def _in_words(self, name: str, value: float, bound: float, at_probe: bool) -> str:
        """Return `would need 11.2 GiB`, with the metric's name where the unit is ambiguous."""
        metric = self._metrics.get(name)
        unit = "" if metric is None else metric.unit
        # At an epoch a peak has been reached and not only projected.
        would = at_probe or metric is None or metric.over_time == "total"
        number = _number(value, bound)
        if unit in ("", "%") or self._constrained[name].direction == "maximize":
            return f"its {name} {'would be' if would else 'is'} {number} {unit}".rstrip()
        units = [self._metrics[other].unit for other in self._constrained if other in self._metrics]
        of_what = f" of {name}" if units.count(unit) > 1 else ""
        return f"{'would need' if would else 'needs'} {number} {unit}{of_what}"


def is_cost(metric: Metric, direction: Direction) -> bool:
    """Whether a metric that is better in a direction never improves while a trial trains."""
    return metric.over_time == "fixed" or (metric.over_time != "varies" and direction == "minimize")


def _number(value: float, bound: float) -> str:
    """Return a number with at least three digits, and enough to differ from its bound."""
    for digits in _DIGITS:
        text = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
        if float(text) != bound:
            break
    return text
