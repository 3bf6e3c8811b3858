"""Draws how a sweep went: the hypervolume over time, and every trial's dev scores by epoch."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mtbert_ray.metrics import MetricValue
from mtbert_ray.pareto.hypervolume import hypervolume_over_time
from mtbert_ray.pareto.objectives import reference_losses
from mtbert_ray.records import TrialRecord
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import (
    INK,
    MARKERS,
    MUTED,
    PALETTE,
    Drawing,
    Groups,
    group_marks,
    new_figure,
    tidy,
    title,
)
from mtbert_ray.reporting.wording import plain_name, quantity


def hypervolume_drawing(outcome: Outcome, end: float) -> Drawing:
    """Draw the hypervolume of the feasible finished trials over the minutes since the sweep began.

    Args:
        outcome: with at least one feasible trial.
        end: when the line ends, in seconds since the epoch.
    """
    figure = new_figure(8.4, 3.4)
    axes = figure.add_subplot()
    tidy(axes)
    started = outcome.sweep.started.time
    arrived = [trial for trial, feasible in zip(outcome.compared, outcome.feasible, strict=True) if feasible]
    minutes = [((trial.ended or started) - started) / 60 for trial in arrived]
    volumes = hypervolume_over_time(outcome.losses[outcome.feasible], reference_losses(outcome.objectives)).tolist()
    stop = max((end - started) / 60, minutes[-1])
    axes.step([0.0, *minutes, stop], [0.0, *volumes, volumes[-1]], where="post", color=PALETTE[0], linewidth=1.8)
    axes.plot(minutes, volumes, "o", markersize=4.5, color=PALETTE[0])
    axes.set(xlabel="minutes since the sweep began", ylabel="hypervolume   better →", xlim=(0, stop * 1.02 or 1))
    axes.set_ylim(0, max(volumes) * 1.08 or 1)
    at = ", ".join(f"{plain_name(name)} {quantity(name, o.reference)}" for name, o in outcome.objectives.items())
    title(axes, "Hypervolume over time", f"reference point: {at}")
    caption = (
        "How much of the space up to the reference point the trials dominate, after each one that finished (dots). "
        f"A line that has gone flat says that more trials would bring little. Reference point: {at}."
    )
    if not volumes[-1]:
        caption += " It stays at 0 because no trial is better than the reference point in every objective."
    return Drawing(name="hypervolume", figure=figure, title="hypervolume over time", caption=caption)


def curves_drawing(outcome: Outcome, groups: Groups) -> Drawing:
    """Draw the mean dev score and each task's by epoch, one line a trial, one panel a score.

    Args:
        outcome: with at least one finished epoch.
        groups: which trials share a colour.
    """
    names = ["dev_score", *outcome.sweep.started.tasks]
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure = new_figure(2.65 * columns + 0.4, 2.7 * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    kinds = _task_metrics(outcome.sweep.trials)
    for axes, name in zip(panels, names, strict=False):
        tidy(axes)
        title(axes, plain_name(name), kinds.get(name, "mean over the tasks"))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        _draw_lines(axes, name, outcome, groups)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    figure.legend(handles=_legend(outcome, groups), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    caption = "Dev scores after each epoch, one line a trial; the trials on the front are drawn strong."
    return Drawing(name="scores", figure=figure, title="dev scores by epoch", caption=caption)


def _draw_lines(axes: Axes, name: str, outcome: Outcome, groups: Groups) -> None:
    on_front = {trial.trial_id for trial in outcome.front}
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
            alpha=1.0 if strong else 0.4,
            zorder=4 if strong else 3,
        )


def _epoch(metrics: dict[str, MetricValue], place: int) -> float:
    """Return the epoch that metrics are of: as reported, else their place."""
    reported = metrics.get("epoch")
    return place if reported is None else reported


def _task_metrics(trials: Sequence[TrialRecord]) -> dict[str, str]:
    """Return what each task's score is: accuracy or Pearson correlation."""
    tasks = trials[0].config["tasks"] if trials else []
    return {
        task["name"]: "Pearson correlation" if task.get("kind") == "pair_regression" else "accuracy" for task in tasks
    }


def _legend(outcome: Outcome, groups: Groups) -> list[Line2D]:
    if groups.hyperparameter is not None:
        return group_marks(groups, outcome.sweep.trials, linestyle="-")
    strong = Line2D([], [], color=PALETTE[0], marker=MARKERS[0], linewidth=1.8, label="on the front")
    rest = Line2D([], [], color=INK, alpha=0.3, linewidth=0.9, label="other trials")
    return [strong, rest] if outcome.front else [rest]
