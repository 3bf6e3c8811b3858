"""What all figures share: palette, markers, legends, axes, rows of trials. Drawn with matplotlib, without pyplot."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import NullFormatter

from mtbert_ray.reporting.outcome import Outcome, labels_of
from mtbert_ray.reporting.wording import axis_label, config_value, counted, plain_name
from mtbert_ray.task_metrics import Direction
from mtbert_ray.trial import Trial

# Okabe and Ito's palette, which is safe for color blindness; the markers differ as well.
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
"""The hyperparameter whose values are names of whole configs."""
ROW_HEIGHT = 0.27
"""Inches."""
_MAX_ROWS = 20
_CHARACTER_WIDTH = 0.075
"""Inches of a character of a row's label."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure with its texts in the report."""

    name: str
    """The file's name without its ending."""
    figure: Figure
    title: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Trials grouped by the values of one hyperparameter, so that a value has the same color in all figures."""

    hyperparameter: str | None
    """None when no hyperparameter makes a few groups: all trials look the same."""
    values: tuple[str, ...]

    def index_of(self, trial: Trial) -> int:
        """Return the group of a trial: the place of its color and marker."""
        if self.hyperparameter is None:
            return 0
        return self.values.index(config_value(trial.hyperparameters.get(self.hyperparameter)))

    def label_of(self, index: int) -> str:
        """Return a group's label in a legend."""
        value = self.values[index]
        return value if self.hyperparameter == EXPERIMENT else f"{self.hyperparameter} {value}"

    def color_of(self, trial: Trial) -> str:
        """Return the color of a trial's group."""
        return PALETTE[self.index_of(trial)]


def group_marks(
    groups: Groups, present: Iterable[Trial], *, look: Literal["marker", "line", "bar"] = "marker"
) -> list[Artist]:
    """Return the legend's marks for the groups that some trial belongs to; none when there is a single group."""
    if groups.hyperparameter is None:
        return []
    marks: list[Artist] = []
    for index in sorted({groups.index_of(trial) for trial in present}):
        color, label = PALETTE[index], groups.label_of(index)
        if look == "bar":
            marks.append(Patch(color=color, label=label))
        else:
            mark = Line2D([], [], color=color, marker=MARKERS[index], markersize=7, label=label)
            mark.set_linestyle("-" if look == "line" else "none")
            marks.append(mark)
    return marks


def legend_columns(marks: Sequence[Artist], width: float) -> int:
    """Return how many of a legend's marks fit in one row of a figure of that width in inches."""
    longest = max((len(str(mark.get_label())) for mark in marks), default=0)
    return max(1, min(len(marks), int(width / (0.085 * longest + 0.75))))


