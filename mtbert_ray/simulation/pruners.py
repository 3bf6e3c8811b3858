"""Pruners by name: none, this package's, and its baselines."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import Metric, Metrics, Objectives
from mtbert_ray.pareto.objectives import constraint_violation, to_losses
from mtbert_ray.study.pruning.axes import Axes
from mtbert_ray.study.pruning.decision import Decision, Pruner
from mtbert_ray.study.pruning.pareto_pruner import ParetoPruner
from mtbert_ray.study.pruning.rungs import HalvingConfig, Rungs

ASHA = HalvingConfig(grace_period=1, keep_quantile=1 / 3)
"""Successive halving as published (Li et al. 2020): the best third continues."""
EPSILON_NET = HalvingConfig(grace_period=1, keep_quantile=1 / 3, order="epsilon_net", spare_front=False)
"""Multi-objective ASHA as published (Salinas et al. 2021)."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """How to prune by cost as a sweep does; see CostPruner."""

    metrics: Mapping[str, Metric]
    margin: float


@dataclass(frozen=True, kw_only=True)
class NamedPruner:
    """A factory of a pruner."""

    name: str
    objectives: Objectives
    halving: HalvingConfig | None
    """None for no pruner."""
    only: str | None = None
    """The one objective that it reads; None reads all."""
    costs: Costs | None = None
    """None prunes at rungs only."""

    def start(self, *, seed: int, max_epochs: int) -> Pruner | None:
        """Return the pruner without any results."""
        if self.halving is None:
            return None
        halving = self.halving.model_copy(update={"seed": self.halving.seed + seed})
        if self.costs is None:
            return _RungPruner(Rungs(halving, max_epochs), self.objectives, only=self.only)
        metrics, margin = self.costs.metrics, self.costs.margin
        return ParetoPruner(Axes.of(self.objectives, {}), max_epochs, halving=halving, metrics=metrics, margin=margin)

    def levels(self, max_epochs: int) -> tuple[int, ...]:
        """Return the rungs."""
        return () if self.halving is None else Rungs(self.halving, max_epochs).levels


class _RungPruner:
    """Rungs alone, on all objectives or `only` on one; constraints count either way."""

    def __init__(self, rungs: Rungs, objectives: Objectives, *, only: str | None = None) -> None:
        self._rungs = rungs
        self._objectives = objectives
        self._shown = objectives if only is None else {only: objectives[only]}

    @property
    def decisions(self) -> Mapping[str, Decision]:
        return self._rungs.stopped

    def prune(self, trial: str, resource: float, metrics: Metrics) -> Decision | None:
        decision = self._rungs.report(trial, resource, *self._result(metrics))
        return decision if decision.stop else None

    def end(self, trial: str, resource: float, metrics: Metrics, *, finished: bool) -> None:
        if trial not in self._rungs.stopped:
            self._rungs.note(trial, resource, *self._result(metrics))

    def overrule(self, trial: str) -> None:
        self._rungs.overrule(trial)

    def forget(self, trial: str) -> None:
        self._rungs.forget(trial)

    def _result(self, metrics: Metrics) -> tuple[NDArray[np.float64] | None, float]:
        if to_losses(metrics, self._objectives) is None:
            return None, 0.0
        return to_losses(metrics, self._shown), constraint_violation(metrics, self._objectives)


def pruners_of(objectives: Objectives, pareto: HalvingConfig, costs: Costs | None = None) -> dict[str, NamedPruner]:
    """Return name -> pruner; `pareto` and `costs` configure the one called pareto."""
    pruners = [
        NamedPruner(name="fifo", objectives=objectives, halving=None),
        NamedPruner(name="pareto", objectives=objectives, halving=pareto, costs=costs),
        NamedPruner(name="epsilon_net", objectives=objectives, halving=EPSILON_NET),
        *(NamedPruner(name=f"asha:{name}", objectives=objectives, halving=ASHA, only=name) for name in objectives),
    ]
    return {pruner.name: pruner for pruner in pruners}
