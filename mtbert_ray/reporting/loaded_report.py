"""A sweep in a notebook: its trials, front and epochs as pandas tables, its figures; `mtbert_ray.load_report`."""

import base64
import html
import io
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mtbert_ray.errors import UserError, did_you_mean
from mtbert_ray.journal import read_journal
from mtbert_ray.reporting.content import content_of
from mtbert_ray.reporting.document import DPI, front_drawings, progress_drawings
from mtbert_ray.reporting.facts import last_event_time
from mtbert_ray.reporting.outcome import Outcome, outcome_of
from mtbert_ray.reporting.style import Drawing
from mtbert_ray.reporting.tables import epoch_table, front_table, trial_table
from mtbert_ray.trial import Sweep


def load_report(folder: str | Path, *, lenient: bool = False) -> "Report":
    """Return the report of the sweep in a folder, which may still be running; nothing is written.

    With `lenient` damaged lines of the journal are left out.

    Raises:
        JournalError: there is no journal, or it is damaged before its last line.
    """
    return Report(read_journal(Path(folder), lenient=lenient), Path(folder))


class Report:
    """A sweep as its journal has it, at the moment when it was read. A notebook shows its answer, front and figure.

    Columns have their unit in their name, as `peak_memory_gib` and `train_seconds`; what was not measured is NA.
    """

    def __init__(self, sweep: Sweep, folder: Path) -> None:
        self.sweep = sweep
        """With all that is in the journal."""
        self.folder = folder
        self._outcome: Outcome = outcome_of(sweep)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial, in the order in which they started: hyperparameters (dotted), scores, costs, status."""
        return trial_table(self.sweep)

    @cached_property
    def front(self) -> pd.DataFrame:
        """The rows of `trials` on the front, the best in the first objective first."""
        return front_table(self.trials, self._outcome)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row an epoch of a trial: `trial_id`, `epoch`, and its metrics; costs are those since the trial began."""
        return epoch_table(self.sweep)

    @property
    def figures(self) -> tuple[str, ...]:
        """The names that `figure` takes, those that there is data for."""
        return tuple(self._drawings())

    def figure(self, name: str = "front") -> Figure:
        """Return a figure of the report, newly drawn: "front" is that of the first two objectives.

        Raises:
            UserError: there is none of that name; the message has those that there are.
        """
        if name == "front" and (drawing := self._front_drawing()) is not None:
            return drawing.figure
        drawings = self._drawings()
        if name not in drawings:
            names = [*(["front"] if self._front_drawing() else []), *drawings]
            raise UserError(f"there is no figure '{name}'{did_you_mean(name, names)} ({', '.join(names) or 'none'})")
        return drawings[name].figure

    def _drawings(self) -> dict[str, Drawing]:
        """Draw all anew: whoever asks for a figure may change it."""
        drawings = [*front_drawings(self._outcome), *progress_drawings(self._outcome, last_event_time(self.sweep))]
        return {drawing.name: drawing for drawing in drawings}

    def _front_drawing(self) -> Drawing | None:
        return next(iter(front_drawings(self._outcome)), None)

    def __repr__(self) -> str:
        return f"<Report of {self.sweep.started.name}: {len(self.trials)} trials, {len(self.front)} on the front>"

    def _repr_html_(self) -> str:
        """Return the answer, the notes, the front's figure and its trials, as a notebook shows them."""
        content = content_of(self._outcome, self.folder)
        parts = [
            f"<h3>{html.escape(content.name)} ({html.escape(content.state)})</h3>",
            f"<p>{html.escape(content.headline)}</p>",
            *(f"<p><i>{html.escape(note)}</i></p>" for note in content.notes),
        ]
        if (drawing := self._front_drawing()) is not None:
            buffer = io.BytesIO()
            drawing.figure.savefig(buffer, format="png", dpi=DPI)
            data, alt = base64.b64encode(buffer.getvalue()).decode(), html.escape(drawing.title)
            parts.append(f'<img alt="{alt}" style="max-width: 48rem; width: 100%" src="data:image/png;base64,{data}">')
        if len(self.front):
            columns = [*self.sweep.started.objectives, *self.sweep.started.hyperparameters]
            shown = self.front[["trial_id", *dict.fromkeys(columns)]]
            parts.append(shown.to_html(index=False, na_rep="", escape=True))
        return "\n".join(parts)
