"""Prunes by projected cost and by Pareto rank: the cost pruner and the rungs together."""

import logging
from collections.abc import Mapping
from typing import Any

from mtbert_ray.errors import ConfigError
from mtbert_ray.metrics import METRICS, Metric, Metrics
from mtbert_ray.study.pruning.axes import Axes
from mtbert_ray.study.pruning.cost_pruner import CostPruner, is_cost
from mtbert_ray.study.pruning.decision import Decision
from mtbert_ray.study.pruning.rungs import HalvingConfig, Rungs

_log = logging.getLogger(__name__)


class ParetoPruner:
    """Stops trials by the metrics that they report, all at once or some at a time.

    `max_resource` is the number of epochs of a full run; `metrics` and `margin` are those of CostPruner. Restored from
    its JSON it decides as before.
    """

    def __init__(
        self,
        axes: Axes,
        max_resource: int,
        *,
        halving: HalvingConfig | None = None,
        metrics: Mapping[str, Metric] = METRICS,
        margin: float = 0.1,
    ) -> None:
        halving = halving or HalvingConfig()
        self._axes = axes
        self._config = {
            **axes.to_json(),
            "halving": halving.model_dump(mode="json"),
            "max_resource": max_resource,
            "margin": margin,
        }
        self._still_open = frozenset(
            name
            for name, axis in (*axes.objectives.items(), *axes.bounds.items())
            if name in metrics and not is_cost(metrics[name], axis.direction)
        )
        """Metrics that are no costs: they may meet a constraint at the end that they do not meet now. If that counted
        at rungs, nothing else would decide there until some trial meets it."""
        self._rungs = Rungs(halving, max_resource)
        self._cost_pruner = CostPruner(axes.objectives, bounds=axes.bounds, metrics=metrics, margin=margin)
        self.decisions: dict[str, Decision] = {}
        """Trial -> why it was stopped; always the same mapping."""
        self.has_news = False
        """Whether the state has changed; reset by whoever saves it."""
        self._partial: dict[str, dict[str, float]] = {}
        """Trial -> the latest values of incomplete results."""
        self._scored: set[str] = set()
        """Trials that have reported every metric at least once."""
        self._costs_seen: dict[str, list[float]] = {}
        """Trial -> its resource and number of metrics when its costs were last compared."""
        self._warned = False

    def prune(self, trial: str, resource: float, metrics: Mapping[str, Any]) -> Decision | None:
        """Return why a trial stops, or None; the same again for a repeated result.

        Args:
            trial: its name.
            resource: epochs done.
            metrics: None for a metric without a value; missing ones are taken from earlier incomplete results.
        """
        if trial in self.decisions:
            return self.decisions[trial]
        values = self._axes.values_in(metrics)
        self._keep(trial, values)
        values = self._all_reported(trial, values)
        decision = self._by_costs(trial, resource, values)
        if self._axes.has_all(values):
            decision = self._by_rank(trial, resource, values, decision)
        elif trial not in self._scored and any(level <= resource for level in self._rungs.levels):
            self._warn(trial, values)
        if decision is not None:
            self.decisions[trial] = decision
            self.has_news = True
        return decision

    def end(self, trial: str, resource: float, metrics: Mapping[str, Any], *, finished: bool) -> None:
        """Take the last result of a trial, for comparison with others; ignored where it never reported every metric.

        `finished` tells a full run from one that was interrupted.
        """
        values = self._all_reported(trial, self._axes.values_in(metrics))
        self._partial.pop(trial, None)
        if trial in self.decisions or not self._axes.has_all(values):
            return
        self._rungs.note(trial, resource, self._axes.losses(values), self._violation_so_far(values))
        if finished:
            self._cost_pruner.finish(trial, values)
        self.has_news = True

    def overrule(self, trial: str) -> None:
        """Take back a stop: the trial continued."""
        self._rungs.overrule(trial)
        self.decisions.pop(trial, None)

    def forget(self, trial: str) -> None:
        """Drop all results of a trial; decisions about others stay."""
        self._rungs.forget(trial)
        self._cost_pruner.forget(trial)
        self._scored.discard(trial)
        for kept in (self.decisions, self._partial, self._costs_seen):
            kept.pop(trial, None)
        self.has_news = True

    def results_in_words(self) -> str:
        """Return the number of results at each rung: `12 at 3, 5 at 9`."""
        return ", ".join(f"{self._rungs.num_results(level)} at {level}" for level in self._rungs.levels) or "none"

    def to_json(self) -> dict[str, Any]:
        """Return the state."""
        return {
            "config": self._config,
            "partial": self._partial,
            "scored": sorted(self._scored),
            "costs_seen": self._costs_seen,
            "rungs": self._rungs.to_json(),
            "cost_pruner": self._cost_pruner.to_json(),
            "by_costs": [decision.to_json() for decision in self.decisions.values() if decision.cause],
        }

    def restore_json(self, state: Mapping[str, Any], where: str) -> None:
        """Restore what `to_json` gave; `where` is its file, for messages.

        Raises:
            ConfigError: it is of a pruner with another config.
        """
        for name, value in self._config.items():
            if state["config"][name] != value:
                was = state["config"][name]
                raise ConfigError([f"{where}: was kept with {name} {was!r}, the scheduler now has {value!r}"])
        self._partial, self._costs_seen = dict(state["partial"]), dict(state["costs_seen"])
        self._scored = set(state["scored"])
        self._rungs.restore_json(state["rungs"])
        self._cost_pruner.restore_json(state["cost_pruner"])
        by_costs = {each["trial"]: Decision.from_json(each) for each in state["by_costs"]}
        # In place: whoever holds the mapping sees it grow.
        self.decisions.clear()
        self.decisions.update({**self._rungs.stopped, **by_costs})

    def _by_costs(self, trial: str, resource: float, values: Metrics) -> Decision | None:
        now = [resource, len(values)]
        if now <= self._costs_seen.get(trial, []):
            return None  # A repeated result: other trials may have finished since.
        self._costs_seen[trial] = now
        return self._cost_pruner.prune(trial, resource, values, has_scores=trial in self._scored)

    def _by_rank(self, trial: str, resource: float, values: Metrics, decided: Decision | None) -> Decision | None:
        losses, violation = self._axes.losses(values), self._violation_so_far(values)
        if decided is not None:
            # Others are compared with every trial that reached a rung.
            self._rungs.note(trial, resource, losses, violation)
            return decided
        decision = self._rungs.report(trial, resource, losses, violation)
        self.has_news = self.has_news or decision.rung is not None
        return decision if decision.stop else None

    def _violation_so_far(self, values: Metrics) -> float:
        """Return by how much a trial exceeds the constraints on costs and on unknown metrics."""
        return self._axes.violation(values, still_open=self._still_open)

    def _keep(self, trial: str, values: Mapping[str, float]) -> None:
        """Keep an incomplete result for later ones."""
        if not self._axes.has_all(values):
            values = self._partial[trial] = self._all_reported(trial, values)
            self.has_news = True
        if trial not in self._scored and self._axes.has_all(values):
            self._scored.add(trial)
            self.has_news = True

    def _all_reported(self, trial: str, values: Mapping[str, float]) -> dict[str, float]:
        return {**self._partial.get(trial, {}), **values}

    def _warn(self, trial: str, values: Metrics) -> None:
        if not self._warned:
            missing = ", ".join(name for name in self._axes.names if name not in values)
            _log.warning("trial %s is at a rung and has not reported %s yet: nothing is compared", trial, missing)
        self._warned = True
