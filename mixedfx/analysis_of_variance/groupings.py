"""Groupings of rows: their common coarsening, and whether two of them are orthogonal to each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mixedfx._typing import Array, IntArray

__all__ = ["Grouping", "grouping_of", "meet", "orthogonal", "whole"]


@dataclass(frozen=True, eq=False)
class Grouping:
    """A partition of n rows into levels.

    Attributes
    ----------
    codes : (n,)
        Level of each row, numbered as the levels appear, so that equal partitions have equal codes.
    size : int
        Number of levels.
    """

    codes: IntArray
    size: int

    @cached_property
    def key(self) -> bytes:
        """What two equal partitions have in common."""
        return self.codes.tobytes()

    @cached_property
    def counts(self) -> IntArray:
        """Rows of each level (size,)."""
        return np.bincount(self.codes, minlength=self.size)

    @property
    def is_balanced(self) -> bool:
        """Whether all levels have equally many rows."""
        return bool(np.all(self.counts == self.counts[0]))

    @cached_property
    def indicators(self) -> sp.csr_array:
        """``Z'`` (size, n): ones where a row belongs to a level."""
        n = len(self.codes)
        return sp.csr_array((np.ones(n), (self.codes, np.arange(n))), shape=(self.size, n))

    def averages(self, values: Array) -> Array:
        """Return the mean of its level for every row of ``values`` (n, c)."""
        means = (self.indicators @ values) / self.counts[:, None]
        return np.asarray(means[self.codes])

    def cells(self, other: Grouping) -> tuple[IntArray, IntArray, IntArray]:
        """Return own level, the other's level and number of rows of each combination that occurs."""
        keys, counts = np.unique(self.codes * other.size + other.codes, return_counts=True)
        return keys // other.size, keys % other.size, counts

    def crossed(self, other: Grouping) -> Grouping:
        """Return the partition into the combinations of levels that occur."""
        return grouping_of(self.codes * other.size + other.codes)


def grouping_of(labels: IntArray) -> Grouping:
    """Return the partition of rows by any integer labels.

    Examples
    --------
    >>> import numpy as np
    >>> grouping_of(np.array([7, 7, 3])).codes.tolist()
    [0, 0, 1]
    """
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return Grouping(rank[codes], len(first))


def whole(n: int) -> Grouping:
    """Return the partition of n rows with a single level: its averages are the grand mean."""
    return Grouping(np.zeros(n, dtype=np.intp), 1)


def meet(a: Grouping, b: Grouping) -> Grouping:
    """Return the finest partition that is coarser than both."""
    own, others, _ = a.cells(b)
    graph = sp.csr_array((np.ones(len(own)), (own, a.size + others)), shape=(a.size + b.size,) * 2)
    _, component = connected_components(graph, directed=False)
    return grouping_of(component.astype(np.intp)[a.codes])


def orthogonal(a: Grouping, b: Grouping, common: Grouping) -> bool:
    """Say whether averaging over ``a`` and over ``b``, in any order, is averaging over their ``common`` coarsening.

    That is so if and only if within every level of the common coarsening each level of ``a`` meets each of ``b``, in
    numbers of rows proportional to theirs; the counts are compared as whole numbers.

    References
    ----------
    Bailey (2008), Design of Comparative Experiments, ch. 10.
    """
    own, others, counts = a.cells(b)
    home_a, home_b = np.zeros(a.size, dtype=np.intp), np.zeros(b.size, dtype=np.intp)
    home_a[a.codes], home_b[b.codes] = common.codes, common.codes
    possible = np.bincount(home_a, minlength=common.size) @ np.bincount(home_b, minlength=common.size)
    if possible != len(own):
        return False
    return bool(np.all(counts * common.counts[home_a[own]] == a.counts[own] * b.counts[others]))
