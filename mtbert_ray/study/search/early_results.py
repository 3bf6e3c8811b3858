"""Intermediate results of trials, and their extrapolation to a full run. Everything is minimized."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import Objectives
from mtbert_ray.pareto.objectives import violation_of_losses

# M objectives, N trials

FULL = math.inf
"""The resource of a full run of any length."""


class EarlyResults:
    """Results by trial and resource.

    With constrained objectives, in the order of the losses, violations are extrapolated too: a score that falls short
    of its constraint early need not at the end.
    """

    def __init__(self, objectives: Objectives | None = None) -> None:
        objectives = objectives or {}
        self._constrained = dict(objectives) if any(axis.constraint is not None for axis in objectives.values()) else {}
        self._losses: dict[float, dict[int, NDArray[np.float64]]] = {}
        self._violation: dict[int, float] = {}
        self._settled: set[int] = set()
        """Trials whose violation does not change with their losses."""

    def add(self, key: int, resource: float, losses: NDArray[np.float64], violation: float) -> None:
        """Keep a result; at the same resource the newest counts."""
        self._losses.setdefault(resource, {})[key] = np.array(losses, dtype=np.float64)
        self._violation[key] = violation

    def set_violation(self, key: int, violation: float) -> None:
        """Fix how far a trial with results exceeds the constraints; it is no longer extrapolated."""
        assert key in self, f"trial {key} has no results"
        self._violation[key] = violation
        self._settled.add(key)

    def discard(self, key: int) -> bool:
        """Drop all results of a trial and return whether it had any."""
        for losses in self._losses.values():
            losses.pop(key, None)
        self._losses = {resource: losses for resource, losses in self._losses.items() if losses}
        self._settled.discard(key)
        return self._violation.pop(key, None) is not None

    def __len__(self) -> int:
        """How many trials have results."""
        return len(self._violation)

    def __contains__(self, key: int) -> bool:
        """Whether a trial has results."""
        return key in self._violation

    def extrapolated(self) -> tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.float64]]:
        """Return the keys, and losses `(N, M)` and violations `(N,)` extrapolated to the largest resource seen.

        From one resource to the next, a trial is assumed to change as the median of those that were at both.
        """
        resources = sorted(self._losses)
        still_to_come: NDArray[np.float64] | float = 0.0
        reached: dict[int, NDArray[np.float64]] = {}
        violation: dict[int, float] = {}
        for place in range(len(resources) - 1, -1, -1):
            here = self._losses[resources[place]]
            if place + 1 < len(resources):
                change_M = self._change(resources[place], resources[place + 1])
                if change_M is not None:
                    still_to_come = still_to_come + change_M
            for key, losses in here.items():
                if key not in reached:  # Its furthest result.
                    reached[key] = losses + still_to_come
                    violation[key] = self._violation_then(key, losses, reached[key])
        keys = tuple(sorted(reached))
        return keys, np.array([reached[key] for key in keys]), np.array([violation[key] for key in keys])

    def at_the_end(self, key: int) -> tuple[NDArray[np.float64], float] | None:
        """Return a trial's losses `(M,)` and violation extrapolated to a full run.

        None where it has no results, or where no other trial spans some step between its last resource and a full run.
        """
        furthest = max((resource for resource, losses in self._losses.items() if key in losses), default=None)
        if furthest is None or FULL not in self._losses:
            return None
        ahead = [resource for resource in sorted(self._losses) if resource >= furthest]
        reported_M = losses_M = self._losses[furthest][key]
        for here, later in pairwise(ahead):
            change_M = self._change(here, later)
            if change_M is None:
                return None
            losses_M = losses_M + change_M
        return losses_M, self._violation_then(key, reported_M, losses_M)

    def _violation_then(self, key: int, reported_M: NDArray[np.float64], then_M: NDArray[np.float64]) -> float:
        if not self._constrained or key in self._settled:
            return self._violation[key]
        change = violation_of_losses(then_M, self._constrained) - violation_of_losses(reported_M, self._constrained)
        return max(0.0, self._violation[key] + change)

    def _change(self, resource: float, later: float) -> NDArray[np.float64] | None:
        """Return the median change `(M,)` of the trials that were at both; None where there is none."""
        here = self._losses[resource]
        changes = [losses - here[key] for key, losses in self._losses[later].items() if key in here]
        return np.asarray(np.median(changes, axis=0)) if changes else None
