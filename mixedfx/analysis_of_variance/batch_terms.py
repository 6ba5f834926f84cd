"""The batches of a fitted model: which coefficients belong to them, and which directions belong to other batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from scipy import linalg

from mixedfx._typing import Array
from mixedfx.analysis_of_variance.batch_kinds import FixedBatch, RandomBatch, orthonormal_constraints
from mixedfx.analysis_of_variance.coding import terms_of_design
from mixedfx.analysis_of_variance.groupings import Grouping, grouping_of
from mixedfx.analysis_of_variance.observations import row_grouping
from mixedfx.analysis_of_variance.projections import RANK_TOLERANCE
from mixedfx.analysis_of_variance.terms import CodedTerm, type_three_rows
from mixedfx.analysis_of_variance.variance_terms import factor_columns
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.hypothesis import independent_rows
from mixedfx.matrices import Frame, nested_in
from mixedfx.matrices.rows import Rows
from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["batch_label", "fixed_batches", "frame_of", "random_batches"]


def batch_label(group: str, effect: str) -> str:
    """Return the name of a batch: ``Subject``, ``Subject: Days``."""
    return group if effect in ("", "Intercept") else f"{group}: {effect}"


# --------------------------------------------------------------------------- random terms
def frame_of(fit: MixedResults) -> Frame:
    """Return the data of a fit."""
    if fit.model.inputs is None:
        raise SpecificationError("a refit to another response has no data of its own: fit the model to a data frame")
    frame: Frame = fit.model.inputs.frame
    return frame


def random_batches(fit: LinearMixedResults) -> list[RandomBatch]:
    """Return the batches of the random terms, one a column."""
    design, X = fit.design, fit.design.fixed.matrix
    out, start = [], 0
    for k, term in enumerate(design.random):
        m, q = term.n_levels, term.n_columns
        for j, name in enumerate(term.names):
            columns = [np.ones(m)] if _is_in_span(X, term.matrix[:, j]) else []
            if name == "Intercept":
                columns += [_by_level(outer, term.codes, m) for outer in _coarser(fit, k)]
            places = start + q * np.arange(m) + j
            out.append(RandomBatch(batch_label(term.group, name), places, orthonormal_constraints(columns, m)))
        start += m * q
    return out


def _is_in_span(X: Array, column: Array) -> bool:
    if X.shape[1] == 0:
        return False
    found, *_ = np.linalg.lstsq(X, column, rcond=None)
    return bool(np.linalg.norm(column - X @ found) <= RANK_TOLERANCE * np.linalg.norm(column))


def _coarser(fit: LinearMixedResults, k: int) -> list[Grouping]:
    """The partitions by other terms whose levels are unions of levels of term k."""
    design = fit.design
    own = grouping_of(design.random[k].codes)
    others = [term.codes for i, term in enumerate(design.random) if i != k and "Intercept" in term.names]
    rows = Rows(frame_of(fit), design.keep)
    for expressions in design.formula.fixed_terms:
        names = factor_columns(expressions, design) if expressions else None
        if names is not None:
            others.append(row_grouping(rows, names).codes)
    found = [grouping_of(codes) for codes in others]
    return [g for g in found if g.size < own.size and nested_in(own.codes, g.codes)]


def _by_level(outer: Grouping, codes: Any, m: int) -> Array:
    """Indicators (m, size) of the coarser levels to which the m levels belong."""
    home = np.zeros(m, dtype=np.intp)
    home[codes] = outer.codes
    return np.asarray(np.eye(outer.size)[home])


# --------------------------------------------------------------------------- fixed terms
def fixed_batches(fit: LinearMixedResults) -> list[FixedBatch]:
    """Return the batches of the fixed terms: effects of factors on their cells, else contributions over the rows."""
    terms = terms_of_design(fit.design, frame_of(fit))
    out = []
    for position, term in enumerate(terms):
        kept = np.flatnonzero(np.isin(fit.design.fixed.kept, term.columns))
        if not term.expressions or kept.size == 0:
            continue
        L = np.eye(len(fit.params))[kept]
        size, directions = len(kept), _over_rows(fit, kept)
        if not term.covariates and not fit.design.fixed.dropped:
            L = _effects(position, terms, len(fit.params))
            size, directions = len(L), L / np.sqrt(len(kept))
        test = fit.f_test(L[independent_rows(L)])
        out.append(FixedBatch(term.label, size, directions, int(test.df_num), float(test.fvalue), float(test.df_denom)))
    return out


def _over_rows(fit: LinearMixedResults, kept: Any) -> Array:
    """Directions whose squares sum to the variance over the rows of what some columns contribute."""
    X = fit.design.fixed.matrix[:, kept]
    upper = linalg.qr(X - X.mean(axis=0), mode="r")[0][: len(kept)]
    out = np.zeros((len(upper), len(fit.params)))
    out[:, kept] = upper / np.sqrt(max(len(X) - 1, 1))
    return out


def _effects(position: int, terms: Sequence[CodedTerm], n_columns: int) -> Array:
    """The effects of a factor term on all cells of its factors: (cells, p)."""
    rows = type_three_rows(position, terms, n_columns)
    levels = terms[position].cells.shape[: len(terms[position].factors)]
    whole = reduce(np.kron, [np.vstack([np.eye(n - 1), -np.ones(n - 1)]) for n in levels])
    return np.asarray(whole @ rows) if whole.shape[1] == len(rows) else rows
