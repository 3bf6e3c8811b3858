"""The labeled rows of a task, checked and counted, and the dev rows cut from its training rows."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mtbert_ray.data.labels import labels_of
from mtbert_ray.data.table import Split, Table, is_blank, is_missing, require_columns
from mtbert_ray.errors import DataError
from mtbert_ray.task_source import DevSplit
from mtbert_ray.tasks import TaskSpec

MAX_FAULTY_SHARE = 0.01
"""Share of rows that may lack a label (they are left out) or a sentence (it is taken as empty); more is an error."""
NUM_BINS = 10
"""Equally filled ranges of a regression's labels, each of which gives its share; fewer where there are few dev rows."""


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Rows that lack something."""

    count: int = 0
    places: str = ""
    """The first few of them, as `row 60, row 71`."""


@dataclass(frozen=True, kw_only=True)
class RowsRead:
    """The rows of a source, counted: all, those with gaps, those cut off as dev rows."""

    num_rows: int
    """Below the header, those that were left out among them."""
    unlabeled: Gaps = Gaps()
    """Rows without a label."""
    unknown: Gaps = Gaps()
    """Rows to predict whose label is not one of the task's."""
    keeps_unlabeled: bool = False
    """Whether rows without a label are kept, as for predictions; else they are left out."""
    empty: Gaps = Gaps()
    """Rows of which a sentence is empty; they are kept."""
    num_blank_lines: int = 0
    """Lines of a text file that hold nothing but spaces and are no rows."""
    dev_rows: str | None = None
    """How these rows were cut from the training rows, as `120 of 1,200 training rows, drawn with seed 0`."""
    num_for_dev: int = 0
    """Training rows that were cut off as dev rows."""

    def note(self) -> str | None:
        """Return a note for the user, or None where every row was read and has what it needs."""
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
            lines = "blank line" if self.num_blank_lines == 1 else "blank lines"
            facts.append(f"{self.num_blank_lines:,} {lines} skipped")
        if not facts:
            return None
        if self.num_for_dev:
            facts.append(f"{self.num_for_dev:,} are dev rows")
        left_out = 0 if self.keeps_unlabeled else self.unlabeled.count
        read = f"{self.num_rows - left_out:,} of {self.num_rows:,} rows" if left_out else f"{self.num_rows:,} rows"
        return "; ".join([read, *facts])


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
    """Counts of the whole source."""

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


def examples_of(table: Table, task: TaskSpec, split: Split, *, every_row: bool = False) -> Examples:
    """Check a table against its task and return its rows.

    Rows without a label are left out and counted, up to 1% of the rows. A missing or blank sentence is kept as the
    empty string (an encoder reads it as `[CLS] [SEP]`), up to 1% of the rows that remain, so that a real file with a
    few gaps loads whole while a wrong column does not pass. Rows to predict (a test split, or `every_row`) have no such
    limits: each is kept, also one whose label is not the task's. A test split's labels are not read.

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
        is_unlabeled = np.isnan(labels) & ~is_unknown
        if not is_lenient:
            _refuse_many(table, frame, is_unlabeled, table.columns.label, "label")
        unlabeled = _gaps(table, frame, is_unlabeled)
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


def _gaps(table: Table, frame: pd.DataFrame, faulty: np.ndarray) -> Gaps:
    return Gaps(count=int(faulty.sum()), places=table.places(frame, faulty))


def _refuse_many(table: Table, frame: pd.DataFrame, faulty: np.ndarray, column: str, what: str) -> None:
    """Refuse more than 1% of faulty rows."""
    if faulty.sum() > MAX_FAULTY_SHARE * len(frame):
        raise DataError(
            f"{table.origin}: column '{column}' has no {what} in {int(faulty.sum())} of {len(frame)} rows, at most "
            f"{MAX_FAULTY_SHARE:.0%} may lack one: {table.places(frame, faulty)}. Complete or delete these rows, or "
            f"name another column in {table.columns_from}"
        )


def _texts(table: Table, frame: pd.DataFrame, column: str, *, limited: bool) -> list[str]:
    """Return a column's sentences, blank ones as empty strings."""
    values = frame[column].astype(object)
    not_text = np.array([not isinstance(value, str) and not is_missing(value) for value in values], dtype=bool)
    if not_text.any():
        raise DataError(
            f"{table.origin}: column '{column}' must hold text, but {table.places(frame, not_text, column)}. "
            f"The names come from {table.columns_from}"
        )
    blank = is_blank(values)
    if limited:
        _refuse_many(table, frame, blank, column, "sentence")
    return ["" if is_empty else value for value, is_empty in zip(values, blank, strict=True)]


def dev_rows(labels: np.ndarray, split: DevSplit, *, is_regression: bool) -> np.ndarray:
    """Return the positions of the dev rows, rising.

    Each class gives its share, rounded so that the whole comes out right, and keeps at least one training row, so the
    only row of its class is never a dev row. A regression's labels, (N,), are stratified by their quantiles; at least
    one row of all is kept. The same labels, share and seed give the same rows.
    """
    num_wanted = round(split.dev * len(labels))
    if is_regression:
        num_wanted = min(num_wanted, len(labels) - 1)
    strata = _quantile_bins(labels, min(NUM_BINS, max(1, num_wanted))) if is_regression else labels
    rng = np.random.default_rng(split.seed)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    sizes = [len(rows) for rows in members]
    largest = sizes if is_regression else [size - 1 for size in sizes]
    counts = _apportioned(sizes, largest, split.dev, num_wanted)
    drawn = [rng.permutation(rows)[:count] for rows, count in zip(members, counts, strict=True)]
    return np.sort(np.concatenate(drawn)) if drawn else np.array([], dtype=np.int64)


def _quantile_bins(labels: np.ndarray, num_bins: int) -> np.ndarray:
    """Return a bin for each label, (N,), all equally filled; rows of one label may be in two bins."""
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[np.argsort(labels, kind="stable")] = np.arange(len(labels))
    bins: np.ndarray = ranks * num_bins // max(1, len(labels))
    return bins


def _apportioned(sizes: list[int], largest: list[int], share: float, num_wanted: int) -> list[int]:
    """Share the dev rows out by the largest remainders; a stratum gives its `largest` count at most."""
    shares = [round(share * size, 9) for size in sizes]  # 0.29 * 100 is 28.999999999999996.
    counts = [min(math.floor(wanted), most) for wanted, most in zip(shares, largest, strict=True)]
    for index in sorted(range(len(sizes)), key=lambda index: (counts[index] - shares[index], index)):
        if sum(counts) < num_wanted and counts[index] < min(shares[index], largest[index]):
            counts[index] += 1
    return counts
