"""Draws the costs of trials, a row each, and their scores and losses by epoch, a line or a row each."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mtbert_ray.recorded_config import recorded_metric
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import (
    EXPERIMENT,
    INK,
    MARKERS,
    MUTED,
    PALETTE,
    ROW_HEIGHT,
    Drawing,
    Groups,
    by_dev_score,
    draw_points,
    group_marks,
    label_width,
    left_out,
    legend_below,
    name_rows,
    new_figure,
    row_order,
    tidy,
    title,
    with_rows,
)
from mtbert_ray.reporting.wording import cell, number, plain_name, unit_of
from mtbert_ray.task_metrics import metric_in_words
from mtbert_ray.trial import Trial

Points = list[tuple[float, float]]
_MAX_COLUMNS = 4
_MIN_SPAN = 0.02
"""Of an axis of scores, so that rounding differences are not drawn large."""
_FEW = 12
"""Trials whose lines can all be followed."""
_MEMORY_CAPTIONS = {
    "peak_memory_gib": "Peak memory is what a trial's process held on its GPU, the largest over its ranks.",
    "peak_rss_gib": "No GPU's memory was measured: peak RSS is the process's resident memory on the CPU.",
}
_LOSS_CAPTION = (
    " Below them the mean training loss of an epoch, of all rows and of each task: cross entropy for classification, "
    "squared error for regression, so that tasks cannot be compared."
)


def costs_drawing(outcome: Outcome, groups: Groups) -> Drawing | None:
    """Draw the peak memory, utilization and training time of the finished trials that get a row; None without any."""
    finished = [trial for trial in outcome.sweep.trials if trial.status == "finished"]
    known = {name for trial in finished for name, value in trial.metrics.items() if value is not None}
    memory = "peak_memory_gib" if "peak_memory_gib" in known else "peak_rss_gib"
    metrics = [metric for metric in (memory, "gpu_utilization_mean", "train_seconds") if metric in known]
    if not metrics:
        return None
    trials = row_order(with_rows(finished, outcome), groups, by=lambda trial: -(trial.metrics.get(metrics[0]) or 0))
    figure = new_figure(label_width(trials, outcome) + 2.5 * len(metrics) + 0.4, ROW_HEIGHT * len(trials) + 1.5)
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True).ravel()
    for axes, metric in zip(panels, metrics, strict=True):
        tidy(axes)
        _draw_bars(axes, metric, trials, groups)
    name_rows(panels[0], trials, outcome)
    # Labels of experiments need no legend of colors.
    if groups.hyperparameter != EXPERIMENT and (marks := group_marks(groups, trials, look="bar")):
        legend_below(figure, marks)
    caption = [_MEMORY_CAPTIONS[memory]] if memory in metrics else []
    if "gpu_utilization_mean" in metrics:
        caption.append("Utilization is the mean over the time of the training steps and over ranks.")
    caption.append(f"Training time is that of the training steps, without evaluation.{left_out(finished, trials)}")
    return Drawing(name="costs", figure=figure, title="costs of the trials", caption=" ".join(caption))


def _draw_bars(axes: Axes, metric: str, trials: Sequence[Trial], groups: Groups) -> None:
    values = [trial.metrics.get(metric) for trial in trials]
    scale, unit = _time_unit(max(value or 0.0 for value in values)) if unit_of(metric) == "s" else (1, unit_of(metric))
    lengths = [(value or 0.0) / scale for value in values]
    axes.barh(range(len(trials)), lengths, height=0.68, color=[groups.color_of(trial) for trial in trials])
    for place, (value, length) in enumerate(zip(values, lengths, strict=True)):
        text, color = ("not measured", MUTED) if value is None else (cell(metric, value), INK)
        _write_number(axes, text, (length, place), 4, color=color)
    # Room for the numbers at the bars' ends.
    axes.set_xlim(0, max(lengths) * (1.5 if unit_of(metric) == "s" else 1.3) or 1)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(unit, fontsize=9, color=INK)
    axes.locator_params(axis="x", nbins=5)
    title(axes, plain_name(metric).replace(" mean", ""))


def _time_unit(longest: float) -> tuple[float, str]:
    """Return what to divide seconds by, and the unit that they then have."""
    if longest >= 2 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if longest >= 120 else (1.0, "seconds")


def scores_drawing(outcome: Outcome, groups: Groups) -> Drawing | None:
    """Draw the dev scores and train losses, one panel each: by epoch, or a row a trial if none has a second epoch.

    None when no trial has finished an epoch.
    """
    trained = [trial for trial in outcome.sweep.trials if trial.epochs]
    if not trained:
        return None
    # A line of one point is a dot, and dots of equal trials hide each other: each trial gets a row.
    by_epoch = any(len(trial.epochs) > 1 for trial in trained)
    trials = trained if by_epoch else row_order(with_rows(trained, outcome), groups, by=by_dev_score)
    scores, losses = score_panels(outcome), _loss_panels(outcome)
    columns = min(len(scores), _MAX_COLUMNS)
    score_rows, loss_rows = -(-len(scores) // columns), -(-len(losses) // columns)
    rows = score_rows + loss_rows
    if by_epoch:
        figure = new_figure(2.65 * columns + 0.4, 2.6 * rows + 0.6)
        marks = group_marks(groups, trained, look="line") or _front_marks(outcome)
        caption = "Dev scores after each epoch, one line a trial; the trials on the front are drawn strong."
    else:
        height = rows * (ROW_HEIGHT * len(trials) + 1.1) + 0.4
        figure = new_figure(label_width(trials, outcome) + 2.0 * columns + 0.4, height)
        marks = group_marks(groups, trials) if groups.hyperparameter != EXPERIMENT else []
        caption = "Dev scores after the only epoch, one row a trial; the trials on the front are filled."
    panels = figure.subplots(rows, columns, squeeze=False, sharey=not by_epoch)
    if not by_epoch:
        name_rows(panels[0, 0], trials, outcome)
    for names, own in ((scores, panels[:score_rows]), (losses, panels[score_rows:])):
        for axes, name in _titled(own.ravel().tolist(), names):
            (_draw_lines if by_epoch else _draw_dots)(axes, name, trials, outcome, groups)
    if marks:
        legend_below(figure, marks)
    caption += (_LOSS_CAPTION if losses else "") + left_out(trained, trials)
    heading = f"dev scores and train losses{' by epoch' if by_epoch else ''}"
    return Drawing(name="scores", figure=figure, title=heading, caption=caption)


def score_panels(outcome: Outcome) -> dict[str, str]:
    """Return the scores that get a panel, the mean first -> the line below the heading."""
    tasks = outcome.sweep.trials[0].config["tasks"] if outcome.sweep.trials else []
    meanings = {
        task["name"]: metric_in_words(metric) for task in tasks if (metric := recorded_metric(task)) is not None
    }
    return {"dev_score": "mean over the tasks", **dict.fromkeys(outcome.sweep.started.tasks, "accuracy"), **meanings}


def _loss_panels(outcome: Outcome) -> dict[str, str]:
    """Return the train losses that some trial reported -> the line below the heading."""
    tasks = outcome.sweep.started.tasks
    losses = {"train_loss": "mean over all rows", **{f"train_loss.{task}": "mean of the epoch" for task in tasks}}
    known = {name for trial in outcome.sweep.trials for epoch in trial.epochs for name in epoch}
    return {name: below for name, below in losses.items() if name in known}


def _titled(panels: Sequence[Axes], names: Mapping[str, str]) -> list[tuple[Axes, str]]:
    """Give each name a panel with its heading and hide the other panels; return the panels with their names."""
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for axes, (name, below) in zip(panels, names.items(), strict=False):
        tidy(axes)
        title(axes, plain_name(name), below)
    return list(zip(panels, names, strict=False))


def _draw_dots(axes: Axes, name: str, trials: Sequence[Trial], outcome: Outcome, groups: Groups) -> None:
    """Draw one panel: a dot a trial with its value; a trial without the value has an empty row."""
    values = []
    for row, trial in enumerate(trials):
        value = trial.epochs[0].get(name)
        if value is None:
            continue
        values.append(float(value))
        (dot,) = axes.plot(
            value, row, MARKERS[groups.index_of(trial)], markersize=6, color=groups.color_of(trial), zorder=4
        )
        if trial.trial_id not in outcome.front_ids:
            dot.set_markerfacecolor("white")
        _write_number(axes, number(name, value), (value, row), 7)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=4)
    if values:
        span = max(max(values) - min(values), _MIN_SPAN)
        # Room on the right for the number of the largest value.
        axes.set_xlim(min(values) - 0.12 * span, max(values) + 0.55 * span)


def _write_number(axes: Axes, text: str, place: tuple[float, float], gap: float, color: str = INK) -> None:
    """Write a number on the right of a bar or a dot, over the row's line."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    look: dict[str, Any] = {"va": "center", "fontsize": 8, "color": color, "bbox": box}
    axes.annotate(text, place, (gap, 0), textcoords="offset points", parse_math=False, **look)


