"""Draws the Pareto front of two objectives, with every finished trial and the knee, and the hypervolume over time."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from mtbert_ray.metrics import METRICS
from mtbert_ray.pareto.front import front_mask, hypervolume_over_time
from mtbert_ray.pareto.objectives import losses_to_values, reference_losses
from mtbert_ray.reporting.facts import seconds_run
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import (
    INK,
    MARKERS,
    MUTED,
    PAGE_WIDTH,
    PALETTE,
    Drawing,
    Groups,
    draw_points,
    group_marks,
    label_with_direction,
    legend_columns,
    minor_labels_off,
    name_in_figure,
    new_figure,
    show_as_written,
    spans_decades,
    spread,
    tidy,
    title,
)
from mtbert_ray.reporting.wording import counted, plain_name, quantity
from mtbert_ray.schema import file_name_part

# N compared trials, F points of a front

_HEADING_LENGTH = 60
"""Characters that fit over the axes in one line."""
_REFERENCE_LENGTH = 100
"""Characters of the line below it; a longer reference point is in the caption only."""
_NEAR = 0.2
"""A bound that is no farther from the trials than this share of the axis is shown."""
_LABEL_GAP_PX = (70, 22)
"""Labels closer than this overlap."""


def front_drawing(outcome: Outcome, across: int, up: int, groups: Groups, *, is_first: bool) -> Drawing:
    """Draw objective number `across` on the x axis and number `up` on the y axis; the first explains the marks."""
    names = list(outcome.objectives)
    x_name, y_name = names[across], names[up]
    figure = new_figure(PAGE_WIDTH, 5.4)
    axes = figure.add_subplot()
    tidy(axes)
    values_N2 = losses_to_values(outcome.losses, outcome.objectives)[:, [across, up]]
    _set_axes(axes, values_N2, (x_name, y_name), outcome)
    _draw_staircase(axes, outcome, across, up)
    _draw_bounds(axes, outcome, (x_name, y_name))
    _draw_trials(axes, values_N2, outcome, groups)
    _label_front(axes, values_N2, outcome, side=-1 if outcome.objectives[x_name].direction == "minimize" else 1)
    marks = _legend(outcome, groups)
    legend = axes.legend(
        handles=marks,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=min(4, legend_columns(marks, PAGE_WIDTH)),
        frameon=False,
        fontsize=9,
    )
    show_as_written(*legend.get_texts())
    finished = counted(len(outcome.compared), "finished trial")
    below = f"{outcome.sweep.started.name}: {finished}, {len(outcome.front)} on the front"
    parts = (name_in_figure(y_name), f"against {name_in_figure(x_name)}")
    heading = (" " if sum(map(len, parts)) < _HEADING_LENGTH else "\n").join(parts)
    title(axes, heading[0].upper() + heading[1:] if y_name in METRICS else heading, below)
    against = f"{plain_name(y_name)} against {plain_name(x_name)}"
    caption = _caption(outcome) if is_first else f"The same trials and marks, {against}."
    file_name = f"front-{file_name_part(y_name)}-vs-{file_name_part(x_name)}"
    return Drawing(name=file_name, figure=figure, title=against, caption=caption)


def _caption(outcome: Outcome) -> str:
    """Explain the marks of all the front's figures."""
    count = len(outcome.objectives)
    more = "" if count == 2 else f" The front is that of all {count} objectives, the line that of the two in a figure."
    return (
        "Each mark is a finished trial; the line is the edge of what was reached. The knee lies "
        "farthest below the line through the ends of the front, and at least a tenth of its range. "
        f"{counted(len(outcome.compared), 'trial')}, {int((~outcome.feasible).sum())} of them over a constraint.{more}"
    )


def staircase(losses_F2: NDArray[np.float64], worst: tuple[float, float]) -> NDArray[np.float64]:
    """Return the corners `(K, 2)` of the step line through a two-dimensional front, by rising first loss.

    It begins at the second of the `worst` losses and ends at the first.
    """
    points_F2 = losses_F2[np.lexsort((losses_F2[:, 1], losses_F2[:, 0]))]
    corners = [(points_F2[0, 0], max(worst[1], points_F2[0, 1]))]
    for index, (x, y) in enumerate(points_F2):
        next_x = points_F2[index + 1, 0] if index + 1 < len(points_F2) else max(worst[0], x)
        corners += [(x, y), (next_x, y)]
    return np.array(corners)


