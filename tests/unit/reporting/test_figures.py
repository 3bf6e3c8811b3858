import numpy as np
import pytest

from mtbert_ray.events import EpochFinished
from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.document import front_drawings, progress_drawings
from mtbert_ray.reporting.front_figure import short_id, staircase
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.reporting.style import PAGE_WIDTH


def test_staircase_joins_the_points_through_the_corners_that_nothing_reached():
    corners = staircase(np.array([[3.0, 1.0], [1.0, 2.0]]), worst=(5.0, 4.0))
    assert corners.tolist() == [[1, 4], [1, 2], [3, 2], [3, 1], [5, 1]]


def test_staircase_of_one_point_is_a_corner():
    assert staircase(np.array([[1.0, 2.0]]), worst=(5.0, 4.0)).tolist() == [[1, 4], [1, 2], [5, 2]]


def front_axes(folder):
    (drawing,) = front_drawings(outcome_of(read_journal(folder)))
    return drawing, drawing.figure.axes[0]


def test_front_figure_has_the_first_objective_up_and_shows_which_way_is_better(eight_trials):
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
        (round(x, 2), round(y, 2)): line.get_markerfacecolor()
        for line in axes.lines
        if line.get_linestyle() == "None"
        for x, y in line.get_xydata()
    }
    assert set(marks) == {(4.8, 0.75), (2.9, 0.73), (4.9, 0.72), (2.5, 0.65), (6.5, 0.8)}
    assert [place for place, face in marks.items() if face == "none"] == [(6.5, 0.8)]
    texts = [text.get_text() for text in axes.texts]
    assert "t1 (knee)" in texts
    assert "constraint 6.00 GiB" in texts
    assert "t2" not in texts


def test_three_objectives_have_three_pairs(sweep):
    objectives = {
        "dev_score": Objective(direction="maximize", reference=0.0),
        "train_seconds": Objective(direction="minimize", reference=100.0),
        "gpu_utilization_mean": Objective(direction="maximize", reference=0.0),
    }
    wide = type(sweep)(sweep.folder.parent / "wide", objectives=objectives)
    wide.trial("t0", [0.7], gpu_utilization_mean=50.0)
    wide.trial("t1", [0.6], gpu_utilization_mean=60.0)
    drawings = front_drawings(outcome_of(read_journal(wide.finish())))
    assert [drawing.name for drawing in drawings] == [
        "front-dev_score-vs-train_seconds",
        "front-dev_score-vs-gpu_utilization_mean",
        "front-train_seconds-vs-gpu_utilization_mean",
    ]
    # The marks are explained once, below the first.
    assert ["knee" in drawing.caption for drawing in drawings] == [True, False, False]
    assert "train time against GPU utilization mean" in drawings[2].caption


def test_hypervolume_is_drawn_over_minutes_and_counts_feasible_trials(eight_trials):
    drawings = {d.name: d for d in progress_drawings(outcome_of(read_journal(eight_trials)), end=1_800_000_600.0)}
    line = drawings["hypervolume"].figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == pytest.approx([0, 1, 2, 3, 4, 10])
    first = 0.35 * 3.2
    second = first + 0.33 * 1.9
    last = second + 0.25 * 0.4
    assert line.get_ydata().tolist() == pytest.approx([0, first, second, second, last, last])


def drawings_of(folder):
    return {d.name: d for d in progress_drawings(outcome_of(read_journal(folder)), end=1_800_000_600.0)}


def test_a_hypervolume_that_stayed_at_0_is_not_drawn(sweep):
    sweep.trial("t0", [0.3], peak_memory_gib=3.0)  # the reference asks for 0.4
    assert "hypervolume" not in drawings_of(sweep.folder)
    sweep.trial("t1", [0.5], peak_memory_gib=3.0)
    line = drawings_of(sweep.finish())["hypervolume"].figure.axes[0].lines[0]
    assert line.get_ydata().tolist() == pytest.approx([0, 0, 0.5, 0.5])


def test_every_figure_is_at_least_as_wide_as_the_page(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=1.0)
    outcome = outcome_of(read_journal(sweep.finish()))
    drawings = [*front_drawings(outcome), *progress_drawings(outcome, end=1_800_000_600.0)]
    assert [drawing.name for drawing in drawings[1:]] == ["costs", "hypervolume", "scores"]
    assert min(drawing.figure.get_figwidth() for drawing in drawings) == PAGE_WIDTH


