"""One row a parameter, one row a model: the shapes of R's broom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx.results.base import MixedResults

__all__ = ["glance", "tidy"]


def _checked(fit: Any) -> MixedResults:
    if not isinstance(fit, MixedResults):
        raise TypeError(f"a fitted mixed model is needed, found {type(fit).__name__}")
    return fit


def tidy(fit: Any, *, alpha: float = 0.05) -> pd.DataFrame:
    """Return the parameters of a fit, one row each.

    Parameters
    ----------
    fit : fitted mixed model
    alpha : float
        One minus the level of the confidence limits of the fixed effects.

    Returns
    -------
    DataFrame
        ``effect`` ("fixed" or "random"), ``group``, ``term``, ``estimate`` (for random effects standard deviations and
        correlations), ``std_error, statistic, df, p_value, conf_low, conf_high``.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.tidy(fit)[["effect", "group", "term", "estimate"]].round(2)
       effect     group                  term  estimate
    0   fixed                       Intercept    251.41
    1   fixed                            Days     10.47
    2  random   Subject         sd__Intercept     24.74
    3  random   Subject              sd__Days      5.92
    4  random   Subject  cor__Intercept__Days      0.07
    5  random  Residual       sd__Observation     25.59
    """
    results = _checked(fit)
    limits = results.conf_int(alpha=checked_alpha(alpha))
    fixed = pd.DataFrame(
        {
            "effect": "fixed",
            "group": "",
            "term": list(results.params.index),
            "estimate": np.asarray(results.params, dtype=float),
            "std_error": np.asarray(results.bse, dtype=float),
            "statistic": np.asarray(results.tvalues, dtype=float),
            "df": np.asarray(results.df, dtype=float),
            "p_value": np.asarray(results.pvalues, dtype=float),
            "conf_low": np.asarray(limits["lower"], dtype=float),
            "conf_high": np.asarray(limits["upper"], dtype=float),
        }
    )
    random = pd.DataFrame(_random_rows(results), columns=["effect", "group", "term", "estimate"])
    return pd.concat([fixed, random], ignore_index=True)


def _random_rows(results: MixedResults) -> list[tuple[str, str, str, float]]:
    rows = []
    for term in results.varcorr.terms:
        rows += [("random", term.group, f"sd__{name}", float(sd)) for name, sd in zip(term.names, term.sd, strict=True)]
        if term.correlated:
            rows += [
                ("random", term.group, f"cor__{term.names[j]}__{term.names[i]}", float(term.correlation[i, j]))
                for j in range(len(term.names))
                for i in range(j + 1, len(term.names))
            ]
    residual = results.varcorr.residual
    if residual is not None:
        rows.append(("random", "Residual", "sd__Observation", float(np.sqrt(residual))))
    return rows


def glance(fit: Any) -> pd.DataFrame:
    """Return a fit in one row: ``nobs, sigma, llf, aic, bic, deviance, df_resid, converged, singular``.

    Parameters
    ----------
    fit : fitted mixed model

    Returns
    -------
    DataFrame
        One row.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.glance(fit)[["nobs", "llf", "df_resid", "converged"]].round(2)
       nobs     llf  df_resid  converged
    0   180 -871.81       174       True
    """
    results = _checked(fit)
    residual = results.varcorr.residual
    row = {
        "nobs": results.nobs,
        "sigma": np.nan if residual is None else float(np.sqrt(residual)),
        "llf": results.llf,
        "aic": results.aic,
        "bic": results.bic,
        "deviance": results.deviance,
        "df_resid": results.df_resid,
        "converged": results.converged,
        "singular": results.is_singular,
    }
    return pd.DataFrame([row])
