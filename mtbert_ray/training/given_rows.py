"""From what a program hands over as the rows of a task to Examples: lists, pandas objects, pairs; and what is wrong."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtbert_ray.data.examples import Examples
from mtbert_ray.data.raw_table import ROWS_SHOWN
from mtbert_ray.data.rows_read import RowsRead
from mtbert_ray.data.sources import columns_of
from mtbert_ray.errors import DataError, did_you_mean
from mtbert_ray.tasks import TaskSpec

Rows = Iterable[str] | Iterable[tuple[str, str]] | pd.DataFrame
"""Texts; or, for pairs, (first, second) tuples; or a table with the task's columns."""
_EXAMPLE = {False: '["a text", ...]', True: '[("a text", "another"), ...]'}
"""By whether the task takes pairs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenRows:
    """The rows of one task."""

    examples: Examples
    """N rows without labels."""
    index: pd.Index
    """(N,): that of a pandas input, else 0 to N - 1."""


def rows_of(task: TaskSpec, rows: Rows) -> GivenRows:
    """Check rows against their task.

    Raises:
        DataError: they are not as the task needs them.
    """
    index = rows.index if isinstance(rows, pd.DataFrame | pd.Series) else None
    listed = _of_frame(task, rows) if isinstance(rows, pd.DataFrame) else _listed(task, rows)
    columns = _pair_columns(task, listed) if task.kind.is_pair else [_single_column(task, listed)]
    examples = Examples(
        ids=[str(number) for number in range(len(listed))],
        sentence1=columns[0],
        sentence2=columns[1] if len(columns) > 1 else None,
        labels=None,
        rows_read=RowsRead(num_rows=len(listed)),
        origin=task.name,
    )
    return GivenRows(examples=examples, index=pd.RangeIndex(len(listed)) if index is None else index)


def _of_frame(task: TaskSpec, frame: pd.DataFrame) -> list[Any]:
    """Return the task's column, or two as pairs: by the task's own names, or as they stand when there is no other."""
    names = columns_of(task)
    wanted = [name for name in (names.sentence1, names.sentence2 if task.kind.is_pair else None) if name is not None]
    there = list(frame.columns)
    if missing := [name for name in wanted if there.count(name) != 1]:
        # By their places only where no name is the task's: else a label or the other sentence could be taken for one.
        if len(there) != len(wanted) or any(name in there for name in (*wanted, names.label, names.id)):
            raise DataError(
                f"{task.name}: the DataFrame needs the column{'s' if len(wanted) > 1 else ''} {', '.join(wanted)}, "
                f"and has {', '.join(map(str, there)) or 'none'}{did_you_mean(missing[0], map(str, there))}"
            )
        parts = [frame.iloc[:, place].tolist() for place in range(len(wanted))]
    else:
        parts = [frame[name].tolist() for name in wanted]
    return list(zip(*parts, strict=True)) if task.kind.is_pair else parts[0]


def _listed(task: TaskSpec, rows: object) -> list[Any]:
    # A text is an iterable of texts too, and a set or a mapping has no order to match predictions with.
    if isinstance(rows, str | bytes | Mapping | Set) or not isinstance(rows, Iterable):
        kind = "a single text" if isinstance(rows, str) else f"a {type(rows).__name__}"
        raise DataError(f"{task.name}: expected a list, as {_EXAMPLE[task.kind.is_pair]}, got {kind}")
    return list(rows)


def _single_column(task: TaskSpec, rows: Sequence[Any]) -> list[str]:
    return [str(text) for text in _checked(task, rows, lambda row: _problem_with_text(row, example=_EXAMPLE[False]))]


def _pair_columns(task: TaskSpec, rows: Sequence[Any]) -> list[list[str]]:
    pairs = _checked(task, rows, _problem_with_pair)
    return [[str(pair[place]) for pair in pairs] for place in (0, 1)]


def _checked(task: TaskSpec, rows: Sequence[Any], problem_with: Callable[[object], str | None]) -> Sequence[Any]:
    problems = [f"{task.name}[{n}] {problem}" for n, row in enumerate(rows) if (problem := problem_with(row))]
    if not problems:
        return rows
    more = len(problems) - ROWS_SHOWN
    raise DataError("\n".join(problems[:ROWS_SHOWN] + [f"{task.name}: {more} more such rows"] * (more > 0)))


def _problem_with_text(value: object, *, example: str) -> str | None:
    if isinstance(value, str):
        return None if _is_unicode(value) else f"has half a surrogate pair, which is no character: {_short(value)}"
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return f"has no text ({value!r}); give '' for an empty one, or leave the row out"
    if _is_sequence(value):
        return f"is a {type(value).__name__} {_short(value)}, but the task takes one sentence; give {example}"
    return f"is no text but a {type(value).__name__} ({_short(value)}); give {example}"


def _problem_with_pair(row: object) -> str | None:
    example = _EXAMPLE[True]
    if not _is_sequence(row):
        return f"is a {type(row).__name__} ({_short(row)}), but the task takes pairs; give {example}"
    assert isinstance(row, Sequence | np.ndarray)
    if len(row) != 2:
        return f"has {len(row)} texts {_short(row)}, a pair has two; give {example}"
    problems = (_problem_with_text(text, example=example) for text in row)
    return next((problem for problem in problems if problem), None)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_sequence(value: object) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
