"""The distribution of the studentized range, for Tukey's comparisons of all pairs.

``P(Q <= q) = E W(q S)`` with ``W(w) = k int phi(z) [Phi(z) - Phi(z - w)]^(k - 1) dz``, the distribution of the range of
k standard normal variables, and ``S`` a chi variable over the root of its degrees of freedom. Both integrands are
smooth, so Gauss and Legendre's rule converges geometrically.

References
----------
Copenhaver & Holland (1988), J. Stat. Comput. Simul. 30, 1.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import optimize, special

from mixedfx._typing import Array

__all__ = ["studentized_range_quantile", "studentized_range_tail"]

NODES = 128
FARTHEST = 8.5  # standard deviations beyond which the normal density counts for nothing
NEGLIGIBLE = 1e-15  # probability that is left out at both ends of the distribution of S
LARGEST = 1e6  # quantiles are looked for below this
CELLS = 1_000_000  # numbers that are worked on at a time


@cache
def _legendre() -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(NODES)


def _rule(lower: float, upper: float) -> tuple[Array, Array]:
    nodes, weights = _legendre()
    half = 0.5 * (upper - lower)
    return lower + half * (nodes + 1.0), half * weights


def _range_cdf(w: Array, k: int) -> Array:
    """Distribution function of the range of ``k`` standard normal variables."""
    z, weights = _rule(-FARTHEST, FARTHEST)
    density = k * weights * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    flat = w.reshape(-1)
    out = np.empty(flat.size)
    step = max(1, CELLS // NODES)
    for start in range(0, flat.size, step):
        part = special.ndtr(z) - special.ndtr(z - flat[start : start + step, None])
        out[start : start + step] = part ** (k - 1) @ density
    return out.reshape(w.shape)


def _scale_rule(df: float) -> tuple[Array, Array]:
    """Nodes and weights for expectations over ``S = chi / sqrt(df)``, in its logarithm."""
    half = 0.5 * df
    lower = float(special.gammaincinv(half, NEGLIGIBLE))
    upper = float(special.gammainccinv(half, NEGLIGIBLE))
    x, weights = _rule(np.log(max(lower, np.finfo(float).tiny)), np.log(upper))  # of S^2 df / 2
    density = np.exp(half * x - np.exp(x) - special.gammaln(half))
    return np.sqrt(np.exp(x) / half), weights * density


def studentized_range_tail(q: Array, k: int, df: float) -> Array:
    """Return ``P(Q > q)`` (r,) for the range of ``k`` means.

    Parameters
    ----------
    q : (r,)
    k : int
        Number of means.
    df : float
        Degrees of freedom of the variance; may be infinite.
    """
    q = np.maximum(np.asarray(q, dtype=float), 0.0)
    if np.isinf(df):
        return np.clip(1.0 - _range_cdf(q, k), 0.0, 1.0)
    scales, weights = _scale_rule(df)
    return np.clip(1.0 - _range_cdf(q[:, None] * scales, k) @ weights, 0.0, 1.0)


def studentized_range_quantile(tail: float, k: int, df: float) -> float:
    """Return the ``q`` with ``P(Q > q) = tail``."""
    return float(
        optimize.brentq(
            lambda q: float(studentized_range_tail(np.array([q]), k, df)[0]) - tail, 0.0, LARGEST, xtol=1e-9, rtol=1e-12
        )
    )
