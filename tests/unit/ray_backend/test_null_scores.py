"""A trial whose objective is null, and one that diverged, on their way through pruning and the journal."""

import math

import pytest
from fake_tune import run
from ray.exceptions import RayTaskError
from ray.train import ControllerError, WorkerGroupError
from sweep_on_tune import SweepOnTune

from mtbert_ray.errors import DivergedError
from mtbert_ray.ray_backend.failure import failure_kind_of, reason_of
from mtbert_ray.trial import final_metrics

DIVERGED = DivergedError("the training loss of sst is not finite in epoch 2; a lower learning rate than 1 may help")


def task_error(cause: BaseException) -> RayTaskError:
    return RayTaskError("step", f"Traceback:\n  a long one\n{cause!r}", cause, proctitle="p", pid=1, ip="127.0.0.1")


def test_a_null_objective_is_behind_every_value_at_a_rung():
    one = run()
    one.report("1", 1, accuracy=0.1, seconds=9.0)
    assert one.report("2", 1, accuracy=None, seconds=0.1) == "STOP"
    assert one.report("3", 1, accuracy=0.2, seconds=9.0) == "CONTINUE"


def test_what_a_failed_trial_reported_stops_no_other_trial():
    one = run()
    one.report("1", 1, accuracy=0.9, seconds=1.0)
    one.scheduler.on_trial_error(one, one.trials["1"])
    assert one.report("2", 1, accuracy=0.2, seconds=9.0) == "CONTINUE"
    assert one.scheduler.debug_string().endswith("results at rungs: 1 at 1, 0 at 3")


@pytest.mark.parametrize(
    "error",
    [
        DIVERGED,
        task_error(DIVERGED),
        task_error(DIVERGED).as_instanceof_cause(),
        task_error(WorkerGroupError("ranks failed", {1: ValueError("a peer left"), 0: task_error(DIVERGED)})),
        task_error(ControllerError(WorkerGroupError("a rank failed", {3: DIVERGED}))),
    ],
)
def test_divergence_is_known_through_ray_s_layers(tmp_path, error):
    assert (failure_kind_of(error), reason_of(error)) == ("diverged", str(DIVERGED))
    sweep = SweepOnTune(tmp_path / "sweep")
    sweep.start()
    sweep.epoch("t000", 1, 0.9)
    sweep.fail("t000", error)
    [trial] = sweep.read_trials()
    assert (trial.status_in_words, trial.reason, trial.checkpoint) == ("failed (diverged)", str(DIVERGED), None)
    assert not trial.is_interrupted, "it would diverge again"
    assert (trial.metrics["dev_score"], trial.metrics["sst"], trial.metrics["best_epoch"]) == (None, None, None)
    assert trial.metrics["step"] == 10


def test_why_a_score_is_null_is_in_the_journal_and_logged_once(tmp_path, caplog):
    sweep = SweepOnTune(tmp_path / "sweep", scheduler="fifo")
    sweep.start()
    why = {"sst": "no reason", "dev_score": "sst has no accuracy: no reason"}
    for number in (1, 2):
        sweep.epoch("t000", number, None, undefined=why)
    sweep.complete("t000")
    [trial] = sweep.read_trials()
    assert (trial.status, trial.metrics["dev_score"], trial.metrics["best_epoch"]) == ("finished", None, 2)
    assert trial.without_value == ("no dev_score: sst has no accuracy: no reason",)
    assert caplog.text.count("no dev_score") == 1


def test_a_number_that_is_not_finite_is_null_in_journal_and_study(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", scheduler="fifo")
    sweep.start()
    sweep.epoch("t000", 1, math.nan)
    assert sweep.study.trials[0].epochs[0]["dev_score"] is None
    assert "NaN" not in (sweep.folder / "journal.jsonl").read_text()


def test_the_other_scores_of_a_task_are_those_of_the_best_epoch():
    epochs = [
        {"epoch": 1, "topic": 0.8, "topic.f1_macro": 0.8, "dev_score": 0.8, "train_loss.topic": 2.0},
        {"epoch": 2, "topic": 0.6, "topic.f1_macro": 0.6, "dev_score": 0.6, "train_loss.topic": 1.0},
    ]
    found = final_metrics(epochs, ["topic"])
    assert (found["topic.f1_macro"], found["train_loss.topic"]) == (0.8, 1.0)
