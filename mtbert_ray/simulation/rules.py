"""The stopping rules by name: none, ours, and those that it is measured against. Knows nothing of trials or clocks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import Metric, Objectives
from mtbert_ray.simulation.clock import Report, StoppingRule
from mtbert_ray.study.pruning.axes import Axes
from mtbert_ray.study.pruning.pareto_pruner import ParetoPruner
from mtbert_ray.study.pruning.rungs import HalvingConfig, Rungs

ASHA = HalvingConfig(grace_period=1, keep_quantile=1 / 3)
"""Successive halving as published (Li et al. 2020): the best third goes on."""
EPSILON_NET = HalvingConfig(grace_period=1, keep_quantile=1 / 3, order="epsilon_net", spare_front=False)
"""Multi-objective ASHA as published (Salinas et al. 2021)."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What it takes to judge costs as the scheduler of a sweep does."""

    objectives: Objectives
    metrics: Mapping[str, Metric]
    """What the trials report, the scores of their tasks among it."""
    margin: float
    """By which a projection must be beyond its bound; `probe.margin` of the sweep."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule that can be started anew for each simulated sweep."""

    name: str
    halving: HalvingConfig | None
    """None lets every trial run to its end."""
    only: int | None = None
    """The place of the only objective that it looks at; None looks at all."""
    costs: Costs | None = None
    """None judges ranks only."""

    def start(self, *, seed: int, max_epochs: int) -> StoppingRule | None:
        """Return the rule without any results."""
        if self.halving is None:
            return None
        halving = self.halving.model_copy(update={"seed": self.halving.seed + seed})
        if self.costs is not None:
            return AsInASweep(self.costs, halving, max_epochs)
        return ByRank(Rungs(halving, max_epochs), only=self.only)

    def levels(self, max_epochs: int) -> tuple[int, ...]:
        """Return the rungs."""
        return () if self.halving is None else Rungs(self.halving, max_epochs).levels


class ByRank:
    """Rungs alone.

    Args:
        rungs: without results.
        only: the place of the one loss that they are shown; None shows all. Constraints stay what they are.
    """

    def __init__(self, rungs: Rungs, *, only: int | None = None) -> None:
        self._rungs = rungs
        self._shown = slice(None) if only is None else slice(only, only + 1)

    def stops(self, report: Report) -> bool:
        """Decide at the rungs."""
        return self._rungs.report(report.trial, report.epoch, self._losses(report), report.violation).stop

    def excess(self, trial: str) -> float:
        """Return 0: nothing is stopped for its costs."""
        return 0.0

    def finish(self, report: Report) -> None:
        """Let others be compared with it."""
        self._rungs.note(report.trial, report.epoch, self._losses(report), report.violation)

    def _losses(self, report: Report) -> NDArray[np.float64] | None:
        return None if report.losses is None else report.losses[self._shown]


class AsInASweep:
    """The rule of `scheduler: pareto`: costs, then ranks. Reads the metrics of reports, not their losses.

    Args:
        costs: the axes, and how costs are judged.
        halving: the rule at rungs.
        max_epochs: of a full run.
    """

    def __init__(self, costs: Costs, halving: HalvingConfig, max_epochs: int) -> None:
        self._axes = Axes.of(costs.objectives, {})
        self._rule = ParetoPruner(self._axes, max_epochs, halving=halving, metrics=costs.metrics, margin=costs.margin)

    def stops(self, report: Report) -> bool:
        """Decide after each epoch."""
        return self._rule.judge(report.trial, report.epoch, self._values(report)) is not None

    def excess(self, trial: str) -> float:
        """Return what the decision says of costs."""
        decision = self._rule.decisions[trial]
        return decision.violation if decision.kind == "constraint" else 0.0

    def finish(self, report: Report) -> None:
        """Let others be compared with it."""
        self._rule.end(report.trial, report.epoch, self._values(report), by_itself=True)

    def _values(self, report: Report) -> dict[str, float]:
        assert report.metrics is not None, "costs are judged where trials have metrics"
        return self._axes.values_in(report.metrics)


def rules_of(objectives: Objectives, pareto: HalvingConfig, costs: Costs | None = None) -> dict[str, Rule]:
    """Return name -> rule.

    Args:
        objectives: of the problem.
        pareto: how `pareto` is to halve.
        costs: how it judges costs as well, for which trials must have metrics; None for ranks alone.
    """
    rules = [
        Rule(name="fifo", halving=None),
        Rule(name="pareto", halving=pareto, costs=costs),
        Rule(name="epsilon_net", halving=EPSILON_NET),
        *(Rule(name=f"asha:{name}", halving=ASHA, only=place) for place, name in enumerate(objectives)),
    ]
    return {rule.name: rule for rule in rules}
