"""Whose checkpoint stays: deleted as soon as it is sure, never of a trial that runs, and as the report has it."""

from pathlib import Path

import pytest
from recorded_sweep import RecordedSweep
from sweep_on_tune import NUM_EPOCHS, SweepOnTune

from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.ray_backend.checkpoint_keeper import CheckpointKeeper
from mtbert_ray.reporting.content import content_of
from mtbert_ray.reporting.facts import notes_of
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.reporting.tables import trial_table
from mtbert_ray.scoring.dev_predictions import write_dev_predictions

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=1000.0, constraint=500.0),
}


class Kept:
    """A sweep on Tune that keeps some checkpoints; each trial that has an epoch has one."""

    def __init__(self, folder: Path, keep: str) -> None:
        self.folder = folder
        self.sweep = SweepOnTune(folder, objectives=OBJECTIVES, keep_checkpoints=keep, scheduler="fifo", trials=20)
        self.sweep.study.observers.append(CheckpointKeeper(folder, self.sweep.study.sweep))

    def start(self) -> str:
        trial_id = self.sweep.start()
        self.sweep.epoch(trial_id, 1, None, costs={"train_seconds": 1.0})
        (self.folder / "trials" / trial_id / "checkpoint" / "model.safetensors").write_bytes(b"weights")
        write_dev_predictions(self.folder / "trials" / trial_id, {}, epoch=1)
        return trial_id

    def finish(self, trial_id: str, score: float | None, seconds: float | None) -> None:
        self.sweep.epoch(trial_id, NUM_EPOCHS, score, costs={"train_seconds": seconds})
        self.sweep.complete(trial_id)

    @property
    def on_disk(self) -> list[str]:
        return sorted(path.parent.name for path in self.folder.glob("trials/*/checkpoint") if any(path.iterdir()))

    @property
    def with_predictions(self) -> list[str]:
        return sorted(path.parents[1].name for path in self.folder.glob("trials/*/predictions/dev.npz"))

    @property
    def in_report(self) -> list[str]:
        """The trials whose checkpoint the table names."""
        table = trial_table(read_journal(self.folder))
        return list(table.loc[table["checkpoint"].notna(), "trial_id"])

    def predicted(self) -> list[str | None]:
        """The commands of the report that take a checkpoint, of the trials on the front."""
        content = content_of(outcome_of(read_journal(self.folder)), Path("out"))
        return [point.predict_command for point in content.front]


def test_a_link_in_place_of_a_trial_s_folder_is_not_followed(tmp_path):
    kept, outside = Kept(tmp_path / "sweep", "front"), tmp_path / "outside"
    (outside / "checkpoint").mkdir(parents=True)
    for score in (0.5, 0.4):
        kept.finish(kept.start(), score, 10.0)
    folder = kept.folder / "trials" / "t001"  # Off the front.
    folder.rename(tmp_path / "moved")
    folder.symlink_to(outside)
    CheckpointKeeper(kept.folder, kept.sweep.study.sweep)
    assert (outside / "checkpoint").exists()


# Trial -> its score and seconds, in the order in which they end; then what is on disk after each end, by what is kept.
STEPS = [
    ("t000", 0.5, 10.0),  # On the front.
    ("t001", 0.4, 20.0),  # Dominated.
    ("t002", 0.6, 30.0),  # On the front, better in the first objective.
    ("t003", 0.5, 10.0),  # As good as t000: both stay.
    ("t004", 0.9, 600.0),  # Breaks a constraint.
    ("t005", None, 1.0),  # Without a score.
    ("t006", 0.7, 5.0),  # Dominates all.
]
LEFT = {
    "all": ["0", "01", "012", "0123", "01234", "012345", "0123456"],
    "front": ["0", "0", "02", "023", "023", "023", "6"],
    "best": ["0", "0", "2", "2", "2", "2", "6"],
}


