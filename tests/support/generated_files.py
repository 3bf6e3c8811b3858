"""Delimited files of many ways of writing, from generated cells, for tests that count their rows."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SEPARATORS = (",", "\t", ";", "|")
LINE_BREAKS = ("\n", "\r\n", "\r")
_WAYS: dict[str, dict[str, Any]] = {
    "all quoted": {"quoting": csv.QUOTE_ALL},
    "quoted where needed": {"quoting": csv.QUOTE_MINIMAL},
    "all quoted, quotes escaped": {"quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": "\\"},
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """Rows, and how `csv.writer` wrote them."""

    rows: list[list[str]]
    """Without the header."""
    way: str
    separator: str
    line_break: str

    @property
    def source(self) -> dict[str, str]:
        """What a task's source says of such a file, but for `quoting`."""
        return {"separator": self.separator} | ({"escapechar": "\\"} if "escaped" in self.way else {})

    def write(self, path: Path, header: Sequence[str]) -> Path:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=self.separator, lineterminator=self.line_break, **_WAYS[self.way])
            writer.writerows([header, *self.rows])
        return path


def cells(characters: str) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from(list(characters)), max_size=6)


@st.composite
def written_files(draw: st.DrawFn, *others: st.SearchStrategy[str], max_rows: int = 10) -> Written:
    """Draw a file whose first column is a text of any characters that matter, and whose others are as given."""
    way = draw(st.sampled_from(sorted(_WAYS)))
    # Where quotes are set as needed, Python 3.11 takes a line break other than the file's own for none.
    line_break = "\n" if way == "quoted where needed" else draw(st.sampled_from(LINE_BREAKS))
    text = cells('ab ,;|\t"\\\n' + ("" if way == "quoted where needed" else "\r"))
    row = st.tuples(text, *others).map(list)
    rows = draw(st.lists(row, min_size=1, max_size=max_rows))
    return Written(rows=rows, way=way, separator=draw(st.sampled_from(SEPARATORS)), line_break=line_break)


def as_read(text: str) -> str:
    """Return a cell as a sentence: nothing but spaces is an empty one."""
    return "" if text.isspace() else text
