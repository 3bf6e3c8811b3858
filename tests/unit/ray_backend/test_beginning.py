"""A sweep that goes on knows what it knew: searcher and scheduler are told again what the journal tells."""

from pathlib import Path

import numpy as np
import pytest
from begun_sweep import begun, plan_of, resumed, run_epochs, start
from mtbert_ray.ray_backend.beginning import scheduler_of
from mtbert_ray.study.remaining import num_to_run

from mtbert_ray.events import SweepFinished, TrialFailed, TrialFinished, TrialStopped
from mtbert_ray.journal import Journal, read_journal
from mtbert_ray.study.pruning.rungs import HalvingConfig, Rungs
from mtbert_ray.study.space.parameters import Choice


@pytest.fixture
def killed(tmp_path) -> Path:
    """A sweep with a trial of every kind: both of `points_to_evaluate` are among them."""
    plan, folder = plan_of(tmp_path), tmp_path / "sweep"
    beginning = begun(plan, folder)
    settings = [first.values for first in beginning.first]
    settings += [{"learning_rate": 1e-4 * number, "hidden_layers": 0} for number in range(1, 6)]
    for number, values in enumerate(settings):
        start(plan, folder, f"t{number:03d}", values)
    run_epochs(beginning.journal, "t000", [0.1 * number for number in range(1, 10)], 10.0)
    beginning.journal.append(TrialFinished(trial_id="t000"))
    run_epochs(beginning.journal, "t001", [0.05], 20.0)
    beginning.journal.append(TrialStopped(trial_id="t001", reason="epoch 1: dominated", kind="rung"))
    beginning.journal.append(TrialFailed(trial_id="t002", reason="ValueError: no"))
    beginning.journal.append(TrialStopped(trial_id="t003", reason="infeasible: memory", kind="memory"))
    run_epochs(beginning.journal, "t004", [0.3, 0.4], 10.0)
    beginning.journal.append(TrialStopped(trial_id="t004", reason="interrupted", kind="sweep"))
    run_epochs(beginning.journal, "t005", [0.3], 10.0)
    return folder


def test_a_new_sweep_begins_with_the_settings_to_start_with(tmp_path):
    plan = plan_of(tmp_path)
    beginning = begun(plan, tmp_path / "sweep")
    assert [(first.trial_id, first.values) for first in beginning.first] == [
        ("t000", {"learning_rate": 0.001, "hidden_layers": 1}),
        ("t001", {"learning_rate": 0.002, "hidden_layers": 2}),
    ]
    assert (beginning.num_known, beginning.ended) == (2, ())
    assert read_journal(tmp_path / "sweep").started.num_trials == 12
    beginning.searcher.tell(beginning.first[0].key, np.array([0.5, 1.0]))


def test_what_was_cut_off_runs_again_under_its_name_and_what_ended_does_not(tmp_path, killed):
    beginning = resumed(plan_of(tmp_path), killed)
    assert [first.trial_id for first in beginning.first] == ["t004", "t005", "t006"]
    assert [trial.trial_id for trial in beginning.ended] == ["t000", "t001", "t002", "t003"]
    assert (beginning.num_known, beginning.next_number, beginning.num_trials) == (7, 7, 12)
    sweep = read_journal(killed)
    assert len(sweep.resumed) == 1 and num_to_run(sweep, plan_of(tmp_path).space) == 8


@pytest.mark.parametrize("algorithm", ["random", "front", "tpe", "nsga2", "gp"])
def test_no_setting_of_an_earlier_session_is_suggested_again(tmp_path, killed, algorithm):
    beginning = resumed(plan_of(tmp_path, algorithm), killed)
    known = {trial.hyperparameters["learning_rate"] for trial in read_journal(killed).trials}
    suggested = [beginning.searcher.ask()[1]["learning_rate"] for _ in range(5)]
    assert len(set(suggested)) == 5 and not known & set(suggested)


def test_settings_to_start_with_that_were_not_reached_come_after_those_that_were_cut_off(tmp_path):
    plan, folder = plan_of(tmp_path), tmp_path / "sweep"
    start(plan, folder, "t000", begun(plan, folder).first[0].values)
    again = resumed(plan, folder)
    assert [(one.trial_id, one.values["learning_rate"]) for one in again.first] == [("t000", 0.001), ("t001", 0.002)]
    assert again.num_known == 2


