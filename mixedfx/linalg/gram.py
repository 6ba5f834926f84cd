"""Weighted cross-products of ``[Z X y]`` in blocks: all that a Gaussian mixed model needs of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, combinations, pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from mixedfx._lazy import cached_property
from mixedfx._typing import Array, IntArray
from mixedfx.linalg import packed
from mixedfx.linalg.cross import Cross, DenseCross, SparseCross
from mixedfx.linalg.layout import Layout, fields_only
from mixedfx.linalg.operator import OperatorCross, OperatorSquare, pair_block
from mixedfx.linalg.pairs import PairBlock
from mixedfx.linalg.probes import Solver
from mixedfx.linalg.small import apply, diagonal_blocks, segment_sum_columns

__all__ = ["Gram", "Rows", "cross_products", "level_sums"]

SPARSE_COLUMNS = 300  # the own cross-products of a remainder of fewer columns are dense
FEW_COLUMNS = 8  # up to so many columns are summed by one bincount each


@dataclass(frozen=True)
class Rows:
    """The rows of a model: per factor (in elimination order) ``z`` (Q, n), and the dense columns ``[X y]`` (n, c).

    ``loadings`` maps a remainder factor to the matrix (m, m) that its levels are multiplied by.
    """

    layout: Layout
    z: tuple[Array, ...]
    columns: Array
    loadings: dict[int, Array]

    @cached_property
    def units(self) -> tuple[tuple[bool, ...], ...]:
        """For every coefficient of every factor, whether its covariate is 1 in all rows."""
        return tuple(tuple(bool(np.all(z == 1.0)) for z in covariates) for covariates in self.z)

    def times(self, values: Array, f: int, a: int, at: slice = slice(None)) -> Array:
        """Return ``values`` of the rows ``at``, all if omitted, times the covariate of a coefficient of a factor."""
        return values if self.units[f][a] else values * self.z[f][a][at]

    def weighted(self, weights: Array | None) -> list[list[Array]]:
        """Return the covariates (n,) of every coefficient of every factor, times the weights (n,)."""
        if weights is None:
            return [list(z) for z in self.z]
        return [[self.times(weights, f, a) for a in range(len(z))] for f, z in enumerate(self.z)]

    def with_response(self, y: Array) -> Rows:
        """Return the rows with ``y`` (n,) as the last dense column."""
        columns = self.columns.copy(order="K")
        columns[:, -1] = y
        return replace(self, columns=columns)


@dataclass(frozen=True)
class Gram:
    """Cross-products in the blocks of a :class:`Layout`.

    Attributes
    ----------
    diagonal : tuple of (Q, Q, m)
        Chain factors with themselves.
    chain : dict
        (f, g) to the cross-products (Q_f, Q_g, m_f) of each level of f with the level of g that holds it.
    cross : tuple of Cross
        Chain factors with the remainder.
    remainder : (r, r)
        The remainder with itself; a sparse matrix unless it is small, an operator where the layout says so.
    sides : tuple of (Q, m, c)
        Chain factors with the dense columns.
    remainder_side : (r, c)
        The remainder with the dense columns.
    total : (c, c)
        The dense columns with themselves.
    solver : Solver
        How a remainder that is an operator is solved.
    """

    layout: Layout
    diagonal: tuple[Array, ...]
    chain: dict[tuple[int, int], Array]
    cross: tuple[Cross, ...]
    remainder: Array | sp.csr_array | OperatorSquare
    sides: tuple[Array, ...]
    remainder_side: Array
    total: Array
    solver: Solver = field(default_factory=Solver)

    __getstate__ = fields_only

    def with_columns(self, columns: Array) -> Gram:
        """Return the cross-products with the dense columns multiplied by ``columns`` (c, c')."""
        return replace(
            self,
            sides=tuple(side @ columns for side in self.sides),
            remainder_side=self.remainder_side @ columns,
            total=columns.T @ self.total @ columns,
        )

    @property
    def arrays(self) -> list[Any]:
        """The numbers, block by block: those of several sets of rows can be added."""
        cross = [part.values for part in self.cross]
        rest = [self.remainder, *self.sides, self.remainder_side, self.total]
        return [*self.diagonal, *self.chain.values(), *cross, *rest]

    def with_arrays(self, arrays: Sequence[Any]) -> Gram:
        """Return cross-products of the same kind with other :attr:`arrays`."""
        rest = iter(arrays)
        return replace(
            self,
            diagonal=tuple(next(rest) for _ in self.diagonal),
            chain={pair: next(rest) for pair in self.chain},
            cross=tuple(replace(part, values=next(rest)) for part in self.cross),  # type: ignore[type-var]
            remainder=next(rest),
            sides=tuple(next(rest) for _ in self.sides),
            remainder_side=next(rest),
            total=next(rest),
        )

    @cached_property
    def remainder_cells(self) -> tuple[IntArray | slice, Array]:
        """The cells of the layout that :attr:`remainder` has numbers for, and the numbers."""
        if isinstance(self.remainder, np.ndarray):
            return slice(None), packed.pack(self.remainder)
        row, column, values = self.remainder_entries
        lower = row >= column
        return self.layout.square.positions(row[lower], column[lower]), values[lower]

    @property
    def remainder_entries(self) -> tuple[IntArray, IntArray, Array]:
        """Row, column and value of the entries of a sparse :attr:`remainder`."""
        if isinstance(self.remainder, OperatorSquare):
            raise FloatingPointError("the remainder of the mixed-model equations is too large to be formed")
        entries = sp.coo_array(self.remainder)
        row, column = (index.astype(np.intp) for index in entries.coords)
        return row, column, entries.data

    def own_blocks(self, factor: int) -> Array:
        """Return ``Z_f' Z_f`` (Q, Q, m) of one factor, level by level."""
        if factor < self.layout.n_chain:
            return self.diagonal[factor]
        if isinstance(self.remainder, OperatorSquare):
            return self.remainder.own[factor - self.layout.n_chain]
        at, size = self.layout.span(factor), self.layout.sizes[factor]
        if isinstance(self.remainder, np.ndarray):
            return diagonal_blocks(self.remainder[at, at], size)
        own, m = self.remainder[at, at], self.layout.levels[factor]
        return np.array([[own.diagonal((b - a) * m)[min(a, b) * m :][:m] for b in range(size)] for a in range(size)])

    def squared_norms(self) -> Array:
        """Return the squared Frobenius norms (k, k) of ``Z_i' Z_j`` for all coefficients of all factors."""
        layout = self.layout
        starts = list(accumulate(layout.sizes, initial=0))
        out = np.zeros((starts[-1], starts[-1]))
        at = [slice(a, b) for a, b in pairwise(starts)]
        for f in layout.chain:
            out[at[f], at[f]] = np.square(self.diagonal[f]).sum(axis=2)
        for (f, g), block in self.chain.items():
            out[at[f], at[g]] = squares = np.square(block).sum(axis=2)
            out[at[g], at[f]] = squares.T
        spans = layout.coefficient_starts
        rest = slice(starts[layout.n_chain], starts[-1])
        for f in layout.chain if layout.n_remainder else ():
            out[at[f], rest] = squares = np.add.reduceat(self.cross[f].squared_columns(), spans, axis=1)
            out[rest, at[f]] = squares.T
        if layout.n_remainder:
            out[rest, rest] = _block_squares(self.remainder, spans)
        return out

    def times(self, factor: int, t: Array) -> tuple[tuple[Array, ...], Array]:
        """Return ``Z' Z_f t`` for ``t`` (Q, m, k) on the levels of one factor: the chain's sides, the remainder's."""
        layout = self.layout
        if factor >= layout.n_chain:
            flat = t.reshape(-1, t.shape[2])
            whole = np.zeros((layout.n_remainder, t.shape[2]))
            whole[layout.span(factor)] = flat
            return tuple(c.dot(whole) for c in self.cross), self.remainder @ whole
        out = []
        for g in layout.chain:
            if g == factor:
                out.append(apply(self.diagonal[g], t))
            elif g < factor:
                out.append(apply(self.chain[g, factor], t[:, layout.parents[g, factor]]))
            else:
                product = apply(self.chain[factor, g].swapaxes(0, 1), t)
                parents, count = layout.parents[factor, g], layout.levels[g]
                out.append(segment_sum_columns(product, parents, count))
        rest = self.cross[factor].transpose_dot(t) if self.cross else np.zeros((0, t.shape[2]))
        return tuple(out), rest


def level_sums(layout: Layout, factor: int, values: Array, weights: Array | None = None) -> Array:
    """Sum the rows of ``values`` (n, c), times ``weights`` (n,), within the levels of a factor: returns (m, c)."""
    codes, m = layout.codes[factor], layout.levels[factor]
    if values.shape[1] <= FEW_COLUMNS:
        out = np.empty((m, values.shape[1]))
        for j in range(values.shape[1]):
            column = values[:, j] if weights is None else values[:, j] * weights
            out[:, j] = np.bincount(codes, weights=column, minlength=m)
        return out
    n = codes.size
    indicator = sp.csc_array((np.ones(n) if weights is None else weights, codes, np.arange(n + 1)), shape=(m, n))
    return np.asarray(indicator @ np.ascontiguousarray(values))


def cross_products(rows: Rows, weights: Array | None = None) -> Gram:
    """Return the blocks of ``[Z D]' W [Z D]`` with ``D`` the dense columns, in O(n) a block.

    Parameters
    ----------
    rows : Rows
    weights : (n,), optional
        Diagonal of ``W``; ones if omitted. May be negative (observed information of a non-concave likelihood).
    """
    layout = rows.layout
    weighted = rows.weighted(weights)
    columns = rows.columns
    sides = tuple(_sides(rows, weighted, f) for f in range(layout.n_factors))
    right = columns if weights is None else columns * weights[:, None]
    flat = [sides[r].reshape(layout.sizes[r] * layout.levels[r], -1) for r in layout.remainder if columns.shape[1]]
    gram = Gram(
        layout=layout,
        diagonal=tuple(_diagonal(rows, weighted, f) for f in layout.chain),
        chain={pair: _chain_pair(rows, weighted, *pair) for pair in layout.parents},
        cross=tuple(_cross(rows, weighted, f) for f in layout.chain) if layout.n_remainder else (),
        remainder=_remainder(rows, weighted),
        sides=sides[: layout.n_chain],
        remainder_side=np.concatenate(flat) if flat else np.zeros((layout.n_remainder, columns.shape[1])),
        total=columns.T @ right,
    )
    return _loaded(gram, rows.loadings) if rows.loadings else gram


def _sides(rows: Rows, weighted: Sequence[Sequence[Array]], f: int) -> Array:
    """Cross-products (Q, m, c) of a factor with the dense columns."""
    layout, columns = rows.layout, rows.columns
    if columns.shape[1] == 0:
        return np.zeros((layout.sizes[f], layout.levels[f], 0))
    return np.stack([level_sums(layout, f, columns, z) for z in weighted[f]])


def _remainder(rows: Rows, weighted: Sequence[Sequence[Array]]) -> Array | sp.csr_array | OperatorSquare:
    if rows.layout.is_operator:
        return _operator_table(rows, weighted)
    return _dense_table(rows, weighted) if _is_small(rows) else _sparse_table(rows, weighted)


def _operator_table(rows: Rows, weighted: Sequence[Sequence[Array]]) -> OperatorSquare:
    """Cross-products of the remainder with itself, block by block."""
    layout, rest = rows.layout, list(rows.layout.remainder)
    own = tuple(_diagonal(rows, weighted, r) for r in rest)
    pairs = [(i, j) for j in range(len(rest)) for i in range(j)]
    between = {(i, j): _pair_block(rows, weighted, rest[i], rest[j]) for i, j in pairs}
    return OperatorSquare(layout, own, between)


def _pair_block(rows: Rows, weighted: Sequence[Sequence[Array]], f: int, g: int) -> PairBlock:
    return pair_block(rows.layout, f, g, lambda a, b: rows.times(weighted[f][a], g, b))


def _dense_table(rows: Rows, weighted: Sequence[Sequence[Array]]) -> Array:
    """Cross-products (r, r) of the remainder with itself."""
    layout = rows.layout
    out = np.zeros((layout.n_remainder, layout.n_remainder))
    for i, r in enumerate(layout.remainder):
        for s in list(layout.remainder)[: i + 1]:
            block = _pair_table(rows, weighted, r, s)
            out[layout.span(r), layout.span(s)] = block
            out[layout.span(s), layout.span(r)] = block.T
    return out


def _is_small(rows: Rows) -> bool:
    """Whether the remainder's own cross-products are kept dense."""
    small = rows.layout.n_remainder < SPARSE_COLUMNS or bool(rows.loadings)
    return small and rows.layout.plan is None


def _sparse_table(rows: Rows, weighted: Sequence[Sequence[Array]]) -> sp.csr_array:
    """The same as a sparse matrix: levels of one factor never meet."""
    remainder = rows.layout.remainder
    blocks = {(r, r): _sparse_diagonal(rows, weighted, r) for r in remainder}
    for r, s in combinations(remainder, 2):
        blocks[r, s] = _sparse_pair(rows, weighted, r, s)
        blocks[s, r] = sp.csr_array(blocks[r, s].T)
    if len(blocks) == 1:
        return next(iter(blocks.values()))
    return sp.csr_array(sp.block_array([[blocks[r, s] for s in remainder] for r in remainder], format="csr"))


def _sparse_diagonal(rows: Rows, weighted: Sequence[Sequence[Array]], r: int) -> sp.csr_array:
    """Cross-products (Q m, Q m) of a factor with itself."""
    size, m = rows.layout.sizes[r], rows.layout.levels[r]
    values = _diagonal(rows, weighted, r).transpose(0, 2, 1)
    columns = np.arange(m, dtype=np.int32)[:, None] + np.arange(size, dtype=np.int32) * m
    starts = np.arange(size * m + 1, dtype=np.int32) * size
    return sp.csr_array((values.ravel(), np.tile(columns.ravel(), size), starts), shape=(size * m, size * m))


def _sparse_pair(rows: Rows, weighted: Sequence[Sequence[Array]], r: int, s: int) -> sp.csr_array:
    """Cross-products (Q_r m_r, Q_s m_s) of two factors."""
    layout = rows.layout
    shape = layout.levels[r], layout.levels[s]
    place = layout.codes[r].astype(np.int32), layout.codes[s].astype(np.int32)
    tables = [[sp.csr_array(sp.coo_array((w * z, place), shape=shape)) for z in rows.z[s]] for w in weighted[r]]
    return sp.csr_array(sp.block_array(tables, format="csr"))


def _block_squares(matrix: Array | sp.csr_array | OperatorSquare, starts: IntArray) -> Array:
    """Sums of squares over the blocks of a matrix whose blocks begin at ``starts``."""
    if isinstance(matrix, OperatorSquare):
        return matrix.block_squares()
    if isinstance(matrix, np.ndarray):
        sums = np.add.reduceat(np.square(matrix), starts, axis=0)
        return np.asarray(np.add.reduceat(sums, starts, axis=1))
    ends = np.append(starts, matrix.shape[0])
    squares = matrix.power(2)
    member = sp.csr_array((np.ones(matrix.shape[0]), np.arange(matrix.shape[0]), ends))
    return np.asarray((member @ squares @ member.T).toarray())


def _diagonal(rows: Rows, weighted: Sequence[Sequence[Array]], f: int) -> Array:
    codes, m, size = rows.layout.codes[f], rows.layout.levels[f], rows.layout.sizes[f]
    out = np.empty((size, size, m))
    if m == 1 and size > 1:  # one level: smooths, memberships
        out[..., 0] = np.stack(weighted[f]) @ rows.z[f].T
        return out
    for a in range(size):
        for b in range(a + 1):
            out[a, b] = out[b, a] = np.bincount(codes, weights=rows.times(weighted[f][a], f, b), minlength=m)
    return out


def _chain_pair(rows: Rows, weighted: Sequence[Sequence[Array]], f: int, g: int) -> Array:
    codes, m = rows.layout.codes[f], rows.layout.levels[f]
    out = np.empty((rows.layout.sizes[f], rows.layout.sizes[g], m))
    for a in range(out.shape[0]):
        for b in range(out.shape[1]):
            out[a, b] = np.bincount(codes, weights=rows.times(weighted[f][a], g, b), minlength=m)
    return out


def _pair_table(rows: Rows, weighted: Sequence[Sequence[Array]], f: int, g: int) -> Array:
    """Cross-products of all levels of f with all levels of g: (Q_f m_f, Q_g m_g)."""
    layout = rows.layout
    m_f, m_g = layout.levels[f], layout.levels[g]
    key = layout.codes[f] * m_g + layout.codes[g]
    out = np.empty((layout.sizes[f], m_f, layout.sizes[g], m_g))
    for a in range(layout.sizes[f]):
        for b in range(layout.sizes[g]):
            table = np.bincount(key, weights=rows.times(weighted[f][a], g, b), minlength=m_f * m_g)
            out[a, :, b] = table.reshape(m_f, m_g)
    return out.reshape(layout.sizes[f] * m_f, layout.sizes[g] * m_g)


def _cross(rows: Rows, weighted: Sequence[Sequence[Array]], f: int) -> Cross:
    layout = rows.layout
    if layout.is_operator:
        return OperatorCross(tuple(_pair_block(rows, weighted, f, r) for r in layout.remainder))
    if rows.loadings or layout.dense_cross[f]:
        blocks = [_pair_table(rows, weighted, f, r) for r in layout.remainder]
        return DenseCross(np.concatenate(blocks, axis=1).reshape(layout.sizes[f], layout.levels[f], -1))
    pattern = layout.patterns[f]
    values = np.zeros((layout.sizes[f], pattern.rows.size))
    at = 0
    for r in layout.remainder:
        for b in range(layout.sizes[r]):
            entry = pattern.entry_of_row[at]
            for a in range(layout.sizes[f]):
                product = rows.times(weighted[f][a], r, b)
                values[a] += np.bincount(entry, weights=product, minlength=pattern.rows.size)
            at += 1
    return SparseCross(pattern, values)


def _loaded(gram: Gram, loadings: dict[int, Array]) -> Gram:
    """Multiply the levels of the loaded remainder factors by their loading matrices, on both sides."""
    layout = gram.layout
    remainder, side = np.array(gram.remainder, dtype=float), gram.remainder_side.copy()
    cross = [c.values.copy() for c in gram.cross]
    for r, loading in loadings.items():
        m = layout.levels[r]
        for a in range(layout.sizes[r]):
            at = slice(layout.span(r).start + a * m, layout.span(r).start + (a + 1) * m)
            remainder[at] = loading.T @ remainder[at]
            remainder[:, at] = remainder[:, at] @ loading
            side[at] = loading.T @ side[at]
            for values in cross:
                values[:, :, at] = values[:, :, at] @ loading
    return Gram(
        layout, gram.diagonal, gram.chain, tuple(DenseCross(v) for v in cross), remainder, gram.sides, side, gram.total
    )
