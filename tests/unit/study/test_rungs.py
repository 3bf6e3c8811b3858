"""The halving decision, on rungs small enough to decide by hand."""

import numpy as np
import pytest
from filled_rungs import NAN, filled

from mtbert_ray.study.pruning.rungs import HalvingConfig, Rungs, rung_levels


@pytest.mark.parametrize(
    ("grace_period", "reduction_factor", "max_resource", "levels"),
    [
        (1, 3.0, 52, (1, 3, 9, 27)),
        (1, 3.0, 27, (1, 3, 9)),
        (2, 2.0, 10, (2, 4, 8)),
        (4, 2.0, 4, ()),
        (1, 1.5, 5, (1, 2, 3)),
    ],
)
def test_rungs_are_geometric_and_end_before_the_end(
    grace_period: int, reduction_factor: float, max_resource: int, levels: tuple
):
    assert rung_levels(grace_period, reduction_factor, max_resource) == levels


@pytest.mark.parametrize(("max_resource", "first"), [(52, 3), (10, 1), (2, 1), (100, 6)])
def test_the_default_grace_is_a_seventeenth(max_resource: int, first: int):
    assert Rungs(HalvingConfig(), max_resource).levels[0] == first


class TestTwoObjectives:
    # Ranks 0, 0, 1, 2, 3 whoever comes last: the median is 1.
    POINTS = ([0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0])

    def test_worse_than_the_median_rank_stops_and_says_who_was_better(self):
        decision = filled(self.POINTS).report("new", 1, np.array([2.5, 2.5]))
        assert decision.stop
        assert (decision.reason, decision.rung, decision.priority, decision.cut) == ("behind", 1, 3.0, 1.0)
        assert decision.dominated_by == ("t0", "t1", "t2", "t3")
        assert decision.in_words() == (
            "epoch 1: dominated on both objectives by t0, t1, t2 and 1 more; priority 3, the cut is 1"
        )
        assert decision.kind == "rung"

    def test_at_the_median_goes_on(self):
        decision = filled(self.POINTS).report("new", 1, np.array([1.0, 1.0]))
        assert (decision.stop, decision.reason, decision.priority) == (False, "within_cut", 1.0)

    def test_one_good_objective_is_enough(self):
        assert not filled(self.POINTS).report("new", 1, np.array([99.0, -1.0])).stop

    def test_the_first_at_a_rung_goes_on(self):
        decision = filled([]).report("new", 1, np.array([9.0, 9.0]))
        assert (decision.stop, decision.reason, decision.rung) == (False, "few_results", 1)

    def test_min_results(self):
        rungs = filled(self.POINTS[:3], min_results=4)
        assert not rungs.report("fourth", 1, np.array([9.0, 9.0])).stop
        assert rungs.report("fifth", 1, np.array([9.5, 9.5])).stop

    def test_all_alike_go_on(self):
        assert not filled([[1.0, 1.0]] * 6).report("new", 1, np.array([1.0, 1.0])).stop

    def test_only_the_same_rung_counts(self):
        rungs = filled(self.POINTS, resource=3)
        assert rungs.report("new", 1, np.array([9.0, 9.0])).reason == "few_results"
        assert rungs.report("new", 3, np.array([9.0, 9.0])).stop

    def test_crowded_points_of_a_front_stop_only_where_that_is_asked_for(self):
        line = [[0.1 * step, 1 - 0.1 * step] for step in range(11)]
        near = np.array([0.501, 0.498])
        options = {"order": "epsilon_net", "keep_quantile": 0.3}
        assert filled(line, **options, spare_front=False).report("new", 1, near).reason == "behind"
        assert filled(line, **options).report("new", 1, near).reason == "on_front"


