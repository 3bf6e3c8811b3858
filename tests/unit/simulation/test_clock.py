"""The simulated clock, on trials small enough to follow by hand."""

from dataclasses import dataclass, field
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtbert_ray.config import TrialConfig
from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.simulation.clock import Clock, Curve, simulate
from mtbert_ray.simulation.recorded_search import simulated_start
from mtbert_ray.study.pruning.decision import Decision
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.study import Study

NAN = float("nan")
OBJECTIVES = {
    "peak_rss_gib": Objective(direction="minimize", reference=4.0),
    "peak_memory_gib": Objective(direction="minimize", reference=4.0),
}


def curve(seconds: float, losses=(3.0, 2.0, 1.0), *, feasible: bool = True) -> Curve:
    """A trial of as many epochs as it has losses, each as long."""
    metrics = [dict.fromkeys(OBJECTIVES, loss) | {"epoch": epoch} for epoch, loss in enumerate(losses, start=1)]
    return Curve(
        metrics=metrics,
        seconds=seconds * np.arange(1, len(losses) + 1),
        losses=np.array([losses[-1], losses[-1]]),
        is_feasible=feasible,
    )


@dataclass
class StopsAt:
    """Stops trials at an epoch, and keeps what was reported."""

    ends: dict = field(default_factory=dict)
    reported: list = field(default_factory=list)
    ended: list = field(default_factory=list)
    decisions: dict = field(default_factory=dict)

    def prune(self, trial, resource, metrics):
        self.reported.append((trial, resource))
        if self.ends.get(trial) != resource:
            return None
        self.decisions[trial] = Decision(trial=trial, reason="no_values", resource=resource)
        return self.decisions[trial]

    def end(self, trial, resource, metrics, *, finished):
        self.ended.append((trial, resource, finished))

    def forget(self, trial):
        raise AssertionError("no simulated trial fails")


class Searcher:
    """Suggests numbers, and keeps what it is told."""

    def __init__(self, num_trials: int) -> None:
        self.keys = iter(range(num_trials))
        self.told: list = []
        self.told_when_asked: list = []

    def ask(self):
        self.told_when_asked.append(len(self.told))
        key = next(self.keys, None)
        return None if key is None else (key, {"number": key})

    def tell(self, key, losses, violation=0.0):
        self.told.append(("end", key, None if losses is None else losses.tolist()))

    def tell_intermediate(self, key, resource, losses, violation=0.0):
        self.told.append(("epoch", key, resource))

    def tell_stopped(self, key):
        self.told.append(("stopped", key))


def run(*curves: Curve, searcher=None, pruner=None, workers=1, mean_seconds=1.0, **options):
    """Trials t000, t001, ... with these curves."""
    clock, numbers = Clock(), count()
    searcher = searcher or Searcher(len(curves))

    def config_of(values):
        epochs = len(curves[values["number"]].metrics)
        return TrialConfig(epochs=epochs, tasks=("sst",)).model_dump(mode="json")

    study = Study(
        simulated_start("s", OBJECTIVES, num_trials=None, seed=0),
        space=SearchSpace(name="s", objectives=OBJECTIVES),
        searcher=lambda space: searcher,
        pruner=lambda space, objectives: pruner,
        config_of=config_of,
        clock=clock,
    )
    return simulate(
        study, lambda started: curves[next(numbers)], clock, workers=workers, mean_seconds=mean_seconds, **options
    )


