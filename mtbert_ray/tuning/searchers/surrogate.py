"""A small Gaussian process: what a setting would reach, and how sure that is (Rasmussen and Williams 2006, chapter 2).

For some dozens of points, in numpy alone: fitted in milliseconds. Knows nothing of search spaces or of objectives.
"""

import math

import numpy as np
from numpy.typing import NDArray

# N points, D coordinates, M outputs, C candidates

_LENGTH_SCALES = (0.4, 0.8, 1.6)
"""Of coordinates from 0 to 1."""
_NOISES = (1e-3, 1e-2, 1e-1)
"""Variance of the noise over that of the signal."""


class GaussianProcess:
    """Independent outputs with a squared-exponential kernel, its two parameters by the marginal likelihood.

    Args:
        points_ND: coordinates from 0 to 1.
        outputs_NM: finite.
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
