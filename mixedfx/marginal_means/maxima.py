"""Distributions of the largest of several statistics, for exact simultaneous comparisons.

*Correlated t statistics* (Dunnett's and other comparisons). The probability that all statistics lie within a box is
integrated one direction after the other, each given the ones before it, over a low-discrepancy set of points (Genz &
Bretz 1999). Statistics that are combinations of the others narrow the interval of the last direction on which they
depend, so that singular correlations need no special care. The points are fixed: the same question has the same answer.

*The studentized range* (Tukey's comparisons of all pairs). ``P(Q <= q) = E W(q S)`` with
``W(w) = k int phi(z) [Phi(z) - Phi(z - w)]^(k - 1) dz``, the distribution of the range of k standard normal variables,
and ``S`` a chi variable over the root of its degrees of freedom. Both integrands are smooth, so Gauss and Legendre's
rule converges geometrically.

References
----------
Genz & Bretz (1999), J. Stat. Comput. Simul. 63, 361; (2002), J. Comput. Graph. Stat. 11, 950.
Copenhaver & Holland (1988), J. Stat. Comput. Simul. 30, 1.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from scipy import optimize, special
from scipy.stats import qmc

from mixedfx._typing import Array, IntArray
from mixedfx.inference.distributions import quantile

__all__ = [
    "largest_statistic_quantile",
    "largest_statistic_tail",
    "studentized_range_quantile",
    "studentized_range_tail",
]

# ---------------------------------------------------------------- correlated t statistics
POWER_OF_POINTS = 15
SEED = 20_240_229
DEPENDENT = 1e-7  # standard deviation, given the others, below which a statistic follows from them
SLACK = 1e-2  # by which the bracket of a quantile is wider than theory says


@lru_cache(maxsize=8)
def _points(dimension: int) -> Array:
    points = qmc.Sobol(dimension, seed=SEED).random_base2(POWER_OF_POINTS)
    return np.asarray(np.clip(points.T, 1e-15, 1.0 - 1e-15))


def _directions(correlation: Array) -> tuple[Array, IntArray]:
    """Return ``C`` (m, r) with ``C C' = correlation``, and the last direction on which each statistic depends."""
    rest = correlation.copy()
    columns: list[Array] = []
    for _ in range(len(correlation)):
        pivot = int(np.argmax(rest.diagonal()))
        if rest[pivot, pivot] < DEPENDENT**2:
            break
        column = rest[:, pivot] / np.sqrt(rest[pivot, pivot])
        columns.append(column)
        rest = rest - np.outer(column, column)
    C = np.stack(columns, axis=1)
    C[np.abs(C) < DEPENDENT] = 0.0
    last = C.shape[1] - 1 - np.argmax(C[:, ::-1] != 0.0, axis=1)
    return C, last.astype(np.intp)


def largest_statistic_tail(t: float, correlation: Array, df: float, *, two_sided: bool = True) -> float:
    """Return ``P(max |T_i| > t)``, or ``P(max T_i > t)``.

    Parameters
    ----------
    t : float
    correlation : (m, m)
        Of the statistics; may be singular.
    df : float
        Degrees of freedom of the common variance; may be infinite.
    two_sided : bool
    """
    C, last = _directions(correlation)
    rank = C.shape[1]
    points = _points(rank + 1)
    scale = np.ones(points.shape[1]) if np.isinf(df) else np.sqrt(2.0 * special.gammaincinv(0.5 * df, points[0]) / df)
    inside = np.ones(points.shape[1])
    y = np.zeros((rank, points.shape[1]))
    for j in range(rank):
        low, high = _interval(t * scale, C[last == j], y, j, two_sided)
        start = special.ndtr(low)
        width = np.maximum(special.ndtr(high) - start, 0.0)
        inside *= width
        y[j] = special.ndtri(np.clip(start + points[j + 1] * width, 1e-300, 1.0 - 1e-16))
    return float(np.clip(1.0 - inside.mean(), 0.0, 1.0))


def _interval(limit: Array, rows: Array, y: Array, j: int, two_sided: bool) -> tuple[Array, Array]:
    """Return where direction ``j`` may lie so that the statistics in ``rows`` stay within the limit."""
    low, high = np.full(limit.size, -np.inf), np.full(limit.size, np.inf)
    for row in rows:
        before = row[:j] @ y[:j]
        upper = (limit - before) / row[j]
        lower = (-limit - before) / row[j] if two_sided else np.full(limit.size, -np.inf * row[j])
        low, high = np.maximum(low, np.minimum(lower, upper)), np.minimum(high, np.maximum(lower, upper))
    return low, high


def largest_statistic_quantile(tail: float, correlation: Array, df: float) -> float:
    """Return the ``t`` with ``P(max |T_i| > t) = tail``: between those of one statistic and of Bonferroni."""
    one = float(quantile(1.0 - 0.5 * tail, np.array([df]))[0])
    all_apart = float(quantile(1.0 - 0.5 * tail / len(correlation), np.array([df]))[0])
    return float(
        optimize.brentq(
            lambda t: largest_statistic_tail(t, correlation, df) - tail, (1.0 - SLACK) * one, (1.0 + SLACK) * all_apart
        )
    )


# ---------------------------------------------------------------- the studentized range
NODES = 128
FARTHEST = 8.5  # standard deviations beyond which the normal density counts for nothing
NEGLIGIBLE = 1e-15  # probability that is left out at both ends of the distribution of S
LARGE = 30.0  # argument of the gamma function from which Stirling's series is exact
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
    """Nodes and weights for expectations over ``S = chi / sqrt(df)``, in the logarithm u of its square."""
    half = 0.5 * df
    lower = max(float(special.gammaincinv(half, NEGLIGIBLE)), float(np.finfo(float).tiny))
    upper = float(special.gammainccinv(half, NEGLIGIBLE))
    u, weights = _rule(np.log(lower / half), np.log(upper / half))
    return np.exp(0.5 * u), weights * np.exp(half * (u - np.expm1(u)) + _log_norm(half))


def _log_norm(a: float) -> float:
    """Return ``a log a - a - log Gamma(a)``, by Stirling's series where the terms would cancel."""
    if a < LARGE:
        return float(a * np.log(a) - a - special.gammaln(a))
    return float(0.5 * np.log(a / (2.0 * np.pi)) - 1.0 / (12.0 * a) + 1.0 / (360.0 * a**3) - 1.0 / (1260.0 * a**5))


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
