import numpy as np
import pytest
from simulated_sweep import CONFIG, Simulated

from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.choice_lines import choice_lines
from mtbert_ray.reporting.recommendation import bend_of, quality_of, recommend, report_config
from mtbert_ray.trial import Trial

SEARCH = {
    "adapter.kind": {"kind": "choice", "values": ["none", "lora", "dora"], "when": {}},
    "finetune": {"kind": "choice", "values": ["full", "heads_only"], "when": {"adapter.kind": ["none"]}},
    "adapter.rank": {"kind": "choice", "values": [2, 8], "when": {"adapter.kind": ["lora", "dora"]}},
}
FULL = {"adapter.kind": "none", "finetune": "full"}
HEADS = {"adapter.kind": "none", "finetune": "heads_only"}
LORA = {"adapter.kind": "lora", "adapter.rank": 8}


def simulated(trials, *, seed=0, num_rows=400, **options):
    sweep = Simulated(np.random.default_rng(seed), num_rows, **options)
    for accuracy, seconds, *hyperparameters in trials:
        sweep.trial(accuracy, train_seconds=seconds).hyperparameters = dict(*hyperparameters)
    return sweep


def recommended(trials, **options):
    return recommend(*simulated(trials, **options).uncertainty())


def test_best_cheapest_within_noise_and_cheapest_that_keeps_a_share():
    found = recommended([(0.9, 100.0), (0.895, 50.0), (0.87, 20.0), (0.5, 1.0)], num_rows=3000)
    best, within, keeping = found.picks
    assert (best.kind, best.trial.trial_id) == ("best", "t0")
    assert (within.kind, within.trial.trial_id, within.costs) == ("cheapest_within_noise", "t1", ("train_seconds",))
    assert (keeping.kind, keeping.trial.trial_id) == ("cheapest_keeping_share", "t2")
    assert best.reason.startswith("t0 has the highest dev score of 4 finished trials, 0.895;")
    assert best.reason.endswith("; 1 other trial is within noise of it.")
    assert within.title == "least train time within noise of the best dev score"
    assert "among 2 trials within noise of the best dev score; it has 0.00" in within.reason
    assert "50.0 s less train time than t0" in within.reason
    assert keeping.title == "least train time with at least 95% of the best dev score"
    assert keeping.values["train_seconds"] == 20.0


def test_the_share_and_the_loss_of_a_task_are_those_of_the_space():
    trials = [(0.9, 100.0), (0.8, 50.0), (0.7, 20.0)]
    space = {"report": {"keep_share": 0.75, "task_loss": 0.15}}
    found = recommended(trials, num_rows=3000, space=space)
    assert found.picks[-1].trial.trial_id == "t2"
    assert "75%" in found.picks[-1].title
    assert [(loss.trial_id, loss.best_trial_id) for loss in found.task_losses] == [("t2", "t0")]
    assert "in quora against t0, the best there" in found.task_losses[0].reason
    assert found.task_losses[0].best - found.task_losses[0].score > 0.15
    defaults = recommended(trials, num_rows=3000)
    assert defaults.picks[-1].trial.trial_id == "t0"
    assert [loss.trial_id for loss in defaults.task_losses] == ["t1", "t2"]


def test_several_costs_of_one_trial_are_one_pick():
    objectives = {
        "dev_score": Objective(direction="maximize", reference=0.0),
        "train_seconds": Objective(direction="minimize", reference=1e3),
        "peak_rss_gib": Objective(direction="minimize", reference=10.0),
    }
    sweep = Simulated(np.random.default_rng(1), 2000, objectives=objectives)
    for accuracy, seconds, memory in ((0.9, 100.0, 5.0), (0.898, 20.0, 2.0), (0.88, 10.0, 3.0)):
        sweep.trial(accuracy, train_seconds=seconds, peak_rss_gib=memory)
    picks = recommend(*sweep.uncertainty()).picks
    keeping = [pick for pick in picks if pick.kind == "cheapest_keeping_share"]
    assert [(pick.trial.trial_id, pick.costs) for pick in keeping] == [
        ("t2", ("train_seconds",)),
        ("t1", ("peak_rss_gib",)),
    ]
    within = [pick for pick in picks if pick.kind == "cheapest_within_noise"]
    assert within[-1].trial.trial_id == "t1"


def test_without_dev_predictions_nothing_is_said_to_be_within_noise():
    sweep = simulated([(0.9, 100.0), (0.89, 50.0)])
    sweep.predictions.clear()
    found = recommend(*sweep.uncertainty())
    assert [pick.kind for pick in found.picks] == ["best", "cheapest_keeping_share"]
    assert "how much of its lead is noise is not known" in found.picks[0].reason


def test_no_trial_and_one_trial():
    nothing = recommended([])
    assert nothing.picks == ()
    assert nothing.bend.reason == "No bend: there is no front."
    one = recommended([(0.9, 10.0)])
    assert {pick.trial.trial_id for pick in one.picks} == {"t0"}
    assert one.bend.reason == "No bend: a front of 1 trial has no bend."


def test_costs_alone_have_a_best_by_the_first():
    objectives = {"train_seconds": Objective(direction="minimize", reference=1e3)}
    outcome, uncertainty = simulated([(0.9, 10.0), (0.9, 5.0)], objectives=objectives).uncertainty()
    assert quality_of(outcome) == "train_seconds"
    assert [pick.trial.trial_id for pick in recommend(outcome, uncertainty).picks] == ["t1"]


