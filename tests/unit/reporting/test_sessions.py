"""A report of a resumed sweep: the notes of its sessions, and times without their pauses."""

from mtbert_ray.journal import read_journal
from mtbert_ray.reporting.document import progress_drawings
from mtbert_ray.reporting.facts import facts_of, last_event_time, notes_of, seconds_run, session_notes
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.reporting.paper_comparison import compare_with_paper

START = 1_800_000_000.0  # 2027-01-15 08:00 UTC


def killed(sweep):
    """A trial of a minute, and one that reported an epoch 10 s after its start and nothing more."""
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    sweep.start("t1")
    sweep.epochs("t1", [0.5])
    return sweep


def test_a_session_on_the_same_machine_is_named_and_no_more(sweep):
    killed(sweep).resume(3610)
    (note,) = session_notes(read_journal(sweep.folder))
    assert "2027-01-15 09:01 UTC" in note and "pause of 1 h 0 min" in note and "(was" not in note


def test_what_changed_is_noted_with_the_trials_whose_seconds_it_concerns(sweep):
    killed(sweep).resume(
        100, hardware={"gpu": "A100", "cpus": 2}, versions={"torch": "2.14.0"}, git_revision="abc-dirty"
    )
    sweep.trial("t1", [0.8], peak_memory_gib=4.0)
    sweep.trial("t2", [0.8], peak_memory_gib=4.0)
    sweep.resume(50, hardware={"gpu": "A100", "cpus": 2}, versions={"torch": "2.14.0"}, git_revision="abd")
    second, third = session_notes(read_journal(sweep.folder))
    assert "gpu A100 (was none); torch 2.14.0 (was 2.13.0); git revision abc-dirty (was none)." in second
    assert "t1 and t2" in second
    assert "session 2: git revision abd (was abc-dirty)." in third and "no trial has started" in third
    assert second in notes_of(outcome_of(read_journal(sweep.folder)))


def test_time_is_counted_without_the_pauses(sweep):
    killed(sweep).resume(3600)  # The last event was 10 s after t1 began.
    sweep.trial("t1", [0.8], peak_memory_gib=4.0)
    record = read_journal(sweep.finish())
    assert [seconds_run(record, START + at) for at in (30, 70, 500, 3660, 3670)] == [30, 70, 70, 70, 80]
    assert dict(facts_of(record))["wall time"] == "2 min 15 s in 2 sessions, without the pauses"


def test_a_pause_begins_with_the_end_of_the_session_if_that_was_written(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    sweep.finish("interrupted")  # 5 s after the trial.
    sweep.resume(1000)
    sweep.trial("t1", [0.8], peak_memory_gib=4.0)
    assert seconds_run(read_journal(sweep.finish()), sweep.clock + 5) == 60 + 5 + 60 + 5


def test_a_session_that_has_just_started_is_the_last_event(sweep):
    killed(sweep).resume(3600)
    record = read_journal(sweep.folder)
    assert last_event_time(record) == START + 3660
    assert dict(facts_of(record))["wall time"] == "1 min 10 s in 2 sessions, without the pauses so far"


def test_the_hypervolume_is_drawn_over_the_time_without_the_pauses(sweep):
    killed(sweep).resume(3600)
    sweep.trial("t1", [0.8], peak_memory_gib=4.0)
    record = read_journal(sweep.finish())
    (drawing,) = [d for d in progress_drawings(outcome_of(record), last_event_time(record)) if d.name == "hypervolume"]
    axes = drawing.figure.axes[0]
    assert axes.lines[0].get_xdata().tolist() == [0, 1, 130 / 60, 135 / 60]
    assert "without pauses" in axes.get_xlabel()


def test_the_comparison_with_the_paper_has_the_hardware_of_every_session(sweep, paper_config):
    own = type(sweep)(sweep.folder.parent / "table1", hyperparameters=("experiment",), paper_table=1)
    own.start("t0", fixed=paper_config(1, "v1").model_dump(), experiment="v1")
    own.epochs("t0", [0.5])
    own.end("t0")
    own.resume(60, hardware={"gpus": "NVIDIA A100"})
    notes = " ".join(compare_with_paper(read_journal(own.finish())).notes)
    assert "hardware no GPU; a CPU of unknown kind and NVIDIA A100 (the paper: " in notes


def test_a_sweep_of_one_session_has_no_notes_of_sessions(sweep):
    record = read_journal(killed(sweep).finish())
    assert session_notes(record) == ()
    assert "session" not in dict(facts_of(record))["wall time"]


def test_epochs_of_interrupted_trials_are_not_called_saved(sweep):
    sweep.trial("t0", [0.7] * 3, config={"epochs": 3}, peak_memory_gib=3.0)
    sweep.trial("t1", [0.5], config={"epochs": 3}, stopped="epoch 1: dominated", kind="rung", peak_memory_gib=3.5)
    sweep.trial("t2", [0.5], config={"epochs": 3}, stopped="the sweep's time was over", peak_memory_gib=3.5)
    trained = dict(facts_of(read_journal(sweep.finish("time_budget"))))["epochs trained"]
    assert trained == "4 of the 6 without early stopping (67%)"


def test_a_sweep_with_only_interrupted_trials_saved_nothing(sweep):
    sweep.trial("t0", [0.5], config={"epochs": 3}, stopped="the sweep's time was over", peak_memory_gib=3.5)
    assert "epochs trained" not in dict(facts_of(read_journal(sweep.finish("time_budget"))))