def _draw_lines(axes: Axes, name: str, trials: Sequence[Trial], outcome: Outcome, groups: Groups) -> None:
    """Draw one panel: a line a trial over its epochs; those off the front as one artist a group."""
    axes.set_xlabel("epoch", fontsize=9, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    # Many lines must fade behind the front's.
    alpha = 0.4 if len(trials) > _FEW else 0.75
    faint: dict[int, list[Points]] = {}
    for trial in trials:
        points = [
            (place if (epoch := metrics.get("epoch")) is None else epoch, value)
            for place, metrics in enumerate(trial.epochs, start=1)
            if (value := metrics.get(name)) is not None
        ]
        group = groups.index_of(trial)
        if trial.trial_id not in outcome.front_ids:
            faint.setdefault(group, []).append(points)
        elif points:
            axes.plot(*zip(*points, strict=True), MARKERS[group], ls="-", ms=4, lw=1.8, color=PALETTE[group], zorder=4)
    for group, curves in faint.items():
        color = PALETTE[group] if groups.hyperparameter else MUTED
        axes.add_collection(LineCollection(curves, colors=color, linewidths=0.9, alpha=alpha, zorder=3))
        ends = [point for points in curves for point in points]
        draw_points(axes, ends, MARKERS[group], markersize=2.5, color=color, alpha=alpha, zorder=3)


def _front_marks(outcome: Outcome) -> list[Artist]:
    front = Line2D([], [], color=PALETTE[0], marker=MARKERS[0], linewidth=1.8, label="on the front")
    rest = Line2D([], [], color=INK, alpha=0.3, linewidth=0.9, label="other trials")
    return [front, rest] if outcome.front else [rest]
