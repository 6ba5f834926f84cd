"""One row a parameter, one row a model: the shapes of R's broom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx.results.base import MixedResults

__all__ = ["glance", "tidy"]

COLUMNS = [
    *("effect", "component", "group", "term", "estimate", "std_error", "statistic", "df", "p_value"),
    *("conf_low", "conf_high"),
]


def _checked(fit: Any) -> MixedResults:
    if not isinstance(fit, MixedResults):
        raise TypeError(f"a fitted mixed model is needed, found {type(fit).__name__}")
    return fit


def tidy(fit: Any, *, alpha: float = 0.05, exponentiate: bool = False) -> pd.DataFrame:
    """Return the parameters of a fit, one row each.

    Parameters
    ----------
    fit : fitted mixed model
    alpha : float
        One minus the level of the confidence limits.
    exponentiate : bool
        Whether coefficients and their limits are exponentiated (odds ratios, rate ratios), and standard errors
        multiplied by the result; tests are those of the coefficients themselves.

    Returns
    -------
    DataFrame
        ``effect`` ("fixed" or "random"), ``component``, ``group``, ``term``, ``estimate`` (for random effects standard
        deviations and correlations), ``std_error, statistic, df, p_value, conf_low, conf_high``. The component is
        "conditional" for the model of the mean, and else "zero_inflation", "dispersion", "thresholds", another
        parameter of the family ("df", "power"; on its natural scale, named twice), or "residual" for the parameters of
        a residual structure.

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
    results, alpha = _checked(fit), checked_alpha(alpha)
    rows = [_fixed_rows(results, alpha), _further_rows(results, alpha)]
    rows.append(pd.DataFrame(_random_rows(results), columns=["effect", "group", "term", "estimate"]))
    rows[-1].insert(1, "component", "conditional")
    table = pd.concat([rows[0], *(own for own in rows[1:] if len(own))], ignore_index=True)[COLUMNS]
    return _exponentiated(table) if checked_flag("exponentiate", exponentiate) else table


def _fixed_rows(results: MixedResults, alpha: float) -> pd.DataFrame:
    limits = results.conf_int(alpha=alpha)
    return pd.DataFrame(
        {
            "effect": "fixed",
            "component": "conditional",
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


def _further_rows(results: MixedResults, alpha: float) -> pd.DataFrame:
    further = results._further_table(alpha)
    is_residual = further["component"] == "residual"
    tested = further["statistic"].notna()
    return further.assign(
        effect=np.where(is_residual, "random", "fixed"),
        group=np.where(is_residual, "Residual", ""),
        df=np.where(tested, np.inf, np.nan),
    )


def _exponentiated(table: pd.DataFrame) -> pd.DataFrame:
    """The table with coefficients as ratios; what is no coefficient of a linear predictor stays."""
    is_natural = (table["component"] == table["term"]) | (table["component"] == "thresholds")
    at = (table["effect"] == "fixed") & ~is_natural
    out = table.copy()
    with np.errstate(over="ignore"):  # a separated coefficient has an infinite ratio
        for name in ("estimate", "conf_low", "conf_high"):
            out.loc[at, name] = np.exp(table.loc[at, name])
        out.loc[at, "std_error"] = out.loc[at, "estimate"] * table.loc[at, "std_error"]
    return out


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
