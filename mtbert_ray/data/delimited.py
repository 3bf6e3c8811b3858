"""Reads delimited text (.csv, .tsv) by Python's `csv`, strictly: rows that a stray quote may have changed are refused.

The `csv` module knows on which line each record begins and, in strict mode, refuses malformed quotes.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

from mtbert_ray.errors import DataError
from mtbert_ray.task_source import Quoting

_NO_LIMIT = 2**31 - 1
"""Characters of a field; what fits a C long everywhere."""
_DOUBLED = "a quote inside a quoted field must be doubled"
_CARRIAGE_RETURN = "new-line character seen in unquoted field"
"""In `csv`'s message about a carriage return inside a line."""
_UNQUOTED_RETURN = (
    "a carriage return (\\r) inside a row, where the lines of this file end with \\n; replace it by a space, or write "
    "its field in double quotes (without `quoting: none`)"
)
_SWALLOWED = "probably a quote at the start of a field has swallowed"


@dataclass(frozen=True, kw_only=True)
class Remedies:
    """Remedies for trouble with quotes, for messages: the keys that can be set differ between tasks."""

    as_text: str
    """Where quotes are a part of the text."""
    as_meant: str
    """Where a field that looks like swallowed rows is right."""
    escaped: str
    """Where backslashes stand before quotes."""


BY_SOURCE = Remedies(
    as_text="set `quoting: none` in the task's source (`predict --quoting none`) if quotes are a part of the text and "
    "each line is a row",
    as_meant="`quoting: minimal` if the field is right",
    escaped="set `escapechar: '\\'` in the task's source if a backslash stands before the quotes inside a field",
)
"""For a task with files of its own."""
BY_FILE = Remedies(
    as_text="if quotes are a part of the text, put its field in quotes and double those inside, or give the rows as "
    ".parquet (`predict --quoting none` reads each line as a row)",
    as_meant="give them as .parquet if the field is right (`predict --quoting minimal` reads it so)",
    escaped="double the quotes inside a field in place of the backslashes before them, or give the rows as .parquet",
)
"""For a file of rows of a task of the course or the Hub, which has no such keys."""
BY_COURSE = Remedies(
    as_text="get the file anew; if quotes are a part of the text, put its field in quotes and double those inside",
    as_meant="give the task a source of its own with `quoting: minimal` if the field is right",
    escaped="get the file anew, or double the quotes inside a field in place of the backslashes before them",
)
"""For the course's own files."""


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How the fields of a text file are separated and quoted."""

    separator: str
    """One character."""
    quoting: Quoting = "auto"
    escapechar: str | None = None
    """A backslash, or none."""
    remedies: Remedies = BY_SOURCE


@dataclass(kw_only=True)
class Records:
    """The rows of a text file, each as long as its header."""

    header: list[str]
    """Empty until it has been read."""
    rows: list[list[str]] = field(default_factory=list)
    num_blank_lines: int = 0
    """Lines of nothing but spaces, which are no rows in a file of several columns."""
    next_line: int = 1
    """Where the next record begins; counted from 1."""


def read_records(text: str, form: TextFormat, path: Path) -> Records:
    r"""Return the rows of a text whose first line that is not blank is its header.

    A row that is too short ends in empty fields. Of a file of one column a blank line is a row with an empty field.
    With an escapechar `\"` and `\\` are escapes inside quoted fields; any other backslash is text.

    Lines end with \n or \r\n, or all of them with \r alone. The path is for messages.

    Raises:
        DataError: nothing but blank lines; a \r inside a line, unless in quotes; a quote that is not closed or not
            followed by a separator; a row that is too long; with `quoting` auto a field that looks like rows which a
            stray quote has swallowed.
    """
    lines: Iterable[str] = _lines(text, form)
    if form.escapechar is not None:
        lines = _unescaped(lines, form.separator)
    if form.quoting == "none":
        reader = csv.reader(lines, delimiter=form.separator, quoting=csv.QUOTE_NONE, strict=True)
    else:
        reader = csv.reader(lines, delimiter=form.separator, strict=True)
    records = Records(header=[])
    try:
        with _fields_of_any_length():
            _collect(reader, records, form, path)
    except csv.Error as error:
        if _CARRIAGE_RETURN in str(error):
            raise DataError(f"{path}: line {reader.line_num} has {_UNQUOTED_RETURN}") from error
        lines_read = islice(_lines(text, form), records.next_line - 1, reader.line_num)
        has_backslash = form.escapechar is None and any('\\"' in line for line in lines_read)
        problem = _problem_with_quote(
            error, records.next_line, reader.line_num, form.remedies, has_backslash=has_backslash
        )
        raise DataError(f"{path}: {problem}") from error
    if not records.header:
        raise DataError(f"{path}: is empty; give a header row and one row an example")
    return records


def _lines(text: str, form: TextFormat) -> Iterator[str]:
    r"""Give the lines of a text with their ends; \r alone ends lines only where no line ends otherwise."""
    first_end = _LINE_END.search(text)
    quoted = _QUOTED if form.escapechar is None else _QUOTED_WITH_ESCAPES
    by_return = first_end is None or (first_end.group() == "\r" and "\n" not in quoted.sub("", text))
    return io.StringIO(text, newline="" if by_return else "\n")


_LINE_END = re.compile(r"\r*\n|\r")
_QUOTED = re.compile(r'"[^"]*"')
_QUOTED_WITH_ESCAPES = re.compile(r'"(?:[^"\\]|\\["\\]|\\(?!["\\]))*"')


class _Reader(Protocol):
    """What `csv.reader` returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


