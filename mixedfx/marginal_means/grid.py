"""The reference grid: combinations of levels, covariates at their means; which of them exist, and their weights.

A factor whose levels mean something within the levels of other factors only, as the states of regions do, is nested in
them: combinations that the data do not have do not exist.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_mapping
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.results.adapted import AdaptedFit, Predictor

__all__ = [
    "Grid",
    "Nesting",
    "Weights",
    "WeightsName",
    "containers",
    "crowds",
    "nesting_for",
    "nesting_notes",
    "reference_values",
    "shares",
    "weights_for",
]

LARGEST = 2_000_000  # rows of a grid

Nesting = Mapping[str, tuple[str, ...]]  # for each nested factor those that contain it


def reference_values(fit: AdaptedFit, at: Mapping[str, Any] | None) -> dict[str, tuple[Hashable, ...]]:
    """Return the values of every predictor in the grid.

    Raises
    ------
    SpecificationError
        If ``at`` names something else, or a level that the fit does not know.
    """
    given = checked_mapping("at", at, "{'x': [0, 1]}")
    for name in given:
        if name not in fit.predictors:
            raise SpecificationError(
                f"at={{{name!r}: …}} is no predictor of the model; they are {_listed(fit.predictors)}"
            )
    return {
        name: _checked(predictor, given[name]) if name in given else predictor.reference
        for name, predictor in fit.predictors.items()
    }


def _checked(predictor: Predictor, wanted: Any) -> tuple[Hashable, ...]:
    values = (wanted,) if isinstance(wanted, str | bytes) or not hasattr(wanted, "__iter__") else tuple(wanted)
    if not values:
        raise SpecificationError(f"at={{{predictor.name!r}: …}} has no values")
    if predictor.is_factor and np.isnan(predictor.mean):
        unknown = [value for value in values if value not in predictor.levels]
        if unknown:
            raise SpecificationError(
                f"at={{{predictor.name!r}: …}}: {unknown[0]!r} is no level of it; they are {_listed(predictor.levels)}"
            )
        return tuple(predictor.levels[predictor.levels.index(value)] for value in values)
    try:
        numbers = tuple(int(value) if isinstance(value, int | np.integer) else float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise SpecificationError(f"at={{{predictor.name!r}: …}} must be numbers; found {wanted!r}") from error
    if not np.isfinite(numbers).all():
        raise SpecificationError(f"at={{{predictor.name!r}: …}} must be finite numbers; found {wanted!r}")
    return numbers


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))


@dataclass(frozen=True, eq=False)
class Grid:
    """All combinations of the values of the predictors; those that label the means come first and vary fastest.

    Attributes
    ----------
    values : dict
        Values of every predictor.
    names : tuple of str
        The predictors that label the means.
    """

    values: Mapping[str, tuple[Hashable, ...]]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        size = self.n_cells * self.n_others
        if size > LARGEST:
            raise SpecificationError(
                f"the reference grid would have {size} rows; hold some predictors at a value with at={{…}}"
            )

    @property
    def others(self) -> tuple[str, ...]:
        """The predictors that are averaged over or held."""
        return tuple(name for name in self.values if name not in self.names)

    @property
    def n_cells(self) -> int:
        """Number of means."""
        return int(np.prod([len(self.values[name]) for name in self.names], dtype=float))

    @property
    def n_others(self) -> int:
        """Number of combinations of the other predictors."""
        return int(np.prod([len(self.values[name]) for name in self.others], dtype=float))

    @property
    def order(self) -> tuple[str, ...]:
        """All predictors; the first varies fastest."""
        return (*self.names, *self.others)

    @cached_property
    def codes(self) -> dict[str, IntArray]:
        """Position (n,) of each row's value among those of a predictor."""
        shape = [len(self.values[name]) for name in reversed(self.order)]
        indices = np.indices(shape).reshape(len(shape), -1) if shape else np.zeros((0, 1), dtype=np.intp)
        return dict(zip(reversed(self.order), indices.astype(np.intp), strict=True))

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The grid; the cells of the means vary within combinations of the others."""
        columns = {name: _column(self.values[name], self.codes[name]) for name in self.values}
        return pd.DataFrame(columns, index=pd.RangeIndex(self.n_cells * self.n_others))

    @property
    def labels(self) -> pd.DataFrame:
        """What the means (r,) are means of."""
        return self.frame[list(self.names)].iloc[: self.n_cells].reset_index(drop=True)


def _column(values: tuple[Hashable, ...], codes: IntArray) -> pd.Series:
    """Return the values of the rows; text stays text whatever pandas would make of it."""
    levels = pd.Index(list(values))
    return pd.Series(levels.take(codes))


# ---------------------------------------------------------------- weights
class Weights(ABC):
    """Weights of the combinations of the other predictors in each mean."""

    #: Their name in notes; empty for the usual ones.
    word: str = ""

    @abstractmethod
    def of(self, grid: Grid, fit: AdaptedFit, nesting: Nesting) -> Array:
        """Return the weights (others, cells), not yet normalised."""

    def existing(self, shares: Array) -> Array:
        """Return the factors (others, cells) of the weights, from the ``shares``; zero for rows that do not exist."""
        return (shares > 0).astype(float)

    def normed(self, grid: Grid, fit: AdaptedFit, shares: Array, nesting: Nesting) -> Array:
        """Return the weights (others, cells), summing to 1 for every mean; nan for means of cells that do not exist."""
        weights = self.of(grid, fit, nesting) * self.existing(shares)
        total = weights.sum(axis=0)
        out = np.full(weights.shape, np.nan)
        np.divide(weights, total, out=out, where=total > 0)
        return out


class EqualWeights(Weights):
    """Every combination counts the same: what a balanced experiment would have."""

    def of(self, grid: Grid, fit: AdaptedFit, nesting: Nesting) -> Array:
        """Return ones."""
        return np.ones((grid.n_others, grid.n_cells))

    def existing(self, shares: Array) -> Array:
        """Return the shares: levels of a nested factor are averaged first, within what contains them."""
        return shares


class CellWeights(Weights):
    """Frequencies of the combinations within each cell of the data: means of fitted values."""

    word = "cells"

    def of(self, grid: Grid, fit: AdaptedFit, nesting: Nesting) -> Array:
        """Return the counts."""
        return _counts(grid, fit, grid.order)


class FlatWeights(Weights):
    """Every combination that occurs counts the same."""

    word = "flat"

    def of(self, grid: Grid, fit: AdaptedFit, nesting: Nesting) -> Array:
        """Return ones for what occurs."""
        return np.asarray((_counts(grid, fit, grid.order) > 0).astype(float))


class ProportionalWeights(Weights):
    """Frequencies of the combinations in the data, the same for all means.

    A nested factor is counted within the factors that contain it: labels 1, 2, … of sites that are used again in every
    region mean the same as unique names.
    """

    word = "proportional"

    def of(self, grid: Grid, fit: AdaptedFit, nesting: Nesting) -> Array:
        """Return the counts."""
        outer = [name for inner in grid.others for name in nesting.get(inner, ())]
        return _counts(grid, fit, tuple(dict.fromkeys([*grid.others, *outer])))


class OuterWeights(Weights):
    """Products of the frequencies of the single predictors; a nested one is counted within those that contain it."""

    word = "outer"

    def of(self, grid: Grid, fit: AdaptedFit, nesting: Nesting) -> Array:
        """Return the products."""
        counts = [_counts(grid, fit, (name, *nesting.get(name, ()))) for name in grid.others]
        return np.asarray(np.prod([np.ones((grid.n_others, grid.n_cells)), *counts], axis=0))


@dataclass(frozen=True, eq=False)
class GivenWeights(Weights):
    """Weights given by the user, one for each combination of the other predictors (the first varies fastest)."""

    numbers: Array
    word: str = "given"

    def of(self, grid: Grid, fit: AdaptedFit, nesting: Nesting) -> Array:
        """Return the numbers."""
        if self.numbers.shape != (grid.n_others,):
            raise SpecificationError(
                f"weights must be {grid.n_others} numbers, one for each combination of {_listed(grid.others)} in the "
                f"reference grid; found {self.numbers.size}"
            )
        return np.broadcast_to(self.numbers[:, None], (grid.n_others, grid.n_cells))


def _need_values(fit: AdaptedFit, name: str) -> None:
    """Refuse to count the rows at values of a column of which only sums are known."""
    if fit.solution is not None and np.isfinite(fit.predictors[name].mean):
        fit.solution.design.need_rows(f"numbers of rows at values of {name!r}")


def _counts(grid: Grid, fit: AdaptedFit, names: Sequence[str]) -> Array:
    """Return the frequency (others, cells) of each row's combination of ``names``, covariates at one value ignored."""
    position = np.zeros(len(fit.observed), dtype=np.intp)
    wanted = np.zeros(grid.n_others * grid.n_cells, dtype=np.intp)
    known = np.ones(len(fit.observed), dtype=bool)
    stride = 1
    for name in names:
        values = grid.values[name]
        if len(values) > 1 or fit.predictors[name].is_discrete:
            _need_values(fit, name)
            code = pd.Index(list(values)).get_indexer(pd.Index(fit.observed[name].tolist()))
            known &= code >= 0
            position += stride * np.maximum(code, 0)
        wanted += stride * grid.codes[name]
        stride *= len(values)
    counts = np.bincount(
        position[known], weights=None if fit.counts is None else fit.counts[known], minlength=stride
    ).astype(float)
    return counts[wanted].reshape(grid.n_others, grid.n_cells)


