import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.front import front_mask, pareto_ranks, trade_offs
from mtbert_ray.pareto.knee import MIN_DEPTH, depths, ends_of, knee
from mtbert_ray.pareto.objectives import to_losses

# Few distinct values, so that ties and duplicates come up all the time.
LOSSES = st.tuples(st.integers(0, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-3, 3).map(float))
)


def dominates(one, other):
    return bool((one <= other).all() and (one < other).any())


def test_front_of_mixed_directions():
    objectives = {
        "dev_score": Objective(direction="maximize", reference=0.0),
        "peak_memory_gib": Objective(direction="minimize", reference=16.0),
    }
    trials = [(0.75, 4.8), (0.73, 3.0), (0.73, 3.5), (0.60, 2.0), (0.59, 2.5)]
    losses = np.array(
        [to_losses({"dev_score": score, "peak_memory_gib": memory}, objectives) for score, memory in trials]
    )
    assert front_mask(losses).tolist() == [True, True, False, True, False]
    assert pareto_ranks(losses).tolist() == [0, 0, 1, 0, 1]


def test_all_copies_of_a_front_point_are_on_the_front():
    assert front_mask(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0]])).tolist() == [True, True, True, False]


def test_one_objective_has_its_minimum_as_front():
    assert front_mask(np.array([[2.0], [1.0], [3.0], [1.0]])).tolist() == [False, True, False, True]


def test_no_points():
    empty = np.empty((0, 2))
    assert front_mask(empty).shape == pareto_ranks(empty).shape == (0,)
    assert knee(empty) is None
    assert trade_offs(empty) == []


@pytest.mark.parametrize("function", [front_mask, pareto_ranks, knee, trade_offs])
@pytest.mark.parametrize("losses", [[[np.nan, 1.0]], [[np.inf, 1.0]], [1.0, 2.0], np.empty((3, 0))])
def test_unmeasured_or_misshapen_losses_are_refused(function, losses):
    with pytest.raises(ValueError, match="losses must"):
        function(np.array(losses))


@given(LOSSES)
def test_front_and_ranks_agree_with_brute_force(losses):
    expected = [not any(dominates(other, one) for other in losses) for one in losses]
    assert front_mask(losses).tolist() == expected
    ranks = pareto_ranks(losses)
    assert (ranks == 0).tolist() == expected
    for one, rank in zip(losses, ranks, strict=True):
        # A point's rank is one more than the highest rank among those that dominate it.
        above = [int(r) for other, r in zip(losses, ranks, strict=True) if dominates(other, one)]
        assert rank == max(above, default=-1) + 1


@given(LOSSES, st.randoms(use_true_random=False))
def test_permuting_the_points_permutes_front_and_keeps_the_knee(losses, random):
    order = list(range(len(losses)))
    random.shuffle(order)
    assert front_mask(losses[order]).tolist() == front_mask(losses)[order].tolist()
    front = losses[front_mask(losses)]
    shuffled = losses[order][front_mask(losses[order])]
    here, there = knee(front), knee(shuffled)
    assert (here is None) == (there is None)
    if here is not None and there is not None:
        assert front[here].tolist() == shuffled[there].tolist()


def test_knee_of_a_convex_front_is_where_it_bends():
    # The quarter circle (x - 1)^2 + (y - 1)^2 = 1 below its chord is deepest at 45 degrees; other units on the axes.
    angles = np.linspace(0, np.pi / 2, 9)
    front = np.column_stack([1 - np.cos(angles), 1 - np.sin(angles)]) * [0.01, 4000.0] + [-0.8, 500.0]
    assert knee(front) == 4


def test_knee_is_the_point_farthest_below_the_line_through_the_extremes():
    random = np.random.default_rng(3)
    for _ in range(50):
        x = np.sort(random.uniform(0, 1, 7))
        front = np.column_stack([x, np.sort(random.uniform(0, 1, 7))[::-1]])
        first, last = front[0], front[-1]
        scaled = (front - [first[0], last[1]]) / [last[0] - first[0], first[1] - last[1]]
        below_line = 1 - scaled.sum(axis=1)
        np.testing.assert_allclose(depths(front, [0, 6]), below_line, atol=1e-9)
        assert knee(front) == (int(np.argmax(below_line)) if below_line.max() >= MIN_DEPTH else None)


def test_fronts_that_do_not_bend_have_no_knee():
    assert knee(np.array([[3.0, 4.0]])) is None
    assert knee(np.array([[2.0, 1.0], [1.0, 2.0]])) is None  # two ends with equal sums
    assert knee(np.array([[0.3, 0.0], [0.1, 0.2], [0.2, 0.1], [0.0, 0.3]])) is None  # straight
    assert knee(np.array([[0.0, 3.0], [1.0, 2.9], [3.0, 0.0]])) is None  # bent the other way
    assert knee(np.array([[1.0], [1.0]])) is None
    assert knee(np.array([[1.0, 2.0, 7.0], [1.0, 2.0, 7.0], [1.0, 2.0, 7.0]])) is None
    straight = np.linspace(0, 1, 9)
    wavy = straight + 0.04 * np.sin(7 * straight)
    assert knee(np.column_stack([straight, 1 - wavy])) is None


def test_knee_of_three_objectives():
    assert knee(np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.3, 0.4, 0.3]])) == 3
    # Two costs that go together: a sum of losses would count them twice and never see this member.
    together = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.1], [1.0, 0.1, 0.0], [0.2, 0.5, 0.5]])
    assert together.sum(axis=1).argmin() != 3
    assert knee(together) == 3
    # One trial is the best in both costs.
    assert ends_of(np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])) == [0, 1]
    assert knee(np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])) == 2


def test_trade_offs_name_the_best_of_each_objective_and_both_sides_of_the_trade():
    accurate, middle, lean = trade_offs(np.array([[-0.75, 4.8], [-0.73, 3.0], [-0.60, 2.0]]))
    assert list(accurate) == [2]
    assert list(middle) == [0, 2]
    assert middle[0] == pytest.approx((0.02, -1.8))
    assert middle[2] == pytest.approx((-0.13, 1.0))
    assert list(lean) == [0]


def test_trade_offs_against_ties_take_the_one_that_is_better_elsewhere():
    # Both of the first two have the best first loss; the second is better in the second objective.
    rows = trade_offs(np.array([[0.0, 3.0, 1.0], [0.0, 2.0, 2.0], [1.0, 0.0, 3.0]]))
    assert [list(row) for row in rows] == [[2], [2, 0], [1, 0]]


def test_a_single_point_gives_nothing_up():
    assert trade_offs(np.array([[0.2, 5.0]])) == [{}]
