"""Starting values from moments: unbiased estimates of the variances that need one look at the cross-products.

With the coefficients of the random terms taken as uncorrelated, ``E(y y')`` is linear in ``(sigma^2, sigma^2 gamma)``.
Equating the quadratic forms ``y' P Z_i Z_i' P y`` with their expectations, ``P`` the projection off the fixed effects,
is Rao's MINQUE(0): exact for balanced designs, and close for most others. Correlations within a term follow in the same
way from the products ``Z_a' P y y' P Z_b``, the other factors set aside.

References
----------
Rao (1972), J. Am. Stat. Assoc. 67, 112.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import numpy as np

from mixedfx._lazy import cached_property
from mixedfx._typing import Array, IntArray
from mixedfx.covariance import PooledDiagonalCovariance
from mixedfx.criterion.assembly import CovarianceModel
from mixedfx.linalg.gram import Gram

__all__ = ["moment_start"]

# Small balanced data, whose moments are the estimate, start a little off the optimum, so that an iteration limit means
# the same for all. With many effects an evaluation is dear, and the search starts at the moments.
FROM_ABOVE = 1.05
MANY_EFFECTS = 1000
LEAST_RESIDUAL = 1e-15  # of the mean square of the response: a smaller residual variance is rounding
SMALLEST_SHARE = 0.1  # of the variance that one level's data say nothing about: the smallest one to start from


def moment_start(gram: Gram, model: CovarianceModel, n: int) -> Array:
    """Return starting values (n_theta,); those of the identity where the moments make no sense."""
    start = model.start.copy()
    if not model.terms:
        return start
    moments = _Moments(gram, n, _ties(gram, model))
    if moments.relative_variances is None:
        return start
    layout = gram.layout
    effects = sum(m * size for m, size in zip(layout.levels, layout.sizes, strict=True))
    factor = FROM_ABOVE if effects < MANY_EFFECTS else 1.0
    for term in model.terms:
        own = moments.covariance(term.factor, term.coefficients, correlated=term.covariance.is_correlated)
        start[term.theta] = term.covariance.near(factor * own)
    return start


@cache
def _below_diagonal(size: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the entries below the diagonal of a matrix."""
    return np.tril_indices(size, -1)


def _ties(gram: Gram, model: CovarianceModel) -> IntArray:
    """Number the unknown variance (k,) of each coefficient of each factor: one for those that are equal in blocks."""
    starts = list(accumulate(gram.layout.sizes, initial=0))
    is_new = np.ones(starts[-1], dtype=np.intp)
    for term in model.terms:
        if isinstance(term.covariance, PooledDiagonalCovariance):
            own = starts[term.factor] + np.arange(term.coefficients.start, term.coefficients.stop)
            is_new[own] = 0
            is_new[own[list(term.covariance.firsts)]] = 1
    return np.asarray(np.cumsum(is_new) - 1)


def _solved(matrix: Array, forms: Array) -> Array:
    """Least squares for moments, each in its own size."""
    scale = np.sqrt(np.maximum(matrix.diagonal(), np.finfo(float).tiny))
    return np.asarray(np.linalg.lstsq(matrix / (scale * scale[:, None]), forms / scale, rcond=None)[0] / scale)


