"""Sums over rows within cells of labels: they are added by label, in any order, on any machine.

A cell keeps the number of its rows, their weight, the means of the summed columns, and the cross-products of their
deviations with those of the columns that random effects multiply; all other cross-products of deviations from the means
of cells are kept once for each combination of the factors of terms. Two sums are added by the means of both, with the
squares of their differences (Chan, Golub & LeVeque 1983, Am. Stat. 37, 242): nothing large is subtracted.

References
----------
Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance, The American Statistician 37, 242-247.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from itertools import product
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.matrices.labels import Labels, compress
from mixedfx.scale.recipe import Numeric, Recipe, monomial

__all__ = ["Cells", "KeyLevels", "Moments", "Sums", "Tally", "added", "cell_codes", "in_units_of"]

DISTINCT = 64  # distinct values of a numeric column that are remembered


@dataclass(frozen=True)
class KeyLevels:
    """The levels of one column.

    Attributes
    ----------
    levels : pandas.Index
        As they were met.
    categories : pandas.Index or None
        All categories in their order, where every part of the data has the same ones.
    """

    levels: pd.Index[Any]
    categories: pd.Index[Any] | None = None

    def __add__(self, other: KeyLevels) -> KeyLevels:
        both, same = (self.categories, other.categories), False
        if both[0] is not None and both[1] is not None:
            same = both[0].equals(both[1])
        new = other.levels[self.levels.get_indexer(other.levels) < 0]
        return KeyLevels(self.levels.append(new) if len(new) else self.levels, self.categories if same else None)

    def ordered(self) -> tuple[pd.Index[Any], IntArray]:
        """Return the levels in the order of a model (of the categories, else sorted), and the new place of each."""
        if self.categories is None:
            labels = Labels(np.arange(len(self.levels)), self.levels).ordered()
            return labels.levels, labels.codes
        place = self.categories.get_indexer(self.levels)
        order = np.argsort(place)
        rank = np.empty(len(order), dtype=np.intp)
        rank[order] = np.arange(len(order))
        return self.categories[place[order]], rank


@dataclass(frozen=True)
class Tally:
    """How many rows were read and used, and why the others were not.

    Attributes
    ----------
    read, used : int
    missing, silent : dict
        Numbers of missing values by source; of rows that say nothing, by reason.
    n_missing : int
        Rows left out because of missing values.
    log_weights : float
        Sum of the logarithms of the weights.
    fingerprint : int
        Sum over the rows, modulo 2**64, of what tells each from others; 0 where nobody asks for it.
    """

    read: int = 0
    used: int = 0
    n_missing: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    silent: Mapping[str, int] = field(default_factory=dict)
    log_weights: float = 0.0
    fingerprint: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.read + other.read,
            self.used + other.used,
            self.n_missing + other.n_missing,
            _counted(self.missing, other.missing),
            _counted(self.silent, other.silent),
            self.log_weights + other.log_weights,
            (self.fingerprint + other.fingerprint) % (1 << 64),
        )


def _counted(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in dict.fromkeys((*first, *second))}


@dataclass(frozen=True)
class Moments:
    """Unweighted sums of the powers of a column, and its range.

    Attributes
    ----------
    powers : (2 d + 1,)
        Sums of the powers 0 … 2 d of ``(x - shift) / unit``.
    low, high : float
    distinct : (v,) or None
        Its values, if there are few.
    """

    powers: Array
    low: float
    high: float
    distinct: Array | None = None

    @classmethod
    def of(cls, x: Array, degree: int, shift: float, unit: float, counts: Array | None = None) -> Moments:
        """Return the sums over ``x`` (n,), each of which counts as one row or as ``counts``."""
        scaled = (x - shift) / unit
        ones = np.ones_like(x) if counts is None else counts
        powers = np.array([float(ones @ scaled**j) for j in range(2 * degree + 1)])
        few = np.unique(x[: 4 * DISTINCT])
        distinct = np.unique(x) if few.size <= DISTINCT else None
        if distinct is not None and distinct.size > DISTINCT:
            distinct = None
        return cls(powers, float(x.min(initial=np.inf)), float(x.max(initial=-np.inf)), distinct)

    def __add__(self, other: Moments) -> Moments:
        distinct = None
        if self.distinct is not None and other.distinct is not None:
            distinct = np.union1d(self.distinct, other.distinct)
            distinct = distinct if distinct.size <= DISTINCT else None
        return Moments(self.powers + other.powers, min(self.low, other.low), max(self.high, other.high), distinct)


@dataclass(frozen=True)
class Cells:
    """Rows, or sums of rows, one for each cell or several.

    Attributes
    ----------
    codes : (m, K)
        Level of every key.
    count : (m,)
        Number of rows.
    weight : (m,)
        Their weight.
    mean : (m, k)
        Weighted means of the summed columns.
    slopes : (m, t, k)
        Weighted cross-products of the deviations of the first t columns with those of all.
    """

    codes: IntArray
    count: Array
    weight: Array
    mean: Array
    slopes: Array

    def __len__(self) -> int:
        return len(self.count)


@dataclass(frozen=True)
class Sums:
    """Sums over rows.

    Attributes
    ----------
    keys : tuple of KeyLevels
        Those of terms first, ``n_coded`` of them.
    n_coded : int
    cells : Cells
        One for each combination of levels that occurs.
    combos : (c, n_coded)
        Levels of the factors of terms, every combination that occurs.
    within : (c, k, k)
        Weighted cross-products of the deviations of rows from the means of their cells.
    moments : dict
        By variable and expression.
    tally : Tally
    """

    keys: tuple[KeyLevels, ...]
    n_coded: int
    cells: Cells
    combos: IntArray
    within: Array
    moments: Mapping[str, Moments]
    tally: Tally

    @property
    def n_slopes(self) -> int:
        """Number t of columns that random effects multiply."""
        return int(self.cells.slopes.shape[1])

    def __add__(self, other: Sums) -> Sums:
        return added([self, other])

    @cached_property
    def combo_of_cell(self) -> IntArray:
        """Position (m,) in :attr:`combos` of every cell."""
        return combo_codes(self.cells.codes[:, : self.n_coded], self.combos)


def combo_codes(codes: IntArray, combos: IntArray) -> IntArray:
    """Return the row (m,) of ``combos`` (c, K), all distinct, that every row of ``codes`` (m, K) equals."""
    if combos.shape[1] == 0:
        return np.zeros(len(codes), dtype=np.intp)
    cells, table = cell_codes(np.concatenate([combos, codes]))
    place = np.empty(len(table), dtype=np.intp)
    place[cells[: len(combos)]] = np.arange(len(combos))
    return np.asarray(place[cells[len(combos) :]])


def cell_codes(codes: IntArray) -> tuple[IntArray, IntArray]:
    """Return the cell (n,) of every row of ``codes`` (n, K), and the codes (m, K) of the cells, which are sorted."""
    n, K = codes.shape
    if K == 0:
        return np.zeros(n, dtype=np.intp), np.zeros((min(n, 1), 0), dtype=np.int32)
    cells, distinct = compress(codes[:, 0].astype(np.intp))
    columns = [distinct]
    for j in range(1, K):
        own = codes[:, j].astype(np.intp)
        width = int(own.max(initial=0)) + 1
        cells, pairs = compress(cells * width + own)
        columns = [column[pairs // width] for column in columns] + [pairs % width]
    return cells, np.stack(columns, axis=1).astype(np.int32)


def collapsed(rows: Cells, n_coded: int) -> tuple[Cells, IntArray, Array]:
    """Return one entry for each cell of ``rows``, with the combinations of terms' factors and ``within`` of each.

    The last has what the means of cells leave of the rows' columns; what the rows themselves had left is not in it.
    """
    at, codes = cell_codes(rows.codes)
    m, n_slopes, k = len(codes), rows.slopes.shape[1], rows.mean.shape[1]
    count, weight = _by_cell(at, rows.count, m), _by_cell(at, rows.weight, m)
    combos_of, combos = cell_codes(codes[:, :n_coded])
    if m == len(rows):  # one row a cell: nothing is left
        order = np.argsort(at)
        cells = Cells(codes, count, weight, rows.mean[order], rows.slopes[order])
        return cells, combos, np.zeros((len(combos), k, k))
    mean = np.stack([_by_cell(at, rows.weight * column, m) for column in rows.mean.T], axis=1) / weight[:, None]
    off = rows.mean - mean[at]
    weighted = off * rows.weight[:, None]
    mean += np.stack([_by_cell(at, column, m) for column in weighted.T], axis=1) / weight[:, None]
    slopes = np.empty((m, n_slopes, k))
    for a in range(n_slopes):
        for b in range(k):
            slopes[:, a, b] = _by_cell(at, weighted[:, a] * off[:, b] + rows.slopes[:, a, b], m)
    return Cells(codes, count, weight, mean, slopes), combos, _products(off, weighted, combos_of[at], len(combos))


def _by_cell(at: IntArray, values: Array, m: int) -> Array:
    return np.asarray(np.bincount(at, weights=values, minlength=m))


def _products(left: Array, right: Array, groups: IntArray, count: int) -> Array:
    """Return ``left' right`` (count, k, k) of the rows (n, k) of every group."""
    if count == 1:
        return np.asarray((left.T @ right)[None])
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups, minlength=count))
    left, right = left[order], right[order]
    out = np.empty((count, left.shape[1], left.shape[1]))
    for g, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        out[g] = left[start:end].T @ right[start:end]
    return out


