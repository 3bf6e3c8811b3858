"""Draws the dev scores and training losses of trials of a single epoch: one row a trial, a dot where its value is."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mtbert_ray.metrics import MetricValue
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import (
    EXPERIMENT,
    INK,
    MARKERS,
    MUTED,
    PAGE_WIDTH,
    PALETTE,
    Drawing,
    Groups,
    group_marks,
    legend_below,
    new_figure,
    tidy,
    title,
)
from mtbert_ray.reporting.tables import (
    ROW_HEIGHT,
    by_dev_score,
    label_width,
    left_out,
    name_rows,
    row_order,
    with_rows,
)
from mtbert_ray.reporting.wording import number, plain_name
from mtbert_ray.task_metrics import metric_in_words
from mtbert_ray.tasks import TaskKind, TaskSpec
from mtbert_ray.trial import Trial

_MAX_COLUMNS = 4
_LEAST_SPAN = 0.02
"""Of an axis, so that values that agree but for rounding are not drawn apart."""


def one_epoch_drawing(outcome: Outcome, groups: Groups) -> Drawing:
    """Draw the mean dev score, each task's and the train losses, one panel each, the best dev score in the first row.

    Of more than 20 trials those on the front are drawn, and the best of the others.

    Args:
        outcome: with at least one trial of one epoch, and none of more.
        groups: which trials share a color.
    """
    trained = [trial for trial in outcome.sweep.trials if trial.epochs]
    trials = row_order(with_rows(trained, outcome), groups, by=by_dev_score)
    scores, losses = score_panels(outcome), loss_panels(outcome)
    columns = min(len(scores), _MAX_COLUMNS)
    score_rows, loss_rows = -(-len(scores) // columns), -(-len(losses) // columns)
    rows = score_rows + loss_rows
    figure = new_figure(
        label_width(trials, outcome) + 2.0 * columns + 0.4, rows * (ROW_HEIGHT * len(trials) + 1.1) + 0.4
    )
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    name_rows(panels[0, 0], trials, outcome)
    for names, own in ((scores, panels[:score_rows]), (losses, panels[score_rows:])):
        cells = own.ravel().tolist()
        for axes, (name, below) in zip(cells, names.items(), strict=False):
            tidy(axes)
            name_panel(axes, name, below)
            _draw_dots(axes, name, trials, outcome, groups)
        for axes in cells[len(names) :]:
            axes.set_visible(False)
    # Labels of experiments say what the colors would.
    if groups.hyperparameter not in (None, EXPERIMENT) and (marks := group_marks(groups, trials)):
        legend_below(figure, marks)
    caption = "Dev scores after the only epoch, one row a trial; the trials on the front are filled."
    caption += (LOSS_CAPTION if losses else "") + left_out(trained, trials)
    return Drawing(name="scores", figure=figure, title="dev scores and train losses", caption=caption)


def _draw_dots(axes: Axes, name: str, trials: Sequence[Trial], outcome: Outcome, groups: Groups) -> None:
    """Draw one panel: a dot a trial with its value beside it; a trial without the value has an empty row."""
    on_front = {trial.trial_id for trial in outcome.front}
    values = []
    for row, trial in enumerate(trials):
        value = trial.epochs[0].get(name)
        if value is None:
            continue
        values.append(float(value))
        axes.plot(
            value,
            row,
            MARKERS[groups.index_of(trial)],
            markersize=6,
            color=groups.color_of(trial),
            markerfacecolor=None if trial.trial_id in on_front else "white",
            zorder=4,
        )
        axes.annotate(
            number(name, value),
            (value, row),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
            # The row's line would run through the digits.
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=4)
    if values:
        span = max(max(values) - min(values), _LEAST_SPAN)
        # Room on the right for the number beside the largest value.
        axes.set_xlim(min(values) - 0.12 * span, max(values) + 0.55 * span)


_FEW = 12
"""Trials whose lines can all be followed."""
LOSS_CAPTION = (
    " Below them the mean training loss of an epoch, of all rows and of each task: cross entropy where the task is a "
    "classification, squared error where it is a regression, so that tasks cannot be compared."
)


def curves_drawing(outcome: Outcome, groups: Groups) -> Drawing:
    """Draw the mean dev score and each task's by epoch, one line a trial, one panel a score; below, the train losses.

    Args:
        outcome: with at least one trial of several epochs.
        groups: which trials share a color.
    """
    scores, losses = score_panels(outcome), loss_panels(outcome)
    columns = min(len(scores), _MAX_COLUMNS)
    rows = -(-len(scores) // columns)
    loss_rows = -(-len(losses) // columns)
    width = max(2.65 * columns + 0.4, PAGE_WIDTH)
    figure = new_figure(width, 2.6 * (rows + loss_rows) + 0.6)
    panels = figure.subplots(rows + loss_rows, columns, squeeze=False)
    _draw_panels(panels[:rows].ravel().tolist(), scores, outcome, groups)
    _draw_panels(panels[rows:].ravel().tolist(), losses, outcome, groups)
    marks = _legend(outcome, groups)
    legend_below(figure, marks)
    caption = "Dev scores after each epoch, one line a trial; the trials on the front are drawn strong."
    caption += LOSS_CAPTION if losses else ""
    return Drawing(name="scores", figure=figure, title="dev scores and train losses by epoch", caption=caption)


def score_panels(outcome: Outcome) -> dict[str, str]:
    """Return the scores that get a panel, the mean first, each with the line under its heading."""
    tasks = outcome.sweep.started.tasks
    return {"dev_score": "mean over the tasks", **dict.fromkeys(tasks, "accuracy"), **_meanings(outcome)}


def loss_panels(outcome: Outcome) -> dict[str, str]:
    """Return the train losses that some trial reported, each with the line under its heading."""
    tasks = outcome.sweep.started.tasks
    losses = {"train_loss": "mean over all rows", **{f"train_loss.{task}": "mean of the epoch" for task in tasks}}
    known = {name for trial in outcome.sweep.trials for epoch in trial.epochs for name in epoch}
    return {name: below for name, below in losses.items() if name in known}


def name_panel(axes: Axes, name: str, below: str) -> None:
    """Write a score's or loss's heading, and the line under it."""
    title(axes, plain_name(name), below)


def _draw_panels(panels: Sequence[Axes], names: dict[str, str], outcome: Outcome, groups: Groups) -> None:
    """Draw one value a panel; names are those of the values with the line under their heading."""
    for axes, (name, below) in zip(panels, names.items(), strict=False):
        tidy(axes)
        name_panel(axes, name, below)
        axes.set_xlabel("epoch", fontsize=9, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        _draw_lines(axes, name, outcome, groups)
    for axes in panels[len(names) :]:
        axes.set_visible(False)


def _draw_lines(axes: Axes, name: str, outcome: Outcome, groups: Groups) -> None:
    on_front = {trial.trial_id for trial in outcome.front}
    # Many lines must fade behind the front's; a few experiments are all looked at.
    faint = 0.4 if len(outcome.sweep.trials) > _FEW else 0.75
    for trial in outcome.sweep.trials:
        points = [
            (epoch, value)
            for place, metrics in enumerate(trial.epochs, start=1)
            if (value := metrics.get(name)) is not None and (epoch := _epoch(metrics, place)) is not None
        ]
        strong = trial.trial_id in on_front
        axes.plot(
            [epoch for epoch, _ in points],
            [value for _, value in points],
            marker=MARKERS[groups.index_of(trial)],
            markersize=4 if strong else 2.5,
            color=groups.color_of(trial) if strong or groups.hyperparameter else MUTED,
            linewidth=1.8 if strong else 0.9,
            alpha=1.0 if strong else faint,
            zorder=4 if strong else 3,
        )


def _epoch(metrics: dict[str, MetricValue], place: int) -> float:
    """Return the epoch that metrics are of: as reported, else their place."""
    reported = metrics.get("epoch")
    return place if reported is None else reported


def _meanings(outcome: Outcome) -> dict[str, str]:
    """Return what each task is scored by, in words."""
    tasks = outcome.sweep.trials[0].config["tasks"] if outcome.sweep.trials else []
    return {task["name"]: metric_in_words(_metric_of(task)) for task in tasks}


def _metric_of(task: Mapping[str, Any]) -> str:
    """Return the metric of a task as a journal has it; those of earlier versions name none."""
    # Not checked: what a task must be today may not hold for one of an earlier version.
    metrics = tuple(task.get("metrics") or ())
    return TaskSpec.model_construct(name=task["name"], kind=TaskKind(task["kind"]), metrics=metrics).metric


def _legend(outcome: Outcome, groups: Groups) -> list[Line2D]:
    if groups.hyperparameter is not None:
        trained: list[Trial] = [trial for trial in outcome.sweep.trials if trial.epochs]
        return group_marks(groups, trained, linestyle="-")
    strong = Line2D([], [], color=PALETTE[0], marker=MARKERS[0], linewidth=1.8, label="on the front")
    rest = Line2D([], [], color=INK, alpha=0.3, linewidth=0.9, label="other trials")
    return [strong, rest] if outcome.front else [rest]
