"""The view's numbers against the journal's lines, by other ways than the view's own."""

import json
from itertools import product

import pytest
from page_sweep import OBJECTIVES, made_up_judgement, write_sweep

from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.content import content_of
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.reporting.page import page_html, script_safe_json
from mtbert_ray.reporting.view import ideal_of, view_of


def view_in_folder(folder, *, judged=False):
    outcome = outcome_of(read_journal(folder))
    return view_of(
        outcome, content_of(outcome, folder), folder, judgement=made_up_judgement(outcome) if judged else None
    )


@pytest.fixture
def folder(tmp_path):
    return write_sweep(tmp_path / "sweep")


@pytest.fixture
def lines(folder):
    """The journal's events, as they are written."""
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def finished_points(lines):
    """Trial -> dev score of its best epoch, memory and seconds at its end, of those that finished."""
    ended = [line["trial_id"] for line in lines if line["event"] == "trial_finished"]
    points = {}
    for trial in ended:
        epochs = [line["metrics"] for line in lines if line["event"] == "epoch" and line["trial_id"] == trial]
        best = max(epoch["dev_score"] for epoch in epochs)
        points[trial] = (best, epochs[-1]["peak_memory_gib"], epochs[-1]["train_seconds"])
    return points


def front_by_pairs(points):
    def beats(a, b):
        losses = [(-a[0], -b[0]), (a[1], b[1]), (a[2], b[2])]
        return all(x <= y for x, y in losses) and any(x < y for x, y in losses)

    feasible = {trial: point for trial, point in points.items() if point[1] <= 9.0}
    return {trial for trial, point in feasible.items() if not any(beats(other, point) for other in feasible.values())}


def volume_by_cells(points, reference):
    """Cut space at every coordinate, and add up the cells that some point dominates."""
    losses = [(-score, memory, seconds) for score, memory, seconds in points]
    cuts = [
        sorted({*(loss[axis] for loss in losses if loss[axis] < reference[axis]), reference[axis]}) for axis in range(3)
    ]
    total = 0.0
    for cell in product(*(range(len(cut) - 1) for cut in cuts)):
        corner = [cut[place] for cut, place in zip(cuts, cell, strict=True)]
        if any(all(a <= b for a, b in zip(loss, corner, strict=True)) for loss in losses):
            sides = [cut[place + 1] - cut[place] for cut, place in zip(cuts, cell, strict=True)]
            total += sides[0] * sides[1] * sides[2]
    return total


def test_front_trials_and_objectives_are_the_journals(folder, lines):
    view = view_in_folder(folder)
    points = finished_points(lines)
    assert set(view["front"]) == front_by_pairs(points)
    places = [[metric["name"] for metric in view["metrics"]].index(name) for name in OBJECTIVES]
    shown = {trial["id"]: tuple(trial["metrics"][place] for place in places) for trial in view["trials"]}
    assert {trial: shown[trial] for trial in points} == points
    assert {trial["id"] for trial in view["trials"] if trial["compared"]} == set(points)
    assert {trial["id"] for trial in view["trials"] if trial["on_front"]} == set(view["front"])


def test_hypervolume_over_trials_is_the_sum_of_its_cells(folder, lines):
    known = view_in_folder(folder)["hypervolume"]
    points = finished_points(lines)
    for place in (0, 5, 20, len(known["trials"]) - 1):
        so_far = [
            points[trial] for trial in known["trials"][: place + 1] if trial in points and points[trial][1] <= 9.0
        ]
        assert known["volumes"][place] == pytest.approx(volume_by_cells(so_far, (-0.3, 12.0, 7200.0)), rel=1e-9)
    assert known["box"] == pytest.approx(0.7 * 12.0 * 7200.0)
    ends = [line for line in lines if line["event"] in ("trial_finished", "trial_stopped", "trial_failed")]
    assert known["trials"] == [line["trial_id"] for line in sorted(ends, key=lambda line: line["time"])]
    assert known["hours"] == pytest.approx([(line["time"] - lines[0]["time"]) / 3600 for line in ends])
    last = {line["trial_id"]: line["metrics"]["gpu_seconds"] for line in lines if line["event"] == "epoch"}
    assert known["device"] == "GPU-hours" and known["device_hours"][-1] == pytest.approx(sum(last.values()) / 3600)


