"""What a sweep resumes with, by how its last session ended, what it searches and what it learned from."""

import shutil
from pathlib import Path

import pytest
from old_journals import unseal
from study_sessions import (
    GRID,
    SPACE,
    ask_all,
    fail,
    finish,
    new_study,
    num_left,
    resumed_study,
    run_epochs,
    space_of,
    start,
    stop,
)

from mtbert_ray.errors import ConfigError, JournalError
from mtbert_ray.events import EpochFinished, SweepFinished
from mtbert_ray.journal import Journal, read_events, read_journal, writing_alone
from mtbert_ray.study.pruning.rungs import HalvingConfig, Rungs
from mtbert_ray.study.request import resume_request
from mtbert_ray.study.session import new_session, read_study
from mtbert_ray.study.space.parameters import Choice
from mtbert_ray.study.study import Study, make_pruner

POINTS = [{"learning_rate": 0.001, "hidden_layers": 1}, {"learning_rate": 0.002, "hidden_layers": 2}]
ALGORITHMS = ["random", "front", "tpe", "nsga2", "gp"]


def end_in_every_way(study: Study) -> None:
    """Start seven trials: one finishes, three end in other ways of their own, three are interrupted."""
    assert start(study, 7) == [f"t{number:03d}" for number in range(7)]
    run_epochs(study, "t000", [0.1 * number for number in range(1, 9)])
    finish(study, "t000")
    run_epochs(study, "t001", [0.05], 20.0)
    stop(study, "t001", "rung")
    fail(study, "t002")
    stop(study, "t003", "memory")
    run_epochs(study, "t004", [0.3, 0.4])
    stop(study, "t004", "sweep")
    run_epochs(study, "t005", [0.3])


@pytest.fixture(params=ALGORITHMS)
def killed(tmp_path, request) -> Path:
    end_in_every_way(new_study(space_of(tmp_path, request.param), tmp_path / "sweep"))
    return tmp_path / "sweep"


# What a session was ended by


def test_a_new_sweep_starts_with_its_points_to_evaluate(tmp_path):
    study = new_study(space_of(tmp_path), tmp_path / "sweep")
    first, second, third = (study.ask() for _ in range(3))
    assert [first.hyperparameters, second.hyperparameters] == POINTS
    assert [first.trial_id, second.trial_id, third.trial_id] == ["t000", "t001", "t002"]
    assert read_journal(tmp_path / "sweep").started.num_trials == 12


def test_interrupted_trials_run_again_under_their_ids_and_ended_ones_do_not(killed):
    before = {trial.trial_id: trial for trial in read_journal(killed).trials}
    study = resumed_study(killed)
    assert (study.num_trials, num_left(study)) == (12, 8)
    again, new = ask_all(study)[:3], study.trials[7:]
    assert [trial_id for trial_id, _ in again] == ["t004", "t005", "t006"]
    assert all(values == before[trial_id].hyperparameters for trial_id, values in again)
    assert [trial.trial_id for trial in new] == [f"t{number:03d}" for number in range(7, 12)]
    assert study.trials[:4] == [before[f"t00{number}"] for number in range(4)]
    assert study.sweep.trial("t004").epochs == []


def test_no_config_is_suggested_twice(killed):
    rates = [values["learning_rate"] for values in (trial.hyperparameters for trial in read_journal(killed).trials)]
    study = resumed_study(killed)
    rates += [values["learning_rate"] for trial_id, values in ask_all(study) if trial_id > "t006"]
    assert len(set(rates)) == 12


def test_points_that_were_not_reached_come_after_the_interrupted_trials(tmp_path):
    folder = tmp_path / "sweep"
    start(new_study(space_of(tmp_path), folder))
    study = resumed_study(folder)
    assert ask_all(study)[:2] == [("t000", POINTS[0]), ("t001", POINTS[1])]
    assert len(study.trials) == 12


def test_a_trial_is_compared_with_those_of_earlier_sessions_and_not_with_its_own_first_attempt(tmp_path):
    folder = tmp_path / "sweep"
    end_in_every_way(new_study(space_of(tmp_path), folder))
    epoch = {"epoch": 1, "sst": 0.01, "dev_score": 0.01, "train_seconds": 55.0}
    alone = new_study(space_of(tmp_path), tmp_path / "alone")
    resumed = resumed_study(folder)
    for study, trial_id in ((alone, "t000"), (resumed, "t004")):
        assert study.ask().trial_id == trial_id
    assert alone.add(EpochFinished(trial_id="t000", metrics=epoch)) is None
    decision = resumed.add(EpochFinished(trial_id="t004", metrics=epoch))
    assert decision is not None and set(decision.dominated_by) == {"t000", "t001"}


