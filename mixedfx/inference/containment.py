"""Denominator degrees of freedom by counting: where in the hierarchy of groups does a coefficient vary?"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import Design, nested_in

__all__ = ["containment_df"]

CONSTANT = 1e-10  # spread within a group, relative to the spread of the column, that counts as none


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
    counts = np.array([float(intercept.any()), *(len(np.unique(codes)) for codes in groups), float(len(X))])
    level = np.full(X.shape[1], len(groups) + 1)
    for i in range(len(groups), 0, -1):
        level[_constant_within(X, groups[i - 1])] = i
    level[intercept] = len(groups) + 1
    own = np.bincount(level[~intercept], minlength=len(counts))
    df = np.append(np.nan, np.diff(counts)) - own
    return np.asarray(np.where(df[level] > 0, df[level], np.nan))


def _nested_groups(design: Design) -> list[IntArray]:
    """Codes of the distinct grouping factors, the outermost first."""
    distinct = {term.group: term for term in design.random}
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
