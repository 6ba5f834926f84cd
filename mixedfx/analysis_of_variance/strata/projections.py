"""Groupings of rows, and orthogonal projections onto what a grouping, or a set of columns, adds to those before it.

In a balanced design the projections are signed sums of averages over groupings, exact and as cheap as a few sums over
the rows. Where groupings are not orthogonal to each other, an orthonormal basis of what is new is found by a
rank-revealing QR.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy import linalg
from scipy.sparse.csgraph import connected_components

from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import DataError

__all__ = [
    "RANK_TOLERANCE",
    "Averages",
    "Grouping",
    "Projector",
    "Space",
    "grouping_of",
    "increments",
    "meet",
    "orthogonal",
    "orthonormal",
]

RANK_TOLERANCE = 1e-7  # a column whose remainder is smaller, relative to its size, adds nothing
LARGEST_BASIS = 10_000  # most columns of a space that is not orthogonal to the others


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
    levels_a, levels_b, _ = a.cells(b)
    graph = sp.csr_array((np.ones(len(levels_a)), (levels_a, a.size + levels_b)), shape=(a.size + b.size,) * 2)
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
    levels_a, levels_b, counts = a.cells(b)
    home_a, home_b = np.zeros(a.size, dtype=np.intp), np.zeros(b.size, dtype=np.intp)
    home_a[a.codes], home_b[b.codes] = common.codes, common.codes
    possible = np.bincount(home_a, minlength=common.size) @ np.bincount(home_b, minlength=common.size)
    if possible != len(levels_a):
        return False
    return bool(np.all(counts * common.counts[home_a[levels_a]] == a.counts[levels_a] * b.counts[levels_b]))


Space = Grouping | Array


class Projector(ABC):
    """An orthogonal projection of vectors of n rows."""

    @property
    @abstractmethod
    def rank(self) -> int:
        """Dimension of the space."""

    @abstractmethod
    def apply(self, values: Array) -> Array:
        """Return the projections of the columns of ``values`` (n, c)."""

    @abstractmethod
    def overlap(self, grouping: Grouping) -> float:
        """Return ``tr(P Z Z')`` with ``Z`` the indicators of ``grouping``."""


@dataclass(frozen=True)
class Averages(Projector):
    """A signed sum of averages over groupings: ``A(a:b) - A(a) - A(b) + A(1)``.

    Attributes
    ----------
    parts : tuple of (int, Grouping)
    """

    parts: tuple[tuple[int, Grouping], ...]

    @property
    def rank(self) -> int:
        """Dimension of the space."""
        return sum(sign * grouping.size for sign, grouping in self.parts)

    def apply(self, values: Array) -> Array:
        """Return the projections of the columns of ``values`` (n, c)."""
        out = np.zeros_like(values)
        for sign, grouping in self.parts:
            out += sign * grouping.averages(values)
        return out

    def overlap(self, grouping: Grouping) -> float:
        """Return ``tr(P Z Z')``: with each average, the sum of ``n_jb^2 / n_j`` over the cells."""
        total = 0.0
        for sign, averaged in self.parts:
            level, _, counts = averaged.cells(grouping)
            total += sign * float(np.sum(counts**2 / averaged.counts[level]))
        return total

    def plus(self, other: Averages, sign: int = 1) -> Averages:
        """Return the sum, equal groupings put together."""
        groupings = {g.key: g for _, g in (*self.parts, *other.parts)}
        signs = dict.fromkeys(groupings, 0)
        for s, g in self.parts:
            signs[g.key] += s
        for s, g in other.parts:
            signs[g.key] += sign * s
        return Averages(tuple((signs[key], g) for key, g in groupings.items() if signs[key]))

    def restricted(self, grouping: Grouping) -> Averages | None:
        """Return the product with the averages over ``grouping``; None if they do not commute."""
        out = Averages(())
        for sign, averaged in self.parts:
            common = meet(averaged, grouping)
            if not orthogonal(averaged, grouping, common):
                return None
            out = out.plus(Averages(((1, common),)), sign)
        return out


@dataclass(frozen=True)
class Span(Projector):
    """A space of functions that are constant in cells, by an orthonormal basis in the coordinates ``sqrt(n_c) f_c``.

    Attributes
    ----------
    basis : (cells, r)
    cells : Grouping
    """

    basis: Array
    cells: Grouping

    @property
    def rank(self) -> int:
        """Dimension of the space."""
        return int(self.basis.shape[1])

    def apply(self, values: Array) -> Array:
        """Return the projections of the columns of ``values`` (n, c)."""
        root = np.sqrt(self.cells.counts)[:, None]
        inside = self.basis @ (self.basis.T @ ((self.cells.indicators @ values) / root))
        return np.asarray((inside / root)[self.cells.codes])

    def overlap(self, grouping: Grouping) -> float:
        """Return ``tr(P Z Z')``: the squared sums of the basis over the levels."""
        level, cell, counts = grouping.cells(self.cells)
        shape = (grouping.size, self.cells.size)
        sums = sp.csr_array((counts / np.sqrt(self.cells.counts[cell]), (level, cell)), shape=shape)
        return float(np.sum(np.asarray(sums @ self.basis) ** 2))


@dataclass
class _Accumulated:
    """The spaces so far: their averages while these commute, a basis in cells from then on."""

    cells: Grouping
    averages: Averages
    spaces: list[Space]
    basis: Array | None = None

    def add(self, space: Space) -> Projector:
        """Return the projection onto what ``space`` adds."""
        if self.basis is None and isinstance(space, Grouping):
            projected = self.averages.restricted(space)
            if projected is not None:
                new = Averages(((1, space),)).plus(projected, -1)
                self.averages = self.averages.plus(new)
                self.spaces.append(space)
                return new
        return self._spanned(space)

    def _spanned(self, space: Space) -> Span:
        if self.basis is None:
            before = np.column_stack([self._coordinates(known) for known in self.spaces])
            self.basis = orthonormal(before, np.linalg.norm(before, axis=0))
        columns = self._coordinates(space)
        rest = columns
        for _ in range(2):  # twice is enough for full precision
            rest = rest - self.basis @ (self.basis.T @ rest)
        basis = orthonormal(rest, np.linalg.norm(columns, axis=0))
        self.basis = np.column_stack([self.basis, basis])
        return Span(basis, self.cells)

    def _coordinates(self, space: Space) -> Array:
        """The columns of a space as functions on cells (cells, c), times the roots of their numbers of rows."""
        if not isinstance(space, Grouping):
            return space
        if space.size > LARGEST_BASIS:
            raise DataError(
                f"a grouping with {space.size} levels is not orthogonal to the others: its projection needs a dense "
                f"basis of more than {LARGEST_BASIS} columns. Fit the model with lmer instead"
            )
        level, cell, counts = space.cells(self.cells)
        out = np.zeros((self.cells.size, space.size))
        out[cell, level] = np.sqrt(counts)
        return out


def increments(spaces: Sequence[Space], n: int) -> list[Projector]:
    """Return the projections onto what each space adds to the constant and to the spaces before it.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.analysis_of_variance.strata.projections import grouping_of
    >>> a, b = np.repeat([0, 1, 2], 4), np.tile([0, 1], 6)
    >>> [p.rank for p in increments([grouping_of(a), grouping_of(b), grouping_of(2 * a + b)], 12)]
    [2, 1, 2]
    """
    cells = whole(n)
    for space in spaces:
        cells = cells.crossed(space) if isinstance(space, Grouping) else Grouping(np.arange(n), n)
    accumulated = _Accumulated(cells, Averages(((1, whole(n)),)), [whole(n)])
    return [accumulated.add(space) for space in spaces]


def orthonormal(columns: Array, sizes: Array) -> Array:
    """Return an orthonormal basis (n, r) of ``columns`` (n, c), each of which is judged by its original size (c,)."""
    scale = np.where(sizes > 0, sizes, 1.0)
    if columns.shape[1] == 0:
        return columns
    Q, R, _ = linalg.qr(columns / scale, mode="economic", pivoting=True)
    rank = int(np.sum(np.abs(R.diagonal()) > RANK_TOLERANCE))
    return np.asarray(Q[:, :rank])
