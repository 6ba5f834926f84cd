"""Denominator degrees of freedom by counting: where in the hierarchy of groups does a coefficient vary?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Fit
from mixedfx.inference.denominator import ByCoefficient, Denominator
from mixedfx.inference.estimable import term_maps
from mixedfx.matrices import Design, nested_in

__all__ = ["containment", "containment_df"]

ROUNDING = 1e-9  # coefficient of a function in a parameter, relative to what it is the sum of, that counts as none
CONSTANT = 1e-10  # spread within a group, relative to that of the column, below which the column is constant there


def containment_df(design: Design) -> Array:
    """Return the degrees of freedom (p,) of every fixed effect.

    A coefficient belongs to the outermost level i of grouping within whose groups its column is constant (to the rows,
    if there is none) and has ``m_i - m_(i-1) - p_i`` degrees of freedom: m the numbers of groups, p the number of
    coefficients of that level. The intercept belongs to the rows, and counts as one group in the beginning.

    Raises
    ------
    SpecificationError
        If the grouping factors are not nested in each other.

    References
    ----------
    Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, section 2.4.2.
    """
    X = design.fixed.matrix
    groups = _nested_groups(design)
    intercept = np.ptp(X, axis=0) == 0
    counts = np.array([float(intercept.any()), *(len(np.unique(codes)) for codes in groups), float(design.n_rows)])
    level = np.full(X.shape[1], len(groups) + 1)
    for i in range(len(groups), 0, -1):
        level[_constant_within(X, groups[i - 1])] = i
    level[intercept] = len(groups) + 1
    n_coefficients = np.bincount(level[~intercept], minlength=len(counts))
    df = np.append(np.nan, np.diff(counts)) - n_coefficients
    return np.asarray(np.where(df[level] > 0, df[level], np.nan))


def _nested_groups(design: Design) -> list[IntArray]:
    """Codes of the distinct grouping factors, the outermost first."""
    if any(term.members is not None for term in design.random):
        raise SpecificationError(
            "containment degrees of freedom need nested groups, and rows are in several levels of mm(…): take "
            'ddf="satterthwaite" or ddf="kenward-roger"'
        )
    distinct = {term.group: term for term in design.grouped}
    ordered = sorted(distinct.values(), key=lambda term: len(term.levels))
    for outer, inner in pairwise(ordered):
        if not nested_in(inner.codes, outer.codes):
            raise SpecificationError(
                f"containment degrees of freedom need nested groups, and {inner.group!r} is not nested in "
                f'{outer.group!r}: take ddf="satterthwaite" or ddf="kenward-roger"'
            )
    return [term.codes for term in ordered]


def _constant_within(X: Array, codes: IntArray) -> BoolArray:
    """Say of every column (p,) whether it is constant within the groups."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sorted_rows = X[order]
    spread = np.maximum.reduceat(sorted_rows, starts, axis=0) - np.minimum.reduceat(sorted_rows, starts, axis=0)
    return np.asarray(spread.max(axis=0) <= CONSTANT * np.ptp(X, axis=0))


@dataclass(frozen=True, repr=False)
class Containment(Denominator):
    """Degrees of freedom that belong to coefficients, and of means to terms.

    What a coefficient is depends on the coding: of a factor between groups the intercept is the mean of its first
    level, and has degrees of freedom of rows as a coefficient. Functions of the model have parameters of their own,
    one a cell of each term, whatever the coding: a mean or contrast has the smallest degrees of freedom of the terms
    that it involves.
    """

    coefficients: ByCoefficient
    design: Design

    @property
    def label(self) -> str:  # type: ignore[override]
        """Whose method it is."""
        return self.coefficients.label

    @property
    def covariance(self) -> Array:
        """The estimated covariance (p, p)."""
        return self.coefficients.covariance

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        return self.coefficients.of_rows(rows)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the smallest degrees of freedom; F is not scaled."""
        return self.coefficients.joint(rows)

    def of_means(self) -> Denominator:
        """Return the degrees of freedom by terms."""
        fixed, (terms, maps) = self.design.fixed, term_maps(self.design, None)
        df = [self.coefficients.df[list(fixed.terms.get(term, ()))].min(initial=np.inf) for term in terms]
        return ByTerm(self.covariance, maps, np.array(df), self.label)


@dataclass(frozen=True, repr=False)
class ByTerm(Denominator):
    """Degrees of freedom that belong to terms: a function has the smallest of those that it involves.

    Attributes
    ----------
    matrix : (p, p)
        Covariance.
    maps : tuple of (p, q)
        Map the coefficients of the design to the parameters of each term, one parameter a cell.
    df : (T,)
    label : str
    """

    matrix: Array
    maps: tuple[Array, ...]
    df: Array
    label: str

    @property
    def covariance(self) -> Array:
        """The estimated covariance (p, p)."""
        return self.matrix

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        involved = np.column_stack([_involves(rows, own) for own in self.maps])
        smallest = np.where(involved, self.df, np.inf).min(axis=1, initial=np.inf)
        return np.where(involved.any(axis=1), smallest, np.nan)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the smallest degrees of freedom; F is not scaled."""
        return float(self.of_rows(rows).min()), 1.0


def _involves(rows: Array, parameters: Array) -> BoolArray:
    """Whether rows (r, p) have coefficients in parameters, by a map (p, q), that are more than rounding (r,)."""
    size = (np.abs(rows) @ np.abs(parameters)).max(axis=1, initial=0.0)
    return np.asarray(np.abs(rows @ parameters).max(axis=1, initial=0.0) > ROUNDING * size)


def containment(fit: Fit) -> Denominator:
    """Return the degrees of freedom by counting groups."""
    df = containment_df(fit.design)
    return Containment(ByCoefficient(fit.beta_covariance, df, "containment"), fit.design)
