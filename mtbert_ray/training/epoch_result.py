"""What one epoch of a run gave, under the names that reports use."""

from dataclasses import dataclass

from mtbert_ray.metrics import MetricValue
from mtbert_ray.models.adapters import ParameterCounts
from mtbert_ray.training.frozen import OnceSeconds
from mtbert_ray.training.loss import EpochLosses


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """What one epoch gave. Costs are totals since the run began."""

    epoch: int
    """From 1."""
    step: int
    """Optimiser steps taken."""
    losses: EpochLosses
    scores: dict[str, float | None]
    """Each task's dev scores, dev_score and leaderboard_score; null where undefined."""
    undefined: dict[str, str]
    """Those that are null -> why."""
    train_seconds: float
    eval_seconds: float
    once: OnceSeconds
    """What of both is not done again in other epochs."""
    parameters: ParameterCounts
    is_best: bool
    """Whether dev_score is the highest so far, so that this epoch's checkpoint is the one kept; so is the latest
    epoch's while none has a dev_score."""

    @property
    def dev_score(self) -> float | None:
        """None where it is undefined."""
        return self.scores["dev_score"]

    def metrics(self) -> dict[str, MetricValue]:
        """Return the result under the names of `mtbert_ray.metrics`."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "train_loss": self.losses.all,
            **{f"train_loss.{task}": loss for task, loss in self.losses.by_task.items()},
            "smart_penalty": self.losses.smart_penalty,
            "smart_steps": self.losses.smart_steps,
            **self.scores,
            "train_seconds": self.train_seconds,
            "eval_seconds": self.eval_seconds,
            "train_once_seconds": self.once.train,
            "eval_once_seconds": self.once.eval,
            "trainable_parameters": self.parameters.trainable,
            "trainable_percent": self.parameters.trainable_percent,
            "adapter_percent": self.parameters.adapter_percent,
        }
