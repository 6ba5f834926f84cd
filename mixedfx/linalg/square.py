"""Where the entries of the remainder's symmetric matrices are kept: all of them, or those of a sparse pattern."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import Array, IntArray
from mixedfx.linalg.elimination import EliminationPlan

__all__ = ["DenseSquare", "SparseSquare", "Square"]


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
    def cells_of(self, keys: IntArray) -> IntArray:
        """Return the cells of the entries with ``keys = row * n + column``, row >= column."""


@dataclass(frozen=True)
class DenseSquare(Square):
    """All n**2 cells, row by row; those above the diagonal stay zero."""

    n: int

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.n**2

    @property
    def diagonal(self) -> IntArray:
        """Cells (n,) of the diagonal."""
        return np.arange(self.n) * (self.n + 1)

    def cells_of(self, keys: IntArray) -> IntArray:
        """Return the cells: the keys themselves."""
        return keys


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

    def cells_of(self, keys: IntArray) -> IntArray:
        """Return the cells of the entries."""
        i, j = np.divmod(keys, self.plan.n)
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
