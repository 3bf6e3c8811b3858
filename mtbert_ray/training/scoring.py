"""Computes the metrics of `mtbert_ray.task_metrics` with scikit-learn and scipy, or the reason why one is undefined."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from mtbert_ray.metrics import MEAN_SCORES, MetricValue, task_scores
from mtbert_ray.task_metrics import F1_OF_CLASS
from mtbert_ray.tasks import TaskSpec

# N rows, C classes

FloatArray = npt.NDArray[np.float64]

_ROUNDING_STEPS = 4
"""Values that differ by so many steps of float32 differ by rounding only."""
_SAFE_SIZES = (1e-150, 1e150)
"""Squares of smaller or larger numbers underflow or overflow."""
_MAX_NAMED = 3


class Score(NamedTuple):
    """A metric's value, or why it has none."""

    value: float | None
    reason: str | None = None
    """As `every label is 2.5`; none where there is a value."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A model's scores on the dev sets of its tasks."""

    values: dict[str, float | None]
    """Each task's score under its name, each of its `metrics` as `topic.f1_macro`, dev_score and leaderboard_score."""
    undefined: dict[str, str]
    """Those of them that are null -> why."""


def score(
    task: TaskSpec, metric: str, predictions: FloatArray, labels: FloatArray, probabilities: FloatArray | None = None
) -> Score:
    """Return a metric of a task's predictions.

    It is that of scikit-learn or scipy wherever it is defined. It is undefined where it would be 0/0: a correlation of
    one row, or with labels or predictions that are constant but for rounding; mcc with one class in the labels or in
    the predictions; auroc without rows of some class; the F1 of a class that occurs nowhere. Predictions and labels
    are (N,), class indices or numbers in label units, and the predictions finite. Only auroc needs the probabilities,
    (N, C).
    """
    assert predictions.shape == labels.shape, f"{predictions.shape} predictions for {labels.shape} labels"
    reason = undefined_by_labels(task, metric, labels)
    if reason is None:
        reason = _undefined_by_predictions(task, metric, predictions, labels)
    if reason is not None:
        return Score(None, reason)
    value = _value(task, metric, predictions, labels, probabilities)
    if not math.isfinite(value):
        return Score(None, "labels and predictions are too large to be compared")
    return Score(value)


def undefined_by_labels(task: TaskSpec, metric: str, labels: FloatArray) -> str | None:
    """Return why a metric is undefined for any predictions; none where that depends on them."""
    if len(labels) == 0:
        return "no row has a label"
    if metric in ("pearson", "spearman"):
        return "there is one row only" if len(labels) == 1 else _constant("label", labels)
    if metric == "mcc":
        return _one_class("label", task, labels)
    if metric == "auroc":
        return _one_class("label", task, labels) or _missing_classes(task, labels)
    return None


def scores_of(tasks: Sequence[TaskSpec], scored: Mapping[str, Mapping[str, Score]]) -> Scores:
    """Return the scores of tasks under the names that reports use, with their means.

    `scored` has each of a task's `metric_names`.
    """
    values: dict[str, MetricValue] = {}
    undefined: dict[str, str] = {}
    for task in tasks:
        for name, metric in reported_as(task):
            one = scored[task.name][metric]
            values[name] = one.value
            if one.reason is not None:
                undefined[name] = one.reason
    means = task_scores(tasks, values)
    return Scores(values=means, undefined=with_means(tasks, undefined))


def reported_as(task: TaskSpec) -> tuple[tuple[str, str], ...]:
    """Return (name in reports, metric) of a task's score and of each of its own `metrics`."""
    return ((task.name, task.metric), *((f"{task.name}.{metric}", metric) for metric in task.metrics))


def with_means(tasks: Iterable[TaskSpec], undefined: Mapping[str, str]) -> dict[str, str]:
    """Return the undefined scores -> why, with the means over tasks that they make undefined."""
    lacking = [f"{task.name} has no {task.metric}: {undefined[task.name]}" for task in tasks if task.name in undefined]
    means = dict.fromkeys(MEAN_SCORES, "; ".join(lacking)) if lacking else {}
    return {**undefined, **means}


def undefined_before_training(tasks: Sequence[TaskSpec], labels: Mapping[str, FloatArray]) -> dict[str, str]:
    """Return the scores that will be undefined for any model -> why.

    The labels are those of the dev rows, by task.
    """
    undefined = {
        name: reason
        for task in tasks
        for name, metric in reported_as(task)
        if (reason := undefined_by_labels(task, metric, labels[task.name])) is not None
    }
    return with_means(tasks, undefined)


