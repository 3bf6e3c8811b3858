"""What predictions look like as a table: their columns, the names of classes, which labels met which predictions."""


# N rows, C classes

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mtbert_ray.data.examples import Examples
from mtbert_ray.data.sources import columns_of
from mtbert_ray.tasks import KNOWN_TASK_NAMES, TaskSpec
from mtbert_ray.training.evaluate import Predicted
from mtbert_ray.training.scoring import FloatArray

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


# The course's own names and headers, its spelling included.
_FILE_STEMS = {"quora": "para"}
_HEADERS = {"sst": "Predicted_Sentiment", "quora": "Predicted_Is_Duplicate", "sts": "Predicted_Similiary"}


def is_of_course(task: TaskSpec) -> bool:
    """Return whether a task is one of the course's, and not a user's own of the same name."""
    return task.source is None and task.name in KNOWN_TASK_NAMES


def output_name(task: TaskSpec, split: str) -> str:
    """Return the name of the predictions for the dev or test rows."""
    stem = _FILE_STEMS.get(task.name, task.name) if is_of_course(task) else task.name
    return f"{stem}-{split}-output.csv"


def confusion_path(predictions: Path) -> Path:
    """Return where the confusion table of predictions stands: beside them."""
    return predictions.with_name(f"{predictions.stem}-confusion.csv")


def has_confusion(task: TaskSpec) -> bool:
    """Return whether labeled rows of a task get a confusion table."""
    return not task.kind.is_regression and not is_of_course(task)


def write_predictions(
    path: Path, task: TaskSpec, examples: Examples, predicted: Predicted, *, with_text: bool = False
) -> list[Path]:
    """Write the predictions of a task's rows, and what they are beside the labels; return the files.

    A task of the course gets `id , prediction` a row, as the course wants it. Any other gets a CSV with the columns
    id, then on request the texts under their own names, label where the rows have any, prediction, and
    probability_CLASS for each class. A text's column that is called as one of these stands as NAME_text. A
    classification with labels also gets a confusion table.

    Args:
        path: the file.
        task: decides the format.
        examples: N rows.
        predicted: for these rows, in their order.
        with_text: whether the sentences are written as well; has no effect in the course's format.
    """
    if is_of_course(task):
        _write_course(path, task, examples.ids, predicted.values)
        return [path]
    columns: dict[str, Column] = {"id": examples.ids}
    answers = prediction_columns(task, predicted)
    labels: dict[str, Column] = {} if examples.labels is None else {"label": names_of(task, examples.labels)}
    if with_text:
        columns |= _texts(task, examples, taken={"id", *labels, *answers})
    columns |= labels | answers
    _write_csv(path, list(columns), zip(*columns.values(), strict=True))
    if examples.labels is None or not has_confusion(task):
        return [path]
    table = confusion(task, predicted.values, examples.labels)
    rows = ([name, *counts] for name, counts in zip(table.index, table.to_numpy(), strict=True))
    _write_csv(confusion_path(path), [str(table.index.name), *table.columns], rows)
    return [path, confusion_path(path)]


def _texts(task: TaskSpec, examples: Examples, taken: set[str]) -> dict[str, Column]:
    names = columns_of(task)
    columns: dict[str, Column] = {}
    for name, sentences in ((names.sentence1, examples.sentence1), (names.sentence2, examples.sentence2)):
        if name is not None and sentences is not None:
            while name in taken or name in columns:
                name += "_text"
            columns[name] = sentences
    return columns


def _write_course(path: Path, task: TaskSpec, ids: Sequence[str], values: FloatArray) -> None:
    """Write a header, then `id , prediction` a row."""
    lines = [f"id \t {_HEADERS[task.name]} \n"]
    for row_id, value in zip(ids, values, strict=True):
        lines.append(f"{row_id} , {float(value) if task.kind.is_regression else int(value)} \n")
    path.write_text("".join(lines), encoding="utf-8")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, lineterminator="\n")
        # Python 3.11 leaves a lone carriage return unquoted, which others read as the end of the row.
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in (header, *rows):
            has_return = any(isinstance(value, str) and "\r" in value for value in row)
            (quoted if has_return else plain).writerow(row)
