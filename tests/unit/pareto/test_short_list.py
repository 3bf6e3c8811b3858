import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtbert_ray.pareto.front import front_mask
from mtbert_ray.pareto.short_list import as_good_as


def test_a_member_by_a_hair_is_as_good_as_the_one_that_is_better_by_more():
    # Scores as losses, and memory: the second is there by 0.004 GiB, and loses 0.02 of score for it.
    front = np.array([[-0.73, 2.904], [-0.71, 2.900], [-0.60, 2.0]])
    assert as_good_as(front, np.array([0.01, 0.03])) == {1: 0}
    assert as_good_as(front, np.array([0.01, 0.001])) == {}


def test_without_tolerances_only_equals_are_as_good():
    assert as_good_as(np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros(2)) == {}
    assert as_good_as(np.array([[1.0, 2.0], [1.0, 2.0]]), np.zeros(2)) == {0: 1}


def test_no_members_and_one():
    assert as_good_as(np.empty((0, 2)), np.ones(2)) == {}
    assert as_good_as(np.array([[1.0, 2.0]]), np.ones(2)) == {}


@given(
    arrays(np.float64, st.tuples(st.integers(1, 10), st.integers(1, 3)), elements=st.integers(0, 9).map(float)),
    st.integers(0, 4).map(float),
)
def test_each_member_is_in_the_short_list_or_as_good_as_one_that_is(losses, tolerance):
    front = losses[front_mask(losses)]
    replaced = as_good_as(front, np.full(front.shape[1], tolerance))
    assert not set(replaced) & set(replaced.values())
    for member, other in replaced.items():
        assert (front[other] - front[member] <= tolerance).all()
    short = [place for place in range(len(front)) if place not in replaced]
    assert short


@pytest.mark.parametrize("tolerance", [1.0])
def test_the_thinnest_goes_first_and_chains_do_not_empty_the_list(tolerance):
    steps = np.column_stack([np.arange(6.0), np.arange(6.0)[::-1]])
    replaced = as_good_as(steps, np.full(2, tolerance))
    assert len(replaced) == 3
    assert {abs(member - other) for member, other in replaced.items()} == {1}
