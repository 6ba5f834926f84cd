"""The block of one eliminated factor against the dense remainder, in its two storages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import Array, IntArray
from mixedfx.linalg import packed
from mixedfx.linalg.layout import PairPattern, fields_only
from mixedfx.linalg.small import multiply, segment_sum

__all__ = ["Cross", "DenseCross", "SparseCross"]


class Cross(ABC):
    """Cross-products ``C`` of a factor of m levels and Q coefficients with the remainder's columns.

    Attributes
    ----------
    values : (Q, …)
        The cells that are stored.
    """

    values: Array

    @property
    @abstractmethod
    def sparsity(self) -> PairPattern | None:
        """The pattern of the stored cells; None where all are stored. A parent's is None if a child's is."""

    @abstractmethod
    def schur(self, k: Array) -> Array:
        """Return ``C' blockdiag(k) C`` in the cells of the remainder, for symmetric ``k`` (Q, Q, m)."""

    @abstractmethod
    def quadratic(self, inner: Any) -> Array:
        """Return the blocks ``C_l inner C_l'`` (Q, Q, m) for a symmetric matrix in the cells of the remainder."""

    @abstractmethod
    def rows_times(self, inner: Any) -> Cross:
        """Return ``C @ inner`` where ``C`` is stored, for a symmetric matrix in the cells of the remainder."""

    @abstractmethod
    def scaled(self, left: Array) -> Cross:
        """Return ``left_l @ C_l`` for ``left`` (Q', Q, m)."""

    @abstractmethod
    def dot(self, b: Array) -> Array:
        """Return ``C @ b`` (Q, m, c) for ``b`` (columns, c)."""

    @abstractmethod
    def transpose_dot(self, r: Array) -> Array:
        """Return ``C' @ r`` (columns, c) for ``r`` (Q, m, c)."""

    @abstractmethod
    def gathered(self, left: Array, parents: IntArray, like: Cross) -> Cross:
        """Return ``sum over l in parent of left_l @ C_l``, stored like the parent's block ``like``."""

    @abstractmethod
    def spread(self, parents: IntArray, like: Cross) -> Cross:
        """Return ``C_parent(l)`` of this block, a parent's, for every level l of the child, stored like ``like``."""

    @abstractmethod
    def plus(self, other: Cross, sign: float) -> Cross:
        """Return ``self + sign * other`` for blocks of one storage."""

    @abstractmethod
    def squared_columns(self) -> Array:
        """Return the squared norms (Q, columns) of the columns of every coefficient."""

    @abstractmethod
    def overlap(self, other: Cross) -> Array:
        """Return the blocks ``self_l other_l'`` (Q, Q', m), summed over stored entries."""


@dataclass(frozen=True)
class DenseCross(Cross):
    """All cells stored: ``values`` (Q, m, columns)."""

    values: Array

    @property
    def sparsity(self) -> None:
        """None: all cells are stored."""
        return None

    def schur(self, k: Array) -> Array:
        """Return the Schur update; see :class:`Cross`."""
        q, m, columns = self.values.shape
        weighted = np.einsum("abm,bmc->amc", k, self.values) if q > 1 else k[0, 0][:, None] * self.values
        return packed.product(self.values.reshape(q * m, columns), weighted.reshape(q * m, columns))

    def quadratic(self, inner: Any) -> Array:
        """Return the blocks of the quadratic form."""
        return self.rows_times(inner).overlap(self)

    def rows_times(self, inner: Any) -> DenseCross:
        """Return the rows times ``inner``."""
        q, m, columns = self.values.shape
        product = packed.times(inner, columns, self.values.reshape(q * m, columns).T)
        return DenseCross(np.ascontiguousarray(product.T).reshape(q, m, columns))

    def scaled(self, left: Array) -> DenseCross:
        """Return every level's rows times its ``left``."""
        if left.shape[:2] == (1, 1):
            return DenseCross(left[0, 0][None, :, None] * self.values)
        return DenseCross(np.einsum("abm,bmc->amc", left, self.values))

    def dot(self, b: Array) -> Array:
        """Return the product with effects of the remainder."""
        q, m, columns = self.values.shape
        out: Array = (self.values.reshape(q * m, columns) @ b).reshape(q, m, -1)
        return out

    def transpose_dot(self, r: Array) -> Array:
        """Return the product of the transpose with effects of the factor."""
        q, m, columns = self.values.shape
        out: Array = self.values.reshape(q * m, columns).T @ r.reshape(q * m, -1)
        return out

    def gathered(self, left: Array, parents: IntArray, like: Cross) -> DenseCross:
        """Return the sums over the levels of each parent."""
        moved, shape = self.scaled(left).values, (like.values.shape[1], parents.size)
        indicator = sp.csr_array((np.ones(parents.size), (parents, np.arange(parents.size))), shape=shape)
        return DenseCross(np.stack([indicator @ plane for plane in moved]))

    def spread(self, parents: IntArray, like: Cross) -> Cross:
        """Return the parents' rows for every level."""
        pattern = like.sparsity
        if pattern is None:
            return DenseCross(self.values[:, parents])
        return SparseCross(pattern, self.values[:, parents[pattern.rows], pattern.columns])

    def plus(self, other: Cross, sign: float) -> DenseCross:
        """Return the sum of two blocks."""
        return DenseCross(self.values + sign * other.values)

    def squared_columns(self) -> Array:
        """Return the squared norms of the columns."""
        return np.asarray(np.einsum("amc,amc->ac", self.values, self.values))

    def overlap(self, other: Cross) -> Array:
        """Return the products of the two blocks' rows."""
        return np.asarray(np.einsum("amc,bmc->abm", self.values, other.values))