def test_scores_of_one_epoch_have_a_row_a_trial_and_agreeing_trials_do_not_hide_each_other(sweep):
    sweep.trial("t0", [0.6], peak_memory_gib=3.0)
    sweep.trial("t1", [0.7], peak_memory_gib=2.0)
    sweep.trial("t2", [0.7], peak_memory_gib=5.0)
    drawing = drawings_of(sweep.finish())["scores"]
    panels = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["dev score", "sst", "quora", "sts", "train loss"]
    assert rows_of(drawing) == ["t1", "t2", "t0"]  # the best first
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in panels[0].lines]
    assert dots == [(pytest.approx(0.7), 0), (pytest.approx(0.7), 1), (pytest.approx(0.6), 2)]
    assert [text.get_text() for text in panels[0].texts[1:]] == ["0.700", "0.700", "0.600"]
    hollow = [line.get_markerfacecolor() == "white" for line in panels[0].lines]
    assert hollow == [False, True, True]  # t1 is the front


def test_a_value_that_a_trial_of_one_epoch_did_not_report_leaves_its_row_empty(sweep):
    sweep.trial("t0", [0.6], peak_memory_gib=3.0, **{"train_loss.sts": 1.5})
    sweep.trial("t1", [0.7], peak_memory_gib=2.0)
    panels = drawings_of(sweep.finish())["scores"].figure.axes
    (loss,) = [axes for axes in panels if axes.get_title(loc="left") == "train loss, sts"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in loss.lines] == [(1.5, 1)]


def curves_of(axes):
    """The values of the curves on the front, and of the others."""
    strong = [line.get_ydata().round(3).tolist() for line in axes.lines if line.get_linestyle() == "-"]
    faint = [path.vertices[:, 1].round(3).tolist() for group in axes.collections for path in group.get_paths()]
    return strong, faint


def test_the_points_of_faint_curves_are_marked(eight_trials):
    panel = drawings_of(eight_trials)["scores"].figure.axes[0]
    marks = [y for line in panel.lines if line.get_linestyle() == "None" for y in line.get_ydata().round(3).tolist()]
    assert sorted(marks) == [0.5, 0.6, 0.72, 0.8, 0.9, 0.99]


def test_a_figure_of_many_trials_has_few_artists(sweep):
    for number in range(40):
        sweep.trial(f"t{number}", [0.4 + number / 200] * 2, peak_memory_gib=1 + number % 7)
    outcome = outcome_of(read_journal(sweep.finish()))
    for drawing in (*front_drawings(outcome), *progress_drawings(outcome, end=1_800_000_600.0)):
        if drawing.name != "costs":  # Each of its twenty bars has a number.
            assert max(len(axes.get_children()) for axes in drawing.figure.axes) < 40


def test_curves_have_one_panel_a_score_and_one_a_loss_and_one_line_a_trial(eight_trials):
    panels = [axes for axes in drawings_of(eight_trials)["scores"].figure.axes if axes.get_visible()]
    # This journal has the loss of all rows, and of no task.
    assert [axes.get_title(loc="left") for axes in panels] == ["dev score", "sst", "quora", "sts", "train loss"]
    assert [sum(map(len, curves_of(axes))) for axes in panels] == [8] * 5
    strong, faint = curves_of(panels[0])
    assert strong == [[0.6, 0.75], [0.7, 0.73], [0.65, 0.6]]  # t0, t1, t3
    assert sorted(faint) == [[0.5], [0.6, 0.72], [0.8], [0.9], [0.99]]
    assert curves_of(panels[4])[0] == [[1.0, 0.5]] * 3


def test_each_task_s_train_loss_has_a_panel_below_its_score(sweep):
    sweep.trial("t0", [0.5, 0.6, 0.7], peak_memory_gib=1.0, **{f"train_loss.{task}": 0.25 for task in ("sst", "sts")})
    panels = [axes for axes in drawings_of(sweep.finish())["scores"].figure.axes if axes.get_visible()]
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles[4:] == ["train loss", "train loss, sst", "train loss, sts"]
    assert panels[5].lines[0].get_ydata().tolist() == [0.25] * 3
    assert panels[5].lines[0].get_xdata().tolist() == [1, 2, 3]


def bars_of(axes):
    return [round(bar.get_width(), 6) for bar in axes.patches]


def rows_of(drawing):
    return [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]


def test_cost_bars_are_of_finished_trials_by_falling_memory(eight_trials):
    drawing = drawings_of(eight_trials)["costs"]
    memory, time = drawing.figure.axes
    assert [axes.get_title(loc="left") for axes in (memory, time)] == ["peak memory", "train time"]
    assert bars_of(memory) == [6.5, 4.9, 4.8, 2.9, 2.5, 0.0]
    assert [text.get_text() for text in memory.texts][-2:] == ["2.50", "not measured"]
    assert rows_of(drawing)[0].startswith("t4: kind none")
    assert bars_of(time) == [10.0, 20.0, 20.0, 20.0, 20.0, 10.0]
    assert "held on its GPU" in drawing.caption


