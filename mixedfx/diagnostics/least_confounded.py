"""Residuals that the random effects have blurred as little as can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx.diagnostics.checks import linear_results
from mixedfx.exceptions import SpecificationError

__all__ = ["least_confounded_residuals"]

MOST_ROWS = 4000  # the eigenvectors of an n x n matrix are needed


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
    results = linear_results(fit, "least_confounded_residuals")
    if results.nobs > MOST_ROWS:
        raise SpecificationError(f"least-confounded residuals take at most {MOST_ROWS} rows, found {results.nobs}")
    design, theta = results.design, results.theta.to_numpy()
    root = np.ones(results.nobs) if design.weights is None else np.sqrt(design.weights)
    basis = np.linalg.qr(root[:, None] * results.fit.problem.assembly.rows.columns[:, :-1])[0]
    half = root[:, None] * (results.model.exog_re @ results.model.Lambda(theta)).toarray()
    inverse = np.linalg.inv(np.eye(results.nobs) + half @ half.T)
    solved = inverse @ basis
    projection = inverse - solved @ np.linalg.solve(basis.T @ solved, solved.T)
    shares, vectors = np.linalg.eigh(0.5 * (projection + projection.T))
    kept = np.arange(basis.shape[1], results.nobs)[::-1]  # the p smallest are the space of the fixed effects
    values = (
        np.sqrt(np.maximum(shares[kept], 0.0))
        * (vectors[:, kept].T @ (root * results.residuals("marginal")))
        / results.sigma
    )
    return pd.Series(values, index=pd.Index(shares[kept], name="share"), name="residual")
