"""The hypervolume of a set of losses: how much of the space up to a reference point it dominates.

Everything is minimised. The volume itself comes from moocore (Fonseca, Paquete and López-Ibáñez 2006). Knows
nothing of metrics, trials or directions.
"""

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
