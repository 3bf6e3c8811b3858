"""The hypervolume of a set of losses: how much of the space up to a reference point it dominates.

Everything is minimized. The volume itself comes from moocore (Fonseca, Paquete and López-Ibáñez 2006). Knows
nothing of metrics, trials or directions.
"""

from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

# N points, M objectives


def hypervolume(losses_NM: NDArray[np.float64], reference_M: NDArray[np.float64]) -> float:
    """Return the volume dominated by the points and bounded by the reference, in the product of the losses' units.

    No points have no volume. Points at or beyond the reference in some objective add nothing. A row with a NaN or
    an infinity is left out: +inf dominates nothing, and -inf is a broken measurement that must not make the volume
    infinite.

    Raises:
        ValueError: the reference is not finite, or does not have one coordinate an objective.
    """
    reference_M = _checked_reference(reference_M)
    losses_NM = np.asarray(losses_NM, dtype=np.float64)
    if losses_NM.size == 0:
        return 0.0
    if losses_NM.ndim != 2 or losses_NM.shape[1] != len(reference_M):
        raise ValueError(f"losses of shape {losses_NM.shape} do not fit a reference of {len(reference_M)} coordinates")
    finite_NM = losses_NM[np.isfinite(losses_NM).all(axis=1)]
    return float(moocore.hypervolume(finite_NM, reference_M)) if len(finite_NM) else 0.0


def hypervolume_over_time(losses_NM: NDArray[np.float64], reference_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the hypervolume `(N,)` after each point, the points being in the order in which they arrived.

    Raises:
        ValueError: as `hypervolume`.
    """
    losses_NM = np.asarray(losses_NM, dtype=np.float64)
    return np.array([hypervolume(losses_NM[: count + 1], reference_M) for count in range(len(losses_NM))])


def _checked_reference(reference_M: NDArray[np.float64]) -> NDArray[np.float64]:
    reference_M = np.asarray(reference_M, dtype=np.float64)
    if reference_M.ndim != 1 or len(reference_M) == 0 or not np.isfinite(reference_M).all():
        raise ValueError(f"the reference must be a point of finite coordinates, got {reference_M}")
    return reference_M


# N points, M objectives


def front_mask(losses_NM: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points `(N,)` no other point dominates.

    A point dominates another when it is nowhere worse and somewhere better. Equal points do not dominate each
    other, so all copies of a point on the front are on it.

    Raises:
        ValueError: the losses are not a finite `(N, M)` array.
    """
    losses_NM = _checked(losses_NM)
    if len(losses_NM) == 0:
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(losses_NM, keep_weakly=True), dtype=np.bool_)


def pareto_ranks(losses_NM: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the non-domination ranks `(N,)`: 0 on the front, 1 on the front of the rest, and so on (Deb et al. 2002).

    Equal points share a rank.

    Raises:
        ValueError: the losses are not a finite `(N, M)` array.
    """
    losses_NM = _checked(losses_NM)
    if len(losses_NM) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(losses_NM), dtype=np.int64)


def knee(losses_NM: NDArray[np.float64]) -> int | None:
    """Return the index of the front's knee, or None for no points.

    Each loss is scaled to 0..1 over the front's own range; the knee is the point with the smallest sum (Chiu, Yen
    and Juan 2016, "Minimum Manhattan Distance"). With two objectives that is the point farthest below the line
    through the two extremes (Das 1999). A single point is its own knee. On a straight front, and between the two
    ends of a front of two, all sums are equal: the tie goes to the better first objective, then the second, and
    so on; equal points to the first of them.

    Args:
        losses_NM: the losses of the front's points, all of them mutually non-dominated.

    Raises:
        ValueError: the losses are not a finite `(N, M)` array.
    """
    losses_NM = _checked(losses_NM)
    if len(losses_NM) == 0:
        return None
    low_M, range_M = losses_NM.min(axis=0), np.ptp(losses_NM, axis=0)
    # An objective in which all agree cannot tell them apart: its scaled loss is 0 for everybody.
    scaled_NM = (losses_NM - low_M) / np.where(range_M > 0, range_M, 1.0)
    # Rounding makes a tie of sums that differ only in their last bits.
    sums_N = scaled_NM.sum(axis=1).round(9)
    return int(np.lexsort((*losses_NM.T[::-1], sums_N))[0])


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """What a point of the front gives up against the one that is best in some objective, and what it has for it."""

    objective: int
    """The objective that is given up on."""
    best: int
    """Index of the point that is best in it."""
    differences: tuple[float, ...]
    """Loss minus that point's loss, per objective: above 0 is given up, below 0 is gained."""


def trade_offs(losses_NM: NDArray[np.float64]) -> list[list[TradeOff]]:
    """Return for each point of a front one TradeOff per objective in which it is not the best.

    Where several points share an objective's best value, the one that is best in the other objectives, taken in
    order, stands for them.

    Args:
        losses_NM: the losses of the front's points, all of them mutually non-dominated.

    Raises:
        ValueError: the losses are not a finite `(N, M)` array.
    """
    losses_NM = _checked(losses_NM)
    if len(losses_NM) == 0:
        return []
    best_M = [int(np.lexsort((*losses_NM.T[::-1], column_N))[0]) for column_N in losses_NM.T]
    return [
        [
            TradeOff(objective=objective, best=best, differences=tuple((point_M - losses_NM[best]).tolist()))
            for objective, best in enumerate(best_M)
            if point_M[objective] > losses_NM[best, objective]
        ]
        for point_M in losses_NM
    ]


def _checked(losses_NM: NDArray[np.float64]) -> NDArray[np.float64]:
    losses_NM = np.asarray(losses_NM, dtype=np.float64)
    if losses_NM.ndim != 2 or losses_NM.shape[1] == 0:
        raise ValueError(f"losses must have the shape (points, objectives), got {losses_NM.shape}")
    if not np.isfinite(losses_NM).all():
        raise ValueError("losses must be finite; leave out points that were not measured")
    return losses_NM
