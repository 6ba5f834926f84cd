"""Averages over the distribution of the random effects: what the population does, not its average member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.matrices import Design

__all__ = ["averaged", "linear_predictor_variance"]

# The trapezoidal rule on a grid of standard normal deviates. Its error falls as exp(-2 pi d / step), d the distance of
# the nearest pole from the real line: that of a cauchit lies at 1 / sd, that of a logit at pi / sd.
STEP = 0.25  # of the grid, over the standard deviation of the linear predictor where that is above 1
REACH = 9.0  # of the grid, beyond the standard deviation, where the integral of an exponential mean has its peak
LARGEST_SD = 20.0  # for which the grid grows further
CELLS = 1_000_000  # rows times nodes that are worked on at a time


def linear_predictor_variance(
    design: Design, covariances: Sequence[Array], integrated: Sequence[BoolArray], data: Any = None
) -> Array:
    """Return the variance (n,) that the integrated terms give to the linear predictor of each row.

    Parameters
    ----------
    design : Design
    covariances : sequence of (q, q)
        Of every term.
    integrated : sequence of (q,) bool
        Which columns of every term count.
    data : data frame, optional
        New rows; the fitted ones if omitted.
    """
    total: Array | float = 0.0
    for term, covariance, used in zip(design.random, covariances, integrated, strict=True):
        if used.any():
            whole = term.matrix if data is None else term.encoder.encode(data)
            matrix = whole if used.all() else np.where(used, whole, 0.0)
            share = np.einsum("ia,ab,ib->i", matrix, covariance, matrix)
            if term.loading is not None:
                own = np.einsum("lk,lk->l", term.loading, term.loading)
                codes = term.codes if data is None else term.encode_codes(data)
                share = share * np.where(codes < 0, float(own.mean()), own[codes])
            total = total + share
    return np.asarray(total, dtype=float)


def averaged(function: Callable[[Array], Array], eta: Array, variance: Array) -> Array:
    """Return ``E function(eta + e)`` (n,), ``e ~ N(0, variance)``: any sum of random effects is such a number."""
    sds = np.sqrt(variance)
    sd = min(float(np.fmax.reduce(sds, initial=1.0)), LARGEST_SD)  # rows with missing values stay nan
    count = int(np.ceil((REACH + sd) * sd / STEP))
    nodes = (STEP / sd) * np.arange(-count, count + 1.0)[:, None]
    weights = np.exp(-0.5 * nodes**2) * (STEP / sd / np.sqrt(2.0 * np.pi))
    total = np.zeros(eta.shape)
    block = max(1, CELLS // max(eta.size, 1))
    for start in range(0, len(nodes), block):
        some = slice(start, start + block)
        total += np.sum(weights[some] * function(eta + sds * nodes[some]), axis=0)
    return total