def legend_below(figure: Figure, marks: Sequence[Artist]) -> None:
    """Put a legend below all panels of a figure."""
    columns = legend_columns(marks, figure.get_figwidth())
    legend = figure.legend(handles=marks, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    show_as_written(*legend.get_texts())


def show_as_written(*texts: Text) -> None:
    """Keep matplotlib from reading $...$ in a name as a formula."""
    for text in texts:
        text.set_parse_math(False)


def groups_of(outcome: Outcome) -> Groups:
    """Return the groups by the first hyperparameter with texts that has two to six values among the trials."""
    for name in outcome.sweep.started.hyperparameters:
        values = [trial.hyperparameters.get(name) for trial in outcome.sweep.trials]
        words = tuple(dict.fromkeys(config_value(value) for value in values))
        if any(isinstance(value, str) for value in values) and 2 <= len(words) <= len(PALETTE):
            # Experiments stay in the order in which they were tried.
            return Groups(hyperparameter=name, values=words if name == EXPERIMENT else tuple(sorted(words)))
    return Groups(hyperparameter=None, values=("trial",))


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure of that size in inches, at least as wide as the page."""
    return Figure(
        figsize=(max(width, PAGE_WIDTH), height),
        layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12),
        facecolor="white",
    )


def tidy(axes: Axes) -> None:
    """Give axes the look of the report."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.grid(color=FAINT, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)


def title(axes: Axes, heading: str, below: str = "") -> None:
    """Write a heading over the axes, with a muted line below it."""
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
    """Return an axis label with the better direction: "peak memory (GiB), ← better"."""
    label = _fitting(axis_label(metric))
    return f"{label}   better →" if direction == "maximize" else f"← better   {label}"


def name_in_figure(metric: str) -> str:
    """Return a metric's name as words, cut in its middle where it does not fit."""
    return _fitting(plain_name(metric))


def _fitting(name: str) -> str:
    """Cut a long name in its middle: it begins with the task and ends with the class."""
    if len(name) <= _NAME_LENGTH:
        return name
    kept = (_NAME_LENGTH - 1) // 2
    return f"{name[:kept]}…{name[-kept:]}"


def spans_decades(values: Sequence[float]) -> bool:
    """Whether values need a logarithmic axis: all positive and a factor of 30 apart."""
    return len(values) > 1 and min(values) > 0 and max(values) / min(values) >= 30


def spread(values: Sequence[float], *, log: bool, roomy_towards: Direction | None = None) -> tuple[float, float]:
    """Return the limits of an axis around values, with a margin, wider towards `roomy_towards` for labels."""
    low, high = min(values), max(values)
    below, above = (0.2 if roomy_towards == "minimize" else 0.09), (0.2 if roomy_towards == "maximize" else 0.09)
    if log:
        return low / (high / low) ** below, high * (high / low) ** above
    span = high - low or abs(high) or 1.0
    return low - below * span, high + above * span


def draw_points(axes: Axes, points: Sequence[tuple[float, float]], marker: str, **look: Any) -> None:  # noqa: ANN401
    """Draw points without a line, all as one artist: matplotlib takes a millisecond and 10 KiB for each."""
    if points:
        axes.plot(*zip(*points, strict=True), marker=marker, linestyle="none", **look)


def minor_labels_off(axes: Axes) -> None:
    """Remove the labels of minor ticks, which a logarithmic axis has."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())


def with_rows(trials: Sequence[Trial], outcome: Outcome) -> list[Trial]:
    """Return the trials that get a row: all, or the front and the best others by dev score, 20 in all."""
    kept = sorted(trials, key=lambda trial: (trial.trial_id not in outcome.front_ids, by_dev_score(trial)))[:_MAX_ROWS]
    ids = {trial.trial_id for trial in kept}
    return [trial for trial in trials if trial.trial_id in ids]


def by_dev_score(trial: Trial) -> float:
    """Return a key that sorts trials by falling dev score, those without one last."""
    score = trial.metrics.get("dev_score")
    return math.inf if score is None else -score


def row_order(trials: Sequence[Trial], groups: Groups, *, by: Callable[[Trial], float]) -> list[Trial]:
    """Return experiments in their order with their repetitions together, other trials by rising `by`."""
    return sorted(trials, key=groups.index_of if groups.hyperparameter == EXPERIMENT else by)


def name_rows(axes: Axes, trials: Sequence[Trial], outcome: Outcome) -> None:
    """Write the trials' labels on the y axis, the first at the top."""
    axes.set_yticks(range(len(trials)), labels_of(trials, outcome.sweep), parse_math=False)
    axes.set_ylim(len(trials) - 0.4, -0.6)


def label_width(trials: Sequence[Trial], outcome: Outcome) -> float:
    """Return the inches that the longest label takes."""
    return _CHARACTER_WIDTH * max(map(len, labels_of(trials, outcome.sweep)))


def left_out(trials: Sequence[Trial], drawn: Sequence[Trial]) -> str:
    """Return the end of a caption: " ... 2 trials left out: t4, t7."; nothing when all are drawn."""
    shown = {trial.trial_id for trial in drawn}
    ids = [trial.trial_id for trial in trials if trial.trial_id not in shown]
    if not ids:
        return ""
    return (
        f" The front and the trials with the best dev scores are drawn; {counted(len(ids), 'trial')} left out"
        f"{': ' + ', '.join(ids) if len(ids) <= _MAX_ROWS else ''}."
    )