def test_the_scheduler_compares_with_the_trials_of_earlier_sessions(tmp_path, killed):
    beginning = resumed(plan_of(tmp_path), killed)
    fresh = scheduler_of(plan_of(tmp_path).space, plan_of(tmp_path).objectives)
    worse = {"projection/dev_score": 0.01, "projection/train_seconds": 500.0, "epoch": 1}
    trial = _Trial()
    assert fresh.on_trial_result(None, trial, worse) == "CONTINUE"
    assert beginning.scheduler.on_trial_result(None, trial, worse) == "STOP"
    # Not told of the trials that run again: they would be compared with themselves.
    assert beginning.scheduler.reason_of("t009").startswith("epoch 1: dominated on both objectives by t000, t001;")


def test_a_sweep_that_was_complete_has_nothing_left_unless_it_is_to_have_more(tmp_path, killed):
    Journal.reopen(killed).append(SweepFinished(reason="interrupted"))
    sweep, spaces = read_journal(killed), [plan_of(tmp_path, trials=trials).space for trials in (4, 5, None)]
    assert [num_to_run(sweep, space) for space in spaces] == [0, 1, None]


def test_fifo_has_no_scheduler(tmp_path):
    plan = plan_of(tmp_path)
    assert scheduler_of(plan.space.model_copy(update={"scheduler": "fifo"}), plan.objectives) is None


def test_the_longest_trial_decides_the_rungs(tmp_path):
    space = plan_of(tmp_path).space
    assert space.max_epochs == 9
    by_experiment = space.model_copy(
        update={"experiments": {"long": {"epochs": 30}}, "fixed": {**space.fixed, "experiment": "long"}}
    )
    assert by_experiment.max_epochs == 30


@pytest.mark.parametrize(
    ("fixed", "halving", "levels"),
    [
        ({}, {}, (1, 3)),  # 9 epochs: the learning rate is at its highest before the first one ends.
        ({"epochs": 10}, {}, (2, 6)),
        ({"epochs": 10, "warmup_fraction": 0}, {}, (1, 3, 9)),
        ({"epochs": 10, "warmup_fraction": 0.35}, {}, (4,)),
        ({"epochs": 52}, {}, (6, 18)),
        ({"epochs": 52, "warmup_fraction": 0}, {}, (3, 9, 27)),
        ({"epochs": 2}, {}, (1,)),
        ({"epochs": 2, "warmup_fraction": 0.9}, {}, (1,)),
        ({"epochs": 1}, {}, ()),
        ({"epochs": 10}, {"grace_period": 1}, (1, 3, 9)),
    ],
    ids=str,
)
def test_no_trial_is_judged_while_its_learning_rate_warms_up(tmp_path, fixed, halving, levels):
    space = plan_of(tmp_path).space
    space = space.model_copy(update={"fixed": {**space.fixed, **fixed}, "halving": HalvingConfig(**halving)})
    assert Rungs(space.halving_in_use, space.max_epochs).levels == levels


def test_of_several_warm_ups_the_longest_is_behind_the_first_rung(tmp_path):
    space = plan_of(tmp_path).space
    search = {**space.search, "warmup_fraction": Choice(values=(0.0, 0.2, 0.5))}
    space = space.model_copy(update={"fixed": {**space.fixed, "epochs": 10}, "search": search})
    assert {space.model_copy(update={"seed": seed}).halving_in_use.grace_period for seed in range(5)} == {6}


def test_the_guards_draw_by_the_sweep_s_seed(tmp_path):
    space = plan_of(tmp_path).space
    seeded = space.model_copy(update={"seed": 7, "halving": HalvingConfig(seed=2)})
    assert (space.halving_in_use.seed, seeded.halving_in_use.seed) == (0, 9)


class _Trial:
    """What the scheduler reads of a Tune trial."""

    trial_id = "abc"
    storage = None
    config = {"trial": {"epochs": 9}}  # noqa: RUF012

    def __str__(self) -> str:
        return "t009"
