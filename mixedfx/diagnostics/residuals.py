"""Leverages, and residuals that follow a known distribution if the model holds: standardized, least confounded.

Residuals about an estimate are too small, and not of the right shape where groups are small, because the estimate has
followed the data. About a draw of the coefficients (whose prior is flat) and of the random effects, given the data, the
responses are what the model says that they are about the true ones: independent, and of the family. The draw is the
conditional mean plus the error of the fit to data of its own, which has the same distribution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._typing import Array
from mixedfx.diagnostics.checks import independent_results, mixed_results
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.results.base import MixedResults
from mixedfx.results.simulate import conditional_columns, generator, random_parts, simulated_rows

__all__ = [
    "anderson_darling",
    "drawn_predictor",
    "independent_residuals",
    "least_confounded_residuals",
    "leverage",
    "standardized_residuals",
]

LEAST_SHARE = 1e-8  # of the error that is left in a residual: below, the fit goes through the row
FEWEST_VALUES = 8  # the approximation of the p-value is for so many or more
MOST_ROWS = 4000  # the eigenvectors of an n x n matrix are needed


def leverage(fit: Any) -> pd.DataFrame:
    """Return the leverage of every row: the diagonal of the matrix that makes fitted values of responses.

    Parameters
    ----------
    fit : MixedResults
        A generalised model is measured by its working linear model at the fit: the matrix makes the linear predictor
        of the working responses, with the expected information of the rows for weights.

    Returns
    -------
    DataFrame
        ``fixed``: through the fixed effects, ``random``: through the random effects, ``total``: their sum, which adds
        up to the effective number of parameters of the fit.

    Notes
    -----
    Where residuals are correlated the matrix is not symmetric, and a row with strongly correlated neighbours can have a
    leverage outside of 0 to 1.

    References
    ----------
    Demidenko & Stukel (2005), Stat. Med. 24, 893; Nobre & Singer (2011), J. Appl. Stat. 38, 1063; Pregibon (1981), Ann.
    Stat. 9, 705, for working weights.

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
    results = mixed_results(fit, "leverage")
    fixed, random = results.solution.leverages()
    return pd.DataFrame({"fixed": fixed, "random": random, "total": fixed + random}, index=results.design.index)


def drawn_predictor(fit: MixedResults, rng: np.random.Generator) -> Array:
    """Return one draw of the linear predictor (n,) of the mean, given the data and the variances.

    Raises
    ------
    DataError
        If the fit is so near singular that no draw can be computed.

    References
    ----------
    Papandreou & Yuille (2010), Adv. Neural Inf. Process. Syst. 23: draws by perturbation.
    """
    solution, chosen = fit.solution, conditional_columns(fit.design, "new")
    rows = simulated_rows(fit.design, solution.beta, None, chosen)
    effects = random_parts(rows, solution.drawn_effects, solution.modes, 1, rng, chosen)[:, 0]
    try:
        drawn = solution.drawn_predictor(effects, rng)
    except (ArithmeticError, np.linalg.LinAlgError) as reason:
        raise _near_singular(str(reason)) from None
    if not np.isfinite(drawn).all():
        raise _near_singular("a draw is not finite")
    return drawn


def _near_singular(reason: str) -> DataError:
    return DataError(
        f"the fit is too near singular to draw the random effects given the data ({reason}): take random='new', or a "
        "smaller model"
    )


def independent_residuals(fit: MixedResults, seed: Any) -> tuple[Array, Array]:
    """Return a draw of the linear predictor (n,) given the data, and the residuals (n,) about it.

    The residuals are standard normal, independent of each other and of the draw if the model holds: whitened ones of a
    linear model, randomised quantile residuals of a generalised one.
    """
    rng, response = generator(seed), fit.solution.response
    eta = drawn_predictor(fit, rng)
    kind = "normalized" if response.has_normal_residuals else "quantile"
    return eta, response.residuals(kind, response.predictors(eta, response.matrices), rng)


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
    results = mixed_results(fit, "standardized_residuals")
    solution = results.solution
    if not solution.response.has_normal_residuals:
        return independent_residuals(results, seed)[1]
    values = results.residuals("normalized").to_numpy()
    share = 1.0 - leverage(results)["total"].to_numpy()
    if solution.residual is not None:
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
    return statistic, _anderson_darling_tail(statistic)


def _anderson_darling_tail(a: float) -> float:
    """Table 4.9; beyond its range the p-value is below 1e-20."""
    if a >= 0.6:
        return float(np.exp(1.2937 - 5.709 * a + 0.0186 * a**2)) if a < 10.0 else 0.0
    if a >= 0.34:
        return float(np.exp(0.9177 - 4.279 * a - 1.38 * a**2))
    if a >= 0.2:
        return 1.0 - float(np.exp(-8.318 + 42.796 * a - 59.938 * a**2))
    return 1.0 - float(np.exp(-13.436 + 101.14 * a - 223.73 * a**2))


def least_confounded_residuals(fit: Any) -> pd.Series[float]:
    """Return least-confounded residuals: n - p uncorrelated residuals with variance 1 if the model holds.

    Conditional residuals are mixtures of errors and random effects, so that normal random effects can hide errors that
    are not normal. These are the linear combinations with the smallest share of random effects, the purest first.

    Parameters
    ----------
    fit : LinearMixedResults

    Returns
    -------
    Series (n - p,)
        Indexed by the share of the errors in each, from 1 downwards.

    Raises
    ------
    SpecificationError
        If there are more than 4000 rows.

    Notes
    -----
    With ``P = V^-1 - V^-1 X (X' V^-1 X)^-1 X' V^-1 = U diag(l) U'`` relative to sigma squared, they are
    ``sqrt(l) U' y / sigma``. Where several shares are equal (those of 1 mostly are: contrasts within groups) their
    residuals are one rotation of many: sums of squares over equal shares are determined, single values are not, and
    another unit of the response or another computer can give others.

    References
    ----------
    Hilden-Minton (1995), thesis, UCLA; Nobre & Singer (2007), Biom. J. 49, 863.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> residuals = mfx.least_confounded_residuals(fit)
    >>> len(residuals), round(float((residuals**2).mean()), 3)
    (178, 1.0)
    """
    results = independent_results(fit, "least_confounded_residuals")
    if results.nobs > MOST_ROWS:
        raise SpecificationError(f"least-confounded residuals take at most {MOST_ROWS} rows, found {results.nobs}")
    design, theta = results.design, results.theta.to_numpy()
    root = np.ones(results.nobs) if design.weights is None else np.sqrt(design.weights)
    columns = root[:, None] * results.solution.problem.assembly.rows.columns[:, :-1]
    beside = np.linalg.qr(columns, mode="complete")[0][:, columns.shape[1] :]
    half = root[:, None] * (results.model.exog_re @ results.model.Lambda(theta)).toarray()
    axes, sizes, _ = np.linalg.svd(beside.T @ half)  # no inverse: variances may be huge beside the residual's
    spread = np.ones(len(axes))
    spread[: sizes.size] += sizes**2
    vectors, shares = (beside @ axes)[:, ::-1], 1.0 / spread[::-1]
    values = np.sqrt(shares) * (vectors.T @ (root * results.residuals("marginal"))) / results.sigma
    return pd.Series(values, index=pd.Index(shares, name="share"), name="residual")
