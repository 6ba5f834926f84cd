"""The dense remainder: what is left of the equations when all block-diagonal factors are eliminated.

Square matrices are row-major with zeros above the diagonal; only lower triangles are computed. LAPACK is column-major
and sees them, without a copy, as upper triangles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import blas, lapack

from mixedfx._typing import Array, IntArray
from mixedfx.linalg.layout import Layout
from mixedfx.linalg.small import congruence, diagonal_blocks, left_multiply, symmetrize
from mixedfx.linalg.stored import fields_only

__all__ = ["Remainder", "ShiftedRemainder", "factorize_remainder", "mirrored"]

KEPT = 4_000_000  # numbers; inverses of this size stay: the Hessian at the optimum needs them again
SMALL_VARIANCE = 1e-6  # below this, relative to the information, the inverse of T would cancel


def mirrored(lower: Array) -> Array:
    """Return the symmetric matrix with this lower triangle (zeros above)."""
    out = lower + lower.T
    out.flat[:: len(lower) + 1] *= 0.5
    return np.asarray(out)


@dataclass(frozen=True)
class _Scaling:
    """``Lambda`` of the remainder: ``T`` of every factor, repeated over its levels."""

    layout: Layout
    factors: tuple[Array, ...]

    @cached_property
    def diagonal(self) -> Array | None:
        """The diagonal (r,), if ``Lambda`` is diagonal."""
        parts = []
        for r in self.layout.remainder:
            own = self.factors[r]
            if np.any(own[~np.eye(len(own), dtype=bool)] != 0):
                return None
            parts.append(np.repeat(own.diagonal(), self.layout.levels[r]))
        return np.concatenate(parts)

    def times(self, rows: Array, *, transpose: bool) -> Array:
        """Return ``Lambda @ rows``, or with its transpose."""
        if self.diagonal is not None:
            return np.asarray(self.diagonal[:, None] * rows)
        out = np.empty_like(rows)
        for r in self.layout.remainder:
            factor = self.factors[r].T if transpose else self.factors[r]
            at = self.layout.span(r)
            size, m = self.layout.sizes[r], self.layout.levels[r]
            out[at] = left_multiply(factor, rows[at].reshape(size, m, -1)).reshape(size * m, -1)
        return out

    def both_sides(self, lower: Array, *, transpose: bool) -> Array:
        """Return the lower triangle of ``Lambda @ A @ Lambda'`` (or of ``Lambda' A Lambda``) from that of ``A``."""
        if self.diagonal is not None:
            out = self.diagonal[:, None] * lower
            out *= self.diagonal
            return np.asarray(out)
        half = self.times(mirrored(lower), transpose=transpose)
        return np.tril(self.times(np.ascontiguousarray(half.T), transpose=transpose))


@dataclass(frozen=True)
class _DenseRemainder(ABC):
    """What is known of a factorised dense remainder: a lower Cholesky factor, and ``K`` from it."""

    layout: Layout
    root: Array

    @property
    @abstractmethod
    def k(self) -> Array:
        """Lower triangle of ``K``."""

    @cached_property
    def dense_k(self) -> Array:
        """``K`` (r, r), both triangles."""
        return mirrored(self.k)

    def k_blocks(self, r: int) -> Array:
        """Diagonal blocks (Q, Q, m) of ``K`` for one factor."""
        at = self.layout.span(r)
        return _blocks(self.k[at, at], self.layout.sizes[r])

    def k_entries(self, i: IntArray, j: IntArray) -> Array:
        """Entries (i, j) of ``K``."""
        return _entries(self.k, i, j)

    def forget(self) -> None:
        """Drop a large inverse, which takes as much memory as the factor; it is computed again when asked for."""
        if self.root.size <= KEPT:
            return
        for name in ("inverse", "k", "dense_k"):
            self.__dict__.pop(name, None)


@dataclass(frozen=True)
class Remainder(_DenseRemainder):
    """The factorised remainder.

    Attributes
    ----------
    layout : Layout
    root : (r, r)
        ``L`` with ``L L' = Lambda' S Lambda + I``.
    scaling : _Scaling
    schur : (r, r)
        Lower triangle of the Schur complement ``S``.
    """

    scaling: _Scaling
    schur: Array

    @property
    def logdet(self) -> float:
        """``log|Lambda' S Lambda + I|``."""
        return 2.0 * float(np.log(self.root.diagonal()).sum())

    def solve(self, side: Array) -> tuple[Array, Array]:
        """Return ``b = K side`` and ``side - S b`` for ``side`` (r, c)."""
        scaled = self.scaling.times(side, transpose=True)
        solved, info = lapack.dpotrs(self.root.T, scaled, lower=0)
        assert info == 0
        b = self.scaling.times(np.asarray(solved), transpose=False)
        return b, side - self._times_schur(b)

    def _times_schur(self, b: Array) -> Array:
        if b.shape[1] == 0:
            return b
        return np.asarray(blas.dsymm(1.0, self.schur.T, b, lower=0))

    @cached_property
    def inverse(self) -> Array:
        """Lower triangle of ``(Lambda' S Lambda + I)^-1``."""
        inverse, info = lapack.dpotri(self.root.T, lower=0)
        assert info == 0
        return np.asarray(inverse.T)

    @cached_property
    def k(self) -> Array:
        """Lower triangle of ``K = Lambda (Lambda' S Lambda + I)^-1 Lambda'``."""
        return self.scaling.both_sides(self.inverse, transpose=False)

    def information(self, r: int) -> Array:
        """Blocks (Q, Q, m) of ``S - S K S`` for one factor; by ``T^-T (I - M^-1) T^-1`` where that does not cancel."""
        layout, factor = self.layout, self.scaling.factors[r]
        at, size = layout.span(r), layout.sizes[r]
        own = _blocks(self.schur[at, at], size)
        scale = float(np.max(np.einsum("aal->al", own), initial=0.0))
        smallest = float(np.linalg.svd(factor, compute_uv=False)[-1])
        if smallest**2 * scale > SMALL_VARIANCE:
            inside = np.eye(size)[:, :, None] - _blocks(self.inverse[at, at], size)
            return congruence(np.asarray(np.linalg.inv(factor)), symmetrize(inside))
        rows = mirrored(self.schur)[at]
        product = np.asarray(rows @ self.dense_k).reshape(size, layout.levels[r], -1)
        quadratic = np.einsum("amc,bmc->abm", product, rows.reshape(product.shape))
        return symmetrize(own - quadratic)


