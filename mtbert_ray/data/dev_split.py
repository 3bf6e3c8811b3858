"""Which training rows are dev rows, where a source has none: a seeded share of each class, or of each range of labels.

The same labels, share and seed give the same rows.
"""

import math

import numpy as np

from mtbert_ray.task_source import DevSplit

NUM_BINS = 10
"""Equally filled ranges of a regression's labels, each of which gives its share; fewer where there are few dev rows."""


def dev_rows(labels: np.ndarray, split: DevSplit, *, is_regression: bool) -> np.ndarray:
    """Return the positions of the dev rows, rising.

    Each class gives its share, rounded so that the whole comes out right, and keeps at least one training row, so the
    only row of its class is never a dev row. Of a regression at least one row of all is kept.

    Args:
        labels: (N,) of all rows.
        split: share and seed.
        is_regression: whether labels are numbers, which are stratified by their quantiles.
    """
    num_wanted = round(split.dev * len(labels))
    if is_regression:
        num_wanted = min(num_wanted, len(labels) - 1)
    strata = _quantile_bins(labels, min(NUM_BINS, max(1, num_wanted))) if is_regression else labels
    rng = np.random.default_rng(split.seed)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    sizes = [len(rows) for rows in members]
    largest = sizes if is_regression else [size - 1 for size in sizes]
    counts = _apportioned(sizes, largest, split.dev, num_wanted)
    drawn = [rng.permutation(rows)[:count] for rows, count in zip(members, counts, strict=True)]
    return np.sort(np.concatenate(drawn)) if drawn else np.array([], dtype=np.int64)


def _quantile_bins(labels: np.ndarray, num_bins: int) -> np.ndarray:
    """Return a bin for each label, (N,), all equally filled; rows of one label may be in two bins."""
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[np.argsort(labels, kind="stable")] = np.arange(len(labels))
    bins: np.ndarray = ranks * num_bins // max(1, len(labels))
    return bins


def _apportioned(sizes: list[int], largest: list[int], share: float, num_wanted: int) -> list[int]:
    """Share the dev rows out by the largest remainders; a stratum gives its `largest` count at most."""
    shares = [round(share * size, 9) for size in sizes]  # 0.29 * 100 is 28.999999999999996.
    counts = [min(math.floor(wanted), most) for wanted, most in zip(shares, largest, strict=True)]
    for index in sorted(range(len(sizes)), key=lambda index: (counts[index] - shares[index], index)):
        if sum(counts) < num_wanted and counts[index] < min(shares[index], largest[index]):
            counts[index] += 1
    return counts
