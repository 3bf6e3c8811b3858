"""What became of the rows of a source: how many were read, left out, or have no text. Said wherever rows are read."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mtbert_ray.data.labels import labels_of
from mtbert_ray.data.table import RawTable, Split, is_blank, is_missing, require_columns
from mtbert_ray.errors import DataError
from mtbert_ray.tasks import TaskSpec


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Rows that lack something."""

    count: int = 0
    places: str = ""
    """The first few of them, as `row 60, row 71`."""


@dataclass(frozen=True, kw_only=True)
class RowsRead:
    """The rows of a source, counted."""

    num_rows: int
    """Below the header, those that were left out among them."""
    unlabeled: Gaps = Gaps()
    """Rows without a label."""
    unknown: Gaps = Gaps()
    """Rows whose label is not one of the task's; they occur among rows to predict alone."""
    keeps_unlabeled: bool = False
    """Whether these are read all the same, as for predictions; else they are left out."""
    empty: Gaps = Gaps()
    """Rows of which a sentence is empty; they are kept."""
    num_blank_lines: int = 0
    """Lines of a text file that are no rows: nothing but spaces stands there."""
    dev_rows: str | None = None
    """How these rows were cut from the training rows, as `120 of 1,200 training rows, drawn with seed 0`."""

    num_for_dev: int = 0
    """Training rows that were cut off as dev rows; said with what else there is to say, for the dev rows say it."""

    def said(self) -> str | None:
        """Return what a user should know of them, or None where every row was read and has what it needs."""
        if self.dev_rows is not None:
            return self.dev_rows
        facts = []
        if self.unlabeled.count:
            without = f"no label: {self.unlabeled.places}"
            if self.keeps_unlabeled:
                facts.append(f"{self.unlabeled.count:,} not scored ({without})")
            else:
                facts.append(f"{self.unlabeled.count:,} left out ({without})")
        if self.unknown.count:
            facts.append(f"{self.unknown.count:,} not scored (no label of the task's: {self.unknown.places})")
        if self.empty.count:
            facts.append(f"{self.empty.count:,} with an empty text ({self.empty.places})")
        if self.num_blank_lines:
            facts.append(f"{_counted(self.num_blank_lines, 'blank line')} passed over")
        if not facts:
            return None
        if self.num_for_dev:
            facts.append(f"{self.num_for_dev:,} are dev rows")
        left_out = 0 if self.keeps_unlabeled else self.unlabeled.count
        read = f"{self.num_rows - left_out:,} of {self.num_rows:,} rows" if left_out else f"{self.num_rows:,} rows"
        return "; ".join([read, *facts])


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


__all__ = ["Examples", "RawTable", "Split", "examples_of"]

