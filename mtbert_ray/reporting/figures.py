"""The figures of a report, in the order in which they are shown. Knows nothing of files and pages."""

from itertools import combinations

from mtbert_ray.reporting.cost_figure import costs_drawing, hypervolume_drawing
from mtbert_ray.reporting.curves_figure import curves_drawing, one_epoch_drawing
from mtbert_ray.reporting.effect_figure import effects_drawing
from mtbert_ray.reporting.front_figure import front_drawing
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import Drawing, groups_of

DPI = 150


def front_drawings(outcome: Outcome) -> list[Drawing]:
    """Draw the front for each pair of objectives, the earlier objective upwards; none without a finished trial."""
    if not outcome.compared:
        return []
    groups = groups_of(outcome)
    pairs = combinations(range(len(outcome.objectives)), 2)
    return [front_drawing(outcome, across, up, groups, is_first=place == 0) for place, (up, across) in enumerate(pairs)]


def progress_drawings(outcome: Outcome, end: float) -> list[Drawing]:
    """Draw what there is of: objectives by hyperparameter, costs by trial, hypervolume over time, scores by epoch.

    Args:
        outcome: the sweep's.
        end: when the sweep ended or was last heard of, in seconds since the epoch.
    """
    groups = groups_of(outcome)
    drawings = []
    if effects := effects_drawing(outcome, groups):
        drawings.append(effects)
    if costs := costs_drawing(outcome, groups):
        drawings.append(costs)
    if volume := hypervolume_drawing(outcome, end):
        drawings.append(volume)
    most_epochs = max((len(trial.epochs) for trial in outcome.sweep.trials), default=0)
    if most_epochs:
        # A line of one point is a dot, and dots of trials that agree hide each other.
        drawings.append(curves_drawing(outcome, groups) if most_epochs > 1 else one_epoch_drawing(outcome, groups))
    return drawings
