"""Estimable functions of the model with one parameter a cell, and the hypotheses of type III that are made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse as sp

from mixedfx._typing import Array, IntArray
from mixedfx.design import Design, Frame
from mixedfx.design.encoder import FormulaicEncoder, term_label
from mixedfx.design.evaluate import Evaluator
from mixedfx.design.fixed import FixedEffects
from mixedfx.design.labels import combine
from mixedfx.design.rows import Rows
from mixedfx.design.values import Basis, Factor, Value

__all__ = ["EstimableFunctions", "estimable_functions"]

ZERO = 1e-8  # part of a function, relative to its size, that counts as none


@dataclass(frozen=True)
class EstimableFunctions:
    """The general form of estimable functions: those of the parameters ``gamma`` of the model with all indicators.

    Functions are rows ``k`` (p,): ``k' blocks[term]`` are their coefficients in ``gamma``, ``k' root`` those in
    ``beta``. There are no others.

    Attributes
    ----------
    blocks : dict of (p, q)
        ``Q'W`` of every term, with ``W`` (n, q) its parameters' columns: an indicator for each cell of its factors that
        occurs, times its numeric columns; ``X = Q root``.
    sizes : dict of (q,)
        Norms of the columns of ``W``, by which those of ``Q'W`` are judged.
    root : (p, p)
    """

    blocks: Mapping[str, Array]
    sizes: Mapping[str, Array]
    root: Array

    def of_part(self, columns: Array, root: Array) -> EstimableFunctions:
        """Return those of a part of the data where ``columns`` (r, p) times our coefficients are its r coefficients."""
        through = root @ columns @ np.linalg.inv(self.root)
        blocks = {term: through @ block for term, block in self.blocks.items()}
        return EstimableFunctions(blocks, self.sizes, root)

    def type_three(self, own: str, containing: Sequence[str], others: Sequence[str]) -> Array:
        """Return the hypothesis (r, p) of type III of a term, on the estimated coefficients.

        Notes
        -----
        Of the functions that have no coefficients in the ``others``, which do not contain the term, these are the ones
        that are orthogonal to all that have no coefficients in the term itself (Goodnight 1978, SAS Technical Report
        R-101; SAS/STAT User's Guide, "The Four Types of Estimable Functions"). Their rows are such that each has one
        parameter of the term to itself, as in lmerTest; pooled degrees of freedom depend on that.
        """
        relevant, _ = self._columns([own, *containing])
        combinations = _orthogonal_to(*self._columns(others))
        functions = combinations @ relevant
        n_own = self.sizes[own].size
        above = _orthogonal_to(functions[:, :n_own], self.sizes[own]) @ functions
        shared = functions @ above.T
        new = _orthogonal_to(shared, np.linalg.norm(shared, axis=0)) @ combinations
        return np.asarray(_in_echelon(new, new @ self.blocks[own]) @ self.root)

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


def _in_echelon(rows: Array, coefficients: Array) -> Array:
    """Return combinations of ``rows`` (r, p) that make an identity of the last independent ``coefficients`` (r, q)."""
    size = np.linalg.norm(coefficients)
    chosen: list[int] = []
    rest = coefficients.copy()
    for j in reversed(range(coefficients.shape[1])):
        length = np.linalg.norm(rest[:, j])
        if length > ZERO * size and len(chosen) < len(rows):
            chosen.insert(0, j)
            direction = rest[:, j] / length
            rest -= np.outer(direction, direction @ rest)
    return np.asarray(np.linalg.solve(coefficients[:, chosen], rows))


# --------------------------------------------------------------------------- from a design
def estimable_functions(design: Design, frame: Frame) -> EstimableFunctions:
    """Return the estimable functions of a design's fixed part; ``frame`` holds the data that it was made of.

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
    if isinstance(encoder, FormulaicEncoder):
        learnt = (encoder.transforms, encoder.levels)
        evaluate = Evaluator(Rows(frame, design.keep), encoder.functions, encoder.settings.codings, learnt)
        values = {text: evaluate(text) for text in encoder.expressions}
        for term in design.formula.fixed_terms:
            cells, products = _parameters([values[text] for text in term if text in values], len(X))
            scores = _scores(Q, cells, products)
            blocks[term_label(term)] = blocks[term_label(term)] if scores is None else scores
    sizes = {term: np.linalg.norm(block, axis=0) for term, block in blocks.items()}
    return EstimableFunctions(blocks, sizes, root)


def _with_constant(fixed: FixedEffects) -> tuple[Array, int]:
    """Return the estimated columns, behind a constant where thresholds stand for the intercept; and their first."""
    hidden = "Intercept" in fixed.full_terms and not fixed.alias[:, fixed.full_terms["Intercept"]].any()
    return (np.column_stack([np.ones(len(fixed.matrix)), fixed.matrix]), 1) if hidden else (fixed.matrix, 0)


def _parameters(values: Sequence[Value], n: int) -> tuple[IntArray, Array]:
    """Return the cell (n,) of each row, and the products (n, k) of the numeric columns of a term."""
    factors = [value.labels for value in values if isinstance(value, Factor)]
    numeric = [value.matrix if isinstance(value, Basis) else value for value in values if not isinstance(value, Factor)]
    products = np.ones((n, 1))
    for value in numeric:
        columns = np.asarray(value, dtype=float).reshape(n, -1)
        products = (products[:, :, None] * columns[:, None, :]).reshape(n, -1)
    cells = combine(factors, [""] * len(factors)).codes if factors else np.zeros(n, dtype=np.intp)
    return cells, products


def _scores(Q: Array, cells: IntArray, products: Array) -> Array | None:
    """Return ``Q' W`` (p, q), ``W`` the products in each cell; None if ``W`` is not in the span of ``Q``."""
    size = int(cells.max(initial=-1)) + 1
    indicators = sp.csr_array((np.ones(len(cells)), (cells, np.arange(len(cells)))), shape=(size, len(cells)))
    scores = np.hstack([(indicators @ (Q * column[:, None])).T for column in products.T])
    squares = np.asarray(indicators @ products**2).T.ravel()
    inside = np.einsum("pq,pq->q", scores, scores)
    return scores if np.all(squares - inside <= ZERO * squares) else None