def _set_axes(axes: Axes, values_N2: NDArray[np.float64], names: tuple[str, str], outcome: Outcome) -> None:
    """Give both axes their scale, limits and labels; the limits include a bound that is near."""
    for axis, name, values_N in zip("xy", names, values_N2.T, strict=True):
        objective = outcome.objectives[name]
        seen = values_N.tolist()
        log = spans_decades(seen)
        low, high = spread(seen, log=log)
        near = [
            bound
            for bound in (objective.reference, objective.constraint)
            if bound is not None and not log and low - _NEAR * (high - low) <= bound <= high + _NEAR * (high - low)
        ]
        # The labels of the front are on the better side of its points.
        better = objective.direction if axis == "x" else None
        axes.set(
            **{
                f"{axis}scale": "log" if log else "linear",
                f"{axis}lim": spread([*seen, *near], log=log, roomy_towards=better),
                f"{axis}label": label_with_direction(name, objective.direction),
            }
        )
    show_as_written(axes.xaxis.label, axes.yaxis.label)
    minor_labels_off(axes)


def _draw_staircase(axes: Axes, outcome: Outcome, across: int, up: int) -> None:
    """Draw the two-dimensional front of the feasible trials as a step line, with what it dominates shaded."""
    pair_N2 = outcome.losses[outcome.feasible][:, [across, up]]
    if not len(pair_N2):
        return
    area = draw_staircase(axes, pair_N2[front_mask(pair_N2)], outcome, (across, up), color=INK)
    axes.add_patch(Polygon(area, closed=True, facecolor=PALETTE[0], alpha=0.07, linewidth=0, zorder=1))


def draw_staircase(
    axes: Axes, losses_F2: NDArray[np.float64], outcome: Outcome, pair: tuple[int, int], *, color: str
) -> NDArray[np.float64]:
    """Draw the step line through a front of two objectives, the one on the x axis first; return what it dominates."""
    directions = [list(outcome.objectives.values())[index].direction for index in pair]
    signs = np.array([1.0 if direction == "minimize" else -1.0 for direction in directions])
    limits = (axes.get_xlim(), axes.get_ylim())
    worst = [max(sign * end for end in ends) for sign, ends in zip(signs, limits, strict=True)]
    corners = staircase(losses_F2, (worst[0], worst[1]))
    axes.plot(*(corners * signs).T, color=color, linewidth=1.3, alpha=0.75, zorder=2, solid_joinstyle="miter")
    return np.asarray(np.vstack([corners, worst]) * signs)


def _draw_bounds(axes: Axes, outcome: Outcome, names: tuple[str, str]) -> None:
    """Draw the reference and the constraint of both objectives where the axes include them."""
    drawers = ((axes.axvline, axes.get_xlim(), True), (axes.axhline, axes.get_ylim(), False))
    for name, (draw, (low, high), upright) in zip(names, drawers, strict=True):
        objective = outcome.objectives[name]
        bounds = {"reference": (objective.reference, MUTED, ":")}
        if objective.constraint is not None:
            bounds["constraint"] = (objective.constraint, PALETTE[1], "--")
        for word, (bound, color, line) in bounds.items():
            if not low <= bound <= high or (word == "reference" and bound == objective.constraint):
                continue
            draw(bound, color=color, linestyle=line, linewidth=1.1, zorder=1.5)
            axes.annotate(
                f"{word} {quantity(name, bound)}",
                (bound, 0.02) if upright else (0.99, bound),
                (-3, 0) if upright else (0, 3),
                xycoords=("data", "axes fraction") if upright else ("axes fraction", "data"),
                textcoords="offset points",
                rotation=90 if upright else 0,
                ha="right",
                va="bottom",
                fontsize=8,
                color=color,
                parse_math=False,
            )


def _draw_trials(axes: Axes, values_N2: NDArray[np.float64], outcome: Outcome, groups: Groups) -> None:
    marks: dict[tuple[int, bool, bool], list[tuple[float, float]]] = {}
    for trial, (x, y), feasible, on_front in zip(
        outcome.compared, values_N2.tolist(), outcome.feasible.tolist(), outcome.on_front.tolist(), strict=True
    ):
        if outcome.knee is trial:
            axes.plot(x, y, "o", markersize=19, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.6)
        marks.setdefault((groups.index_of(trial), feasible, on_front), []).append((x, y))
    for (group, feasible, on_front), points in marks.items():
        color = PALETTE[group]
        draw_points(
            axes,
            points,
            MARKERS[group],
            markersize=9 if on_front else 6.5,
            markerfacecolor=color if feasible else "none",
            markeredgecolor="white" if on_front else color,
            markeredgewidth=0.8 if on_front else 1.2,
            alpha=1.0 if on_front or not feasible else 0.4,
            zorder=5 if on_front else 3,
        )


