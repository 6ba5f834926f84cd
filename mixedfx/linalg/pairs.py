"""Which levels of two factors meet, and their cross-products: the sparse blocks of equations that are never formed.

Products with many columns at once go through compressed rows in both directions: spreading a row's entries is as fast
as collecting them, so that no transposed copy is kept. Indices have 32 bits where they suffice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import AnyArray, Array, BoolArray, IntArray
from mixedfx.linalg.small import multiply, segment_sum

__all__ = ["LevelPairs", "PairBlock", "PairRows", "meeting"]


def _index_type(*sizes: int) -> type:
    """The integers that hold these sizes."""
    return np.int32 if max(sizes, default=0) < np.iinfo(np.int32).max else np.int64


@dataclass(frozen=True)
class LevelPairs:
    """The pairs of levels that meet in some row, in order of the first factor's level, then the second's.

    Attributes
    ----------
    starts : (n_first + 1,)
        First pair of every level of the first factor.
    columns : (k,)
        Level of the second factor of every pair.
    n_columns : int
        Levels of the second factor.
    """

    starts: IntArray
    columns: IntArray
    n_columns: int

    @property
    def n_rows(self) -> int:
        """Levels of the first factor."""
        return self.starts.size - 1

    @cached_property
    def rows(self) -> IntArray:
        """Level (k,) of the first factor of every pair."""
        return np.repeat(np.arange(self.n_rows, dtype=self.columns.dtype), np.diff(self.starts))

    def places(self, other: LevelPairs, parents: IntArray) -> IntArray:
        """For every pair (l, j) of ``other``, the position of (parent of l, j) among these pairs."""
        wanted = parents[other.rows].astype(np.int64) * self.n_columns + other.columns
        return np.searchsorted(self._keys, wanted).astype(self.columns.dtype)

    @cached_property
    def _keys(self) -> IntArray:
        return self.rows.astype(np.int64) * self.n_columns + self.columns

    def find(self, first: IntArray, second: IntArray) -> tuple[IntArray, BoolArray]:
        """Return the pair (n,) of levels (n,), (n,) of the two factors, and whether there is one: they have met."""
        wanted = first.astype(np.int64) * self.n_columns + second
        places = np.minimum(np.searchsorted(self._keys, wanted), max(self._keys.size - 1, 0))
        return places, self._keys[places] == wanted if self._keys.size else np.zeros(wanted.size, dtype=bool)

    def matrix(self, values: Array) -> sp.csr_array:
        """The values (k,) as a sparse matrix (n_rows, n_columns)."""
        return sp.csr_array((values, self.columns, self.starts), shape=(self.n_rows, self.n_columns), copy=False)


@dataclass(frozen=True)
class PairRows:
    """The data rows of every pair: ``order`` (n,) has them pair by pair, ``starts`` (k,) the first of each pair."""

    order: IntArray
    starts: IntArray

    def sums(self, values: AnyArray) -> Array:
        """Sum ``values`` (n,) over the rows of every pair."""
        if self.starts.size == 0:
            return np.zeros(0)
        return np.asarray(np.add.reduceat(values[self.order], self.starts), dtype=float)

    @cached_property
    def of_row(self) -> IntArray:
        """The pair (n,) that every row belongs to."""
        counts = np.diff(np.append(self.starts, self.order.size))
        out = np.empty(self.order.size, dtype=self.order.dtype)
        out[self.order] = np.repeat(np.arange(counts.size, dtype=self.order.dtype), counts)
        return out


def meeting(first: IntArray, second: IntArray, n_first: int, n_second: int) -> tuple[LevelPairs, PairRows]:
    """Return which levels meet, and their rows, from the levels (n,) of two factors: two counting sorts."""
    kind = _index_type(first.size, n_first, n_second)
    order = _counting_sort(second.astype(kind, copy=False), n_second)
    order = order[_counting_sort(first[order].astype(kind, copy=False), n_first)]
    row, column = first[order], second[order]
    new = np.ones(order.size, dtype=bool)
    new[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
    starts: IntArray = np.flatnonzero(new).astype(kind)
    counts = np.bincount(row[starts], minlength=n_first)
    pairs = LevelPairs(np.concatenate([[0], np.cumsum(counts)]).astype(kind), column[starts].astype(kind), n_second)
    return pairs, PairRows(order, starts)


def _counting_sort(codes: IntArray, count: int) -> IntArray:
    """Positions (n,) in order of ``codes``, equal ones as they come."""
    n = codes.size
    rows = sp.csr_array((np.ones(n, dtype=np.int8), codes, np.arange(n + 1, dtype=codes.dtype)), shape=(n, count))
    return np.asarray(rows.tocsc().indices)


@dataclass(frozen=True)
class PairBlock:
    """Cross-products ``C`` of two factors: ``values`` (Q, Q', k) on their pairs."""

    pairs: LevelPairs
    values: Array

    @cached_property
    def _matrices(self) -> list[list[sp.csr_array]]:
        return [[self.pairs.matrix(plane) for plane in planes] for planes in self.values]

    def dot(self, b: Array) -> Array:
        """Return ``C @ b`` (Q, m, c) for ``b`` (Q', m', c)."""
        return _stacked([_total([a @ part for a, part in zip(row, b, strict=True)]) for row in self._matrices])

    def transpose_dot(self, b: Array) -> Array:
        """Return ``C' @ b`` (Q', m', c) for ``b`` (Q, m, c)."""
        columns = zip(*self._matrices, strict=True)
        return _stacked([_total([a.T @ part for a, part in zip(column, b, strict=True)]) for column in columns])

    def scaled(self, left: Array) -> PairBlock:
        """Return ``left_l @ C_l`` for ``left`` (Q'', Q, m) on the levels of the first factor."""
        return PairBlock(self.pairs, multiply(np.take(left, self.pairs.rows, axis=2), self.values))

    def times_right(self, right: Array) -> PairBlock:
        """Return ``C_lj @ right_j`` for ``right`` (Q', Q'', m') on the levels of the second factor."""
        return PairBlock(self.pairs, multiply(self.values, np.take(right, self.pairs.columns, axis=2)))

    def overlap(self, other: PairBlock) -> Array:
        """Return ``sum over j of C_lj other_lj'`` (Q, Q'', m), for two blocks on the same pairs."""
        products = multiply(self.values, other.values.swapaxes(0, 1))
        return segment_sum(products, self.pairs.rows, self.pairs.n_rows)

    def column_overlap(self, other: PairBlock) -> Array:
        """Return ``sum over l of C_lj' other_lj`` (Q', Q'', m'), for two blocks on the same pairs."""
        products = multiply(self.values.swapaxes(0, 1), other.values)
        return segment_sum(products, self.pairs.columns, self.pairs.n_columns)

    def plus(self, other: PairBlock, sign: float) -> PairBlock:
        """Return ``self + sign * other`` for blocks on the same pairs."""
        return PairBlock(self.pairs, self.values + sign * other.values)

    def gathered(self, parents: IntArray, like: LevelPairs) -> PairBlock:
        """Return the sums over the levels of each parent, on the parents' pairs."""
        places = like.places(self.pairs, parents)
        return PairBlock(like, segment_sum(self.values, places, like.columns.size))

    def spread(self, parents: IntArray, like: LevelPairs) -> PairBlock:
        """Return the parents' values for every level, on the levels' pairs."""
        return PairBlock(like, np.take(self.values, self.pairs.places(like, parents), axis=2))

    def squared_columns(self) -> Array:
        """Return the squared norms (Q, Q' m') of the columns of every coefficient."""
        sums = segment_sum(np.square(self.values), self.pairs.columns, self.pairs.n_columns)
        return sums.reshape(len(self.values), -1)

    def squares(self) -> Array:
        """Return the sums of squares (Q, Q') of the products of every two coefficients."""
        return np.asarray(np.square(self.values).sum(axis=2))


def _total(parts: list[Array]) -> Array:
    out = parts[0]
    for part in parts[1:]:
        out += part
    return out


def _stacked(parts: list[Array]) -> Array:
    return parts[0][None] if len(parts) == 1 else np.stack(parts)
