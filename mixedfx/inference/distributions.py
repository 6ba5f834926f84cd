"""Tails and quantiles with infinite degrees of freedom as their limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from mixedfx._typing import Array

__all__ = ["chi2_tail", "f_tail", "quantile", "two_sided"]


def two_sided(statistic: Array, df: Array) -> Array:
    """Two-sided p-values of t statistics; of z statistics where ``df`` is infinite."""
    absolute = np.abs(statistic)
    finite = np.isfinite(df)
    t = 2.0 * special.stdtr(np.where(finite, df, 1.0), -absolute)
    return np.where(np.isnan(df), np.nan, np.where(finite, t, 2.0 * special.ndtr(-absolute)))


def quantile(probability: float, df: Array) -> Array:
    """Quantiles of Student's t; of the normal distribution where ``df`` is infinite."""
    finite = np.isfinite(df)
    t = special.stdtrit(np.where(finite, df, 1.0), probability)
    return np.where(np.isnan(df), np.nan, np.where(finite, t, special.ndtri(probability)))


def f_tail(f: ArrayLike, df_num: ArrayLike, df_denom: ArrayLike) -> Array:
    """Upper tail of F; of chi-squared over its df where ``df_denom`` is infinite; nan where it is not positive."""
    f, df_num, df_denom = (np.asarray(x, dtype=float) for x in (f, df_num, df_denom))
    limit = np.isinf(df_denom) & (df_denom > 0)
    usual = np.isfinite(df_denom) & (df_denom > 0)
    positive = np.maximum(f, 0.0)
    tail = special.fdtrc(df_num, np.where(usual, df_denom, 1.0), positive)
    return np.where(usual, tail, np.where(limit, special.chdtrc(df_num, df_num * positive), np.nan))


def chi2_tail(x: float, df: float) -> float:
    """Upper tail of chi-squared."""
    return float(special.chdtrc(df, max(x, 0.0)))
