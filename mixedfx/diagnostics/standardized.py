"""Residuals that are standard normal if the model holds, and a test whether they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from mixedfx._typing import Array
from mixedfx.diagnostics.checks import fitted_results
from mixedfx.diagnostics.leverage import leverage
from mixedfx.diagnostics.posterior import drawn_predictor
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.response import RESIDUALS
from mixedfx.results.simulate import generator

__all__ = ["anderson_darling", "standardized_residuals"]

LEAST_SHARE = 1e-8  # of the error that is left in a residual: below, the fit goes through the row
FEWEST_VALUES = 8  # the approximation of the p-value is for so many or more


def standardized_residuals(fit: Any, *, seed: Any = 0) -> Array:
    """Return residuals (n,) that are standard normal if the model holds; nan where the fit leaves none.

    Of a linear model, conditional residuals ``(I - H) e``: they have the covariance ``sigma^2 (I - H)`` (R = I) if the
    model holds, so each is divided by its ``sqrt(1 - h)``; those whitened by a residual structure by the root of the
    mean of ``1 - h``, which is the mean of their variances. Of a generalised model, randomised quantile residuals
    about a draw of the linear predictor given the data.

    Parameters
    ----------
    fit : MixedResults
    seed : int, SeedSequence or Generator, optional
        Of the draws of a generalised model.

    References
    ----------
    Cook & Weisberg (1982), Residuals and Influence in Regression, section 2.2; Dunn & Smyth (1996), J. Comput. Graph.
    Stat. 5, 236.
    """
    results = fitted_results(fit, "standardized_residuals")
    if isinstance(results, GeneralizedLinearMixedResults):
        rng, response = generator(seed), results._response
        predictors = response.predictors(drawn_predictor(results, rng), response.matrices)
        return RESIDUALS["quantile"](response, predictors, rng)
    values = results.residuals("normalized").to_numpy()
    share = 1.0 - leverage(results)["total"].to_numpy()
    if results.fit.problem.residual is not None:
        share = np.full(share.size, share.mean())
    out = np.full(values.size, np.nan)
    np.divide(values, np.sqrt(np.maximum(share, 0.0)), out=out, where=share > LEAST_SHARE)
    return out


def anderson_darling(values: Array) -> tuple[float, float]:
    """Test values (n,) against the normal distributions: the statistic and its p-value, mean and variance estimated.

    References
    ----------
    D'Agostino & Stephens (1986), Goodness-of-Fit Techniques, section 4.8.5 and table 4.9.
    """
    sample = np.sort(values[np.isfinite(values)])
    n = sample.size
    if n < FEWEST_VALUES or np.ptp(sample) == 0:
        return np.nan, np.nan
    z = (sample - sample.mean()) / sample.std(ddof=1)
    odd = 2.0 * np.arange(1, n + 1) - 1.0
    raw = -n - float(np.mean(odd * (special.log_ndtr(z) + special.log_ndtr(-z[::-1]))))
    statistic = raw * (1.0 + 0.75 / n + 2.25 / n**2)
    return statistic, _tail(statistic)


def _tail(a: float) -> float:
    """Table 4.9; beyond its range the p-value is below 1e-20."""
    if a >= 0.6:
        return float(np.exp(1.2937 - 5.709 * a + 0.0186 * a**2)) if a < 10.0 else 0.0
    if a >= 0.34:
        return float(np.exp(0.9177 - 4.279 * a - 1.38 * a**2))
    if a >= 0.2:
        return 1.0 - float(np.exp(-8.318 + 42.796 * a - 59.938 * a**2))
    return 1.0 - float(np.exp(-13.436 + 101.14 * a - 223.73 * a**2))
