"""The metrics of a task on resampled dev rows: each row counts as often as it was drawn, for many draws at once.

On every row once they are those of `training/scoring.py`. Where a resample has no value because its predictions are
all alike, or a class occurs nowhere, it is 0, as scikit-learn has it: no association, no hit.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mtbert_ray.scoring.dev_predictions import TaskPredictions
from mtbert_ray.scoring.weighted_ranks import auroc, auroc_gradient, ranks, spearman_gradient
from mtbert_ray.task_metrics import F1_OF_CLASS
from mtbert_ray.tasks import TaskSpec

# B draws, N runs, R rows, C classes

Floats = NDArray[np.float64]
Counts = NDArray[np.float32]
"""(R, B): how often each row was drawn in each draw; exact, as whole numbers up to 2**24 are."""
Resampled = Callable[[Counts], Floats]
"""Takes the counts of some draws, and returns the metric (B, N) of each run in each draw."""

MAX_ROWS_RANKED = 500
"""Of more rows the rank metrics take their first-order term: ranking anew in each draw would take minutes, and what is
left out is of the order of 1 / R."""


def resampled_metric(task: TaskSpec, metric: str, runs: Sequence[TaskPredictions]) -> Resampled:
    """Return what scores runs by a metric on resamples. All have predicted the same rows: their labels are equal."""
    labels = runs[0].labels
    if metric == "accuracy":
        return _mean_of_rows([run.values == labels for run in runs])
    if metric == "mae":
        return _mean_of_rows([_error(run) for run in runs])
    if metric == "rmse":
        mean = _mean_of_rows([_error(run) ** 2 for run in runs])
        return lambda counts: np.sqrt(mean(counts))
    if metric == "pearson":
        return _pearson(runs)
    if metric == "spearman":
        return _spearman(runs)
    if metric == "auroc":
        return _auroc(runs)
    return _of_confusions(task, metric, runs)


def has_value(task: TaskSpec, metric: str, labels: NDArray[Any], counts: Counts) -> NDArray[np.bool_]:
    """Return in which draws (B,) a metric has a value for any predictions, as far as the labels drawn tell."""
    if metric in ("pearson", "spearman"):
        drawn = counts > 0
        first = labels[drawn.argmax(axis=0)]
        return np.asarray((drawn & (labels[:, None] != first)).any(axis=0))
    if metric == "mcc":
        return np.asarray((_class_counts(labels, _num_classes(task), counts) > 0).sum(axis=0) > 1)
    if metric == "auroc":
        return np.asarray((_class_counts(labels, _num_classes(task), counts) > 0).all(axis=0))
    if metric.startswith(F1_OF_CLASS):
        of_class = labels == _class_index(task, metric)
        return np.asarray(counts[of_class].any(axis=0)) if of_class.any() else np.ones(counts.shape[1], dtype=np.bool_)
    return np.ones(counts.shape[1], dtype=np.bool_)


def _mean_of_rows(values: Sequence[NDArray[Any]]) -> Resampled:
    values_NR = np.stack(values)
    # Products of counts and hits are whole numbers, which float32 adds up without rounding.
    exact = np.float32 if values_NR.dtype == np.bool_ else np.float64

    def mean(counts: Counts) -> Floats:
        sums_BN = counts.T.astype(exact, copy=False) @ values_NR.T.astype(exact)
        return np.asarray(sums_BN.astype(np.float64) / len(counts))

    return mean


def _error(run: TaskPredictions) -> Floats:
    return np.abs(run.values.astype(np.float64) - run.labels.astype(np.float64))


def _pearson(runs: Sequence[TaskPredictions]) -> Resampled:
    """Return the correlation by sums over rows of centered numbers, so that no digits are lost in differences."""
    y_R1 = _centered(runs[0].labels)[:, None]
    x_RN = np.stack([_centered(run.values) for run in runs], axis=1)
    terms = np.concatenate([y_R1, y_R1**2, x_RN, x_RN**2, x_RN * y_R1], axis=1)

    def correlation(counts: Counts) -> Floats:
        sums = counts.T.astype(np.float64) @ terms / len(counts)
        (y, yy), (x, xx, xy) = (sums[:, :1], sums[:, 1:2]), np.split(sums[:, 2:], 3, axis=1)
        return _ratio(xy - x * y, np.maximum(xx - x**2, 0) * np.maximum(yy - y**2, 0))

    return correlation


def _centered(values: NDArray[Any]) -> Floats:
    """Return numbers around 0, of size 1: correlations do not change, and squares neither overflow nor underflow."""
    centered = values.astype(np.float64) - np.mean(values, dtype=np.float64)
    size = np.abs(centered).max()
    return np.asarray(centered / size if size > 0 else centered)


def _ratio(covariance: Floats, product_of_variances: Floats) -> Floats:
    """Return correlations; 0 where one side is constant but for rounding."""
    is_defined = product_of_variances > 1e-18
    root = np.sqrt(np.where(is_defined, product_of_variances, 1.0))
    return np.asarray(np.where(is_defined, covariance / root, 0.0))


def _spearman(runs: Sequence[TaskPredictions]) -> Resampled:
    y, x_of_runs = _centered(runs[0].labels), [_centered(run.values) for run in runs]
    if len(y) > MAX_ROWS_RANKED:
        return _first_order([spearman_gradient(x, y) for x in x_of_runs])

    def correlations(counts: Counts) -> Floats:
        share_RB = counts / np.float64(len(y))
        y_RB = _around_mean(ranks(y, counts), share_RB)
        return np.stack([_correlation(_around_mean(ranks(x, counts), share_RB), y_RB, share_RB) for x in x_of_runs], 1)

    return correlations


def _around_mean(ranks_RB: Floats, share_RB: Floats) -> Floats:
    ranks_RB = ranks_RB / len(ranks_RB)
    return np.asarray(ranks_RB - (share_RB * ranks_RB).sum(axis=0))


def _correlation(x_RB: Floats, y_RB: Floats, share_RB: Floats) -> Floats:
    spreads = [(share_RB * ranks_RB**2).sum(axis=0) for ranks_RB in (x_RB, y_RB)]
    return _ratio((share_RB * x_RB * y_RB).sum(axis=0), spreads[0] * spreads[1])


def _auroc(runs: Sequence[TaskPredictions]) -> Resampled:
    """Return the area of class 1, or of more than two classes the mean of each against the rest."""
    sides = [_one_against_rest(run) for run in runs]
    if len(runs[0].labels) > MAX_ROWS_RANKED:
        areas = [[auroc_gradient(*side) for side in of_run] for of_run in sides]
        return _first_order(
            [(float(np.mean([a for a, _ in of_run])), np.mean([g for _, g in of_run], axis=0)) for of_run in areas]
        )
    return lambda counts: np.stack(
        [np.mean([auroc(*side, counts) for side in of_run], axis=0) for of_run in sides], axis=1
    )


def _one_against_rest(run: TaskPredictions) -> list[tuple[Floats, NDArray[np.bool_]]]:
    assert run.probabilities is not None, "auroc ranks probabilities"
    num_classes = run.probabilities.shape[1]
    classes = [1] if num_classes == 2 else range(num_classes)
    return [(run.probabilities[:, index].astype(np.float64), run.labels == index) for index in classes]


def _first_order(of_runs: Sequence[tuple[float, Floats]]) -> Resampled:
    """Return a metric by its gradient in the rows' counts at 1; in all it is 0: copies of all rows change nothing."""
    values_N = np.array([value for value, _ in of_runs])
    gradients_RN = np.stack([gradient for _, gradient in of_runs], axis=1)
    return lambda counts: values_N + counts.T.astype(np.float64) @ gradients_RN


