"""The look that all figures share: palette, markers, axes. Matplotlib's object interface, no pyplot state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import AutoMinorLocator, NullFormatter

from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.wording import axis_label, config_value, plain_name
from mtbert_ray.task_metrics import Direction
from mtbert_ray.trial import Trial

# Okabe and Ito's palette, told apart by every kind of color vision; the markers differ as well.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK = "#24292f"
MUTED = "#6e7781"
FAINT = "#d0d7de"
PAGE_WIDTH = 8.4
"""Inches that every figure has at least, so that a page shows the letters of all at about one size."""
_NAME_LENGTH = 31
"""Characters of a metric's name that fit along the axis of a small panel."""
EXPERIMENT = "experiment"
"""The hyperparameter whose values are names of whole settings."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure and what stands beside it in the report."""

    name: str
    """The file's name without its ending."""
    figure: Figure
    title: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Trials told apart by the values of one hyperparameter, so that all figures give a value the same color."""

    hyperparameter: str | None
    """None when no hyperparameter sorts the trials into a few kinds: all are alike."""
    values: tuple[str, ...]

    def index_of(self, trial: Trial) -> int:
        """Return the group of a trial: the place of its color and marker."""
        if self.hyperparameter is None:
            return 0
        return self.values.index(config_value(trial.hyperparameters.get(self.hyperparameter)))

    def label_of(self, index: int) -> str:
        """Return what a legend calls a group; an experiment's name says enough."""
        value = self.values[index]
        return value if self.hyperparameter == EXPERIMENT else f"{self.hyperparameter} {value}"

    def color_of(self, trial: Trial) -> str:
        """Return the color of a trial's group."""
        return PALETTE[self.index_of(trial)]


def group_marks(groups: Groups, present: Iterable[Trial], *, linestyle: Literal["none", "-"] = "none") -> list[Line2D]:
    """Return the legend's marks for the groups that some trial belongs to; none when all trials are alike."""
    if groups.hyperparameter is None:
        return []
    return [
        Line2D(
            [],
            [],
            color=PALETTE[index],
            marker=MARKERS[index],
            markersize=7,
            linestyle=linestyle,
            label=groups.label_of(index),
        )
        for index in sorted({groups.index_of(trial) for trial in present})
    ]


def group_patches(groups: Groups, present: Iterable[Trial]) -> list[Patch]:
    """Return the legend's marks of bars for the groups that some trial belongs to; none when all trials are alike."""
    if groups.hyperparameter is None:
        return []
    return [
        Patch(color=PALETTE[index], label=groups.label_of(index))
        for index in sorted({groups.index_of(trial) for trial in present})
    ]


def legend_columns(marks: Sequence[Artist], width: float) -> int:
    """Return how many of a legend's marks fit beside each other in a figure of so many inches, at size 9."""
    longest = max((len(str(mark.get_label())) for mark in marks), default=0)
    return max(1, min(len(marks), int(width / (0.085 * longest + 0.75))))


def legend_below(figure: Figure, marks: Sequence[Artist]) -> None:
    """Put a legend below all panels of a figure."""
    columns = legend_columns(marks, figure.get_figwidth())
    legend = figure.legend(handles=marks, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    show_as_written(*legend.get_texts())


def show_as_written(*texts: Text) -> None:
    """Keep matplotlib from reading what stands between two $ as a formula: a name may hold them."""
    for text in texts:
        text.set_parse_math(False)


def groups_of(outcome: Outcome) -> Groups:
    """Return the first hyperparameter in words that has two to six values among the trials, and those values."""
    for name in outcome.sweep.started.hyperparameters:
        values = [trial.hyperparameters.get(name) for trial in outcome.sweep.trials]
        words = tuple(dict.fromkeys(config_value(value) for value in values))
        if any(isinstance(value, str) for value in values) and 2 <= len(words) <= len(PALETTE):
            # Experiments stay in the order in which they were tried.
            return Groups(hyperparameter=name, values=words if name == EXPERIMENT else tuple(sorted(words)))
    return Groups(hyperparameter=None, values=("trial",))


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure of so many inches, and at least of a page's width."""
    return Figure(
        figsize=(max(width, PAGE_WIDTH), height),
        layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12),
        facecolor="white",
    )


def tidy(axes: Axes) -> None:
    """Take away what is not data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.grid(color=FAINT, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)


def title(axes: Axes, heading: str, below: str = "") -> None:
    """Write a heading over the left edge of the axes, with a quieter line below it."""
    axes.set_title(
        heading, loc="left", fontsize=12, fontweight="bold", color=INK, pad=22 if below else 8, parse_math=False
    )
    if below:
        axes.annotate(
            below,
            (0, 1),
            (0, 7),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=9,
            color=MUTED,
            parse_math=False,
        )


def label_with_direction(metric: str, direction: Direction) -> str:
    """Return an axis label that says which way is better: "peak memory (GiB), ← better"."""
    label = _fitting(axis_label(metric))
    return f"{label}   better →" if direction == "maximize" else f"← better   {label}"


def name_in_figure(metric: str) -> str:
    """Return a metric's name as words, cut where it would not fit."""
    return _fitting(plain_name(metric))


def _fitting(name: str) -> str:
    """Cut a long name in its middle: it begins with the task and ends with what tells it from the task's others."""
    if len(name) <= _NAME_LENGTH:
        return name
    kept = (_NAME_LENGTH - 1) // 2
    return f"{name[:kept]}…{name[-kept:]}"


def spans_decades(values: Sequence[float]) -> bool:
    """Whether values are best seen on a logarithmic axis: all positive and a factor of 30 apart."""
    return len(values) > 1 and min(values) > 0 and max(values) / min(values) >= 30


def spread(values: Sequence[float], *, log: bool, roomy_towards: Direction | None = None) -> tuple[float, float]:
    """Return the limits of an axis around values, with a margin; a single value gets room on both sides.

    Args:
        values: what the axis must take in.
        log: whether the axis is logarithmic.
        roomy_towards: the better side, if labels are to stand there.
    """
    low, high = min(values), max(values)
    below, above = (0.2 if roomy_towards == "minimize" else 0.09), (0.2 if roomy_towards == "maximize" else 0.09)
    if log:
        return low / (high / low) ** below, high * (high / low) ** above
    span = high - low or abs(high) or 1.0
    return low - below * span, high + above * span


def minor_ticks_off(axes: Axes) -> None:
    """Keep a logarithmic axis from writing a label on every minor tick."""
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_minor_formatter(NullFormatter())
        else:
            axis.set_minor_locator(AutoMinorLocator(1))


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(np.median(values))