def test_what_early_stopping_saved(folder, lines):
    saved = view_in_folder(folder)["saved"]
    stopped = [line["trial_id"] for line in lines if line["event"] == "trial_stopped"]
    ended = {*stopped, *(line["trial_id"] for line in lines if line["event"] == "trial_finished")}
    epochs = [line["trial_id"] for line in lines if line["event"] == "epoch" and line["trial_id"] in ended]
    assert (saved["epochs_trained"], saved["epochs_planned"]) == (len(epochs), 4 * len(ended))
    assert saved["causes"] == [("rank at a rung", len(stopped), 3 * len(stopped))]
    # Each was stopped after the first of four epochs, so that three times as much was left.
    spent = [
        line["metrics"]["train_seconds"] for line in lines if line["event"] == "epoch" and line["trial_id"] in stopped
    ]
    assert saved["seconds_saved"] == pytest.approx(3 * sum(spent))


def test_curves_have_every_epoch(folder, lines):
    curves = view_in_folder(folder)["curves"]
    place = 1 + curves["metrics"].index("quora")
    for trial, rows in curves["values"].items():
        epochs = [line["metrics"] for line in lines if line["event"] == "epoch" and line["trial_id"] == trial]
        assert [row[0] for row in rows] == [epoch["epoch"] for epoch in epochs]
        assert [row[place] for row in rows] == pytest.approx([epoch["quora"] for epoch in epochs], rel=1e-5)


def test_hyperparameters_have_the_scale_of_the_space(folder):
    by_name = {one["name"]: one for one in view_in_folder(folder)["hyperparameters"]}
    assert by_name["learning_rate"]["kind"] == "number" and by_name["learning_rate"]["log"]
    assert by_name["adapter.rank"]["log"] and not by_name["dropout"]["log"]
    assert by_name["batch_size"]["values"] == ["8", "16", "32"]
    assert by_name["adapter.kind"]["values"] == ["none", "lora", "dora"]


def test_sections_that_nobody_judged_are_null_and_others_are_passed_on(folder):
    plain, judged = view_in_folder(folder), view_in_folder(folder, judged=True)
    for name in ("recommendations", "choices", "importance"):
        assert plain[name] is None and judged[name]
    assert all(trial["noise"] is None for trial in plain["trials"])
    noise = {trial["id"]: trial["noise"] for trial in judged["trials"]}
    first, second = judged["front"][:2]
    assert noise[second]["as_good_as"] == first and noise[second]["front_probability"] == 0.8
    value = next(trial for trial in judged["trials"] if trial["id"] == first)["metrics"][0]
    assert noise[first]["intervals"][0] == pytest.approx([value - 0.0196, value + 0.0196])
    assert noise[first]["intervals"][1] is None  # Nothing tells its noise.
    assert {trial for trial, known in noise.items() if known is None} == {
        t["id"] for t in judged["trials"] if not t["compared"]
    }


def test_a_metric_without_a_best_value_has_no_box(tmp_path):
    objectives = {
        "dev_score": Objective(direction="maximize", reference=0.3, attainable=0.8),
        "train_seconds": Objective(direction="maximize", reference=10.0),
    }
    view = view_in_folder(write_sweep(tmp_path / "odd", 6, objectives=objectives))
    assert [objective["ideal"] for objective in view["objectives"]] == [0.8, None]
    assert view["hypervolume"]["box"] is None and view["hypervolume"]["volumes"][-1] > 0


def test_json_in_a_script_holds_any_text():
    text = "</script><!--<script> &amp; \u2028\u2029 \"quotes\" 'single' \\ \n"
    safe = script_safe_json({text: [text, None, 0.1]})
    assert not set("<>&\u2028\u2029\n") & set(safe)
    assert json.loads(safe) == {text: [text, None, 0.1]}
    with pytest.raises(ValueError, match="JSON compliant"):
        script_safe_json(float("nan"))


def test_the_same_view_gives_the_same_page(folder):
    view = view_in_folder(folder)
    assert page_html(view) == page_html(json.loads(json.dumps(view)))


def test_a_task_whose_kind_a_journal_does_not_tell_has_no_ideal(tmp_path):
    folder = write_sweep(tmp_path / "odd", 6, objectives={"sst": Objective(direction="maximize", reference=0.1)})
    outcome = outcome_of(read_journal(folder))
    for trial in outcome.sweep.trials:
        trial.config["tasks"] = [{"name": task["name"]} for task in trial.config["tasks"]]
    assert ideal_of("sst", outcome.objectives["sst"], outcome) is None
