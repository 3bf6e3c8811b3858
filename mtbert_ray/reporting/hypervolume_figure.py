"""Draws how a sweep went: the hypervolume over time."""

from mtbert_ray.pareto.hypervolume import hypervolume_over_time
from mtbert_ray.pareto.objectives import reference_losses
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.sessions import seconds_run
from mtbert_ray.reporting.style import PAGE_WIDTH, PALETTE, Drawing, name_in_figure, new_figure, tidy, title
from mtbert_ray.reporting.wording import plain_name, quantity

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
