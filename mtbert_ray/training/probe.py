"""The probe: projects a run's training time from its first steps, their tokens and the tokens still to come."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from scipy.optimize import nnls

from mtbert_ray.config import ProbeConfig
from mtbert_ray.data.batching import Batch, Split, num_steps
from mtbert_ray.metrics import MetricValue
from mtbert_ray.models.adapters import ParameterCounts


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """A run's costs after its first steps, on one rank."""

    step: int
    """Optimizer steps taken."""
    train_seconds: float
    projected_train_seconds: float | None
    """Of the whole run at the same pace; none where a task without a step yet is trained in another way than those
    that had one."""
    parameters: ParameterCounts
    eval_seconds: float = 0.0

    def metrics(self) -> dict[str, MetricValue]:
        """Return the result under the names of `mtbert_ray.metrics`."""
        return {
            "train_seconds": self.train_seconds,
            "eval_seconds": self.eval_seconds,
            "trainable_parameters": self.parameters.trainable,
            "trainable_percent": self.parameters.trainable_percent,
            "adapter_percent": self.parameters.adapter_percent,
        }


def is_probed(probe: ProbeConfig | None, splits: Mapping[str, Split], *, batch_size: int) -> TypeGuard[ProbeConfig]:
    """Return whether a run has a probe: one is wanted, and the first epoch continues after it."""
    if probe is None or probe.steps == 0:
        return False
    return probe.warmup_steps + probe.steps < num_steps(splits, batch_size=batch_size)


class Pace:
    """Times a rank's steps and estimates the seconds of the remaining ones.

    Tasks differ in what a token costs (SMART, one or two passes for a pair), so each has a pace of its own: seconds per
    step and seconds per token, both fitted to its timed steps. The former dominates where a GPU waits for the CPU, the
    latter where it does not. A task without a timed step takes the pace of all timed steps. With
    `task_order: sequential` that can be all tasks but the first; where SMART is on some of them only, nothing is known
    of the others.

    `lengths` has the tokens of each training row, by task; `regularized` the tasks with SMART. `world_size` ranks share
    each batch.
    """

    def __init__(
        self,
        lengths: Mapping[str, np.ndarray],
        *,
        batch_size: int,
        epochs: int,
        world_size: int = 1,
        regularized: Collection[str] = (),
    ) -> None:
        self._lengths = lengths
        self._regularized = frozenset(regularized)
        # Steps and tokens. A rank's share of the rows has its share of the tokens: they are dealt by length.
        self._left = {
            task: epochs * np.array([-(-len(of_rows) // batch_size), of_rows.sum() / world_size])
            for task, of_rows in lengths.items()
        }
        self._timed: dict[str, list[tuple[float, float]]] = {task: [] for task in lengths}
        """Task -> (tokens, seconds) of each timed step."""

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass on batches whose steps are not timed: warm-up."""
        for batch in batches:
            yield batch
            self._take(batch)

    def timed(self, batches: Iterable[Batch], now: Callable[[], float]) -> Iterator[Batch]:
        """Pass batches on; a step lasts from asking for its batch to asking for the next one.

        `now` returns seconds once all queued work is done.
        """
        before = now()
        for batch in batches:
            yield batch
            after = now()
            self._timed[batch.task].append((self._take(batch), after - before))
            before = after

    def seconds_left(self) -> float | None:
        """Return the seconds of the steps that were neither counted nor timed; none where they are not known."""
        seen = {task in self._regularized for task, timed in self._timed.items() if timed}
        if not seen.issuperset(task in self._regularized for task in self._timed):
            return None
        every = _seconds_by_step_and_token([step for steps in self._timed.values() for step in steps])
        return float(
            sum(
                # A rank with fewer rows than its share of a short last batch has taken more tokens than it had to.
                np.maximum(left, 0) @ (_seconds_by_step_and_token(self._timed[task]) if self._timed[task] else every)
                for task, left in self._left.items()
            )
        )

    def _take(self, batch: Batch) -> float:
        tokens = float(self._lengths[batch.task][batch.rows.numpy()].sum())
        self._left[batch.task] -= (1, tokens)
        return tokens


def _seconds_by_step_and_token(timed: list[tuple[float, float]]) -> np.ndarray:
    """Return non-negative seconds per step and per token: the best fit to the timed steps that keeps their sum.

    A single step, or steps of one length, do not determine both; then all is per token.
    """
    tokens, seconds = np.array(timed).T
    # The tokens in units of their mean, so that both columns weigh alike; the first one is tried first.
    (by_mean, by_step), _ = nnls(np.stack([tokens / tokens.mean(), np.ones_like(tokens)], axis=1), seconds)
    fitted = by_mean + by_step
    # Where one of the two was held at zero, least squares does not keep the sum.
    scale = seconds.mean() / fitted if fitted > 0 else 0.0
    return scale * np.array([by_step, by_mean / tokens.mean()])
