"""Draws how a sweep went: the hypervolume over time."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from mtbert_ray.metrics import MetricValue
from mtbert_ray.pareto.front import hypervolume_over_time
from mtbert_ray.pareto.objectives import reference_losses
from mtbert_ray.reporting.facts import seconds_run
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import (
    EXPERIMENT,
    INK,
    MUTED,
    PAGE_WIDTH,
    PALETTE,
    Drawing,
    Groups,
    group_patches,
    legend_below,
    name_in_figure,
    new_figure,
    tidy,
    title,
)
from mtbert_ray.reporting.tables import label_width, left_out, name_rows, row_order, with_rows
from mtbert_ray.reporting.wording import duration, number, plain_name, quantity, unit_of
from mtbert_ray.trial import Trial

_LINE_LENGTH = 100
"""Characters that fit over the axes; a longer reference point stands in the caption alone."""


def hypervolume_drawing(outcome: Outcome, end: float) -> Drawing | None:
    """Draw the hypervolume of the feasible finished trials over the minutes that the sweep had run, without pauses.

    None while it is 0: no feasible trial is better than the reference point in every objective.

    Args:
        outcome: the sweep's.
        end: when the line ends, in seconds since the epoch.
    """
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
    across = "minutes that the sweep ran, without pauses" if sweep.resumed else "minutes since the sweep began"
    axes.set(xlabel=across, ylabel="hypervolume   better →", xlim=(0, stop * 1.02 or 1))
    axes.set_ylim(0, volumes[-1] * 1.08)
    references = {name: quantity(name, objective.reference) for name, objective in outcome.objectives.items()}
    below = ", ".join(f"{name_in_figure(name)} {value}" for name, value in references.items())
    title(axes, "Hypervolume over time", f"reference point: {below}" if len(below) <= _LINE_LENGTH else "")
    at = ", ".join(f"{plain_name(name)} {value}" for name, value in references.items())
    caption = (
        "How much of the space up to the reference point the trials dominate, after each one that finished (dots). "
        f"A line that has gone flat says that more trials would bring little. Reference point: {at}."
    )
    return Drawing(name="hypervolume", figure=figure, title="hypervolume over time", caption=caption)


def costs_drawing(outcome: Outcome, groups: Groups) -> Drawing | None:
    """Draw the finished trials' peak memory, utilization and training time; None when there is none of them.

    Of more than 20 trials those on the front are drawn, and the best of the others.
    """
    finished = [trial for trial in outcome.sweep.trials if trial.status == "finished"]
    metrics = _measured(finished)
    if not metrics:
        return None
    trials = row_order(with_rows(finished, outcome), groups, by=lambda trial: -_value(trial.metrics.get(metrics[0])))
    width = max(label_width(trials, outcome) + 2.5 * len(metrics) + 0.4, PAGE_WIDTH)
    figure = new_figure(width, 0.27 * len(trials) + 1.5)
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True).ravel()
    for axes, metric in zip(panels, metrics, strict=True):
        tidy(axes)
        _draw_bars(axes, metric, trials, groups)
    name_rows(panels[0], trials, outcome)
    # Labels of experiments say what the colors would.
    if groups.hyperparameter not in (None, EXPERIMENT) and (marks := group_patches(groups, trials)):
        legend_below(figure, marks)
    caption = _caption(metrics) + left_out(finished, trials)
    return Drawing(name="costs", figure=figure, title="what the trials cost", caption=caption)


def _measured(finished: Sequence[Trial]) -> list[str]:
    """Return what there are bars of: the GPU's metrics where some trial has them, else the process's memory."""

    def known(metric: str) -> bool:
        return any(trial.metrics.get(metric) is not None for trial in finished)

    memory = "peak_memory_gib" if known("peak_memory_gib") else "peak_rss_gib"
    return [metric for metric in (memory, "gpu_utilization_mean", "train_seconds") if known(metric)]


def _draw_bars(axes: Axes, metric: str, trials: Sequence[Trial], groups: Groups) -> None:
    scale, unit = _time_unit(metric, trials)
    values = [trial.metrics.get(metric) for trial in trials]
    lengths = [_value(value) / scale for value in values]
    axes.barh(range(len(trials)), lengths, height=0.68, color=[groups.color_of(trial) for trial in trials])
    for place, (value, length) in enumerate(zip(values, lengths, strict=True)):
        axes.annotate(
            _text(metric, value),
            (length, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=MUTED if value is None else INK,
            parse_math=False,
        )
    # Room for the numbers at the bars' ends.
    axes.set_xlim(0, max(lengths) * (1.5 if unit_of(metric) == "s" else 1.3) or 1)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(unit, fontsize=9, color=INK)
    axes.locator_params(axis="x", nbins=5)
    title(axes, plain_name(metric).replace(" mean", ""))


def _value(value: MetricValue) -> float:
    return 0.0 if value is None else float(value)


def _text(metric: str, value: MetricValue) -> str:
    if value is None:
        return "not measured"
    return duration(value) if unit_of(metric) == "s" else number(metric, value)


def _time_unit(metric: str, trials: Sequence[Trial]) -> tuple[float, str]:
    """Return what to divide a metric by and what it then is in: long times in minutes or hours."""
    if unit_of(metric) != "s":
        return 1.0, unit_of(metric)
    longest = max(_value(trial.metrics.get(metric)) for trial in trials)
    if longest >= 2 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if longest >= 120 else (1.0, "seconds")


def _caption(metrics: Sequence[str]) -> str:
    memory = {
        "peak_memory_gib": "Peak memory is what a trial's process held on its GPU, the largest over its ranks.",
        "peak_rss_gib": "No GPU's memory was measured: peak RSS is the process's resident memory on the processor.",
    }
    parts = [memory[metric] for metric in metrics if metric in memory]
    if "gpu_utilization_mean" in metrics:
        parts.append("Utilization is the mean over the training steps' time and over ranks.")
    parts.append("Training time is that of the training steps, without the scoring.")
    return " ".join(parts)
