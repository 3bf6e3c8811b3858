"""The rules by name: each decides what the part it is made of decides."""

import numpy as np
import pytest
from mtbert_ray.simulation.rules import rules_of

from mtbert_ray.metrics import METRICS, Objective
from mtbert_ray.pareto.objectives import to_losses
from mtbert_ray.simulation.clock import Report
from mtbert_ray.simulation.pruners import ASHA, EPSILON_NET, Costs
from mtbert_ray.study.pruning.rungs import HalvingConfig, Rungs

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "peak_rss_gib": Objective(direction="minimize", reference=8.0, constraint=4.0),
}
COSTS = Costs(objectives=OBJECTIVES, metrics=METRICS, margin=0.1)
RULES = rules_of(OBJECTIVES, HalvingConfig(grace_period=1))
OF_A_SWEEP = rules_of(OBJECTIVES, HalvingConfig(grace_period=1), COSTS)


def report(trial: str, epoch: int, losses, *, violation=0.0, metrics=None) -> Report:
    as_array = None if losses is None else np.array(losses)
    return Report(trial=trial, epoch=epoch, losses=as_array, violation=violation, metrics=metrics)


def results() -> list[Report]:
    points = np.random.default_rng(0).random((40, 2))
    return [report(f"t{number}", 1, point) for number, point in enumerate(points)]


def test_fifo_is_no_rule():
    assert RULES["fifo"].start(seed=0, max_epochs=9) is None
    assert RULES["fifo"].levels(9) == ()


@pytest.mark.parametrize(
    ("name", "halving", "shown"),
    [
        ("pareto", HalvingConfig(grace_period=1), slice(None)),
        ("epsilon_net", EPSILON_NET, slice(None)),
        ("asha:dev_score", ASHA, slice(0, 1)),
        ("asha:peak_rss_gib", ASHA, slice(1, 2)),
    ],
)
def test_each_decides_as_its_rungs(name, halving, shown):
    rule, rungs = RULES[name].start(seed=0, max_epochs=9), Rungs(halving, 9)
    stops = [rule.stops(each) for each in results()]
    assert stops == [rungs.report(each.trial, 1, each.losses[shown]).stop for each in results()]
    assert any(stops) and not all(stops)
    assert RULES[name].levels(9) == (1, 3)


def test_the_four_rules_differ():
    started = {name: rule.start(seed=0, max_epochs=9) for name, rule in RULES.items() if name != "fifo"}
    stops = {name: tuple(rule.stops(each) for each in results()) for name, rule in started.items()}
    assert len(set(stops.values())) == 4


def test_the_seed_draws_the_share_that_runs_to_the_end():
    rule = rules_of(OBJECTIVES, HalvingConfig(grace_period=1, share_to_end=0.5))["pareto"]

    def stops(seed: int) -> list[bool]:
        started = rule.start(seed=seed, max_epochs=9)
        return [started.stops(each) for each in results()]

    assert stops(0) == stops(0) != stops(1)


def of_a_sweep(trial: str, epoch: int, dev_score: float, peak_rss_gib: float) -> Report:
    metrics = {"dev_score": dev_score, "peak_rss_gib": peak_rss_gib}
    return report(trial, epoch, to_losses(metrics, OBJECTIVES), metrics=metrics)


class TestAsInASweep:
    def start(self, name: str = "pareto"):
        return OF_A_SWEEP[name].start(seed=0, max_epochs=9)

    def test_between_rungs_a_cost_beyond_its_constraint_ends_a_trial(self):
        rule = self.start()
        assert rule.stops(of_a_sweep("t0", 2, 0.9, 4.1))
        assert rule.excess("t0") > 0
        assert not rule.stops(of_a_sweep("t1", 2, 0.1, 3.9))

    def test_a_trial_that_cannot_reach_the_front_ends(self):
        rule = self.start()
        rule.finish(of_a_sweep("t0", 9, 1.0, 1.0))
        assert rule.stops(of_a_sweep("t1", 2, 0.5, 2.0))
        assert rule.excess("t1") == 0.0

    def test_at_rungs_it_ranks(self):
        rule, rungs = self.start(), Rungs(HalvingConfig(grace_period=1), 9)
        points = np.random.default_rng(1).random((30, 2)).tolist()
        reports = [of_a_sweep(f"t{number}", 1, *point) for number, point in enumerate(points)]
        stops = [rule.stops(each) for each in reports]
        assert stops == [rungs.report(each.trial, 1, each.losses).stop for each in reports]
        assert any(stops)

    def test_other_rules_judge_ranks_only(self):
        for name in ("epsilon_net", "asha:dev_score"):
            rule = self.start(name)
            rule.finish(of_a_sweep("t0", 9, 1.0, 1.0))
            assert not rule.stops(of_a_sweep("t1", 2, 0.5, 2.0))


def test_short_trials_that_ended_are_compared_with():
    rule = RULES["asha:dev_score"].start(seed=0, max_epochs=9)
    rule.finish(report("short", 3, [-0.9, 1.0]))
    assert rule.stops(report("long", 3, [-0.1, 1.0]))
