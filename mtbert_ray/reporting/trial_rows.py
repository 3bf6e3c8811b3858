"""The rows of figures that have one a trial: which trials get one, in which order, and what stands beside it."""

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from mtbert_ray.records import TrialRecord
from mtbert_ray.reporting.outcome import Outcome, label_of
from mtbert_ray.reporting.style import EXPERIMENT, Groups
from mtbert_ray.reporting.wording import counted

ROW_HEIGHT = 0.27
"""Inches."""
_MAX_ROWS = 20
_CHARACTER_WIDTH = 0.075
"""Inches of a character of a row's label."""


def with_rows(trials: Sequence[TrialRecord], outcome: Outcome) -> list[TrialRecord]:
    """Return the trials that get a row: all, or of more than 20 the front and the best of the rest by dev score."""
    if len(trials) <= _MAX_ROWS:
        return list(trials)
    on_front = {trial.trial_id for trial in outcome.front}
    ranked = sorted(trials, key=lambda trial: (trial.trial_id not in on_front, by_dev_score(trial)))
    kept = {trial.trial_id for trial in ranked[:_MAX_ROWS]}
    return [trial for trial in trials if trial.trial_id in kept]


def by_dev_score(trial: TrialRecord) -> float:
    """Return what sorts trials, the best dev score first and those without one last."""
    score = trial.metrics.get("dev_score")
    return math.inf if score is None else -score


def row_order(
    trials: Sequence[TrialRecord], groups: Groups, *, by: Callable[[TrialRecord], float]
) -> list[TrialRecord]:
    """Return experiments in their order with their repetitions together, other trials by rising `by`."""
    return sorted(trials, key=groups.index_of if groups.hyperparameter == EXPERIMENT else by)


def name_rows(axes: Axes, trials: Sequence[TrialRecord], outcome: Outcome) -> None:
    """Write the trials' labels on the y axis, the first at the top."""
    axes.set_yticks(range(len(trials)), [label_of(trial, outcome.sweep) for trial in trials], parse_math=False)
    axes.set_ylim(len(trials) - 0.4, -0.6)


def label_width(trials: Sequence[TrialRecord], outcome: Outcome) -> float:
    """Return the inches that the longest label takes."""
    return _CHARACTER_WIDTH * max(len(label_of(trial, outcome.sweep)) for trial in trials)


def left_out(trials: Sequence[TrialRecord], drawn: Sequence[TrialRecord]) -> str:
    """Return the end of a caption: " ... 2 trials left out: t4, t7."; nothing when all are drawn."""
    ids = [trial.trial_id for trial in trials if trial not in drawn]
    if not ids:
        return ""
    return (
        f" The front and the trials with the best dev scores are drawn; {counted(len(ids), 'trial')} left out: "
        f"{', '.join(ids)}."
    )
