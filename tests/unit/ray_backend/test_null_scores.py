"""A trial whose objective is null, and one that diverged, on their way through searchers, pruning and the journal."""

import math

import numpy as np
import pytest
from fake_tune import run
from mtbert_ray.study.remaining import was_cut_off
from ray.exceptions import RayTaskError
from ray.train import ControllerError, WorkerGroupError
from told_sweep import Sweep

from mtbert_ray.errors import DivergedError
from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.ray_backend.failure import failure_kind_of, reason_of
from mtbert_ray.study.feedback import Telling
from mtbert_ray.study.search import SEARCHERS
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.study.space.parameters import Choice
from mtbert_ray.trial import final_metrics

DIVERGED = DivergedError("the training loss of sst is not finite in epoch 2; a lower learning rate than 1 may help")

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=100.0),
}


def task_error(cause: BaseException) -> RayTaskError:
    return RayTaskError("step", f"Traceback:\n  a long one\n{cause!r}", cause, proctitle="p", pid=1, ip="127.0.0.1")


@pytest.mark.parametrize("algorithm", sorted(SEARCHERS))
@pytest.mark.parametrize("missing", [None, math.nan])
def test_no_searcher_is_troubled_by_trials_without_a_value(algorithm, missing):
    search = {"batch_size": Choice(values=(8, 16, 32, 64)), "epochs": Choice(values=(1, 2, 3, 4))}
    trials = None if algorithm == "grid" else 12
    space = SearchSpace(name="s", objectives=OBJECTIVES, search=search, algorithm=algorithm, trials=trials)
    searcher, telling = SEARCHERS[algorithm](space), Telling(space, OBJECTIVES)
    for number in range(12):
        asked = searcher.ask()
        if asked is None:
            break
        key, _ = asked
        has_value = number % 3 == 0
        metrics = {"dev_score": 0.1 * (number % 7) if has_value else missing, "train_seconds": 10.0 + number}
        telling.epoch(searcher, key, 1, metrics)
        if number % 4 == 3:
            telling.stopped(searcher, key, 1, metrics, "rung")
        else:
            telling.finished(searcher, key, metrics)
    study = getattr(searcher, "_study", None)
    if study is not None:
        told = [value for trial in study.get_trials() for value in trial.values or ()]
        assert told and np.isfinite(told).all()


def test_a_null_objective_is_behind_every_value_at_a_rung():
    one = run()
    one.report("1", 1, accuracy=0.1, seconds=9.0)
    assert one.report("2", 1, accuracy=None, seconds=0.1) == "STOP"
    assert one.report("3", 1, accuracy=0.2, seconds=9.0) == "CONTINUE"


def test_what_a_failed_trial_has_told_stops_no_other_trial():
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
    sweep = Sweep(tmp_path / "sweep")
    sweep.start("t1")
    sweep.epoch("t1", 1, score=0.9)
    sweep.fail("t1", error)
    [trial] = read_journal(sweep.folder).trials
    assert (trial.status_in_words, trial.reason, trial.checkpoint) == ("failed (diverged)", str(DIVERGED), None)
    assert not was_cut_off(trial), "it would diverge again"
    assert (trial.metrics["dev_score"], trial.metrics["sst"], trial.metrics["best_epoch"]) == (None, None, None)
    assert trial.metrics["step"] == 10


def test_why_a_score_is_null_is_in_the_journal_and_told_once(tmp_path, caplog):
    sweep = Sweep(tmp_path / "sweep")
    sweep.start("t1")
    why = {"sst": "no reason", "dev_score": "sst has no accuracy: no reason"}
    sweep.epoch("t1", 1, score=None, undefined=why)
    sweep.epoch("t1", 2, score=None, undefined=why)
    sweep.complete("t1")
    [trial] = read_journal(sweep.folder).trials
    assert (trial.status, trial.metrics["dev_score"], trial.metrics["best_epoch"]) == ("finished", None, 2)
    assert trial.without_value == ("no dev_score: sst has no accuracy: no reason",)
    assert caplog.text.count("no dev_score") == 1
    assert sweep.progress.volume_percent() == 0.0


def test_a_number_that_is_none_enters_neither_journal_nor_record(tmp_path):
    sweep = Sweep(tmp_path / "sweep")
    sweep.start("t1")
    sweep.epoch("t1", 1, score=math.nan)
    assert sweep.listener.trials["t1"].epochs[0]["dev_score"] is None
    assert "NaN" not in (sweep.folder / "journal.jsonl").read_text()


def test_the_other_scores_of_a_task_are_those_of_the_best_epoch():
    epochs = [
        {"epoch": 1, "topic": 0.8, "topic.f1_macro": 0.8, "dev_score": 0.8, "train_loss.topic": 2.0},
        {"epoch": 2, "topic": 0.6, "topic.f1_macro": 0.6, "dev_score": 0.6, "train_loss.topic": 1.0},
    ]
    found = final_metrics(epochs, ["topic"])
    assert (found["topic.f1_macro"], found["train_loss.topic"]) == (0.8, 1.0)