@pytest.mark.parametrize("reason", ["interrupted", "time_budget"])
def test_trials_that_the_sweep_s_end_stopped_run_again(tmp_path, reason):
    folder = tmp_path / "sweep"
    study = new_study(space_of(tmp_path, time_budget_minutes=1.0), folder)
    start(study, 2)
    finish(study, "t000")
    run_epochs(study, "t001", [0.3])
    stop(study, "t001", "sweep")
    study.add(SweepFinished(reason=reason))
    study = resumed_study(folder)
    assert study.ask().trial_id == "t001"
    assert read_journal(folder).finished is None and num_left(study) == 11


def test_a_death_runs_again_and_an_error_does_not(tmp_path):
    folder = tmp_path / "sweep"
    study = new_study(space_of(tmp_path), folder)
    for trial_id, kind in (("t000", "died"), ("t001", "error")):
        start(study)
        fail(study, trial_id, kind)
    study = resumed_study(folder)
    assert num_left(study) == 11
    assert [study.ask().trial_id for _ in range(2)] == ["t000", "t002"]


def test_a_complete_sweep_has_nothing_left_unless_it_is_to_have_more(tmp_path):
    folder = tmp_path / "sweep"
    study = new_study(space_of(tmp_path, trials=3), folder)
    for trial_id in start(study, 3):
        finish(study, trial_id)
    study.add(SweepFinished(reason="completed"))
    assert (num_left(study), study.ask(), num_left(read_study(folder))) == (0, None, 0)
    study = resumed_study(folder, num_trials=5)
    assert num_left(study) == 2
    assert [trial_id for trial_id, _ in ask_all(study)] == ["t003", "t004"]


@pytest.mark.parametrize("algorithm", ["random", "front"])
def test_ids_come_behind_all_that_were_given_though_some_starts_were_never_written(tmp_path, algorithm):
    """Earlier versions wrote starts as actors came up, so that a journal may have t000 and t002 alone."""
    folder = tmp_path / "sweep"
    study = new_study(space_of(tmp_path, algorithm, trials=6), folder)
    start(study, 3)
    finish(study, "t000")
    finish(study, "t002")
    path = unseal(folder)
    lines = [line for line in path.read_text().splitlines() if '"trial_id":"t001"' not in line]
    path.write_text("\n".join([*lines, ""]))
    study = resumed_study(folder)
    asked = ask_all(study)
    assert [trial_id for trial_id, _ in asked] == ["t001", "t003", "t004", "t005"]
    assert asked[0][1] == POINTS[1]
    assert len(study.trials) == study.num_trials == 6


def test_several_sessions_end_with_the_trials_that_were_planned(tmp_path):
    folder = tmp_path / "sweep"
    new_study(space_of(tmp_path), folder)
    for _ in range(6):
        study = resumed_study(folder)
        first, second, _third = start(study, 3) if (num_left(study) or 0) > 2 else [*start(study, 2), None]
        finish(study, first)
        fail(study, second)
    assert num_left(read_study(folder)) == 0
    trials = read_journal(folder).trials
    assert len({trial.hyperparameters["learning_rate"] for trial in trials}) == len(trials) == 12
    assert len(read_journal(folder).resumed) == 6


# Grids


def test_a_grid_resumes_with_what_is_left_of_it(tmp_path):
    folder = tmp_path / "sweep"
    space = space_of(tmp_path, text=GRID)
    study = new_study(space, folder)
    start(study, 2)
    finish(study, "t000")
    study = resumed_study(folder)
    names = [f"t{number:03d}" for number in range(1, 6)]
    assert ask_all(study) == list(zip(names, list(space.grid())[1:], strict=True))
    assert study.num_trials == 6


def test_a_grid_that_was_complete_takes_more_of_its_configs(tmp_path):
    folder = tmp_path / "sweep"
    study = new_study(space_of(tmp_path, text=GRID, trials=2), folder)
    for trial_id in start(study, 2):
        finish(study, trial_id)
    assert num_left(read_study(folder)) == 0
    study = resumed_study(folder, num_trials=5)
    assert [trial_id for trial_id, _ in ask_all(study)] == ["t002", "t003", "t004"]
    assert len({str(trial.hyperparameters) for trial in study.trials}) == 5


