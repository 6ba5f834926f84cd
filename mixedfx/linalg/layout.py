"""Which blocks of the mixed-model equations exist, and in what order they are eliminated: pattern only, no numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._lazy import cached_property
from mixedfx._typing import AnyArray, Array, IntArray
from mixedfx.linalg import packed
from mixedfx.linalg.elimination import FLOP_TIME, EliminationPlan, lower_pairs, plan_elimination
from mixedfx.linalg.pairs import LevelPairs, PairRows, meeting

__all__ = ["Layout", "PackedSquare", "PairPattern", "SparseSquare", "Square", "analyse", "fields_only", "parents_of"]

DENSE_TABLE = 20_000_000  # a pair table of at most this many cells is indexed directly instead of hashed
TABLE_PER_KEY = 30  # keys are sorted, not looked up in a table, if it had more cells for each of them
DENSE_FILL = 0.08  # a cross block with a larger share of non-zeros is stored dense
DENSE_CELLS = 40_000_000  # never store a dense cross block with more cells
SPARSE_COLUMNS = 300  # a remainder of fewer columns is dense
SPARSE_FILL = 0.1  # … and one with a larger share of non-zeros
CELL_TIME = 1e-8  # seconds that a cell of a dense remainder costs apart from LAPACK
MOST_PAIRS = 30_000_000  # patterns with more pairs are not looked at
PAIRS_AT_ONCE = 30_000  # pairs of entries that are listed at the same time


def fields_only(value: Any) -> dict[str, Any]:
    """Return the state of a frozen dataclass without what it computed on the way, which can be computed again.

    Large tables of places and products are made once and used by every evaluation; in a pickle they would outweigh the
    data a hundred times.
    """
    return {field.name: getattr(value, field.name) for field in fields(value)}


class Square(ABC):
    """Cells for the lower triangle of symmetric matrices (n, n)."""

    @property
    @abstractmethod
    def n_cells(self) -> int:
        """Number of cells."""

    @property
    @abstractmethod
    def diagonal(self) -> IntArray:
        """Cells (n,) of the diagonal."""

    @abstractmethod
    def positions(self, i: IntArray, j: IntArray) -> IntArray:
        """Return the cells of the entries (i, j), i >= j."""


@dataclass(frozen=True)
class PackedSquare(Square):
    """All cells, as :mod:`mixedfx.linalg.packed` keeps them."""

    n: int

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return packed.count(self.n)

    @cached_property
    def diagonal(self) -> IntArray:
        """Cells (n,) of the diagonal."""
        every = np.arange(self.n)
        return self.positions(every, every)

    def positions(self, i: IntArray, j: IntArray) -> IntArray:
        """Return the cells of the entries."""
        return packed.positions(self.n, i, j)


@dataclass(frozen=True)
class SparseSquare(Square):
    """The cells of an elimination plan; ``rows, columns`` (c,) are the pattern's lower triangle, without fill."""

    plan: EliminationPlan
    rows: IntArray
    columns: IntArray

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.plan.n_cells

    def positions(self, i: IntArray, j: IntArray) -> IntArray:
        """Return the cells of the entries."""
        return self.plan.positions(i, j)

    @cached_property
    def diagonal(self) -> IntArray:
        """Cells (n,) of the diagonal."""
        return self.plan.diagonal

    @cached_property
    def _symmetric(self) -> tuple[IntArray, IntArray, IntArray]:
        """Cells, column indices and row starts of the whole pattern in compressed rows."""
        cells = self.plan.positions(self.rows, self.columns)
        off = self.rows != self.columns
        i = np.concatenate([self.rows, self.columns[off]])
        j = np.concatenate([self.columns, self.rows[off]])
        order = np.lexsort((j, i))
        starts = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=self.plan.n))])
        return np.concatenate([cells, cells[off]])[order], j[order], starts

    def matrix(self, cells: Array) -> sp.csr_array:
        """Return the symmetric matrix (n, n) on the pattern."""
        order, columns, starts = self._symmetric
        return sp.csr_array((cells[order], columns, starts), shape=(self.plan.n, self.plan.n))


