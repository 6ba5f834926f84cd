"""The marginal covariance of models with a residual structure, in dense blocks of rows that are correlated.

Relative to sigma squared ``V = Z Sigma(theta) Z' + D(rho)``. Rows without a path of common levels or residual groups
are independent, so that V falls into blocks: subjects, most often. Blocks of one size are one array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mixedfx._typing import Array, IntArray
from mixedfx.criterion.residual import ResidualEvaluation
from mixedfx.exceptions import SpecificationError
from mixedfx.linalg.gram import Rows

__all__ = ["MarginalBlocks", "RandomDirection", "RowBlocks", "shared_effects"]

MOST_NUMBERS = 60_000_000  # that the derivatives of the residual covariance may hold at once: half a gigabyte
AT_ONCE = 4_000_000  # numbers of all matrices of one batch of blocks
STEP = 1e-4  # of central differences of exact first derivatives; the parameters are of order one

RandomDirection = tuple[int, Array]  # factor, and the change (Q, Q) of its relative covariance


@dataclass(frozen=True)
class RowBlocks:
    """The rows of every block.

    Attributes
    ----------
    labels : (n,)
        Block of every row: 0, 1, …
    """

    labels: IntArray

    @cached_property
    def _order(self) -> IntArray:
        return np.argsort(self.labels, kind="stable")

    @cached_property
    def _sizes(self) -> IntArray:
        return np.bincount(self.labels)

    @property
    def _starts(self) -> IntArray:
        return np.cumsum(self._sizes) - self._sizes

    @property
    def widest(self) -> int:
        """Number of rows of the largest block."""
        return int(self._sizes.max(initial=0))

    @property
    def seats(self) -> Array:
        """Indicators (n, k) of the place of every row in its block: a block-diagonal identity."""
        seat = np.empty(len(self._order), dtype=np.intp)
        seat[self._order] = np.arange(len(seat)) - np.repeat(self._starts, self._sizes)
        return np.asarray(np.eye(self.widest)[seat])

    def batches(self, n_matrices: int) -> Iterator[IntArray]:
        """Yield rows (b, k) of blocks of equal size k, few enough for ``n_matrices`` (k, k) of each at once."""
        for size in np.unique(self._sizes[self._sizes > 0]):
            chosen = self._starts[self._sizes == size]
            step = max(1, AT_ONCE // int(max(n_matrices, 1) * size**2))
            for first in range(0, len(chosen), step):
                yield self._order[chosen[first : first + step, None] + np.arange(size)]


def shared_effects(rows: Rows, factor: int, matrix: Array, index: IntArray) -> Array:
    """Return ``Z D Z'`` (b, k, k) of blocks of rows (b, k), for the relative covariance D (Q, Q) of one factor."""
    z = rows.z[factor][:, index].transpose(1, 2, 0)
    codes = rows.layout.codes[factor][index]
    loading = rows.loadings.get(factor)
    if loading is None:
        shared = (codes[:, :, None] == codes[:, None, :]).astype(float)
    else:
        shared = (loading @ loading.T)[codes[:, :, None], codes[:, None, :]]
    return np.asarray((z @ matrix @ z.swapaxes(1, 2)) * shared)


