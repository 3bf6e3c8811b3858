"""Reads .csv, .tsv and .parquet files with pandas. Knows nothing of tasks or labels."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from mtbert_ray.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
FORMATS = (*SEPARATORS, ".parquet")


def read_table(path: Path, *, separator: str | None = None) -> pd.DataFrame:
    """Read a file by its extension, every field of a text file as text.

    Nothing written in a text file counts as missing: "NA", "null" and "None" are sentences like others.

    Args:
        path: taken as given, so relative to the current folder unless absolute.
        separator: between the fields of a text file; none means a tab for .tsv and a comma for .csv.

    Raises:
        DataError: no such file, an unknown extension, not text or not Parquet, empty, or ragged rows.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise DataError(f"{path}: the extension '{path.suffix}' is not known; allowed are {', '.join(FORMATS)}")
    if not path.exists():
        raise DataError(f"{path}: no such file (relative paths start from the current folder, {Path.cwd()})")
    try:
        return pd.read_parquet(path) if suffix == ".parquet" else _read_text(path, separator or SEPARATORS[suffix])
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except pa.ArrowException as error:
        raise DataError(f"{path}: is not a Parquet file: {error}") from error


def separator_in(path: Path, *, otherwise: str | None) -> str | None:
    """Return what separates the fields of a text file: a tab where its header line has one.

    The course's files are separated by tabs and called .csv, so the extension does not tell.

    Args:
        path: a file that need be neither there nor text.
        otherwise: what to return without a tab.
    """
    if path.suffix.lower() not in SEPARATORS:
        return otherwise
    try:
        with path.open("rb") as file:
            return "\t" if b"\t" in file.readline() else otherwise
    except OSError:
        return otherwise


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    with path.open("rb") as file:
        if b"\0" in file.read(1 << 16):
            raise DataError(f"{path}: is not a text file (it has zero bytes); give UTF-8 text with a header row")
    try:
        frame = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path}: is empty; give a header row and one row an example") from error
    except pd.errors.ParserError as error:
        raise DataError(
            f"{path}: its rows cannot be told apart: {error}. Fields are separated by {separator!r}; one that has it, "
            "a quote or a line break must stand in double quotes"
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas takes the surplus first fields as an index, which would shift every column by one.
        raise DataError(
            f"{path}: its rows have more fields than its header names ({len(frame.columns)}), separated by "
            f"{separator!r}; name every column in the header"
        )
    return frame