class TestWhenSomethingIsDecided:
    def test_between_rungs_and_at_the_end_nothing_is(self):
        rungs = filled([[0.0, 0.0]] * 4, grace_period=2, reduction_factor=2.0)
        for resource in (1, 9, 10):
            assert rungs.report("t0", resource, np.array([5.0, 5.0])).reason in ("between_rungs", "few_results")
        assert rungs.levels == (2, 4, 8)

    def test_a_rung_is_passed_once(self):
        rungs = filled([[0.0, 0.0]] * 4)
        assert rungs.report("t0", 1, np.array([9.0, 9.0])).reason == "between_rungs"
        assert rungs.report("t0", 2, np.array([9.0, 9.0])).reason == "between_rungs"
        assert rungs.num_results(1) == 4

    def test_who_jumps_over_a_rung_counts_at_the_highest_reached(self):
        rungs = filled([[0.0, 0.0]] * 4)
        rungs.report("new", 5, np.array([9.0, 9.0]))
        assert (rungs.num_results(1), rungs.num_results(3)) == (4, 1)

    def test_who_has_been_higher_does_not_count_at_a_rung_below(self):
        rungs = filled([[0.0, 0.0]] * 4)
        rungs.report("new", 5, np.array([9.0, 9.0]))
        # As after a restore: it starts again from the first epoch.
        assert rungs.report("new", 1, np.array([9.0, 9.0])).reason == "between_rungs"
        assert rungs.num_results(1) == 4

    def test_a_noted_result_is_compared_with_and_decides_nothing(self):
        rungs = filled([])
        rungs.note("ended", 4, np.array([0.0, 0.0]))
        assert (rungs.num_results(1), rungs.num_results(3)) == (0, 1)
        assert rungs.report("new", 3, np.array([1.0, 1.0])).dominated_by == ("ended",)

    def test_what_is_forgotten_is_compared_with_no_more(self):
        rungs = filled([[0.0, 0.0]])
        assert rungs.report("t1", 1, np.array([1.0, 1.0])).stop
        rungs.forget("t0")
        rungs.forget("t1")
        assert rungs.report("t1", 1, np.array([1.0, 1.0])).reason == "few_results"
        assert rungs.stopped == {}

    def test_stopped_stays_stopped(self):
        rungs = filled([[0.0, 0.0]] * 4)
        first = rungs.report("new", 1, np.array([1.0, 1.0]))
        assert first.stop
        assert rungs.report("new", 3, np.array([-1.0, -1.0])) == first


class TestWithoutValuesOrFeasibility:
    POINTS = ([0.0, 1.0], [1.0, 0.0], [2.0, 2.0])

    @pytest.mark.parametrize("losses", [None, np.array([NAN, 0.0]), np.array([np.inf, 0.0])])
    def test_a_trial_without_values_is_last(self, losses: np.ndarray | None):
        decision = filled(self.POINTS).report("new", 1, losses)
        assert (decision.stop, decision.reason, decision.dominated_by) == (True, "no_values", ())

    def test_nobody_with_values_stops_nobody(self):
        rungs = filled([])
        assert not any(rungs.report(name, 1, None).stop for name in "abcd")
        assert not rungs.report("new", 1, np.array([1.0, 1.0])).stop

    def test_any_feasible_beats_any_infeasible(self):
        rungs = filled(self.POINTS)
        decision = rungs.report("better, not allowed", 1, np.array([-9.0, -9.0]), 0.25)
        assert (decision.stop, decision.reason, decision.dominated_by) == (True, "infeasible", ("t0", "t1", "t2"))
        assert decision.in_words() == "epoch 1: exceeds its constraints by 0.25"

    def test_less_violation_beats_more(self):
        rungs = filled([])
        for name, violation in (("a", 0.2), ("b", 0.4), ("c", 0.6)):
            rungs.report(name, 1, np.array([0.0, 0.0]), violation)
        assert rungs.report("less", 1, np.array([9.0, 9.0]), 0.3).reason == "within_cut"
        more = rungs.report("more", 1, np.array([-9.0, -9.0]), 0.5)
        assert (more.reason, more.dominated_by) == ("infeasible", ("a", "b", "less"))

    def test_the_guard_is_not_for_trials_that_are_not_allowed(self):
        rungs = filled(self.POINTS, share_to_end=1.0)
        assert rungs.report("behind", 1, np.array([9.0, 9.0])).reason == "runs_to_end"
        assert rungs.report("not allowed", 1, np.array([0.0, 0.0]), 1.0).stop
        assert rungs.report("no values", 1, None).stop

    def test_a_violation_that_is_not_a_number_is_no_value(self):
        decision = filled(self.POINTS).report("new", 1, np.array([-1.0, -1.0]), NAN)
        assert (decision.stop, decision.reason) == (True, "no_values")

    def test_a_violation_without_bound_is_the_worst(self):
        rungs = filled([])
        rungs.report("a", 1, np.array([0.0, 0.0]), 0.5)
        decision = rungs.report("b", 1, np.array([0.0, 0.0]), np.inf)
        assert (decision.stop, decision.dominated_by) == (True, ("a",))
        assert decision.in_words() == "epoch 1: a metric under a constraint has no value"

    @pytest.mark.parametrize("loss", [-1e20, 1e20])
    def test_infeasible_is_worse_than_feasible_however_large_the_one_loss_is(self, loss: float):
        rungs = filled([[loss]])
        assert rungs.report("new", 1, np.array([loss]), 0.1).stop

    def test_another_number_of_objectives_is_refused(self):
        with pytest.raises(ValueError, match="a result with 3 losses among results with 2"):
            filled(self.POINTS).report("new", 1, np.array([0.0, 0.0, 0.0]))