def test_experiments_resume_with_those_that_are_left(tmp_path):
    text = GRID.replace("search:", "experiments: {short: {}, long: {epochs: 3}}\nsearch:")
    folder = tmp_path / "sweep"
    space = space_of(tmp_path, text=text)
    study = new_study(space, folder)
    configs = list(space.grid())
    assert [values["experiment"] for values in configs] == ["short"] * 6 + ["long"] * 6
    for trial_id in start(study, 7):
        finish(study, trial_id)
    study = resumed_study(folder)
    assert [values for _, values in ask_all(study)] == configs[7:]
    assert [len(trial.epochs) for trial in study.trials[:7]] == [2] * 6 + [3]


# Earlier sweeps


@pytest.fixture
def earlier(tmp_path) -> Path:
    """A sweep that has tried two configs of the grid."""
    study = new_study(space_of(tmp_path, text=GRID), tmp_path / "earlier")
    for trial_id in start(study, 2):
        finish(study, trial_id)
    return tmp_path / "earlier"


@pytest.mark.parametrize("algorithm", ["grid", "random", "front"])
def test_what_earlier_sweeps_tried_is_planned_neither_at_first_nor_later(tmp_path, earlier, algorithm):
    text = GRID.replace("algorithm: grid", f"algorithm: {algorithm}\ntrials: 20")
    space, folder = space_of(tmp_path, text=text, warm_start_from=(str(earlier),)), tmp_path / "sweep"
    study = new_study(space, folder)
    assert (space.num_trials, study.num_trials) == (6, 4)
    assert "Of the 6 trials planned 4 are run" in read_journal(folder).started.notes[-2]
    for trial_id in start(study, 3):
        finish(study, trial_id)
    study = resumed_study(folder)
    assert (study.num_trials, num_left(study)) == (4, 1)
    [(trial_id, _)] = ask_all(study)
    finish(study, trial_id)
    assert num_left(read_study(folder)) == 0
    tried = [trial.hyperparameters for sweep in (earlier, folder) for trial in read_journal(sweep).trials]
    assert len({str(sorted(values.items())) for values in tried}) == 6


def test_points_to_evaluate_are_run_though_an_earlier_sweep_has_them(tmp_path, earlier):
    tried, *_, untried = space_of(tmp_path, text=GRID).grid()
    changes = {"warm_start_from": (str(earlier),), "points_to_evaluate": (untried, tried)}
    folder = tmp_path / "sweep"
    study = new_study(space_of(tmp_path, text=GRID, **changes), folder)
    assert study.num_trials == len(ask_all(study)) == 5
    finish(study, "t000")
    assert num_left(read_study(folder)) == 4


