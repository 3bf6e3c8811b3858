"""The surrogate of the front searcher: Gaussian processes in numpy (Rasmussen and Williams 2006, chapter 2).

For some dozens of points, fitted in milliseconds.
"""

import math
from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

# N points, D coordinates, M outputs, C candidates

_LENGTH_SCALES = (0.4, 0.8, 1.6)
"""Of coordinates from 0 to 1."""
_NOISES = (1e-3, 1e-2, 1e-1)
"""Variance of the noise over that of the signal."""


class GaussianProcess:
    """Independent outputs, a squared-exponential kernel, its two parameters by the marginal likelihood.

    Coordinates are from 0 to 1, outputs finite.
    """

    def __init__(self, points_ND: NDArray[np.float64], outputs_NM: NDArray[np.float64]) -> None:
        self._points_ND = points_ND
        self._mean_M = outputs_NM.mean(axis=0)
        spread_M = outputs_NM.std(axis=0)
        self._scale_M = np.where(spread_M > 0, spread_M, 1.0)
        standard_NM = (outputs_NM - self._mean_M) / self._scale_M
        squares_NN = _squared_distances(points_ND, points_ND)
        kernels = [_Kernel(squares_NN, length, noise) for length in _LENGTH_SCALES for noise in _NOISES]
        self._fits = [
            max((kernel.fit(output_N) for kernel in kernels), key=lambda fit: fit[0]) for output_N in standard_NM.T
        ]

    def predict(self, points_CD: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation `(C, M)`, without the noise."""
        squares_CN = _squared_distances(points_CD, self._points_ND)
        means, deviations = [], []
        for _, kernel, weights_N, variance in self._fits:
            covariance_CN = np.exp(-0.5 * squares_CN / kernel.length**2)
            explained_C = ((covariance_CN @ kernel.inverse_root_NN.T) ** 2).sum(axis=1)
            means.append(covariance_CN @ weights_N)
            deviations.append(np.sqrt(variance * np.maximum(1 - explained_C, 1e-9)))
        means_CM, deviations_CM = np.array(means).T, np.array(deviations).T
        return self._mean_M + self._scale_M * means_CM, self._scale_M * deviations_CM


class _Kernel:
    """A covariance of the points, inverted once for all outputs."""

    def __init__(self, squares_NN: NDArray[np.float64], length: float, noise: float) -> None:
        self.length = length
        covariance_NN = np.exp(-0.5 * squares_NN / length**2) + noise * np.eye(len(squares_NN))
        root_NN = np.linalg.cholesky(covariance_NN)
        self.inverse_root_NN: NDArray[np.float64] = np.linalg.inv(root_NN)
        self._half_log_determinant = float(np.log(np.diag(root_NN)).sum())

    def fit(self, output_N: NDArray[np.float64]) -> tuple[float, "_Kernel", NDArray[np.float64], float]:
        """Return the log marginal likelihood up to a constant, itself, the weights, and the signal's variance."""
        whitened_N = self.inverse_root_NN @ output_N
        # The variance that makes the output likeliest, in closed form; 0 where all outputs agree.
        variance = max(float(whitened_N @ whitened_N) / len(output_N), 1e-12)
        likelihood = -0.5 * len(output_N) * math.log(variance) - self._half_log_determinant
        return likelihood, self, self.inverse_root_NN.T @ whitened_N, variance


def _squared_distances(left_CD: NDArray[np.float64], right_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = ((left_CD[:, None, :] - right_ND[None, :, :]) ** 2).sum(axis=-1)
    return squares


# N trials with losses, M objectives, C candidates, D coordinates, F points of the front, R running trials

_OPTIMISM = 2.0
"""A candidate counts at so many standard deviations below its predicted losses; by measurement, see front.py."""
_FAR_BEYOND = 3.0
"""Of the excess over a constraint, in medians of it."""


class FrontModel:
    """Gaussian processes on what trials would reach, and on which of them are feasible.

    Args:
        num_trials: how many there were when this was fitted.
        points: `(D,)` of each of the N trials with losses.
        losses_NM: extrapolated.
        violations: of `points` and then of `broken_points`; 0 is feasible, infinite is unknown.
        broken_points: of the trials that broke a constraint before they had losses.
        failed_points: of failed trials.
    """

    def __init__(
        self,
        *,
        num_trials: int,
        points: Sequence[NDArray[np.float64]],
        losses_NM: NDArray[np.float64],
        violations: Sequence[float],
        broken_points: Sequence[NDArray[np.float64]],
        failed_points: Sequence[NDArray[np.float64]],
    ) -> None:
        self.num_trials = num_trials
        if points:  # Without any, none is feasible, and then the losses are not used.
            self._losses = GaussianProcess(np.array(points), losses_NM)
            self._low_M, range_M = losses_NM.min(axis=0), np.ptp(losses_NM, axis=0)
            self._range_M = np.where(range_M > 0, range_M, 1.0)
        self._failed = _failures([*points, *broken_points], failed_points)
        excess = np.array(violations)
        finite = np.minimum(excess, 2 * excess[np.isfinite(excess)].max(initial=1.0))
        self._none_feasible = bool((excess > 0).all())
        self._excess: GaussianProcess | None = None
        if self._none_feasible:
            # The excess itself is minimized; failures count as twice the worst of it.
            target = np.concatenate([finite, np.full(len(failed_points), 2 * finite.max(initial=1.0))])
            self._excess = GaussianProcess(np.array([*points, *broken_points, *failed_points]), target[:, None])
        elif (excess > 0).any():
            # Only the border matters: symmetric around 0, and clipped far from it.
            relative = np.minimum(finite / np.median(finite[finite > 0]), _FAR_BEYOND)
            target = np.where(excess > 0, relative, -1.0)
            self._excess = GaussianProcess(np.array([*points, *broken_points]), target[:, None])

    def scores(
        self, points_CD: NDArray[np.float64], front_FM: NDArray[np.float64], running_RD: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the expected gain `(C,)` of candidates, given the feasible front and the running trials."""
        if self._none_feasible:
            assert self._excess is not None, "where all exceed there is an excess"
            return -self._excess.predict(points_CD)[0][:, 0]
        means_CM, deviations_CM = self._losses.predict(points_CD)
        optimistic_CM = self._scaled(means_CM - _OPTIMISM * deviations_CM)
        known_FM = self._scaled(front_FM)
        if len(running_RD):
            known_FM = np.concatenate([known_FM, self._scaled(self._losses.predict(running_RD)[0])])
        reference_M = np.full(optimistic_CM.shape[1], 1.1)
        volumes_C = [
            float(moocore.hypervolume(np.vstack([known_FM, optimistic_M]), ref=reference_M))
            for optimistic_M in optimistic_CM
        ]
        gains_C = np.array(volumes_C) - float(moocore.hypervolume(known_FM, ref=reference_M))
        if self._failed is not None:
            gains_C = gains_C * (1 - np.clip(self._failed.predict(points_CD)[0][:, 0], 0, 1))
        if self._excess is not None:
            means_C1, deviations_C1 = self._excess.predict(points_CD)
            gains_C = gains_C * ndtr(-means_C1 / deviations_C1)[:, 0]
        return np.asarray(gains_C)

    def _scaled(self, losses_NM: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = (losses_NM - self._low_M) / self._range_M
        return scaled


def _failures(
    points: Sequence[NDArray[np.float64]], failed_points: Sequence[NDArray[np.float64]]
) -> GaussianProcess | None:
    """Return the probability of a failure, fitted to 0 and 1; None where no trial failed."""
    if not failed_points:
        return None
    target = np.repeat([0.0, 1.0], [len(points), len(failed_points)])
    return GaussianProcess(np.array([*points, *failed_points]), target[:, None])
