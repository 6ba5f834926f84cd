"""Random effects as labelled tables, and their joint covariance with the fixed effects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import factors_of
from mixedfx.matrices import Design, RandomEffects

__all__ = ["cholesky_factor", "coefficients_by_level", "covariance_frame", "effect_frames", "joint_frame", "spelled_as"]

MOST_EFFECTS = 4000  # random effects whose joint covariance is made


def effect_frames(terms: Sequence[RandomEffects], values: Sequence[Array]) -> dict[str, pd.DataFrame]:
    """Return group to DataFrame (levels x columns) from the values (q, m) of every term, those of a group together."""
    out: dict[str, pd.DataFrame] = {}
    for term, value in zip(terms, values, strict=True):
        frame = pd.DataFrame(value.T.copy(), index=term.levels, columns=list(term.names))
        out[term.group] = pd.concat([out[term.group], frame], axis=1) if term.group in out else frame
    return out


def covariance_frame(blocks: Array, levels: pd.Index[Any], names: Sequence[str]) -> pd.DataFrame:
    """Return covariances (m, q, q) of the effects of every level, below each other: rows are (level, effect)."""
    keys = [(*(level if isinstance(level, tuple) else (level,)), name) for level in levels for name in names]
    index = pd.MultiIndex.from_tuples(keys, names=[*levels.names, "effect"])
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
        labels += [(term.group, level, name) for level in term.levels for name in term.names]
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
