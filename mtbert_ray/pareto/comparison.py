"""The finished trials of a sweep beside each other: their losses, which are feasible, and the front of these."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.metrics import Objectives
from mtbert_ray.pareto.front import front_mask
from mtbert_ray.pareto.objectives import is_feasible, to_losses
from mtbert_ray.trial import Trial

# N compared trials, M objectives, F trials on the front


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Finished trials with a finite value for every objective, in the order in which they ended."""

    compared: tuple[Trial, ...]
    losses: NDArray[np.float64]
    """`(N, M)`: all minimized."""
    feasible: NDArray[np.bool_]
    """`(N,)`: which of them meet every constraint."""
    on_front: NDArray[np.bool_]
    """`(N,)`: which feasible ones no other feasible one dominates."""
    order: NDArray[np.intp]
    """`(F,)`: the places of those on the front, the best in the first objective first."""

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials on the front, the best in the first objective first."""
        return tuple(self.compared[place] for place in self.order)


def compare(trials: Iterable[Trial], objectives: Objectives) -> Comparison:
    """Compare the finished ones of some trials; without objectives none can be."""
    finished = sorted((trial for trial in trials if trial.status == "finished"), key=lambda t: t.ended or 0.0)
    measured = [
        (trial, metrics, losses)
        for trial in finished
        if objectives and (losses := to_losses(metrics := trial.metrics, objectives)) is not None
    ]
    losses_NM = np.array([losses for *_, losses in measured], dtype=np.float64).reshape(len(measured), len(objectives))
    feasible_N = np.array([is_feasible(metrics, objectives) for _, metrics, _ in measured], dtype=np.bool_)
    on_front_N = np.zeros(len(measured), dtype=np.bool_)
    if feasible_N.any():
        on_front_N[feasible_N] = front_mask(losses_NM[feasible_N])
    members = np.flatnonzero(on_front_N)
    order = members[np.lexsort(losses_NM[members].T[::-1])] if len(members) else members
    return Comparison(
        compared=tuple(trial for trial, *_ in measured),
        losses=losses_NM,
        feasible=feasible_N,
        on_front=on_front_N,
        order=order,
    )
