"""Sums of powers about one origin, from those about another: two sites chose theirs by their own first rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import comb

import numpy as np

from mixedfx._typing import Array
from mixedfx.scale.recipe import Numeric, Recipe, monomial
from mixedfx.scale.sums import Moments, Sums

__all__ = ["in_units_of"]


def in_units_of(recipe: Recipe, other: Recipe, sums: Sums) -> Sums:
    """Return ``sums``, made by the recipe ``other``, as ``recipe`` would have made them."""
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
