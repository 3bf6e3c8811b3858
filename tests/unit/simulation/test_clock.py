"""The simulated clock, on trials small enough to follow by hand."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.simulation.clock import Candidate, Curve, Report, simulate

NAN = float("nan")


def trial(name: str, seconds: float, losses=(3.0, 2.0, 1.0), *, key: int = 0, violation: float = 0.0) -> Candidate:
    """A trial of as many epochs as it has losses, each as long."""
    length = len(losses)
    curve = Curve(
        epochs=tuple(range(1, length + 1)),
        losses=np.array([[loss, loss] for loss in losses]),
        violations=np.full(length, violation),
        seconds=seconds * np.arange(1, length + 1),
    )
    return Candidate(key=key, name=name, curve=curve)


def run(*candidates: Candidate, searcher=None, rule=None, workers=1, mean_seconds=1.0, **options):
    return simulate(iter(candidates), searcher, rule, workers=workers, mean_seconds=mean_seconds, **options)


@dataclass
class StopsAt:
    """Stops the named trials at an epoch, and remembers what it heard."""

    ends: dict = field(default_factory=dict)
    excesses: dict = field(default_factory=dict)
    heard: list = field(default_factory=list)
    finished: list = field(default_factory=list)

    def stops(self, report: Report) -> bool:
        self.heard.append((report.trial, report.epoch, report.losses))
        return self.ends.get(report.trial) == report.epoch

    def excess(self, trial: str) -> float:
        return self.excesses.get(trial, 0.0)

    def finish(self, report: Report) -> None:
        self.finished.append((report.trial, report.epoch))


@dataclass
class Told:
    """Remembers what a searcher is told."""

    events: list = field(default_factory=list)

    def tell(self, key, losses, violation=0.0):
        self.events.append(("end", key, None if losses is None else losses.tolist(), violation))

    def tell_intermediate(self, key, resource, losses, violation=0.0):
        self.events.append(("epoch", key, resource))

    def tell_stopped(self, key):
        self.events.append(("stopped", key))


class TestOneWorker:
    def test_trials_follow_one_another(self):
        outcome = run(trial("a", 10), trial("b", 20), mean_seconds=45.0)
        assert [(each.name, each.epochs, each.seconds) for each in outcome.trials] == [("a", 3, 30.0), ("b", 3, 60.0)]
        assert [each.spent for each in outcome.trials] == pytest.approx([30 / 45, 90 / 45])
        assert (outcome.num_started, outcome.wall_seconds) == (2, 90.0)

    def test_a_stopped_trial_makes_room_and_counts_no_more(self):
        rule = StopsAt({"a": 2})
        outcome = run(trial("a", 10), trial("b", 20), rule=rule, mean_seconds=40.0)
        first, second = outcome.trials
        assert (first.stopped, first.epochs, first.seconds, first.spent) == (True, 2, 20.0, 0.5)
        assert (second.stopped, second.epochs, second.spent) == (False, 3, 2.0)
        assert (first.counts, second.counts) == (False, True)
        assert rule.finished == [("b", 3)]
        # The last epoch is not judged: the trial ends there anyway.
        assert [heard[:2] for heard in rule.heard] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]

    def test_the_searcher_hears_all_of_it(self):
        told = Told()
        run(trial("a", 10, key=7), trial("b", 10, (4.0, NAN), key=8), searcher=told, rule=StopsAt({"a": 2}))
        assert told.events == [
            ("epoch", 7, 1),
            ("epoch", 7, 2),
            ("stopped", 7),
            ("epoch", 8, 1),
            ("epoch", 8, 2),  # As in a sweep: of other trials it may not be the last.
            ("end", 8, None, 0.0),
        ]

    def test_the_searcher_hears_how_far_costs_were_beyond_a_bound_and_not_what_scores_lack(self):
        told = Told()
        rule = StopsAt({"costly": 1, "dominated_on_cost": 1}, {"costly": 0.25})
        candidates = [
            trial(name, 10, key=key, violation=0.5) for key, name in enumerate(("costly", "dominated_on_cost"))
        ]
        run(*candidates, searcher=told, rule=rule)
        assert told.events == [("epoch", 0, 1), ("end", 0, None, 0.25), ("epoch", 1, 1), ("stopped", 1)]

    def test_the_next_trial_is_asked_for_when_the_last_one_has_been_told(self):
        told = Told()
        known = []

        def trials():
            for key in range(3):
                known.append(len(told.events))
                yield trial(str(key), 1.0, (2.0, 1.0), key=key)

        simulate(trials(), told, None, workers=1, mean_seconds=1.0)
        assert known == [0, 3, 6]

    def test_what_would_end_beyond_the_budget_is_left_out(self):
        candidates = [trial(str(number), 10) for number in range(5)]
        at_two = run(*candidates, mean_seconds=30.0, budget=2.0)
        assert [each.spent for each in at_two.trials] == [1.0, 2.0]
        assert at_two.num_started == 3

    def test_without_a_value_the_rule_sees_none(self):
        rule = StopsAt()
        run(trial("a", 1, (NAN, 1.0)), rule=rule)
        assert rule.heard == [("a", 1, None)]


class TestSeveralWorkers:
    def test_the_free_worker_takes_the_next_trial(self):
        outcome = run(trial("a", 10), trial("b", 20), trial("c", 10), workers=2, mean_seconds=40.0)
        assert [(each.name, each.spent) for each in outcome.trials] == [("a", 1.5), ("b", 3.0), ("c", 3.0)]
        assert outcome.wall_seconds == 60.0

    def test_a_worker_without_work_spends_nothing(self):
        outcome = run(trial("a", 10), trial("b", 20), workers=2, mean_seconds=45.0)
        assert [each.spent for each in outcome.trials] == pytest.approx([60 / 45, 2.0])
        assert outcome.wall_seconds == 60.0

    def test_more_workers_than_trials(self):
        outcome = run(trial("a", 10), workers=64, mean_seconds=30.0)
        assert (outcome.trials[0].spent, outcome.wall_seconds) == (1.0, 30.0)

    def test_the_rule_hears_in_the_order_of_time(self):
        rule = StopsAt()
        run(trial("slow", 10), trial("fast", 4), rule=rule, workers=2)
        assert [heard[:2] for heard in rule.heard] == [("fast", 1), ("fast", 2), ("slow", 1), ("slow", 2)]

    def test_at_the_same_time_the_first_to_start_is_heard_first(self):
        rule = StopsAt()
        run(trial("b", 5), trial("a", 5), rule=rule, workers=2)
        assert [heard[0] for heard in rule.heard] == ["b", "a", "b", "a"]


class TestVolumes:
    @staticmethod
    def volume(losses_NM) -> float:
        return hypervolume(losses_NM, np.array([4.0, 4.0]))

    def test_by_budget(self):
        outcome = run(trial("a", 10, (3.0, 2.0)), trial("b", 10, (3.0, 1.0)), mean_seconds=20.0)
        assert outcome.volumes(self.volume, [0.5, 1.0, 1.9, 2.0]) == [0.0, 4.0, 4.0, 9.0]

    def test_infeasible_and_stopped_trials_count_nothing(self):
        infeasible = trial("c", 1, (0.0,), violation=0.1)
        outcome = run(trial("a", 1, (0.0, 0.0)), infeasible, trial("b", 1, (3.0,)), rule=StopsAt({"a": 1}))
        assert outcome.volumes(self.volume, [99.0]) == [1.0]

    def test_without_a_full_run_there_is_none(self):
        assert run(trial("a", 1), budget=1.0).volumes(self.volume, [1.0]) == [0.0]


lengths = st.lists(st.floats(0.1, 100.0), min_size=1, max_size=12)


@given(lengths, st.integers(1, 5))
def test_nothing_is_lost_or_spent_twice(seconds: list, workers: int):
    candidates = [trial(str(number), each) for number, each in enumerate(seconds)]
    outcome = run(*candidates, workers=workers)
    total = sum(3 * each for each in seconds)
    assert sorted(each.name for each in outcome.trials) == sorted(each.name for each in candidates)
    assert outcome.trials[-1].spent == pytest.approx(total)
    spent = [each.spent for each in outcome.trials]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(spent))
    longest = max(3 * each for each in seconds)
    # Graham's bound for a list of jobs that is worked off in order.
    assert max(total / workers, longest) - 1e-6 <= outcome.wall_seconds <= total / workers + longest
