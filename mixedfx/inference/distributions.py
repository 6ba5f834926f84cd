"""Tails and quantiles with infinite degrees of freedom as their limits."""

from __future__ import annotations

import numpy as np
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


def f_tail(f: float, df_num: float, df_denom: float) -> float:
    """Upper tail of F; of chi-squared over its df where ``df_denom`` is infinite; nan where it is not positive."""
    if np.isinf(df_denom):
        return float(special.chdtrc(df_num, df_num * f))
    return float(special.fdtrc(df_num, df_denom, max(f, 0.0))) if df_denom > 0 else np.nan


def chi2_tail(x: float, df: float) -> float:
    """Upper tail of chi-squared."""
    return float(special.chdtrc(df, max(x, 0.0)))
