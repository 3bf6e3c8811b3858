"""Reruns of the front as Ray Tune sees them: asked for after the search, probed by none, alone where they must be."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from sweep_on_tune import NUM_EPOCHS, SweepOnTune

from mtbert_ray.events import EpochFinished, SweepFinished, SweepResumed, TrialResumed
from mtbert_ray.metrics import Objective
from mtbert_ray.ray_backend import run
from mtbert_ray.ray_backend.checkpoint_keeper import CheckpointKeeper
from mtbert_ray.reporting.outcome import kept_checkpoint, outcome_of
from mtbert_ray.reporting.progress import SweepProgress

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=1000.0),
}
RESUMED = {"num_trials": 2, "versions": {}, "git_revision": None, "hardware": {}}


def sweep_of_two(folder: Path, **space) -> SweepOnTune:
    """A sweep whose search is over: t000 and t001 are both on the front."""
    sweep = SweepOnTune(folder, objectives=OBJECTIVES, trials=2, **{"repeats": 1, **space})
    sweep.study.observers.append(CheckpointKeeper(folder, sweep.study.sweep))
    sweep.start(), sweep.start()
    for trial_id, score, seconds in (("t000", 0.5, 1.0), ("t001", 0.6, 2.0)):
        finish(sweep, trial_id, score, seconds)
    return sweep


def finish(sweep: SweepOnTune, trial_id: str, score: float = 0.5, seconds: float = 1.0) -> None:
    for number in range(1, NUM_EPOCHS + 1):
        sweep.epoch(trial_id, number, score, costs={"train_seconds": number * seconds})
        (sweep.folder / "trials" / trial_id / "checkpoint" / "model.safetensors").write_bytes(b"weights")
    sweep.complete(trial_id)


def suggested(sweep: SweepOnTune) -> object:
    return sweep.backend.searcher.suggest("Ray's own id")


def test_tune_is_asked_on_until_the_repeats_have_ended(tmp_path):
    sweep = sweep_of_two(tmp_path / "sweep")
    assert [sweep.start(), sweep.start()] == ["t001-r1", "t000-r1"]
    for trial_id in ("t001-r1", "t000-r1"):
        config = sweep.trials[trial_id].config
        assert (config["probe"], config["alone"], config["attempt"], config["trial"]["seed"]) == (None, False, 1, 1)
    assert suggested(sweep) is None, "one may die and start again"
    finish(sweep, "t001-r1")
    sweep.fail("t000-r1", None)
    assert sweep.start() == "t000-r1"
    finish(sweep, "t000-r1")
    assert suggested(sweep) == "FINISHED"
    assert [(trial.trial_id, trial.attempts) for trial in sweep.study.sweep.reruns] == [("t001-r1", 1), ("t000-r1", 2)]


def test_a_remeasurement_is_alone_and_stops_after_an_epoch(tmp_path):
    sweep = sweep_of_two(tmp_path / "sweep", repeats=0)
    sweep.study.add(SweepResumed(remeasure=True, **RESUMED))
    assert sweep.start() == "t001-alone" and sweep.trials["t001-alone"].config["alone"]
    assert suggested(sweep) is None
    assert sweep.epoch("t001-alone", 1, costs={"train_seconds": 3.0}) == "STOP"
    sweep.epoch("t001-alone", 2, costs={"train_seconds": 99.0})  # A result that was on its way.
    sweep.complete("t001-alone")
    trial = sweep.study.sweep.remeasurement_of("t001")
    assert (trial.status, trial.stop_kind, trial.num_done, trial.checkpoint) == ("stopped", "remeasured", 1, None)
    assert trial.projection["train_seconds"] == 3.0 * NUM_EPOCHS
    assert not trial.is_interrupted and not (tmp_path / "sweep/trials/t001-alone/checkpoint").exists()
    assert sweep.start() == "t000-alone"


def test_one_killed_behind_its_epoch_is_stopped_when_it_reports_that_it_is_back(tmp_path):
    sweep = sweep_of_two(tmp_path / "sweep", repeats=0)
    sweep.study.add(SweepResumed(remeasure=True, **RESUMED))
    sweep.start()
    result_of_epoch = {"epoch": 1, "step": 10, "sst": 0.5, "dev_score": 0.5, "train_seconds": 3.0}
    sweep.study.add(EpochFinished(trial_id="t001-alone", metrics=result_of_epoch))
    sweep.study.add(SweepResumed(**RESUMED))
    assert sweep.backend.is_over, "it runs no more"
    assert sweep.start() == "t001-alone"
    assert not sweep.backend.is_over
    assert sweep.report("t001-alone", TrialResumed(trial_id="t001-alone", epoch=1)) == "STOP"
    sweep.complete("t001-alone")
    assert sweep.study.sweep.remeasurement_of("t001").stop_kind == "remeasured"


@pytest.mark.parametrize(
    ("keep", "kept"), [("all", ["t000", "t000-r1", "t001", "t001-r1"]), ("front", ["t000", "t001"])]
)
def test_checkpoints_of_repeats_go_unless_all_are_kept(tmp_path, keep, kept):
    sweep = sweep_of_two(tmp_path / "sweep", keep_checkpoints=keep)
    for trial_id in (sweep.start(), sweep.start()):
        finish(sweep, trial_id, 0.99, 0.1)  # Better than any on the front, which it is not on.
    on_disk = sorted(path.parent.parent.name for path in tmp_path.glob("sweep/trials/*/checkpoint/model.safetensors"))
    outcome = outcome_of(sweep.study.sweep)
    in_report = [trial.trial_id for trial in sweep.study.sweep.all_trials if kept_checkpoint(trial, outcome)]
    assert on_disk == sorted(in_report) == kept


def test_what_is_left_of_the_reruns_keeps_a_sweep_from_being_complete(tmp_path):
    sweep = sweep_of_two(tmp_path / "sweep")
    left = [run._is_left(sweep.study.sweep, 2)]
    for trial_id in (sweep.start(), sweep.start()):
        finish(sweep, trial_id)
        left.append(run._is_left(sweep.study.sweep, 2))
    assert left == [True, True, False] and run._is_left(sweep.study.sweep, 3)


def test_progress_says_what_runs_and_how_many_are_left(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", objectives=OBJECTIVES, trials=1, repeats=1)
    reruns = sweep.study.reruns
    progress = SweepProgress(
        objectives=OBJECTIVES,
        tasks=("sst",),
        num_trials=1,
        time_budget_seconds=None,
        console=Console(file=StringIO(), width=1000),
        num_reruns=lambda: (reruns.num_ended, len(reruns.planned)),
    )
    sweep.study.observers.append(progress.on_event)
    sweep.start()
    finish(sweep, "t000")
    assert progress.seconds_left() > 0, "a repeat is left"
    sweep.start()
    finish(sweep, "t000-r1", 0.9)
    sweep.study.add(SweepResumed(remeasure=True, **{**RESUMED, "num_trials": 1}))
    sweep.start()
    sweep.epoch("t000-alone", 1, costs={"train_seconds": 1.0})
    sweep.complete("t000-alone")
    sweep.study.add(SweepFinished(reason="completed"))
    lines = progress.console.file.getvalue().splitlines()

    def line(start: str) -> str:
        return next(line for line in lines if line.startswith(start))

    assert "1 of 1 trials done, 0 of 1 reruns of the front" in line("t000 finished")
    assert line("t000-r1 started") == "t000-r1 started: t000 with seed 1"
    ended = line("t000-r1 finished")
    assert "1 of 1 trials done, 1 of 1 reruns" in ended and "best dev_score 0.500, 1 on the front" in ended
    assert line("t000-alone started") == "t000-alone started: t000 alone, for its costs"
    assert line("t000-alone measured").startswith("t000-alone measured: epoch 1: ran alone, for its costs. ")
    assert (progress.done, progress.stopped, progress.failed, progress.running) == (1, 0, 0, {})