@dataclass(frozen=True)
class MarginalBlocks:
    """Blocks of V and of its derivatives at an estimate.

    Attributes
    ----------
    point : ResidualEvaluation
    """

    point: ResidualEvaluation

    @cached_property
    def _labels(self) -> IntArray:
        """Block (n,) of every row: connected components of rows, levels and residual groups."""
        rows, residual = self.point.criterion.rows, self.point.criterion.residual
        n = len(rows.columns)
        shared = [np.zeros(n, dtype=np.intp) if f in rows.loadings else c for f, c in enumerate(rows.layout.codes)]
        if residual.groups is not None:
            shared.append(residual.groups)
        starts = n + np.concatenate([[0], np.cumsum([int(c.max()) + 1 for c in shared], dtype=np.intp)])
        other = np.concatenate([c + start for c, start in zip(shared, starts, strict=False)] or [np.arange(0)])
        row = np.tile(np.arange(n), len(shared))
        graph = sp.coo_array((np.ones(len(row), dtype=np.int8), (row, other)), shape=(starts[-1], starts[-1]))
        return np.asarray(connected_components(graph, directed=False)[1][:n], dtype=np.intp)

    @cached_property
    def _blocks(self) -> RowBlocks:
        return RowBlocks(self._labels)

    @cached_property
    def _seats(self) -> Array:
        n, widest, n_rho = len(self._labels), self._blocks.widest, self.point.criterion.residual.n_rho
        if n * widest * (n_rho + 2) > MOST_NUMBERS:
            raise SpecificationError(
                f"Kenward and Roger's method with a residual structure works on blocks of correlated rows; the largest "
                f'block of this model has {widest} of {n} rows, too many: take ddf="satterthwaite"'
            )
        return self._blocks.seats

    def batches(self, n_directions: int) -> Iterator[IntArray]:
        """Yield rows (b, k) of blocks of equal size k, few enough for ``n_directions`` derivatives at once."""
        return self._blocks.batches(n_directions)

    def columns(self, index: IntArray) -> Array:
        """Return ``X`` (b, k, p) of blocks."""
        return np.asarray(self.point.criterion.rows.columns[index, :-1])

    def random(self, direction: RandomDirection, index: IntArray) -> Array:
        """Return ``Z D Z'`` (b, k, k) of blocks for a change of the relative covariance of one factor."""
        return shared_effects(self.point.criterion.rows, *direction, index)

    @cached_property
    def _root(self) -> Array:
        return self.point.criterion.residual.unwhiten(self.point.rho, self._seats)

    def residual(self, index: IntArray) -> Array:
        """Return ``D`` (b, k, k) of blocks."""
        root = self._root[index, : index.shape[1]]
        return np.asarray(root @ root.swapaxes(1, 2))

    @cached_property
    def _halves(self) -> Array:
        """``d(D^-1/2)/d rho_j D^1/2`` (n_rho, n, k)."""
        return self._halves_at(self.point.rho, self._root)

    def _halves_at(self, rho: Array, root: Array) -> Array:
        return self.point.criterion.residual.whiten_derivative(rho, root)

    def residual_slopes(self, index: IntArray) -> Array:
        """Return ``dD / d rho`` (n_rho, b, k, k) of blocks."""
        return _slopes(self._root, self._halves, index)

    def residual_bend(self, weights: Array) -> _Bend:
        """Return the sum of the second derivatives of D with ``weights`` (n_rho, n_rho), block by block."""
        parts = []
        for j, step in enumerate(STEP * np.eye(len(weights))):
            for sign in (1.0, -1.0):
                rho = self.point.rho + sign * step
                root = self.point.criterion.residual.unwhiten(rho, self._seats)
                half = np.tensordot(weights[j], self._halves_at(rho, root), axes=1)
                parts.append((sign / (2.0 * STEP), root, half))
        return _Bend(tuple(parts))


@dataclass(frozen=True)
class _Bend:
    """Central differences of derivatives of D: factors of the sum, roots and halves."""

    parts: tuple[tuple[float, Array, Array], ...]

    def __call__(self, index: IntArray) -> Array:
        """Return the second derivatives (b, k, k) of blocks."""
        out = np.zeros((*index.shape, index.shape[1]))
        for factor, root, half in self.parts:
            out += factor * _slopes(root, half[None], index)[0]
        return out


def _slopes(root: Array, halves: Array, index: IntArray) -> Array:
    """``dD = - D^1/2 (A + A') D^1/2'`` with ``A = d(D^-1/2) D^1/2``, for blocks."""
    size = index.shape[1]
    R, A = root[index, :size], halves[:, index, :size]
    return np.asarray(-R @ (A + A.swapaxes(2, 3)) @ R.swapaxes(1, 2))
