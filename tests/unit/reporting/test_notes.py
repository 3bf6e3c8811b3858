"""The note of a hypervolume of 0: the objectives in which no trial is better than the reference."""

from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.facts import notes_of
from mtbert_ray.reporting.outcome import outcome_of


def about_the_reference(folder) -> list[str]:
    return [note for note in notes_of(outcome_of(read_journal(folder))) if "reference" in note]


def test_the_objectives_that_no_trial_is_better_in_are_named_with_the_best(sweep):
    sweep.trial("t0", [0.2, 0.391], peak_memory_gib=5.0)
    sweep.trial("t1", [0.3], peak_memory_gib=4.0)
    (note,) = about_the_reference(sweep.folder)
    assert "yet" in note and note.endswith(": best dev score 0.391, reference 0.400.")
    (note,) = about_the_reference(sweep.finish())
    assert "yet" not in note and note.endswith(": best dev score 0.391, reference 0.400.")


def test_one_trial_that_is_better_is_enough(sweep):
    sweep.trial("t0", [0.41], peak_memory_gib=5.0)
    assert about_the_reference(sweep.finish()) == []


def test_better_in_each_objective_but_by_different_trials_is_noted_too(sweep):
    sweep.trial("t0", [0.5], peak_memory_gib=5.9)
    sweep.trial("t1", [0.3], peak_memory_gib=2.0)
    assert about_the_reference(sweep.folder) == []
    other = type(sweep)(
        sweep.folder.parent / "other",
        objectives={
            "dev_score": Objective(direction="maximize", reference=0.4),
            "peak_memory_gib": Objective(direction="minimize", reference=4.0),
        },
    )
    other.trial("t0", [0.5], peak_memory_gib=5.9)
    other.trial("t1", [0.3], peak_memory_gib=2.0)
    (note,) = about_the_reference(other.finish())
    assert "in every objective" in note


def test_totals_count_only_of_trials_that_finished(tmp_path, sweep):
    seconds = {"train_seconds": Objective(direction="minimize", reference=15.0)}
    other = type(sweep)(tmp_path / "seconds", objectives=seconds)
    other.trial("t0", [0.5], stopped="too slow", kind="rung")  # After 10 s of training.
    assert about_the_reference(other.folder) == []
    other.trial("t1", [0.5, 0.6])  # 20 s.
    (note,) = about_the_reference(other.finish())
    assert note.endswith("best train time 20.0 s, reference 15.0 s.")