WeightsName: TypeAlias = Literal["equal", "proportional", "outer", "cells", "flat"]
WEIGHTS: dict[str, type[Weights]] = {
    "equal": EqualWeights,
    "proportional": ProportionalWeights,
    "outer": OuterWeights,
    "cells": CellWeights,
    "flat": FlatWeights,
}


def weights_for(weights: Any) -> Weights:
    """Resolve ``weights=``: a word, or numbers.

    Raises
    ------
    SpecificationError
        If it is another word, or the numbers are negative.
    """
    if isinstance(weights, str):
        if weights not in WEIGHTS:
            raise SpecificationError(f"weights is numbers or one of {_listed(WEIGHTS)}; found {weights!r}")
        return WEIGHTS[weights]()
    try:
        numbers = np.asarray(weights, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"weights is a word or numbers; found {type(weights).__name__}") from error
    if numbers.ndim != 1 or not np.all((numbers >= 0) & np.isfinite(numbers)) or not np.any(numbers > 0):
        raise SpecificationError("weights must be a list of finite numbers that are not negative, and not all zero")
    return GivenWeights(numbers)


# ---------------------------------------------------------------- nesting
def nesting_for(fit: AdaptedFit, nesting: Any) -> dict[str, tuple[str, ...]]:
    """Return the factors in which each nested factor is nested, by ``nesting=`` or else as model and data have it.

    Raises
    ------
    SpecificationError
        If it names something else than factors of the model, or a factor is nested in itself.
    """
    if nesting is None:
        return _nesting_of(fit)
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
    factors = [name for name, predictor in fit.predictors.items() if predictor.is_discrete and predictor.is_fixed]
    for name in (*given, *(outer for outers in given.values() for outer in outers)):
        if name not in factors:
            known = _listed(factors) or "none"
            raise SpecificationError(f"nesting= names {name!r}, which is no factor of the model; they are {known}")
    return {inner: _above(given, inner) for inner, outers in given.items() if outers}


