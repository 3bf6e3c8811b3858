"""A table read from a .csv, .tsv or .parquet file, and how messages name its rows."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from mtbert_ray.data.delimited import BY_SOURCE, Remedies, TextFormat, read_records
from mtbert_ray.errors import DataError, did_you_mean
from mtbert_ray.task_source import Columns, Quoting

Split = Literal["train", "dev", "test"]

ROWS_SHOWN = 3
"""How many faulty rows a message quotes."""
_LARGEST_EXACT = 2**53
"""Every whole number up to here is exact as a float."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table as it was read, and the names of a task's columns in it."""

    frame: pd.DataFrame
    """Its index is the numbers of the rows, from 0. Every name is a text; names may occur twice."""
    origin: str
    """File or data set, for messages."""
    columns: Columns = field(default_factory=Columns)
    columns_from: str = ""
    """What decides the names of the columns, for messages: a key of the config, or a fixed format."""
    class_names: tuple[str, ...] | None = None
    """Of the label column, in the order of their numbers, where the data set itself names its classes."""
    num_blank_lines: int = 0
    """Of a text file: lines of nothing but spaces, which are no rows."""

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
        """Name the first few faulty rows of N, (N,) bool, with what `column` holds there."""
        shown = []
        for position in np.flatnonzero(faulty)[:ROWS_SHOWN]:
            value = None if column is None else frame[column].iloc[position]
            held = "" if column is None else f" has {value.item() if isinstance(value, np.generic) else value!r}"
            shown.append(self.place(frame, int(position)) + held)
        more = int(faulty.sum()) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")


def require_columns(table: Table, split: Split) -> None:
    """Refuse a table that lacks a column of the task's, or has two of its name; report all of them."""
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
        f"{there.count(name)} columns are called '{name}', rename all but the one that is {role}"
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
    """Return an identifier as text: none is empty; whole numbers lose the fraction that gaps give to integers."""
    if is_missing(value):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) <= _LARGEST_EXACT:
        return str(int(value))
    return str(value)


def is_missing(value: object) -> bool:
    """Return whether a cell holds nothing: None, NaN, NaT or pandas' NA."""
    is_nan = isinstance(value, float | np.floating) and bool(np.isnan(value))
    return value is None or value is pd.NA or value is pd.NaT or is_nan


def is_blank(values: pd.Series) -> np.ndarray:
    """Return which values (N,) are missing or text of nothing but spaces."""
    texts = values.astype(object)
    return np.array(
        [value.isspace() or not value if isinstance(value, str) else is_missing(value) for value in texts], dtype=bool
    )


SEPARATORS = {".csv": ",", ".tsv": "\t"}
FORMATS = (*SEPARATORS, ".parquet")
_NAMELESS_LEVEL = "__index_level_"
"""How the column of a pandas index without a name begins in a file."""
_HEAD_BYTES = 1 << 16
"""Enough for any header line."""
_BOM = b"\xef\xbb\xbf"


