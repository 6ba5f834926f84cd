"""The shape of the upper tail of importance weights."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array

__all__ = ["pareto_shape"]

TAIL_SHARE = 0.2  # of the draws at the most belong to the tail
PRIOR_COUNT = 10.0  # weight of the prior guess of the shape, in observations
PRIOR_SHAPE = 0.5


def pareto_shape(log_weights: Array) -> Array:
    """Return the shape ``k`` (c,) of a generalised Pareto distribution fitted to the largest weights of each column.

    Below 0.5 the variance of the weights is finite; above 0.7 an average of them is not to be trusted.

    Parameters
    ----------
    log_weights : (draws, c)

    References
    ----------
    Zhang & Stephens (2009), Technometrics 51, 316; Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72).
    """
    draws = log_weights.shape[0]
    n = int(min(TAIL_SHARE * draws, 3.0 * np.sqrt(draws)))
    ordered = np.exp(np.sort(log_weights, axis=0)[-n - 1 :] - log_weights.max(axis=0))
    x = ordered[1:] - ordered[0]
    flat = x[-1] <= 0
    x = np.where(flat, np.arange(1.0, n + 1)[:, None], x)
    shape = _posterior_mean_shape(np.maximum(x, np.finfo(float).tiny))
    shape = (n * shape + PRIOR_COUNT * PRIOR_SHAPE) / (n + PRIOR_COUNT)
    return np.where(flat, -np.inf, shape)


def _posterior_mean_shape(x: Array) -> Array:
    """Zhang and Stephens' estimate for increasing exceedances ``x`` (n, c)."""
    n = x.shape[0]
    grid = 30 + int(np.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    steps = 1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    b = 1.0 / x[-1] + steps[:, None] / (3.0 * quartile)
    k = np.stack([np.log1p(-row * x).mean(axis=0) for row in b])
    profile = n * (np.log(np.where(k == 0, 1.0, -b / np.where(k == 0, 1.0, k))) - k - 1.0)
    weights = np.exp(profile - profile.max(axis=0))
    best = (b * weights).sum(axis=0) / weights.sum(axis=0)
    return np.asarray(np.log1p(-best * x).mean(axis=0))
