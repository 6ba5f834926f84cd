"""Factors whose levels occur within one level of another factor only: states of regions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.marginal_means.grid import Grid
from mixedfx.marginal_means.model import FittedModel

__all__ = ["containers", "nesting_of", "shares"]

Nesting = Mapping[str, tuple[str, ...]]


def nesting_of(model: FittedModel) -> dict[str, tuple[str, ...]]:
    """Return the factors in which each factor is nested: every level of it occurs in one level of them.

    Two factors that are the same but for their names are not nested in each other.
    """
    factors = [name for name, p in model.predictors.items() if p.is_factor and p.is_fixed and len(p.levels) > 1]
    sizes = {name: len(model.predictors[name].levels) for name in factors}
    found: dict[str, tuple[str, ...]] = {}
    for inner, outer in permutations(factors, 2):
        if sizes[inner] > sizes[outer]:
            pairs = model.observed[[inner, outer]].drop_duplicates()
            if len(pairs) == sizes[inner]:
                found[inner] = (*found.get(inner, ()), outer)
    return found


def containers(nesting: Nesting, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the factors that contain some of ``names`` and are not among them."""
    return tuple(dict.fromkeys(outer for name in names for outer in nesting.get(name, ()) if outer not in names))


def shares(grid: Grid, model: FittedModel, nesting: Nesting) -> Array:
    """Return what each row (others, cells) of the grid counts beside its weight: zero if it cannot exist.

    Levels of a nested factor that is averaged over share the weight of the level that contains them.
    """
    share = np.ones(grid.n_others * grid.n_cells)
    for inner, outers in nesting.items():
        crowd = np.zeros(len(grid.values[inner]))
        for outer in outers:
            pairs = model.observed[[inner, outer]].drop_duplicates()
            own = dict(zip(pairs[inner].tolist(), pairs[outer].tolist(), strict=True))
            home = pd.Index(list(grid.values[outer])).get_indexer(pd.Index([own.get(v) for v in grid.values[inner]]))
            share *= home[grid.codes[inner]] == grid.codes[outer]
            crowd = crowd * (1 + len(grid.values[outer])) + home
        if inner in grid.others:
            _, place, count = np.unique(crowd, return_inverse=True, return_counts=True)
            share /= count[place][grid.codes[inner]]
    return share.reshape(grid.n_others, grid.n_cells)
