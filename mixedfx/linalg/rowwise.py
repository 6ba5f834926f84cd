"""Between rows and random effects: ``Z b`` for the rows, ``Z' g`` for the effects, ``z_i' K z_i`` row by row.

Effects are one vector (q,): factor after factor in elimination order, within a factor coefficient after coefficient,
levels within (the order of :class:`~mixedfx.linalg.factor.SplitEffects`, flattened).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.linalg.factor import BlockFactor, PatternInverse, SplitEffects
from mixedfx.linalg.gram import Rows, level_sums
from mixedfx.linalg.operator import OperatorCross
from mixedfx.linalg.probes import Expansion

__all__ = ["RowMap", "row_forms"]

CHUNK_CELLS = 1 << 16  # numbers of one piece of rows


@dataclass(frozen=True)
class RowMap:
    """The incidence of random effects on rows, as an operator."""

    rows: Rows

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First position of every factor in the vector of effects, and the length q of the vector at the end."""
        layout = self.rows.layout
        counts = [m * size for m, size in zip(layout.levels, layout.sizes, strict=True)]
        return tuple(int(i) for i in np.concatenate([[0], np.cumsum(counts)]))

    @property
    def n_effects(self) -> int:
        """Length q of the vector of effects."""
        return self.starts[-1]

    def split(self, effects: Array) -> list[Array]:
        """Return the effects (q, …) as views (Q, m, …), one a factor."""
        further = effects.shape[1:]
        return [effects[span].reshape(shape + further) for span, shape in self._places]

    @cached_property
    def _places(self) -> list[tuple[slice, tuple[int, int]]]:
        """Where the effects of every factor stand in the vector, and their shape (Q, m)."""
        layout = self.rows.layout
        shapes = zip(layout.sizes, layout.levels, strict=True)
        return [(slice(*ends), shape) for ends, shape in zip(pairwise(self.starts), shapes, strict=True)]

    def pack(self, effects: SplitEffects) -> Array:
        """Return effects of c columns as one array (q, c)."""
        columns = effects.remainder.shape[1]
        parts = [part.reshape(-1, columns) for part in effects.chain]
        parts += [effects.remainder] if len(effects.remainder) else []
        return _joined(parts, columns)

    def solve(self, factor: BlockFactor, side: Array) -> tuple[Array, Array]:
        """Return ``K side`` and ``side - Z'WZ K side`` for a ``side`` (q, c) (see :meth:`BlockFactor.solve`)."""
        layout = self.rows.layout
        parts = self.split(side)
        chain, rest = parts[: layout.n_chain], side[self.starts[layout.n_chain] :]
        inside, outside = factor.solve(chain, rest)
        return self.pack(inside), self.pack(outside)

    def spread(self, effects: Array) -> Array:
        """Return ``Z b`` (n,) for effects (q,)."""
        layout = self.rows.layout
        out = np.zeros(self.rows.columns.shape[0])
        for f, part in enumerate(self.split(effects)):
            codes = layout.codes[f]
            for z, b, unit in zip(self.rows.z[f], self._loaded(f, part), self.rows.units[f], strict=True):
                for at in self._pieces:
                    out[at] += b[codes[at]] if unit else z[at] * b[codes[at]]
        return out

    def _loaded(self, f: int, part: Array) -> Array:
        loading = self.rows.loadings.get(f)
        return part if loading is None else part @ loading.T

    def collect(self, values: Array) -> Array:
        """Return ``Z' values`` (q, c) for ``values`` (n, c)."""
        parts = []
        for f, z in enumerate(self.rows.z):
            loading = self.rows.loadings.get(f)
            for coefficient, unit in zip(z, self.rows.units[f], strict=True):
                sums = level_sums(self.rows.layout, f, values, None if unit else coefficient)
                parts.append(sums if loading is None else loading.T @ sums)
        return _joined(parts, values.shape[1])

    def leverages(self, inverse: PatternInverse) -> Array:
        """Return ``z_i' K z_i`` (n,), ``z_i`` the row of ``Z``."""
        rows, layout = self.rows, self.rows.layout
        out = np.zeros(rows.columns.shape[0])
        for f in layout.chain:
            self._add_forms(out, f, f, inverse.diagonal[f], layout.codes[f])
            for g in range(f + 1, layout.n_chain):
                self._add_forms(out, f, g, inverse.chain[f, g], layout.codes[f])
            if layout.n_remainder:
                self._add_cross_leverages(out, f, inverse)
        if layout.n_remainder:
            self._add_remainder_leverages(out, inverse)
        if inverse.expansion is not None:
            self._add_expanded(out, inverse.expansion)
        return out

    def _add_forms(self, out: Array, f: int, g: int, blocks: Array, codes: IntArray) -> None:
        """Add what two factors have of ``z_i' K z_i`` (n,), from their ``blocks`` of K: twice, if they are two."""
        for at in self._pieces:
            total: Array | None = None
            for a in range(len(self.rows.z[f])):
                for b in range(a + 1 if f == g else len(self.rows.z[g])):
                    block = blocks[a, b] if f == g and a == b else 2.0 * blocks[a, b]
                    part = self.rows.times(self.rows.times(block[codes[at]], f, a, at), g, b, at)
                    total = part if total is None else np.add(total, part, out=total)
            if total is not None:
                out[at] += total

    def _add_expanded(self, out: Array, expansion: Expansion) -> None:
        """Add what random columns tell of ``z_i' K z_i`` (n,)."""
        weights = expansion.weights
        for at in self._chunks(expansion.left.shape[1]):
            left, right = self.spread_columns(expansion.left, at), self.spread_columns(expansion.right, at)
            out[at] += np.einsum("ic,ic,c->i", left, right, weights)

    def expanded_sums(self, expansion: Expansion, matrix: Callable[[slice], Array], k: int) -> Array:
        """Return ``sum_i (z_i' left_c)(z_i' right_c) matrix_i`` (c, k) of every random column.

        ``matrix`` gives some rows (m, k) of a matrix that is never whole.
        """
        out = np.zeros((expansion.left.shape[1], k))
        for at in self._chunks(expansion.left.shape[1]):
            products = self.spread_columns(expansion.left, at)
            products *= self.spread_columns(expansion.right, at)
            out += products.T @ matrix(at)
        return out

    def _chunks(self, columns: int) -> list[slice]:
        """Rows in pieces, so that a piece of so many columns stays in the processor's cache."""
        n, size = self.rows.columns.shape[0], max(1, CHUNK_CELLS // max(columns, 1))
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

    @cached_property
    def _pieces(self) -> list[slice]:
        """Rows in pieces of one column."""
        return self._chunks(1)

    def spread_columns(self, effects: Array, at: slice) -> Array:
        """Return ``Z effects`` (m, k) in some rows, for effects (q, k)."""
        out: Array | None = None
        for f, part in enumerate(self.split(effects)):
            codes = self.rows.layout.codes[f][at]
            for z, b, unit in zip(self.rows.z[f], part, self.rows.units[f], strict=True):
                values = b.take(codes, axis=0)
                if not unit:
                    values *= z[at, None]
                out = values if out is None else np.add(out, values, out=out)
        return np.zeros((at.stop - at.start, effects.shape[1])) if out is None else out

    def _remainder_columns(self, r: int) -> list[IntArray]:
        """Column of the remainder that every row meets, for each coefficient of a remainder factor."""
        layout = self.rows.layout
        start, m = layout.span(r).start, layout.levels[r]
        return [start + a * m + layout.codes[r] for a in range(layout.sizes[r])]

    @cached_property
    def _remainder_terms(self) -> list[tuple[Array, IntArray]]:
        """Covariate and remainder column (n,) of every coefficient of every remainder factor."""
        return [
            (z, column)
            for r in self.rows.layout.remainder
            for z, column in zip(self.rows.z[r], self._remainder_columns(r), strict=True)
        ]

    def _add_remainder_leverages(self, total: Array, inverse: PatternInverse) -> None:
        layout = self.rows.layout
        if layout.is_operator:
            for r, block in zip(layout.remainder, inverse.inner, strict=True):
                self._add_forms(total, r, r, block, layout.codes[r])
            return
        entries = self._remainder_entries(inverse)
        out = np.zeros(self.rows.columns.shape[0])
        for i, (z, column) in enumerate(self._remainder_terms):
            out += z * z * entries(column, column)
            for other, second in self._remainder_terms[:i]:
                out += 2.0 * z * other * entries(column, second)
        total += out

    def _remainder_entries(self, inverse: PatternInverse) -> Callable[[IntArray, IntArray], Array]:
        """Look up entries of the remainder's part of ``K`` between levels."""
        if not self.rows.loadings:
            return inverse.remainder_entries
        half = self._loaded_columns(inverse.remainder)
        loaded = self._loaded_columns(np.ascontiguousarray(half.T))
        return lambda i, j: np.asarray(loaded[i, j])

    def _add_cross_leverages(self, total: Array, f: int, inverse: PatternInverse) -> None:
        cross, codes = inverse.cross[f], self.rows.layout.codes[f]
        if isinstance(cross, OperatorCross):
            for r, block in zip(self.rows.layout.remainder, cross.blocks, strict=True):
                self._add_forms(total, f, r, block.values, self.rows.layout.meetings[f, r][1].of_row)
            return
        out = np.zeros(codes.size)
        for a, covariate in enumerate(self.rows.z[f]):
            for at, (z, column) in enumerate(self._remainder_terms):
                if cross.sparsity is None:
                    values = self._loaded_columns(cross.values[a])
                    out += covariate * z * values.ravel()[codes * values.shape[1] + column]
                else:
                    out += covariate * z * cross.values[a][self.rows.layout.patterns[f].entry_of_row[at]]
        total += 2.0 * out

    def _loaded_columns(self, values: Array) -> Array:
        """Multiply the columns (…, r) of loaded remainder factors by their loading: effects to levels."""
        if not self.rows.loadings:
            return values
        out, layout = values.copy(), self.rows.layout
        for r, loading in self.rows.loadings.items():
            for a in range(layout.sizes[r]):
                start = layout.span(r).start + a * layout.levels[r]
                at = slice(start, start + layout.levels[r])
                out[:, at] = values[:, at] @ loading.T
        return out


def _joined(parts: list[Array], columns: int) -> Array:
    """Stack arrays (…, c); there are none without random effects."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros((0, columns))


def row_forms(left: Array, right: Array, blocks: Array, codes: IntArray) -> Array:
    """Return ``sum over a, b left_a right_b blocks[a, b, codes]`` (n,): from (Q, n), (P, n), (Q, P, m), (n,)."""
    out = np.zeros(codes.size)
    same = left is right
    for a, first in enumerate(left):
        for b, second in enumerate(right[: a + 1] if same else right):
            part = blocks[a, b] if not same or a == b else 2.0 * blocks[a, b]
            out += first * second * part[codes]
    return out