def _label_front(axes: Axes, values_N2: NDArray[np.float64], outcome: Outcome, *, side: int) -> None:
    """Write the trial ids of the front on its better side; leave out those that would overlap."""
    places = dict(zip((trial.trial_id for trial in outcome.compared), values_N2, strict=True))
    ends = [outcome.front[0], outcome.front[-1]] if outcome.front else []
    first = [trial for trial in (outcome.knee, *ends) if trial is not None]
    taken: list[NDArray[np.float64]] = []
    for trial_id in dict.fromkeys(trial.trial_id for trial in (*first, *outcome.front)):
        pixel = axes.transData.transform(places[trial_id])
        if any((abs(pixel - other) < _LABEL_GAP_PX).all() for other in taken):
            continue
        taken.append(pixel)
        is_knee = outcome.knee is not None and trial_id == outcome.knee.trial_id
        axes.annotate(
            f"{short_id(trial_id)} (knee)" if is_knee else short_id(trial_id),
            places[trial_id],
            (9 * side, 8),
            textcoords="offset points",
            ha="right" if side < 0 else "left",
            fontsize=9,
            fontweight="bold" if is_knee else "normal",
            color=INK,
            zorder=6,
            parse_math=False,
        )


def short_id(trial_id: str) -> str:
    """Return a trial's id, or the last characters of a long one."""
    return trial_id if len(trial_id) <= 12 else f"…{trial_id[-8:]}"


def _legend(outcome: Outcome, groups: Groups) -> list[Artist]:
    """Return the legend's marks: the groups, then faded, hollow and ringed marks where they occur."""

    def mark(marker: str, label: str, **look: object) -> Line2D:
        return Line2D([], [], linestyle="none", marker=marker, label=label, **look)  # type: ignore[arg-type]

    marks = group_marks(groups, outcome.compared)
    if (outcome.feasible & ~outcome.on_front).any():
        marks.append(mark("o", "not on the front (faded)", color=MUTED, alpha=0.4, markersize=6))
    if not outcome.feasible.all():
        marks.append(mark("o", "over a constraint (hollow)", color=MUTED, markerfacecolor="none", markersize=6))
    if outcome.knee is not None:
        marks.append(mark("o", "knee (ring)", color=INK, markerfacecolor="none", markersize=11))
    return marks


def hypervolume_drawing(outcome: Outcome, end: float) -> Drawing | None:
    """Draw the hypervolume of the feasible finished trials over time, without the pauses; None while it is 0."""
    if not outcome.feasible.any():
        return None
    volumes = hypervolume_over_time(outcome.losses[outcome.feasible], reference_losses(outcome.objectives)).tolist()
    if not volumes[-1]:
        return None
    figure = new_figure(PAGE_WIDTH, 3.4)
    axes = figure.add_subplot()
    tidy(axes)
    sweep = outcome.sweep
    arrived = [trial for trial, feasible in zip(outcome.compared, outcome.feasible, strict=True) if feasible]
    minutes = [seconds_run(sweep, trial.ended or sweep.started.time) / 60 for trial in arrived]
    stop = max(seconds_run(sweep, end) / 60, minutes[-1])
    axes.step([0.0, *minutes, stop], [0.0, *volumes, volumes[-1]], where="post", color=PALETTE[0], linewidth=1.8)
    axes.plot(minutes, volumes, "o", markersize=4.5, color=PALETTE[0])
    across = "minutes of the sweep, without pauses" if sweep.resumed else "minutes since the sweep started"
    axes.set(xlabel=across, ylabel="hypervolume   better →", xlim=(0, stop * 1.02 or 1))
    axes.set_ylim(0, volumes[-1] * 1.08)
    references = {name: quantity(name, objective.reference) for name, objective in outcome.objectives.items()}
    below = ", ".join(f"{name_in_figure(name)} {value}" for name, value in references.items())
    title(axes, "Hypervolume over time", f"reference point: {below}" if len(below) <= _REFERENCE_LENGTH else "")
    at = ", ".join(f"{plain_name(name)} {value}" for name, value in references.items())
    caption = (
        "How much of the space up to the reference point the trials dominate, after each finished trial (dots). "
        f"A line that has become flat means that more trials would bring little. Reference point: {at}."
    )
    return Drawing(name="hypervolume", figure=figure, title="hypervolume over time", caption=caption)
