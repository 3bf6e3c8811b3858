"""The share of time in which the slots of a sweep had a trial, by hand."""

import importlib
from pathlib import Path

import pytest

from mtbert_ray.events import SweepStarted
from mtbert_ray.trial import Sweep, Trial

STARTED = SweepStarted(
    name="s",
    space={},
    objectives={},
    hyperparameters=(),
    tasks=("sst",),
    num_trials=None,
    seed=0,
    versions={},
    git_revision=None,
    hardware={},
)


@pytest.fixture
def busy_share(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("overhead").busy_share


def sweep(*works: tuple[float, float]) -> Sweep:
    """Trials that waited from the beginning and trained and scored in these times."""
    trials = []
    for number, (begin, end) in enumerate(works):
        costs = {"epoch": 1, "train_seconds": 0.75 * (end - begin), "eval_seconds": 0.25 * (end - begin)}
        config = {"tasks": [{"name": "sst"}], "epochs": 1}
        trial = Trial(trial_id=f"t{number}", hyperparameters={}, config=config, started=0.0)
        trial.status, trial.ended, trial.epochs = "finished", end, [costs]
        trials.append(trial)
    return Sweep(started=STARTED, trials=trials)


def test_trials_one_after_another_leave_half_of_two_slots_idle(busy_share):
    one_by_one = sweep((10, 14), (14, 18), (18, 22))
    assert busy_share(one_by_one, 1) == pytest.approx(1)
    assert busy_share(one_by_one, 2) == pytest.approx(0.5)
    assert busy_share(one_by_one, 2, once_full=True) is None


def test_what_comes_before_all_slots_and_after_the_last_start_does_not_count_for_full_ones(busy_share):
    # The second slot is there from 20 on; 1 s is lost in it from 24 to 25; the last trial begins at 28.
    two = sweep((10, 20), (20, 28), (20, 24), (25, 31), (28, 32))
    assert busy_share(two, 2) == pytest.approx((10 + 8 + 4 + 6 + 4) / (2 * 22))
    assert busy_share(two, 2, once_full=True) == pytest.approx((8 + 4 + 3) / (2 * 8))