def test_a_sweep_of_which_everything_was_tried_before_is_refused_and_leaves_no_folder(tmp_path, earlier):
    space = space_of(tmp_path, text=GRID.replace("4, 8, 16", "4"), warm_start_from=(str(earlier),))
    with pytest.raises(ConfigError, match="warm_start_from"):
        new_study(space, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_interrupted_trials_run_again_though_an_earlier_sweep_has_tried_everything_since(tmp_path, earlier):
    space, folder = space_of(tmp_path, text=GRID, warm_start_from=(str(earlier),)), tmp_path / "sweep"
    started = ask_all(new_study(space, folder))[:2]
    resumed = resumed_study(earlier)
    for trial_id, _ in ask_all(resumed):
        finish(resumed, trial_id)
    assert resume_request(folder).space.num_trials == 6
    study = resumed_study(folder)
    assert ask_all(study)[:2] == started


def test_a_sweep_resumes_without_an_earlier_sweep_that_is_missing(tmp_path, earlier, caplog):
    space, folder = space_of(tmp_path, text=GRID, warm_start_from=(str(earlier),)), tmp_path / "sweep"
    new_study(space, folder)
    shutil.rmtree(earlier)
    study = resumed_study(folder)
    assert "warm_start_from" in caplog.text and str(earlier) in caplog.text
    assert len(ask_all(study)) == study.num_trials == 6
    with pytest.raises(JournalError, match="cannot be read"):
        new_study(space, tmp_path / "new")


# The pruner of a search space


def test_fifo_has_no_pruner(tmp_path):
    space = space_of(tmp_path)
    assert make_pruner(space.model_copy(update={"scheduler": "fifo"}), space.objectives) is None


def test_the_longest_trial_decides_the_rungs(tmp_path):
    space = space_of(tmp_path)
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
def test_no_trial_is_compared_while_its_learning_rate_warms_up(tmp_path, fixed, halving, levels):
    space = space_of(tmp_path)
    space = space.model_copy(update={"fixed": {**space.fixed, **fixed}, "halving": HalvingConfig(**halving)})
    assert Rungs(space.halving_in_use, space.max_epochs).levels == levels


def test_of_several_warm_ups_the_longest_is_behind_the_first_rung(tmp_path):
    space = space_of(tmp_path)
    search = {**space.search, "warmup_fraction": Choice(values=(0.0, 0.2, 0.5))}
    space = space.model_copy(update={"fixed": {**space.fixed, "epochs": 10}, "search": search})
    assert {space.model_copy(update={"seed": seed}).halving_in_use.grace_period for seed in range(5)} == {6}


def test_the_share_that_runs_to_the_end_is_drawn_by_the_sweep_s_seed(tmp_path):
    space = space_of(tmp_path)
    seeded = space.model_copy(update={"seed": 7, "halving": HalvingConfig(seed=2)})
    assert (space.halving_in_use.seed, seeded.halving_in_use.seed) == (0, 9)


# The folder


def test_no_other_process_has_a_chance_between_the_first_line_and_the_lock(tmp_path, monkeypatch):
    folder = tmp_path / "sweep"
    append, events = Journal.append, []

    def while_locked(journal, event):
        with pytest.raises(JournalError, match="another process"), writing_alone(folder):
            pass
        events.append(event.event)
        append(journal, event)

    monkeypatch.setattr(Journal, "append", while_locked)
    new_study(space_of(tmp_path), folder)
    resumed_study(folder)
    assert events == ["sweep_started", "sweep_resumed"]


def test_the_search_space_is_kept_as_the_user_wrote_it(tmp_path):
    new_study(space_of(tmp_path), tmp_path / "sweep")
    kept = (tmp_path / "sweep" / "space.yaml").read_text()
    assert kept == read_journal(tmp_path / "sweep").started.space_text == "# as written\n"


def test_a_sweep_whose_yaml_cannot_be_copied_has_its_journal_all_the_same(tmp_path, monkeypatch, caplog):
    folder = tmp_path / "sweep"
    write_text = Path.write_text

    def full(path, *args, **options):
        if path.name == "space.yaml":
            raise OSError(28, "No space left on device")
        return write_text(path, *args, **options)

    space = space_of(tmp_path)
    monkeypatch.setattr(Path, "write_text", full)
    with new_session(folder, space, space.objectives, notes=(), cluster="", space_text=SPACE):
        pass
    assert "No space left" in caplog.text
    assert num_left(resumed_study(folder)) == 12
    assert read_events(folder)[0][0].space_text == SPACE


def test_a_part_of_a_grid_takes_more_trials_though_earlier_sweeps_count(tmp_path):
    earlier = new_study(space_of(tmp_path, text=GRID, trials=1), tmp_path / "earlier")
    (trial_id,) = start(earlier)
    finish(earlier, trial_id)
    space = space_of(tmp_path, text=GRID, trials=2, warm_start_from=(str(tmp_path / "earlier"),))
    study = new_study(space, tmp_path / "sweep")
    while study.ask() is not None:
        finish(study, study.trials[-1].trial_id)
    more = resumed_study(tmp_path / "sweep", num_trials=6)
    assert more.num_trials == 5
    assert len(ask_all(more)) == 5 - len(study.trials)


def test_a_trial_that_continued_where_the_rule_is_another_now_counts_as_it_ended(tmp_path):
    """As in a journal of another version: what its trials did stands."""
    study = new_study(space_of(tmp_path, "random"), tmp_path / "sweep")
    for trial_id in start(study, 2):
        finish(study, trial_id, 0.9)
    (worse,) = start(study)
    run_epochs(study, worse, [0.1], 50.0)
    assert study.decision(worse) is not None
    finish(study, worse, 0.95)
    assert study.decision(worse) is None
    (dominated,) = start(study)
    run_epochs(study, dominated, [0.05], 60.0)
    assert worse in study.decision(dominated).dominated_by


def test_a_point_that_has_run_under_another_name_is_not_run_again(tmp_path):
    study = new_study(space_of(tmp_path, "random"), tmp_path / "sweep")
    event = study.ask()
    other = event.model_copy(
        update={"trial_id": "t005", "hyperparameters": {"learning_rate": 0.002, "hidden_layers": 2}}
    )
    study.add(other)
    tried = [values for _, values in ask_all(study)]
    assert {"learning_rate": 0.002, "hidden_layers": 2} not in tried
