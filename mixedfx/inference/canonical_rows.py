"""Which rows a hypothesis of several rows is written in, for what depends on them: pooled degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg

from mixedfx._typing import Array
from mixedfx.inference.estimable import EstimableFunctions, estimable_functions
from mixedfx.matrices import Design, Frame, as_frame
from mixedfx.matrices.rows import Rows
from mixedfx.matrices.variables import Variable

__all__ = ["CanonicalRows", "canonical_rows", "term_maps"]

DEPENDENT = 1e-11  # part of a column outside of those before it, relative to its size, that counts as none
PIVOT = 1e-8  # part of a hypothesis in a coefficient, relative to its size, that counts as none


@dataclass(frozen=True)
class CanonicalRows:
    """The rows that lmerTest gives a hypothesis, whatever the coding, the order of levels, and the rows given.

    Fai and Cornelius's degrees of freedom depend on the rows in which a hypothesis is written. lmerTest writes it in
    treatment coding, which leaves the reference open; here that is the first level of each factor in sorted order, as
    it is of a column of text. So a hypothesis has one number of degrees of freedom, and it is lmerTest's where the
    levels of the data are in sorted order.

    Attributes
    ----------
    columns : (p, p)
        The columns of treatment coding are the estimated ones times this, so that rows times this are their rows.
    root : (p, p)
        ``R`` with ``R'R = X'WX``, of the estimated columns.
    one_term : bool
        Whether the model has a single term beside the intercept: lmerTest then orthogonalises the rows of any type.
    """

    columns: Array
    root: Array
    one_term: bool

    def usual(self, L: Array) -> Array:
        """Return the rows (r, p) of independent rows ``L`` (r, p) in a table of type III and in joint tests."""
        return self.sequential(L) if self.one_term else self.echelon(L)

    def echelon(self, L: Array) -> Array:
        """Return combinations of the rows that have one coefficient of treatment coding each to themselves.

        The rows as they are where rounding hides the columns of the design from one another.
        """
        pivots = self._pivots(L)
        return L if pivots.shape[1] < len(L) else np.asarray(np.linalg.solve(pivots, L))

    def sequential(self, L: Array) -> Array:
        """Return combinations of which each is orthogonal to those below it, by the cross-products of the design.

        Notes
        -----
        Of a term after others these are the rows of a unit upper triangle, those of Doolittle's factorisation: types I
        and II of SAS and lmerTest.
        """
        rows = self.echelon(L)
        half = linalg.solve_triangular(self.root, rows.T, trans=1)  # rows (X'WX)^-1 rows' = half' half
        upper = np.linalg.cholesky((half.T @ half)[::-1, ::-1])[::-1, ::-1]
        return np.asarray(upper.diagonal()[:, None] * linalg.solve_triangular(upper, rows))

    def _pivots(self, L: Array) -> Array:
        """Return the coefficients (r, r) of the rows that are to be one; fewer columns if there are no more."""
        rest = L @ self.columns
        size = float(np.linalg.norm(rest))
        chosen: list[int] = []
        for j in range(rest.shape[1]):
            length = float(np.linalg.norm(rest[:, j]))
            if length > PIVOT * size and len(chosen) < len(L):
                chosen.append(j)
                direction = rest[:, j] / length
                rest = rest - np.outer(direction, direction @ rest)
        return np.asarray((L @ self.columns)[:, chosen])


def canonical_rows(design: Design, frame: Frame | None) -> CanonicalRows:
    """Return how hypotheses on the fixed part of a design are written.

    Parameters
    ----------
    design : Design
    frame : Frame or None
        The data that it was made of; the columns that it remembers if there are none.
    """
    rows = _rows_of(design.variables) if frame is None else Rows(frame, design.keep)
    functions = estimable_functions(design, rows)
    weight = np.ones(len(design.fixed.matrix)) if design.weights is None else np.sqrt(design.weights)
    root = np.asarray(np.linalg.qr(design.fixed.matrix * weight[:, None], mode="r"), dtype=float)
    one_term = sum(term != "Intercept" for term in functions.blocks) == 1
    columns = np.linalg.solve(functions.root, _treatment_columns(functions))
    return CanonicalRows(np.asarray(columns, dtype=float), root, one_term)


def term_maps(design: Design, frame: Frame | None) -> tuple[tuple[str, ...], tuple[Array, ...]]:
    """Return the terms, and what coefficients (…, p) are multiplied by to be those in a term's parameters (p, q)."""
    functions = estimable_functions(design, _rows_of(design.variables) if frame is None else Rows(frame, design.keep))
    maps = tuple(np.asarray(np.linalg.solve(functions.root, block)) for block in functions.blocks.values())
    return tuple(functions.blocks), maps


def _treatment_columns(functions: EstimableFunctions) -> Array:
    """Return ``Q'`` times the columns of treatment coding (p, p), term by term.

    Of the indicators of a term's cells those with all factors behind their first levels come first, and what follows
    from the columns before is left out: as R codes a factor, and leaves out redundant columns.
    """
    chosen: list[Array] = []
    basis, count = np.empty_like(functions.root), 0
    for term, block in functions.blocks.items():
        own: list[int] = []
        for j in np.argsort(functions.firsts[term], kind="stable"):
            rest = block[:, j]
            for _ in range(2):  # twice is enough (Kahan, Parlett)
                rest = rest - (basis[:count] @ rest) @ basis[:count]
            length = float(np.linalg.norm(rest))
            if length > DEPENDENT * functions.sizes[term][j] and count < len(basis):
                own.append(int(j))
                basis[count] = rest / length
                count += 1
        chosen += [block[:, j] for j in sorted(own)]
    return np.array(chosen).T


def _rows_of(variables: dict[str, Variable]) -> Rows:
    """The variables of the fixed part as data again."""
    frame = pd.DataFrame({name: _values(variable) for name, variable in variables.items()})
    return Rows(as_frame(frame))


def _values(variable: Variable) -> pd.Series:
    if variable.labels is None:
        return pd.Series(variable.numbers)
    return pd.Series(pd.Categorical.from_codes(variable.labels.codes, categories=variable.labels.levels))
