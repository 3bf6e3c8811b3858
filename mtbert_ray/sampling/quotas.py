"""How many rows each topic gets, and which. Pure arithmetic: knows no text and no model."""

# N rows, T topics

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]


def quotas(shares: Sequence[float], num_rows: int) -> list[int]:
    """Share rows out by largest remainder (Hamilton's method), so that the quotas sum to `num_rows`.

    Args:
        shares: (T,) of each topic; they sum to 1, but for rounding.
        num_rows: to share out. Of equal remainders the first topic's counts as larger.
    """
    exact = np.asarray(shares, dtype=np.float64) / np.sum(shares) * num_rows
    # 0.29 * 100 is a little under 29: what is whole but for rounding must not be cut down.
    floors = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.argsort(floors - exact, kind="stable")
    floors[by_remainder[: num_rows - int(floors.sum())]] += 1
    return [int(quota) for quota in floors]


def likeliest(confidence_NT: FloatArray) -> IntArray:
    """Return the likeliest topic of each row, (N,); of equal ones the first."""
    topic_N: IntArray = np.argmax(confidence_NT, axis=1)
    return topic_N


def select(confidence_NT: FloatArray, quotas_T: Sequence[int]) -> list[IntArray]:
    """Return the rows that each topic keeps, the most confident first, equal ones in their order.

    A row belongs to its likeliest topic alone. A topic with fewer rows than its quota keeps them all, and no other
    topic fills the gap.

    Args:
        confidence_NT: how likely each topic is for each row.
        quotas_T: how many rows each topic keeps at most.
    """
    topic_N = likeliest(confidence_NT)
    kept = []
    for topic, quota in enumerate(quotas_T):
        rows = np.flatnonzero(topic_N == topic)
        order = np.argsort(-confidence_NT[rows, topic], kind="stable")
        kept.append(rows[order][:quota])
    return kept
