"""Independent effects in blocks, one standard deviation a block: smooths, memberships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.base import Covariance

__all__ = ["PooledDiagonalCovariance"]


@dataclass(frozen=True)
class PooledDiagonalCovariance(Covariance):
    """``T = diag(theta[block])``: one relative standard deviation for all columns of a block.

    Parameters
    ----------
    size : int
    counts : tuple of int
        Number of columns of each block, in order.

    Examples
    --------
    >>> import numpy as np
    >>> PooledDiagonalCovariance(3, (2, 1)).factor(np.array([2.0, 0.5])).diagonal()
    array([2. , 2. , 0.5])
    """

    counts: tuple[int, ...] = ()

    @property
    def blocks(self) -> IntArray:
        """Block (q,) of every column."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def firsts(self) -> tuple[int, ...]:
        """First column of every block."""
        return tuple(accumulate(self.counts, initial=0))[:-1]

    @property
    def is_correlated(self) -> bool:
        """Return False."""
        return False

    @property
    def n_theta(self) -> int:
        """One parameter a block."""
        return len(self.counts)

    def factor(self, theta: Array) -> Array:
        """Return ``T`` (q, q)."""
        return np.diag(theta[self.blocks])

    def derivative(self, theta: Array) -> Array:
        """Return the constant ``dT / dtheta`` (n_theta, q, q)."""
        out = np.zeros((self.n_theta, self.size, self.size))
        columns = np.arange(self.size)
        out[self.blocks, columns, columns] = 1.0
        return out

    def second_derivative(self, theta: Array) -> None:
        """Return None: ``T`` is linear in ``theta``."""
        return None

    def lower(self) -> Array:
        """Return zeros."""
        return np.zeros(self.n_theta)

    def upper(self) -> Array:
        """Return infinity."""
        return np.full(self.n_theta, np.inf)

    def start(self) -> Array:
        """Return ones."""
        return np.ones(self.n_theta)

    def near(self, covariance: Array) -> Array:
        """Return the roots of the mean variances of the blocks."""
        return np.asarray(np.sqrt(np.bincount(self.blocks, weights=covariance.diagonal()) / np.array(self.counts)))

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Name the parameter of each block after its first column."""
        return tuple(columns[first] for first in self.firsts)

    def closed_under_affine(self) -> bool:
        """Return True for a single column only."""
        return self.size == 1

    def closed_under_scaling(self) -> bool:
        """Return True where every block is a single column."""
        return self.size == self.n_theta

    def search_lower(self) -> Array:
        """Return minus infinity: only squares enter the covariance."""
        return np.full(self.n_theta, -np.inf)

    def canonical(self, theta: Array) -> Array:
        """Return the absolute values."""
        return np.abs(theta)

    def closed(self, theta: Array, rest: Array) -> Array:
        """Return the parameters with the standard deviations of blocks outside the span of ``rest`` (q, k) at zero."""
        left = np.bincount(self.blocks, weights=np.abs(rest).sum(axis=1), minlength=self.n_theta)
        return np.where(left > 0, theta, 0.0)

    def reopened(self, theta: Array, null: Array, gradient: Array, size: float) -> Array:
        """Return the parameters with those null standard deviations raised that the criterion wants positive."""
        empty = np.bincount(self.blocks, weights=np.abs(null).sum(axis=1), minlength=self.n_theta) > 0
        wanted = empty & (np.bincount(self.blocks, weights=gradient.diagonal(), minlength=self.n_theta) < 0)
        return np.where(wanted if wanted.any() else empty, size, theta)

    def rescale(self, theta: Array, scale: Array) -> Array:
        """Return the parameters of ``diag(scale) T(theta)``; the scales must be equal within a block."""
        return np.asarray(theta * scale[list(self.firsts)])
