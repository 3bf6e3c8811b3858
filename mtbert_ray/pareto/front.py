"""Pareto fronts of losses, all minimized: dominance, ranks, trade-offs, the hypervolume, one order of all.

Ranks and hypervolumes come from moocore (Fonseca, Paquete and López-Ibáñez 2006).
"""

from typing import Literal

import moocore
import numpy as np
from numpy.typing import NDArray

# N points, M objectives, F points of one front


def hypervolume(losses_NM: NDArray[np.float64], reference_M: NDArray[np.float64]) -> float:
    """Return the volume dominated by the points and bounded by the reference, in the product of the losses' units.

    No points have no volume. Points at or beyond the reference in some objective add nothing. A row with a NaN or
    an infinity is left out: +inf dominates nothing, and -inf is a broken measurement that must not make the volume
    infinite.

    Raises:
        ValueError: the reference is not finite, or does not have one coordinate an objective.
    """
    reference_M = np.asarray(reference_M, dtype=np.float64)
    if reference_M.ndim != 1 or len(reference_M) == 0 or not np.isfinite(reference_M).all():
        raise ValueError(f"the reference must be a point of finite coordinates, got {reference_M}")
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
    return np.array([hypervolume(losses_NM[: count + 1], reference_M) for count in range(len(losses_NM))])


def front_mask(losses_NM: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points `(N,)` no other point dominates; of equal points all or none.

    Raises:
        ValueError: the losses are not a finite `(N, M)` array.
    """
    losses_NM = checked_losses(losses_NM)
    if len(losses_NM) == 0:
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(losses_NM, keep_weakly=True), dtype=np.bool_)


def pareto_ranks(losses_NM: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the non-domination ranks `(N,)`: 0 on the front, 1 on the front of the rest, and so on (Deb et al. 2002).

    Equal points share a rank.

    Raises:
        ValueError: the losses are not a finite `(N, M)` array.
    """
    losses_NM = checked_losses(losses_NM)
    if len(losses_NM) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(losses_NM), dtype=np.int64)


def trade_offs(losses_NM: NDArray[np.float64]) -> list[dict[int, tuple[float, ...]]]:
    """Return for each point of a front: index of a point that is the best in some objective -> loss minus its loss.

    Only points that are better in that objective are compared with. Where several share an objective's best value, the
    other objectives decide, in order. Differences above 0 are given up, below 0 gained, one an objective.

    Args:
        losses_NM: the losses of the front's points, all of them mutually non-dominated.

    Raises:
        ValueError: the losses are not a finite `(N, M)` array.
    """
    losses_NM = checked_losses(losses_NM)
    if len(losses_NM) == 0:
        return []
    best_M = [int(np.lexsort((*losses_NM.T[::-1], column_N))[0]) for column_N in losses_NM.T]
    return [
        {
            best: tuple((point_M - losses_NM[best]).tolist())
            for objective, best in enumerate(best_M)
            if point_M[objective] > losses_NM[best, objective]
        }
        for point_M in losses_NM
    ]


Order = Literal["rank", "epsilon_net", "hypervolume"]
"""How feasible points are ordered: by their front alone, or with the points of each front ordered as well."""


def priorities(
    losses_NM: NDArray[np.float64],
    violations_N: NDArray[np.float64],
    order: Order = "rank",
    *,
    num_ordered: int | None = None,
) -> NDArray[np.float64]:
    """Return a number `(N,)` for each point, lower is better, all finite, to be compared within one call only.

    Feasible points come first, then infeasible ones by their violation, then points without finite losses or with
    a violation that is NaN; the last are all equal.

    With one objective a feasible point's priority is its loss. With several, `rank` gives the number of fronts that
    have to be removed before the point is on one (Deb et al. 2002), so that ties are common; `epsilon_net` and
    `hypervolume` break the ties within a front: by distance from the points taken before (Salinas et al. 2021), or by
    the volume that only this point dominates.

    Args:
        losses_NM: NaN or infinite where a trial has no value.
        violations_N: 0 is feasible.
        order: of feasible points with several objectives.
        num_ordered: how many of the best `order` applies to; the rest are ordered by their fronts only, which takes
            less time. None for all.
    """
    losses_NM = np.asarray(losses_NM, dtype=np.float64)
    violations_N = np.asarray(violations_N, dtype=np.float64)
    has_values_N = np.isfinite(losses_NM).all(axis=1) & ~np.isnan(violations_N)
    feasible_N = has_values_N & (violations_N <= 0)
    infeasible_N = has_values_N & ~feasible_N
    result_N = np.zeros(len(losses_NM))
    if feasible_N.any():
        result_N[feasible_N] = _order_feasible(losses_NM[feasible_N], order, num_ordered)
        worst = result_N[feasible_N].max()
    else:
        worst = 0.0
    levels, place = np.unique(violations_N[infeasible_N], return_inverse=True)
    # A single loss can be so large that 1 more would be the same number.
    step = max(1.0, 2 * float(np.spacing(abs(worst))))
    result_N[infeasible_N] = worst + step * (1 + place)
    result_N[~has_values_N] = worst + step * (1 + len(levels))
    return result_N


