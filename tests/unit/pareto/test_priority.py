"""The order that halving and breeding share, on points whose order can be seen by eye."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtbert_ray.pareto.front import dominates, front_mask, priorities

ORDERS = ("rank", "epsilon_net", "hypervolume")
# A front of four, of which the second is close to the first, and two points behind it, one behind the other.
POINTS = np.array([[0.0, 1.0], [0.01, 0.98], [0.5, 0.5], [1.0, 0.0], [0.6, 0.6], [0.9, 0.9]])
FEASIBLE = np.zeros(len(POINTS))


def test_ranks():
    assert priorities(POINTS, FEASIBLE).tolist() == [0, 0, 0, 0, 1, 2]


def test_the_epsilon_net_takes_the_best_first_loss_and_then_the_farthest():
    assert priorities(POINTS, FEASIBLE, "epsilon_net").tolist() == [0, 3, 2, 1, 4, 5]


def test_the_point_that_dominates_most_alone_comes_first_by_hypervolume():
    order = priorities(POINTS, FEASIBLE, "hypervolume")
    assert order[2] == 0
    assert sorted(order[:4]) == [0, 1, 2, 3]
    assert order[4:].tolist() == [4, 5]


def test_one_objective_is_its_own_priority():
    losses = np.array([[3.0], [-1.0], [3.0], [0.5]])
    for order in ORDERS:
        assert priorities(losses, np.zeros(4), order).tolist() == [3.0, -1.0, 3.0, 0.5]


@pytest.mark.parametrize("order", ORDERS)
def test_feasible_then_by_violation_then_without_values(order: str):
    losses = np.array([[9.0, 9.0], [0.0, 0.0], [0.0, 0.0], [np.nan, 0.0], [0.0, np.inf], [0.0, 0.0], [0.0, 0.0]])
    violations = np.array([0.0, 0.5, 0.1, 0.0, 0.0, np.nan, 0.5])
    order_of = priorities(losses, violations, order)
    feasible, far, near, nan, infinite, unknown, also_far = order_of.tolist()
    assert feasible < near < far == also_far < nan == infinite == unknown
    assert np.isfinite(order_of).all()


@pytest.mark.parametrize("order", ORDERS)
def test_nothing_and_nobody_with_values(order: str):
    assert priorities(np.zeros((0, 2)), np.zeros(0), order).tolist() == []
    assert len(set(priorities(np.full((3, 2), np.nan), np.zeros(3), order))) == 1


coarse = st.integers(0, 4).map(float)
clouds = st.integers(1, 3).flatmap(
    lambda width: arrays(np.float64, st.tuples(st.integers(1, 12), st.just(width)), elements=coarse)
)


@given(clouds, st.sampled_from(ORDERS), st.integers(1, 12))
def test_domination_is_never_contradicted(losses: np.ndarray, order: str, num_ordered: int):
    order_of = priorities(losses, np.zeros(len(losses)), order, num_ordered=num_ordered)
    for index, point in enumerate(losses):
        beaten_by = dominates(losses, np.zeros(len(losses)), point, 0.0)
        assert (order_of[beaten_by] < order_of[index]).all()
    if losses.shape[1] > 1:
        assert (order_of == 0).any()
        on_front = front_mask(losses)
        assert order_of[on_front].max() < order_of[~on_front].min(initial=np.inf)


@given(clouds, st.sampled_from(ORDERS))
def test_the_first_places_do_not_depend_on_how_many_are_told_apart(losses: np.ndarray, order: str):
    whole = priorities(losses, np.zeros(len(losses)), order)
    for count in range(1, len(losses) + 1):
        part = priorities(losses, np.zeros(len(losses)), order, num_ordered=count)
        assert np.sort(part)[:count].tolist() == np.sort(whole)[:count].tolist()


def test_constrained_domination():
    losses = np.array([[1.0, 1.0], [0.0, 0.0], [5.0, 5.0], [np.nan, 0.0]])
    violations = np.array([0.0, 0.2, 0.1, 0.0])
    assert dominates(losses, violations, np.array([2.0, 2.0]), 0.0).tolist() == [True, False, False, False]
    assert dominates(losses, violations, np.array([0.0, 0.0]), 0.2).tolist() == [True, False, True, False]
    assert not dominates(losses, violations, np.array([np.nan, 0.0]), 0.0).any()
    assert not dominates(losses, violations, np.array([1.0, 1.0]), 0.0).any()
