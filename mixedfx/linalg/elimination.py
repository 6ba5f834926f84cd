"""The order in which a sparse symmetric matrix is factorised: independent sets of nodes, round after round.

Nodes of which no two are neighbours can be eliminated at the same time, as arrays. Every round takes such a set of
nodes with few neighbours and joins the neighbours of each; what is left when that no longer pays is a dense core.
Pattern only, no numbers.

Numbers live in one vector of *cells*: the lower triangle's entries that have an eliminated node, fill included, and
after them all cells of the dense core (:mod:`mixedfx.linalg.packed`).

References
----------
George & Liu (1981), Computer Solution of Large Sparse Positive Definite Systems, for fill and minimum degree; Luby
(1986), SIAM J. Comput. 15, 1036, for independent sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mixedfx._typing import AnyArray, Array, BoolArray, IntArray
from mixedfx.linalg import packed

__all__ = ["EliminationPlan", "Round", "plan_elimination"]

PAIR_TIME = 1e-7  # seconds that one pair of neighbours costs, in all passes together
FLOP_TIME = 3e-11  # seconds that one multiplication costs in LAPACK
ROUND_TIME = 1e-4  # seconds that one more round costs
MOST_PAIRS = 10_000_000  # pairs of all rounds together: what fill may cost in memory
SMALL_CORE = 128  # a core of so few nodes is not worth another round


@dataclass(frozen=True)
class Round:
    """One independent set.

    Attributes
    ----------
    nodes : (s,)
    diagonal : (s,)
        Cell of every node's own entry.
    rows, columns, cells : (e,)
        Number within ``nodes``, neighbour, and cell of every entry, in order of ``rows``.
    starts : (s + 1,)
        First entry of every node.
    first, second : (p,)
        Pairs of entries of one node, in order of the cell that their product goes to.
    targets, bounds : (t,)
        The distinct cells that the pairs go to, and the first pair of each.
    """

    nodes: IntArray
    diagonal: IntArray
    rows: IntArray
    columns: IntArray
    cells: IntArray
    starts: IntArray
    first: IntArray
    second: IntArray
    targets: IntArray
    bounds: IntArray

    @cached_property
    def target_of_pair(self) -> IntArray:
        """Cell (p,) of every pair."""
        return np.repeat(self.targets, np.diff(np.append(self.bounds, self.first.size)))

    @cached_property
    def unequal(self) -> tuple[IntArray, IntArray, IntArray]:
        """Numbers of the pairs of two different entries, and these entries."""
        which = np.flatnonzero(self.first != self.second)
        return which, self.first[which], self.second[which]


@dataclass(frozen=True)
class EliminationPlan:
    """The rounds, the core, and where every entry is kept.

    Attributes
    ----------
    n : int
    keys : (c,)
        ``row * n + column`` of the cells outside the core, sorted.
    core : (n_core,)
        Nodes of the core.
    core_number : (n,)
        Number of every node in the core; -1 if it is eliminated.
    rounds : tuple of Round
    """

    n: int
    keys: IntArray
    core: IntArray
    core_number: IntArray
    rounds: tuple[Round, ...]

    @property
    def n_cells(self) -> int:
        """Length of the vector of cells."""
        return int(self.keys.size + packed.count(self.core.size))

    def positions(self, i: IntArray, j: IntArray) -> IntArray:
        """Return the cells of the entries (i, j), which must be in the pattern with its fill."""
        return _positions(self.keys, self.core_number, self.core.size, i, j)

    @property
    def outer(self) -> tuple[IntArray, IntArray]:
        """Row and column of the cells outside the core."""
        return self.keys // self.n, self.keys % self.n

    def core_of(self, cells: Array) -> Array:
        """Return the core's cells as a view."""
        return cells[self.keys.size :]

    @property
    def diagonal(self) -> IntArray:
        """Cell (n,) of every diagonal entry."""
        every = np.arange(self.n)
        return self.positions(every, every)

    @property
    def cost(self) -> float:
        """Predicted seconds of one factorisation with its inverse."""
        pairs = sum(r.first.size for r in self.rounds)
        return PAIR_TIME * pairs + ROUND_TIME * len(self.rounds) + FLOP_TIME * float(self.core.size) ** 3


def _positions(keys: IntArray, core_number: IntArray, n_core: int, i: IntArray, j: IntArray) -> IntArray:
    high, low = np.maximum(i, j), np.minimum(i, j)
    a, b = core_number[high], core_number[low]
    inside = (a >= 0) & (b >= 0)
    outside = np.searchsorted(keys, high * core_number.size + low)
    return np.where(inside, keys.size + packed.positions(n_core, np.maximum(a, b), np.minimum(a, b)), outside)


