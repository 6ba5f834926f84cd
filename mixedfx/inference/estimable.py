"""Estimable functions of the model with one parameter a cell, and the hypotheses of type III that are made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse as sp

from mixedfx._typing import Array, IntArray
from mixedfx.matrices import Design
from mixedfx.matrices.encoder import FormulaicEncoder, term_label
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.fixed import FixedEffects
from mixedfx.matrices.labels import combine
from mixedfx.matrices.rows import Rows
from mixedfx.matrices.values import Basis, Factor, Value

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
    firsts : dict of (q,)
        How many factors are at their first level in the cell of each column of ``W``.
    """

    blocks: Mapping[str, Array]
    sizes: Mapping[str, Array]
    root: Array
    firsts: Mapping[str, IntArray]

    def of_part(self, columns: Array, root: Array) -> EstimableFunctions:
        """Return those of a part of the data where ``columns`` (r, p) times our coefficients are its r coefficients."""
        through = root @ columns @ np.linalg.inv(self.root)
        blocks = {term: through @ block for term, block in self.blocks.items()}
        return EstimableFunctions(blocks, self.sizes, root, self.firsts)

    def type_three(self, own: str, containing: Sequence[str], others: Sequence[str]) -> Array:
        """Return the hypothesis (r, p) of type III of a term, on the estimated coefficients.

        Notes
        -----
        Of the functions that have no coefficients in the ``others``, which do not contain the term, these are the ones
        that are orthogonal to all that have no coefficients in the term itself (Goodnight 1978, SAS Technical Report
        R-101; SAS/STAT User's Guide, "The Four Types of Estimable Functions").
        """
        relevant, _ = self._columns([own, *containing])
        combinations = _orthogonal_to(*self._columns(others))
        functions = combinations @ relevant
        n_own = self.sizes[own].size
        above = _orthogonal_to(functions[:, :n_own], self.sizes[own]) @ functions
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
def estimable_functions(design: Design, rows: Rows) -> EstimableFunctions:
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
            cells, products, at_first = _parameters([values[text] for text in sorted(term) if text in values], len(X))
            scores = _scores(Q, cells, products, len(at_first))
            if scores is not None:
                blocks[label], firsts[label] = scores, np.tile(at_first, products.shape[1])
    sizes = {term: np.linalg.norm(block, axis=0) for term, block in blocks.items()}
    return EstimableFunctions(blocks, sizes, root, firsts)


def _with_constant(fixed: FixedEffects) -> tuple[Array, int]:
    """Return the estimated columns, behind a constant where thresholds stand for the intercept; and their first."""
    hidden = "Intercept" in fixed.full_terms and not fixed.alias[:, fixed.full_terms["Intercept"]].any()
    return (np.column_stack([np.ones(len(fixed.matrix)), fixed.matrix]), 1) if hidden else (fixed.matrix, 0)


def _parameters(values: Sequence[Value], n: int) -> tuple[IntArray, Array, IntArray]:
    """Return the cell (n,) of each row, the products (n, k) of the numeric columns, and ``firsts`` of each cell.

    Cells are numbered in the order of the labels, whatever that of the levels; the first factor varies fastest.
    """
    factors = [value.labels.ordered() for value in reversed(values) if isinstance(value, Factor)]
    numeric = [value.matrix if isinstance(value, Basis) else value for value in values if not isinstance(value, Factor)]
    products = np.ones((n, 1))
    for value in numeric:
        columns = np.asarray(value, dtype=float).reshape(n, -1)
        products = (products[:, :, None] * columns[:, None, :]).reshape(n, -1)
    if not factors:
        return np.zeros(n, dtype=np.intp), products, np.zeros(1, dtype=np.intp)
    cells = combine(factors, [""] * len(factors))
    positions: Any = cells.levels.codes  # type: ignore[attr-defined]
    return cells.codes, products, np.sum([np.asarray(own) == 0 for own in positions], axis=0, dtype=np.intp)


def _scores(Q: Array, cells: IntArray, products: Array, size: int) -> Array | None:
    """Return ``Q' W`` (p, q), ``W`` the products in each cell; None if ``W`` is not in the span of ``Q``."""
    indicators = sp.csr_array((np.ones(len(cells)), (cells, np.arange(len(cells)))), shape=(size, len(cells)))
    scores = np.hstack([(indicators @ (Q * column[:, None])).T for column in products.T])
    squares = np.asarray(indicators @ products**2).T.ravel()
    inside = np.einsum("pq,pq->q", scores, scores)
    return scores if np.all(squares - inside <= ZERO * squares) else None
