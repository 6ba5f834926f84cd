"""The terms of a fixed part as functions on the cells of their factors, whatever the coding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from mixedfx._typing import Array

__all__ = ["CodedTerm", "carries_others", "contains_by_name", "contains_by_sas", "type_three_rows"]


@dataclass(frozen=True)
class CodedTerm:
    """One term, such as ``f:g:x``.

    Attributes
    ----------
    label : str
    columns : tuple of int
        Positions of its columns among all columns, redundant ones included.
    factors : tuple of str
        Its categorical expressions.
    covariates : frozenset of str
        Its numeric expressions.
    coding : callable
        Gives the cells of all terms by label: they are needed for type III only.
    """

    label: str
    columns: tuple[int, ...]
    factors: tuple[str, ...]
    covariates: frozenset[str]
    coding: Callable[[], Mapping[str, Array]] = field(repr=False, compare=False)

    @property
    def cells(self) -> Array:
        """Its columns for each combination of levels and each of the k products of numeric columns: (*levels, k, q)."""
        return self.coding()[self.label]

    @property
    def expressions(self) -> frozenset[str]:
        """All factors and covariates."""
        return self.covariates | set(self.factors)


def contains_by_name(outer: CodedTerm, inner: CodedTerm) -> bool:
    """Say whether ``inner`` is marginal to ``outer``: everything in it is in the other, which has more.

    The principle of marginality (Nelder 1977, J. R. Stat. Soc. A 140, 48), as in R's car and statsmodels.
    """
    return inner.expressions < outer.expressions


def contains_by_sas(outer: CodedTerm, inner: CodedTerm) -> bool:
    """Say whether ``outer`` has the same covariates as ``inner`` and more factors, as in SAS and R's lmerTest."""
    return inner.covariates == outer.covariates and set(inner.factors) < set(outer.factors)


def _effects_of(position: int, terms: Sequence[CodedTerm]) -> list[tuple[str, ...]]:
    """The sets of factors whose effects a term adds to those of the terms before it."""
    own = terms[position]
    before = [set(t.factors) for t in terms[:position] if t.covariates == own.covariates]
    subsets = [s for size in range(len(own.factors) + 1) for s in combinations(own.factors, size)]
    return [s for s in subsets if not any(set(s) <= other for other in before)]


def carries_others(position: int, terms: Sequence[CodedTerm]) -> bool:
    """Say whether a term adds lower-order effects that belong to other terms too, which do not contain it.

    As ``f`` in ``0 + f + h``, which adds the general mean: what its coefficients mean depends on the coding of ``h``.
    """
    own = terms[position]
    others = [t for t in terms if t is not own and t.covariates == own.covariates and not contains_by_sas(t, own)]
    return any(set(effect) <= set(other.factors) for effect in _effects_of(position, terms) for other in others)


def type_three_rows(position: int, terms: Sequence[CodedTerm], n_columns: int) -> Array:
    """Return the hypothesis (r, n_columns) that a term's effects vanish, cells weighted equally.

    Parameters
    ----------
    position : int
        Of the term among the ``terms``.
    terms : sequence of CodedTerm
        In the order in which formulas sort them.
    n_columns : int
        Number of all columns.

    Notes
    -----
    The mean of a model is a function on the cells of its factors; a term's effect is what remains of it after averaging
    over all other factors with equal weights and subtracting the effects of lower order. This does not depend on the
    coding. Where a term's lower-order relatives are missing from the model, their effects are part of it.
    """
    own = terms[position]
    relatives = [t for t in terms if t.covariates == own.covariates]
    return np.vstack([_effect_rows(effect, relatives, n_columns) for effect in _effects_of(position, terms)])


def _effect_rows(effect: tuple[str, ...], relatives: Sequence[CodedTerm], n_columns: int) -> Array:
    blocks = [(t, _projected(effect, t)) for t in relatives if set(effect) <= set(t.factors)]
    out = np.zeros((blocks[0][1].shape[0], n_columns))
    for term, block in blocks:
        out[:, list(term.columns)] = block
    return out


def _projected(effect: tuple[str, ...], term: CodedTerm) -> Array:
    """Contrasts over the factors of ``effect``, means over the other factors of ``term``: (rows, columns)."""
    values = term.cells
    for axis, factor in reversed(list(enumerate(term.factors))):
        if factor not in effect:
            values = values.mean(axis=axis)
    kept = [factor for factor in term.factors if factor in effect]
    values = np.transpose(values, [*(kept.index(factor) for factor in effect), len(kept), len(kept) + 1])
    for axis in range(len(effect)):
        values = np.moveaxis(np.tensordot(_contrasts(values.shape[axis]), values, axes=(1, axis)), 0, axis)
    return values.reshape(-1, values.shape[-1])


def _contrasts(n_levels: int) -> Array:
    """Each level but the last against the mean of all: (n_levels - 1, n_levels)."""
    return (np.eye(n_levels) - 1.0 / n_levels)[:-1]
