"""Random effects as labelled tables, and their joint covariance with the fixed effects."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Fit
from mixedfx.formula import factors_of
from mixedfx.matrices import Design, RandomEffects
from mixedfx.matrices.basis import TermBasis
from mixedfx.matrices.new_rows import PredictedRows

__all__ = [
    "cholesky_factor",
    "coefficients_by_level",
    "covariance_frame",
    "covariances_by_level",
    "effect_frames",
    "joint_frame",
    "spelled_as",
    "table_of_levels",
]

MOST_EFFECTS = 4000  # random effects whose joint covariance is made


def effect_frames(terms: Sequence[RandomEffects], values: Sequence[Array]) -> dict[str, pd.DataFrame]:
    """Return group to DataFrame (levels x columns) from the values (q, m) of every term, those of a group together.

    Smooths are no groups and have none.
    """
    out: dict[str, pd.DataFrame] = {}
    for term, value in zip(terms, values, strict=True):
        if term.is_smooth:
            continue
        frame = pd.DataFrame(term.by_level(value).T.copy(), index=term.shown_levels, columns=list(term.shown_names))
        out[term.group] = pd.concat([out[term.group], frame], axis=1) if term.group in out else frame
    return out


def table_of_levels(fit: Fit, group: Any, levels: Any) -> pd.DataFrame:
    """Return ``mode, sd, sd_error`` of the effects of some levels of a grouping factor; of all for None."""
    groups = [(k, term) for k, term in enumerate(fit.design.random) if not term.is_smooth]
    terms = [(k, term) for k, term in groups if term.group == group]
    if not terms:
        known = ", ".join(dict.fromkeys(repr(term.group) for _, term in groups)) or "none"
        raise SpecificationError(f"there is no grouping factor {group!r}; choose from {known}")
    places = _places(terms[0][1], levels)
    parts = []
    for k, term in terms:
        errors = fit.predictor_errors(_unit_rows(fit.design, k, places))
        sd = np.sqrt(np.maximum(errors.conditional, 0.0))
        mode = term.by_level(fit.modes[k])[:, places].T.ravel()
        index = covariance_index(term.shown_levels[places], term.shown_names)
        parts.append(pd.DataFrame({"mode": mode, "sd": sd, "sd_error": errors.error * sd}, index=index))
    return pd.concat(parts)


def _places(term: RandomEffects, levels: Any) -> IntArray:
    if levels is None:
        return np.arange(len(term.shown_levels))
    wanted = [levels] if isinstance(levels, str | tuple) or np.isscalar(levels) else list(levels)
    known = {level: place for place, level in enumerate(term.shown_levels)}
    unknown = [level for level in wanted if not isinstance(level, Hashable) or level not in known]
    if unknown:
        raise SpecificationError(f"{term.group} has no level {unknown[0]!r}")
    return np.array([known[level] for level in wanted], dtype=np.intp)


def _unit_rows(design: Design, k: int, places: IntArray) -> PredictedRows:
    """Rows that have one effect of term k and nothing else: effect by effect within a level."""
    pooled = design.random[k].pooled is not None
    q = 1 if pooled else design.random[k].n_columns
    n = places.size * q
    codes = [
        np.repeat(places, q) if j == k and not pooled else np.zeros(n, dtype=np.intp) for j in range(len(design.random))
    ]
    z = [np.zeros((n, term.n_columns)) for term in design.random]
    z[k] = np.eye(design.random[k].n_columns)[places] if pooled else np.tile(np.eye(q), (places.size, 1))
    chosen = [np.full(term.n_columns, j == k) for j, term in enumerate(design.random)]
    return PredictedRows(np.zeros((n, len(design.fixed.names))), codes, z, chosen)


def covariances_by_level(fit: Fit) -> dict[str, pd.DataFrame]:
    """Return group to covariances of the effects of every level given the data and the parameters."""
    problem, terms = fit.problem, fit.design.random
    parts: dict[str, list[tuple[int, TermBasis, slice, RandomEffects]]] = {}
    for term, basis, (factor, own) in zip(terms, problem.terms, problem.assembly.places, strict=True):
        if not term.is_smooth:
            parts.setdefault(term.group, []).append((factor, basis, own, term))
    out = {}
    for group, own in parts.items():
        blocks = fit.factor_covariance(own[0][0])
        to_user = np.vstack([_placed(basis.matrix, columns, len(blocks)) for _, basis, columns, _ in own])
        first, effects = own[0][3], [name for *_, term in own for name in term.shown_names]
        matrices = np.einsum("ia,abm,jb->mij", to_user, blocks, to_user, optimize=True)
        if first.pooled is not None:  # one level whose columns are the levels that users see, effect after effect
            m = len(first.shown_levels)
            matrices = np.einsum("ambm->mab", matrices.reshape(len(effects), m, len(effects), m))
        out[group] = covariance_frame(matrices, first.shown_levels, effects)
    return out


def _placed(matrix: Array, columns: slice, size: int) -> Array:
    """Return a matrix with ``matrix`` in some of ``size`` columns and zeros in the others."""
    whole = np.zeros((len(matrix), size))
    whole[:, columns] = matrix
    return whole


def covariance_index(levels: pd.Index[Any], names: Sequence[str]) -> pd.MultiIndex:
    """Return the labels (level, effect) of the effects of every level."""
    keys = [(*(level if isinstance(level, tuple) else (level,)), name) for level in levels for name in names]
    return pd.MultiIndex.from_tuples(keys, names=[*levels.names, "effect"])


def covariance_frame(blocks: Array, levels: pd.Index[Any], names: Sequence[str]) -> pd.DataFrame:
    """Return covariances (m, q, q) of the effects of every level, below each other: rows are (level, effect)."""
    index = covariance_index(levels, names)
    return pd.DataFrame(blocks.reshape(-1, len(names)), index=index, columns=list(names))


def coefficients_by_level(params: pd.Series[float], effects: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return fixed plus random effects: group to DataFrame (levels x coefficients).

    A fixed effect without a random counterpart is the same for all levels; a random effect without a fixed counterpart
    varies around zero and comes last. An interaction is one column, ``a:b`` or ``b:a``, called as the fixed part does.
    """
    out = {}
    for group, frame in effects.items():
        columns = {str(name): np.full(len(frame), value) for name, value in params.items()}
        for name, own in zip(frame.columns, frame.to_numpy().T, strict=True):
            shown = spelled_as(name, columns)
            columns[shown] = columns.get(shown, 0.0) + own
        out[group] = pd.DataFrame(columns, index=frame.index)
    return out