@dataclass(frozen=True)
class SparseCross(Cross):
    """Only the cells of ``pattern`` stored: ``values`` (Q, nnz)."""

    pattern: PairPattern
    values: Array

    __getstate__ = fields_only

    @property
    def sparsity(self) -> PairPattern:
        """The pattern."""
        return self.pattern

    @cached_property
    def _products(self) -> sp.csr_array:
        """Row l, column (j1, j2): the product of the entries (l, j1) and (l, j2), for one coefficient a level."""
        return self._products_with(self.values)

    def _products_with(self, other: Array) -> sp.csr_array:
        """Row l, column (j1, j2): the product of the entries (l, j1) and, of ``other`` (Q, nnz), (l, j2)."""
        products = np.empty(self.pattern.n_pairs)
        for block in self.pattern.pair_blocks:
            one, two = self.values[:, block.entries], other[:, block.entries]
            products[block.pairs] = np.einsum("ae,ae->e", one[:, block.first], two[:, block.second])
        return self.pattern.pair_table(products)

    def schur(self, k: Array) -> Array:
        """Return the Schur update; see :class:`Cross`."""
        if self.values.shape[0] == 1:
            return np.asarray(self._products.T @ k[0, 0])
        products = self._products_with(self.scaled(k).values)
        return np.asarray(products.T @ np.ones(self.pattern.n_rows))

    def quadratic(self, inner: Any) -> Array:
        """Return the blocks of the quadratic form."""
        if self.values.shape[0] == 1:
            diagonal = inner[self.pattern.layout.square.diagonal][self.pattern.columns]
            once = segment_sum(np.square(self.values[0]) * diagonal, self.pattern.rows, self.pattern.n_rows)
            return np.asarray(2.0 * (self._products @ inner) - once)[None, None]
        return self.rows_times(inner).overlap(self)

    def rows_times(self, inner: Any) -> SparseCross:
        """Return the rows times ``inner``."""
        values = np.empty_like(self.values)
        for block in self.pattern.pair_blocks:
            weight = inner[self.pattern.pair_cells[block.pairs]]
            twice = np.where(block.first == block.second, 0.0, weight)
            for out, entry in zip(values[:, block.entries], self.values[:, block.entries], strict=True):
                out[:] = np.bincount(block.first, weights=weight * entry[block.second], minlength=entry.size)
                out += np.bincount(block.second, weights=twice * entry[block.first], minlength=entry.size)
        return SparseCross(self.pattern, values)

    def scaled(self, left: Array) -> SparseCross:
        """Return every level's rows times its ``left``."""
        return SparseCross(
            self.pattern, multiply(np.ascontiguousarray(left[:, :, self.pattern.rows]), self.values[:, None])[:, 0]
        )

    @cached_property
    def _matrices(self) -> tuple[sp.csr_array, ...]:
        shape = (self.pattern.n_rows, self.pattern.n_columns)
        return tuple(sp.csr_array((v, self.pattern.columns, self.pattern.starts), shape=shape) for v in self.values)

    def dot(self, b: Array) -> Array:
        """Return the product with effects of the remainder."""
        return np.stack([matrix @ b for matrix in self._matrices])

    def transpose_dot(self, r: Array) -> Array:
        """Return the product of the transpose with effects of the factor."""
        out: Array = sum(matrix.T @ part for matrix, part in zip(self._matrices, r, strict=True))
        return out

    def gathered(self, left: Array, parents: IntArray, like: Cross) -> Cross:
        """Return the sums over the levels of each parent."""
        moved, pattern = self.scaled(left).values, like.sparsity
        if pattern is None:
            place = (parents[self.pattern.rows], self.pattern.columns)
            shape = like.values.shape[1:]
            return DenseCross(np.stack([sp.coo_array((plane, place), shape=shape).toarray() for plane in moved]))
        target = _entries_in(pattern, self.pattern, parents)
        return SparseCross(pattern, segment_sum(moved, target, pattern.rows.size))

    def spread(self, parents: IntArray, like: Cross) -> SparseCross:
        """Return the parents' rows for every level."""
        assert like.sparsity is not None  # a parent of dense children is dense
        source = _entries_in(self.pattern, like.sparsity, parents)
        return SparseCross(like.sparsity, np.ascontiguousarray(self.values[:, source]))

    def plus(self, other: Cross, sign: float) -> SparseCross:
        """Return the sum of two blocks."""
        return SparseCross(self.pattern, self.values + sign * other.values)

    def squared_columns(self) -> Array:
        """Return the squared norms of the columns."""
        return segment_sum(np.square(self.values), self.pattern.columns, self.pattern.n_columns)

    def overlap(self, other: Cross) -> Array:
        """Return the products of the two blocks' rows."""
        products = self.values[:, None] * other.values[None]
        return segment_sum(products, self.pattern.rows, self.pattern.n_rows)


def _entries_in(outer: PairPattern, inner: PairPattern, parents: IntArray) -> IntArray:
    """For every entry (l, j) of ``inner`` the position of the entry (parent of l, j) of ``outer``."""
    keys = outer.rows * outer.n_columns + outer.columns
    order = np.argsort(keys)
    wanted = parents[inner.rows] * outer.n_columns + inner.columns
    positions: IntArray = order[np.searchsorted(keys, wanted, sorter=order)]
    return positions
