"""Weighted rows that stand for all rows: a few for each cell, with the same sums.

Let a cell have the weight w, the means m, and the cross-products S of deviations with the columns t that random
effects multiply. With ``S_tt = sum_j d_j d_j'`` (r terms) the directions ``u_j = S' S_tt^+ d_j`` are the regression of
all columns on t, and the 2 r rows ``m +- sqrt(r / w) u_j`` of weight ``w / 2r`` have the weight, the means and these
cross-products of the cell. What the regression leaves varies no random effect. It is one sum for all cells of a
combination of the factors, so that a few of the rows of some cells are split for it, in the same manner. The
likelihood of a Gaussian model depends on the data through these sums, the number of rows and the logarithms of the
weights alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import AnyArray, Array, BoolArray, IntArray
from mixedfx.scale.sums import Sums

__all__ = ["StandIns", "counts_of", "stand_ins"]

ROUNDED = 1e-13  # spread of a column within a cell, relative to its size, that is rounding
NEGLIGIBLE = 1e-12  # share of a variance, beside the columns before, that is rounding


@dataclass(frozen=True)
class StandIns:
    """Weighted rows.

    Attributes
    ----------
    cell : (r,)
        Cell of every row.
    columns : (r, k)
        The summed columns.
    weights : (r,)
    """

    cell: IntArray
    columns: Array
    weights: Array

    @classmethod
    def concatenated(cls, parts: list[StandIns]) -> StandIns:
        """Return the rows of all parts."""
        return cls(
            np.concatenate([part.cell for part in parts]),
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.weights for part in parts]),
        )

    def take(self, chosen: IntArray | BoolArray) -> StandIns:
        """Return some of the rows."""
        return StandIns(self.cell[chosen], self.columns[chosen], self.weights[chosen])


def counts_of(rows: StandIns, sums: Sums) -> Array:
    """Return how many rows of the data each row stands for: its share in the weight of its cell."""
    return sums.cells.count[rows.cell] * rows.weights / sums.cells.weight[rows.cell]


def stand_ins(sums: Sums) -> StandIns:
    """Return weighted rows with the sums ``sums``."""
    directions, present = _directions(sums)
    whole = _spread(sums, directions, present)
    combos = sums.combo_of_cell
    count = len(sums.combos)
    explained = np.zeros_like(sums.within)
    for u in directions:
        for a in range(u.shape[1]):
            explained[:, a] += np.stack(
                [np.bincount(combos, weights=u[:, a] * column, minlength=count) for column in u.T], axis=1
            )
    left = sums.within - explained
    left[:, : sums.n_slopes], left[:, :, : sums.n_slopes] = 0.0, 0.0
    free = np.bincount(combos, weights=sums.cells.count - 1.0 - present.sum(axis=1), minlength=count)
    return _with_rest(whole, left, sums.within, combos, free)


def _directions(sums: Sums) -> tuple[list[Array], BoolArray]:
    """Directions (m, k) of every cell, t of them, and which of them (m, t) are not zero."""
    slopes, t = sums.cells.slopes, sums.n_slopes
    m = len(sums.cells)
    if t == 0:
        return [], np.zeros((m, 0), dtype=bool)
    square = slopes[:, :, :t]
    size = np.sqrt(np.einsum("mtt->mt", square))
    alive = size > ROUNDED * np.sqrt(sums.cells.weight)[:, None] * np.abs(sums.cells.mean[:, :t])
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=alive)
    if t == 1:
        return [np.where(alive, inverse, 0.0) * slopes[:, 0]], alive
    correlation = square * inverse[:, :, None] * inverse[:, None, :]
    values, vectors = np.linalg.eigh(correlation)
    kept = values > NEGLIGIBLE
    roots = np.divide(1.0, np.sqrt(np.maximum(values, 0.0)), out=np.zeros_like(values), where=kept)
    out = []
    for j in range(t):
        loading = vectors[:, :, j] * inverse * roots[:, j : j + 1]
        out.append(np.einsum("mt,mtk->mk", loading, slopes))
    return out, kept


def _spread(sums: Sums, directions: list[Array], present: BoolArray) -> StandIns:
    """Two rows on either side of the mean of a cell for each of its directions; its mean where there is none."""
    cells, number = sums.cells, present.sum(axis=1)
    alone = np.flatnonzero(number == 0)
    parts = [StandIns(alone, cells.mean[alone], cells.weight[alone])]
    for j, u in enumerate(directions):
        at = np.flatnonzero(present[:, j])
        rank, weight = number[at], cells.weight[at]
        move = np.sqrt(rank / weight)[:, None] * u[at]
        parts += [StandIns(at, cells.mean[at] + sign * move, weight / (2.0 * rank)) for sign in (1.0, -1.0)]
    return StandIns.concatenated(parts)


def _with_rest(whole: StandIns, left: Array, within: Array, combos: AnyArray, free: AnyArray) -> StandIns:
    """Split some rows of every combination for the cross-products that are left (c, k, k)."""
    k, count = left.shape[1], len(left)
    order = np.argsort(whole.cell, kind="stable")
    whole = whole.take(order[np.argsort(combos[whole.cell[order]], kind="stable")])
    of_row = combos[whole.cell]
    starts = np.searchsorted(of_row, np.arange(count + 1))
    share = max(1, -(-(2 * k + 3) // count))
    split, parts = np.zeros(len(whole.cell), dtype=bool), []
    for c in range(count):
        if free[c] < 0.5:
            continue
        root = _root(left[c], within[c].diagonal(), int(free[c] + 0.5))
        chosen = _first_of_cells(whole.cell[starts[c] : starts[c + 1]], share) + starts[c]
        split[chosen] = True
        parts += _split(whole.take(chosen), root, len(chosen))
    return StandIns.concatenated([*parts, whole.take(~split)])


def _first_of_cells(cell: IntArray, most: int) -> IntArray:
    """Return the first row of some cells, at most so many; rows of a cell stand together."""
    return np.flatnonzero(np.diff(cell, prepend=-1))[:most]


def _split(rows: StandIns, root: Array, count: int) -> list[StandIns]:
    """Rows on either side of these for each row of ``root`` (q, k), whose squares the ``count`` rows share."""
    q, parts = len(root), []
    move = np.sqrt(q / (rows.weights * count))[:, None]
    for direction in root:
        for sign in (1.0, -1.0):
            parts.append(StandIns(rows.cell, rows.columns + sign * move * direction, rows.weights / (2.0 * q)))
    return parts


def _root(matrix: Array, size: Array, most: int) -> Array:
    """Return ``R`` (q, k) with ``R'R = matrix`` by pivots that are not negligible beside ``size`` (k,).

    There is one row at least, of zeros perhaps: rows that vary independently of all cells are there, whatever they say.
    """
    rest, rows = matrix.copy(), []
    scale = np.where(size > 0, size, 1.0)
    for _ in range(min(most, len(matrix))):
        shares = rest.diagonal() / scale
        j = int(np.argmax(shares))
        if not shares[j] > NEGLIGIBLE:
            break
        row = rest[j] / np.sqrt(rest[j, j])
        rows.append(row)
        rest = rest - np.outer(row, row)
        rest[j], rest[:, j] = 0.0, 0.0
    return np.array(rows) if rows else np.zeros((1, len(matrix)))