class TestOneWorker:
    def test_trials_follow_one_another(self):
        outcome = run(curve(10), curve(20), mean_seconds=45.0)
        assert [(each.epochs, each.seconds) for each in outcome.trials] == [(3, 30.0), (3, 60.0)]
        assert [each.spent for each in outcome.trials] == pytest.approx([30 / 45, 90 / 45])
        assert outcome.wall_seconds == 90.0

    def test_a_stopped_trial_makes_room_and_counts_no_more(self):
        pruner = StopsAt({"t000": 2})
        outcome = run(curve(10), curve(20), pruner=pruner, mean_seconds=40.0)
        first, second = outcome.trials
        assert (first.stopped, first.epochs, first.seconds, first.spent) == (True, 2, 20.0, 0.5)
        assert (second.stopped, second.epochs, second.spent) == (False, 3, 2.0)
        assert (first.counts, second.counts) == (False, True)
        assert pruner.ended == [("t000", 2, False), ("t001", 3, True)]
        # Nothing is decided at the last epoch: the trial ends there anyway.
        assert pruner.reported == [("t000", 1), ("t000", 2), ("t001", 1), ("t001", 2)]

    def test_the_searcher_is_told_all_of_it(self):
        searcher = Searcher(2)
        run(curve(10), curve(10, (4.0, NAN)), searcher=searcher, pruner=StopsAt({"t000": 2}))
        assert searcher.told == [
            ("epoch", 0, 1),
            ("epoch", 0, 2),
            ("stopped", 0),
            ("epoch", 1, 1),
            ("epoch", 1, 2),  # As in a sweep: of other trials it may not be the last.
            ("end", 1, None),
        ]

    def test_the_next_trial_is_asked_for_when_the_searcher_knows_of_the_last_one(self):
        searcher = Searcher(3)
        run(*[curve(1.0, (2.0, 1.0))] * 3, searcher=searcher)
        assert searcher.told_when_asked[:3] == [0, 3, 6]

    def test_what_would_end_beyond_the_budget_is_left_out(self):
        at_two = run(*[curve(10)] * 5, mean_seconds=30.0, budget=2.0)
        assert [each.spent for each in at_two.trials] == [1.0, 2.0]


class TestSeveralWorkers:
    def test_the_free_worker_takes_the_next_trial(self):
        outcome = run(curve(10), curve(20), curve(10), workers=2, mean_seconds=40.0)
        assert [each.spent for each in outcome.trials] == [1.5, 3.0, 3.0]
        assert [each.seconds for each in outcome.trials] == [30.0, 60.0, 30.0]
        assert outcome.wall_seconds == 60.0

    def test_a_worker_without_work_spends_nothing(self):
        outcome = run(curve(10), curve(20), workers=2, mean_seconds=45.0)
        assert [each.spent for each in outcome.trials] == pytest.approx([60 / 45, 2.0])
        assert outcome.wall_seconds == 60.0

    def test_more_workers_than_trials(self):
        outcome = run(curve(10), workers=64, mean_seconds=30.0)
        assert (outcome.trials[0].spent, outcome.wall_seconds) == (1.0, 30.0)

    def test_the_pruner_hears_in_the_order_of_time(self):
        pruner = StopsAt()
        run(curve(10), curve(4), pruner=pruner, workers=2)
        assert pruner.reported == [("t001", 1), ("t001", 2), ("t000", 1), ("t000", 2)]

    def test_at_the_same_time_the_first_to_start_comes_first(self):
        pruner = StopsAt()
        run(curve(5), curve(5), pruner=pruner, workers=2)
        assert [trial for trial, _ in pruner.reported] == ["t000", "t001", "t000", "t001"]


class TestVolumes:
    @staticmethod
    def volume(losses_NM) -> float:
        return hypervolume(losses_NM, np.array([4.0, 4.0])) if len(losses_NM) else 0.0

    def test_by_budget(self):
        outcome = run(curve(10, (3.0, 2.0)), curve(10, (3.0, 1.0)), mean_seconds=20.0)
        assert outcome.volumes(self.volume, [0.5, 1.0, 1.9, 2.0]) == [0.0, 4.0, 4.0, 9.0]

    def test_infeasible_and_stopped_trials_count_nothing(self):
        infeasible = curve(1, (0.0,), feasible=False)
        outcome = run(curve(1, (0.0, 0.0)), infeasible, curve(1, (3.0,)), pruner=StopsAt({"t000": 1}))
        assert outcome.volumes(self.volume, [99.0]) == [1.0]

    def test_without_a_full_run_there_is_none(self):
        assert run(curve(1), budget=1.0).volumes(self.volume, [1.0]) == [0.0]


lengths = st.lists(st.floats(0.1, 100.0), min_size=1, max_size=12)


@given(lengths, st.integers(1, 5))
def test_nothing_is_lost_or_spent_twice(seconds: list, workers: int):
    outcome = run(*(curve(each) for each in seconds), workers=workers)
    total = sum(3 * each for each in seconds)
    assert sorted(each.seconds for each in outcome.trials) == pytest.approx(sorted(3 * each for each in seconds))
    assert outcome.trials[-1].spent == pytest.approx(total)
    spent = [each.spent for each in outcome.trials]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(spent))
    longest = max(3 * each for each in seconds)
    # Graham's bound for a list of jobs that is worked off in order.
    assert max(total / workers, longest) - 1e-6 <= outcome.wall_seconds <= total / workers + longest
