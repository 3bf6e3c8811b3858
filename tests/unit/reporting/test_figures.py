import numpy as np
import pytest

from mtbert_ray.metrics import Objective
from mtbert_ray.records import read_journal
from mtbert_ray.reporting.figures import front_drawings, progress_drawings
from mtbert_ray.reporting.front_figure import short_id, staircase
from mtbert_ray.reporting.outcome import outcome_of


def test_staircase_joins_the_points_through_the_corners_that_nothing_reached():
    corners = staircase(np.array([[3.0, 1.0], [1.0, 2.0]]), worst=(5.0, 4.0))
    assert corners.tolist() == [[1, 4], [1, 2], [3, 2], [3, 1], [5, 1]]


def test_staircase_of_one_point_is_a_corner():
    assert staircase(np.array([[1.0, 2.0]]), worst=(5.0, 4.0)).tolist() == [[1, 4], [1, 2], [5, 2]]


def front_axes(folder):
    (drawing,) = front_drawings(outcome_of(read_journal(folder)))
    return drawing, drawing.figure.axes[0]


def test_front_figure_has_the_first_objective_up_and_says_which_way_is_better(eight_trials):
    drawing, axes = front_axes(eight_trials)
    assert drawing.name == "front-dev_score-vs-peak_memory_gib"
    assert axes.get_ylabel() == "dev score   better →"
    assert axes.get_xlabel() == "← better   peak memory (GiB)"


def test_front_figure_steps_from_the_leanest_to_the_best(eight_trials):
    _, axes = front_axes(eight_trials)
    (steps,) = [line for line in axes.lines if len(line.get_xdata()) > 2]
    corners = np.column_stack([steps.get_xdata(), steps.get_ydata()])
    # In values: up at 2.5 GiB, right to 2.9, up, right to 4.8, up, and right to the edge.
    assert corners[1:-1].tolist() == pytest.approx(
        np.array([[2.5, 0.65], [2.9, 0.65], [2.9, 0.73], [4.8, 0.73], [4.8, 0.75]])
    )
    assert corners[0].tolist() == pytest.approx([2.5, axes.get_ylim()[0]])
    assert corners[-1].tolist() == pytest.approx([axes.get_xlim()[1], 0.75])


def test_front_figure_shows_compared_trials_only_and_the_infeasible_hollow(eight_trials):
    _, axes = front_axes(eight_trials)
    marks = {
        (round(line.get_xdata()[0], 2), round(line.get_ydata()[0], 2)): line.get_markerfacecolor()
        for line in axes.lines
        if len(line.get_xdata()) == 1
    }
    assert set(marks) == {(4.8, 0.75), (2.9, 0.73), (4.9, 0.72), (2.5, 0.65), (6.5, 0.8)}
    assert [place for place, face in marks.items() if face == "none"] == [(6.5, 0.8)]
    texts = [text.get_text() for text in axes.texts]
    assert "t1 (knee)" in texts
    assert "constraint 6.00 GiB" in texts
    assert "t2" not in texts


def test_three_objectives_have_three_pairs(sweep):
    objectives = {
        "dev_score": Objective(direction="maximise", reference=0.0),
        "train_seconds": Objective(direction="minimise", reference=100.0),
        "gpu_utilisation_mean": Objective(direction="maximise", reference=0.0),
    }
    wide = type(sweep)(sweep.folder.parent / "wide", objectives=objectives)
    wide.trial("t0", [0.7], gpu_utilisation_mean=50.0)
    wide.trial("t1", [0.6], gpu_utilisation_mean=60.0)
    names = [drawing.name for drawing in front_drawings(outcome_of(read_journal(wide.finish())))]
    assert names == [
        "front-dev_score-vs-train_seconds",
        "front-dev_score-vs-gpu_utilisation_mean",
        "front-train_seconds-vs-gpu_utilisation_mean",
    ]


def test_hypervolume_is_drawn_over_minutes_and_counts_feasible_trials(eight_trials):
    drawings = {d.name: d for d in progress_drawings(outcome_of(read_journal(eight_trials)), end=1_800_000_600.0)}
    line = drawings["hypervolume"].figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == pytest.approx([0, 1, 2, 3, 4, 10])
    first = 0.35 * 3.2
    second = first + 0.33 * 1.9
    last = second + 0.25 * 0.4
    assert line.get_ydata().tolist() == pytest.approx([0, first, second, second, last, last])


def test_score_curves_have_one_panel_a_score_and_one_line_a_trial(eight_trials):
    drawings = {d.name: d for d in progress_drawings(outcome_of(read_journal(eight_trials)), end=1_800_000_600.0)}
    panels = drawings["scores"].figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["dev score", "sst", "quora", "sts"]
    assert [len(axes.lines) for axes in panels] == [8] * 4
    assert panels[0].lines[0].get_ydata().tolist() == pytest.approx([0.6, 0.75])


def test_effects_leave_out_a_trial_to_which_the_hyperparameter_does_not_apply(eight_trials):
    drawings = {d.name: d for d in progress_drawings(outcome_of(read_journal(eight_trials)), end=1_800_000_600.0)}
    panels = {axes.get_xlabel(): axes for axes in drawings["effects"].figure.axes if axes.get_xlabel()}
    assert set(panels) == {"adapter.kind", "adapter.rank", "learning_rate"}
    marks = [line for line in panels["adapter.rank"].lines if line.get_marker() != "_"]
    assert len(marks) == 2


def test_nothing_is_drawn_of_nothing(sweep):
    outcome = outcome_of(read_journal(sweep.folder))
    assert front_drawings(outcome) == []
    assert progress_drawings(outcome, end=1_800_000_600.0) == []


def test_long_ids_are_shortened_to_what_tells_them_apart():
    assert short_id("t0007") == "t0007"
    assert short_id("train_5f2a9_00007") == "…a9_00007"
