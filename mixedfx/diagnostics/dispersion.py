"""Overdispersion of counts and proportions, from Pearson residuals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx.diagnostics.checks import generalized_results
from mixedfx.exceptions import SpecificationError
from mixedfx.results.base import MixedResults
from mixedfx.results.generalized import GeneralizedLinearMixedResults

__all__ = ["overdispersion", "untestable"]


def overdispersion(fit: Any) -> pd.Series[float]:
    """Compare the sum of squared Pearson residuals with its degrees of freedom: a quick look at overdispersion.

    Parameters
    ----------
    fit : GeneralizedLinearMixedResults

    Returns
    -------
    Series
        ``chi2, df, ratio, pvalue``: a ratio above 1 says that the data vary more than the family allows. The random
        effects count one degree of freedom a parameter, which makes the test careful:
        ``quantile_residuals(fit, random="posterior").dispersion()`` counts what they take. A row that counts as w rows
        (weights of counts) counts so here.

    Raises
    ------
    SpecificationError
        If the family estimates a dispersion of its own, or the responses are 0 and 1: single trials cannot be
        overdispersed.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
    >>> mfx.overdispersion(fit)["ratio"].round(2)
    np.float64(1.24)
    """
    results = generalized_results(fit, "overdispersion")
    reason = untestable(results)
    if reason is not None:
        raise SpecificationError(reason)
    residuals, counted = results.residuals("pearson").to_numpy(), results.fit.problem.observed.multiplier
    used = np.isfinite(residuals)
    rows = float(used.sum()) if counted is None else float(counted[used].sum())
    chi2, df = float(np.sum(residuals[used] ** 2)), rows - results.n_parameters
    if df <= 0:
        raise SpecificationError(f"{rows:g} rows and {results.n_parameters} parameters leave nothing to test")
    return pd.Series(
        {"chi2": chi2, "df": df, "ratio": chi2 / df, "pvalue": float(special.chdtrc(df, chi2))},
        name="overdispersion",
    )


def untestable(fit: MixedResults) -> str | None:
    """Return why the dispersion of a fit cannot be tested; None if it can."""
    if not isinstance(fit, GeneralizedLinearMixedResults):
        return "the residual variance of a linear model is estimated: there is nothing to test"
    family, trials = fit.fit.problem.family, fit.design.response.trials
    if "dispersion" in (*family.phi_names, *family.predictors):
        return f"the family {family.name!r} estimates its own dispersion: there is nothing to test"
    if family.has_categories:
        return "ordered categories cannot be overdispersed: there is nothing to test"
    if family.proportions and (trials is None or np.all(trials == 1)):
        return "a response of zeros and ones cannot be overdispersed: there is nothing to test"
    return None
