"""Draws what every trial did by epoch: its dev scores, and below them its training losses."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mtbert_ray.metrics import MetricValue
from mtbert_ray.records import TrialRecord
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import (
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
from mtbert_ray.reporting.wording import plain_name
from mtbert_ray.task_metrics import metric_in_words
from mtbert_ray.tasks import TaskKind, TaskSpec

_MAX_COLUMNS = 4
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
        groups: which trials share a colour.
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
            color=groups.colour_of(trial) if strong or groups.hyperparameter else MUTED,
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
        trained: list[TrialRecord] = [trial for trial in outcome.sweep.trials if trial.epochs]
        return group_marks(groups, trained, linestyle="-")
    strong = Line2D([], [], color=PALETTE[0], marker=MARKERS[0], linewidth=1.8, label="on the front")
    rest = Line2D([], [], color=INK, alpha=0.3, linewidth=0.9, label="other trials")
    return [strong, rest] if outcome.front else [rest]
