"""Variances ``z' K z`` of many linear predictors, from what is known of ``K`` on its pattern and what probes tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.linalg.factor import PatternInverse
from mixedfx.linalg.layout import Layout
from mixedfx.linalg.operator import as_operator
from mixedfx.linalg.probes import Expansion
from mixedfx.linalg.rowwise import row_forms

__all__ = ["effects_of_level", "known_variances", "sampled_variances"]

CHUNK_CELLS = 2_000_000  # numbers in one block of random columns


def sampled_variances(
    layout: Layout, inverse: PatternInverse, z: Sequence[Array], codes: Sequence[IntArray]
) -> tuple[Array, Array]:
    """Return ``z_i' K z_i`` (n,) where the remainder is never formed, and the Monte Carlo errors (n,).

    Nan where a row joins levels that no row of the fit has joined, below a chain of several factors: there the known
    part of ``K`` is not at hand.

    Parameters
    ----------
    layout : Layout
    inverse : PatternInverse
    z : sequence of (Q, n)
        Covariates of every factor, zero where it does not enter.
    codes : sequence of (n,)
    """
    known = known_variances(layout, inverse, z, codes)
    if inverse.expansion is None:
        return known, np.zeros_like(known)
    estimated, errors = _estimated(layout, inverse.expansion, z, codes)
    return known + estimated, errors


def known_variances(layout: Layout, inverse: PatternInverse, z: Sequence[Array], codes: Sequence[IntArray]) -> Array:
    """Return what is known of ``z_i' K z_i`` (n,) without probes: all of it if there is no remainder or one factor.

    Nan where a row joins levels that no row of the fit has joined.
    """
    out = np.zeros(codes[0].size)
    used = [bool(part.any()) for part in z]
    for f in (f for f in layout.chain if used[f]):
        out += row_forms(z[f], z[f], inverse.diagonal[f], codes[f])
        for g in (g for g in range(f + 1, layout.n_chain) if used[g]):
            apart = layout.parents[f, g][codes[f]] != codes[g]
            out += np.where(apart, np.nan, 2.0 * row_forms(z[f], z[g], inverse.chain[f, g], codes[f]))
        for r in (r for r in layout.remainder if used[r]):
            pair = as_operator(inverse.cross[f]).blocks[r - layout.n_chain]
            places, met = pair.pairs.find(codes[f], codes[r])
            strange = 0.0 if layout.n_chain == 1 else np.nan
            out += np.where(met, 2.0 * row_forms(z[f], z[r], pair.values, places), strange)
    for r in (r for r in layout.remainder if used[r]):
        block = inverse.inner[r - layout.n_chain] if layout.is_operator else inverse.remainder_blocks(r)
        out += row_forms(z[r], z[r], block, codes[r])
    return out


def _estimated(
    layout: Layout, expansion: Expansion, z: Sequence[Array], codes: Sequence[IntArray]
) -> tuple[Array, Array]:
    n, weights, exact = codes[0].size, expansion.weights, expansion.exact
    probes = sum(expansion.sizes)
    out, errors, size = np.empty(n), np.zeros(n), max(1, CHUNK_CELLS // weights.size)
    for start in range(0, n, size):
        at = slice(start, min(start + size, n))
        products = _row_columns(layout, expansion.left, z, codes, at)
        products *= _row_columns(layout, expansion.right, z, codes, at)
        out[at] = products @ weights
        if probes > 1:
            deviations = expansion.spread(products[:, exact:].T)
            errors[at] = np.sqrt(np.square(deviations).sum(axis=0) / (probes * (probes - 1)))
    return out, errors


def _row_columns(layout: Layout, effects: Array, z: Sequence[Array], codes: Sequence[IntArray], at: slice) -> Array:
    """``Z effects`` (c, k) in some rows, for effects (q, k)."""
    out = np.zeros((at.stop - at.start, effects.shape[1]))
    for f, covariates in enumerate(z):
        part = effects_of_level(layout, effects, f)
        for a, covariate in enumerate(covariates):
            if covariate[at].any():
                out += covariate[at, None] * part[a].take(codes[f][at], axis=0)
    return out


def effects_of_level(layout: Layout, effects: Array, f: int) -> Array:
    """Return the part (Q, m, k) of a factor in columns (q, k) over all effects."""
    sizes = [q * m for q, m in zip(layout.sizes, layout.levels, strict=True)]
    start = sum(sizes[:f])
    return effects[start : start + sizes[f]].reshape(layout.sizes[f], layout.levels[f], -1)
