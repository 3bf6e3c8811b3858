"""One fine-tuning run of the multitask model: the page everyone reads.

Runs on one process or as one rank of several; who started it, who meters it and who listens is not its concern.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.batching import Batch, epoch_batches, num_steps
from mtbert_ray.metrics import MetricValue
from mtbert_ray.models.adapters import ParameterCounts, count_parameters
from mtbert_ray.models.build import build_model
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.checkpoint import save_checkpoint
from mtbert_ray.training.evaluate import evaluate
from mtbert_ray.training.inputs import load_inputs
from mtbert_ray.training.optimizer import make_optimizer, make_schedule
from mtbert_ray.training.process import Process

_ALL_ROWS = "all"  # no task can have this name


class DivergedError(RuntimeError):
    """The training loss is no longer a finite number."""


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """What one epoch gave. Costs are totals since the run began."""

    epoch: int
    """From 1."""
    step: int
    """Optimiser steps taken."""
    train_loss: float
    """Mean over the epoch's rows."""
    train_loss_by_task: dict[str, float]
    scores: dict[str, float]
    """Each task's dev score, dev_score and leaderboard_score."""
    train_seconds: float
    eval_seconds: float
    parameters: ParameterCounts
    is_best: bool
    """Whether dev_score is the highest so far, so that this epoch's checkpoint is the one kept."""

    def metrics(self) -> dict[str, MetricValue]:
        """Return the result under the names of `mtbert_ray.metrics`."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "train_loss": self.train_loss,
            **{f"train_loss.{task}": loss for task, loss in self.train_loss_by_task.items()},
            **self.scores,
            "train_seconds": self.train_seconds,
            "eval_seconds": self.eval_seconds,
            "trainable_parameters": self.parameters.trainable,
            "trainable_percent": self.parameters.trainable_percent,
            "adapter_percent": self.parameters.adapter_percent,
        }


class TrainingRun:
    """A run that has its data and its model and is ready for its first step.

    Args:
        config: the setting.
        process: this rank's place; the process group is expected to be initialised where there are several.
        checkpoint: folder for the best epoch's checkpoint; none keeps none.
        on_step: called after each optimiser step with (steps taken, steps of the run).

    Raises:
        DataError: a file cannot be read as its task needs it.
        EncoderError: the encoder cannot be found.
        ConfigError: the adapter does not fit the encoder.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        process: Process,
        checkpoint: Path | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        self.config = config
        self.process = process
        self.bf16 = uses_bf16(config, process.device)
        self.train_splits = load_inputs(config, "train")
        self.dev_splits = load_inputs(config, "dev")
        self.model = build_model(config).to(process.device)
        self.parameters = count_parameters(self.model)
        self.total_steps = config.epochs * num_steps(self.train_splits, batch_size=config.batch_size)
        self._checkpoint = checkpoint
        self._on_step = on_step
        self._ddp_model = _wrap(self.model, process)
        self._trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._optimizer = make_optimizer(self.model, config)
        self._schedule = make_schedule(self._optimizer, config, total_steps=self.total_steps)
        self._step = 0

    def epochs(
        self, *, while_training: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> Iterator[EpochResult]:
        """Train and score, one epoch a turn.

        Args:
            while_training: entered around each epoch's steps, for a meter that counts training only.

        Raises:
            DivergedError: the loss became infinite or NaN.
        """
        # Dropout draws from torch's global generator; ranks must not share their masks.
        torch.manual_seed(self.config.seed + self.process.rank)
        train_seconds = eval_seconds = 0.0
        best_score = -math.inf
        for epoch in range(1, self.config.epochs + 1):
            started = self._now()
            with while_training():
                losses = self._train_epoch(epoch)
                trained = self._now()
            scores = evaluate(self.model, self.config.tasks, self.dev_splits, self.process, bf16=self.bf16)
            train_seconds += trained - started
            eval_seconds += self._now() - trained
            result = EpochResult(
                epoch=epoch,
                step=self._step,
                train_loss=losses.pop(_ALL_ROWS),
                train_loss_by_task=losses,
                scores=scores,
                train_seconds=train_seconds,
                eval_seconds=eval_seconds,
                parameters=self.parameters,
                is_best=scores["dev_score"] > best_score,
            )
            best_score = max(best_score, scores["dev_score"])
            if result.is_best and self._checkpoint is not None and self.process.is_main:
                save_checkpoint(self._checkpoint, self.model, self.config, result.metrics())
            yield result

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        """Take an epoch's steps; return the mean loss of each task and of all rows."""
        self._ddp_model.train()
        places = {task: place for place, task in enumerate(self.train_splits)}
        # Losses stay on the device until the epoch ends: reading one would make every step wait for the GPU.
        loss_sums = torch.zeros(len(places), dtype=torch.float64, device=self.process.device)
        for batch in epoch_batches(
            self.train_splits,
            batch_size=self.config.batch_size,
            task_order=self.config.task_order,
            seed=self.config.seed,
            epoch=epoch,
            rank=self.process.rank,
            world_size=self.process.world_size,
        ):
            loss_sums[places[batch.task]] += self._train_step(batch.to(self.process.device))
            self._step += 1
            if self._on_step is not None:
                self._on_step(self._step, self.total_steps)
        return self._mean_losses(self.process.sum(loss_sums).tolist(), epoch)

    def _train_step(self, batch: Batch) -> torch.Tensor:
        """Take one optimiser step; return the sum of this rank's losses, detached."""
        assert batch.labels is not None, "training rows have labels"
        with torch.autocast(self.process.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            logits = self._ddp_model(batch.task, batch.sentences)
        loss_B = self.model.loss(batch.task, logits, batch.labels)
        self._optimizer.zero_grad(set_to_none=True)
        # The weights make DDP's mean over ranks the mean over the global batch, also where it divides unevenly.
        (batch.weights * loss_B).sum().backward()  # type: ignore[no-untyped-call]
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._trained, self.config.max_grad_norm)
        self._optimizer.step()
        self._schedule.step()
        return loss_B.detach()[batch.weights > 0].sum()

    def _mean_losses(self, loss_sums: list[float], epoch: int) -> dict[str, float]:
        rows = [len(split) for split in self.train_splits.values()]
        losses = {task: total / count for task, total, count in zip(self.train_splits, loss_sums, rows, strict=True)}
        bad = [task for task, loss in losses.items() if not math.isfinite(loss)]
        if bad:
            raise DivergedError(
                f"the training loss of {', '.join(bad)} is not finite in epoch {epoch}; a lower learning rate than "
                f"{self.config.learning_rate:g} or max_grad_norm may help"
            )
        return {**losses, _ALL_ROWS: sum(loss_sums) / sum(rows)}

    def _now(self) -> float:
        if self.process.device.type == "cuda":
            torch.cuda.synchronize(self.process.device)
        return time.perf_counter()


def uses_bf16(config: TrialConfig, device: torch.device) -> bool:
    """Return whether the forward pass is autocast to bfloat16 on this device."""
    if config.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return config.precision == "bf16"


def _wrap(model: MultitaskModel, process: Process) -> nn.Module:
    """Return the model for training steps: under DDP where there are several ranks."""
    if process.world_size == 1:
        return model
    device_ids = [process.device.index] if process.device.type == "cuda" else None
    # A step trains one task, so the other heads get no gradient; DDP must look for them at each step.
    return DistributedDataParallel(model, device_ids=device_ids, find_unused_parameters=True)