def _above(given: Nesting, inner: str) -> tuple[str, ...]:
    """Return all factors that contain one, near ones first."""
    out = list(given[inner])
    for name in out:
        out += [outer for outer in given.get(name, ()) if outer not in out]
    if inner in out:
        raise SpecificationError(f"nesting= puts {inner!r} within itself; write {{'inner factor': 'outer factor'}}")
    return tuple(out)


def _nesting_of(fit: AdaptedFit) -> dict[str, tuple[str, ...]]:
    """Return the nesting by data (every level of the inner factor occurs in one level of the outer), and by formula.

    By formula a factor is nested in those without which it stands in no term, as in ``region + region:state``. Two
    factors that are the same but for their names are not nested in each other.
    """
    factors = [name for name, p in fit.predictors.items() if p.is_factor and p.is_fixed and len(p.levels) > 1]
    nesting: dict[str, tuple[str, ...]] = {}
    for inner, outer in permutations(factors, 2):
        if _by_data(fit, inner, outer) or _by_formula(fit, inner, outer):
            nesting[inner] = (*nesting.get(inner, ()), outer)
    return nesting


def _by_data(fit: AdaptedFit, inner: str, outer: str) -> bool:
    size = len(fit.predictors[inner].levels)
    return size > len(fit.predictors[outer].levels) and len(fit.observed[[inner, outer]].drop_duplicates()) == size


