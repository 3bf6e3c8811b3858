"""Stops that costs alone decide, on figures that can be checked by hand."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtbert_ray.metrics import METRICS, Metric, Objective
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.pareto.objectives import reference_losses, to_losses
from mtbert_ray.study.pruning.cost_pruner import CostPruner
from mtbert_ray.study.pruning.decision import Decision

SCORE = {"dev_score": Objective(direction="maximize", reference=0.0)}
MEMORY = {"peak_memory_gib": Objective(direction="minimize", reference=16.0, constraint=8.0)}
SECONDS = {"train_seconds": Objective(direction="minimize", reference=4000.0, constraint=3600.0)}


def probed(objectives: dict, margin: float = 0.1, **metrics: float | None) -> Decision | None:
    return CostPruner(objectives, margin=margin).prune("t9", 0, metrics, has_scores=False)


class TestConstraints:
    def test_a_peak_beyond_its_bound_ends_the_trial_at_its_probe(self):
        decision = probed(SCORE | MEMORY, peak_memory_gib=11.23)
        assert "11.2 GiB" in decision.in_words() and "limit 8" in decision.in_words()
        assert (decision.stop, decision.kind, decision.reason) == (True, "probe", "constraint")
        assert decision.violation == pytest.approx(3.23 / 8)

    def test_exactly_at_the_bound_is_met(self):
        assert probed(SCORE | MEMORY, peak_memory_gib=8.0) is None

    def test_a_peak_needs_no_margin(self):
        assert probed(SCORE | MEMORY, peak_memory_gib=8.001).in_words().endswith("need 8.001 GiB, limit 8")

    @pytest.mark.parametrize(("seconds", "stops"), [(3600, False), (3999, False), (4001, True)])
    def test_a_projected_total_must_be_beyond_by_the_margin(self, seconds: float, stops: bool):
        objectives = SCORE | {"train_seconds": Objective(direction="minimize", reference=9000.0, constraint=3600.0)}
        assert (probed(objectives, train_seconds=seconds) is not None) == stops
        assert (probed(objectives, margin=0, train_seconds=seconds) is not None) == (seconds > 3600)

    def test_later_it_is_a_constraint_and_not_the_probe(self):
        cost_pruner = CostPruner(SCORE | SECONDS)
        decision = cost_pruner.prune("t9", 2, {"dev_score": 0.9, "train_seconds": 7200}, has_scores=True)
        assert "would need 7200 s" in decision.in_words()
        assert decision.kind == "constraint"
        grown = CostPruner(SCORE | MEMORY).prune("t9", 2, {"dev_score": 0.9, "peak_memory_gib": 9.0}, has_scores=True)
        assert "needs 9 GiB" in grown.in_words()

    def test_the_metric_is_named_where_the_unit_does_not_tell_it(self):
        rss = {"peak_rss_gib": Objective(direction="minimize", reference=16.0, constraint=4.0)}
        decision = probed(SCORE | MEMORY | rss, peak_memory_gib=9.0, peak_rss_gib=5.0)
        assert "9 GiB of peak_memory_gib" in decision.cause and "5 GiB of peak_rss_gib" in decision.cause
        assert decision.violation == pytest.approx(1 / 8 + 1 / 4)
        parameters = {"trainable_parameters": Objective(direction="minimize", reference=1e6, constraint=1e6)}
        decision = probed(SCORE | parameters, trainable_parameters=109_482_240)
        assert "trainable_parameters would be 109482240, limit 1000000" in decision.cause

    def test_a_score_may_still_change(self):
        bounded = {"dev_score": Objective(direction="maximize", reference=0.0, constraint=0.5)}
        cost_pruner = CostPruner(bounded | MEMORY)
        assert cost_pruner.prune("t9", 1, {"dev_score": 0.1, "peak_memory_gib": 1.0}, has_scores=True) is None

    @pytest.mark.parametrize("value", [None, math.nan, math.inf])
    def test_what_was_not_measured_stops_nothing(self, value: float | None):
        assert probed(SCORE | MEMORY, peak_memory_gib=value) is None


class TestMetricsOfWhichNothingIsKnown:
    OBJECTIVES = {  # noqa: RUF012
        "accuracy": Objective(direction="maximize", reference=-math.inf),
        "seconds": Objective(direction="minimize", reference=math.inf),
    }
    BOUNDS = {"memory": Objective(direction="minimize", reference=math.inf, constraint=8.0)}  # noqa: RUF012

    def test_before_the_first_score_it_is_a_cost_with_a_margin(self):
        cost_pruner = CostPruner(self.OBJECTIVES, bounds=self.BOUNDS)
        assert cost_pruner.prune("t", 1, {"memory": 8.5}, has_scores=False) is None
        decision = cost_pruner.prune("t", 1, {"memory": 11.2}, has_scores=False)
        assert decision.at_probe and "memory would be 11.2" in decision.cause

    def test_with_the_scores_it_may_change_as_they_do(self):
        cost_pruner = CostPruner(self.OBJECTIVES, bounds=self.BOUNDS)
        everything = {"memory": 11.2, "accuracy": 0.5, "seconds": 3.0}
        assert cost_pruner.prune("t", 1, everything, has_scores=True) is None

    def test_without_a_reference_nothing_is_beyond_it(self):
        assert CostPruner(self.OBJECTIVES).prune("t", 1, {"seconds": 1e300}, has_scores=False) is None


class TestReference:
    def test_a_cost_that_no_score_can_make_count(self):
        seconds = {"train_seconds": Objective(direction="minimize", reference=3600.0)}
        decision = probed(SCORE | seconds, train_seconds=7200)
        assert "7200 s" in decision.cause and "reference 3600" in decision.cause
        assert (decision.violation, decision.kind) == (1.0, "probe")
        assert probed(SCORE | seconds, train_seconds=3900) is None


class TestDominatedOnCost:
    OBJECTIVES = SCORE | {"peak_memory_gib": Objective(direction="minimize", reference=16.0)}

    def finished(self, objectives: dict | None = None, **options) -> CostPruner:
        cost_pruner = CostPruner(objectives or self.OBJECTIVES, **options)
        cost_pruner.finish("t1", {"dev_score": 0.9, "peak_memory_gib": 4.0, "train_seconds": 10.0})
        return cost_pruner

    def attainable(self, value: float) -> dict:
        return self.OBJECTIVES | {"dev_score": Objective(direction="maximize", reference=0.0, attainable=value)}

    def test_with_a_perfect_score_it_could_still_be_on_the_front(self):
        assert self.finished().prune("t9", 0, {"peak_memory_gib": 5.0}, has_scores=False) is None

    def test_with_what_is_attainable_it_could_not(self):
        decision = self.finished(self.attainable(0.9)).prune("t9", 0, {"peak_memory_gib": 5.0}, has_scores=False)
        assert "dev_score came to 0.9" in decision.cause
        assert (decision.reason, decision.kind, decision.dominated_by) == ("dominated_on_cost", "probe", ("t1",))
        assert decision.violation == 0

    def test_cheaper_or_as_cheap_it_could(self):
        for gib in (4.0, 3.0):
            cost_pruner = self.finished(self.attainable(0.9))
            assert cost_pruner.prune("t9", 0, {"peak_memory_gib": gib}, has_scores=False) is None

    def test_one_that_is_better_already_than_attainable_continues(self):
        cost_pruner = self.finished(self.attainable(0.85))
        costs = {"peak_memory_gib": 5.0}
        assert cost_pruner.prune("t9", 1, {"dev_score": 0.95, **costs}, has_scores=True) is None
        assert cost_pruner.prune("t9", 1, {"dev_score": 0.5, **costs}, has_scores=True).kind == "rung"

    def test_totals_are_taken_with_the_margin(self):
        seconds = {"train_seconds": Objective(direction="minimize", reference=900.0)}
        cost_pruner = self.finished(self.attainable(0.9) | seconds)
        assert cost_pruner.prune("t9", 0, {"peak_memory_gib": 5.0, "train_seconds": 11.2}, has_scores=False)
        assert cost_pruner.prune("t9", 0, {"peak_memory_gib": 5.0, "train_seconds": 11.0}, has_scores=False) is None

    def test_an_objective_without_a_bound_rules_out_nothing(self):
        loss = {"train_loss": Objective(direction="minimize", reference=9.0)}
        cost_pruner = CostPruner(self.OBJECTIVES | loss)
        cost_pruner.finish("t1", {"dev_score": 1.0, "peak_memory_gib": 1.0, "train_loss": 0.0})
        assert cost_pruner.prune("t9", 0, {"peak_memory_gib": 9.0}, has_scores=False) is None

    def test_the_bound_of_a_tasks_score_comes_with_what_is_known_of_metrics(self):
        objectives = {
            "sst": Objective(direction="maximize", reference=0.0),
            "peak_memory_gib": MEMORY["peak_memory_gib"],
        }
        score = Metric(unit="", direction="maximize", meaning="accuracy", best=1.0)
        cost_pruner = CostPruner(objectives, metrics=METRICS | {"sst": score})
        cost_pruner.finish("t1", {"sst": 1.0, "peak_memory_gib": 1.0})
        assert cost_pruner.prune("t9", 0, {"peak_memory_gib": 2.0}, has_scores=False).reason == "dominated_on_cost"

    def test_infeasible_or_unmeasured_results_and_its_own_rule_out_nothing(self):
        objectives = self.attainable(0.9) | MEMORY
        cost_pruner = CostPruner(objectives)
        cost_pruner.finish("t1", {"dev_score": 0.99, "peak_memory_gib": 9.0})
        cost_pruner.finish("t2", {"dev_score": math.nan, "peak_memory_gib": 1.0})
        cost_pruner.finish("t9", {"dev_score": 0.99, "peak_memory_gib": 1.0})
        assert cost_pruner.prune("t9", 0, {"peak_memory_gib": 7.0}, has_scores=False) is None
        cost_pruner.finish("t3", {"dev_score": 0.99, "peak_memory_gib": 1.0})
        cost_pruner.forget("t9")
        assert cost_pruner.prune("t9", 0, {"peak_memory_gib": 7.0}, has_scores=False).dominated_by == ("t3",)


values = st.integers(0, 20).map(lambda number: number / 20)
trials = st.lists(st.tuples(values, values), max_size=8)


@given(trials, values, values, values)
def test_no_trial_is_ended_that_could_have_counted(finished: list, cost: float, score: float, attainable: float):
    objectives = {
        "dev_score": Objective(direction="maximize", reference=-0.01, attainable=attainable),
        "peak_memory_gib": Objective(direction="minimize", reference=0.8, constraint=0.7),
    }
    cost_pruner = CostPruner(objectives)
    for number, (other_score, other_cost) in enumerate(finished):
        cost_pruner.finish(f"t{number}", {"dev_score": other_score, "peak_memory_gib": other_cost})
    if cost_pruner.prune("new", 0, {"peak_memory_gib": cost}, has_scores=False) is None:
        return
    reached = {"dev_score": min(score, attainable), "peak_memory_gib": cost}
    feasible = [
        to_losses({"dev_score": other_score, "peak_memory_gib": other_cost}, objectives)
        for other_score, other_cost in finished
        if other_cost <= 0.7
    ]
    reference = reference_losses(objectives)
    if cost <= 0.7:
        with_it = hypervolume([*feasible, to_losses(reached, objectives)], reference)
        assert with_it == pytest.approx(hypervolume(feasible, reference), abs=1e-12)


@given(st.permutations(range(6)))
def test_in_which_order_the_others_finished_makes_no_difference_to_whether_a_trial_ends(order: list):
    results = [(0.5, 5.0), (0.9, 6.0), (0.9, 4.0), (0.2, 1.0), (0.8, 3.0), (0.9, 9.0)]
    cost_pruner = CostPruner(
        {
            "dev_score": Objective(direction="maximize", reference=0.0, attainable=0.9),
            "peak_memory_gib": Objective(direction="minimize", reference=16.0),
        }
    )
    for number in order:
        score, gib = results[number]
        cost_pruner.finish(f"t{number}", {"dev_score": score, "peak_memory_gib": gib})
    decision = cost_pruner.prune("new", 0, {"peak_memory_gib": 7.0}, has_scores=False)
    assert set(decision.dominated_by) == {"t1", "t2"}


def test_it_is_restored_from_json():
    one, other = CostPruner(SCORE | MEMORY), CostPruner(SCORE | MEMORY)
    one.finish("t1", {"dev_score": 1.0, "peak_memory_gib": 1.0})
    other.restore_json(json.loads(json.dumps(one.to_json())))
    assert other.prune("t9", 0, {"peak_memory_gib": 2.0}, has_scores=False) == one.prune(
        "t9", 0, {"peak_memory_gib": 2.0}, has_scores=False
    )
