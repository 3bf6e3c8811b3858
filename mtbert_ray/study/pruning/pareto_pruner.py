"""Whether a trial goes on, by its costs and by its rank: cost_pruner and rungs together. Knows nothing of Ray."""

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
    """Judges trials by what they tell, all at once or bit by bit.

    Goes on from its JSON as if nothing had happened, whenever that was taken.

    Args:
        axes: the metrics that decide.
        max_resource: what a full run takes, as its number of epochs.
        halving: the rule at rungs.
        metrics: as of CostPruner.
        margin: as of CostPruner.
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
        self._settings = {
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
        """Metrics known to be no costs: what falls short of a constraint now may meet it at the end. If that counted at
        rungs, nothing else would decide there until somebody meets it."""
        self._rungs = Rungs(halving, max_resource)
        self._cost_pruner = CostPruner(axes.objectives, bounds=axes.bounds, metrics=metrics, margin=margin)
        self.decisions: dict[str, Decision] = {}
        """Trial -> why it was stopped."""
        self.has_news = False
        """Whether something happened on which later decisions depend; whoever keeps the JSON sets it back."""
        self._told: dict[str, dict[str, float]] = {}
        """Trial -> the latest value of each metric in results that lacked others."""
        self._scored: set[str] = set()
        """Trials that have told everything at least once."""
        self._judged: dict[str, list[float]] = {}
        """Trial -> how far it was, and how many metrics it had told, when its costs were last judged."""
        self._warned = False

    def judge(self, trial: str, resource: float, values: Mapping[str, float]) -> Decision | None:
        """Return why a trial must end, or None for one that goes on.

        The answer to what a trial tells again is the one that it got before.

        Args:
            trial: its name.
            resource: what it has spent, as epochs.
            values: those metrics of the axes that it tells, NaN for one without a value. What it lacks is taken from
                the earlier results that lacked something.
        """
        if trial in self.decisions:
            return self.decisions[trial]
        self._keep(trial, values)
        values = self._all_told(trial, values)
        decision = self._by_costs(trial, resource, values)
        if self._axes.has_all(values):
            decision = self._by_rank(trial, resource, values, decision)
        elif trial not in self._scored and any(level <= resource for level in self._rungs.levels):
            self._warn_of_missing(trial, values)
        if decision is not None:
            self.decisions[trial] = decision
            self.has_news = True
        return decision

    def end(self, trial: str, resource: float, values: Mapping[str, float], *, by_itself: bool) -> None:
        """Take the result with which a trial ended: others are compared with it, and nothing is decided.

        Args:
            trial: its name.
            resource: as of `judge`.
            values: as of `judge`; nothing is learned from a trial that never told everything.
            by_itself: whether that is what it comes to, and not where somebody cut it off.
        """
        values = self._all_told(trial, values)
        self._told.pop(trial, None)
        if trial in self.decisions or not self._axes.has_all(values):
            return
        self._rungs.note(trial, resource, self._axes.losses(values), self._violation_so_far(values))
        if by_itself:
            self._cost_pruner.finish(trial, values)
        self.has_news = True

    def forget(self, trial: str) -> None:
        """Take back all that a trial has told; decisions about others stand."""
        self._rungs.forget(trial)
        self._cost_pruner.forget(trial)
        self._scored.discard(trial)
        for kept in (self.decisions, self._told, self._judged):
            kept.pop(trial, None)
        self.has_news = True

    def results_in_words(self) -> str:
        """Return how many results there are: `12 at 3, 5 at 9`."""
        return ", ".join(f"{self._rungs.num_results(level)} at {level}" for level in self._rungs.levels) or "none"

    def to_json(self) -> dict[str, Any]:
        """Return everything that decides, as `restore_json` reads it."""
        return {
            "settings": self._settings,
            "told": self._told,
            "scored": sorted(self._scored),
            "judged": self._judged,
            "rungs": self._rungs.to_json(),
            "cost_pruner": self._cost_pruner.to_json(),
            "by_costs": [decision.to_json() for decision in self.decisions.values() if decision.cause],
        }

    def restore_json(self, state: Mapping[str, Any], where: str) -> None:
        """Go on from what `to_json` gave.

        Args:
            state: that.
            where: its file, for the message.

        Raises:
            ConfigError: it is of a rule with other settings.
        """
        for name, value in self._settings.items():
            if state["settings"][name] != value:
                was = state["settings"][name]
                raise ConfigError([f"{where}: was kept with {name} {was!r}, the scheduler now has {value!r}"])
        self._told, self._judged, self._scored = dict(state["told"]), dict(state["judged"]), set(state["scored"])
        self._rungs.restore_json(state["rungs"])
        self._cost_pruner.restore_json(state["cost_pruner"])
        # Others may hold on to this mapping.
        self.decisions.clear()
        self.decisions.update(self._rungs.stopped)
        self.decisions.update({each["trial"]: Decision.from_json(each) for each in state["by_costs"]})

    def _by_costs(self, trial: str, resource: float, values: Metrics) -> Decision | None:
        now = [resource, len(values)]
        if now <= self._judged.get(trial, []):
            return None  # It tells this again, when others may have finished that had not then.
        self._judged[trial] = now
        return self._cost_pruner.judge(trial, resource, values, has_scores=trial in self._scored)

    def _by_rank(self, trial: str, resource: float, values: Metrics, decided: Decision | None) -> Decision | None:
        losses, violation = self._axes.losses(values), self._violation_so_far(values)
        if decided is not None:
            # Others are compared with all that reached a rung.
            self._rungs.note(trial, resource, losses, violation)
            return decided
        decision = self._rungs.report(trial, resource, losses, violation)
        self.has_news = self.has_news or decision.rung is not None
        return decision if decision.stop else None

    def _violation_so_far(self, values: Metrics) -> float:
        """Return by how much a trial exceeds the constraints on costs, and on metrics of which nothing is known."""
        return self._axes.violation(values, still_open=self._still_open)

    def _keep(self, trial: str, values: Mapping[str, float]) -> None:
        """Keep what a result tells for later ones that lack it."""
        if not self._axes.has_all(values):
            values = self._told[trial] = self._all_told(trial, values)
            self.has_news = True
        if trial not in self._scored and self._axes.has_all(values):
            self._scored.add(trial)
            self.has_news = True

    def _all_told(self, trial: str, values: Mapping[str, float]) -> dict[str, float]:
        return {**self._told.get(trial, {}), **values}

    def _warn_of_missing(self, trial: str, values: Metrics) -> None:
        """Say once that a trial is at a rung and cannot be compared there."""
        if not self._warned:
            missing = ", ".join(name for name in self._axes.names if name not in values)
            _log.warning("trial %s is at a rung and has not reported %s yet: nothing is compared", trial, missing)
        self._warned = True
