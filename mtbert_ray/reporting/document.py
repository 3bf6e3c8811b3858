"""Writes a sweep's report: index.html, report.md, trials.csv, pareto.csv and figures, from the journal alone.

A sweep of one of the paper's tables has the paper's numbers beside its own, also as compare_with_paper.csv.

Pages are laid out with Jinja. A reader never sees half a file: each is written beside its place and moved there.
"""

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from mtbert_ray.errors import UserError
from mtbert_ray.journal import read_journal
from mtbert_ray.reporting.content import content_of
from mtbert_ray.reporting.facts import last_heard_of
from mtbert_ray.reporting.figures import DPI, front_drawings, progress_drawings
from mtbert_ray.reporting.outcome import Outcome, outcome_of
from mtbert_ray.reporting.paper_comparison import compare_with_paper, comparison_table
from mtbert_ray.reporting.style import Drawing
from mtbert_ray.reporting.tables import front_table, trial_table
from mtbert_ray.reporting.wording import axis_label, number
from mtbert_ray.trial import Sweep, Trial

_TABLE_LEAVES_OUT = ("reason", "checkpoint")
"""Columns that the page shows elsewhere, in full."""
_UNDERSCORE_AT_A_WORDS_EDGE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""Markdown takes one for emphasis, and one within a word, as in dev_score, for what it is."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of the page's table of trials."""

    text: str
    sort_key: str
    """The unrounded value; empty for a gap, which sorts last."""


def write_report(folder: Path) -> Path:
    """Write the report of the sweep in a folder into that folder, and return the path of its index.html.

    The sweep may still be running; a report written later replaces this one.

    Args:
        folder: holds the journal. The commands in the report name the folder as given here, relative to the
            working directory where it lies below it.

    Raises:
        JournalError: there is no journal, or it is damaged before its last line.
        UserError: the report cannot be written.
    """
    sweep = read_journal(folder)
    outcome = outcome_of(sweep)
    table = trial_table(sweep)
    fronts = front_drawings(outcome)
    progress = progress_drawings(outcome, last_heard_of(sweep))
    beside = compare_with_paper(sweep)
    columns = [name for name in table.columns if name not in _TABLE_LEAVES_OUT and not table[name].isna().all()]
    page = {
        "content": content_of(outcome, _as_named(folder)),
        "beside": beside,
        "front_figures": fronts,
        "progress_figures": progress,
        "headings": [_heading(name, sweep) for name in columns],
        "rows": _rows(table[columns], sweep),
        "row_classes": [_row_class(trial, outcome) for trial in sweep.trials],
        "space": sweep.started.space,
    }
    files = {f"figures/{drawing.name}.png": _png(drawing) for drawing in (*fronts, *progress)}
    files["trials.csv"] = table.to_csv(index=False).encode()
    files["pareto.csv"] = front_table(sweep).to_csv(index=False).encode()
    if beside is not None:
        files["compare_with_paper.csv"] = comparison_table(beside).to_csv(index=False).encode()
    files["report.md"] = _render("report.md.j2", page)
    files["index.html"] = _render("report.html.j2", page)
    _write(folder, files)
    return folder / "index.html"


def markdown_text(text: object) -> str:
    """Return text that Markdown shows as it is, in one line, also in a table's cell."""
    line = " ".join(str(text).split())
    for sign in "\\`*[]|$~":
        line = line.replace(sign, "\\" + sign)
    line = _UNDERSCORE_AT_A_WORDS_EDGE.sub(r"\\_", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _as_named(folder: Path) -> Path:
    """Return the folder as commands should name it: without this machine's own path where that can be."""
    if not folder.is_absolute():
        return folder
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _heading(name: str, sweep: Sweep) -> str:
    return name if name in sweep.started.hyperparameters else axis_label(name)


def _rows(table: pd.DataFrame, sweep: Sweep) -> list[list[Cell]]:
    """Return the table's cells with the digits that a reader wants, and the unrounded values to sort by."""
    settings = set(sweep.started.hyperparameters)
    rows = []
    for values in table.astype("object").where(table.notna(), None).to_numpy().tolist():
        cells = []
        for name, value in zip(table.columns, values, strict=True):
            text = f"{value:.6g}" if name in settings and isinstance(value, float) else number(name, value)
            # A trial's setting may be a whole number that is no count: 30522 is not 30,522.
            text = str(value) if name in settings and type(value) is int else text
            cells.append(Cell(text=text, sort_key="" if value is None else str(value)))
        rows.append(cells)
    return rows


def _row_class(trial: Trial, outcome: Outcome) -> str:
    if trial is outcome.knee:
        return "on-front knee"
    if any(trial is member for member in outcome.front):
        return "on-front"
    return "" if trial.status == "finished" else "lost"


def _render(template: str, page: Mapping[str, object]) -> bytes:
    environment = Environment(
        loader=PackageLoader("mtbert_ray.reporting", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown_text
    return environment.get_template(template).render(page).encode()


def _png(drawing: Drawing) -> bytes:
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files in order, each whole: the pages come last, when what they point to is there."""
    try:
        (folder / "figures").mkdir(exist_ok=True)
        for name, content in files.items():
            path = folder / name
            unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            unfinished.write_bytes(content)
            unfinished.replace(path)
    except OSError as error:
        raise UserError(
            f"{folder}: the report cannot be written: {error}. Copy the folder to where you may write, and try there"
        ) from error
