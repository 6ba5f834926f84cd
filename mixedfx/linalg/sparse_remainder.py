"""A remainder whose Schur complement is sparse: factor, solutions and inverse by rounds of independent sets.

The same questions as :class:`~mixedfx.linalg.remainder.Remainder` answers, for factors with one coefficient a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack

from mixedfx._typing import Array, IntArray
from mixedfx.linalg.elimination import EliminationPlan, Round
from mixedfx.linalg.layout import Layout
from mixedfx.linalg.remainder import SMALL_VARIANCE
from mixedfx.linalg.square import SparseSquare

__all__ = ["SparseRemainder", "factorize_sparse_remainder"]

COLUMNS_AT_ONCE = 256  # right-hand sides solved together where a variance vanishes


@dataclass(frozen=True)
class _Step:
    """A round's pivots ``d`` (s,) and multipliers ``l`` (e,)."""

    round: Round
    d: Array
    l: Array

    def matrix(self, n: int) -> sp.csr_array:
        """The multipliers (s, n)."""
        own = self.round
        return sp.csr_array((self.l, own.columns, own.starts), shape=(own.nodes.size, n))


@dataclass(frozen=True)
class SparseRemainder:
    """The factorised remainder.

    Attributes
    ----------
    layout : Layout
    diagonal : (r,)
        ``Lambda``.
    schur : (cells,)
        The Schur complement ``S`` in the cells of the plan.
    steps : tuple of _Step
    root : (c, c)
        Lower Cholesky factor of the core.
    """

    layout: Layout
    diagonal: Array
    schur: Array
    steps: tuple[_Step, ...]
    root: Array

    @property
    def square(self) -> SparseSquare:
        """Where the entries are kept."""
        square = self.layout.square
        assert isinstance(square, SparseSquare)
        return square

    @property
    def plan(self) -> EliminationPlan:
        """The order of elimination."""
        return self.square.plan

    @cached_property
    def logdet(self) -> float:
        """``log|Lambda' S Lambda + I|``."""
        core = 2.0 * float(np.log(self.root.diagonal()).sum())
        return core + sum(float(np.log(step.d).sum()) for step in self.steps)

    def solve(self, side: Array) -> tuple[Array, Array]:
        """Return ``b = K side`` and ``side - S b`` for ``side`` (r, c)."""
        x = self.diagonal[:, None] * side
        matrices = self._multipliers
        for step, matrix in zip(self.steps, matrices, strict=True):
            x -= matrix.T @ x[step.round.nodes]
        core = self.plan.core
        if core.size:
            x[core] = lapack.dpotrs(self.root.T, x[core], lower=0)[0]
        for step, matrix in zip(reversed(self.steps), reversed(matrices), strict=True):
            x[step.round.nodes] = x[step.round.nodes] / step.d[:, None] - matrix @ x
        b = self.diagonal[:, None] * x
        return b, side - self._matrix @ b

    @cached_property
    def _multipliers(self) -> list[sp.csr_array]:
        return [step.matrix(len(self.diagonal)) for step in self.steps]

    @cached_property
    def _matrix(self) -> sp.csr_array:
        """``S`` (r, r)."""
        return self.square.matrix(self.schur)

    @cached_property
    def inverse(self) -> Array:
        """``(Lambda' S Lambda + I)^-1`` in the cells of the plan, last round first."""
        plan = self.plan
        z = np.zeros(plan.n_cells)
        if plan.core.size:
            inverse, info = lapack.dpotri(self.root.T, lower=0)
            assert info == 0
            plan.core_of(z)[:] = inverse.T
        for step in reversed(self.steps):
            own = step.round
            of_pair = z[own.target_of_pair]
            which, one, other = own.unequal
            count = own.cells.size
            total = np.bincount(own.first, weights=step.l[own.second] * of_pair, minlength=count)
            total += np.bincount(other, weights=step.l[one] * of_pair[which], minlength=count)
            z[own.cells] = -total
            z[own.diagonal] = 1.0 / step.d + np.bincount(own.rows, weights=step.l * total, minlength=step.d.size)
        return z

    @cached_property
    def k(self) -> Array:
        """``K = Lambda (Lambda' S Lambda + I)^-1 Lambda'`` in the cells of the plan."""
        return _scaled(self.plan, self.diagonal, self.inverse)

    @cached_property
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
        for name in ("inverse", "k", "dense_k"):
            self.__dict__.pop(name, None)

    def information(self, r: int) -> Array:
        """Diagonal (1, 1, m) of ``S - S K S`` for one factor; from the inverse where that does not cancel."""
        at = self.layout.span(r)
        cells, scale = self.square.diagonal[at], self.diagonal[at]
        own = self.schur[cells]
        if float(np.min(scale**2, initial=np.inf)) * float(np.max(own, initial=0.0)) > SMALL_VARIANCE:
            return np.asarray((1.0 - self.inverse[cells]) / scale**2)[None, None]
        out = own.copy()
        for first in range(at.start, at.stop, COLUMNS_AT_ONCE):
            columns = np.arange(first, min(first + COLUMNS_AT_ONCE, at.stop))
            side = self._matrix[:, columns].toarray()
            out[columns - at.start] -= np.einsum("rc,rc->c", side, self.solve(side)[0])
        return out[None, None]


def _scaled(plan: EliminationPlan, diagonal: Array, cells: Array) -> Array:
    """Multiply every entry (i, j) by ``diagonal[i] * diagonal[j]``."""
    out = np.empty_like(cells)
    i, j = plan.outer
    out[: i.size] = cells[: i.size] * (diagonal[i] * diagonal[j])
    core = diagonal[plan.core]
    np.multiply(plan.core_of(cells), core[:, None], out=plan.core_of(out))
    plan.core_of(out)[:] *= core
    return out


def factorize_sparse_remainder(layout: Layout, factors: Sequence[Array], schur: Array) -> SparseRemainder:
    """Factorise the remainder with the Schur complement ``schur`` in the cells of the layout's plan."""
    plan = layout.plan
    assert plan is not None
    diagonal = np.concatenate([np.full(layout.levels[r], factors[r][0, 0]) for r in layout.remainder])
    cells = _scaled(plan, diagonal, schur)
    cells[layout.square.diagonal] += 1.0
    steps = []
    for own in plan.rounds:
        d, a = cells[own.diagonal], cells[own.cells]
        if not np.min(d, initial=1.0) > 0:
            raise FloatingPointError("the remainder of the mixed-model equations is not positive definite")
        multipliers = a / d[own.rows]
        if own.first.size:
            products = multipliers[own.first] * a[own.second]
            cells[own.targets] -= np.add.reduceat(products, own.bounds)
        steps.append(_Step(own, d, multipliers))
    core = plan.core_of(cells)
    root, info = lapack.dpotrf(core.T, lower=0, overwrite_a=1, clean=0) if core.size else (core, 0)
    if info:
        raise FloatingPointError("the remainder of the mixed-model equations is not positive definite")
    return SparseRemainder(layout, diagonal, schur, tuple(steps), np.asarray(root.T))
