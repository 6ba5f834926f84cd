"""Conjugate gradients for many right-hand sides at once, and what their coefficients say of the determinant.

References
----------
Hestenes & Stiefel (1952), J. Res. Natl. Bur. Stand. 49, 409; Golub & Meurant (2010), Matrices, Moments and Quadrature,
for the tridiagonal matrix of Lanczos in the coefficients of conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

from mixedfx._typing import Array, IntArray

__all__ = ["Solved", "solve_columns"]

MOST_STEPS = 5000  # systems that need more are no better solved by patience
DROPPED = 0.75  # converged columns leave when no more than this share is still worked on


@dataclass(frozen=True)
class Solved:
    """Solutions ``x`` (n, c) of ``A x = b``, and the coefficients of the steps.

    Attributes
    ----------
    x : (n, c)
    steps : (c,)
        Steps that each column took.
    alpha, beta : (most steps, c)
        Lengths of the steps, and how much of the last direction is kept after each.
    """

    x: Array
    steps: IntArray
    alpha: Array
    beta: Array

    def logarithms(self) -> Array:
        """Return ``e_1' log(T) e_1`` (c,), T the Lanczos matrix of each column: ``b' log(A) b / b'b`` of a cold start.

        Gauss quadrature; exact where the steps span all that ``b`` touches.
        """
        return np.array([self._logarithm(j, int(k)) for j, k in enumerate(self.steps)])

    def _logarithm(self, j: int, k: int) -> float:
        if k == 0:
            return 0.0
        alpha, beta = self.alpha[:k, j], self.beta[: k - 1, j]
        diagonal = 1.0 / alpha
        diagonal[1:] += beta / alpha[:-1]
        values, vectors = eigh_tridiagonal(diagonal, np.sqrt(beta) / alpha[:-1])
        return float(np.square(vectors[0]) @ np.log(values))


def solve_columns(
    times: Callable[[Array], Array],
    b: Array,
    tolerance: float,
    start: Array | None = None,
    least_steps: int = 0,
    scale: Array | None = None,
) -> Solved:
    """Solve ``A x = b`` for a symmetric positive definite ``A`` and many columns.

    Parameters
    ----------
    times : callable
        ``A @ v`` for columns ``v`` (n, c).
    b : (n, c)
    tolerance : float
        Of the residual's length relative to that of its right-hand side, column by column.
    start : (n, c), optional
        Where to start; zero if omitted, which the logarithms of :class:`Solved` need.
    least_steps : int
        Steps that every column takes at least.
    scale : (n, c), optional
        What the residuals are compared with, where ``b`` is only a part of it, perhaps no more than its rounding.

    Raises
    ------
    FloatingPointError
        If ``A`` is not positive definite, or a column does not converge.
    """
    x = np.zeros_like(b) if start is None else start.copy()
    r = b.copy() if start is None else b - times(x)
    p, rr = r.copy(), _lengths(r)
    goal = tolerance**2 * _lengths(b if scale is None else scale)
    steps = np.zeros(b.shape[1], dtype=np.intp)
    alphas: list[Array] = []
    betas: list[Array] = []
    at = np.flatnonzero(rr > goal)
    whole = at.size == b.shape[1]
    if not whole:
        p, r, rr = p[:, at], r[:, at], rr[at]
    solution = x if whole else x[:, at]
    for step in range(MOST_STEPS):
        if at.size == 0:
            return Solved(x, steps, _table(alphas, b.shape[1]), _table(betas, b.shape[1]))
        q = times(p)
        pq = _products(p, q)
        if not np.all(pq > 0):
            raise FloatingPointError("the remainder of the mixed-model equations is not positive definite")
        alpha = rr / pq
        solution += alpha * p
        q *= alpha
        r -= q
        new = _lengths(r)
        beta = new / rr
        steps[at] += 1
        alphas.append(_spread(alpha, at, b.shape[1]))
        betas.append(_spread(beta, at, b.shape[1]))
        p *= beta
        p += r
        rr = new
        working = (rr > goal[at]) | (step + 1 < least_steps)
        if working.sum() <= DROPPED * at.size or not working.all():
            x[:, at] = solution
            at, p, r, rr = at[working], p[:, working], r[:, working], rr[working]
            solution = x[:, at]
    raise FloatingPointError(f"the remainder of the mixed-model equations was not solved in {MOST_STEPS} steps")


def _lengths(v: Array) -> Array:
    """Squared lengths (c,) of the columns."""
    return np.asarray(np.einsum("ij,ij->j", v, v))


def _products(v: Array, w: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->j", v, w))


def _spread(values: Array, at: IntArray, count: int) -> Array:
    out = np.zeros(count)
    out[at] = values
    return out


def _table(rows: list[Array], count: int) -> Array:
    return np.array(rows) if rows else np.zeros((0, count))
