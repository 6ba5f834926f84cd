"""Leverages of a linear mixed model: how much every row pulls its own fitted value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.diagnostics.checks import linear_results
from mixedfx.linalg.rowwise import RowMap

__all__ = ["leverage"]


def leverage(fit: Any) -> pd.DataFrame:
    """Return the leverage of every row: the diagonal of the matrix that makes fitted values of responses.

    Parameters
    ----------
    fit : LinearMixedResults

    Returns
    -------
    DataFrame
        ``fixed``: through the fixed effects, ``random``: through the random effects, ``total``: their sum, which adds
        up to the effective number of parameters of the fit.

    References
    ----------
    Demidenko & Stukel (2005), Stat. Med. 24, 893; Nobre & Singer (2011), J. Appl. Stat. 38, 1063.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.leverage(fit).sum().round(2)
    fixed      2.00
    random    27.02
    total     29.02
    dtype: float64
    """
    results = linear_results(fit, "leverage")
    at, rows = results.fit.at, results.fit.problem.assembly.rows
    weights = np.ones(results.nobs) if results.design.weights is None else results.design.weights
    X = rows.columns[:, :-1]
    predicted = _predicted_columns(RowMap(rows), at.column_effects, X.shape[1])
    pulled = (X - predicted) @ at.unscaled_cov
    fixed = weights * np.einsum("ip,ip->i", X, pulled)
    random = weights * (RowMap(rows).leverages(at.factor.inverse) - np.einsum("ip,ip->i", predicted, pulled))
    return pd.DataFrame({"fixed": fixed, "random": random, "total": fixed + random}, index=results.design.index)


def _predicted_columns(rows: RowMap, effects: tuple[Array, ...], count: int) -> Array:
    """``Z Sigma Z' V^-1 X`` (n, p): what the random effects take of every column."""
    out = np.zeros((rows.rows.columns.shape[0], count))
    for j in range(count):
        out[:, j] = rows.spread(np.concatenate([np.zeros(0), *(part[:, :, j].ravel() for part in effects)]))
    return out
