"""Draws each objective against each hyperparameter: one panel a pair, one mark a finished trial."""

import statistics

from matplotlib.axes import Axes

from mtbert_ray.events import as_scalar
from mtbert_ray.pareto.objectives import losses_to_values
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import (
    EXPERIMENT,
    INK,
    MARKERS,
    PAGE_WIDTH,
    PALETTE,
    Drawing,
    Groups,
    draw_points,
    group_marks,
    label_with_direction,
    legend_below,
    legend_columns,
    minor_labels_off,
    new_figure,
    spans_decades,
    tidy,
)
from mtbert_ray.reporting.wording import config_value

_MAX_COLUMNS = 5
_CHARACTERS_OF_AN_AXIS = 30
"""More do not fit below a panel, nor in one line on its left."""


def effects_drawing(outcome: Outcome, groups: Groups) -> Drawing | None:
    """Draw the objectives by the first five hyperparameters with several values; None without any."""
    varied = [name for name in outcome.sweep.started.hyperparameters if len(_values(outcome, name)) > 1]
    if len(outcome.compared) < 4 or not varied:
        return None
    drawn = varied[:_MAX_COLUMNS]
    objectives = list(outcome.objectives.items())
    marks = group_marks(groups, outcome.compared)
    width = max(2.5 * len(drawn) + 0.8, PAGE_WIDTH)
    columns = legend_columns(marks, width)
    legend_rows = -(-len(marks) // columns)
    figure = new_figure(width, 2.3 * len(objectives) + 0.4 + 0.22 * max(0, legend_rows - 1))
    panels = figure.subplots(len(objectives), len(drawn), squeeze=False, sharex="col", sharey="row")
    values_NM = losses_to_values(outcome.losses, outcome.objectives)
    for row, (metric, objective) in enumerate(objectives):
        for column, name in enumerate(drawn):
            axes = panels[row, column]
            tidy(axes)
            _draw_panel(axes, outcome, name, values_NM[:, row].tolist(), groups)
            if row == len(objectives) - 1:
                axes.set_xlabel(name, fontsize=9, color=INK, parse_math=False)
        label = label_with_direction(metric, objective.direction)
        label = label if len(label) <= _CHARACTERS_OF_AN_AXIS else label.replace("   ", "\n")
        panels[row, 0].set_ylabel(label, fontsize=8.5, color=INK, parse_math=False)
    if marks:
        legend_below(figure, marks)
    left_out = f" Not drawn: {', '.join(varied[_MAX_COLUMNS:])}." if len(varied) > len(drawn) else ""
    caption = (
        "Each mark is a finished trial, each bar the median of a value tried more than once. The other hyperparameters "
        f"vary at the same time, so a slope is a hint and not a controlled comparison.{left_out}"
    )
    return Drawing(name="effects", figure=figure, title="objectives by hyperparameter", caption=caption)


def _draw_panel(axes: Axes, outcome: Outcome, name: str, values: list[float], groups: Groups) -> None:
    positions = _positions(axes, outcome, name, groups)
    placed: dict[float, list[float]] = {}
    marks: dict[int, list[tuple[float, float]]] = {}
    for trial, value in zip(outcome.compared, values, strict=True):
        if trial.hyperparameters.get(name) is None:
            continue  # It does not apply to this trial.
        position = positions[config_value(trial.hyperparameters[name])]
        placed.setdefault(position, []).append(value)
        marks.setdefault(groups.index_of(trial), []).append((position, value))
    for group, points in marks.items():
        draw_points(axes, points, MARKERS[group], markersize=5, markeredgewidth=0, color=PALETTE[group], alpha=0.7)
    medians = [(position, statistics.median(several)) for position, several in placed.items() if len(several) > 1]
    draw_points(axes, medians, "_", markersize=17, markeredgewidth=2, color=INK, zorder=5)


def _positions(axes: Axes, outcome: Outcome, name: str, groups: Groups) -> dict[str, float]:
    """Return value -> its place on the x axis: many numbers at their value, others side by side."""
    values = _values(outcome, name)
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        if len(numbers) <= 6:
            axes.set_xticks(range(len(numbers)), [config_value(value) for value in sorted(numbers)])
            axes.set_xlim(-0.5, len(numbers) - 0.5)
            return {config_value(value): float(place) for place, value in enumerate(sorted(numbers))}
        axes.set_xscale("log" if spans_decades([float(value) for value in numbers]) else "linear")
        minor_labels_off(axes)
        return {config_value(value): float(value) for value in numbers}
    words = sorted(config_value(value) for value in values)
    if groups.hyperparameter == name == EXPERIMENT:
        # The legend names them, in this order: names of experiments are too long for an axis.
        words.sort(key=groups.values.index)
        axes.set_xticks(range(len(words)), [""] * len(words))
    else:
        crowded = sum(map(len, words)) + 3 * len(words) > _CHARACTERS_OF_AN_AXIS
        axes.set_xticks(
            range(len(words)),
            words,
            rotation=30 if crowded else 0,
            horizontalalignment="right" if crowded else "center",
            parse_math=False,
        )
    axes.set_xlim(-0.5, len(words) - 0.5)
    return {word: float(place) for place, word in enumerate(words)}


def _values(outcome: Outcome, name: str) -> list[str | int | float]:
    """Return the different values of a hyperparameter among the compared trials it applies to."""
    scalars = (as_scalar(trial.hyperparameters.get(name)) for trial in outcome.compared)
    return list({config_value(value): value for value in scalars if value is not None}.values())