def dominates(
    losses_NM: NDArray[np.float64],
    violations_N: NDArray[np.float64],
    losses_M: NDArray[np.float64],
    violation: float,
) -> NDArray[np.bool_]:
    """Return which points `(N,)` dominate a point, constraints first (Deb et al. 2002, section VI).

    Between feasible points the losses decide, else the violations alone. A point without finite losses, or with a
    violation that is NaN, neither dominates nor is dominated.
    """
    if np.isnan(violation) or not np.isfinite(losses_M).all():
        return np.zeros(len(losses_NM), dtype=np.bool_)
    has_values_N = np.isfinite(losses_NM).all(axis=1) & ~np.isnan(violations_N)
    if violation > 0:
        return np.asarray(has_values_N & (violations_N < violation))
    nowhere_worse_N = (losses_NM <= losses_M).all(axis=1)
    return np.asarray(has_values_N & (violations_N <= 0) & nowhere_worse_N & (losses_NM < losses_M).any(axis=1))


def _order_feasible(losses_NM: NDArray[np.float64], order: Order, num_ordered: int | None) -> NDArray[np.float64]:
    if losses_NM.shape[1] == 1:
        return losses_NM[:, 0]
    ranks_N = pareto_ranks(losses_NM)
    if order == "rank":
        return ranks_N.astype(np.float64)
    place_of = _epsilon_net if order == "epsilon_net" else _by_contribution
    result_N = np.zeros(len(losses_NM))
    scaled_NM = _scaled(losses_NM)
    before = 0
    for rank in range(ranks_N.max() + 1):
        of_rank_N = ranks_N == rank
        is_ordered = num_ordered is None or before < num_ordered
        result_N[of_rank_N] = before + (place_of(scaled_NM[of_rank_N]) if is_ordered else 0)
        before += int(of_rank_N.sum())
    return result_N


def _epsilon_net(losses_FM: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the places `(F,)`: first the best in the first loss, then always the farthest from those taken."""
    places_F = np.zeros(len(losses_FM))
    chosen = int(np.lexsort(losses_FM.T[::-1])[0])
    gaps_F = np.full(len(losses_FM), np.inf)
    for place in range(len(losses_FM)):
        places_F[chosen] = place
        gaps_F = np.minimum(gaps_F, np.linalg.norm(losses_FM - losses_FM[chosen], axis=1))
        gaps_F[chosen] = -1.0
        chosen = int(gaps_F.argmax())
    return places_F


def _by_contribution(losses_FM: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the place `(F,)` of each point by the volume that it alone dominates, largest first."""
    reference_M = losses_FM.max(axis=0) + 0.1
    volumes_F = np.asarray(moocore.hv_contributions(losses_FM, ref=reference_M))
    return np.argsort(np.argsort(-volumes_F, kind="stable"), kind="stable").astype(np.float64)


def _scaled(losses_NM: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale each loss to 0..1 over the points' own range; one in which all agree is 0."""
    range_M = np.ptp(losses_NM, axis=0)
    scaled: NDArray[np.float64] = (losses_NM - losses_NM.min(axis=0)) / np.where(range_M > 0, range_M, 1.0)
    return scaled


def checked_losses(losses_NM: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return losses as floats; raises a ValueError where they are not a finite `(N, M)` array."""
    losses_NM = np.asarray(losses_NM, dtype=np.float64)
    if losses_NM.ndim != 2 or losses_NM.shape[1] == 0:
        raise ValueError(f"losses must have the shape (points, objectives), got {losses_NM.shape}")
    if not np.isfinite(losses_NM).all():
        raise ValueError("losses must be finite; leave out points that were not measured")
    return losses_NM
