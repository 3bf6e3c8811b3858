"""Draws the dev scores and training losses of trials of a single epoch: one row a trial, a dot where its value is."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from mtbert_ray.records import TrialRecord
from mtbert_ray.reporting.curves_figure import LOSS_CAPTION, loss_panels, name_panel, score_panels
from mtbert_ray.reporting.outcome import Outcome
from mtbert_ray.reporting.style import (
    EXPERIMENT,
    INK,
    MARKERS,
    Drawing,
    Groups,
    group_marks,
    legend_below,
    new_figure,
    tidy,
)
from mtbert_ray.reporting.trial_rows import (
    ROW_HEIGHT,
    by_dev_score,
    label_width,
    left_out,
    name_rows,
    row_order,
    with_rows,
)
from mtbert_ray.reporting.wording import number

_MAX_COLUMNS = 4
_LEAST_SPAN = 0.02
"""Of an axis, so that values that agree but for rounding are not drawn apart."""


def one_epoch_drawing(outcome: Outcome, groups: Groups) -> Drawing:
    """Draw the mean dev score, each task's and the train losses, one panel each, the best dev score in the first row.

    Of more than 20 trials those on the front are drawn, and the best of the others.

    Args:
        outcome: with at least one trial of one epoch, and none of more.
        groups: which trials share a colour.
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
    # Labels of experiments say what the colours would.
    if groups.hyperparameter not in (None, EXPERIMENT) and (marks := group_marks(groups, trials)):
        legend_below(figure, marks)
    caption = "Dev scores after the only epoch, one row a trial; the trials on the front are filled."
    caption += (LOSS_CAPTION if losses else "") + left_out(trained, trials)
    return Drawing(name="scores", figure=figure, title="dev scores and train losses", caption=caption)


def _draw_dots(axes: Axes, name: str, trials: Sequence[TrialRecord], outcome: Outcome, groups: Groups) -> None:
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
            color=groups.colour_of(trial),
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