MAX_FAULTY_SHARE = 0.01
"""Share of rows that may lack a label (they are left out) or a sentence (it is taken as empty); more is an error."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """The rows of one split of one task, in the order of the source."""

    ids: list[str]
    sentence1: list[str]
    sentence2: list[str] | None
    """The second sentences of pairs; none for single sentences."""
    labels: np.ndarray | None
    """(N,) float64; classes are whole numbers. NaN for a row without a label, which only rows to predict can be. None
    for a test split, even if its file has labels."""
    origin: str
    """File or data set, for messages."""
    rows_read: RowsRead
    """What became of the rows of the whole source."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_unlabeled(self) -> int:
        """Rows of the source that have no label."""
        return self.rows_read.unlabeled.count

    def only(self, rows: np.ndarray) -> "Examples":
        """Return some of the rows, by their positions."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            sentence1=[self.sentence1[row] for row in rows],
            sentence2=None if self.sentence2 is None else [self.sentence2[row] for row in rows],
            labels=None if self.labels is None else self.labels[rows],
        )


def examples_of(table: RawTable, task: TaskSpec, split: Split, *, every_row: bool = False) -> Examples:
    """Check a table against its task and return its rows.

    Rows without a label are left out and counted, up to 1% of the rows. A missing or blank sentence is kept as the
    empty string (an encoder reads it as `[CLS] [SEP]`), up to 1% of the rows that remain, so that a real file with a
    few gaps loads whole while a wrong column does not pass. Rows to predict have no such limits: each is kept, also one
    whose label is not the task's.

    Args:
        table: as read.
        task: whose rows they are; its classes are known.
        split: a test split's labels are not looked at.
        every_row: keep rows without a label of the task's, as for predictions.

    Raises:
        DataError: a column is missing or holds no text, no rows, labels that are not the task's, too many gaps.
    """
    require_columns(table, split)
    frame = table.frame.reset_index(drop=True)
    if frame.empty:
        raise DataError(f"{table.origin}: has no rows below its header; a {split} split needs at least one")
    is_lenient = every_row or split == "test"
    labels: np.ndarray | None = None
    unlabeled = unknown = Gaps()
    if split != "test":
        labels, is_unknown = labels_of(table, task, frame, allows_unknown=is_lenient)
        unlabeled = _unlabeled(table, frame, np.isnan(labels) & ~is_unknown, limited=not is_lenient)
        unknown = Gaps(count=int(is_unknown.sum()), places=table.places(frame, is_unknown, table.columns.label))
        if not is_lenient:
            labeled = ~np.isnan(labels)
            frame, labels = frame[labeled], labels[labeled]
    columns = [name for name in (table.columns.sentence1, table.columns.sentence2) if name is not None]
    texts = [_texts(table, frame, column, limited=not is_lenient) for column in columns]
    is_empty = np.array([not all(row) for row in zip(*texts, strict=True)], dtype=bool)
    return Examples(
        ids=table.ids(frame),
        sentence1=texts[0],
        sentence2=texts[1] if len(texts) > 1 else None,
        labels=labels,
        origin=table.origin,
        rows_read=RowsRead(
            num_rows=len(table.frame),
            unlabeled=unlabeled,
            unknown=unknown,
            keeps_unlabeled=is_lenient,
            empty=_gaps(table, frame, is_empty),
            num_blank_lines=table.num_blank_lines,
        ),
    )


def _gaps(table: RawTable, frame: pd.DataFrame, faulty: np.ndarray) -> Gaps:
    return Gaps(count=int(faulty.sum()), places=table.places(frame, faulty))


def _unlabeled(table: RawTable, frame: pd.DataFrame, missing: np.ndarray, *, limited: bool) -> Gaps:
    """Count the rows without a label; refuse more than 1% of them where that is `limited`."""
    if limited and missing.sum() > MAX_FAULTY_SHARE * len(frame):
        raise DataError(
            f"{table.origin}: column '{table.columns.label}' has no label in {int(missing.sum())} of {len(frame)} "
            f"rows, at most {MAX_FAULTY_SHARE:.0%} may be left out: {table.places(frame, missing)}. Label or delete "
            f"these rows, or name another column in {table.columns_from}"
        )
    return _gaps(table, frame, missing)


def _texts(table: RawTable, frame: pd.DataFrame, column: str, *, limited: bool) -> list[str]:
    """Return a column's sentences, blank ones as empty strings; refuse more than 1% of these where `limited`."""
    values = frame[column].astype(object)
    not_text = np.array([not isinstance(value, str) and not is_missing(value) for value in values], dtype=bool)
    if not_text.any():
        raise DataError(
            f"{table.origin}: column '{column}' must hold text, but {table.places(frame, not_text, column)}. "
            f"The names come from {table.columns_from}"
        )
    blank = is_blank(values)
    if limited and blank.sum() > MAX_FAULTY_SHARE * len(frame):
        raise DataError(
            f"{table.origin}: column '{column}' has no sentence in {int(blank.sum())} of {len(frame)} rows, at most "
            f"{MAX_FAULTY_SHARE:.0%} may be empty: {table.places(frame, blank)}. Fill or delete these rows, "
            f"or name another column in {table.columns_from}"
        )
    return ["" if is_empty else value for value, is_empty in zip(values, blank, strict=True)]
