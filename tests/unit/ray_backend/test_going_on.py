"""What a sweep goes on with, by how its last session ended, what it searches and what it learns from."""

import shutil
from pathlib import Path

import pytest
from begun_sweep import GRID, asked_of, begun, finish, plan_of, resumed, run_epochs, start
from mtbert_ray.ray_backend.beginning import begin
from mtbert_ray.study.remaining import num_to_run

from mtbert_ray.errors import ConfigError, JournalError
from mtbert_ray.events import SweepFinished, TrialFailed, TrialStopped
from mtbert_ray.journal import Journal, read_journal, writing_alone

# What a session was ended by, and what a journal may look like


@pytest.mark.parametrize("reason", ["interrupted", "time_budget"])
def test_trials_that_the_sweep_s_end_stopped_run_again_and_the_others_stand(tmp_path, reason):
    plan, folder = plan_of(tmp_path, time_budget_minutes=1.0), tmp_path / "sweep"
    one, two = (first.values for first in begun(plan, folder).first)
    finish(plan, folder, "t000", one)
    journal = start(plan, folder, "t001", two)
    run_epochs(journal, "t001", [0.3], 10.0)
    journal.append(TrialStopped(trial_id="t001", reason="the time budget was spent", kind="sweep"))
    journal.append(SweepFinished(reason=reason))
    beginning = resumed(plan, folder)
    assert [(first.trial_id, first.values) for first in beginning.first] == [("t001", two)]
    assert [trial.trial_id for trial in beginning.ended] == ["t000"] and beginning.num_trials == 12
    assert read_journal(folder).finished is None


def test_a_death_without_a_word_runs_again_and_an_error_does_not(tmp_path):
    plan, folder = plan_of(tmp_path), tmp_path / "sweep"
    for trial_id, first, kind in zip(("t000", "t001"), begun(plan, folder).first, ("died", "error"), strict=True):
        start(plan, folder, trial_id, first.values).append(TrialFailed(trial_id=trial_id, reason="x", kind=kind))
    assert num_to_run(read_journal(folder), plan.space) == 11
    beginning = resumed(plan, folder)
    assert [first.trial_id for first in beginning.first] == ["t000"]
    assert [trial.trial_id for trial in beginning.ended] == ["t001"]


@pytest.mark.parametrize("algorithm", ["random", "front"])
def test_new_names_come_behind_all_that_were_given_though_some_starts_were_never_told(tmp_path, algorithm):
    """Starts are told as actors come up, so that a journal that was cut off may have t000 and t002 alone."""
    plan, folder = plan_of(tmp_path, algorithm, trials=6), tmp_path / "sweep"
    first, _ = begun(plan, folder).first
    finish(plan, folder, "t000", first.values)
    finish(plan, folder, "t002", {"learning_rate": 1e-4, "hidden_layers": 0})
    beginning = resumed(plan, folder)
    asked = asked_of(beginning, plan)
    assert [trial_id for trial_id, _ in asked] == ["t003", "t004", "t005", "t006"]
    assert asked[0][1] == {"learning_rate": 0.002, "hidden_layers": 2}  # Of `points_to_evaluate`, as t001 was.
    assert len(asked) + len(beginning.ended) == plan.space.num_trials == beginning.num_trials


def test_a_grid_goes_on_with_what_is_left_of_it(tmp_path):
    plan, folder = plan_of(tmp_path, text=GRID), tmp_path / "sweep"
    begun(plan, folder)
    settings = list(plan.space.grid())
    finish(plan, folder, "t000", settings[0])
    start(plan, folder, "t001", settings[1])
    beginning = resumed(plan, folder)
    names = [f"t{number:03d}" for number in range(1, 6)]
    assert asked_of(beginning, plan) == list(zip(names, settings[1:], strict=True))
    assert beginning.num_trials == 6


def test_a_grid_that_was_complete_takes_more_of_its_settings(tmp_path):
    plan, folder = plan_of(tmp_path, text=GRID, trials=2), tmp_path / "sweep"
    for trial_id, values in asked_of(begun(plan, folder), plan):
        finish(plan, folder, trial_id, values)
    assert num_to_run(read_journal(folder), plan.space) == 0
    more = plan_of(tmp_path, text=GRID, trials=5)
    asked = asked_of(resumed(more, folder), more)
    assert [trial_id for trial_id, _ in asked] == ["t002", "t003", "t004"]
    tried = [trial.hyperparameters for trial in read_journal(folder).trials] + [values for _, values in asked]
    assert len({str(values) for values in tried}) == 5


