"""Writes the report of several sweeps: their fronts over each other, what each reached, what differs between them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from mtbert_ray.disk import refusals_as_disk_errors
from mtbert_ray.errors import UserError
from mtbert_ray.files import refuse_links, refuse_used_folder
from mtbert_ray.journal import JOURNAL_NAME, read_journal
from mtbert_ray.pareto.front import front_mask
from mtbert_ray.reporting.document import png_of, render, write_files
from mtbert_ray.reporting.front_figure import draw_staircase, front_drawing
from mtbert_ray.reporting.joint_sweep import SWEEP, JointSweep, join_sweeps
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import PALETTE, Drawing, Groups
from mtbert_ray.reporting.tables import trial_table

_OWN_FILE = "sweeps.csv"
"""What a folder has that an earlier such report was written into."""


def write_joint_report(
    folders: Sequence[Path],
    out: Path,
    *,
    lenient: bool = False,
    on_damage: Callable[[str], object] = lambda text: None,
) -> Path:
    """Write the report of the sweeps in several folders into the folder `out`, and return the path of its index.html.

    `out` may hold an earlier report of several sweeps, which is replaced. Sweeps may still be running. The first
    sweep's objectives, constraints and reference are those of all.

    Raises:
        JournalError: as of `read_journal`, for each folder.
        UserError: a folder is named twice, the sweeps cannot be compared, or the report cannot be written there.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("a sweep is named twice; give each folder once")
    if not (out / _OWN_FILE).is_file():
        refuse_used_folder(out)
    sweeps = {folder: read_journal(folder, lenient=lenient) for folder in folders}
    for folder, sweep in sweeps.items():
        for text in sweep.damage:
            on_damage(f"{folder / JOURNAL_NAME}, {text}")
    joint = join_sweeps(sweeps)
    drawings = joint_front_drawings(joint.outcome)
    with refusals_as_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    refuse_links(out, "figures")
    write_files(out, _files(joint, drawings))
    return out / "index.html"


def _files(joint: JointSweep, drawings: Sequence[Drawing]) -> dict[str, bytes]:
    page: Mapping[str, object] = {"joint": joint, "front_figures": drawings}
    table = trial_table(joint.outcome.sweep).drop(columns="checkpoint")
    summaries = [
        {"sweep": s.name, "folder": s.folder, "on_own_front": s.on_own_front, "on_joint_front": s.on_joint_front}
        for s in joint.summaries
    ]
    return {
        **{f"figures/{drawing.name}.png": png_of(drawing) for drawing in drawings},
        "trials.csv": table.to_csv(index=False).encode(),
        _OWN_FILE: pd.DataFrame(summaries).to_csv(index=False).encode(),
        "report.md": render("joint.md.j2", page),
        "index.html": render("joint.html.j2", page),
    }


def joint_front_drawings(outcome: Outcome) -> list[Drawing]:
    """Draw the sweeps' fronts over each other for each pair of objectives, a color a sweep."""
    names = dict.fromkeys(str(trial.hyperparameters[SWEEP]) for trial in outcome.sweep.trials)
    groups = Groups(hyperparameter=SWEEP, values=tuple(names))
    drawings = []
    for place, (up, across) in enumerate(combinations(range(len(outcome.objectives)), 2)):
        drawing = front_drawing(outcome, across, up, groups, is_first=place == 0)
        (axes,) = drawing.figure.axes
        for index, name in enumerate(groups.values):
            own_N = np.array([trial.hyperparameters[SWEEP] == name for trial in outcome.compared], dtype=np.bool_)
            pair_N2 = outcome.losses[own_N & outcome.feasible][:, [across, up]]
            if len(pair_N2):
                draw_staircase(axes, pair_N2[front_mask(pair_N2)], outcome, (across, up), color=PALETTE[index])
        drawings.append(drawing)
    return drawings
