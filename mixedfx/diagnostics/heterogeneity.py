"""Heterogeneity of estimates whose variances are known: Cochran's Q and the share of variance between studies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.results.linear import LinearMixedResults

__all__ = ["heterogeneity"]


def heterogeneity(fit: Any) -> StatsTable:
    """Return Cochran's Q, its test, I squared, H squared and the variance between studies of a meta-analysis.

    Parameters
    ----------
    fit : LinearMixedResults
        A linear model with known sampling variances: ``residual=KnownVariance("vi")``, or weights with ``sigma=``.

    Returns
    -------
    StatsTable
        One row: ``Q`` (weighted residual sum of squares of the fixed effects alone), ``df``, ``pvalue``
        (chi-squared), ``I2`` (per cent), ``H2`` and ``tau2`` (variance of the random effects; their mean over the rows
        where there are several, or slopes).

    Raises
    ------
    SpecificationError
        If the variances are estimated, or the residuals are correlated.

    Notes
    -----
    With ``w = 1 / v`` and ``P = W - W X (X'W X)^-1 X'W`` the typical sampling variance is ``(n - p) / tr P``; I squared
    is the share of ``tau2`` in the sum of both, H squared the ratio of the sum to it. Q does not depend on how tau2 was
    estimated, the other two do.

    References
    ----------
    Cochran (1954), Biometrics 10, 101-129. Higgins & Thompson (2002), Stat. Med. 21, 1539-1558.

    Examples
    --------
    >>> import pandas as pd, mixedfx as mfx
    >>> trials = pd.DataFrame({"y": [-0.9, -1.6, -0.2, -0.8, 0.0], "vi": [0.3, 0.2, 0.05, 0.01, 0.004],
    ...                        "trial": list("abcde")})
    >>> fit = mfx.lmer("y ~ 1 + (1 | trial)", trials, residual=mfx.KnownVariance("vi"))
    >>> found = mfx.heterogeneity(fit).iloc[0]
    >>> int(found["df"]), bool(found["pvalue"] < 1e-6)
    (4, True)
    """
    if not isinstance(fit, LinearMixedResults):
        raise TypeError(f"heterogeneity takes a linear mixed model, found {type(fit).__name__}")
    used, variances = _known_variances(fit)
    design, offset = fit.design, fit.design.offset
    X = design.fixed.matrix[used]
    y = (design.response.values if offset is None else design.response.values - offset)[used]
    root = 1.0 / np.sqrt(variances)
    basis = np.linalg.qr(X * root[:, None])[0]
    residual = y * root - basis @ (basis.T @ (y * root))
    statistic, df = float(residual @ residual), int(used.sum()) - X.shape[1]
    # tr P = sum w (1 - h)
    typical = df / float(np.sum(root**2 * (1.0 - np.square(basis).sum(axis=1))))
    tau2 = float(np.mean(_between(fit)[used]))
    row = {
        "Q": statistic,
        "df": df,
        "pvalue": float(special.chdtrc(df, statistic)),
        "I2": 100.0 * tau2 / (tau2 + typical),
        "H2": (tau2 + typical) / typical,
        "tau2": tau2,
    }
    notes = [
        "Q: the residual sum of squares without random effects, weighted by the known variances; chi-squared.",
        f"I2 and H2: against a typical sampling variance of {typical:.4g}, tau2 by {'REML' if fit.reml else 'ML'}; "
        "mfx.profile(fit) has an interval for tau.",
    ]
    frame = pd.DataFrame([row], index=["heterogeneity"])
    return StatsTable.from_frame(frame, heading="Heterogeneity", notes=notes)


def _known_variances(fit: LinearMixedResults) -> tuple[Any, Array]:
    """Which rows count (n,), and their sampling variances."""
    problem, design = fit.fit.problem, fit.design
    residual = problem.residual
    if residual is not None and residual.groups is not None:
        raise SpecificationError(
            "heterogeneity is for independent estimates, and residual= correlates them: leave the correlation out"
        )
    if problem.criterion.sigma2 is None or (residual is not None and residual.n_rho):
        raise SpecificationError(
            "heterogeneity is for known sampling variances, and these are estimated: write "
            'residual=mfx.KnownVariance("vi"), or weights with sigma=1'
        )
    weights = np.ones(design.n_rows) if design.weights is None else design.weights
    used = weights > 0
    relative = np.ones(design.n_rows) if residual is None else residual.relative_variances(fit.fit.rho)
    return used, np.asarray((fit.sigma**2 * relative)[used] / weights[used])


def _between(fit: LinearMixedResults) -> Array:
    """Variance (n,) of the random part of every row."""
    total = np.zeros(fit.design.n_rows)
    for term, covariance in zip(fit.design.random, fit.varcorr.terms, strict=True):
        z = np.asarray(term.matrix, dtype=float)
        total += np.einsum("ni,ij,nj->n", z, covariance.matrix, z)
    return total
