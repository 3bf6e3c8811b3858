"""Journals as a table: what is taken, what is left out and why, and what a pruner is shown."""

import numpy as np
import pytest
from recorded_sweep import OBJECTIVES, SEARCH, RecordedSweep

from mtbert_ray.errors import JournalError
from mtbert_ray.metrics import Objective
from mtbert_ray.simulation.recorded import in_words, read_recorded
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.parameters import Choice


def test_a_curve_is_what_the_sweep_saw_after_each_epoch(sweep):
    sweep.trial("t0", [0.2, 0.6, 0.4], seconds=10.0, eval_seconds=2.0)
    (trial,) = read_recorded([sweep.finish()]).trials
    assert [trial.curve.epoch_at(place) for place in range(3)] == [1, 2, 3]
    assert [metrics["dev_score"] for metrics in trial.curve.metrics] == [0.2, 0.6, 0.4]
    # The best score, and what the whole training took.
    assert trial.curve.losses.tolist() == [-0.6, 30.0] and trial.curve.is_feasible
    np.testing.assert_allclose(trial.curve.seconds, [12.0, 24.0, 36.0])
    assert [metrics["step"] for metrics in trial.curve.metrics] == [5, 10, 15]
    assert trial.values == {"learning_rate": 1e-4, "adapter.kind": "none"}


def test_only_whole_curves_are_taken_and_the_others_counted(sweep):
    sweep.trial("t0", [0.5, 0.6])
    sweep.trial("t1", [0.5], end="stopped", epochs=2)
    sweep.trial("t2", [0.5], end="stopped", epochs=2)
    sweep.trial("t3", [0.5], end="failed", epochs=2)
    sweep.trial("t4", [0.5], end="running", epochs=2)
    sweep.trial("t5", [0.5], epochs=2)
    sweep.trial("t6", [0.5, 0.6], eval_seconds=None)
    sweep.trial("t7", [0.5, float("nan")], seconds=1.0)
    recorded = read_recorded([sweep.finish()])
    assert [trial.curve.losses[1] for trial in recorded.trials] == [20.0, 2.0]
    assert in_words(recorded.left_out) == (
        "2 stopped early, 1 failed, 1 cut off, 1 without some of its epochs, 1 without train_seconds or eval_seconds"
    )


def test_a_trial_without_an_objective_is_left_out(tmp_path):
    objectives = OBJECTIVES | {"peak_memory_gib": Objective(direction="minimize", reference=8.0)}
    sweep = RecordedSweep(tmp_path / "s", objectives=objectives)
    sweep.trial("t0", [0.5], peak_memory_gib=None)
    sweep.trial("t1", [0.5], peak_memory_gib=2.0)
    recorded = read_recorded([sweep.finish()])
    assert recorded.left_out == {"without a value for every objective": 1}


def test_totals_are_of_everything_run_to_its_end(sweep):
    sweep.trial("t0", [0.5, 0.6], seconds=9.0)
    sweep.trial("t1", [0.9], seconds=19.0)
    recorded = read_recorded([sweep.finish()])
    assert (recorded.total_epochs, recorded.max_epochs) == (3, 2)
    assert (recorded.total_seconds, recorded.mean_seconds) == (40.0, 20.0)
    # A staircase: 0.6 wide down to 18 s, and 0.3 more down to 19 s.
    assert recorded.total_volume == pytest.approx(0.6 * 982 + 0.3 * 981)
    assert recorded.volume(recorded.trials[0].curve.losses[None]) == pytest.approx(0.6 * 982 / (0.6 * 982 + 0.3 * 981))


def test_infeasible_trials_count_nothing(tmp_path):
    objectives = OBJECTIVES | {"train_seconds": Objective(direction="minimize", reference=1000.0, constraint=15.0)}
    sweep = RecordedSweep(tmp_path / "s", objectives=objectives)
    sweep.trial("t0", [0.4], seconds=10.0)
    sweep.trial("t1", [0.9, 0.9], seconds=10.0)
    recorded = read_recorded([sweep.finish()])
    assert [trial.curve.is_feasible for trial in recorded.trials] == [True, False]
    assert recorded.total_volume == pytest.approx(0.4 * 990)