def added(parts: Sequence[Sums]) -> Sums:
    """Add sums that were made by one recipe."""
    if len(parts) == 1:
        return parts[0]
    n_coded = parts[0].n_coded
    keys = tuple(reduce(lambda a, b: a + b, own) for own in zip(*(part.keys for part in parts), strict=True))
    recoded = [_recoded(part, keys) for part in parts]
    rows = Cells(
        np.concatenate([cells.codes for cells, _ in recoded]),
        np.concatenate([part.cells.count for part in parts]),
        np.concatenate([part.cells.weight for part in parts]),
        np.concatenate([part.cells.mean for part in parts]),
        np.concatenate([part.cells.slopes for part in parts]),
    )
    cells, combos, within = collapsed(rows, n_coded)
    for (_, own), part in zip(recoded, parts, strict=True):
        np.add.at(within, combo_codes(own, combos), part.within)
    moments = {name: reduce(lambda a, b: a + b, (part.moments[name] for part in parts)) for name in parts[0].moments}
    tally = reduce(lambda a, b: a + b, (part.tally for part in parts))
    return Sums(keys, n_coded, cells, combos, within, moments, tally)


def _recoded(part: Sums, keys: Sequence[KeyLevels]) -> tuple[Cells, IntArray]:
    """The cells of a part in the codes of all levels, and its combinations."""
    places = [whole.levels.get_indexer(own.levels) for whole, own in zip(keys, part.keys, strict=True)]
    codes, combos = part.cells.codes.copy(), part.combos.copy()
    for j, place in enumerate(places):
        codes[:, j] = place[codes[:, j]]
        if j < part.n_coded:
            combos[:, j] = place[combos[:, j]]
    return replace(part.cells, codes=codes), combos