def _by_formula(fit: AdaptedFit, inner: str, outer: str) -> bool:
    of_inner = [term for term in fit.terms if inner in term]
    of_outer = [term for term in fit.terms if outer in term]
    return bool(of_inner) and all(outer in term for term in of_inner) and any(inner not in term for term in of_outer)


def containers(nesting: Nesting, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the factors that contain some of ``names`` and are not among them."""
    return tuple(dict.fromkeys(outer for name in names for outer in nesting.get(name, ()) if outer not in names))


def nesting_notes(nesting: Nesting) -> tuple[str, ...]:
    """Say what is nested in what."""
    return tuple(f"{name} is nested in {', '.join(outer)}." for name, outer in nesting.items())


def shares(grid: Grid, fit: AdaptedFit, nesting: Nesting) -> Array:
    """Return the shares (others, cells) by which the weights of rows are multiplied; zero for rows that cannot exist.

    Levels of a nested factor that is averaged over divide the weight of the combination that contains them.
    """
    exists = np.ones(grid.n_others * grid.n_cells, dtype=bool)
    for inner, outers in nesting.items():
        exists &= _occurs(grid, fit, (inner, *outers))
    share = exists.astype(float)
    for inner, outers in nesting.items():
        if inner in grid.others:
            share[exists] /= crowds(grid.codes[inner][exists], [grid.codes[outer][exists] for outer in outers])
    return share.reshape(grid.n_others, grid.n_cells)


def _occurs(grid: Grid, fit: AdaptedFit, names: tuple[str, ...]) -> BoolArray:
    """Say of each row of the grid whether its combination of ``names`` is in the data."""
    seen = [pd.Index(list(grid.values[n])).get_indexer(pd.Index(fit.observed[n].tolist())) for n in names]
    shape = tuple(len(grid.values[name]) for name in names)
    known = np.logical_and.reduce([codes >= 0 for codes in seen])
    occurs = np.zeros(shape, dtype=bool)
    occurs[tuple(codes[known] for codes in seen)] = True
    return np.asarray(occurs[tuple(grid.codes[name] for name in names)])


def crowds(inner: IntArray, outers: Sequence[IntArray]) -> IntArray:
    """Return for each row (m,) how many levels of ``inner`` there are in its combination of the ``outers``."""
    _, home = np.unique(np.column_stack(outers), axis=0, return_inverse=True)
    pairs = np.unique(np.column_stack([home.ravel(), inner]), axis=0)
    return np.asarray(np.bincount(pairs[:, 0])[home.ravel()])
