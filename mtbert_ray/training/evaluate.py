"""Predictions over a split, shared among the ranks, and their scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

from mtbert_ray.data.batching import Split, eval_batches
from mtbert_ray.metrics import task_scores
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.process import Process

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """A model's answers for the rows of a split, in their order."""

    values: FloatArray
    """(N,) class indices, or numbers in label units."""
    probabilities: FloatArray | None
    """(N, C); none for a regression."""


@torch.inference_mode()
def predict(
    model: MultitaskModel, task: TaskSpec, split: Split, process: Process, *, bf16: bool, max_tokens: int = 8192
) -> Predicted:
    """Return the predictions for every row of a split, in the order of its rows, on every rank.

    Args:
        model: the bare model, not its DDP wrapper; left in eval mode.
        task: whose head answers.
        split: N encoded rows.
        process: the ranks share the rows.
        bf16: whether the forward pass is autocast to bfloat16.
        max_tokens: bounds the padded tokens of a batch.
    """
    model.eval()
    # Each rank fills its own rows; the sum over ranks puts them together with one collective a split. The value stands
    # before the probabilities.
    width = 1 if task.kind.is_regression else 1 + (task.num_classes or 0)
    answers = torch.zeros(len(split), width, dtype=torch.float32, device=process.device)
    batches = eval_batches(
        split, task=task.name, max_tokens=max_tokens, rank=process.rank, world_size=process.world_size
    )
    for batch in batches:
        on_device = batch.to(process.device)
        with torch.autocast(process.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = model(task.name, on_device.sentences)
        answers[on_device.rows, 0] = model.predict(task.name, logits).float()
        probabilities_BC = model.probabilities(task.name, logits)
        if probabilities_BC is not None:
            answers[on_device.rows, 1:] = probabilities_BC.float()
    in_numpy = process.sum(answers).cpu().numpy().astype(np.float64)
    return Predicted(values=in_numpy[:, 0], probabilities=None if width == 1 else in_numpy[:, 1:])


def score(task: TaskSpec, predictions: FloatArray, labels: FloatArray) -> float:
    """Return accuracy, or Pearson correlation for a regression.

    The correlation of constant predictions is undefined; as they tell nothing of the labels, it counts as 0.

    Args:
        task: decides the metric.
        predictions: (N,)
        labels: (N,)
    """
    assert predictions.shape == labels.shape, f"{predictions.shape} predictions for {labels.shape} labels"
    if task.metric == "accuracy":
        return float(np.mean(predictions == labels))
    if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(stats.pearsonr(predictions, labels).statistic)


def evaluate(
    model: MultitaskModel,
    tasks: tuple[TaskSpec, ...],
    splits: Mapping[str, Split],
    process: Process,
    *,
    bf16: bool,
) -> dict[str, float]:
    """Return each task's score, `dev_score` and `leaderboard_score` on labelled splits (by task name)."""
    scores: dict[str, float] = {}
    for task in tasks:
        split = splits[task.name]
        assert split.labels is not None, f"the rows of {task.name} have no labels"
        predicted = predict(model, task, split, process, bf16=bf16)
        scores[task.name] = score(task, predicted.values, np.asarray(split.labels, dtype=np.float64))
    return task_scores(tasks, scores)