# ---------------------------------------------------------------- about the origins of another site
def in_units_of(recipe: Recipe, other: Recipe, sums: Sums) -> Sums:
    """Return ``sums``, made by the recipe ``other`` with origins from other first rows, as ``recipe`` would have."""
    moved = {
        text: _change(numeric, other.numerics[text])
        for text, numeric in recipe.numerics.items()
        if (numeric.shift, numeric.unit) != (other.numerics[text].shift, other.numerics[text].unit)
    }
    if not moved:
        return sums
    constant, linear = _map(recipe, moved)
    t = len(recipe.slopes)
    cells = sums.cells
    mean = cells.mean @ linear.T + constant
    slopes = np.einsum("ab,mbk,ck->mac", linear[:t, :t], cells.slopes, linear)
    within = linear @ sums.within @ linear.T
    moments = {name: _moments(one, moved.get(name)) for name, one in sums.moments.items()}
    return replace(sums, cells=replace(cells, mean=mean, slopes=slopes), within=within, moments=moments)


def _change(new: Numeric, old: Numeric) -> Array:
    """Row j: the power j of the new variable in powers of the old one, the constant first (d + 1, d + 1)."""
    a, b, d = (old.shift - new.shift) / new.unit, old.unit / new.unit, new.degree
    return _powers(a, b, d)


def _powers(a: float, b: float, d: int) -> Array:
    """Coefficients (d + 1, d + 1) of ``(a + b t)**j`` on the powers of t."""
    return np.array([[comb(j, i) * a ** (j - i) * b**i if i <= j else 0.0 for i in range(d + 1)] for j in range(d + 1)])


def _map(recipe: Recipe, moved: dict[str, Array]) -> tuple[Array, Array]:
    """Constant (k,) and linear part (k, k) of the new columns on the old ones; the response is the last."""
    place = {factors: j for j, factors in enumerate(recipe.monomials)}
    k = len(place) + 1
    constant, linear = np.zeros(k), np.zeros((k, k))
    linear[-1, -1] = 1.0
    for factors, j in place.items():
        parts = [
            [(i, float(c)) for i, c in enumerate(moved[text][power]) if c] if text in moved else [(power, 1.0)]
            for text, power in factors
        ]
        for chosen in product(*parts):
            factor = float(np.prod([c for _, c in chosen]))
            key = monomial((text, i) for (text, _), (i, _) in zip(factors, chosen, strict=True))
            if key:
                linear[j, place[key]] += factor
            else:
                constant[j] += factor
    return constant, linear


def _moments(one: Moments, change: Array | None) -> Moments:
    if change is None:
        return one
    a, b = float(change[1, 0]), float(change[1, 1])
    return replace(one, powers=_powers(a, b, len(one.powers) - 1) @ one.powers)
