"""What a searcher is told of trials, as their events come; live, replayed and from an earlier sweep alike."""

import math

import numpy as np
import pytest

from mtbert_ray.events import (
    EpochFinished,
    ProbeFinished,
    SweepResumed,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStopped,
)
from mtbert_ray.metrics import Objective
from mtbert_ray.study.feedback import Feedback
from mtbert_ray.study.search import SEARCHERS
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.parameters import Choice, FloatRange
from mtbert_ray.study.study import Study
from mtbert_ray.trial import Trial

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=100.0, constraint=50.0),
}
WITH_BOUND = {**OBJECTIVES, "dev_score": Objective(direction="maximize", reference=0.0, constraint=0.8)}
SESSION = {"versions": {}, "git_revision": None, "hardware": {}}


class RecordingSearcher:
    """Suggests one value after another and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []
        self.num_keys = 0

    def ask(self):
        values = {"dropout": 0.01 * self.num_keys}
        return self.open(values), values

    def open(self, values):
        self.num_keys += 1
        return self.num_keys - 1

    def tell(self, key, losses, violation=0.0):
        self.told.append((key, "end", None if losses is None else losses.tolist(), violation))

    def tell_intermediate(self, key, resource, losses, violation=0.0):
        self.told.append((key, resource, None if losses is None else losses.tolist(), violation))

    def tell_stopped(self, key):
        self.told.append((key, "stopped"))


class Run:
    """A study of trials of a few epochs, with a searcher that keeps what it is told."""

    def __init__(self, objectives: dict = OBJECTIVES, *, epochs: int = 3) -> None:
        self.searcher = RecordingSearcher()
        self.epochs = epochs
        space = SearchSpace(
            name="s",
            objectives=objectives,
            fixed={"encoder": "tiny", "epochs": epochs},
            search={"dropout": FloatRange(kind="uniform", low=0.0, high=0.9)},
            algorithm="random",
            scheduler="fifo",
            trials=20,
        )
        started = SweepStarted(
            name="s",
            space={},
            objectives=objectives,
            hyperparameters=("dropout",),
            tasks=("sst", "quora", "sts"),
            num_trials=20,
            seed=0,
            **SESSION,
        )
        self.study = Study(started, space=space, searcher=lambda space: self.searcher)

    def start(self) -> str:
        return self.study.ask().trial_id

    def probe(self, trial_id: str, **projection) -> None:
        self.study.add(ProbeFinished(trial_id=trial_id, steps=9, metrics={}, projection=projection))

    def epoch(self, trial_id: str, number: int, score: float | None, seconds: float) -> None:
        """An epoch after which the whole run is projected to take so many seconds."""
        scores = dict.fromkeys(("sst", "quora", "sts", "dev_score"), score)
        metrics = {"epoch": number, **scores, "train_seconds": seconds * number / self.epochs}
        self.study.add(EpochFinished(trial_id=trial_id, metrics=metrics))

    def stop(self, trial_id: str, kind: str) -> None:
        self.study.add(TrialStopped(trial_id=trial_id, reason="x", kind=kind))

    @property
    def told(self) -> list[tuple]:
        return self.searcher.told

    @property
    def ends(self) -> list[tuple]:
        return [told for told in self.told if told[1] in ("end", "stopped")]


def test_a_full_run_is_told_by_epoch_and_then_by_its_result():
    run = Run()
    trial_id = run.start()
    for number, score, seconds in ((1, 0.5, 20.0), (2, 0.75, 22.0), (3, 0.25, 24.0)):
        run.epoch(trial_id, number, score, seconds)
    run.study.add(TrialFinished(trial_id=trial_id))
    # Of the scores the best so far, of the costs what the whole run would take.
    assert run.told == [
        (0, 1, [-0.5, 20.0], 0.0),
        (0, 2, [-0.75, 22.0], 0.0),
        (0, 3, [-0.75, 24.0], 0.0),
        (0, "end", [-0.75, 24.0], 0.0),
    ]


def test_results_have_their_violation_and_all_without_a_value_failed():
    run = Run(epochs=1)
    for score, seconds in ((0.5, 40.0), (0.75, 75.0), (None, 30.0)):
        trial_id = run.start()
        run.epoch(trial_id, 1, score, seconds)
        run.study.add(TrialFinished(trial_id=trial_id))
    run.epoch(run.start(), 1, 0.75, 30.0)
    run.study.add(TrialFailed(trial_id="t003", reason="no"))
    assert run.ends == [
        (0, "end", [-0.5, 40.0], 0.0),
        (1, "end", [-0.75, 75.0], 0.5),
        (2, "end", None, 0.0),
        (3, "end", None, 0.0),
    ]


def test_what_a_stopped_trial_reached_is_told_as_progress_and_never_as_a_result():
    run = Run()
    trial_id = run.start()
    run.epoch(trial_id, 1, 0.5, 30.0)
    run.stop(trial_id, "rung")
    assert run.told == [(0, 1, [-0.5, 30.0], 0.0), (0, "stopped")]


def test_one_that_was_stopped_for_breaking_a_constraint_is_infeasible():
    run = Run()
    trial_id = run.start()
    run.epoch(trial_id, 1, 0.5, 75.0)
    run.stop(trial_id, "constraint")
    assert run.told == [(0, 1, [-0.5, 75.0], 0.5), (0, "end", None, 0.5)]


@pytest.mark.parametrize(("seconds", "told"), [(75.0, (0, "end", None, 0.5)), (52.0, (0, "stopped"))])
def test_one_that_was_stopped_at_its_probe_is_infeasible_if_its_costs_are_for_certain(seconds, told):
    # Within the margin of a projection, what ended it was that others are cheaper.
    run = Run()
    trial_id = run.start()
    run.probe(trial_id, train_seconds=seconds)
    run.stop(trial_id, "probe")
    assert run.told == [told]


@pytest.mark.parametrize(
    ("seconds", "kind", "told"),
    [
        (40.0, "rung", (0, "stopped")),  # It may still have reached the score that it lacked.
        (75.0, "constraint", (0, "end", None, 0.5)),  # Of one that costs too much only the cost counts.
    ],
)
def test_a_score_below_its_constraint_makes_no_stopped_trial_infeasible(seconds, kind, told):
    run = Run(WITH_BOUND)
    trial_id = run.start()
    run.epoch(trial_id, 1, 0.4, seconds)
    run.stop(trial_id, kind)
    assert run.ends == [told]


def test_out_of_memory_is_infeasible_by_an_unknown_amount():
    run = Run()
    trial_id = run.start()
    run.epoch(trial_id, 1, 0.5, 30.0)
    run.stop(trial_id, "memory")
    assert run.told[-1] == (0, "end", None, math.inf)


@pytest.mark.parametrize("end", ["sweep", "died"])
def test_nothing_is_told_of_an_interruption_and_the_second_attempt_ends_the_same_suggestion(end):
    run = Run(epochs=1)
    trial_id = run.start()
    if end == "sweep":
        run.stop(trial_id, "sweep")
    else:
        run.study.add(TrialFailed(trial_id=trial_id, reason="x", kind="died"))
    assert run.told == []
    run.study.add(SweepResumed(num_trials=20, **SESSION))
    assert run.start() == trial_id
    run.epoch(trial_id, 1, 0.5, 30.0)
    run.study.add(TrialFinished(trial_id=trial_id))
    assert run.told == [(0, 1, [-0.5, 30.0], 0.0), (0, "end", [-0.5, 30.0], 0.0)]


@pytest.mark.parametrize("algorithm", sorted(SEARCHERS))
@pytest.mark.parametrize("missing", [None, math.nan])
def test_every_searcher_takes_trials_without_a_value(algorithm, missing):
    objectives = {**OBJECTIVES, "train_seconds": Objective(direction="minimize", reference=100.0)}
    search = {"batch_size": Choice(values=(8, 16, 32, 64)), "epochs": Choice(values=(1, 2, 3, 4))}
    trials = None if algorithm == "grid" else 12
    space = SearchSpace(name="s", objectives=objectives, search=search, algorithm=algorithm, trials=trials)
    searcher = SEARCHERS[algorithm](space)
    feedback = Feedback(searcher, space, objectives)
    for number in range(12):
        asked = searcher.ask()
        if asked is None:
            break
        key, values = asked
        score = 0.1 * (number % 7) if number % 3 == 0 else missing
        config = space.trial_config(values).model_dump(mode="json")
        epochs = [{"epoch": 1, "dev_score": score, "train_seconds": 10.0 + number}]
        trial = Trial(trial_id=f"t{number}", hyperparameters=values, config=config, started=0.0, epochs=epochs)
        feedback.epoch(key, trial, 0)
        trial.status, trial.stop_kind = ("stopped", "rung") if number % 4 == 3 else ("finished", None)
        feedback.end(key, trial)
    study = getattr(searcher, "_study", None)
    if study is not None:
        told = [value for trial in study.get_trials() for value in trial.values or ()]
        assert told and np.isfinite(told).all()
