"""Which standard deviations to raise from zero, and with which correlations: a correlation of no variance is free."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray

__all__ = ["best_opening"]

FEW = 6  # closed standard deviations up to which every subset is looked at
WORTH = 1e-5  # predicted fall of -2 log L that is worth an opening


def best_opening(
    sd: Array, zero: BoolArray, gradient: Array, candidates: Iterable[tuple[Array, Array]], size: float
) -> tuple[Array, Array] | None:
    """Return standard deviations (q,) and correlation parameters that the criterion likes best, or None.

    Parameters
    ----------
    sd : (q,)
        Standard deviations.
    zero : (q,)
        Which of them are closed and may be raised, by no more than ``size``.
    gradient : (q, q)
        Derivative ``N`` of the criterion with respect to the covariance.
    candidates : iterable of (rho, correlation)
        Correlation parameters that leave the correlations of the open columns as they are, with their matrix (q, q).

    Notes
    -----
    Standard deviations ``d`` in place of zeros change the criterion by ``c'd + d'M d`` to first order in the
    covariance, ``M`` the entries of ``N o R`` of the closed columns and ``c`` twice its products with the open ones. On
    ``d >= 0`` a quadratic form is least at an eigenvector of one of its principal submatrices.
    """
    best, found = -WORTH, None
    for rho, correlation in candidates:
        product = gradient * correlation
        M = product[np.ix_(zero, zero)]
        c = 2.0 * product[np.ix_(zero, ~zero)] @ sd[~zero]
        for d in _directions(M, c, size):
            change = float(c @ d + d @ M @ d)
            if change < best:
                best, found = change, (_raised(sd, zero, d), rho)
    return found


def _raised(sd: Array, zero: BoolArray, d: Array) -> Array:
    out = sd.copy()
    out[zero] = d
    return out


def _directions(M: Array, c: Array, size: float) -> list[Array]:
    """Standard deviations (k,) worth a look: along each slope that falls, along all, and where there is no slope.

    The quadratic form has a say only there: it is of second order, as is what the criterion has beyond.
    """
    k = len(c)
    diagonal = M.diagonal()
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(diagonal > 0, np.minimum(-0.5 * c / diagonal, size), size)
    falling = np.where(c < 0, reach, 0.0)
    out = [falling, *np.diag(falling)[c < 0]]
    for subset in _subsets(np.flatnonzero(c * size <= WORTH)):
        _, vectors = np.linalg.eigh(M[np.ix_(subset, subset)])
        leading = vectors[:, 0] * np.sign(vectors[np.argmax(np.abs(vectors[:, 0])), 0])
        if np.all(leading >= 0):
            d = np.zeros(k)
            d[list(subset)] = size * leading
            out.append(d)
    return out


def _subsets(which: IntArray) -> list[tuple[int, ...]]:
    k = len(which)
    sizes = range(1, k + 1) if k <= FEW else (1, 2, k)
    return [subset for count in sizes for subset in combinations(which.tolist(), count)]
