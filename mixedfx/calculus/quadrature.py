"""Gauss-Hermite rules in any small dimension, and averages over one normal deviate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from mixedfx._typing import Array

__all__ = ["HermiteRule", "averaged", "hermite_rule"]

# The trapezoidal rule on a grid of standard normal deviates. Its error falls as exp(-2 pi d / step), d the distance of
# the nearest pole from the real line: that of a cauchit lies at 1 / sd, that of a logit at pi / sd.
STEP = 0.25  # of the grid, over the standard deviation of the linear predictor where that is above 1
REACH = 9.0  # of the grid, beyond the standard deviation, where the integral of an exponential mean has its peak
LARGEST_SD = 20.0  # for which the grid grows further
CELLS = 1_000_000  # rows times nodes that are worked on at a time


@dataclass(frozen=True)
class HermiteRule:
    """``integral of f(z) dz = sum over k of exp(log_weights[k]) f(nodes[k])`` for ``f`` near ``exp(-z'z)`` in shape.

    Attributes
    ----------
    nodes : (N, q)
    log_weights : (N,)
        Logarithms of the Gauss-Hermite weights times ``exp(z'z)``.
    order : int
        Nodes in each dimension.
    """

    nodes: Array
    log_weights: Array
    order: int


@lru_cache(maxsize=64)
def hermite_rule(order: int, dimension: int) -> HermiteRule:
    """Return the product rule with ``order ** dimension`` nodes.

    Examples
    --------
    >>> import numpy as np
    >>> rule = hermite_rule(5, 2)
    >>> rule.nodes.shape
    (25, 2)
    >>> integral = np.sum(np.exp(rule.log_weights - np.sum(rule.nodes**2, axis=1)))
    >>> bool(np.isclose(integral, np.pi))
    True
    """
    x = np.asarray(special.roots_hermite(order)[0])
    log_weights = -np.log(order) - 2.0 * np.log(np.abs(_hermite_function(order - 1, x)))
    grids = np.meshgrid(*[x] * dimension, indexing="ij")
    nodes = np.stack([g.ravel() for g in grids], axis=1)
    sums = np.meshgrid(*[log_weights] * dimension, indexing="ij")
    total = np.sum([s.ravel() for s in sums], axis=0)
    for array in (nodes, total):
        array.flags.writeable = False
    return HermiteRule(nodes, total, order)


def _hermite_function(degree: int, x: Array) -> Array:
    """Normalised Hermite function ``psi_degree(x)``, by its three-term recurrence."""
    before, now = np.zeros_like(x), np.pi**-0.25 * np.exp(-0.5 * x * x)
    for k in range(degree):
        before, now = now, np.sqrt(2.0 / (k + 1)) * x * now - np.sqrt(k / (k + 1)) * before
    return np.asarray(now)


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
