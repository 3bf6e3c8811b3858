import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtbert_ray.pareto.front import front_mask, hypervolume, hypervolume_over_time

GRID = st.tuples(st.integers(0, 8), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 5).map(float))
)


@pytest.mark.parametrize(
    ("losses", "reference", "volume"),
    [
        ([[1.0]], [4.0], 3.0),
        ([[1.0, 2.0]], [4.0, 4.0], 6.0),
        ([[1.0, 3.0], [3.0, 1.0]], [4.0, 4.0], 5.0),  # 3 + 3 - 1
        ([[1.0, 3.0], [3.0, 1.0], [2.0, 2.0]], [4.0, 4.0], 6.0),  # the staircase 3 + 2 + 1
        ([[0.0, 0.0, 0.0]], [2.0, 3.0, 4.0], 24.0),
        ([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], [2.0, 2.0, 2.0], 4.0),  # 3 x 2 - 3 x 1 + 1
        ([[-0.7, 3.0]], [-0.5, 4.0], 0.2),  # a maximized score as its negative
    ],
)
def test_closed_forms(losses, reference, volume):
    assert hypervolume(np.array(losses), np.array(reference)) == pytest.approx(volume)


def test_duplicates_and_dominated_points_add_nothing():
    once = np.array([[1.0, 3.0], [3.0, 1.0]])
    more = np.vstack([once, once, [[3.0, 3.0]]])
    assert hypervolume(more, np.array([4.0, 4.0])) == hypervolume(once, np.array([4.0, 4.0])) == pytest.approx(5.0)


@pytest.mark.parametrize("beyond", [[5.0, 0.0], [4.0, 0.0], [0.0, 4.0], [9.0, 9.0]])
def test_points_at_or_beyond_the_reference_add_nothing(beyond):
    reference = np.array([4.0, 4.0])
    assert hypervolume(np.array([beyond]), reference) == 0.0
    assert hypervolume(np.array([[1.0, 2.0], beyond]), reference) == pytest.approx(6.0)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_left_out(broken):
    reference = np.array([4.0, 4.0])
    assert hypervolume(np.array([[broken, 0.0]]), reference) == 0.0
    assert hypervolume(np.array([[1.0, 2.0], [0.0, broken]]), reference) == pytest.approx(6.0)


def test_no_points_have_no_volume():
    assert hypervolume(np.empty((0, 2)), np.array([1.0, 1.0])) == 0.0
    assert hypervolume_over_time(np.empty((0, 2)), np.array([1.0, 1.0])).shape == (0,)


@pytest.mark.parametrize("reference", [[np.inf, 1.0], [np.nan, 1.0], []])
def test_a_reference_that_is_no_point_is_refused(reference):
    with pytest.raises(ValueError, match="finite coordinates"):
        hypervolume(np.array([[1.0, 2.0]]), np.array(reference))


def test_losses_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match="do not fit a reference of 3"):
        hypervolume(np.array([[1.0, 2.0]]), np.array([4.0, 4.0, 4.0]))


@given(GRID)
def test_volume_on_a_grid_is_the_number_of_dominated_cells(losses):
    """With whole losses, the volume below the reference 5 is the count of unit cells above some point."""
    dimensions = losses.shape[1]
    cells = np.stack(np.meshgrid(*[np.arange(5)] * dimensions, indexing="ij"), axis=-1).reshape(-1, dimensions)
    dominated = [any((point <= cell).all() for point in losses) for cell in cells]
    assert hypervolume(losses, np.full(dimensions, 5.0)) == pytest.approx(sum(dominated))


@given(GRID)
def test_the_front_alone_has_the_whole_volume(losses):
    reference = np.full(losses.shape[1], 5.0)
    assert hypervolume(losses[front_mask(losses)], reference) == pytest.approx(hypervolume(losses, reference))


def test_over_time_counts_each_arrival_and_never_falls():
    arrivals = np.array([[1.0, 3.0], [2.0, 3.5], [np.nan, 0.0], [3.0, 1.0], [2.0, 2.0], [9.0, 9.0]])
    volumes = hypervolume_over_time(arrivals, np.array([4.0, 4.0]))
    assert volumes == pytest.approx([3.0, 3.0, 3.0, 5.0, 6.0, 6.0])
