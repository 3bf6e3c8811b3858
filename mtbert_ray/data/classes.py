"""Finds the classes of tasks that do not declare them: from the labels of their training rows, or the data set's names.

Done once, before anything trains, so that every trial of a sweep numbers its classes in the same way.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.labels import (
    UNLABELED,
    class_label,
    is_boolean,
    is_like_nothing,
    is_number,
    is_plain,
    shown_names,
    whole_number,
)
from mtbert_ray.data.sources import read_train_table
from mtbert_ray.data.table import Table, require_columns
from mtbert_ray.errors import ConfigError, DataError
from mtbert_ray.mistakes import problems_of
from mtbert_ray.task_source import HubSource, TableSource
from mtbert_ray.tasks import TaskSpec

MAX_CLASSES = 1000
"""More distinct labels than these are hardly classes: mostly another column."""
_FEW_CLASSES = 20
"""So many classes may have fewer than two rows each."""


def with_classes(task: TaskSpec) -> TaskSpec:
    """Return a task with `classes` filled in where it leaves them to its training rows.

    They are the names of the data set's own ClassLabel, or else the distinct labels of all training rows of its
    source, sorted (numbers by their size). A task of a data set on the Hub that declares only the number of its classes
    gets their names if there are as many. Row limits and `train_files` make no difference: trials that differ in them
    must number their classes in the same way.

    Raises:
        DataError: the rows cannot be read, or their labels are hardly classes.
        ConfigError: the task's metrics name an unknown class.
    """
    if task.source is None or task.classes is not None or task.kind.is_regression:
        return task
    if task.num_classes is not None and not isinstance(task.source, HubSource):
        return task
    table = read_train_table(task)
    require_columns(table, "train")
    names = table.class_names
    if task.num_classes is not None:
        return task if names is None or len(names) != task.num_classes else _with_names(task, names)
    return _with_names(task, names or _labels_in(table, task))


def find_classes(config: TrialConfig) -> tuple[TrialConfig, list[str]]:
    """Return a config whose tasks know their classes, and a line for each task where these were found."""
    tasks, found = find_classes_of(config.tasks)
    return (config.model_copy(update={"tasks": tasks}) if found else config), found


def find_classes_of(tasks: Sequence[TaskSpec]) -> tuple[tuple[TaskSpec, ...], list[str]]:
    """Return tasks that know their classes, and a line for each of those where these were found.

    The lines are like `topic: 4 classes from topics-train.csv: billing, cancel, outage, other`. Raises what
    `with_classes` does.
    """
    known = tuple(with_classes(task) for task in tasks)
    return known, [_found(new) for old, new in zip(tasks, known, strict=True) if new != old]


def _found(task: TaskSpec) -> str:
    assert task.classes is not None, "they have been found"
    match task.source:
        case TableSource(train=train):
            origin = Path(train).name
        case HubSource(dataset=dataset):
            origin = Path(dataset).name if Path(dataset).is_absolute() else dataset
        case None:
            raise AssertionError("a task without a source knows its classes")
    return f"{task.name}: {len(task.classes)} classes from {origin}: {shown_names(task.classes)}"


def _with_names(task: TaskSpec, names: tuple[str, ...]) -> TaskSpec:
    """Return the task with these classes, checked again: its metrics may name one."""
    content = {**dict(task), "classes": list(names), "num_classes": len(names)}
    try:
        TaskSpec.model_validate(content)
    except ValidationError as error:
        raise ConfigError(problems_of(error, f"task '{task.name}'", TaskSpec, content)) from error
    # A copy knows which keys the YAML has.
    return task.model_copy(update={"classes": names, "num_classes": len(names)})


def _labels_in(table: Table, task: TaskSpec) -> tuple[str, ...]:
    """Return the distinct labels of a table, sorted.

    Raises:
        DataError: fewer than 2, more than 1,000 or as many as rows; numbers with a fraction; texts such as NaN among
            numbers; bytes; or -1 among numbers, which may be a class or mean that there is no label.
    """
    held = table.frame[table.columns.label]
    origin = f"{table.origin}: column '{table.columns.label}'"
    if any(isinstance(label, bytes) for label in held):
        raise DataError(f"{origin} holds bytes that are not UTF-8 text; write its labels as text or numbers")
    every_label = [label for label in map(class_label, held) if label is not None]
    if all(map(is_boolean, every_label)):
        every_label = [label.casefold() for label in every_label]
    if any(whole_number(label) is None for label in every_label):
        # Among names, -1 means that there is no label.
        every_label = [label for label in every_label if whole_number(label) != UNLABELED]
    labels = set(every_label)
    numbers = {label: number for label in labels if (number := whole_number(label)) is not None}
    if len(labels) < 2:
        only = f" ('{next(iter(labels))}')" if labels else ""
        raise DataError(
            f"{origin} holds {len(labels)} different label{'' if len(labels) == 1 else 's'}{only}, a classification "
            f"needs at least 2; name another column in {table.columns_from}, or give the classes of task '{task.name}'"
        )
    nothing = sorted(filter(is_like_nothing, labels))
    if nothing and len(nothing) < len(labels) and all(map(is_number, labels.difference(nothing))):
        raise DataError(
            f"{origin} holds '{nothing[0]}' among numbers, which is a text like others: an empty field means that "
            f"there is no label; empty these fields, or give the classes of task '{task.name}'"
        )
    if len(numbers) < len(labels) and all(map(is_number, labels)):
        example = next(label for label in sorted(labels) if label not in numbers)
        raise DataError(
            f"{origin} holds numbers such as {example}, which are no classes; declare task '{task.name}' as a "
            f"{'pair_' if task.kind.is_pair else ''}regression with label_range, or give its classes"
        )
    if len(labels) > MAX_CLASSES or _are_like_ids(len(labels), len(every_label)):
        raise DataError(
            f"{origin} holds {len(labels):,} different labels in {len(every_label):,} rows, so it hardly holds classes "
            f"(at most {MAX_CLASSES:,} are found, and fewer than rows); name another column in {table.columns_from}, "
            f"or give the classes of task '{task.name}'"
        )
    if len(numbers) < len(labels):
        return tuple(sorted(labels))
    # Texts with zeros in front, as codes have them, are names: 01 is not 1.
    in_order = sorted(labels, key=lambda label: numbers[label]) if all(map(is_plain, labels)) else sorted(labels)
    others = [label for label in in_order if numbers[label] != UNLABELED]
    if len(others) < len(in_order):
        raise DataError(
            f"{origin} holds {UNLABELED}, which is a class or means that there is no label; give the classes of task "
            f"'{task.name}': classes: {_listed(in_order)}, or classes: {_listed(others)} to leave these rows out"
        )
    return tuple(in_order)


def _are_like_ids(num_labels: int, num_rows: int) -> bool:
    """Tell whether nearly every row has a label of its own; a few rows may."""
    return num_labels == num_rows or num_labels > max(_FEW_CLASSES, num_rows / 2)


def _listed(labels: Sequence[str]) -> str:
    """Return labels as YAML has them: those that it would read as another number are in quotes."""
    return f"[{shown_names(tuple(label if is_plain(label) else repr(label) for label in labels))}]"
