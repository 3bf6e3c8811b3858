"""Feedback to a searcher about a trial: live, on a resume and from earlier sweeps alike."""

import math

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.events import StopKind
from mtbert_ray.metrics import Metrics, Objectives, known_metrics
from mtbert_ray.pareto.objectives import constraint_violation, to_losses
from mtbert_ray.study.pruning.cost_pruner import CostPruner
from mtbert_ray.study.search.base import Searcher
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.trial import Trial

_FOR_COSTS: tuple[StopKind, ...] = ("probe", "constraint")
"""Kinds of stops that may have been for what a trial would cost."""


class Feedback:
    """Translates the state of trials into `tell` and its siblings.

    Args:
        searcher: gets the feedback.
        space: what is searched; what is known of its metrics, and how far off projected costs may be.
        objectives: as resolved for this cluster.
    """

    def __init__(self, searcher: Searcher, space: SearchSpace, objectives: Objectives) -> None:
        self._searcher = searcher
        self._objectives = dict(objectives)
        self._costs = CostPruner(objectives, metrics=known_metrics(space.tasks), margin=space.probe.margin)

    def epoch(self, key: int, trial: Trial, place: int) -> None:
        """Tell how a trial stood after one of its `epochs`, the last one too: it may not be the last of others."""
        self._searcher.tell_intermediate(key, trial.epoch_at(place), *self._result(trial.projection_after(place + 1)))

    def end(self, key: int, trial: Trial) -> None:
        """Tell how a trial ended: with its result, as failed, or as stopped.

        One that finished without a value for every objective failed. One that was stopped for its costs, or ran out of
        memory, is infeasible. A score that falls short of a constraint may still have reached it, and one that is
        dominated on cost breaks none: both count as stopped, as one that still runs does.
        """
        if trial.status == "finished":
            self._searcher.tell(key, *self._result(trial.metrics))
        elif trial.status == "failed":
            self._searcher.tell(key, None)
        elif (violation := self._violation(trial)) > 0:
            self._searcher.tell(key, None, violation)
        else:
            self._searcher.tell_stopped(key)

    def _violation(self, trial: Trial) -> float:
        """Return how far a stopped trial's costs alone rule it out, whatever others reached; 0 if they do not."""
        if trial.stop_kind == "memory":
            return math.inf
        if trial.stop_kind not in _FOR_COSTS:
            return 0.0
        done = trial.num_done
        decision = self._costs.prune(trial.trial_id, done, trial.projection, has_scores=done > 0)
        return 0.0 if decision is None else decision.violation

    def _result(self, metrics: Metrics) -> tuple[NDArray[np.float64] | None, float]:
        losses = to_losses(metrics, self._objectives)
        return losses, 0.0 if losses is None else constraint_violation(metrics, self._objectives)
