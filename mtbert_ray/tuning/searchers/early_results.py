"""What trials have reached so far, and what each would probably reach at its end.

Everything is minimised. Knows nothing of search spaces or of algorithms.
"""

import math

import numpy as np
from numpy.typing import NDArray

# M objectives, N trials

FULL = math.inf
"""The resource of a full run, whatever its length."""


class EarlyResults:
    """Results by trial and resource; a trial may have been stopped anywhere."""

    def __init__(self) -> None:
        self._losses: dict[float, dict[int, NDArray[np.float64]]] = {}
        self._violation: dict[int, float] = {}

    def add(self, key: int, resource: float, losses: NDArray[np.float64], violation: float) -> None:
        """Keep a result; at the same resource the newest counts."""
        self._losses.setdefault(resource, {})[key] = np.array(losses, dtype=np.float64)
        self._violation[key] = violation

    def __len__(self) -> int:
        """Return how many trials have results."""
        return len(self._violation)

    def __contains__(self, key: int) -> bool:
        """Whether a trial has results."""
        return key in self._violation

    def extrapolated(self) -> tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.float64]]:
        """Return the keys, what each would reach with the most training seen `(N, M)`, and the violations `(N,)`.

        From one resource to the next, a trial is taken to change as the median of those that have been at both. So
        early results are never taken for what they are not, and none is dropped.
        """
        resources = sorted(self._losses)
        still_to_come: NDArray[np.float64] | float = 0.0
        reached: dict[int, NDArray[np.float64]] = {}
        for place in range(len(resources) - 1, -1, -1):
            here = self._losses[resources[place]]
            if place + 1 < len(resources):
                later = self._losses[resources[place + 1]]
                changes = [losses - here[key] for key, losses in later.items() if key in here]
                if changes:
                    still_to_come = still_to_come + np.median(changes, axis=0)
            for key, losses in here.items():
                if key not in reached:  # Its furthest result.
                    reached[key] = losses + still_to_come
        keys = tuple(sorted(reached))
        return keys, np.array([reached[key] for key in keys]), np.array([self._violation[key] for key in keys])