def test_the_best_is_a_mean_over_seeds_where_all_the_front_has_one_and_not_a_lucky_single_run():
    sweep = Simulated(np.random.default_rng(3), 400)
    first = sweep.trial(0.9, train_seconds=2.0)
    second = sweep.trial(0.7, train_seconds=1.0)
    behind = sweep.trial(0.85, train_seconds=3.0)
    for _ in range(2):
        sweep.repeat(first, 0.72, train_seconds=2.0)
    assert best_of(sweep) is behind, "the other end of the front is not repeated yet"
    sweep.repeat(second, 0.7, train_seconds=1.0)
    assert best_of(sweep) is first


def best_of(sweep):
    return recommend(*sweep.uncertainty(num_draws=100)).picks[0].trial


def test_two_ends_have_no_bend_and_a_bend_is_one_beyond_noise():
    assert recommended([(0.9, 2.0), (0.6, 1.0)]).bend.trial is None
    bend = recommended([(0.55, 1.0), (0.82, 2.0), (0.86, 6.0), (0.9, 10.0)], num_rows=1000).bend
    assert bend.trial.trial_id == "t1"
    assert 0.1 < bend.low < bend.depth
    assert "below the line through the ends of the front, and at least" in bend.reason


def test_a_straight_front_is_hardly_ever_said_to_bend():
    """The figures as they are have a knee in half of the sweeps."""
    said, by_figures = 0, 0
    for seed in range(100):
        sweep = simulated([(a, s + 1.0) for s, a in enumerate(np.linspace(0.55, 0.85, 8))], seed=seed, num_rows=200)
        outcome, uncertainty = sweep.uncertainty(num_draws=200, seed=seed)
        said += bend_of(outcome, uncertainty).trial is not None
        by_figures += outcome.knee is not None
    assert said / 100 <= 0.05 + 0.04  # Of 100 sweeps: two standard errors.
    assert by_figures / 100 > 0.3


def test_a_line_for_each_named_choice():
    trials = [(0.9, 100.0, FULL), (0.7, 10.0, HEADS), (0.5, 30.0, LORA), (0.4, 40.0, LORA)]
    outcome, uncertainty = simulated(
        trials, num_rows=1000, hyperparameters=tuple(SEARCH), space={"search": SEARCH}
    ).uncertainty()
    outcome.sweep.trials.append(
        Trial(
            trial_id="t9",
            hyperparameters={"adapter.kind": "dora", "adapter.rank": 2},
            config=CONFIG,
            started=0.0,
            status="failed",
        )
    )
    lines = {line.label: line for line in choice_lines(outcome, uncertainty)}
    assert list(lines) == ["lora", "dora", "full", "heads_only"]  # Not `none`, which opens full and heads only.
    assert lines["full"].text == "on the front (t0)"
    assert lines["heads_only"].on_front == ("t1",)
    assert lines["lora"].text == "beaten by heads_only in every objective, beyond noise where it is known"
    assert lines["lora"].is_beyond_noise
    assert lines["dora"].text == "no result to compare (1 trial: 1 failed)"


def test_a_choice_that_noise_leaves_in_the_race_is_said_to_be():
    trials = [(0.7, 10.0, HEADS), (0.69, 10.1, LORA)]
    for seed in range(20):  # Until the one that costs less scores no less.
        outcome, uncertainty = simulated(
            trials, seed=seed, num_rows=60, hyperparameters=tuple(SEARCH), space={"search": SEARCH}
        ).uncertainty()
        if not outcome.on_front[1]:
            break
    line = next(line for line in choice_lines(outcome, uncertainty) if line.label == "lora")
    assert line.text.startswith(
        "beaten by heads_only, but within noise it may be on the front (t1, with probability 0."
    )
    assert not line.is_beyond_noise


def test_choices_of_a_journal_that_does_not_tell_its_space_are_those_that_were_tried():
    outcome, uncertainty = simulated(
        [(0.9, 10.0, FULL), (0.5, 20.0, LORA)], hyperparameters=tuple(SEARCH), space={"search": {"adapter.kind": []}}
    ).uncertainty()
    assert [line.label for line in choice_lines(outcome, uncertainty)] == ["adapter.kind none", "lora", "full"]


def test_what_the_space_asks_of_its_report(tmp_path):
    outcome = simulated([]).outcome()
    assert (report_config(outcome).keep_share, report_config(outcome).task_loss) == (0.95, 0.05)


@pytest.mark.parametrize("seed", range(3))
def test_picks_are_the_cheapest_by_an_independent_search(seed):
    rng = np.random.default_rng(seed)
    trials = [(float(a), float(s)) for a, s in zip(rng.uniform(0.5, 0.9, 15), rng.uniform(1, 100, 15), strict=True)]
    outcome, uncertainty = simulated(trials, seed=seed).uncertainty(num_draws=200)
    scores, seconds = np.array([[t.metrics["dev_score"], t.metrics["train_seconds"]] for t in outcome.compared]).T
    keeping = [place for place in range(15) if scores[place] >= 0.95 * scores.max()]
    pick = next(p for p in recommend(outcome, uncertainty).picks if p.kind == "cheapest_keeping_share")
    lowest = seconds[keeping].min()
    near = [place for place in keeping if seconds[place] <= lowest + uncertainty.tolerance[1]]
    assert pick.trial is outcome.compared[max(near, key=lambda place: scores[place])]
