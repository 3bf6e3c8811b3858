"""The knee of a front, where it bends: a member far below what the ends of the front would have one pay in between."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.pareto.front import checked_losses

# N points, F points of one front, M objectives, E ends

Floats = NDArray[np.float64]

MIN_DEPTH = 0.1
"""A knee lies at least so far below the ends, as a share of the way to the best of all: less is a straight front."""


def knee(losses_FM: Floats) -> int | None:
    """Return the index of the front's knee, or None where the front does not bend.

    It is the deepest member by `depths`, if that is `MIN_DEPTH` and more. A straight front has none, nor have fewer
    than three points, nor two ends alone. A tie goes to the better first objective, then the second, and so on.

    Args:
        losses_FM: the losses of the front's points, all of them mutually non-dominated.

    Raises:
        ValueError: the losses are not a finite `(F, M)` array.
    """
    losses_FM = checked_losses(losses_FM)
    ends = ends_of(losses_FM)
    if len(losses_FM) < 3 or len(ends) < 2:
        return None
    # Rounding makes a tie of depths that differ only in their last bits.
    depths_F = depths(losses_FM, ends).round(9)
    deepest = int(np.lexsort((*losses_FM.T[::-1], -depths_F))[0])
    return deepest if depths_F[deepest] >= MIN_DEPTH else None


def ends_of(losses_FM: Floats) -> list[int]:
    """Return the indices of the members that are the best in some loss; of equals the better one in the others."""
    if len(losses_FM) == 0:
        return []
    best = (np.lexsort((*losses_FM.T[::-1], column_F))[0] for column_F in losses_FM.T)
    return list(dict.fromkeys(int(index) for index in best))


def depths(losses_NM: Floats, ends: Sequence[int]) -> Floats:
    """Return how far below the ends points lie (N,): 0 at the ends, 1 where every loss is the best that an end has.

    Each loss is scaled to 0..1 over the ends, and the depth is measured from the plane through them (Das 1999), of two
    objectives the line. Fewer ends than objectives leave the plane open: it is taken to be as flat as possible. All
    depths are 0 where a plane would have one pay for nothing.
    """
    ends_EM = losses_NM[list(ends)]
    lowest_M, range_M = ends_EM.min(axis=0), np.ptp(ends_EM, axis=0)
    scaled_NM = (losses_NM - lowest_M) / np.where(range_M > 0, range_M, 1.0) * (range_M > 0)
    normal_M = np.linalg.pinv(scaled_NM[list(ends)]) @ np.ones(len(ends))
    if (normal_M < -1e-9).any() or not normal_M.any():
        return np.zeros(len(losses_NM))
    return np.asarray(1 - scaled_NM @ normal_M)