@pytest.mark.parametrize("keep", LEFT)
def test_a_checkpoint_goes_as_soon_as_its_trial_is_off_the_front(tmp_path, keep):
    kept = Kept(tmp_path / "sweep", keep)
    for (trial_id, score, seconds), left in zip(STEPS, LEFT[keep], strict=True):
        assert kept.start() == trial_id
        assert trial_id in kept.on_disk, "while it runs"
        kept.finish(trial_id, score, seconds)
        assert kept.on_disk == [f"t00{number}" for number in left] == kept.in_report
        commands = kept.predicted()
        members = [trial.trial_id for trial in outcome_of(read_journal(kept.folder)).front]
        named = [command for command in commands if command is not None]
        assert len(named) == len(set(members) & set(kept.on_disk))
        for command in named:
            assert any(f"trials/{trial_id}/checkpoint" in command for trial_id in kept.on_disk)
    assert {trial.checkpoint for trial in read_journal(kept.folder).trials} == {
        f"trials/{trial_id}/checkpoint" for trial_id, *_ in STEPS
    }, "the journal stays as written"
    assert kept.with_predictions == [trial_id for trial_id, *_ in STEPS], "of every trial, whose checkpoint ever stays"


@pytest.mark.parametrize("keep", ["front", "best"])
def test_running_and_interrupted_trials_keep_theirs_and_failed_and_stopped_ones_do_not(tmp_path, keep):
    kept = Kept(tmp_path / "sweep", keep)
    for _ in range(6):
        kept.start()
    kept.finish("t000", 0.9, 1.0)
    kept.sweep.fail("t001", ValueError("a mistake of its own"))
    kept.sweep.fail("t002", None)  # Its process died: it runs again.
    kept.sweep.backend.interrupt("t003", "the session ended")
    kept.sweep.run_out_of_memory("t004", "asked for much")
    kept.sweep.complete("t004")
    assert kept.on_disk == ["t000", "t002", "t003", "t005"]
    assert kept.in_report == ["t000", "t003"], "those that the journal knows"


@pytest.mark.parametrize(("keep", "left"), [("all", 4), ("front", 2), ("best", 1)])
def test_what_a_killed_session_left_goes_when_the_next_one_begins(tmp_path, keep, left):
    kept = Kept(tmp_path / "sweep", "all")
    for trial_id, score, seconds in STEPS[:4]:
        kept.start()
        kept.finish(trial_id, {"t003": 0.1}.get(trial_id, score), seconds)
    sweep = read_journal(kept.folder)
    sweep.started.space["keep_checkpoints"] = keep
    CheckpointKeeper(kept.folder, sweep)
    assert len(kept.on_disk) == left


def test_the_report_counts_what_was_deleted(tmp_path):
    kept = Kept(tmp_path / "sweep", "front")
    kept.start()
    kept.finish("t000", 0.5, 10.0)
    assert not any("keep_checkpoints" in note for note in notes_of(outcome_of(read_journal(kept.folder))))
    kept.start()
    kept.finish("t001", 0.4, 20.0)
    [note] = [note for note in notes_of(outcome_of(read_journal(kept.folder))) if "keep_checkpoints: front" in note]
    assert note.startswith("1 checkpoint ")


@pytest.mark.parametrize("value", ["all", "later version", None, ["front"]])
def test_a_journal_that_says_nothing_known_of_it_keeps_all(tmp_path, value):
    recorded = RecordedSweep(tmp_path / "sweep")
    recorded.trial("t000", [0.5])
    recorded.trial("t001", [0.4], seconds=20.0)
    sweep = read_journal(recorded.finish())
    for trial in sweep.trials:
        trial.checkpoint = f"trials/{trial.trial_id}/checkpoint"
    if value is None:
        del sweep.started.space["keep_checkpoints"]
    else:
        sweep.started.space["keep_checkpoints"] = value
    assert trial_table(sweep)["checkpoint"].notna().all()


def test_a_checkpoint_that_cannot_be_deleted_is_logged_and_ends_nothing(tmp_path, monkeypatch, caplog):
    kept = Kept(tmp_path / "sweep", "front")

    def refuse(root: Path, name: str) -> None:
        raise PermissionError(1, "Operation not permitted", str(root / name))

    monkeypatch.setattr("mtbert_ray.ray_backend.checkpoint_keeper.remove_below", refuse)
    for trial_id, score, seconds in STEPS[:2]:
        kept.start()
        kept.finish(trial_id, score, seconds)
    assert "t001" in caplog.text and kept.on_disk == ["t000", "t001"]
