"""Predictions over a split, shared among the ranks, and their scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mtbert_ray.data.batching import Split, eval_batches
from mtbert_ray.errors import DivergedError
from mtbert_ray.metrics import MetricValue
from mtbert_ray.models.adapters import ParameterCounts
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.scoring.dev_predictions import TaskPredictions
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.loss import EpochLosses
from mtbert_ray.training.process import Process
from mtbert_ray.training.scoring import FloatArray, Score, Scores, score, scores_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """A model's predictions for the rows of a split, in their order."""

    values: FloatArray
    """(N,) class indices, or numbers in label units."""
    probabilities: FloatArray | None
    """(N, C); none for a regression."""


@torch.inference_mode()
def predict(
    model: MultitaskModel, task: TaskSpec, split: Split, process: Process, *, bf16: bool, max_tokens: int = 8192
) -> Predicted:
    """Return the predictions for every row of a split, in the order of its rows, on every rank.

    The ranks share the rows. The model is the bare one, not its DDP wrapper, and is left in eval mode. `max_tokens`
    bounds the padded tokens of a batch.

    Raises:
        DivergedError: logits or probabilities are not finite; on every rank, whichever has them.
    """
    model.eval()
    # Each rank fills its own rows; the sum over ranks puts them together with one collective a split. The columns:
    # whether the outputs are finite (a class does not show it: argmax makes NaN class 0), the value, probabilities.
    width = 2 if task.kind.is_regression else 2 + (task.num_classes or 0)
    outputs = torch.zeros(len(split), width, dtype=torch.float32, device=process.device)
    batches = eval_batches(
        split, task=task.name, max_tokens=max_tokens, rank=process.rank, world_size=process.world_size
    )
    for batch in batches:
        on_device = batch.to(process.device)
        with torch.autocast(process.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = model(task.name, on_device.sentences)
        outputs[on_device.rows, 0] = torch.isfinite(logits.reshape(len(logits), -1)).all(dim=1).float()
        outputs[on_device.rows, 1] = model.predict(task.name, logits).float()
        probabilities_BC = model.probabilities(task.name, logits)
        if probabilities_BC is not None:
            outputs[on_device.rows, 2:] = probabilities_BC.float()
    in_numpy = process.sum(outputs).cpu().numpy().astype(np.float64)
    finite_N = (in_numpy[:, 0] > 0) & np.isfinite(in_numpy).all(axis=1)
    if not finite_N.all():
        raise DivergedError(
            f"the outputs of {task.name} are not finite for {int((~finite_N).sum())} of {len(split)} rows"
        )
    return Predicted(values=in_numpy[:, 1], probabilities=None if width == 2 else in_numpy[:, 2:])


def score_all(task: TaskSpec, predicted: Predicted, labels: FloatArray) -> dict[str, Score]:
    """Return each of a task's `metric_names` over the N rows that have a label: labels (N,) are NaN without one."""
    labeled = ~np.isnan(labels)
    probabilities = None if predicted.probabilities is None else predicted.probabilities[labeled]
    return {
        metric: score(task, metric, predicted.values[labeled], labels[labeled], probabilities)
        for metric in task.metric_names
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """A model on the dev rows of its tasks."""

    scores: Scores
    predictions: dict[str, TaskPredictions]
    """By task, as they are kept: with probabilities where one of its metrics ranks them."""


def evaluate(
    model: MultitaskModel,
    tasks: tuple[TaskSpec, ...],
    splits: Mapping[str, Split],
    process: Process,
    *,
    bf16: bool,
) -> Evaluation:
    """Return each task's scores, `dev_score` and `leaderboard_score` on labeled splits, with the predictions.

    Raises what `predict` does.
    """
    scored: dict[str, dict[str, Score]] = {}
    predictions: dict[str, TaskPredictions] = {}
    labels = labels_of(splits)
    for task in tasks:
        predicted = predict(model, task, splits[task.name], process, bf16=bf16)
        scored[task.name] = score_all(task, predicted, labels[task.name])
        predictions[task.name] = TaskPredictions.of(
            predicted.values,
            labels[task.name],
            num_classes=task.num_classes,
            probabilities=predicted.probabilities if task.ranks_probabilities else None,
        )
    return Evaluation(scores=scores_of(tasks, scored), predictions=predictions)


def labels_of(splits: Mapping[str, Split]) -> dict[str, FloatArray]:
    """Return (N,) labels of labeled splits, by task name."""
    labels: dict[str, FloatArray] = {}
    for name, split in splits.items():
        assert split.exact_labels is not None, f"the rows of {name} have no labels"
        labels[name] = split.exact_labels
    return labels


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch's losses, scores and costs; costs are totals since the run started."""

    epoch: int
    """From 1."""
    step: int
    """Optimizer steps taken."""
    losses: EpochLosses
    scores: dict[str, float | None]
    """Each task's dev scores, dev_score and leaderboard_score; null where undefined."""
    undefined: dict[str, str]
    """Those that are null -> why."""
    train_seconds: float
    eval_seconds: float
    train_once_seconds: float
    """Of the training time what no other epoch repeats: filling the embedding cache."""
    eval_once_seconds: float
    parameters: ParameterCounts
    is_best: bool
    """Whether this epoch's checkpoint is the one kept; see `is_best`."""

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
            "train_once_seconds": self.train_once_seconds,
            "eval_once_seconds": self.eval_once_seconds,
            "trainable_parameters": self.parameters.trainable,
            "trainable_percent": self.parameters.trainable_percent,
            "adapter_percent": self.parameters.adapter_percent,
        }


def is_best(dev_score: float | None, best_score: float | None) -> bool:
    """Return whether an epoch is the best so far: the first of those with the highest score.

    While no epoch has a score the latest one counts as best, as in `trial.best_place`.
    """
    return best_score is None or (dev_score is not None and dev_score > best_score)
