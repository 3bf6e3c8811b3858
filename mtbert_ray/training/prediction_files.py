"""Writes predictions: the course's three tasks in the course's format, every other task as plain CSV (RFC 4180)."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from mtbert_ray.data.examples import Examples
from mtbert_ray.data.sources import columns_of
from mtbert_ray.tasks import KNOWN_TASK_NAMES, TaskSpec
from mtbert_ray.training.evaluate import FloatArray, Predicted
from mtbert_ray.training.prediction_table import Column, confusion, names_of, prediction_columns

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
    """Return whether labelled rows of a task get a confusion table."""
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