@dataclass(frozen=True)
class _Moments:
    """Quadratic forms of the data and their expectations, one for each coefficient of each factor; ``ties`` (k,)."""

    gram: Gram
    n: int
    ties: IntArray

    @cached_property
    def starts(self) -> list[int]:
        """First coefficient of every factor."""
        return list(accumulate(self.gram.layout.sizes, initial=0))

    @cached_property
    def _hat(self) -> Array:
        """``(X'X)^-1`` (p, p)."""
        return np.asarray(np.linalg.inv(self.gram.total[:-1, :-1]), dtype=float)

    @cached_property
    def _sides(self) -> list[Array]:
        """``Z_i' [X y]`` (m, p + 1) of every coefficient."""
        layout = self.gram.layout
        rest = [
            self.gram.remainder_side[layout.span(r)].reshape(layout.sizes[r], layout.levels[r], -1)
            for r in layout.remainder
        ]
        return [side for factor in (*self.gram.sides, *rest) for side in factor]

    @cached_property
    def _expectations(self) -> Array:
        """``tr(P Z_i Z_i' P Z_j Z_j')`` (k, k)."""
        frobenius = self.gram.squared_norms()
        X = [side[:, :-1] for side in self._sides]
        if X[0].shape[1] == 0:
            return frobenius
        inner = np.array([self._hat @ (x.T @ x) for x in X])
        both = inner.reshape(len(X), -1) @ inner.swapaxes(1, 2).reshape(len(X), -1).T
        mixed = np.empty_like(frobenius)
        layout = self.gram.layout
        for g in range(layout.n_factors):
            for b in range(layout.sizes[g]):
                j = self.starts[g] + b
                t = np.zeros((layout.sizes[g], layout.levels[g], X[j].shape[1]))
                t[b] = X[j] @ self._hat
                moved = self._split(*self.gram.times(g, t))
                mixed[:, j] = [np.vdot(x, part) for x, part in zip(X, moved, strict=True)]
        return np.asarray(frobenius - mixed - mixed.T + both)

    def _split(self, chain: tuple[Array, ...], rest: Array) -> list[Array]:
        layout = self.gram.layout
        parts = [side for factor in chain for side in factor]
        for r in layout.remainder:
            parts.extend(rest[layout.span(r)].reshape(layout.sizes[r], layout.levels[r], -1))
        return parts

    @cached_property
    def _traces(self) -> Array:
        """``tr(P Z_i Z_i')`` (k,)."""
        layout, gram = self.gram.layout, self.gram
        traces = [gram.diagonal[f][a, a].sum() for f in layout.chain for a in range(layout.sizes[f])]
        for r in layout.remainder:
            traces.extend(gram.remainder.diagonal()[layout.span(r)].reshape(layout.sizes[r], -1).sum(axis=1))
        fixed = [((side[:, :-1] @ self._hat) * side[:, :-1]).sum() for side in self._sides]
        return np.asarray(np.array(traces) - fixed)

    @cached_property
    def _beta(self) -> Array:
        """Ordinary least squares (p,)."""
        return np.asarray(self._hat @ self.gram.total[:-1, -1])

    @cached_property
    def _of_residual(self) -> Array:
        """``(-beta, 1)`` (p + 1,): what makes residuals of ``[X y]``."""
        return np.concatenate([-self._beta, [1.0]])

    @cached_property
    def _variances(self) -> Array:
        """``(sigma^2, sigma^2 gamma)`` (1 + k,)."""
        total, weights = self.gram.total, self._of_residual
        forms = np.array([weights @ total @ weights, *(np.square(side @ weights).sum() for side in self._sides)])
        matrix = np.empty((forms.size, forms.size))
        matrix[0, 0], matrix[0, 1:], matrix[1:, 0] = self.n - self._beta.size, self._traces, self._traces
        matrix[1:, 1:] = self._expectations
        if self.ties[-1] < self.ties.size - 1:  # one unknown for coefficients of one variance
            member = np.zeros((forms.size, int(self.ties[-1]) + 2))
            member[0, 0] = member[np.arange(1, forms.size), 1 + self.ties] = 1.0
            return np.asarray(member @ _solved(member.T @ matrix @ member, member.T @ forms))
        return _solved(matrix, forms)

    @cached_property
    def relative_variances(self) -> Array | None:
        """``gamma`` (k,), none too small to start from; None without a sensible residual variance."""
        variances = self._variances
        if not (
            np.isfinite(variances).all() and variances[0] > LEAST_RESIDUAL * float(self.gram.total[-1, -1]) / self.n
        ):
            return None
        levels = np.array([len(side) for side in self._sides])
        smallest = SMALLEST_SHARE * levels / np.maximum(self._traces, np.finfo(float).tiny)
        return np.asarray(np.maximum(variances[1:] / variances[0], np.minimum(smallest, 1.0)))

    def covariance(self, f: int, coefficients: slice, *, correlated: bool) -> Array:
        """Relative covariance (q, q) of coefficients of a factor: variances from all factors, the rest from its own."""
        assert self.relative_variances is not None
        start = self.starts[f]
        out = np.diag(self.relative_variances[start : self.starts[f + 1]][coefficients])
        if len(out) == 1 or not correlated:
            return out
        rows, columns = _below_diagonal(len(out))
        expected, excess = self._products(f, coefficients)
        of_variances = np.einsum("abcc,c->ab", expected, out.diagonal())[rows, columns]
        matrix = (expected + expected.swapaxes(2, 3))[rows, columns][:, rows, columns]
        covariances = np.linalg.lstsq(matrix, excess[rows, columns] - of_variances, rcond=None)[0]
        out[rows, columns] = out[columns, rows] = covariances
        return out

    def _products(self, f: int, coefficients: slice) -> tuple[Array, Array]:
        """``<M_ac, M_bd>`` (q, q, q, q) with ``M = Z' P Z``, and ``Z_a' P y y' P Z_b / sigma^2 - tr M_ab`` (q, q)."""
        side = np.array(self._sides[self.starts[f] : self.starts[f + 1]])[coefficients]
        X, e = side[:, :, :-1], side @ self._of_residual
        blocks = self.gram.own_blocks(f)[coefficients, coefficients]
        q, _, m = blocks.shape
        fixed = np.einsum("amk,bmk->abm", X @ self._hat, X)
        flat, less = blocks.reshape(q * q, m), (blocks - 2.0 * fixed).reshape(q * q, m)
        half = (flat @ less.T).reshape(q, q, q, q)
        p = X.shape[2]
        wide = X.transpose(1, 0, 2).reshape(m, q * p)
        inner = (wide.T @ wide).reshape(q, p, q, p).transpose(0, 2, 1, 3) @ self._hat
        left, right = inner.reshape(q * q, p * p), inner.swapaxes(2, 3).reshape(q * q, p * p)
        both = (left @ right.T).reshape(q, q, q, q).transpose(3, 2, 0, 1)
        expected = 0.5 * (half + half.transpose(2, 3, 0, 1)).transpose(0, 2, 1, 3) + both
        excess = e @ e.T / self._variances[0] - blocks.sum(axis=2) + np.einsum("abll->ab", inner)
        return expected, excess
