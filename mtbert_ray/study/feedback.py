"""Translates what becomes of a trial into what a searcher is told: while it runs, and later from its journal.

Knows nothing of Ray, of journals or of algorithms.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.events import StopKind
from mtbert_ray.metrics import Metrics, Objectives, known_metrics
from mtbert_ray.pareto.objectives import constraint_violation, to_losses
from mtbert_ray.study.pruning.cost_pruner import CostPruner
from mtbert_ray.study.search.base import Searcher
from mtbert_ray.study.space.model import SearchSpace

_FOR_COSTS: tuple[StopKind | None, ...] = ("probe", "constraint", None)
"""Kinds of stops that may have been for what a trial would cost."""


class Telling:
    """Tells a searcher of trials; metrics are always what a trial would come to as it looked then.

    Args:
        space: what is searched; what is known of its metrics, and how far off projected costs may be.
        objectives: as resolved for this cluster.
    """

    def __init__(self, space: SearchSpace, objectives: Objectives) -> None:
        self._objectives = dict(objectives)
        self._costs = CostPruner(objectives, metrics=known_metrics(space.tasks), margin=space.probe.margin)

    def epoch(self, searcher: Searcher, key: int, done: int, metrics: Metrics) -> None:
        """Tell how a trial stands after an epoch, the last one too: it may not be the last of others."""
        searcher.tell_intermediate(key, done, *self._result(metrics))

    def finished(self, searcher: Searcher, key: int, metrics: Metrics) -> None:
        """Tell what a trial that ran to its end reached; without a value for every objective it failed."""
        searcher.tell(key, *self._result(metrics))

    def failed(self, searcher: Searcher, key: int) -> None:
        """Tell that a trial crashed."""
        searcher.tell(key, None)

    def stopped(self, searcher: Searcher, key: int, done: int, metrics: Metrics, kind: StopKind | None) -> None:
        """Tell that a trial was ended early: as infeasible if it was for its costs or for memory, else as stopped.

        A score that falls short of a constraint may still have reached it, and one that others outdo breaks none.

        Args:
            searcher: that is told.
            key: the trial's.
            done: its epochs; 0 at the probe.
            metrics: after them, or what its probe told.
            kind: what ended it; None where nobody knows, and its costs decide.
        """
        violation = math.inf if kind == "memory" else self._excess(done, metrics) if kind in _FOR_COSTS else 0.0
        if violation > 0:
            searcher.tell(key, None, violation)
        else:
            searcher.tell_stopped(key)

    def _excess(self, done: int, metrics: Metrics) -> float:
        """Return how far a trial's costs alone rule it out, whatever others reached; 0 if they do not."""
        decision = self._costs.judge("", done, metrics, has_scores=done > 0)
        return 0.0 if decision is None else decision.violation

    def _result(self, metrics: Metrics) -> tuple[NDArray[np.float64] | None, float]:
        losses = to_losses(metrics, self._objectives)
        return losses, 0.0 if losses is None else constraint_violation(metrics, self._objectives)
