"""What predictions look like as a table: their columns, the names of classes, which labels met which predictions."""

# N rows, C classes

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.evaluate import FloatArray, Predicted

PREDICTION = "prediction"
PROBABILITY = "probability_"
"""What the name of a column of probabilities begins with; the class's name follows."""
Column = Sequence[object] | np.ndarray
"""(N,)"""
_LABEL = "label"
_PREDICTED = "predicted_"


def prediction_columns(task: TaskSpec, predicted: Predicted) -> dict[str, Column]:
    """Return `prediction` and one `probability_CLASS` a class, each (N,).

    A prediction is the class's name, or its number where the task's classes have no names, or the number of a
    regression. Numbers are float32, as the model computes them: so they are short when they are written.
    """
    if task.kind.is_regression:
        return {PREDICTION: predicted.values.astype(np.float32)}
    assert predicted.probabilities is not None, "a classification has probabilities"
    columns: dict[str, Column] = {PREDICTION: names_of(task, predicted.values)}
    for number, name in enumerate(task.class_names):
        columns[PROBABILITY + name] = predicted.probabilities[:, number].astype(np.float32)
    return columns


def prediction_table(task: TaskSpec, predicted: Predicted, index: pd.Index) -> pd.DataFrame:
    """Return the columns of `prediction_columns` as a table with this index (N,)."""
    return pd.DataFrame(prediction_columns(task, predicted), index=index)


def empty_prediction_table(task: TaskSpec, index: pd.Index) -> pd.DataFrame:
    """Return the same columns, of the same types, for no rows."""
    nothing = Predicted(values=np.zeros(1), probabilities=np.zeros((1, task.num_classes or 0)))
    return prediction_table(task, nothing, pd.RangeIndex(1)).iloc[:0].set_axis(index)


def names_of(task: TaskSpec, values: FloatArray) -> list[object]:
    """Return class indices or label numbers (N,) as a user reads them, none for NaN, which is a row without a label."""
    if task.kind.is_regression:
        return [None if np.isnan(value) else float(value) for value in values]
    names: Sequence[object] = task.classes or range(task.num_classes or 0)
    return [None if np.isnan(value) else names[int(value)] for value in values]


def confusion(task: TaskSpec, values: FloatArray, labels: FloatArray) -> pd.DataFrame:
    """Return how many rows of each label got each prediction: a row a label, a column `predicted_CLASS` a class.

    Args:
        task: a classification.
        values: (N,) class indices.
        labels: (N,) class indices; rows where it is NaN are not counted.
    """
    num_classes = task.num_classes or 0
    counts_CC = np.zeros((num_classes, num_classes), dtype=np.int64)
    has_label = ~np.isnan(labels)
    np.add.at(counts_CC, (labels[has_label].astype(int), values[has_label].astype(int)), 1)
    columns = [_PREDICTED + name for name in task.class_names]
    return pd.DataFrame(counts_CC, index=pd.Index(task.class_names, name=_LABEL), columns=columns)
