"""Cross-products with a remainder that is never formed: own blocks of its factors, sparse blocks between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.linalg.cross import Cross
from mixedfx.linalg.layout import Layout
from mixedfx.linalg.pairs import PairBlock
from mixedfx.linalg.small import apply

__all__ = ["OperatorCross", "OperatorSquare", "as_operator", "joined", "pair_block", "split"]


def split(layout: Layout, columns: Array) -> list[Array]:
    """Return views (Q, m, c) of columns (r, c) over the remainder, by factor."""
    spans = ((layout.span(r), layout.sizes[r], layout.levels[r]) for r in layout.remainder)
    return [columns[at].reshape(size, m, -1) for at, size, m in spans]


def joined(parts: Sequence[Array]) -> Array:
    """Return columns (r, c) over the remainder from those of its factors (Q, m, c)."""
    flat = [part.reshape(-1, part.shape[2]) for part in parts]
    return flat[0] if len(flat) == 1 else np.concatenate(flat)


def pair_block(layout: Layout, f: int, g: int, product: Callable[[int, int], Array]) -> PairBlock:
    """Cross-products of two factors on the pairs of their levels that meet.

    ``product`` gives the rows' part (n,) in those of coefficient a of the first factor with b of the second.
    """
    pairs, rows = layout.meetings[f, g]
    values = np.empty((layout.sizes[f], layout.sizes[g], pairs.columns.size))
    for a in range(layout.sizes[f]):
        for b in range(layout.sizes[g]):
            values[a, b] = rows.sums(product(a, b))
    return PairBlock(pairs, values)


@dataclass(frozen=True)
class OperatorSquare:
    """The remainder with itself: ``own`` blocks (Q, Q, m) by factor, and ``between`` two factors (of the remainder)."""

    layout: Layout
    own: tuple[Array, ...]
    between: dict[tuple[int, int], PairBlock]

    def times(self, parts: Sequence[Array]) -> list[Array]:
        """Return the product with columns (Q, m, c) by factor."""
        pairs = zip(self.own, parts, self.times_between(parts), strict=True)
        return [apply(block, part) + between for block, part, between in pairs]

    def times_between(self, parts: Sequence[Array]) -> list[Array]:
        """Return the product without the factors' own blocks."""
        out = [np.zeros_like(part) for part in parts]
        for (i, j), block in self.between.items():
            out[i] += block.dot(parts[j])
            out[j] += block.transpose_dot(parts[i])
        return out

    def __matmul__(self, columns: Array) -> Array:
        """Return the product with columns (r, c)."""
        return joined(self.times(split(self.layout, columns)))

    def diagonal(self) -> Array:
        """Return the diagonal (r,)."""
        return np.concatenate([block[a, a] for block in self.own for a in range(len(block))])

    def block_squares(self) -> Array:
        """Return the squared norms (k, k) of the blocks of every two coefficients."""
        at = np.concatenate([[0], np.cumsum([len(block) for block in self.own])])
        out = np.zeros((at[-1], at[-1]))
        for i, block in enumerate(self.own):
            out[at[i] : at[i + 1], at[i] : at[i + 1]] = np.square(block).sum(axis=2)
        for (i, j), between in self.between.items():
            squares = between.squares()
            out[at[i] : at[i + 1], at[j] : at[j + 1]] = squares
            out[at[j] : at[j + 1], at[i] : at[i + 1]] = squares.T
        return out


@dataclass(frozen=True)
class OperatorCross(Cross):
    """A chain factor against the remainder, one sparse block for each of its factors.

    Symmetric matrices "in the cells of the remainder" are block-diagonal here: blocks (Q, Q, m) by remainder factor.
    """

    blocks: tuple[PairBlock, ...]

    @property
    def sparsity(self) -> None:
        """None: there is no pattern of the remainder as a whole."""
        return None

    def schur(self, k: Array) -> Array:
        """Refuse: the Schur complement is never formed."""
        raise FloatingPointError("the remainder of the mixed-model equations is too large to be formed")

    def diagonal_schur(self, k: Array) -> list[Array]:
        """Return the diagonal blocks (Q', Q', m') of ``C' blockdiag(k) C`` by remainder factor."""
        return [block.column_overlap(block.scaled(k)) for block in self.blocks]

    def quadratic(self, inner: Any) -> Array:
        """Return the blocks of the quadratic form with a block-diagonal matrix."""
        return self.rows_times(inner).overlap(self)

    def rows_times(self, inner: Any) -> OperatorCross:
        """Return the rows times a block-diagonal matrix."""
        return OperatorCross(tuple(b.times_right(right) for b, right in zip(self.blocks, inner, strict=True)))

    def scaled(self, left: Array) -> OperatorCross:
        """Return every level's rows times its ``left``."""
        return OperatorCross(tuple(block.scaled(left) for block in self.blocks))

    def by_factor(self, parts: Sequence[Array]) -> Array:
        """Return the product (Q, m, c) with effects (Q', m', c) of the remainder's factors."""
        out = self.blocks[0].dot(parts[0])
        for block, part in zip(self.blocks[1:], parts[1:], strict=True):
            out += block.dot(part)
        return out

    def dot(self, b: Array) -> Array:
        """Return the product with effects of the remainder."""
        parts, first = [], 0
        for block in self.blocks:
            size, m = block.values.shape[1], block.pairs.n_columns
            parts.append(b[first : first + size * m].reshape(size, m, -1))
            first += size * m
        return self.by_factor(parts)

    def transpose_dot(self, r: Array) -> Array:
        """Return the product of the transpose with effects of the factor."""
        return joined([block.transpose_dot(r) for block in self.blocks])

    def gathered(self, left: Array, parents: IntArray, like: Cross) -> OperatorCross:
        """Return the sums over the levels of each parent."""
        blocks = zip(self.blocks, as_operator(like).blocks, strict=True)
        return OperatorCross(tuple(block.scaled(left).gathered(parents, other.pairs) for block, other in blocks))

    def spread(self, parents: IntArray, like: Cross) -> OperatorCross:
        """Return the parents' rows for every level."""
        blocks = zip(self.blocks, as_operator(like).blocks, strict=True)
        return OperatorCross(tuple(block.spread(parents, other.pairs) for block, other in blocks))

    def plus(self, other: Cross, sign: float) -> OperatorCross:
        """Return the sum of two blocks."""
        blocks = zip(self.blocks, as_operator(other).blocks, strict=True)
        return OperatorCross(tuple(a.plus(b, sign) for a, b in blocks))

    def squared_columns(self) -> Array:
        """Return the squared norms of the columns."""
        return np.concatenate([block.squared_columns() for block in self.blocks], axis=1)

    def overlap(self, other: Cross) -> Array:
        """Return the products of the two blocks' rows."""
        blocks = zip(self.blocks, as_operator(other).blocks, strict=True)
        total: Array = sum(a.overlap(b) for a, b in blocks)  # type: ignore[assignment]
        return total


def as_operator(cross: Cross) -> OperatorCross:
    """Return a block that is stored for an operator, as such."""
    if not isinstance(cross, OperatorCross):
        raise TypeError("blocks of one remainder have one storage")
    return cross
