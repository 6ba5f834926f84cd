"""Columns less their predicted random effects, for data whose residuals are tiny beside the differences of groups.

Cross-products of ``C = [X y]`` lose the residual sum of squares when groups differ by 1e5 residual standard deviations.
With any ``B`` (effects by column), ``C = C0 + Z B``, and

    ``C' V^-1 C = C0' V^-1 C0 + B' Z' V^-1 C0 + (its transpose) + B' Z' V^-1 Z B``

has no large terms that cancel if ``B`` is near the predicted effects: ``C0`` is formed from the rows, and
``Z' V^-1 Z B = (I + Z'Z Sigma)^-1 Z'Z B`` without a subtraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.linalg.factor import BlockFactor, SplitEffects, factorize
from mixedfx.linalg.gram import Gram, Rows, cross_products
from mixedfx.linalg.small import apply, weighted_resolvent

__all__ = ["Refinement", "less_effects", "loses_digits", "refinement"]

LARGE_SD = 1e4  # relative standard deviation at which the effects are predicted: nearly least squares
TINY_SHARE = 1e-6  # share of the response's squares within groups below which digits are lost


@dataclass(frozen=True)
class Refinement:
    """The split ``C = C0 + Z B``.

    Attributes
    ----------
    gram : Gram
        Cross-products of ``[Z C0]``.
    shift : tuple of (Q, m, c)
        ``B`` by factor.
    sides, remainder_side
        ``Z' Z B`` of the chain factors (Q, m, c), and of the remainder (r, c).
    """

    gram: Gram
    shift: tuple[Array, ...]
    sides: tuple[Array, ...]
    remainder_side: Array

    def solve(self, factor: BlockFactor) -> tuple[SplitEffects, SplitEffects, Array]:
        """Return ``Sigma Z' V^-1 C``, ``Z' V^-1 C`` and ``C' V^-1 C``."""
        small, small_out = factor.solve(self.gram.sides, self.gram.remainder_side)
        large, large_out = factor.solve(self.sides, self.remainder_side)
        projected = self.gram.total - self.gram.remainder_side.T @ small.remainder
        for side, effects in zip(self.gram.sides, small.chain, strict=True):
            projected = projected - _inner(side, effects)
        across = self._shifted(small_out)
        projected = projected + across + across.T + self._shifted(large_out)
        return _sum(small, large), _sum(small_out, large_out), np.asarray(projected)

    def _shifted(self, outside: SplitEffects) -> Array:
        """``B' v`` (c, c) for effects ``v`` of c columns."""
        n_chain = len(outside.chain)
        total = np.zeros((self.gram.total.shape[0],) * 2)
        for b, v in zip(self.shift[:n_chain], outside.chain, strict=True):
            total = total + _inner(b, v)
        flat = [b.reshape(-1, b.shape[2]) for b in self.shift[n_chain:]]
        return np.asarray(total + np.concatenate(flat).T @ outside.remainder) if flat else np.asarray(total)


def _inner(left: Array, right: Array) -> Array:
    c = left.shape[2]
    return np.asarray(left.reshape(-1, c).T @ right.reshape(-1, c))


def _sum(left: SplitEffects, right: SplitEffects) -> SplitEffects:
    chain = tuple(a + b for a, b in zip(left.chain, right.chain, strict=True))
    return SplitEffects(chain, left.remainder + right.remainder)


def loses_digits(gram: Gram) -> bool:
    """Say whether the first factor alone explains all but a tiny share of the response."""
    if gram.layout.n_chain == 0:
        return False
    side = gram.sides[0][:, :, -1:]
    _, k, _ = weighted_resolvent(gram.diagonal[0], LARGE_SD * np.eye(side.shape[0]))
    total = float(gram.total[-1, -1])
    return total - float(np.vdot(side, apply(k, side))) < TINY_SHARE * total


def less_effects(rows: Rows, effects: Sequence[Array]) -> Array:
    """Return ``C - Z B`` (n, c) for effects (Q, m, c) by factor."""
    out = rows.columns.copy()
    for f, (z, b) in enumerate(zip(rows.z, effects, strict=True)):
        loading = rows.loadings.get(f)
        effect = b if loading is None else np.einsum("lm,qmc->qlc", loading, b)
        for entry, part in zip(z, effect, strict=True):
            out -= entry[:, None] * part[rows.layout.codes[f]]
    return out


def refinement(rows: Rows, gram: Gram, weights: Array | None) -> Refinement | None:
    """Split the columns by their effects at very large variances; None where those cannot be computed."""
    layout = gram.layout
    try:
        factor = factorize(gram, [LARGE_SD * np.eye(size) for size in layout.sizes])
    except FloatingPointError:
        return None
    solved, _ = factor.solve(gram.sides, gram.remainder_side)
    shift = list(solved.chain)
    for r in layout.remainder:
        shift.append(solved.remainder[layout.span(r)].reshape(layout.sizes[r], layout.levels[r], -1))
    remaining = Rows(layout, rows.z, less_effects(rows, shift), rows.loadings)
    sides: list[Array] = [np.zeros_like(side) for side in gram.sides]
    rest = np.zeros_like(gram.remainder_side)
    for f, b in enumerate(shift):
        pushed, pushed_rest = gram.times(f, b)
        sides = [side + part for side, part in zip(sides, pushed, strict=True)]
        rest = rest + pushed_rest
    return Refinement(cross_products(remaining, weights), tuple(shift), tuple(sides), rest)
