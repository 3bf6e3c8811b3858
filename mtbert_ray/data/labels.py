"""Labels: which texts and numbers are the same class, and the labels of a table's rows as numbers."""

import re
import unicodedata
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import pandas as pd

from mtbert_ray.data.table import Table, is_blank, is_missing
from mtbert_ray.errors import DataError, did_you_mean
from mtbert_ray.tasks import TaskSpec

BOOLEANS = ("false", "true")
"""Names of the classes of boolean labels, in the order of their numbers."""
UNLABELED = -1
"""Means "no label" where it is no valid label, as in GLUE's test files and many others."""
_NAMES_SHOWN = 20
_PLAIN_WHOLE = re.compile(r"(0|-?[1-9][0-9]*)(?:\.0*)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LIKE_NOTHING = frozenset({"nan", "none", "null", "na", "n/a", "<na>", "nat"})


def class_label(value: object) -> str | None:
    """Return a label as the name of its class; None where it is none.

    Whole numbers have no fraction: `1.0` is `1`, also in a text. Other texts stay as they are, so `01` is not `1`,
    except for spaces around them and Unicode's composition of accents (NFC).
    """
    if is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return BOOLEANS[int(value)]
    if isinstance(value, int | float | np.number) and float(value).is_integer():
        return str(int(value))
    return name_of(str(value)) or None


def name_of(text: str) -> str:
    """Return a class's name as names are compared: composed (NFC), stripped, whole numbers without a fraction."""
    name = unicodedata.normalize("NFC", text).strip()
    plain = _PLAIN_WHOLE.fullmatch(name)
    return name if plain is None else plain[1]


def loose_name_of(text: str) -> str:
    """Return a form that is the same for names which differ only in case or in how a number is written."""
    number = whole_number(text)
    return name_of(text).casefold() if number is None else str(number)


def whole_number(label: str) -> int | None:
    """Return the whole number that a label is, however it is written, or None."""
    try:
        if _INTEGER.fullmatch(label):
            return int(label)  # A float would lose the digits behind the sixteenth.
        number = float(label)
    except ValueError:
        return None
    return int(number) if number.is_integer() and "_" not in label else None


def is_plain(label: str) -> bool:
    """Return whether a text is no whole number, or is written as the number that it is: not `01`, `+1` or `1e3`."""
    number = whole_number(label)
    return number is None or str(number) == name_of(label)


def is_number(label: str) -> bool:
    """Return whether a label is a number, `nan` and `inf` among them."""
    try:
        float(label)
    except ValueError:
        return False
    return True


def is_boolean(label: str) -> bool:
    """Return whether a label is true or false; how Python, R, SQL and JSON write them differs."""
    return label.casefold() in BOOLEANS


def is_like_nothing(label: str) -> bool:
    """Return whether a text is one that programs write for a missing value, as `NaN`; here it is a text like others."""
    return label.casefold() in _LIKE_NOTHING


class Labels(NamedTuple):
    """The labels of some rows."""

    values: np.ndarray
    """(N,) float64, NaN where a row has none."""
    unknown: np.ndarray
    """(N,) bool: where a row has a label that is not the task's; its value is NaN too."""


def labels_of(table: Table, task: TaskSpec, frame: pd.DataFrame, *, allows_unknown: bool = False) -> Labels:
    """Return the labels of some rows.

    Labels are read as names of classes where every label of the column is one, else as numbers, written 0, 0.0 or "0".
    Booleans, and texts that are all true or false in any case, are the classes of these names, or 0 and 1 of two
    classes without names. A row has no label where the column is empty there, or holds -1 and that is no label of the
    task's. With `allows_unknown` other labels may occur, as a new class in rows to predict. They may not where they
    are the majority, or seem to be counted or written otherwise: the rest would be scored wrongly.

    Raises:
        DataError: labels that are not the task's.
    """
    held = frame[table.columns.label].map(lambda value: value if isinstance(value, Hashable) else str(value))
    missing = is_blank(held)
    values = _numbers(held) if task.kind.is_regression else _classes(held, missing, task)
    valid = ~np.isnan(values)
    if task.label_range is not None:
        low, high = task.label_range
        valid = (values >= low) & (values <= high)
    wrong = ~valid & ~missing & ~(_numbers(held) == UNLABELED)
    if wrong.any():
        few = allows_unknown and 2 * wrong.sum() <= (~missing).sum()
        if not few or _hint(frame[table.columns.label], task):
            raise DataError(_wrong_labels(table, task, frame, wrong))
    return Labels(np.where(valid, values, np.nan), wrong)


def _numbers(held: pd.Series) -> np.ndarray:
    """Return a column as numbers, (N,) float64, NaN for anything else, as booleans."""
    values = held.astype(object)
    values = values.mask(values.map(lambda value: isinstance(value, bool | np.bool_)).astype(bool), None)
    numbers: np.ndarray = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return numbers


def _classes(held: pd.Series, missing: np.ndarray, task: TaskSpec) -> np.ndarray:
    """Return the numbers of the classes, (N,) float64, NaN where a label is none of them."""
    assert task.num_classes is not None, "data.classes.with_classes has found the classes"
    codes, distinct = pd.factorize(held.astype(object).where(~missing, None))
    labels = [class_label(value) or "" for value in distinct]
    by_name, by_number = _by_name(labels, task), _by_number(labels, task)
    # -1 is decided on later: it must not make names count as numbers.
    asked = [position for position, label in enumerate(labels) if whole_number(label) != UNLABELED]
    strangers = [[chosen[position] is None for position in asked].count(True) for chosen in (by_name, by_number)]
    chosen = by_name if strangers[0] <= strangers[1] else by_number
    number_of = np.array([np.nan if number is None else number for number in chosen] + [np.nan], dtype=np.float64)
    classes: np.ndarray = number_of[codes]  # The code of what is missing is -1.
    return classes


def _by_name(labels: list[str], task: TaskSpec) -> list[int | None]:
    number_of = {name_of(name): number for number, name in enumerate(task.class_names)}
    booleans = {name.casefold(): number for name, number in number_of.items() if is_boolean(name)}
    # Where zeros in front are a part of some names, 01 is not another way to write 1.
    takes_numbers = all(map(is_plain, number_of))
    found: list[int | None] = []
    for label in labels:
        number = number_of.get(label, booleans.get(label.casefold()))
        if number is None and takes_numbers and (whole := whole_number(label)) is not None:
            number = number_of.get(str(whole))
        found.append(number)
    return found


def _by_number(labels: list[str], task: TaskSpec) -> list[int | None]:
    """Return the classes by their numbers; nothing where numbers are names of other classes.

    False and true are the numbers of two classes that have no names, where no label is anything else.
    """
    assert task.num_classes is not None
    if task.classes is None and task.num_classes == len(BOOLEANS) and all(map(is_boolean, labels)):
        return [BOOLEANS.index(label.casefold()) for label in labels]
    names = [whole_number(name) for name in task.class_names]
    if any(name is not None and name != number for number, name in enumerate(names)):
        return [None] * len(labels)
    numbers = map(whole_number, labels)
    return [number if number is not None and 0 <= number < task.num_classes else None for number in numbers]


def _wrong_labels(table: Table, task: TaskSpec, frame: pd.DataFrame, wrong: np.ndarray) -> str:
    column = table.columns.label
    first = frame[column].iloc[int(np.flatnonzero(wrong)[0])]
    near = "" if task.classes is None else did_you_mean(class_label(first), task.classes)
    return (
        f"{table.origin}: column '{column}' has {int(wrong.sum())} of {len(frame)} labels that are not "
        f"{allowed_labels(task)}: {table.places(frame, wrong, column)}{near or '.'} Correct these rows, or "
        f"the declaration of task '{task.name}'{_hint(frame[column], task)}"
    )


def _hint(held: pd.Series, task: TaskSpec) -> str:
    """Return a hint how to declare the task, where the labels give one."""
    labels = {label for label in map(class_label, held) if label is not None}
    nothing = sorted(label for label in labels if is_like_nothing(label) and label not in task.class_names)
    if nothing:
        return f": '{nothing[0]}' is a text like others, an empty field means that there is no label"
    if task.num_classes is None:
        return ""
    if any(map(is_boolean, labels)) and not any(map(is_boolean, task.class_names)):
        names = "classes: ['false', 'true'], in quotes"
        return f": labels that are true and false are the classes of those names, write {names}"
    numbers = {whole_number(label) for label in labels}
    if None not in numbers and numbers and numbers <= set(range(1, task.num_classes + 1)):
        if task.classes is not None:
            return ": labels seem to count from 1; subtract 1, or write the names of the classes"
        return (
            ": labels seem to count from 1; leave num_classes out, then the classes are taken from the file, or "
            "subtract 1"
        )
    if task.classes is None and len(labels) <= task.num_classes and numbers == {None}:
        return ": leave num_classes out, then the names of the classes are taken from the file"
    return ""


def allowed_labels(task: TaskSpec) -> str:
    """Describe the allowed labels, for a message."""
    if task.label_range is not None:
        return f"a number from {task.label_range[0]:g} to {task.label_range[1]:g}"
    assert task.num_classes is not None, "data.classes.with_classes has found the classes"
    if task.classes is None:
        return f"a class 0 to {task.num_classes - 1}"
    return f"one of the classes {shown_names(task.classes)}"


def shown_names(names: tuple[str, ...]) -> str:
    """Return the names of classes in one line, cut where there are many."""
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
