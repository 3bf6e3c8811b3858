"""The format of prediction files: CSV with columns for the classes, a confusion table, and the course's own format."""

# N rows, C classes

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mtbert_ray.data.examples import Examples
from mtbert_ray.data.sources import columns_of
from mtbert_ray.tasks import KNOWN_TASK_NAMES, TaskSpec
from mtbert_ray.training.evaluate import Predicted
from mtbert_ray.training.scoring import FloatArray

Column = Sequence[object] | np.ndarray
"""(N,)"""
# The course's own names and headers, its spelling included.
_FILE_STEMS = {"quora": "para"}
_HEADERS = {"sst": "Predicted_Sentiment", "quora": "Predicted_Is_Duplicate", "sts": "Predicted_Similiary"}


def prediction_columns(task: TaskSpec, predicted: Predicted) -> dict[str, Column]:
    """Return `prediction` and one `probability_CLASS` per class, each (N,).

    A prediction is the class's name, or its number where the task's classes have no names, or the number of a
    regression. Numbers are float32, as the model computes them, which keeps them short in a file.
    """
    if task.kind.is_regression:
        return {"prediction": predicted.values.astype(np.float32)}
    assert predicted.probabilities is not None, "a classification has probabilities"
    columns: dict[str, Column] = {"prediction": _names_of(task, predicted.values)}
    for number, name in enumerate(task.class_names):
        columns[f"probability_{name}"] = predicted.probabilities[:, number].astype(np.float32)
    return columns


def _names_of(task: TaskSpec, values: FloatArray) -> list[object]:
    """Return class names or label numbers (N,); none for NaN, which is a row without a label."""
    if task.kind.is_regression:
        return [None if np.isnan(value) else float(value) for value in values]
    names: Sequence[object] = task.classes or range(task.num_classes or 0)
    return [None if np.isnan(value) else names[int(value)] for value in values]


def is_of_course(task: TaskSpec) -> bool:
    """Return whether a task is one of the course's, and not a user's own of the same name."""
    return task.source is None and task.name in KNOWN_TASK_NAMES


def output_name(task: TaskSpec, split: str) -> str:
    """Return the name of the predictions for the dev or test rows."""
    stem = _FILE_STEMS.get(task.name, task.name) if is_of_course(task) else task.name
    return f"{stem}-{split}-output.csv"


def confusion_path(predictions: Path) -> Path:
    """Return the path of the confusion table of predictions: next to them."""
    return predictions.with_name(f"{predictions.stem}-confusion.csv")


def has_confusion(task: TaskSpec) -> bool:
    """Return whether labeled rows of a task get a confusion table."""
    return not task.kind.is_regression and not is_of_course(task)


def write_predictions(
    path: Path, task: TaskSpec, examples: Examples, predicted: Predicted, *, with_text: bool = False
) -> list[Path]:
    """Write the predictions of a task's rows, and their confusion table; return the files.

    A task of the course gets `id , prediction` per row, in the course's format. Any other gets a CSV with the columns
    id, on request the texts under their own names, label where the rows have any, prediction, and probability_CLASS
    for each class. A text's column of one of these names becomes NAME_text. Labeled rows of a classification also get
    a confusion table: a row per label, a column `predicted_CLASS` per class.
    `with_text` has no effect in the course's format.
    """
    if is_of_course(task):
        _write_course(path, task, examples.ids, predicted.values)
        return [path]
    columns: dict[str, Column] = {"id": examples.ids}
    outputs = prediction_columns(task, predicted)
    labels: dict[str, Column] = {} if examples.labels is None else {"label": _names_of(task, examples.labels)}
    if with_text:
        columns |= _texts(task, examples, taken={"id", *labels, *outputs})
    columns |= labels | outputs
    _write_csv(path, list(columns), zip(*columns.values(), strict=True))
    if examples.labels is None or not has_confusion(task):
        return [path]
    counts_CC = np.zeros((len(task.class_names), len(task.class_names)), dtype=np.int64)
    has_label = ~np.isnan(examples.labels)
    np.add.at(counts_CC, (examples.labels[has_label].astype(int), predicted.values[has_label].astype(int)), 1)
    header = ["label", *(f"predicted_{name}" for name in task.class_names)]
    _write_csv(confusion_path(path), header, ([name, *counts_CC[place]] for place, name in enumerate(task.class_names)))
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