class TestWords:
    def test_one_objective(self):
        rungs = filled([[1.0], [2.0], [3.0]])
        assert rungs.report("new", 1, np.array([9.0])).in_words("iteration") == (
            "iteration 1: worse than t0, t1, t2, of 3 at this rung"
        )

    def test_three_objectives_and_more_trials_than_are_kept(self):
        rungs = filled([[1.0, 1.0, 1.0]] * 12)
        decision = rungs.report("new", 1, np.array([2.0, 2.0, 2.0]))
        assert decision.in_words() == (
            "epoch 1: dominated on all 3 objectives by t0, t1, t2 and 9 more; priority 1, the cut is 0"
        )
        assert (len(decision.dominated_by), decision.num_dominating) == (10, 12)

    def test_behind_without_anybody_who_dominates(self):
        line = [[0.1 * step, 1 - 0.1 * step] for step in range(11)]
        rungs = filled(line, order="epsilon_net", keep_quantile=0.3, spare_front=False)
        words = rungs.report("new", 1, np.array([0.501, 0.498])).in_words()
        assert words.startswith(
            "epoch 1: behind most of the 11 others at this rung, though none dominates it; priority"
        )

    def test_who_goes_on(self):
        rungs = filled([])
        assert rungs.report("a", 1, np.array([0.0, 1.0])).in_words() == (
            "epoch 1: continues, none at this rung to compare with"
        )
        assert rungs.report("b", 1, np.array([1.0, 0.0])).in_words() == (
            "epoch 1: continues, good enough; priority 0, the cut is 0"
        )
        assert rungs.report("b", 2, np.array([1.0, 0.0])).in_words() == "epoch 2: continues, no rung here"

    def test_the_epoch_is_the_one_that_was_reported(self):
        assert filled([[0.0, 0.0]], resource=4).report("new", 5, np.array([1.0, 1.0])).in_words().startswith("epoch 5:")


class TestGuards:
    def test_a_share_of_the_trials_runs_to_the_end(self):
        rungs = filled([[0.0, 0.0]], share_to_end=0.2, seed=3)
        spared = sum(not rungs.report(f"n{number}", 1, np.array([1.0 + number, 1.0])).stop for number in range(1000))
        assert 150 < spared < 250

    def test_who_is_spared_is_spared_at_every_rung(self):
        rungs = filled([[0.0, 0.0]], share_to_end=0.5)
        rungs.report("t0", 3, np.array([0.0, 0.0]))
        for number in range(40):
            first = rungs.report(f"n{number}", 1, np.array([1.0 + number, 1.0]))
            second = rungs.report(f"n{number}", 3, np.array([1.0 + number, 1.0]))
            assert first.stop == second.stop

    def test_a_later_bracket_starts_later(self):
        rungs = filled([[0.0, 0.0]], brackets=2)
        rungs.report("t0", 3, np.array([0.0, 0.0]))
        reasons = [rungs.report(f"n{number}", 1, np.array([1.0, 1.0 + number])).reason for number in range(200)]
        assert 60 < reasons.count("later_bracket") < 140
        assert set(reasons) == {"later_bracket", "behind"}
        late = reasons.index("later_bracket")
        assert rungs.report(f"n{late}", 3, np.array([5.0, 5.0])).reason == "behind"

    def test_the_draw_depends_on_the_seed(self):
        def spared(seed: int) -> list[bool]:
            rungs = filled([[0.0, 0.0]], share_to_end=0.5, seed=seed)
            return [rungs.report(f"n{number}", 1, np.array([1.0 + number, 1.0])).stop for number in range(40)]

        assert spared(1) == spared(1) != spared(2)
