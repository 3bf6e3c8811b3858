"""Repeats of the front with other seeds, and its remeasurement alone: when they start, and who hears of them."""

from pathlib import Path

import pytest
from study_sessions import (
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

from mtbert_ray.errors import ConfigError, JournalError, NothingLeftError
from mtbert_ray.events import (
    EpochFinished,
    SweepFinished,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialResumed,
    TrialStarted,
    TrialStopped,
)
from mtbert_ray.journal import Journal, read_journal
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.study.request import resume_request
from mtbert_ray.study.session import read_study, resumed_session
from mtbert_ray.study.study import Study

# Trial -> its score and seconds an epoch: t000 and t002 are the front, t002 the better in the first objective.
FRONT_OF_FOUR = [("t000", 0.5, 1.0), ("t001", 0.4, 2.0), ("t002", 0.7, 3.0), ("t003", 0.6, 4.0)]


def searched(folder: Path, algorithm: str = "random", **changes: object) -> Study:
    """A sweep of four trials whose search is over."""
    changes = {"trials": 4, "scheduler": "fifo", **changes}
    study = new_study(space_of(folder, algorithm, **changes), folder / "sweep")
    for (trial_id, score, seconds), started in zip(FRONT_OF_FOUR, start(study, 4), strict=True):
        assert started == trial_id
        end(study, trial_id, score, seconds)
    return study


def end(study: Study, trial_id: str, score: float = 0.5, seconds: float = 1.0) -> None:
    run_epochs(study, trial_id, [score] * 9, seconds)
    study.add(TrialFinished(trial_id=trial_id))


def resumed(folder: Path, *, num_trials: int | None = 4, **asked: object) -> Study:
    session = resumed_session(folder / "sweep", num_trials=num_trials, space_text=None, cluster="", **asked)
    with session as study:
        return study


def requested(folder: Path, **asked: object) -> Study:
    """As `--resume` with these options."""
    request = resume_request(folder / "sweep", **asked)
    return resumed(folder, num_trials=request.space.num_trials, repeats=request.repeats, remeasure=request.remeasure)


# Repeats


def test_the_front_is_repeated_once_the_search_is_over_one_seed_of_each_first(tmp_path):
    study = searched(tmp_path, repeats=2, seed=7)
    asked = [study.ask() for _ in range(4)]
    assert [event.trial_id for event in asked] == ["t002-r1", "t000-r1", "t002-r2", "t000-r2"]
    assert study.ask() is None
    for event in asked:
        trial = study.sweep.trial(event.of)
        assert (event.purpose, event.of) == ("repeat", event.trial_id[:4])
        assert event.hyperparameters == trial.hyperparameters
        assert event.config == {**trial.config, "seed": 7 + int(event.trial_id[-1])}
    assert [trial.trial_id for trial in read_journal(tmp_path / "sweep").reruns] == [one.trial_id for one in asked]


def test_a_searched_seed_is_that_of_the_repeat(tmp_path):
    text = "name: s\nobjectives: {dev_score: {direction: maximize, reference: 0}}\nsearch: {seed: {grid: [4, 8]}}\n"
    text += "fixed: {encoder: tiny, epochs: 9, tasks: [sst]}\nalgorithm: grid\n"
    study = new_study(space_of(tmp_path, text=text, repeats=1), tmp_path / "sweep")
    for trial_id, score in zip(start(study, 2), (0.5, 0.6), strict=True):
        finish(study, trial_id, score)
    event = study.ask()
    assert (event.trial_id, event.hyperparameters["seed"], event.config["seed"]) == ("t001-r1", 9, 9)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_seeds_stay_within_their_bounds(tmp_path, seed):
    study = searched(tmp_path, repeats=1, seed=seed)
    assert study.ask().config["seed"] == (seed + 1) % 2**32


def test_none_starts_while_a_trial_of_the_search_can_still_change_the_front(tmp_path):
    study = new_study(space_of(tmp_path, "random", trials=2, repeats=1, scheduler="fifo"), tmp_path / "sweep")
    start(study, 2)
    end(study, "t000", 0.5)
    assert study.ask() is None, "t001 runs"
    fail(study, "t001", "died")
    assert study.ask().trial_id == "t001"
    end(study, "t001", 0.6)
    assert [trial_id for trial_id, _ in ask_all(study)] == ["t001-r1"]


def test_one_that_breaks_a_constraint_failed_or_was_stopped_is_not_repeated(tmp_path):
    objectives = {"dev_score": {"direction": "maximize", "reference": 0.0, "constraint": 0.45}}
    text = space_of(tmp_path, "random").model_dump()
    space = type(space_of(tmp_path)).model_validate({**text, "objectives": objectives, "trials": 4, "repeats": 1})
    study = new_study(space.model_copy(update={"scheduler": "fifo"}), tmp_path / "sweep")
    start(study, 4)
    end(study, "t000", 0.4)
    fail(study, "t001")
    run_epochs(study, "t002", [0.9])
    stop(study, "t002", "rung")
    assert study.ask() is None
    end(study, "t003", 0.44)
    assert study.ask() is None, "no front"


def test_the_searcher_and_the_pruner_hear_nothing_of_repeats(tmp_path):
    suggested = []
    for repeats in (0, 2):
        folder = tmp_path / str(repeats)
        folder.mkdir()
        study = searched(folder, "front", repeats=repeats, scheduler="pareto")
        decisions, results = dict(study._pruner.decisions), study._pruner.to_json()
        for trial_id, _ in ask_all(study):
            end(study, trial_id, 0.99)
        assert study._pruner.to_json() == results and dict(study._pruner.decisions) == decisions
        suggested.append(ask_all(resumed(folder, num_trials=8)))
        assert [trial_id for trial_id, _ in suggested[-1]] == ["t004", "t005", "t006", "t007"]
    assert suggested[0] == suggested[1]


def test_repeats_are_no_trials_of_the_sweep(tmp_path):
    study = searched(tmp_path, repeats=1)
    before = outcome_of(study.sweep)
    for trial_id, _ in ask_all(study):
        end(study, trial_id, 0.99, 0.1)
    sweep = read_journal(tmp_path / "sweep")
    assert [trial.trial_id for trial in sweep.trials] == ["t000", "t001", "t002", "t003"]
    assert [trial.trial_id for trial in outcome_of(sweep).front] == [trial.trial_id for trial in before.front]
    assert (sweep.num_ended, num_left(study)) == (4, 0)
    assert sweep.trial("t000-r1").metrics["dev_score"] == 0.99


def test_only_finished_repeats_are_given(tmp_path):
    study = searched(tmp_path, repeats=3)
    ask_all(study)
    end(study, "t000-r1", 0.1)
    fail(study, "t000-r2", "diverged")
    end(study, "t002-r1", 0.2)
    end(study, "t000-r3", 0.3)
    assert [trial.metrics["dev_score"] for trial in study.sweep.repeats_of("t000")] == [0.1, 0.3]
    assert study.sweep.repeats_of("t001") == []


def test_a_repeat_that_died_starts_again_until_its_retries_are_spent(tmp_path):
    study = searched(tmp_path, repeats=1, retries=1)
    assert study.ask().trial_id == "t002-r1"
    run_epochs(study, "t002-r1", [0.5, 0.6])
    fail(study, "t002-r1", "died")
    again = study.ask()
    assert (again.trial_id, again.attempt, again.purpose, again.of) == ("t002-r1", 2, "repeat", "t002")
    assert study.sweep.trial("t002-r1").num_done == 2
    fail(study, "t002-r1", "died")
    assert study.ask().trial_id == "t000-r1"
    assert study.ask() is None
    assert requested(tmp_path).ask().trial_id == "t002-r1", "it is left to --resume"


def test_an_error_ends_a_repeat(tmp_path):
    study = searched(tmp_path, repeats=1)
    study.ask()
    fail(study, "t002-r1")
    assert [trial_id for trial_id, _ in ask_all(study)] == ["t000-r1"]


def test_repeats_of_a_killed_session_run_again_and_those_to_come_follow(tmp_path):
    study = searched(tmp_path, repeats=2)
    for trial_id, _ in [(event.trial_id, event) for event in (study.ask(), study.ask())]:
        run_epochs(study, trial_id, [0.5])
    end(study, "t002-r1")
    study = requested(tmp_path)
    assert study.running == []
    asked = [study.ask() for _ in range(3)]
    assert [(event.trial_id, event.attempt) for event in asked] == [("t000-r1", 2), ("t002-r2", 1), ("t000-r2", 1)]
    study.add(TrialResumed(trial_id="t000-r1", epoch=1))
    assert study.sweep.trial("t000-r1").num_done == 1
    assert [trial.trial_id for trial in study.running] == ["t000-r1", "t002-r2", "t000-r2"]


def test_more_trials_change_whom_repeats_are_of_and_those_that_ran_stay(tmp_path):
    study = searched(tmp_path, repeats=1)
    study.ask()
    end(study, "t002-r1")
    study.ask()  # t000-r1 is interrupted, and t000 leaves the front.
    study = resumed(tmp_path, num_trials=5)
    assert study.ask().trial_id == "t004"
    assert study.ask() is None
    end(study, "t004", 0.9, 0.5)
    assert [trial_id for trial_id, _ in ask_all(study)] == ["t004-r1"]
    assert [trial.trial_id for trial in study.running] == ["t004-r1"], "not one of the killed session"
    end(study, "t004-r1")
    assert study.ask() is None
    with pytest.raises(NothingLeftError):
        resume_request(tmp_path / "sweep")


def test_one_that_died_and_is_wanted_no_more_is_no_rerun_that_has_started(tmp_path):
    study = searched(tmp_path, repeats=1, retries=0)
    for trial_id in (study.ask().trial_id, study.ask().trial_id):
        fail(study, trial_id, "died")
    assert [trial.trial_id for trial in study.reruns.started] == ["t002-r1", "t000-r1"]
    study = resumed(tmp_path, num_trials=5)
    study.ask()
    end(study, "t004", 0.9, 0.5)
    assert study.reruns.started == []


def test_the_front_of_a_finished_sweep_is_repeated_later_and_only_as_often_as_is_missing(tmp_path):
    study = searched(tmp_path)
    assert study.ask() is None
    study.add(SweepFinished(reason="completed"))
    for repeats, missing in ((1, ["t002-r1", "t000-r1"]), (2, ["t002-r2", "t000-r2"])):
        study = requested(tmp_path, repeat_front=repeats)
        asked = [trial_id for trial_id, _ in ask_all(study)]
        assert asked == missing
        for trial_id in asked:
            end(study, trial_id)
        assert read_journal(tmp_path / "sweep").repeats == repeats
    for repeats in (1, 2):
        with pytest.raises(NothingLeftError, match="each of the 2 on its front has its repeats"):
            resume_request(tmp_path / "sweep", repeat_front=repeats)
    with pytest.raises(NothingLeftError, match="--repeat-front"):
        resume_request(tmp_path / "sweep")


def test_a_sweep_without_a_front_has_nothing_to_repeat(tmp_path):
    study = new_study(space_of(tmp_path, "random", trials=1), tmp_path / "sweep")
    start(study)
    fail(study, "t000")
    for asked in ({"repeat_front": 1}, {"remeasure": True}):
        with pytest.raises(NothingLeftError, match="no trial is on a front"):
            resume_request(tmp_path / "sweep", **asked)


def test_a_search_that_time_alone_ends_is_over_where_its_front_is_repeated(tmp_path):
    changes = {"trials": None, "time_budget_minutes": 1.0, "points_to_evaluate": ()}
    study = new_study(space_of(tmp_path, "random", scheduler="fifo", **changes), tmp_path / "sweep")
    for (trial_id, score, seconds), _ in zip(FRONT_OF_FOUR, start(study, 4), strict=True):
        end(study, trial_id, score, seconds)
    start(study)
    stop(study, "t004", "sweep")
    study.add(SweepFinished(reason="time_budget"))
    request = resume_request(tmp_path / "sweep", repeat_front=1)
    assert (request.num_left, len(request.reruns)) == (1, 2)
    assert any("--trials" in note for note in request.notes)
    study = requested(tmp_path, repeat_front=1)
    assert [study.ask().trial_id, study.ask()] == ["t004", None]
    end(study, "t004", 0.1, 9.0)
    assert [trial_id for trial_id, _ in ask_all(study)] == ["t002-r1", "t000-r1"]


# Remeasurement


def test_the_front_is_measured_one_after_another_for_an_epoch_each(tmp_path):
    searched(tmp_path)
    study = requested(tmp_path, remeasure=True)
    for trial_id in ("t002-alone", "t000-alone"):
        event = study.ask()
        trial = study.sweep.trial(event.of)
        assert (event.trial_id, event.purpose, event.config) == (trial_id, "remeasure", trial.config)
        assert study.sweep.trial(trial_id).runs_alone and study.ask() is None, "another would run beside it"
        assert study.decision(trial_id) is None
        metrics = {"epoch": 1, "sst": 0.2, "dev_score": 0.2, "train_seconds": 2.0}
        decision = study.add(EpochFinished(trial_id=trial_id, metrics=metrics))
        assert decision == study.decision(trial_id) and (decision.kind, decision.stop) == ("remeasured", True)
        assert "alone" in decision.in_words()
        study.add(TrialStopped(trial_id=trial_id, reason=decision.in_words(), kind=decision.kind))
    assert study.ask() is None
    sweep = read_journal(tmp_path / "sweep")
    assert sweep.remeasurement_of("t000").projection["train_seconds"] == 18.0
    assert sweep.remeasurement_of("t001") is None and sweep.repeats_of("t000") == []


def measure(study: Study, trial_id: str, seconds: float = 1.0) -> None:
    run_epochs(study, trial_id, [0.5], seconds)
    stop(study, trial_id, "remeasured")


def test_it_waits_for_repeats_to_end(tmp_path):
    searched(tmp_path, repeats=1)
    study = requested(tmp_path, remeasure=True)
    assert [study.ask().trial_id, study.ask().trial_id, study.ask()] == ["t002-r1", "t000-r1", None]
    end(study, "t002-r1")
    assert study.ask() is None
    end(study, "t000-r1")
    assert study.ask().trial_id == "t002-alone"


def test_an_interrupted_one_is_completed_and_a_later_one_is_another(tmp_path):
    searched(tmp_path)
    study = requested(tmp_path, remeasure=True)
    measure(study, study.ask().trial_id)
    assert study.ask().trial_id == "t000-alone"
    stop(study, "t000-alone", "sweep")
    for asked in ({}, {"remeasure": True}):
        request = resume_request(tmp_path / "sweep", **asked)
        assert not request.remeasure and [one.trial_id for one in request.reruns] == ["t000-alone"]
    study = requested(tmp_path, remeasure=True)
    assert [trial_id for trial_id, _ in ask_all(study)] == ["t000-alone"]
    measure(study, "t000-alone", 1.0)
    study = requested(tmp_path, remeasure=True)
    assert study.ask().trial_id == "t002-alone2"
    measure(study, "t002-alone2", 5.0)
    sweep = read_journal(tmp_path / "sweep")
    assert sweep.remeasurement_of("t002").trial_id == "t002-alone2"
    assert sweep.remeasurement_of("t000").trial_id == "t000-alone", "the newest that has figures"


def test_one_that_was_killed_behind_its_epoch_ends_as_soon_as_it_is_back(tmp_path):
    searched(tmp_path)
    study = requested(tmp_path, remeasure=True)
    study.ask()
    run_epochs(study, "t002-alone", [0.5])
    assert read_journal(tmp_path / "sweep").remeasurement_of("t002") is not None
    study = requested(tmp_path)
    assert (study.ask().attempt, study.decision("t002-alone").kind) == (2, "remeasured")


def test_a_config_of_one_epoch_is_measured_to_its_end(tmp_path):
    fixed = {"encoder": "tiny", "epochs": 1, "tasks": ["sst"]}
    space = space_of(tmp_path, "random", trials=1, scheduler="fifo", fixed=fixed, points_to_evaluate=())
    study = new_study(space, tmp_path / "sweep")
    start(study)
    finish(study, "t000")
    study = requested(tmp_path, remeasure=True)
    assert study.ask().trial_id == "t000-alone"
    finish(study, "t000-alone")
    assert read_journal(tmp_path / "sweep").remeasurement_of("t000").status == "finished"
    assert study.ask() is None


def test_both_stand_for_trials_that_come_to_the_front_later(tmp_path):
    searched(tmp_path, repeats=1)
    study = requested(tmp_path, remeasure=True)
    for trial_id in (study.ask().trial_id, study.ask().trial_id):
        end(study, trial_id)
    for _ in range(2):
        measure(study, study.ask().trial_id)
    assert study.ask() is None
    study = resumed(tmp_path, num_trials=5)
    assert study.ask().trial_id == "t004"
    end(study, "t004", 0.9, 0.5)
    assert study.ask().trial_id == "t004-r1"
    end(study, "t004-r1")
    assert study.ask().trial_id == "t004-alone"


# Journals


def test_a_config_of_another_version_is_refused_before_anything_starts(tmp_path):
    study = searched(tmp_path)
    with_old_key = {**study.sweep.trial("t002").config, "warp": 9}
    journal = Journal(tmp_path / "old")
    journal.append(study.sweep.started)
    journal.append(TrialStarted(trial_id="t002", hyperparameters={}, config=with_old_key))
    for number in range(1, 10):
        metrics = {"epoch": number, "dev_score": 0.5, "train_seconds": 1.0}
        journal.append(EpochFinished(trial_id="t002", metrics=metrics))
    journal.append(TrialFinished(trial_id="t002"))
    with pytest.raises(ConfigError, match=r"t002.*warp"):
        resume_request(tmp_path / "old", num_trials=1, repeat_front=1)


@pytest.mark.parametrize(
    "fields",
    [
        {"trial_id": "t009-r1", "purpose": "repeat", "of": "t009"},  # Of none.
        {"trial_id": "t000-r1-r1", "purpose": "repeat", "of": "t000-r1"},  # Of a rerun.
        {"trial_id": "t000", "purpose": "repeat", "of": "t000", "attempt": 2},  # A trial of the search.
        {"trial_id": "t000-r1", "attempt": 2},  # A rerun.
        {"trial_id": "t000-r1", "purpose": "repeat", "of": "t001", "attempt": 2},
    ],
)
def test_a_rerun_that_cannot_be_is_refused(tmp_path, fields):
    study = searched(tmp_path, repeats=1)
    ask_all(study)
    config = study.sweep.trial("t000").config
    Journal.reopen(tmp_path / "sweep").append(TrialStarted(hyperparameters={}, config=config, **fields))
    with pytest.raises(JournalError, match=f"line [0-9]+: trial {fields['trial_id']} "):
        read_journal(tmp_path / "sweep")


@pytest.mark.parametrize("fields", [{"purpose": "repeat"}, {"of": "t000"}, {"purpose": "remeasure", "of": "../t000"}])
def test_an_event_of_a_rerun_names_a_trial_and_no_other_does(fields):
    with pytest.raises(ValueError, match="of"):
        TrialStarted(trial_id="t", hyperparameters={}, config={"tasks": [], "epochs": 1}, **fields)


def test_a_journal_without_any_word_of_reruns_has_none(tmp_path):
    study = searched(tmp_path)
    started = study.sweep.started
    del started.space["repeats"]
    assert (study.sweep.repeats, study.sweep.num_remeasurements, study.sweep.reruns) == (0, 0, [])
    assert read_study(tmp_path / "sweep").ask() is None
    assert resumed_study(tmp_path / "sweep").ask() is None


@pytest.mark.parametrize("repeats", [-1, 1001, 1.5, "2", True])
def test_a_journal_that_asks_for_no_number_of_repeats_is_refused(tmp_path, repeats):
    started = searched(tmp_path).sweep.started
    with pytest.raises(ValueError, match="repeats"):
        SweepStarted.model_validate({**started.model_dump(), "space": {**started.space, "repeats": repeats}})


def test_a_trial_that_dies_each_time_keeps_no_rerun_waiting(tmp_path):
    study = new_study(
        space_of(tmp_path, "random", trials=2, scheduler="fifo", repeats=1, retries=0), tmp_path / "sweep"
    )
    start(study, 2)
    study.add(TrialFailed(trial_id="t001", reason="its process died", kind="died"))
    assert study.ask() is None, "a trial of the search runs: it may change the front"
    end(study, "t000", 0.5, 1.0)
    assert study.ask().trial_id == "t000-r1"