def test_experiments_go_on_with_those_that_are_left(tmp_path):
    text = GRID.replace("search:", "experiments: {short: {}, long: {epochs: 3}}\nsearch:")
    plan, folder = plan_of(tmp_path, text=text), tmp_path / "sweep"
    begun(plan, folder)
    settings = list(plan.space.grid())
    assert [values["experiment"] for values in settings] == ["short"] * 6 + ["long"] * 6
    for number, values in enumerate(settings[:7]):
        finish(plan, folder, f"t{number:03d}", values)
    beginning = resumed(plan, folder)
    assert [values for _, values in asked_of(beginning, plan)] == settings[7:]
    assert [len(trial.epochs) for trial in beginning.ended] == [2] * 6 + [3]


# Earlier sweeps


@pytest.fixture
def earlier(tmp_path) -> Path:
    """A sweep that has tried two settings of the grid."""
    plan, folder = plan_of(tmp_path, text=GRID), tmp_path / "earlier"
    begun(plan, folder)
    for number, values in enumerate(list(plan.space.grid())[:2]):
        finish(plan, folder, f"t{number:03d}", values)
    return folder


@pytest.mark.parametrize("algorithm", ["grid", "random", "front"])
def test_what_earlier_sweeps_tried_is_planned_neither_at_first_nor_later(tmp_path, earlier, algorithm):
    text = GRID.replace("algorithm: grid", f"algorithm: {algorithm}\ntrials: 20")
    plan, folder = plan_of(tmp_path, text=text, warm_start_from=(str(earlier),)), tmp_path / "sweep"
    beginning = begun(plan, folder)
    assert (plan.space.num_trials, beginning.num_trials) == (6, 4)
    notes = read_journal(folder).started.notes
    assert notes[-1] == "Of the 6 trials planned 4 are run: earlier sweeps have tried the others."
    asked = asked_of(beginning, plan)
    assert len(asked) == 4
    for trial_id, values in asked[:3]:
        finish(plan, folder, trial_id, values)
    assert num_to_run(read_journal(folder), plan.space) == 1
    beginning = resumed(plan, folder)
    assert beginning.num_trials == 4 and len(beginning.ended) == 3
    assert asked_of(beginning, plan) == asked[3:]
    finish(plan, folder, *asked[3])
    assert num_to_run(read_journal(folder), plan.space) == 0


def test_what_start_with_asks_for_is_run_though_an_earlier_sweep_has_it(tmp_path, earlier):
    tried, *_, untried = plan_of(tmp_path, text=GRID).space.grid()
    changes = {"warm_start_from": (str(earlier),), "points_to_evaluate": (untried, tried)}
    plan, folder = plan_of(tmp_path, text=GRID, **changes), tmp_path / "sweep"
    beginning = begun(plan, folder)
    assert beginning.num_trials == 5 and len(asked_of(beginning, plan)) == 5
    finish(plan, folder, "t000", untried)
    assert num_to_run(read_journal(folder), plan.space) == 4


def test_a_sweep_of_which_everything_was_tried_before_is_refused_and_leaves_no_folder(tmp_path, earlier):
    plan = plan_of(tmp_path, text=GRID.replace("4, 8, 16", "4"), warm_start_from=(str(earlier),))
    with pytest.raises(ConfigError, match="warm_start_from: those sweeps have tried every setting"):
        begun(plan, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_an_earlier_sweep_that_is_gone_is_told_and_gone_on_without(tmp_path, earlier, caplog):
    plan, folder = plan_of(tmp_path, text=GRID, warm_start_from=(str(earlier),)), tmp_path / "sweep"
    begun(plan, folder)
    shutil.rmtree(earlier)
    beginning = resumed(plan, folder)
    assert "warm_start_from: the algorithm goes on without what it once learned" in caplog.text
    assert str(earlier) in caplog.text
    assert len(asked_of(beginning, plan)) == beginning.num_trials == 6
    with pytest.raises(JournalError, match="cannot be read"):
        begun(plan, tmp_path / "new")


# The folder


def test_no_other_process_has_a_chance_between_the_first_line_and_the_lock(tmp_path, monkeypatch):
    plan, folder = plan_of(tmp_path), tmp_path / "sweep"
    append, events = Journal.append, []

    def while_kept(journal, event):
        with pytest.raises(JournalError, match="another process is running"), writing_alone(folder):
            pass
        events.append(event.event)
        append(journal, event)

    monkeypatch.setattr(Journal, "append", while_kept)
    begun(plan, folder)
    resumed(plan, folder)
    assert events == ["sweep_started", "sweep_resumed"]


def test_a_sweep_whose_yaml_cannot_be_copied_has_its_journal_all_the_same(tmp_path, caplog):
    plan, folder = plan_of(tmp_path), tmp_path / "sweep"
    with begin(plan, folder, space_file=tmp_path / "gone.yaml"):
        pass
    assert "no copy of the search space, which the journal holds too" in caplog.text
    assert len(resumed(plan, folder).first) == 2
