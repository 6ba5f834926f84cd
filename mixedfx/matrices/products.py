"""Columns of terms as products of the columns of their factors: which, their names, and their values."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import mul
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.formula import Expression, Term
from mixedfx.matrices.values import Basis, Factor, TreatmentCoding, Value

__all__ = ["TermStructure", "hierarchical_structure", "minimal_columns", "term_columns"]


@dataclass(frozen=True)
class TermStructure:
    """Of which products the columns of a term are made.

    Attributes
    ----------
    factors : tuple of Expression
    parts : tuple of tuple of (Expression, bool)
        Products of factors. With True a factor has its contrasts, or all columns of a basis but the first, as they lean
        on a term without it; with False an indicator of every level. A product of nothing is the intercept.
    """

    factors: Term
    parts: tuple[tuple[tuple[Expression, bool], ...], ...]


def hierarchical_structure(
    terms: Sequence[Term], values: Mapping[Expression, Value]
) -> tuple[TermStructure, ...] | None:
    """Return the structure of terms none of which lacks a margin: that without one of its categorical factors.

    All products that contrasts span beside those of the term itself are then in the model already, so that every
    categorical factor has its contrasts. None where a margin is missing, or comes later: the rules are subtle then.
    """
    before: set[frozenset[Expression]] = set()
    for term in terms:
        if any(isinstance(value := values[factor], Basis) and value.spans_constant for factor in term):
            return None
        whole = frozenset(term)
        if any(whole - {factor} not in before for factor in term if isinstance(values[factor], Factor)):
            return None
        before.add(whole)
    return tuple(
        TermStructure(term, (tuple((factor, isinstance(values[factor], Factor)) for factor in term),)) for term in terms
    )


def term_columns(
    structure: Sequence[TermStructure], values: Mapping[Expression, Value], n_rows: int
) -> tuple[Array, list[tuple[str, ...]]]:
    """Return the columns (n, p) in Fortran order, and the names of those of every term."""
    made: dict[tuple[Expression, bool], dict[str, Any]] = {}
    found: list[dict[str, Any]] = []
    for term in structure:
        columns: dict[str, Any] = {}
        for part in term.parts:
            for key in part:
                if key not in made:
                    made[key] = _coded(key[0].text, values[key[0]], key[1])
            columns |= _products([made[key] for key in part])
        found.append(columns)
    matrix = np.empty((n_rows, sum(map(len, found))), order="F")
    for j, values_of_column in enumerate(column for columns in found for column in columns.values()):
        matrix[:, j] = values_of_column
    return matrix, [tuple(columns) for columns in found]


def _products(factors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Products of one column of each factor, the first factor's columns varying fastest."""
    if not factors:
        return {"Intercept": 1.0}
    if len(factors) == 1:
        return dict(factors[0])
    columns = {}
    for chosen in product(*(factor.items() for factor in reversed(factors))):
        names, values = zip(*reversed(chosen))
        columns[":".join(names)] = reduce(mul, values)
    return columns


def _coded(text: str, value: Value, reduced: bool) -> dict[str, Any]:
    """Names and columns (n,) of one factor."""
    if isinstance(value, Factor):
        return _contrasts(text, value) if reduced else _indicators(text, value, value.levels)
    if isinstance(value, Basis):
        columns = {f"{text}[{name}]": value.matrix[:, j] for j, name in enumerate(value.columns)}
        return dict(list(columns.items())[1:]) if reduced else columns
    return {text: value}


def _indicators(text: str, factor: Factor, wanted: Sequence[Hashable], prefix: str = "") -> dict[str, Array]:
    codes, shown = factor.labels.codes, set(wanted)
    return {
        f"{text}[{prefix}{level}]": (codes == j).astype(float)
        for j, level in enumerate(factor.levels)
        if level in shown
    }


def _contrasts(text: str, factor: Factor) -> dict[str, Array]:
    coding, levels = factor.coding, factor.levels
    names = coding.columns(levels)
    if isinstance(coding, TreatmentCoding):
        return _indicators(text, factor, names, coding.prefix)
    matrix = coding.matrix(levels)
    return {f"{text}[{coding.prefix}{name}]": matrix[factor.labels.codes, j] for j, name in enumerate(names)}


def minimal_columns(values: Sequence[Value]) -> int:
    """Return the least number of columns that the product of ``values`` can have."""
    widths = [
        max(len(value.labels.levels) - 1, 1) if isinstance(value, Factor) else len(value.columns)
        for value in values
        if isinstance(value, (Factor, Basis))
    ]
    return int(np.prod(widths, dtype=object)) if widths else 1
