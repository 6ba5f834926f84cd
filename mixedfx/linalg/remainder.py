"""The remainder: what is left of the equations when all block-diagonal factors are eliminated, dense or sparse.

Dense symmetric matrices are stored once, in packed cells (:mod:`mixedfx.linalg.packed`). A sparse remainder is
factorised, solved and inverted by rounds of independent sets (:mod:`mixedfx.linalg.elimination`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import Array, IntArray
from mixedfx.linalg import packed
from mixedfx.linalg.elimination import EliminationPlan, Round
from mixedfx.linalg.layout import Layout, SparseSquare, fields_only
from mixedfx.linalg.probes import Expansion, Nearby
from mixedfx.linalg.small import congruence, left_multiply, symmetrize

__all__ = ["Remainder", "ShiftedRemainder", "factorize_remainder", "mirrored"]

KEPT = 4_000_000  # numbers; inverses of this size stay: the Hessian at the optimum needs them again
SMALL_VARIANCE = 1e-6  # below this, relative to the information, the inverse of T would cancel
COLUMNS_AT_ONCE = 256  # right-hand sides solved together where a variance vanishes


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
            factor = self.factors[r]
            if np.any(factor[~np.eye(len(factor), dtype=bool)] != 0):
                return None
            parts.append(np.repeat(factor.diagonal(), self.layout.levels[r]))
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

    def both_sides(self, cells: Array, *, transpose: bool) -> Array:
        """Return the cells of ``Lambda @ A @ Lambda'`` (or of ``Lambda' A Lambda``) from those of ``A``."""
        n = self.layout.n_remainder
        if self.diagonal is not None:
            return packed.scale(cells.copy(), n, self.diagonal)
        half = self.times(packed.full(cells, n), transpose=transpose)
        return packed.pack(self.times(np.ascontiguousarray(half.T), transpose=transpose))


class Remainder(ABC):
    """The factorised remainder: ``K = Lambda (Lambda' S Lambda + I)^-1 Lambda'`` of a Schur complement ``S``."""

    layout: Layout

    @property
    @abstractmethod
    def logdet(self) -> float:
        """``log|Lambda' S Lambda + I|``."""

    @property
    @abstractmethod
    def k(self) -> Array:
        """``K`` in the cells of the layout."""

    @property
    @abstractmethod
    def dense_k(self) -> Array:
        """``K`` (r, r); zero off the pattern where it is sparse."""

    @abstractmethod
    def solve(self, side: Array) -> tuple[Array, Array]:
        """Return ``b = K side`` and ``side - S b`` for ``side`` (r, c)."""

    @abstractmethod
    def k_blocks(self, r: int) -> Array:
        """Return the diagonal blocks (Q, Q, m) of ``K`` for one factor."""

    @abstractmethod
    def k_entries(self, i: IntArray, j: IntArray) -> Array:
        """Return the entries (i, j) of ``K``, which must be in the pattern with its fill."""

    @abstractmethod
    def information(self, r: int) -> Array:
        """Return the diagonal blocks (Q, Q, m) of ``S - S K S`` for one factor."""

    @property
    def inner(self) -> Any:
        """``K`` as the cross-products of eliminated factors multiply it; without :attr:`expansion`."""
        return self.k.ravel()

    def nearby(self) -> Nearby | None:
        """Return what helps the same remainder at other covariance factors to start; None where it is factorised."""
        return None

    @property
    def expansion(self) -> Expansion | None:
        """What :attr:`inner` lacks, by random columns; None where nothing is estimated."""
        return None

    @property
    def logdets(self) -> Array:
        """:attr:`logdet` by each random probe (K,); empty where nothing is estimated."""
        return np.zeros(0)

    def information_deviations(self, r: int) -> Array:
        """By how much each probe's sum (K, Q, Q) of :meth:`information` differs from the mean; K = 0 if exact."""
        size = self.layout.sizes[r]
        return np.zeros((0, size, size))

    @abstractmethod
    def forget(self) -> None:
        """Drop a large inverse, which takes as much memory as the factor; it is computed again when asked for."""

    def shifted(self) -> ShiftedRemainder | None:
        """Return the remainder if ``K`` is ``(S + Lambda^-2)^-1``, formed densely; None otherwise."""
        return None


@dataclass(frozen=True)
class _DenseRemainder(Remainder):
    """What is known of a factorised dense remainder: the cells of a lower Cholesky factor, and of ``K`` from it."""

    layout: Layout
    root: Array

    @property
    def dense_k(self) -> Array:
        """``K`` (r, r), both triangles."""
        return packed.full(self.k, self.layout.n_remainder)

    def k_blocks(self, r: int) -> Array:
        """Diagonal blocks (Q, Q, m) of ``K`` for one factor."""
        return _blocks(self.layout, self.k, r)

    def k_entries(self, i: IntArray, j: IntArray) -> Array:
        """Entries (i, j) of ``K``."""
        if i is j:
            return np.asarray(self.k[self.layout.square.diagonal[i]])
        return np.asarray(self.k[self.layout.square.positions(np.maximum(i, j), np.minimum(i, j))])

    @property
    def log_root(self) -> float:
        """The logarithm of the determinant of ``root root'``."""
        return 2.0 * float(np.log(self.root[self.layout.square.diagonal]).sum())

    def forget(self) -> None:
        """Drop a large inverse, which takes as much memory as the factor; it is computed again when asked for."""
        if self.root.size <= KEPT:
            return
        for name in ("inverse", "k"):
            self.__dict__.pop(name, None)


@dataclass(frozen=True)
class ScaledRemainder(_DenseRemainder):
    """The factorised remainder for any ``Lambda``, singular ones included.

    Attributes
    ----------
    layout : Layout
    root : (cells,)
        ``L`` with ``L L' = Lambda' S Lambda + I``.
    scaling : _Scaling
    schur : (cells,)
        The Schur complement ``S``.
    """

    scaling: _Scaling
    schur: Array

    @property
    def logdet(self) -> float:
        """``log|Lambda' S Lambda + I|``."""
        return self.log_root

    def solve(self, side: Array) -> tuple[Array, Array]:
        """Return ``b = K side`` and ``side - S b`` for ``side`` (r, c)."""
        n = self.layout.n_remainder
        solved = packed.solve(self.root, n, self.scaling.times(side, transpose=True))
        b = self.scaling.times(solved, transpose=False)
        return b, side - packed.times(self.schur, n, b)

    @cached_property
    def inverse(self) -> Array:
        """``(Lambda' S Lambda + I)^-1`` in the cells."""
        return packed.inverse(self.root, self.layout.n_remainder)

    @cached_property
    def k(self) -> Array:
        """``K = Lambda (Lambda' S Lambda + I)^-1 Lambda'`` in the cells."""
        return self.scaling.both_sides(self.inverse, transpose=False)

    def information(self, r: int) -> Array:
        """Blocks (Q, Q, m) of ``S - S K S`` for one factor; by ``T^-T (I - M^-1) T^-1`` where that does not cancel."""
        layout, factor = self.layout, self.scaling.factors[r]
        at, size = layout.span(r), layout.sizes[r]
        blocks = _blocks(layout, self.schur, r)
        scale = float(np.max(np.einsum("aal->al", blocks), initial=0.0))
        smallest = float(np.linalg.svd(factor, compute_uv=False)[-1])
        if smallest**2 * scale > SMALL_VARIANCE:
            inside = np.eye(size)[:, :, None] - _blocks(layout, self.inverse, r)
            return congruence(np.asarray(np.linalg.inv(factor)), symmetrize(inside))
        rows = np.ascontiguousarray(packed.full(self.schur, layout.n_remainder)[at])
        product = packed.times(self.k, layout.n_remainder, rows.T).T.reshape(size, layout.levels[r], -1)
        quadratic = np.einsum("amc,bmc->abm", product, rows.reshape(product.shape))
        return symmetrize(blocks - quadratic)


def _blocks(layout: Layout, cells: Array, r: int) -> Array:
    """Return the diagonal blocks (Q, Q, m) of one factor."""
    size, m = layout.sizes[r], layout.levels[r]
    levels = layout.span(r).start + np.arange(m)
    blocks = np.empty((size, size, m))
    for a in range(size):
        for b in range(a + 1):
            blocks[a, b] = blocks[b, a] = cells[layout.square.positions(levels + a * m, levels + b * m)]
    return blocks


@dataclass(frozen=True)
class ShiftedRemainder(_DenseRemainder):
    """The factorised remainder where ``Lambda`` is diagonal and nothing vanishes: then ``K = (S + Lambda^-2)^-1``.

    Attributes
    ----------
    layout : Layout
    root : (cells,)
        ``L`` with ``L L' = S + Lambda^-2``.
    precision : (r,)
        Diagonal of ``Lambda^-2``.
    """

    precision: Array

    __getstate__ = fields_only

    def shifted(self) -> ShiftedRemainder:
        """Return this remainder."""
        return self

    @property
    def logdet(self) -> float:
        """``log|Lambda' S Lambda + I|``."""
        return self.log_root - float(np.log(self.precision).sum())

    def solve(self, side: Array) -> tuple[Array, Array]:
        """Return ``b = K side`` and ``side - S b`` for ``side`` (r, c)."""
        b = packed.solve(self.root, self.layout.n_remainder, side)
        return b, np.asarray(self.precision[:, None] * b)

    @cached_property
    def k(self) -> Array:
        """``K`` in the cells."""
        return packed.inverse(self.root, self.layout.n_remainder)

    def products_with(self, cells: Array) -> tuple[float, Array]:
        """Return ``tr(K G K G)`` and the diagonal (r,) of ``K G K``, for the cells of a symmetric ``G``."""
        return packed.squared_product(self.k, cells, self.layout.n_remainder)

    def squared_k_times(self, columns: Array) -> Array:
        """Return the products (r, c) of the squares of the entries of ``K`` with columns."""
        return packed.times(np.square(self.k), self.layout.n_remainder, columns)

    def information(self, r: int) -> Array:
        """Blocks (Q, Q, m) of ``S - S K S = Lambda^-2 - Lambda^-2 K Lambda^-2`` for one factor."""
        at, size = self.layout.span(r), self.layout.sizes[r]
        precision = self.precision[at].reshape(size, -1)
        blocks = -precision[:, None] * _blocks(self.layout, self.k, r) * precision
        blocks[np.arange(size), np.arange(size)] += precision
        return blocks


def factorize_remainder(layout: Layout, factors: Sequence[Array], cells: Array) -> Remainder:
    """Factorise the remainder with the Schur complement in the ``cells`` of the layout, which are overwritten."""
    if layout.sparse_square is not None:
        return _factorize_sparse(layout, layout.sparse_square, factors, cells)
    diagonal = layout.square.diagonal
    scaling = _Scaling(layout, tuple(factors))
    precision = _precision(scaling, cells[diagonal])
    if precision is None:
        inner = scaling.both_sides(cells, transpose=True)
        inner[diagonal] += 1.0
        return ScaledRemainder(layout, packed.factorize(inner, layout.n_remainder), scaling, cells)
    cells[diagonal] += precision
    return ShiftedRemainder(layout, packed.factorize(cells, layout.n_remainder), precision)


def _precision(scaling: _Scaling, diagonal: Array) -> Array | None:
    """``Lambda^-2`` (r,), or None where it is no diagonal or too large beside that of ``S``."""
    if scaling.diagonal is None:
        return None
    variances = np.square(scaling.diagonal)
    return None if _is_small(variances, diagonal) else 1.0 / variances


@dataclass(frozen=True)
class _Elimination:
    """A round's pivots ``d`` (s,) and multipliers ``l`` (e,)."""

    round: Round
    d: Array
    l: Array

    def matrix(self, n: int) -> sp.csr_array:
        """The multipliers (s, n)."""
        stage = self.round
        return sp.csr_array((self.l, stage.columns, stage.starts), shape=(stage.nodes.size, n))


@dataclass(frozen=True)
class SparseRemainder(Remainder):
    """The factorised remainder whose Schur complement is sparse, for factors with one coefficient a level.

    Attributes
    ----------
    layout : Layout
    square : SparseSquare
        Where the entries are kept.
    diagonal : (r,)
        ``Lambda``.
    schur : (cells,) or None
        The Schur complement ``S`` in the cells of the plan, where some ``Lambda`` is too small to do without.
    steps : tuple of _Elimination
    root : (cells of the core,)
        Lower Cholesky factor of the core.
    """

    layout: Layout
    square: SparseSquare
    diagonal: Array
    schur: Array | None
    steps: tuple[_Elimination, ...]
    root: Array

    @property
    def plan(self) -> EliminationPlan:
        """The order of elimination."""
        return self.square.plan

    @cached_property
    def logdet(self) -> float:
        """``log|Lambda' S Lambda + I|``."""
        every = np.arange(self.plan.core.size)
        core = 2.0 * float(np.log(self.root[packed.positions(every.size, every, every)]).sum())
        return core + sum(float(np.log(step.d).sum()) for step in self.steps)

    def solve(self, side: Array) -> tuple[Array, Array]:
        """Return ``b = K side`` and ``side - S b`` for ``side`` (r, c)."""
        x = self.diagonal[:, None] * side
        matrices = self._multipliers
        for step, matrix in zip(self.steps, matrices, strict=True):
            x -= matrix.T @ x[step.round.nodes]
        core = self.plan.core
        if core.size:
            x[core] = packed.solve(self.root, core.size, x[core])
        for step, matrix in zip(reversed(self.steps), reversed(matrices), strict=True):
            x[step.round.nodes] = x[step.round.nodes] / step.d[:, None] - matrix @ x
        b = self.diagonal[:, None] * x
        return b, x / self.diagonal[:, None] if self._matrix is None else side - self._matrix @ b

    @cached_property
    def _multipliers(self) -> list[sp.csr_array]:
        return [step.matrix(len(self.diagonal)) for step in self.steps]

    @cached_property
    def _matrix(self) -> sp.csr_array | None:
        """``S`` (r, r), if it is kept."""
        return None if self.schur is None else self.square.matrix(self.schur)

    def _inverse(self) -> Array:
        """``(Lambda' S Lambda + I)^-1`` in the cells of the plan, last round first."""
        plan = self.plan
        z = np.zeros(plan.n_cells)
        if plan.core.size:
            core = plan.core_of(z)
            core[:] = self.root
            core[:] = packed.inverse(core, plan.core.size, overwrite=True)
        for step in reversed(self.steps):
            stage = step.round
            of_pair = z[stage.target_of_pair]
            which, one, other = stage.unequal
            count = stage.cells.size
            total = np.bincount(stage.first, weights=step.l[stage.second] * of_pair, minlength=count)
            total += np.bincount(other, weights=step.l[one] * of_pair[which], minlength=count)
            z[stage.cells] = -total
            z[stage.diagonal] = 1.0 / step.d + np.bincount(stage.rows, weights=step.l * total, minlength=step.d.size)
        return z

    @cached_property
    def k(self) -> Array:
        """``K = Lambda (Lambda' S Lambda + I)^-1 Lambda'`` in the cells of the plan."""
        return _scale(self.plan, self.diagonal, self._inverse())

    @property
    def dense_k(self) -> Array:
        """``K`` (r, r) on the pattern of the cross-products, zero elsewhere."""
        return np.asarray(self.square.matrix(self.k).toarray())

    def k_blocks(self, r: int) -> Array:
        """Diagonal (1, 1, m) of ``K`` for one factor."""
        return np.asarray(self.k[self.square.diagonal[self.layout.span(r)]])[None, None]

    def k_entries(self, i: IntArray, j: IntArray) -> Array:
        """Entries (i, j) of ``K``, which must be in the pattern with its fill."""
        return np.asarray(self.k[self.square.diagonal[i] if i is j else self.plan.positions(i, j)])

    def forget(self) -> None:
        """Drop the inverse, which takes as much memory as the factor; it is computed again when asked for."""
        self.__dict__.pop("k", None)

    def information(self, r: int) -> Array:
        """Diagonal (1, 1, m) of ``S - S K S`` for one factor; from ``K`` where that does not cancel."""
        at = self.layout.span(r)
        cells, variance = self.square.diagonal[at], np.square(self.diagonal[at])
        if self._matrix is None or self.schur is None or not _is_small(variance, self.schur[cells]):
            return np.asarray((1.0 - self.k[cells] / variance) / variance)[None, None]
        out = self.schur[cells]
        for first in range(at.start, at.stop, COLUMNS_AT_ONCE):
            columns = np.arange(first, min(first + COLUMNS_AT_ONCE, at.stop))
            side = self._matrix[:, columns].toarray()
            out[columns - at.start] -= np.einsum("rc,rc->c", side, self.solve(side)[0])
        return out[None, None]


def _is_small(variances: Array, diagonal: Array) -> bool:
    """Whether variances of the effects are too small beside the diagonal of ``S`` to divide by them."""
    return not float(np.min(variances, initial=np.inf)) * float(np.max(diagonal, initial=0.0)) > SMALL_VARIANCE


def _scale(plan: EliminationPlan, diagonal: Array, cells: Array) -> Array:
    """Multiply every entry (i, j) by ``diagonal[i] * diagonal[j]``, in place."""
    i, j = plan.outer
    cells[: i.size] *= diagonal[i] * diagonal[j]
    if plan.core.size:
        packed.scale(plan.core_of(cells), plan.core.size, diagonal[plan.core])
    return cells


def _factorize_sparse(layout: Layout, square: SparseSquare, factors: Sequence[Array], schur: Array) -> SparseRemainder:
    """Eliminate the rounds of the plan in turn, and factorise its core."""
    diagonal = np.concatenate([np.full(layout.levels[r], factors[r][0, 0]) for r in layout.remainder])
    plan = square.plan
    kept = schur.copy() if _is_small(np.square(diagonal), schur[square.diagonal]) else None
    cells = _scale(plan, diagonal, schur)
    cells[square.diagonal] += 1.0
    steps = []
    for stage in plan.rounds:
        d, a = cells[stage.diagonal], cells[stage.cells]
        if not np.min(d, initial=1.0) > 0:
            raise FloatingPointError("the remainder of the mixed-model equations is not positive definite")
        multipliers = a / d[stage.rows]
        if stage.first.size:
            products = multipliers[stage.first] * a[stage.second]
            cells[stage.targets] -= np.add.reduceat(products, stage.bounds)
        steps.append(_Elimination(stage, d, multipliers))
    core = plan.core_of(cells)
    root = packed.factorize(core, plan.core.size) if core.size else core
    return SparseRemainder(layout, square, diagonal, kept, tuple(steps), root)
