"""Projects a run's training time from its first steps: their seconds, their tokens, and what is still to come.

Knows neither model nor device: batches are passed on, and a clock is read between them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import nnls

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.data.batching import Batch, Split, num_steps
from mtbert_ray.metrics import MetricValue
from mtbert_ray.models.adapters import ParameterCounts


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What a run's first steps tell of it, on one rank."""

    step: int
    """Optimizer steps taken."""
    train_seconds: float
    """Spent on them."""
    whole_train_seconds: float | None
    """What the whole run's training will have taken by the same pace; none where a task that was not met yet is
    trained in another way than those that were."""
    parameters: ParameterCounts

    @property
    def eval_seconds(self) -> float:
        """Zero: nothing was scored yet."""
        return 0.0

    def metrics(self) -> dict[str, MetricValue]:
        """Return what was spent, and what does not change, under the names of `mtbert_ray.metrics`."""
        return {
            "train_seconds": self.train_seconds,
            "eval_seconds": self.eval_seconds,
            "trainable_parameters": self.parameters.trainable,
            "trainable_percent": self.parameters.trainable_percent,
            "adapter_percent": self.parameters.adapter_percent,
        }


def is_probed(probe: ProbeConfig, splits: Mapping[str, Split], *, batch_size: int) -> bool:
    """Return whether a run has a probe: one is wanted, and the first epoch goes on after it."""
    return probe.steps > 0 and probe.warmup_steps + probe.steps < num_steps(splits, batch_size=batch_size)


class Pace:
    """Times a rank's steps and tells what its remaining ones will take.

    Tasks differ in what a token costs (SMART, one or two passes for a pair), so each has a pace of its own: seconds a
    step, whatever is in it, and seconds a token, both fitted to its timed steps. The former is most of it where a GPU
    waits for the CPU, the latter where it does not. A task that was not met takes the pace of all timed steps. With
    `task_order: sequential` that can be all tasks but the first; where SMART is on some of them only, nothing can be
    said of the others.

    Args:
        lengths: task -> tokens of each training row.
        batch_size: rows of a global batch.
        epochs: of the whole run.
        world_size: ranks that share each batch.
        regularized: tasks with SMART.
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

    @classmethod
    def of(cls, config: TrialConfig, splits: Mapping[str, Split], *, world_size: int) -> Self:
        """Return the pace of a run on these training rows, of which nothing is known yet."""
        lengths = {task: split.lengths for task, split in splits.items()}
        return cls(
            lengths,
            batch_size=config.batch_size,
            epochs=config.epochs,
            world_size=world_size,
            regularized=config.smart.tasks,
        )

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass batches on whose steps are not typical of the others."""
        for batch in batches:
            yield batch
            self._take(batch)

    def timed(self, batches: Iterable[Batch], now: Callable[[], float]) -> Iterator[Batch]:
        """Pass batches on; a step lasts from asking for its batch to asking for the next one.

        Args:
            batches: of the timed steps.
            now: seconds, all work that was begun being done.
        """
        before = now()
        for batch in batches:
            yield batch
            after = now()
            self._timed[batch.task].append((self._take(batch), after - before))
            before = after

    def seconds_left(self) -> float | None:
        """Return what the steps that were neither counted nor timed will take; none where that cannot be told."""
        met = {task in self._regularized for task, timed in self._timed.items() if timed}
        if not met.issuperset(task in self._regularized for task in self._timed):
            return None
        every = _seconds_by_step_and_token([step for steps in self._timed.values() for step in steps])
        return float(
            sum(
                # A rank with fewer rows than its share of a short last batch has taken more tokens than it had to.
                np.maximum(left, 0) @ (_seconds_by_step_and_token(self._timed[task]) if self._timed[task] else every)
                for task, left in self._left.items()
            )
        )

    def result(self, *, step: int, train_seconds: float, parameters: ParameterCounts) -> ProbeResult:
        """Return what a run has told when it has taken so many steps in so many seconds."""
        left = self.seconds_left()
        whole = None if left is None else train_seconds + left
        return ProbeResult(step=step, train_seconds=train_seconds, whole_train_seconds=whole, parameters=parameters)

    def _take(self, batch: Batch) -> float:
        tokens = float(self._lengths[batch.task][batch.rows.numpy()].sum())
        self._left[batch.task] -= (1, tokens)
        return tokens


def _seconds_by_step_and_token(timed: list[tuple[float, float]]) -> np.ndarray:
    """Return the seconds of a step and of a token, neither negative, that fit timed steps best and in their sum.

    One step alone, and steps of one length, leave open which of the two it is; then all is a token's.
    """
    tokens, seconds = np.array(timed).T
    # The tokens in units of their mean, so that both columns weigh alike; the first one is tried first.
    (by_mean, by_step), _ = nnls(np.stack([tokens / tokens.mean(), np.ones_like(tokens)], axis=1), seconds)
    fitted = by_mean + by_step
    # Where one of the two was held at zero, least squares does not keep the sum, which is what is asked for.
    scale = seconds.mean() / fitted if fitted > 0 else 0.0
    return scale * np.array([by_step, by_mean / tokens.mean()])
