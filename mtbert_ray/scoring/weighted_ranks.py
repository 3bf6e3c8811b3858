"""Ranks, and the area under the ROC curve, of rows that count several times each; and their gradients.

A row's rank is the weight of the rows below it and half of that of its ties, itself among them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# R rows, B draws

Floats = NDArray[np.float64]


def ranks(values_R: NDArray[Any], counts_RB: NDArray[Any]) -> Floats:
    """Return the ranks (R, B) of values, each of which stands there as often as it counts in a draw."""
    order, first, last = _ties(values_R)
    # One row of zeros in front: what lies below the lowest.
    below = np.concatenate(
        [np.zeros((1, counts_RB.shape[1])), np.cumsum(counts_RB[order], axis=0, dtype=np.float64)], axis=0
    )
    return np.asarray((below[first] + below[last]) / 2)


def auroc(scores_R: NDArray[Any], is_positive_R: NDArray[np.bool_], counts_RB: NDArray[Any]) -> Floats:
    """Return the area (B,): the chance that a positive row has a higher score than a negative one; ties are halves."""
    negatives_RB = np.where(is_positive_R[:, None], 0, counts_RB)
    positives_RB = counts_RB[is_positive_R]
    below = ranks(scores_R, negatives_RB)[is_positive_R]
    pairs = positives_RB.sum(axis=0, dtype=np.float64) * negatives_RB.sum(axis=0, dtype=np.float64)
    return np.asarray((positives_RB * below).sum(axis=0) / pairs)


def auroc_gradient(scores_R: NDArray[Any], is_positive_R: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Return the area, and its derivatives (R,) in the rows' counts (DeLong et al. 1988: the placements)."""
    positive = is_positive_R.astype(np.float64)
    num_positive, num_negative = positive.sum(), (1 - positive).sum()
    negatives_below = _below(scores_R, 1 - positive) / num_negative
    positives_above = 1 - _below(scores_R, positive) / num_positive
    area = float(negatives_below[is_positive_R].mean())
    return area, np.where(
        is_positive_R, (negatives_below - area) / num_positive, (positives_above - area) / num_negative
    )


def spearman_gradient(x_R: NDArray[Any], y_R: NDArray[Any]) -> tuple[float, Floats]:
    """Return the rank correlation, and its derivatives (R,) in the rows' counts.

    One more copy of a row adds its own term, and lifts the ranks of all rows above it.
    """
    num_rows = len(x_R)
    r_R, s_R = (_below(values, np.ones(num_rows)) / num_rows for values in (x_R, y_R))
    r_R, s_R = r_R - r_R.mean(), s_R - s_R.mean()
    # The sum over the rows above a row is minus that over the rows below it: ranks are 0 in the mean.
    covariance_R = r_R * s_R - (_below(x_R, s_R) + _below(y_R, r_R)) / num_rows
    r_spread_R = r_R**2 - 2 * _below(x_R, r_R) / num_rows
    s_spread_R = s_R**2 - 2 * _below(y_R, s_R) / num_rows
    r_spread, s_spread = (r_R**2).sum(), (s_R**2).sum()
    size = np.sqrt(r_spread * s_spread)
    value = (r_R * s_R).sum() / size
    change = covariance_R / size - value / 2 * (r_spread_R / r_spread + s_spread_R / s_spread)
    return float(value), change


def _below(values_R: NDArray[Any], weights_R: Floats) -> Floats:
    """Return for each row the weight (R,) of those below it, and half of that of its ties."""
    return ranks(values_R, weights_R[:, None])[:, 0]


def _ties(values_R: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of rows, and for each row how many are below it, and how many are not above it."""
    order = np.argsort(values_R, kind="stable")
    in_order = values_R[order]
    return order, np.searchsorted(in_order, values_R, "left"), np.searchsorted(in_order, values_R, "right")