@dataclass(frozen=True)
class PairBlock:
    """Pairs of entries of a few levels: where they stand among all, and the entries.

    Attributes
    ----------
    pairs, entries : slice
        The pairs among all pairs, the entries of these levels among all entries.
    first, second : (p,)
        The entries of every pair, counted from the first of ``entries``.
    """

    pairs: slice
    entries: slice
    first: IntArray
    second: IntArray


@dataclass(frozen=True)
class PairPattern:
    """The non-zero columns of the remainder for each level of one factor, in order of level, then column.

    Attributes
    ----------
    layout : Layout
    rows, columns : (nnz,)
        Level of the factor, and column of the dense remainder, of every entry.
    n_rows, n_columns : int
        Levels of the factor; columns of the remainder.
    starts : (n_rows + 1,)
        First entry of each level.
    entry_of_row : tuple of (n,)
        For each coefficient of each remainder factor in turn, the entry that every data row contributes to.
    """

    layout: Layout = field(repr=False, compare=False)
    rows: IntArray
    columns: IntArray
    n_rows: int
    n_columns: int
    starts: IntArray
    entry_of_row: tuple[IntArray, ...]

    __getstate__ = fields_only

    def for_rows(self, layout: Layout, f: int) -> PairPattern:
        """Return the pattern with the entries of the rows of ``layout``; factor f is the one against the remainder.

        Raises
        ------
        KeyError
            If a row joins levels that do not meet in the pattern.
        """
        keys, entries = self.rows.astype(np.int64) * self.n_columns + self.columns, []
        for r in layout.remainder:
            for a in range(layout.sizes[r]):
                column = layout.codes[r] + (layout.span(r).start + a * layout.levels[r])
                wanted = layout.codes[f].astype(np.int64) * self.n_columns + column
                entry = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
                if not np.array_equal(keys[entry], wanted):
                    raise KeyError("levels that have not met before")
                entries.append(entry)
        return replace(self, layout=layout, entry_of_row=tuple(entries))

    @property
    def pair_blocks(self) -> Iterator[PairBlock]:
        """The pairs of entries (e1, e2), e2 <= e1, on the same level, level after level, some levels at a time.

        Their products make up the Schur complement. All of them would take many times the memory of the pattern.
        """
        pairs = self.pair_starts
        level = 0
        while level < self.n_rows:
            after = max(level + 1, int(np.searchsorted(pairs, pairs[level] + PAIRS_AT_ONCE, side="right")) - 1)
            own = slice(int(self.starts[level]), int(self.starts[after]))
            first, second = lower_pairs(self.rows[own] - level, self.starts[level : after + 1] - own.start)
            yield PairBlock(slice(int(pairs[level]), int(pairs[after])), own, first, second)
            level = after

    @cached_property
    def pair_starts(self) -> IntArray:
        """First pair (n_rows + 1,) of each level, and their number at the end."""
        degree = np.diff(self.starts)
        return np.concatenate([[0], np.cumsum(degree * (degree + 1) // 2)])

    @cached_property
    def pair_cells(self) -> AnyArray:
        """Cell of the remainder that the product of every pair belongs to."""
        square = self.layout.square
        small = max(square.n_cells, self.n_pairs) < np.iinfo(np.int32).max
        out = np.empty(self.n_pairs, dtype=np.int32 if small else np.int64)
        for block in self.pair_blocks:
            columns = self.columns[block.entries]
            out[block.pairs] = square.positions(columns[block.first], columns[block.second])
        return out

    @property
    def pair_keys(self) -> Iterator[IntArray]:
        """``row * n_columns + column`` in the remainder of the pairs; columns ascend in a level."""
        for block in self.pair_blocks:
            columns = self.columns[block.entries]
            yield columns[block.first] * self.n_columns + columns[block.second]

    def pair_table(self, products: Array) -> sp.csr_array:
        """Return numbers of the pairs as a matrix: levels by cells of the remainder."""
        starts = self.pair_starts.astype(self.pair_cells.dtype)
        return sp.csr_array((products, self.pair_cells, starts), shape=(self.n_rows, self.layout.square.n_cells))

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return int(self.pair_starts[-1])


@dataclass(frozen=True)
class Layout:
    """The elimination order of the grouping factors of a model.

    Attributes
    ----------
    codes : tuple of (n,)
        Level of every data row, by factor, in elimination order.
    levels, sizes : tuple of int
        Number of levels and number of coefficients of each factor, in elimination order.
    order : tuple of int
        Position in the caller's list of the factors in elimination order.
    n_chain : int
        The first ``n_chain`` factors are nested in each other and stay block-diagonal; the others are the dense
        *remainder*.
    parents : dict
        (f, g), f < g < n_chain, to the level of g (m_f,) that holds each level of f.
    correlated : tuple of bool
        Factors whose levels are correlated a priori.
    is_operator : bool
        The remainder's equations are never formed, only solved: :mod:`mixedfx.linalg.iterative`.
    """

    codes: tuple[IntArray, ...]
    levels: tuple[int, ...]
    sizes: tuple[int, ...]
    order: tuple[int, ...]
    n_chain: int
    parents: dict[tuple[int, int], IntArray] = field(default_factory=dict)
    correlated: tuple[bool, ...] = ()
    is_operator: bool = False

    def for_rows(self, codes: Sequence[IntArray]) -> Layout:
        """Return the layout of other rows, whose levels meet where those of these rows do.

        Parameters
        ----------
        codes : sequence of (n',)
            Level of every row, by factor, in elimination order.

        Raises
        ------
        KeyError
            If a row joins levels that no row has joined before.
        """
        other = replace(self, codes=tuple(codes))
        known: dict[str, Any] = {"sparse_square": self.sparse_square, "dense_cross": self.dense_cross}
        if not all(self.dense_cross):
            known["patterns"] = tuple(pattern.for_rows(other, f) for f, pattern in enumerate(self.patterns))
        other.__dict__.update(known)
        return other

    @property
    def n_factors(self) -> int:
        """Number of grouping factors."""
        return len(self.codes)

    @property
    def chain(self) -> range:
        """Positions of the factors that are eliminated block by block."""
        return range(self.n_chain)

    @property
    def remainder(self) -> range:
        """Positions of the factors that make up the dense remainder."""
        return range(self.n_chain, self.n_factors)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First remainder column of each remainder factor, and the total number of columns at the end."""
        counts = [self.levels[r] * self.sizes[r] for r in self.remainder]
        return tuple(int(i) for i in np.concatenate([[0], np.cumsum(counts)]))

    @property
    def n_remainder(self) -> int:
        """Number of columns of the dense remainder."""
        return self.offsets[-1]

    @cached_property
    def coefficient_starts(self) -> IntArray:
        """First remainder column of every coefficient of the remainder factors."""
        counts = [self.levels[r] for r in self.remainder for _ in range(self.sizes[r])]
        return np.concatenate([[0], np.cumsum(counts)])[:-1].astype(np.intp)

    def span(self, factor: int) -> slice:
        """Columns of a remainder factor in the remainder (coefficient by coefficient, levels within)."""
        at = factor - self.n_chain
        return slice(self.offsets[at], self.offsets[at + 1])

    @cached_property
    def meetings(self) -> dict[tuple[int, int], tuple[LevelPairs, PairRows]]:
        """Which levels of two factors meet, and in which rows: every factor against each later one of the remainder."""
        pairs = [(f, r) for r in self.remainder for f in range(r)]
        return {(f, r): meeting(self.codes[f], self.codes[r], self.levels[f], self.levels[r]) for f, r in pairs}

    @cached_property
    def patterns(self) -> tuple[PairPattern, ...]:
        """The non-zero pattern of every chain factor against the remainder."""
        return tuple(_pattern(self, f) for f in self.chain)

    @cached_property
    def sparse_square(self) -> SparseSquare | None:
        """Where the entries of a sparse remainder are kept; None if it is dense."""
        return _sparse_square(self) if _may_be_sparse(self) else None

    @cached_property
    def square(self) -> Square:
        """Where the entries of the remainder are kept."""
        return PackedSquare(self.n_remainder) if self.sparse_square is None else self.sparse_square

    @property
    def plan(self) -> EliminationPlan | None:
        """The order in which a sparse remainder is eliminated; None if it is dense."""
        return None if self.sparse_square is None else self.sparse_square.plan

    @cached_property
    def dense_cross(self) -> tuple[bool, ...]:
        """For every chain factor, whether its block against the remainder is stored dense: so is its parents' then."""
        out: list[bool] = []
        for f in self.chain:
            out.append(any(out) or _prefers_dense(self, f))
        return tuple(out)


def analyse(codes: Sequence[IntArray], levels: Sequence[int], sizes: Sequence[int], dense: Sequence[bool]) -> Layout:
    """Choose the elimination order: the largest factor first, then every factor that all eliminated ones are nested in.

    Parameters
    ----------
    codes : sequence of (n,)
        Level of each data row, by factor.
    levels, sizes : sequence of int
        Levels and coefficients per level of each factor.
    dense : sequence of bool
        Factors whose levels are correlated a priori and therefore belong to the dense remainder.
    """
    by_size = sorted(range(len(codes)), key=lambda f: (dense[f], -levels[f] * sizes[f], f))
    chain: list[int] = []
    remainder: list[int] = []
    parents: dict[tuple[int, int], IntArray] = {}
    for f in by_size:
        holders = None if dense[f] else [parents_of(codes[e], codes[f], levels[e]) for e in chain]
        if holders is None or any(p is None for p in holders):
            remainder.append(f)
            continue
        parents |= {(at, len(chain)): p for at, p in enumerate(holders) if p is not None}
        chain.append(f)
    order = tuple(chain + remainder)
    return Layout(
        codes=tuple(codes[f] for f in order),
        levels=tuple(levels[f] for f in order),
        sizes=tuple(sizes[f] for f in order),
        order=order,
        n_chain=len(chain),
        parents=parents,
        correlated=tuple(dense[f] for f in order),
    )


def parents_of(inner: IntArray, outer: IntArray, n_inner: int) -> IntArray | None:
    """Return the level of ``outer`` (n_inner,) in which each level of ``inner`` lies, or None if it is not nested."""
    parents = np.zeros(n_inner, dtype=np.intp)
    parents[inner] = outer
    return parents if np.array_equal(parents[inner], outer) else None


def _distinct_pairs(first: IntArray, second: IntArray, n_first: int, n_second: int) -> tuple[IntArray, IntArray]:
    """Return the sorted distinct keys ``first * n_second + second`` and, for every row, the position of its key."""
    key = first * n_second + second
    if n_first * n_second <= max(DENSE_TABLE, 4 * key.size):
        present = np.zeros(n_first * n_second, dtype=bool)
        present[key] = True
        distinct = np.flatnonzero(present)
        position = np.empty(present.size, dtype=np.intp)
        position[distinct] = np.arange(distinct.size)
        return distinct, position[key]
    codes, distinct = pd.factorize(key)
    order = np.argsort(distinct)
    rank = np.empty(order.size, dtype=np.intp)
    rank[order] = np.arange(order.size)
    return np.asarray(distinct)[order].astype(np.intp), rank[codes]


def _pattern(layout: Layout, f: int) -> PairPattern:
    rows: list[IntArray] = []
    columns: list[IntArray] = []
    entry_of_row: list[IntArray] = []
    filled = 0
    for r in layout.remainder:
        keys, inverse = _distinct_pairs(layout.codes[f], layout.codes[r], layout.levels[f], layout.levels[r])
        for a in range(layout.sizes[r]):
            rows.append(keys // layout.levels[r])
            columns.append(keys % layout.levels[r] + layout.span(r).start + a * layout.levels[r])
            entry_of_row.append(inverse + filled)
            filled += keys.size
    all_rows = np.concatenate(rows) if rows else np.zeros(0, dtype=np.intp)
    all_columns = np.concatenate(columns) if columns else np.zeros(0, dtype=np.intp)
    order = np.argsort(all_rows, kind="stable")
    rank = np.empty(order.size, dtype=np.intp)
    rank[order] = np.arange(order.size)
    starts = np.concatenate([[0], np.cumsum(np.bincount(all_rows, minlength=layout.levels[f]))]).astype(np.intp)
    shape = (layout.levels[f], layout.n_remainder)
    entries = tuple(rank[e] for e in entry_of_row)
    return PairPattern(layout, all_rows[order], all_columns[order], *shape, starts, entries)


def _prefers_dense(layout: Layout, f: int) -> bool:
    cells = layout.sizes[f] * layout.levels[f] * layout.n_remainder
    if cells > DENSE_CELLS:
        return False
    return cells <= 20_000 or layout.patterns[f].rows.size > DENSE_FILL * layout.levels[f] * layout.n_remainder


def _may_be_sparse(layout: Layout) -> bool:
    """Whether the remainder is large, of one coefficient a level, and its factors' levels are independent."""
    scalar = all(layout.sizes[r] == 1 and not layout.correlated[r] for r in layout.remainder)
    if not scalar or layout.n_remainder < max(SPARSE_COLUMNS, 1) or any(layout.dense_cross):
        return False
    return sum(pattern.n_pairs for pattern in layout.patterns) <= MOST_PAIRS


def _sparse_square(layout: Layout) -> SparseSquare | None:
    """The cells of a sparse remainder, or None where a dense one is cheaper."""
    n = layout.n_remainder
    distinct = _few_distinct(_remainder_keys(layout), n, sum(pattern.n_pairs for pattern in layout.patterns))
    if distinct is None:
        return None
    rows, columns = np.divmod(distinct, n)
    ends = (np.concatenate([rows, columns]), np.concatenate([columns, rows]))
    graph = sp.coo_array((np.ones(2 * distinct.size, dtype=np.int8), ends), shape=(n, n))
    plan = plan_elimination(sp.csr_array(graph))
    return SparseSquare(plan, rows, columns) if _is_cheaper(plan) else None


def _remainder_keys(layout: Layout) -> Iterator[IntArray]:
    """Keys ``row * n + column``, row >= column, of the non-zeros of the remainder; some more than once."""
    n = layout.n_remainder
    yield np.arange(n) * (n + 1)
    for pattern in layout.patterns:
        yield from pattern.pair_keys
    for i, r in enumerate(layout.remainder):
        for s in list(layout.remainder)[:i]:
            own, other = layout.codes[r] + layout.span(r).start, layout.codes[s] + layout.span(s).start
            yield np.maximum(own, other) * n + np.minimum(own, other)


def _is_cheaper(plan: EliminationPlan) -> bool:
    return plan.cost < FLOP_TIME * float(plan.n) ** 3 + CELL_TIME * float(plan.n) ** 2


def _few_distinct(parts: Iterator[IntArray], n: int, count: int) -> IntArray | None:
    """Return the sorted distinct keys, all below ``n**2``; None if too many for a sparse matrix.

    ``count`` is about how many there are, repeated ones counted.
    """
    most = SPARSE_FILL * n**2
    if n**2 > TABLE_PER_KEY * count:
        keys = np.sort(np.concatenate(list(parts)))
        distinct = keys[np.flatnonzero(np.diff(keys, prepend=-1))]
        return distinct if distinct.size <= most else None
    present, since = np.zeros(n**2, dtype=bool), 0
    for keys in parts:
        present[keys] = True
        since += keys.size
        if since > most:
            since = 0
            if np.count_nonzero(present) > most:
                return None
    distinct = np.flatnonzero(present)
    return distinct if distinct.size <= most else None