def spelled_as(name: str, names: Iterable[str]) -> str:
    """Return what a coefficient is called among ``names``, an interaction in any order; its own name if it is not.

    Examples
    --------
    >>> spelled_as("a:f[T.x]", ["Intercept", "f[T.x]:a"]), spelled_as("a", ["Intercept"])
    ('f[T.x]:a', 'a')
    """
    factors = sorted(factors_of(name))
    return next((other for other in names if sorted(factors_of(other)) == factors), name)


def joint_frame(design: Design, matrix: Array) -> pd.DataFrame:
    """Return the joint covariance with labels: ``group, level, term``; fixed effects have the group ``""``."""
    labels: list[tuple[Any, Any, str]] = [("", "", name) for name in design.fixed.names]
    for term in design.random:
        labels += [(term.group, level, name) for level in term.shown_levels for name in term.shown_names]
    index = pd.MultiIndex.from_tuples(labels, names=["group", "level", "term"])
    return pd.DataFrame(matrix, index=index, columns=index)


def cholesky_factor(rows: Any) -> sp.csr_array:
    """Return the lower Cholesky factor (q, q) of ``M'M + I`` for rows ``M`` (n, q)."""
    q = rows.shape[1]
    if q > MOST_EFFECTS:
        raise SpecificationError(f"L has {q} columns, one for each random effect: at most {MOST_EFFECTS} are factored")
    columns = sp.csc_array(rows)
    product = sp.coo_array(columns.T @ columns).toarray() + np.eye(q)
    return sp.csr_array(np.linalg.cholesky(product))