def _blocks(lower: Array, size: int) -> Array:
    """Return the diagonal blocks (size, size, m) of a symmetric matrix with this lower triangle."""
    blocks = diagonal_blocks(lower, size)
    above, below = np.triu_indices(size, 1)
    blocks[above, below] = blocks[below, above]
    return blocks


def _entries(lower: Array, i: IntArray, j: IntArray) -> Array:
    """Return entries (i, j) of a symmetric matrix with this lower triangle."""
    n = len(lower)
    flat = i * (n + 1) if i is j else np.maximum(i, j) * n + np.minimum(i, j)
    return np.asarray(lower.ravel()[flat])


@dataclass(frozen=True)
class ShiftedRemainder(_DenseRemainder):
    """The factorised remainder where ``Lambda`` is diagonal and nothing vanishes: then ``K = (S + Lambda^-2)^-1``.

    Attributes
    ----------
    layout : Layout
    root : (r, r)
        ``L`` with ``L L' = S + Lambda^-2``.
    precision : (r,)
        Diagonal of ``Lambda^-2``.
    """

    precision: Array

    __getstate__ = fields_only

    @property
    def logdet(self) -> float:
        """``log|Lambda' S Lambda + I|``."""
        return 2.0 * float(np.log(self.root.diagonal()).sum()) - float(np.log(self.precision).sum())

    def solve(self, side: Array) -> tuple[Array, Array]:
        """Return ``b = K side`` and ``side - S b`` for ``side`` (r, c)."""
        b, info = lapack.dpotrs(self.root.T, side, lower=0)
        assert info == 0
        return np.asarray(b), np.asarray(self.precision[:, None] * b)

    @cached_property
    def k(self) -> Array:
        """Lower triangle of ``K``."""
        inverse, info = lapack.dpotri(self.root.T, lower=0)
        assert info == 0
        return np.asarray(inverse.T)

    def information(self, r: int) -> Array:
        """Blocks (Q, Q, m) of ``S - S K S = Lambda^-2 - Lambda^-2 K Lambda^-2`` for one factor."""
        at, size = self.layout.span(r), self.layout.sizes[r]
        own = self.precision[at].reshape(size, -1)
        blocks = -own[:, None] * _blocks(self.k[at, at], size) * own
        blocks[np.arange(size), np.arange(size)] += own
        return blocks


def factorize_remainder(layout: Layout, factors: Sequence[Array], schur: Array) -> Remainder | ShiftedRemainder:
    """Factorise the remainder with the Schur complement ``schur`` (lower triangle), which may be overwritten."""
    scaling = _Scaling(layout, tuple(factors))
    precision = _precision(scaling, schur)
    if precision is None:
        inner = scaling.both_sides(schur, transpose=True)
        inner.flat[:: len(inner) + 1] += 1.0
        return Remainder(layout, _root(inner), scaling, schur)
    schur.flat[:: len(schur) + 1] += precision
    return ShiftedRemainder(layout, _root(schur), precision)


def _precision(scaling: _Scaling, schur: Array) -> Array | None:
    """``Lambda^-2`` (r,), or None where it is no diagonal or too large beside ``S``."""
    if scaling.diagonal is None:
        return None
    variances = np.square(scaling.diagonal)
    scale = float(np.max(schur.diagonal(), initial=0.0))
    return 1.0 / variances if float(variances.min()) * scale > SMALL_VARIANCE else None


def _root(matrix: Array) -> Array:
    """Lower Cholesky factor (in the lower triangle) of a matrix of which only that is used, in its place."""
    root, info = lapack.dpotrf(matrix.T, lower=0, overwrite_a=1, clean=0)
    if info:
        raise FloatingPointError("the remainder of the mixed-model equations is not positive definite")
    return np.asarray(root.T)
