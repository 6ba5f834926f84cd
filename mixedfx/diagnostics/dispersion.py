"""Overdispersion of counts and proportions, from Pearson residuals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx.diagnostics.checks import generalized_results
from mixedfx.exceptions import SpecificationError

__all__ = ["overdispersion"]


def overdispersion(fit: Any) -> pd.Series[float]:
    """Compare the sum of squared Pearson residuals with its degrees of freedom: a quick look at overdispersion.

    Parameters
    ----------
    fit : GeneralizedLinearMixedResults

    Returns
    -------
    Series
        ``chi2, df, ratio, pvalue``: a ratio above 1 says that the data vary more than the family allows. The random
        effects count one degree of freedom a parameter, which makes the test careful; the test of
        ``quantile_residuals(fit).dispersion()`` is exact.

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
    family, trials = results.fit.problem.family, results.design.response.trials
    if "dispersion" in family.phi_names:
        raise SpecificationError(f"the family {family.name!r} estimates its own dispersion: there is nothing to test")
    if family.proportions and (trials is None or np.all(trials == 1)):
        raise SpecificationError("a response of zeros and ones cannot be overdispersed: there is nothing to test")
    residuals = results.residuals("pearson").to_numpy()
    used = np.isfinite(residuals)
    chi2, df = float(np.sum(residuals[used] ** 2)), int(used.sum()) - results.n_parameters
    if df <= 0:
        raise SpecificationError(f"{int(used.sum())} rows and {results.n_parameters} parameters leave nothing to test")
    return pd.Series(
        {"chi2": chi2, "df": float(df), "ratio": chi2 / df, "pvalue": float(special.chdtrc(df, chi2))},
        name="overdispersion",
    )