def _of_confusions(task: TaskSpec, metric: str, runs: Sequence[TaskPredictions]) -> Resampled:
    labels, num_classes = runs[0].labels, _num_classes(task)
    tables = [_by_class(run.values, num_classes, run.values == labels) for run in runs]

    def scores(counts: Counts) -> Floats:
        true_CB = _class_counts(labels, num_classes, counts)
        scored = []
        for table in tables:
            predicted_CB, hits_CB = np.split((table @ counts).astype(np.float64), 2)
            scored.append(_confusion_score(task, metric, true_CB, predicted_CB, hits_CB))
        return np.stack(scored, axis=1)

    return scores


def _confusion_score(task: TaskSpec, metric: str, true_CB: Floats, predicted_CB: Floats, hits_CB: Floats) -> Floats:
    if metric == "mcc":  # Gorodkin 2004, which is Matthews' of two classes.
        rows = true_CB.sum(axis=0)
        shares = [counts / rows for counts in (true_CB, predicted_CB, hits_CB)]
        both = (shares[0] * shares[1]).sum(axis=0)
        spreads = [1 - (share**2).sum(axis=0) for share in shares[:2]]
        return _ratio(shares[2].sum(axis=0) - both, spreads[0] * spreads[1])
    total_CB = true_CB + predicted_CB
    f1_CB = 2 * hits_CB / np.where(total_CB > 0, total_CB, 1)
    if metric.startswith(F1_OF_CLASS):
        return np.asarray(f1_CB[_class_index(task, metric)])
    assert metric == "f1_macro", f"{metric} is no metric of a classification"
    # As scikit-learn has it, the mean over the classes that occur among labels or predictions.
    return np.asarray(f1_CB.sum(axis=0) / (total_CB > 0).sum(axis=0))


def _by_class(values: NDArray[Any], num_classes: int, hits: NDArray[np.bool_]) -> sparse.csr_array:
    """Return (2C, R): for each class the rows that were predicted as it, then those of them that are hits."""
    rows = np.arange(len(values))
    places = np.concatenate([values.astype(np.int64), num_classes + values[hits].astype(np.int64)])
    columns = np.concatenate([rows, rows[hits]])
    ones = np.ones(len(places), dtype=np.float32)
    return sparse.csr_array((ones, (places, columns)), shape=(2 * num_classes, len(values)))


def _class_counts(labels: NDArray[Any], num_classes: int, counts: Counts) -> Floats:
    """Return (C, B): how many rows of each class were drawn."""
    one_hot = sparse.csr_array(
        (np.ones(len(labels), dtype=np.float32), (labels.astype(np.int64), np.arange(len(labels)))),
        shape=(num_classes, len(labels)),
    )
    return np.asarray((one_hot @ counts).astype(np.float64))


def _num_classes(task: TaskSpec) -> int:
    assert task.num_classes is not None, f"{task.name} knows its classes"
    return task.num_classes


def _class_index(task: TaskSpec, metric: str) -> int:
    return task.class_names.index(metric.removeprefix(F1_OF_CLASS))
