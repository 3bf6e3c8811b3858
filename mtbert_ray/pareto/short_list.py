"""The front without its hair-thin members: those that no tolerance tells from a cheaper or a better one."""

import numpy as np
from numpy.typing import NDArray

# F points of one front, M objectives


def as_good_as(losses_FM: NDArray[np.float64], tolerances_M: NDArray[np.float64]) -> dict[int, int]:
    """Return member -> another member of the front than which it is no better by more than the tolerance in any loss.

    That is additive epsilon dominance (Laumanns et al. 2002). Those that are named as the other one stay: each member
    of the front is in the short list, or as good as one that is. The member with the thinnest advantage goes first, of
    equal ones the worse in the first loss.
    """
    replaced: dict[int, int] = {}
    if len(losses_FM) == 0:
        return replaced
    over_FF = _advantages(losses_FM, tolerances_M)
    for member in map(int, np.lexsort((-losses_FM[:, 0], over_FF.min(axis=1)))):
        if member in replaced.values():
            continue
        others = np.array([other != member and other not in replaced for other in range(len(losses_FM))])
        thinnest = np.where(others, over_FF[member], np.inf)
        if others.any() and thinnest.min() <= 1:
            replaced[member] = int(thinnest.argmin())
    return replaced


def _advantages(losses_FM: NDArray[np.float64], tolerances_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (F, F): the largest advantage of each member over each other, in tolerances."""
    better_FFM = losses_FM[None, :, :] - losses_FM[:, None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        in_tolerances = better_FFM / tolerances_M
    in_tolerances = np.where(better_FFM == 0, 0.0, in_tolerances)
    over_FF = in_tolerances.max(axis=2)
    np.fill_diagonal(over_FF, np.inf)
    return np.asarray(over_FF)
