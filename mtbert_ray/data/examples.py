"""Examples: the checked rows of one split, whatever they were read from. Knows no file format and no tokenizer."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mtbert_ray.errors import DataError, did_you_mean
from mtbert_ray.tasks import Columns, TaskSpec

Split = Literal["train", "dev", "test"]

MAX_FAULTY_SHARE = 0.01
"""Share of rows that may lack a label (they are left out) or a sentence (it is taken as empty); more is an error."""

ROWS_SHOWN = 3
"""How many faulty rows a message quotes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """The rows of one split of one task, in the order of the source."""

    ids: list[str]
    sentence1: list[str]
    sentence2: list[str] | None
    """The second sentences of pairs; none for single sentences."""
    labels: np.ndarray | None
    """(N,) float64; classes are whole numbers. None for a test split, even if its file has labels."""
    num_unlabelled: int
    """Rows of the source left out because they have no label."""
    origin: str
    """File or data set, for messages."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTable:
    """A table as it was read, and how a task's columns are called in it."""

    frame: pd.DataFrame
    columns: Columns
    origin: str
    columns_from: str
    """What decides the names of the columns, for messages: a setting the user can change, or a fixed format."""
    unlabelled: float | None = None
    """A label that also means "none" where it is not a valid label, as the -1 of GLUE's test splits."""


def examples_of(table: RawTable, task: TaskSpec, split: Split) -> Examples:
    """Check a table against its task and return its rows.

    Rows without a label are left out and counted, up to 1% of the rows. A missing or blank sentence is kept as the
    empty string (an encoder reads it as `[CLS] [SEP]`), up to 1% of the rows that remain, so that a real file with a
    few gaps loads whole while a wrong column does not pass.

    Raises:
        DataError: a column is missing or holds no text, no rows, labels that are not the task's, too many gaps.
    """
    _require_columns(table, split)
    frame = table.frame.reset_index(drop=True)
    if frame.empty:
        raise DataError(f"{table.origin}: has no rows below its header; a {split} split needs at least one")
    labels: np.ndarray | None = None
    if split != "test":
        labels = _labels(table, task, frame)
        labelled = ~np.isnan(labels)
        frame, labels = frame[labelled], labels[labelled]
    second = table.columns.sentence2
    return Examples(
        ids=_ids(table, frame),
        sentence1=_texts(table, frame, table.columns.sentence1),
        sentence2=None if second is None else _texts(table, frame, second),
        labels=labels,
        num_unlabelled=len(table.frame) - len(frame),
        origin=table.origin,
    )


def _require_columns(table: RawTable, split: Split) -> None:
    columns = table.columns
    wanted = {"sentence1": columns.sentence1, "sentence2": columns.sentence2, "id": columns.id}
    if split != "test":
        wanted["label"] = columns.label
    there = [str(name) for name in table.frame.columns]
    missing = [
        f"no column '{name}' for {role}{did_you_mean(name, there)}"
        for role, name in wanted.items()
        if name is not None and name not in there
    ]
    if not missing:
        return
    separator = "" if len(there) > 1 else " Only one column was found: is the separator right?"
    raise DataError(
        f"{table.origin}: {'; '.join(missing)}. The columns are: {', '.join(there)}.{separator} "
        f"The names come from {table.columns_from}"
    )


def _ids(table: RawTable, frame: pd.DataFrame) -> list[str]:
    """Identifiers as text; without such a column, row numbers from 0 in the source."""
    values = frame.index if table.columns.id is None else frame[table.columns.id]
    return [str(value) for value in values]


def _place(table: RawTable, frame: pd.DataFrame, position: int) -> str:
    """Name a row by its number in the source, counted from 1 below the header, and its id where there is one."""
    row = frame.iloc[[position]]
    number = int(row.index[0]) + 1
    return f"row {number}" if table.columns.id is None else f"row {number} (id {_ids(table, row)[0]})"


def _places(table: RawTable, frame: pd.DataFrame, faulty: np.ndarray, column: str | None = None) -> str:
    """Name the first few faulty rows, with what `column` holds there."""
    shown = []
    for position in np.flatnonzero(faulty)[:ROWS_SHOWN]:
        value = None if column is None else frame[column].iloc[position]
        held = "" if column is None else f" has {value.item() if isinstance(value, np.generic) else value!r}"
        shown.append(_place(table, frame, int(position)) + held)
    more = int(faulty.sum()) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def is_blank(values: pd.Series) -> np.ndarray:
    """Tell which values are missing or text of nothing but spaces."""
    texts = values.astype(object)
    return np.array([value.isspace() or not value if isinstance(value, str) else pd.isna(value) for value in texts])


def _texts(table: RawTable, frame: pd.DataFrame, column: str) -> list[str]:
    """Return a column's sentences, blank ones as empty strings."""
    values = frame[column].astype(object)
    not_text = np.array([not isinstance(value, str) and not _is_missing(value) for value in values])
    if not_text.any():
        raise DataError(
            f"{table.origin}: column '{column}' must hold text, but {_places(table, frame, not_text, column)}. "
            f"The names come from {table.columns_from}"
        )
    blank = is_blank(values)
    if blank.sum() > MAX_FAULTY_SHARE * len(frame):
        raise DataError(
            f"{table.origin}: column '{column}' has no sentence in {int(blank.sum())} of {len(frame)} rows, at most "
            f"{MAX_FAULTY_SHARE:.0%} may be empty: {_places(table, frame, blank)}. Fill or delete these rows, "
            f"or name another column in {table.columns_from}"
        )
    return ["" if is_empty else value for value, is_empty in zip(values, blank, strict=True)]


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _labels(table: RawTable, task: TaskSpec, frame: pd.DataFrame) -> np.ndarray:
    """Return the labels (N,) as float64, NaN where a row has none.

    Raises:
        DataError: labels that are not the task's, or more than 1% of the rows without one.
    """
    column = table.columns.label
    held = frame[column]
    values = pd.to_numeric(held.astype(object), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    missing = is_blank(held)
    valid = _is_valid(values, task)
    if table.unlabelled is not None:
        missing |= (values == table.unlabelled) & ~valid
    wrong = ~valid & ~missing
    if wrong.any():
        raise DataError(
            f"{table.origin}: column '{column}' has {int(wrong.sum())} of {len(frame)} labels that are not "
            f"{_allowed(task)}: {_places(table, frame, wrong, column)}. Mend these rows, or the declaration of "
            f"task '{task.name}'"
        )
    if missing.sum() > MAX_FAULTY_SHARE * len(frame):
        raise DataError(
            f"{table.origin}: column '{column}' has no label in {int(missing.sum())} of {len(frame)} rows, at most "
            f"{MAX_FAULTY_SHARE:.0%} may be left out: {_places(table, frame, missing)}. Label or delete these rows, "
            f"or name another column in {table.columns_from}"
        )
    return np.where(missing, np.nan, values)


def _is_valid(values: np.ndarray, task: TaskSpec) -> np.ndarray:
    if task.kind.is_regression:
        assert task.label_range is not None, "a TaskSpec checks that a regression has a label_range"
        valid: np.ndarray = (values >= task.label_range[0]) & (values <= task.label_range[1])
    else:
        assert task.num_classes is not None, "a TaskSpec checks that a classification has num_classes"
        valid = (values >= 0) & (values < task.num_classes) & (values == np.floor(values))
    return valid


def _allowed(task: TaskSpec) -> str:
    if task.label_range is not None:
        return f"a number from {task.label_range[0]:g} to {task.label_range[1]:g}"
    assert task.num_classes is not None
    return f"a class 0 to {task.num_classes - 1}"
