"""Factors whose levels mean something within the levels of other factors only: states of regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.grid import Grid
from mixedfx.marginal_means.model import FittedModel

__all__ = ["Nesting", "containers", "crowds", "nesting_for", "shares", "told"]

Nesting = Mapping[str, tuple[str, ...]]


def nesting_for(model: FittedModel, nesting: Any) -> dict[str, tuple[str, ...]]:
    """Return the factors in which each nested factor is nested, by ``nesting=`` or else as model and data have it.

    Raises
    ------
    SpecificationError
        If it names something else than factors of the model, or a factor is nested in itself.
    """
    if nesting is None:
        return _found(model)
    if nesting is False:
        return {}
    if not isinstance(nesting, Mapping):
        if isinstance(nesting, Sequence) and len(nesting) == 0:
            return {}
        raise TypeError(
            "nesting is a dict such as {'state': 'region'}, False for none, or None to find it; found "
            f"{type(nesting).__name__} {nesting!r}"
        )
    given = {inner: (outer,) if isinstance(outer, str) else tuple(outer) for inner, outer in nesting.items()}
    for name in dict.fromkeys([*given, *(outer for outers in given.values() for outer in outers)]):
        _check(model, name)
    return {inner: _above(given, inner) for inner, outers in given.items() if outers}


def _check(model: FittedModel, name: Any) -> None:
    factors = [own for own, predictor in model.predictors.items() if predictor.is_discrete and predictor.is_fixed]
    if name not in factors:
        known = ", ".join(map(repr, factors)) or "none"
        raise SpecificationError(f"nesting= names {name!r}, which is no factor of the model; they are {known}")


def _above(given: Nesting, inner: str) -> tuple[str, ...]:
    """Return all factors that contain one, near ones first."""
    out = list(given[inner])
    for name in out:
        out += [outer for outer in given.get(name, ()) if outer not in out]
    if inner in out:
        raise SpecificationError(f"nesting= puts {inner!r} within itself; write {{'inner factor': 'outer factor'}}")
    return tuple(out)


def _found(model: FittedModel) -> dict[str, tuple[str, ...]]:
    """Return the nesting by data (every level of the inner factor occurs in one level of the outer), and by formula.

    By formula a factor is nested in those without which it stands in no term, as in ``region + region:state``. Two
    factors that are the same but for their names are not nested in each other.
    """
    factors = [name for name, p in model.predictors.items() if p.is_factor and p.is_fixed and len(p.levels) > 1]
    found: dict[str, tuple[str, ...]] = {}
    for inner, outer in permutations(factors, 2):
        if _by_data(model, inner, outer) or _by_formula(model, inner, outer):
            found[inner] = (*found.get(inner, ()), outer)
    return found


def _by_data(model: FittedModel, inner: str, outer: str) -> bool:
    size = len(model.predictors[inner].levels)
    return size > len(model.predictors[outer].levels) and len(model.observed[[inner, outer]].drop_duplicates()) == size


def _by_formula(model: FittedModel, inner: str, outer: str) -> bool:
    own = [term for term in model.terms if inner in term]
    around = [term for term in model.terms if outer in term]
    return bool(own) and all(outer in term for term in own) and not all(inner in term for term in around)


def containers(nesting: Nesting, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the factors that contain some of ``names`` and are not among them."""
    return tuple(dict.fromkeys(outer for name in names for outer in nesting.get(name, ()) if outer not in names))


def told(nesting: Nesting) -> tuple[str, ...]:
    """Say what is nested in what."""
    return tuple(f"{name} is nested in {', '.join(outer)}." for name, outer in nesting.items())


def shares(grid: Grid, model: FittedModel, nesting: Nesting) -> Array:
    """Return what each row (others, cells) of the grid counts beside its weight: zero if it cannot exist.

    Levels of a nested factor that is averaged over share the weight of the combination that contains them.
    """
    there = np.ones(grid.n_others * grid.n_cells, dtype=bool)
    for inner, outers in nesting.items():
        there &= _occurs(grid, model, (inner, *outers))
    share = there.astype(float)
    for inner, outers in nesting.items():
        if inner in grid.others:
            count = crowds(grid.codes[inner][there], [grid.codes[outer][there] for outer in outers])
            share[there] /= count
    return share.reshape(grid.n_others, grid.n_cells)


def _occurs(grid: Grid, model: FittedModel, names: tuple[str, ...]) -> BoolArray:
    """Say of each row of the grid whether its combination of ``names`` is in the data."""
    seen = [pd.Index(list(grid.values[n])).get_indexer(pd.Index(model.observed[n].tolist())) for n in names]
    shape = tuple(len(grid.values[name]) for name in names)
    known = np.logical_and.reduce([codes >= 0 for codes in seen])
    found = np.zeros(shape, dtype=bool)
    found[tuple(codes[known] for codes in seen)] = True
    return np.asarray(found[tuple(grid.codes[name] for name in names)])


def crowds(inner: IntArray, outers: Sequence[IntArray]) -> IntArray:
    """Return for each row (m,) how many levels of ``inner`` there are in its combination of the ``outers``."""
    _, home = np.unique(np.column_stack(outers), axis=0, return_inverse=True)
    pairs = np.unique(np.column_stack([home.ravel(), inner]), axis=0)
    return np.asarray(np.bincount(pairs[:, 0])[home.ravel()])
