"""Orders trials from best to worst on several losses and a constraint: the one order that halving and breeding share.

Everything is minimized. Knows nothing of metrics, rungs or searchers.
"""

from typing import Literal

import moocore
import numpy as np
from numpy.typing import NDArray

from mtbert_ray.pareto.front import pareto_ranks

# N points, M objectives, F points of one front

Order = Literal["rank", "epsilon_net", "hypervolume"]
"""How feasible points are ordered: by the front they are on, alone or with the points of a front spread out."""


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
        num_ordered: so many of the best are told apart by `order`, the rest by their fronts only, which takes less
            time; None for all.
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
        told_apart = num_ordered is None or before < num_ordered
        result_N[of_rank_N] = before + (place_of(scaled_NM[of_rank_N]) if told_apart else 0)
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
    range_M = np.ptp(losses_NM, axis=0)
    scaled: NDArray[np.float64] = (losses_NM - losses_NM.min(axis=0)) / np.where(range_M > 0, range_M, 1.0)
    return scaled