def _undefined_by_predictions(task: TaskSpec, metric: str, predictions: FloatArray, labels: FloatArray) -> str | None:
    if metric in ("pearson", "spearman"):
        return _constant("prediction", predictions)
    if metric == "mcc":
        return _one_class("prediction", task, predictions)
    if metric.startswith(F1_OF_CLASS):
        index = _class_index(task, metric)
        if not (labels == index).any() and not (predictions == index).any():
            return f"class '{task.class_names[index]}' is neither among the labels nor among the predictions"
    return None


def _class_index(task: TaskSpec, metric: str) -> int:
    return task.class_names.index(metric.removeprefix(F1_OF_CLASS))


def _constant(what: str, values: FloatArray) -> str | None:
    """Return that all values are equal, exactly or up to float32's rounding: their correlation would be all noise.

    scipy warns only of values that are constant to the rounding of their type, which here is float64.
    """
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest:
        return f"every {what} is {lowest:.6g}"
    if highest - lowest <= _ROUNDING_STEPS * _float32_step(max(abs(lowest), abs(highest))):
        return f"every {what} is {lowest:.6g}, but for rounding"
    return None


def _float32_step(size: float) -> float:
    """Return the distance from a number to the next one of float32, or of a float32 that reaches as far."""
    if size < float(np.finfo(np.float32).tiny) and float(np.float32(size)) == size:
        return float(np.finfo(np.float32).smallest_subnormal)
    return math.ldexp(1.0, math.frexp(size)[1] - 24)


def _one_class(what: str, task: TaskSpec, values: FloatArray) -> str | None:
    if (values == values[0]).all():
        return f"every {what} is of class '{_class_name(task, int(values[0]))}'"
    return None


def _class_name(task: TaskSpec, index: int) -> str:
    """Return a class's name; its number before the name has been found among the training rows."""
    return task.class_names[index] if index < len(task.class_names) else str(index)


def _missing_classes(task: TaskSpec, labels: FloatArray) -> str | None:
    missing = [f"'{name}'" for index, name in enumerate(task.class_names) if not (labels == index).any()]
    if not missing:
        return None
    more = f" and {len(missing) - _MAX_NAMED} more" if len(missing) > _MAX_NAMED else ""
    return f"no label is of class {', '.join(missing[:_MAX_NAMED])}{more}"


def _value(
    task: TaskSpec, metric: str, predictions: FloatArray, labels: FloatArray, probabilities: FloatArray | None
) -> float:
    """Return a metric that is defined."""
    if metric == "accuracy":
        return float(np.mean(predictions == labels))
    if metric == "pearson":
        return float(stats.pearsonr(_of_safe_size(predictions), _of_safe_size(labels)).statistic)
    if metric == "spearman":
        # Its p-value, which is not used, divides 0 by 0 for two rows.
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            return float(stats.spearmanr(predictions, labels).statistic)
    # Imported only here: it takes a second, which runs with the default metrics need not spend.
    from sklearn import metrics as sk

    if metric == "auroc":
        # The area of class 1, or of more than two classes the mean of each against the rest (one-vs-rest, macro).
        # Class by class: scikit-learn refuses rows whose float32 probabilities do not add up to 1 in float64.
        assert probabilities is not None, "auroc ranks probabilities"
        classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
        return float(np.mean([sk.roc_auc_score(labels == index, probabilities[:, index]) for index in classes]))
    if metric.startswith(F1_OF_CLASS):
        index = _class_index(task, metric)
        return float(sk.f1_score(labels == index, predictions == index))
    return float(
        {
            # The mean over the classes that occur among labels or predictions, as scikit-learn takes it.
            "f1_macro": lambda: sk.f1_score(labels.astype(int), predictions.astype(int), average="macro"),
            "mcc": lambda: sk.matthews_corrcoef(labels.astype(int), predictions.astype(int)),
            "mae": lambda: sk.mean_absolute_error(labels, predictions),
            "rmse": lambda: sk.root_mean_squared_error(labels, predictions),
        }[metric]()
    )


def _of_safe_size(values: FloatArray) -> FloatArray:
    """Return numbers whose squares are finite and not 0, scaled if necessary, which changes no correlation."""
    largest = float(np.abs(values).max())
    return values if _SAFE_SIZES[0] <= largest <= _SAFE_SIZES[1] else values / largest