def plan_elimination(pattern: sp.csr_array) -> EliminationPlan:
    """Choose the rounds for a symmetric ``pattern`` (n, n) whose diagonal is full."""
    n = pattern.shape[0]
    graph = _without_diagonal(pattern)
    alive = np.ones(n, dtype=bool)
    sets: list[tuple[IntArray, AnyArray, AnyArray]] = []
    pairs = 0.0
    while True:
        chosen = _independent_set(graph, alive)
        pairs += _pairs(graph, chosen)
        if pairs > MOST_PAIRS or not _pays(graph, chosen, int(alive.sum())):
            break
        rows = graph[chosen]
        sets.append((chosen, rows.indptr, rows.indices))
        alive[chosen] = False
        graph = _eliminated(graph, rows, alive)
    core = np.flatnonzero(alive)
    core_number = np.full(n, -1, dtype=np.intp)
    core_number[core] = np.arange(core.size)
    keys = _keys(sets, n)
    rounds = tuple(_round(keys, core_number, core.size, *parts) for parts in sets)
    return EliminationPlan(n, keys, core, core_number, rounds)


def _without_diagonal(pattern: sp.csr_array) -> sp.csr_array:
    entries = sp.coo_array(pattern)
    i, j = entries.coords
    off = i != j
    ones = np.ones(int(off.sum()), dtype=np.int32)
    return sp.csr_array(sp.coo_array((ones, (i[off], j[off])), shape=pattern.shape))


def _independent_set(graph: sp.csr_array, alive: BoolArray) -> IntArray:
    """Nodes with few neighbours, no two of them neighbours: local minima of the degree, ties broken at random."""
    degree = np.diff(graph.indptr)
    limit = 2 * int(degree[alive].min(initial=graph.shape[0])) + 2
    rank = degree + np.random.default_rng(degree.size).random(degree.size)
    rank[~alive | (degree > limit)] = np.inf
    lowest = np.full(degree.size, np.inf)
    has = degree > 0
    if has.any():
        lowest[has] = np.minimum.reduceat(rank[graph.indices], graph.indptr[:-1][has])
    return np.flatnonzero((rank < lowest) & np.isfinite(rank))


def _pays(graph: sp.csr_array, chosen: IntArray, n: int) -> bool:
    """Whether eliminating the nodes costs less than what it saves in the dense core."""
    if chosen.size == 0 or n <= SMALL_CORE:
        return False
    cost = PAIR_TIME * _pairs(graph, chosen) + ROUND_TIME
    return cost < FLOP_TIME * (float(n) ** 3 - float(n - chosen.size) ** 3)


def _pairs(graph: sp.csr_array, nodes: IntArray) -> float:
    """Number of pairs of neighbours of the nodes."""
    degree = np.diff(graph.indptr)[nodes].astype(float)
    return float(np.sum(degree * (degree + 1) / 2))


def _eliminated(graph: sp.csr_array, rows: sp.csr_array, alive: BoolArray) -> sp.csr_array:
    """The graph of the nodes that are left, the neighbours of each eliminated one joined."""
    joined = sp.csr_array(graph + rows.T @ rows)
    i, j = np.repeat(np.arange(len(alive)), np.diff(joined.indptr)), joined.indices
    keep = alive[i] & alive[j] & (i != j)
    starts = np.concatenate([[0], np.cumsum(np.bincount(i[keep], minlength=len(alive)))])
    ones = np.ones(int(starts[-1]), dtype=np.int32)
    return sp.csr_array((ones, j[keep], starts.astype(joined.indptr.dtype)), shape=graph.shape)


def _keys(sets: list[tuple[IntArray, AnyArray, AnyArray]], n: int) -> IntArray:
    """Sorted keys of all entries that have an eliminated node."""
    keys: list[IntArray] = []
    for nodes, starts, columns in sets:
        i = np.repeat(nodes, np.diff(starts))
        keys.extend((np.maximum(i, columns) * n + np.minimum(i, columns), nodes * n + nodes))
    return np.sort(np.concatenate(keys)).astype(np.intp) if keys else np.zeros(0, dtype=np.intp)


def _round(
    keys: IntArray, core_number: IntArray, n_core: int, nodes: IntArray, starts: AnyArray, columns: AnyArray
) -> Round:
    def positions(i: IntArray, j: IntArray) -> IntArray:
        return _positions(keys, core_number, n_core, i, j)

    starts, columns = starts.astype(np.intp), columns.astype(np.intp)
    rows = np.repeat(np.arange(nodes.size), np.diff(starts))
    first, second = lower_pairs(rows, starts)
    target = positions(columns[first], columns[second])
    order = np.argsort(target, kind="stable")
    target = target[order]
    bounds = np.flatnonzero(np.diff(target, prepend=-1))
    cells = positions(nodes[rows], columns)
    parts = (first[order], second[order], target[bounds], bounds)
    return Round(nodes, positions(nodes, nodes), rows, columns, cells, starts, *parts)


def lower_pairs(rows: IntArray, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Return the pairs of entries (e1, e2), e2 <= e1, of a row; ``rows`` is sorted, each begins at its ``starts``."""
    begins = starts[rows]
    count = np.arange(1, rows.size + 1) - begins
    first = np.repeat(np.arange(rows.size), count)
    shift = np.cumsum(count) - count - begins
    return first, np.arange(first.size) - np.repeat(shift, count)
