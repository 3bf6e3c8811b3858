"""Writes a sweep's report from its journal: index.html, report.md, trials.csv, pareto.csv and figures.

A sweep of one of the paper's tables also has the comparison with the paper, as paper_comparison.csv too. Pages are laid
out with Jinja. Each file is replaced as a whole, so that a reader never sees half of one.
"""

import io
import os
import re
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from mtbert_ray.disk import disk_error, naming, refusal_in
from mtbert_ray.errors import UserError
from mtbert_ray.files import refuse_links
from mtbert_ray.journal import JOURNAL_NAME, read_journal
from mtbert_ray.reporting.content import content_of
from mtbert_ray.reporting.effects_figure import effects_drawing
from mtbert_ray.reporting.facts import last_event_time
from mtbert_ray.reporting.front_figure import front_drawing, hypervolume_drawing
from mtbert_ray.reporting.outcome import Outcome, outcome_of
from mtbert_ray.reporting.page import page_html
from mtbert_ray.reporting.paper_comparison import compare_with_paper, comparison_table
from mtbert_ray.reporting.style import Drawing, groups_of
from mtbert_ray.reporting.tables import front_table, text_table, trial_table
from mtbert_ray.reporting.trial_figures import costs_drawing, scores_drawing
from mtbert_ray.reporting.view import view_of
from mtbert_ray.reporting.view_judgement import judge

DPI = 150
_EDGE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""An underscore that Markdown takes for emphasis; within a word, as in dev_score, it does not."""


def write_report(
    folder: Path, *, lenient: bool = False, on_damage: Callable[[str], object] = lambda text: None
) -> Path:
    """Write the report of the sweep in a folder into that folder, and return the path of its index.html.

    The sweep may still be running; a report written later replaces this one. The commands in the report name the folder
    as given here, relative to the working directory if it is below that. With `lenient` damaged lines of the journal
    are left out; `on_damage` is called with each.

    Raises:
        JournalError: there is no journal, or it is damaged before its last line.
        UserError: the report cannot be written; a DiskError where the disk is full or fails.
    """
    refuse_links(folder, "figures")
    sweep = read_journal(folder, lenient=lenient)
    for text in sweep.damage:
        on_damage(f"{folder / JOURNAL_NAME}, {text}")
    outcome = outcome_of(sweep)
    table = trial_table(sweep)
    fronts = front_drawings(outcome)
    progress = progress_drawings(outcome, last_event_time(sweep))
    comparison = compare_with_paper(sweep)
    content = content_of(outcome, _as_named(folder))
    judgement = judge(outcome, folder)
    page = {
        "content": content,
        "judgement": judgement,
        "comparison": comparison,
        "front_figures": fronts,
        "progress_figures": progress,
        "table": text_table(table, outcome),
        "space": sweep.started.space,
    }
    files = {f"figures/{drawing.name}.png": png_of(drawing) for drawing in (*fronts, *progress)}
    files["trials.csv"] = table.to_csv(index=False).encode()
    files["pareto.csv"] = front_table(table, outcome).to_csv(index=False).encode()
    if comparison is not None:
        files["paper_comparison.csv"] = comparison_table(comparison).to_csv(index=False).encode()
    files["report.md"] = render("report.md.j2", page)
    view = view_of(outcome, content, _as_named(folder), judgement=judgement, comparison=comparison)
    files["index.html"] = page_html(view).encode()
    write_files(folder, files)
    return folder / "index.html"


def front_drawings(outcome: Outcome) -> list[Drawing]:
    """Draw the front for each pair of objectives, the earlier one on the y axis; none without a finished trial."""
    if not outcome.compared:
        return []
    groups = groups_of(outcome)
    pairs = combinations(range(len(outcome.objectives)), 2)
    return [front_drawing(outcome, across, up, groups, is_first=place == 0) for place, (up, across) in enumerate(pairs)]


def progress_drawings(outcome: Outcome, end: float) -> list[Drawing]:
    """Draw effects, costs, hypervolume (until `end`, in seconds since the epoch) and scores, where there is data."""
    groups = groups_of(outcome)
    drawings = (
        effects_drawing(outcome, groups),
        costs_drawing(outcome, groups),
        hypervolume_drawing(outcome, end),
        scores_drawing(outcome, groups),
    )
    return [drawing for drawing in drawings if drawing is not None]


def markdown_text(text: object) -> str:
    """Return text escaped for Markdown, in one line."""
    line = " ".join(str(text).split())
    for sign in "\\`*[]|$~":
        line = line.replace(sign, "\\" + sign)
    line = _EDGE_UNDERSCORE.sub(r"\\_", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _as_named(folder: Path) -> Path:
    """Return the folder as commands should name it: relative to the working directory if it is below that."""
    if not folder.is_absolute():
        return folder
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def render(template: str, page: Mapping[str, object]) -> bytes:
    """Return a file laid out by a template of this package; those of HTML escape what they show."""
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


def png_of(drawing: Drawing) -> bytes:
    """Return a figure as PNG. It is empty afterwards."""
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format="png", dpi=DPI)
    drawing.figure.clear()  # Its panels take megabytes, and nothing but its size is asked for later.
    return buffer.getvalue()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder in order, each as a whole; pages shall come last, after the files they link to.

    Raises:
        UserError: they cannot be written; a DiskError where the disk is full or fails.
    """
    try:
        (folder / "figures").mkdir(exist_ok=True)
        for name, content in files.items():
            path = folder / name
            unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            try:
                with naming(path):
                    unfinished.unlink(missing_ok=True)  # It may be a link, which writing would follow.
                    unfinished.write_bytes(content)
                    unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
    except OSError as error:
        if (refusal := refusal_in(error)) is not None:
            raise disk_error(refusal, folder) from error
        raise UserError(
            f"{folder}: the report cannot be written: {error}. Copy the folder to a place that you can write to"
        ) from error
