"""A table as it was read, with the names of a task's columns in it; and how its rows are named to people."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mtbert_ray.errors import DataError, did_you_mean
from mtbert_ray.task_source import Columns

Split = Literal["train", "dev", "test"]

ROWS_SHOWN = 3
"""How many faulty rows a message quotes."""
_LARGEST_EXACT = 2**53
"""Every whole number up to here is exact as a float."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTable:
    """A table as it was read, and how a task's columns are called in it."""

    frame: pd.DataFrame
    """Its index is the numbers of the rows, from 0."""
    columns: Columns
    origin: str
    """File or data set, for messages."""
    columns_from: str
    """What decides the names of the columns, for messages: a setting the user can change, or a fixed format."""
    class_names: tuple[str, ...] | None = None
    """Of the label column, in the order of their numbers, where the data set itself names its classes."""
    num_blank_lines: int = 0
    """Of a text file: passed over."""

    def ids(self, frame: pd.DataFrame) -> list[str]:
        """Return the identifiers of some rows as text; without such a column, row numbers from 0 in the source."""
        values = frame.index if self.columns.id is None else frame[self.columns.id]
        return [_identifier(value) for value in values.astype(object)]

    def place(self, frame: pd.DataFrame, position: int) -> str:
        """Name a row by its number in the source, counted from 1 below the header, and its id where there is one."""
        row = frame.iloc[[position]]
        number = int(row.index[0]) + 1
        return f"row {number}" if self.columns.id is None else f"row {number} (id {self.ids(row)[0]})"

    def places(self, frame: pd.DataFrame, faulty: np.ndarray, column: str | None = None) -> str:
        """Name the first few faulty rows, with what `column` holds there.

        Args:
            frame: rows of the table.
            faulty: (N,) bool
            column: none shows no content.
        """
        shown = []
        for position in np.flatnonzero(faulty)[:ROWS_SHOWN]:
            value = None if column is None else frame[column].iloc[position]
            held = "" if column is None else f" has {value.item() if isinstance(value, np.generic) else value!r}"
            shown.append(self.place(frame, int(position)) + held)
        more = int(faulty.sum()) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")


def require_columns(table: RawTable, split: Split) -> None:
    """Refuse a table that lacks a column of the task's, or has two of its name.

    Raises:
        DataError: with every such column, and the names that there are.
    """
    columns = table.columns
    wanted = {"sentence1": columns.sentence1, "sentence2": columns.sentence2, "id": columns.id}
    if split != "test":
        wanted["label"] = columns.label
    there = [str(name) for name in table.frame.columns]
    named = {role: name for role, name in wanted.items() if name is not None}
    problems = [
        f"no column '{name}' for {role}{did_you_mean(name, there)}" for role, name in named.items() if name not in there
    ]
    problems += [
        f"{there.count(name)} columns are called '{name}', so which one is {role} cannot be told; rename the others"
        for role, name in named.items()
        if there.count(name) > 1
    ]
    if not problems:
        return
    separator = "" if len(there) > 1 else " Only one column was found: is the separator right?"
    shown = ", ".join(name or "(without a name)" for name in there)
    raise DataError(
        f"{table.origin}: {'; '.join(problems)}. The columns are: {shown}.{separator} "
        f"The names come from {table.columns_from}"
    )


def _identifier(value: object) -> str:
    """Return an identifier as text: none is empty, and whole numbers have no fraction, as gaps give it to integers."""
    if is_missing(value):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) <= _LARGEST_EXACT:
        return str(int(value))
    return str(value)


def is_missing(value: object) -> bool:
    """Tell whether a cell holds nothing: None, NaN, NaT or pandas' NA."""
    is_nan = isinstance(value, float | np.floating) and bool(np.isnan(value))
    return value is None or value is pd.NA or value is pd.NaT or is_nan


def is_blank(values: pd.Series) -> np.ndarray:
    """Tell which values (N,) are missing or text of nothing but spaces."""
    texts = values.astype(object)
    return np.array(
        [value.isspace() or not value if isinstance(value, str) else is_missing(value) for value in texts], dtype=bool
    )