def read_table(
    path: Path,
    *,
    separator: str | None = None,
    quoting: Quoting = "auto",
    escapechar: str | None = None,
    remedies: Remedies = BY_SOURCE,
) -> Table:
    """Read a file by its extension, every field of a text file as text.

    Nothing written in a text file counts as missing: "NA", "null" and "None" are sentences like others. The named index
    of a Parquet file is a column like others. Without a `separator` a .tsv file is separated by tabs and a .csv
    file by commas. The `remedies` are for trouble with quotes, in messages.

    Raises:
        DataError: no such file, an unknown extension, not text or not Parquet, empty, rows that cannot be separated,
            or as for `read_records`.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise DataError(f"{path}: the extension '{path.suffix}' is not known; allowed are {', '.join(FORMATS)}")
    if not path.exists():
        raise DataError(f"{path}: no such file (relative paths start from the current folder, {Path.cwd()})")
    try:
        if suffix == ".parquet":
            return Table(frame=_with_index(_parquet(path)), origin=str(path))
        form = TextFormat(
            separator=separator or SEPARATORS[suffix], quoting=quoting, escapechar=escapechar, remedies=remedies
        )
        records = read_records(_text_of(path), form, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except pa.ArrowException as error:
        raise DataError(f"{path}: is not a Parquet file: {error}") from error
    frame = pd.DataFrame(records.rows, columns=pd.Index(records.header, dtype=object), dtype=object)
    return Table(frame=frame, origin=str(path), num_blank_lines=records.num_blank_lines)


def separator_in(path: Path, *, otherwise: str | None) -> str | None:
    """Return what separates the fields of a text file: a tab where its header line has one.

    The course's files are separated by tabs and called .csv. Without a tab, and for a file that is no text or is not
    there, it is `otherwise`.
    """
    if path.suffix.lower() not in SEPARATORS:
        return otherwise
    try:
        with path.open("rb") as file:
            lines = re.split(rb"[\r\n]+", file.read(_HEAD_BYTES).removeprefix(_BOM))
    except OSError:
        return otherwise
    header = next((line for line in lines if line.strip(b" ")), b"")  # The reader skips blank lines too.
    return "\t" if b"\t" in header else otherwise


def _text_of(path: Path) -> str:
    content = path.read_bytes()
    while content.startswith(_BOM):  # Programs that add one to a file that has one leave two.
        content = content.removeprefix(_BOM)
    if b"\0" in content:
        raise DataError(f"{path}: is not a text file (it has zero bytes); give UTF-8 text with a header row")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: is not UTF-8 text ({error.reason} on line {line}); save it as UTF-8") from error


def _parquet(path: Path) -> pd.DataFrame:
    """Read a file, or a folder of files as Spark writes them."""
    if path.is_dir():
        return frame_of(parquet.read_table(path))
    # A single file read as a data set refuses two columns of one name, wanted or not.
    with parquet.ParquetFile(path) as file:
        return frame_of(file.read())


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return a table of Arrow for pandas, without a change to what its cells hold.

    Integers among gaps stay integers, where pandas would make floats of them, which are not exact above 2^53. Bytes
    that are UTF-8 are text; a column with any others stays bytes.
    """
    for number, described in enumerate(table.schema):
        if (as_text := _as_text(described.type)) is None:
            continue
        try:
            column = table.column(number).cast(as_text)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        table = table.set_column(number, described.with_type(as_text), column)
    frame: pd.DataFrame = _without_named_index(table).to_pandas(integer_object_nulls=True)
    return frame


def _without_named_index(table: pa.Table) -> pa.Table:
    """Return a table whose columns that pandas would take for its index are columns like others.

    In an index it makes floats of integers among gaps in any case.
    """
    about = table.schema.pandas_metadata
    if not about:
        return table
    levels = about.get("index_columns", [])
    about["index_columns"] = [
        level for level in levels if not isinstance(level, str) or level.startswith(_NAMELESS_LEVEL)
    ]
    metadata = {**table.schema.metadata, b"pandas": json.dumps(about).encode()}
    return table.replace_schema_metadata(metadata)


def _as_text(of_bytes: pa.DataType) -> pa.DataType | None:
    """Return the type of text for a type of bytes, None for any other."""
    if pa.types.is_dictionary(of_bytes):
        value_type = _as_text(of_bytes.value_type)
        return None if value_type is None else pa.dictionary(of_bytes.index_type, value_type)
    is_binary = pa.types.is_binary(of_bytes) or pa.types.is_fixed_size_binary(of_bytes)
    return pa.string() if is_binary else pa.large_string() if pa.types.is_large_binary(of_bytes) else None


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the named levels of its index as columns, and every name as text."""
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    if named:
        frame = frame.reset_index(level=named)
    frame = frame.reset_index(drop=True)
    frame.columns = pd.Index([str(name) for name in frame.columns], dtype=object)
    return frame