class TestSeveral:
    def test_trials_are_pooled(self, tmp_path):
        folders = []
        for name in ("a", "b"):
            sweep = RecordedSweep(tmp_path / name)
            sweep.trial("t0", [0.5])
            folders.append(sweep.finish())
        recorded = read_recorded(folders)
        assert len(recorded.trials) == 2
        assert isinstance(recorded.space, SearchSpace) and recorded.notes[0].startswith("Every trial has one epoch")

    def test_other_objectives_are_refused(self, tmp_path):
        one, other = (
            RecordedSweep(tmp_path / "a"),
            RecordedSweep(
                tmp_path / "b", objectives=OBJECTIVES | {"dev_score": Objective(direction="maximize", reference=0.2)}
            ),
        )
        for sweep in (one, other):
            sweep.trial("t0", [0.5])
        with pytest.raises(JournalError) as raised:
            read_recorded([one.finish(), other.finish()])
        assert f"{tmp_path / 'b'}: its objectives are dev_score (maximize, reference 0.2)" in str(raised.value)
        assert f"those of {tmp_path / 'a'} are dev_score (maximize, reference 0)" in str(raised.value)

    def test_the_same_objectives_in_another_order_are_the_same(self, tmp_path):
        one, other = (
            RecordedSweep(tmp_path / "a"),
            RecordedSweep(tmp_path / "b", objectives=dict(reversed(OBJECTIVES.items()))),
        )
        for sweep in (one, other):
            sweep.trial("t0", [0.5, 0.6])
        first, second = read_recorded([one.finish(), other.finish()]).trials
        np.testing.assert_array_equal(first.curve.losses, second.curve.losses)

    def test_different_searches_leave_the_recorded_order_only(self, tmp_path):
        one, other = (
            RecordedSweep(tmp_path / "a"),
            RecordedSweep(tmp_path / "b", search=SEARCH | {"adapter.kind": Choice(values=("none", "dora", "lora"))}),
        )
        for sweep in (one, other):
            sweep.trial("t0", [0.5, 0.6])
        space = read_recorded([one.finish(), other.finish()]).space
        assert space == f"{tmp_path / 'b'} and {tmp_path / 'a'} searched different spaces"

    def test_what_differs_in_what_was_fixed_is_said(self, tmp_path):
        one, other = RecordedSweep(tmp_path / "a"), RecordedSweep(tmp_path / "b", fixed={"data.max_train_rows": 100})
        for sweep in (one, other):
            sweep.trial("t0", [0.5, 0.6])
        assert read_recorded([one.finish(), other.finish()]).notes == (
            "The sweeps differ in what was fixed, so their trials may not compare: data.max_train_rows.",
        )

    def test_every_wrong_folder_is_named_at_once(self, tmp_path, graded):
        with pytest.raises(JournalError) as raised:
            read_recorded([graded, tmp_path / "nowhere", graded / ".." / graded.name])
        first, second = str(raised.value).splitlines()
        assert str(tmp_path / "nowhere") in first and "cannot be read" in first
        assert "given twice" in second


class TestNothingToCompare:
    def test_no_whole_trial(self, sweep):
        sweep.trial("t0", [0.5], end="stopped", epochs=2)
        with pytest.raises(JournalError, match=r"no trial can be replayed \(1 stopped early\).*scheduler fifo"):
            read_recorded([sweep.finish()])

    def test_no_trial_at_all(self, sweep):
        with pytest.raises(JournalError, match="there is none"):
            read_recorded([sweep.finish()])

    def test_no_objectives(self, tmp_path):
        with pytest.raises(JournalError, match="had no objectives"):
            read_recorded([RecordedSweep(tmp_path / "s", objectives={}).finish()])

    def test_nothing_better_than_the_reference(self, tmp_path):
        sweep = RecordedSweep(
            tmp_path / "s", objectives=OBJECTIVES | {"dev_score": Objective(direction="maximize", reference=0.9)}
        )
        sweep.trial("t0", [0.5])
        with pytest.raises(JournalError, match=r"better than the reference in every objective \(dev_score"):
            read_recorded([sweep.finish()])

    def test_a_space_of_another_version(self, tmp_path):
        sweep = RecordedSweep(tmp_path / "s", space={"name": "s", "objectives": {}, "fidelity": 3})
        sweep.trial("t0", [0.5])
        assert "is not one of this version" in read_recorded([sweep.finish()]).space