def _collect(reader: _Reader, records: Records, form: TextFormat, path: Path) -> None:
    """Put every row of a reader into `records`."""
    is_wary = form.quoting == "auto"
    num_columns = -1  # Until the header has been read.
    too_long: list[tuple[int, int]] = []
    for record in reader:
        first, last = records.next_line, reader.line_num
        records.next_line = last + 1
        if len(record) == num_columns and not (is_wary and last > first):
            records.rows.append(record)  # Nearly always, and files have many rows.
            continue
        if num_columns != 1 and last == first and (not record or (len(record) == 1 and record[0].isspace())):
            records.num_blank_lines += 1
            continue
        if is_wary:
            _refuse_swallowed(record, first, last, num_columns, form, path)
        if num_columns < 0:
            records.header, num_columns = record, len(record)
        elif len(record) > num_columns:
            too_long.append((first, len(record)))
        else:
            records.rows.append(record + [""] * (num_columns - len(record)))
    if too_long:
        raise DataError(f"{path}: {_too_long(too_long, records, form)}")


def _refuse_swallowed(record: list[str], first: int, last: int, num_columns: int, form: TextFormat, path: Path) -> None:
    """Refuse a field with a separator and a line break, or with either of them in a row that lacks fields.

    Rows of one column have no separators, so that there a line break is enough.
    """
    is_short, is_only = len(record) < num_columns, num_columns == 1
    for content in record:
        # Without quotes a \r of one line cannot have ended another one.
        has_break = last > first and ("\n" in content or "\r" in content)
        has_separator = form.separator in content
        is_suspicious = has_break and (has_separator or is_only)
        if not (is_suspicious or (is_short and (has_break or has_separator))):
            continue
        if has_break:
            also = f"and has {len(record)} of {num_columns} fields"
            if has_separator or is_only:
                also = "which also holds separators" if has_separator else "in a file of one column"
            what = f"the row that begins on line {first} continues to line {last} inside one quoted field, {also}"
        else:
            what = f"line {first} has {len(record)} of {num_columns} fields, and one in quotes holds separators"
        swallowed = "rows" if has_break else "fields"
        raise DataError(
            f"{path}: {what} ({form.separator!r}): {_SWALLOWED} the {swallowed} up to the next quote. "
            f"{_sentence(form.remedies.as_text)}, or {form.remedies.as_meant}"
        )


def _too_long(too_long: list[tuple[int, int]], records: Records, form: TextFormat) -> str:
    named = f"its header names ({len(records.header)}), separated by {form.separator!r}"
    if not records.rows:
        return f"its rows have more fields than {named}; name every column in the header"
    line, num_fields = too_long[0]
    others = f" (and {len(too_long) - 1} more rows)" if len(too_long) > 1 else ""
    remedy = "write it in double quotes" if form.quoting != "none" else "give another separator, or quote such fields"
    return (
        f"line {line} has {num_fields} fields{others}, more than {named}; if a field holds the separator, {remedy}, "
        "else name every column in the header"
    )


def _problem_with_quote(error: csv.Error, first: int, last: int, remedies: Remedies, *, has_backslash: bool) -> str:
    """Describe a record that `csv` refuses, and the remedy."""
    remedy = remedies.escaped if has_backslash else remedies.as_text
    if "end of data" in str(error):
        what = f"the quote that opens a field in the row that begins on line {first} is never closed"
    elif last > first:
        what = (
            f"the row that begins on line {first} continues to line {last} inside a quoted field, whose closing quote "
            "is not followed by a separator"
        )
    else:
        what = f"line {first} has a quoted field whose closing quote is not followed by a separator"
    if last > first and not has_backslash:
        what += f": {_SWALLOWED} the rows up to the next quote"
    return f"{what}. {_sentence(remedy)}; else {_DOUBLED}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


_INSIDE = re.compile(r'\\["\\]|""|"')
_MEANT = {'\\"': '""', "\\\\": "\\", '""': '""'}


def _unescaped(lines: Iterable[str], separator: str) -> Iterator[str]:
    r"""Give lines whose quoted fields double their quotes where they had escaped them.

    `csv` has an escapechar of its own, which takes the backslash from every character, as the n of `C:\new`, and
    outside of quoted fields as well.
    """
    opening = re.compile(f'(?:^|{re.escape(separator)})"')
    is_inside = False
    for line in lines:
        parts, position = [], 0
        while (found := (_INSIDE if is_inside else opening).search(line, position)) is not None:
            token = found.group()
            parts += [line[position : found.start()], _MEANT.get(token, token) if is_inside else token]
            position = found.end()
            if not is_inside or token == '"':
                is_inside = not is_inside
        yield "".join([*parts, line[position:]])


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """Lift the limit of `csv`, 131,072 characters a field, which holds for the whole process."""
    before = csv.field_size_limit(_NO_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
