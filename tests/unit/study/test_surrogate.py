"""What the front searcher learns with: points, extrapolated results, and the Gaussian process on them."""

import numpy as np
import pytest

from mtbert_ray.study.search.base import coordinates
from mtbert_ray.study.search.early_results import FULL, EarlyResults
from mtbert_ray.study.search.front_model import GaussianProcess
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange


class TestGaussianProcess:
    def test_finds_a_smooth_function_of_two_coordinates_again(self):
        rng = np.random.default_rng(0)
        points, others = rng.random((50, 2)), rng.random((30, 2))

        def both(at: np.ndarray) -> np.ndarray:
            return np.stack([np.sin(3 * at[:, 0]) + at[:, 1] ** 2, 100 - 40 * at[:, 0] * at[:, 1]], axis=1)

        means, deviations = GaussianProcess(points, both(points)).predict(others)
        assert np.abs(means - both(others)).max(axis=0) == pytest.approx([0, 0], abs=1.5)
        assert np.corrcoef(means[:, 0], both(others)[:, 0])[0, 1] > 0.995
        assert np.corrcoef(means[:, 1], both(others)[:, 1])[0, 1] > 0.995
        assert (deviations > 0).all()

    def test_is_as_the_textbook_has_it(self):
        # Equations 2.25 and 2.26 with the kernel that was chosen, by plain inversion.
        points, outputs = np.array([[0.1], [0.4], [0.9]]), np.array([[1.0], [3.0], [2.0]])
        process = GaussianProcess(points, outputs)
        _, kernel, _, variance = process._fits[0]
        at = np.array([[0.25], [0.6]])
        between = np.exp(-0.5 * (at - points.T) ** 2 / kernel.length**2)
        among = np.exp(-0.5 * (points - points.T) ** 2 / kernel.length**2)
        noise = next(
            noise for noise in (1e-3, 1e-2, 1e-1)
            if np.allclose(np.linalg.inv(np.linalg.cholesky(among + noise * np.eye(3))), kernel.inverse_root_NN)
        )  # fmt: skip
        inverse = np.linalg.inv(among + noise * np.eye(3))
        standard = (outputs - outputs.mean()) / outputs.std()
        means, deviations = process.predict(at)
        assert means == pytest.approx(outputs.mean() + outputs.std() * between @ inverse @ standard)
        expected = outputs.std() * np.sqrt(variance * (1 - np.diag(between @ inverse @ between.T)))
        assert deviations[:, 0] == pytest.approx(expected)

    def test_is_less_sure_far_from_what_it_saw(self):
        points = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1], [0.1, 0.1]])
        process = GaussianProcess(points, np.array([[0.0], [1.0], [-1.0], [0.5]]))
        _, deviations = process.predict(np.array([[0.05, 0.05], [0.5, 0.5], [1.0, 1.0]]))
        assert (np.diff(deviations[:, 0]) > 0).all()

    def test_the_same_output_everywhere_and_the_same_point_twice(self):
        points = np.array([[0.5], [0.5], [0.2]])
        means, deviations = GaussianProcess(points, np.full((3, 1), 7.0)).predict(np.array([[0.5], [0.9]]))
        assert means == pytest.approx(np.full((2, 1), 7.0))
        assert np.isfinite(deviations).all()


def test_coordinates_are_on_the_parameters_scales():
    search = {
        "rate": FloatRange(kind="loguniform", low=1e-5, high=1e-1),
        "dropout": FloatRange(kind="uniform", low=0.0, high=0.5),
        "rank": IntRange(low=1, high=16, log=True),
        "kind": Choice(values=("none", {"sst": 1})),
        "alone": IntRange(low=3, high=3),
    }
    values = {"rate": 1e-3, "dropout": 0.125, "rank": 4, "kind": {"sst": 1}, "alone": 3}
    assert coordinates(search, values) == pytest.approx([0.5, 0.25, 0.5, 0.0, np.sqrt(0.5), 0.5])
    assert coordinates(search, {"kind": "none"}) == pytest.approx([0.5, 0.5, 0.5, np.sqrt(0.5), 0.0, 0.5])
    other = coordinates(search, values | {"kind": "none"})
    assert np.linalg.norm(other - coordinates(search, values)) == pytest.approx(1.0)


class TestEarlyResults:
    def test_a_trial_is_taken_to_go_on_as_the_median_did(self):
        results = EarlyResults()
        for key, (first, third, full) in enumerate([(9.0, 7.0, 6.0), (8.0, 6.5, 6.0), (9.0, 5.0, 4.5)]):
            results.add(key, 1, np.array([first, 1.0]), 0.0)
            results.add(key, 3, np.array([third, 2.0]), 0.0)
            results.add(key, FULL, np.array([full, 9.0]), 0.0)
        results.add(3, 1, np.array([10.0, 1.5]), 0.0)
        results.add(4, 1, np.array([20.0, 1.0]), 0.5)
        results.add(4, 3, np.array([10.0, 3.0]), 0.25)
        keys, losses, violations = results.extrapolated()
        assert keys == (0, 1, 2, 3, 4)
        # From 1 to 3 the changes are -2, -1.5, -4 and -10, from 3 to the end -1, -0.5 and -0.5.
        assert losses.tolist() == [[6.0, 9.0], [6.0, 9.0], [4.5, 9.0], [10.0 - 3.0 - 0.5, 9.5], [9.5, 10.0]]
        assert violations.tolist() == [0.0, 0.0, 0.0, 0.0, 0.25]

    def test_nobody_has_gone_on_yet(self):
        results = EarlyResults()
        results.add(7, 1, np.array([1.0]), 0.0)
        results.add(2, 3, np.array([5.0]), 0.0)
        keys, losses, _ = results.extrapolated()
        assert (keys, losses.tolist()) == ((2, 7), [[5.0], [1.0]])
        assert (len(results), 7 in results, 1 in results) == (2, True, False)
