"""Estimable functions of the model with one parameter a cell, and the hypotheses of type III that are made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg
from scipy import sparse as sp

from mixedfx._typing import Array, IntArray
from mixedfx.matrices import Design, Frame, as_frame
from mixedfx.matrices.encoder import FormulaicEncoder, Variable, term_label
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.fixed import FixedEffects
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.labels import combine
from mixedfx.matrices.values import Basis, Factor, Value

__all__ = ["CanonicalRows", "EstimableFunctions", "canonical_rows", "estimable_functions", "term_maps"]

ZERO = 1e-8  # part of a function, relative to its size, that counts as none
DEPENDENT = 1e-11  # part of a column outside of those before it, relative to its size, that counts as none
PIVOT = 1e-8  # part of a hypothesis in a coefficient, relative to its size, that counts as none


@dataclass(frozen=True)
class EstimableFunctions:
    """The general form of the estimable functions of ``gamma``, the parameters of the model with all indicators.

    Functions are rows ``k`` (p,): ``k' blocks[term]`` are their coefficients in ``gamma``, ``k' root`` those in
    ``beta``. There are no others.

    Attributes
    ----------
    blocks : dict of (p, q)
        ``Q'W`` of every term, with ``W`` (n, q) its parameters' columns: an indicator for each cell of its factors that
        occurs, times its numeric columns; ``X = Q root``.
    sizes : dict of (q,)
        Norms of the columns of ``W``, the scale for the columns of ``Q'W``.
    root : (p, p)
    firsts : dict of (q,)
        How many factors are at their first level in the cell of each column of ``W``.
    """

    blocks: Mapping[str, Array]
    sizes: Mapping[str, Array]
    root: Array
    firsts: Mapping[str, IntArray]

    def of_part(self, columns: Array, root: Array) -> EstimableFunctions:
        """Return those of a part of the data, where ``columns`` (r, p) times the coefficients are its r."""
        through = root @ columns @ np.linalg.inv(self.root)
        blocks = {term: through @ block for term, block in self.blocks.items()}
        return EstimableFunctions(blocks, self.sizes, root, self.firsts)

    def type_three(self, term: str, containing: Sequence[str], others: Sequence[str]) -> Array:
        """Return the hypothesis (r, p) of type III of a term, on the estimated coefficients.

        Notes
        -----
        Of the functions that have no coefficients in the ``others``, which do not contain the term, these are the ones
        that are orthogonal to all that have no coefficients in the term itself (Goodnight 1978, SAS Technical Report
        R-101; SAS/STAT User's Guide, "The Four Types of Estimable Functions").
        """
        relevant, _ = self._columns([term, *containing])
        combinations = _orthogonal_to(*self._columns(others))
        functions = combinations @ relevant
        n_own = self.sizes[term].size
        above = _orthogonal_to(functions[:, :n_own], self.sizes[term]) @ functions
        shared = functions @ above.T
        new = _orthogonal_to(shared, np.linalg.norm(shared, axis=0)) @ combinations
        return np.asarray(new @ self.root)

    def _columns(self, terms: Sequence[str]) -> tuple[Array, Array]:
        """Return the blocks of some terms side by side, and the sizes of their columns."""
        blocks = [np.zeros((len(self.root), 0)), *(self.blocks[term] for term in terms)]
        return np.hstack(blocks), np.concatenate([np.zeros(0), *(self.sizes[term] for term in terms)])


def _orthogonal_to(columns: Array, sizes: Array) -> Array:
    """Return orthonormal rows ``c`` (r, p) with ``c columns = 0``, ``columns`` (p, q) judged by their ``sizes``."""
    scaled = columns / np.where(sizes > 0, sizes, 1.0)
    if scaled.shape[1] > len(scaled):
        scaled = np.asarray(np.linalg.qr(scaled.T, mode="r")).T
    left, singular, _ = np.linalg.svd(scaled)
    return np.asarray(left[:, int(np.sum(singular > ZERO)) :].T)


# --------------------------------------------------------------------------- from a design
def estimable_functions(design: Design, rows: FrameRows) -> EstimableFunctions:
    """Return the estimable functions of a design's fixed part; ``rows`` are the data of its rows.

    Notes
    -----
    The columns of all parameters lie in the span of the columns of the model. Where contrasts of the user's leave
    directions out they do not: then the term's columns are its parameters.
    """
    fixed, encoder = design.fixed, design.fixed.encoder
    X, first = _with_constant(fixed)
    Q, R = np.linalg.qr(X)
    root = R[:, first:]
    blocks = {term: root @ fixed.alias[:, list(columns)] for term, columns in fixed.full_terms.items()}
    firsts = {term: np.zeros(block.shape[1], dtype=np.intp) for term, block in blocks.items()}
    if isinstance(encoder, FormulaicEncoder):
        learnt = (encoder.transforms, encoder.levels)
        evaluate = Evaluator(rows, encoder.functions, encoder.settings.codings, learnt)
        values = {text: evaluate(text) for text in encoder.expressions}
        for term in design.formula.fixed_terms:
            label = term_label(term)
            given = None if design.represented is None else design.represented.products.get(label)
            own = [values[text] for text in sorted(term) if text in values]
            cells, products, at_first = _parameters(own, len(X), given)
            scores = _scores(Q, cells, products, len(at_first))
            if scores is not None:
                blocks[label], firsts[label] = scores, np.tile(at_first, products.shape[1])
    sizes = {term: np.linalg.norm(block, axis=0) for term, block in blocks.items()}
    return EstimableFunctions(blocks, sizes, root, firsts)


def _with_constant(fixed: FixedEffects) -> tuple[Array, int]:
    """Return the estimated columns, behind a constant where thresholds stand for the intercept; and their first."""
    hidden = "Intercept" in fixed.full_terms and not fixed.alias[:, fixed.full_terms["Intercept"]].any()
    return (np.column_stack([np.ones(len(fixed.matrix)), fixed.matrix]), 1) if hidden else (fixed.matrix, 0)


def _parameters(values: Sequence[Value], n: int, products: Array | None = None) -> tuple[IntArray, Array, IntArray]:
    """Return the cell (n,) of each row, the products (n, k) of the numeric columns, and ``firsts`` of each cell.

    The products are made of the values unless they are given. Cells are numbered in the sorted order of the labels; the
    first factor varies fastest.
    """
    factors = [value.labels.ordered() for value in reversed(values) if isinstance(value, Factor)]
    products = _products(values, n) if products is None else products
    if not factors:
        return np.zeros(n, dtype=np.intp), products, np.zeros(1, dtype=np.intp)
    cells = combine(factors, [""] * len(factors))
    positions: Any = cells.levels.codes  # type: ignore[attr-defined]
    return cells.codes, products, np.sum([np.asarray(own) == 0 for own in positions], axis=0, dtype=np.intp)


def _products(values: Sequence[Value], n: int) -> Array:
    numeric = [value.matrix if isinstance(value, Basis) else value for value in values if not isinstance(value, Factor)]
    products = np.ones((n, 1))
    for value in numeric:
        columns = np.asarray(value, dtype=float).reshape(n, -1)
        products = (products[:, :, None] * columns[:, None, :]).reshape(n, -1)
    return products


def _scores(Q: Array, cells: IntArray, products: Array, size: int) -> Array | None:
    """Return ``Q' W`` (p, q), ``W`` the products in each cell; None if ``W`` is not in the span of ``Q``."""
    indicators = sp.csr_array((np.ones(len(cells)), (cells, np.arange(len(cells)))), shape=(size, len(cells)))
    scores = np.hstack([(indicators @ (Q * column[:, None])).T for column in products.T])
    squares = np.asarray(indicators @ products**2).T.ravel()
    inside = np.einsum("pq,pq->q", scores, scores)
    return scores if np.all(squares - inside <= ZERO * squares) else None


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
        For a term after others these are the rows of the unit upper triangle of Doolittle's factorisation: types I
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
        The data of the design; None if only the columns that it remembers are left.
    """
    rows = _rows_of(design.variables) if frame is None else FrameRows(frame, design.keep)
    functions = estimable_functions(design, rows)
    weight = np.ones(len(design.fixed.matrix)) if design.weights is None else np.sqrt(design.weights)
    root = np.asarray(np.linalg.qr(design.fixed.matrix * weight[:, None], mode="r"), dtype=float)
    one_term = sum(term != "Intercept" for term in functions.blocks) == 1
    columns = np.linalg.solve(functions.root, _treatment_columns(functions))
    return CanonicalRows(np.asarray(columns, dtype=float), root, one_term)


def term_maps(design: Design, frame: Frame | None) -> tuple[tuple[str, ...], tuple[Array, ...]]:
    """Return the terms, and what coefficients (…, p) are multiplied by to be those in a term's parameters (p, q)."""
    functions = estimable_functions(
        design, _rows_of(design.variables) if frame is None else FrameRows(frame, design.keep)
    )
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


def _rows_of(variables: dict[str, Variable]) -> FrameRows:
    """The variables of the fixed part as data again."""
    frame = pd.DataFrame({name: _values(variable) for name, variable in variables.items()})
    return FrameRows(as_frame(frame))


def _values(variable: Variable) -> pd.Series:
    if variable.labels is None:
        return pd.Series(variable.numbers)
    return pd.Series(pd.Categorical.from_codes(variable.labels.codes, categories=variable.labels.levels))