def test_without_a_gpu_the_bars_are_of_resident_memory_as_the_caption_says(sweep):
    sweep.trial("t0", [0.7], peak_rss_gib=1.5, gpu_utilization_mean=None)
    drawing = drawings_of(sweep.finish())["costs"]
    assert [axes.get_title(loc="left") for axes in drawing.figure.axes] == ["peak RSS", "train time"]
    assert "peak RSS is" in drawing.caption


def test_of_many_trials_the_front_and_the_best_are_drawn_and_the_others_named(sweep):
    sweep.trial("lean", [0.41], peak_memory_gib=0.5)
    for index in range(22):
        sweep.trial(f"t{index:02d}", [0.45 + index / 100], peak_memory_gib=2.0)
    drawing = drawings_of(sweep.finish())["costs"]
    drawn = {row.split(":")[0] for row in rows_of(drawing)}
    assert drawn == {"lean", *(f"t{index:02d}" for index in range(3, 22))}
    assert drawing.caption.endswith("3 trials left out: t00, t01, t02.")


def test_long_times_are_in_hours(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=1.0)
    sweep.start("t1")
    long = {"metrics": {"epoch": 1, "dev_score": 0.5, "peak_memory_gib": 2.0, "train_seconds": 9000.0}}
    sweep.journal.append(EpochFinished(trial_id="t1", **long))
    sweep.end("t1")
    time = drawings_of(sweep.finish())["costs"].figure.axes[1]
    assert (time.get_xlabel(), bars_of(time)[0]) == ("hours", 2.5)
    assert [text.get_text() for text in time.texts] == ["2 h 30 min", "10.0 s"]


@pytest.fixture
def experiments(sweep):
    """Two experiments, tried in the other order than the alphabet's, the first with two seeds."""
    own = type(sweep)(sweep.folder.parent / "experiments", hyperparameters=("experiment", "seed"))
    own.trial("t0", [0.7], config={"experiment": "v2", "seed": 0}, peak_memory_gib=3.0)
    own.trial("t1", [0.8], config={"experiment": "v1", "seed": 0}, peak_memory_gib=1.0)
    own.trial("t2", [0.6], config={"experiment": "v2", "seed": 1}, peak_memory_gib=2.0)
    return own.finish()


def test_experiments_name_the_rows_in_their_own_order_with_their_seeds_together(experiments):
    assert rows_of(drawings_of(experiments)["costs"]) == ["v2, seed 0", "v2, seed 1", "v1"]


def test_experiments_name_the_rows_of_one_epoch(experiments):
    drawing = drawings_of(experiments)["scores"]
    assert rows_of(drawing) == ["v2, seed 0", "v2, seed 1", "v1"]
    assert not drawing.figure.legends


def test_experiments_name_the_curves(sweep):
    own = type(sweep)(sweep.folder.parent / "experiments", hyperparameters=("experiment",))
    own.trial("t0", [0.6, 0.7], config={"experiment": "v2"}, peak_memory_gib=3.0)
    own.trial("t1", [0.7], config={"experiment": "v1"}, peak_memory_gib=1.0)
    (legend,) = drawings_of(own.finish())["scores"].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["v2", "v1"]


def test_a_label_is_cut_where_it_would_crowd_the_figure(sweep):
    name = "long-" * 15 + "name"
    sweep.trial("t0", [0.7], config={"experiment": name}, peak_memory_gib=3.0)
    (row,) = rows_of(drawings_of(sweep.finish())["costs"])
    assert row == name[:47] + "…"


def test_effects_leave_out_a_trial_to_which_the_hyperparameter_does_not_apply(eight_trials):
    drawings = drawings_of(eight_trials)
    panels = {axes.get_xlabel(): axes for axes in drawings["effects"].figure.axes if axes.get_xlabel()}
    assert set(panels) == {"adapter.kind", "adapter.rank", "learning_rate"}
    marks = [line for line in panels["adapter.rank"].lines if line.get_marker() != "_"]
    assert [len(line.get_xdata()) for line in marks] == [2]


def test_nothing_is_drawn_of_nothing(sweep):
    outcome = outcome_of(read_journal(sweep.folder))
    assert front_drawings(outcome) == []
    assert progress_drawings(outcome, end=1_800_000_600.0) == []


def test_long_ids_are_shortened_to_what_tells_them_apart():
    assert short_id("t0007") == "t0007"
    assert short_id("train_5f2a9_00007") == "…a9_00007"
