"""Residuals that the random effects have blurred as little as can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx.diagnostics.checks import linear_results
from mixedfx.exceptions import SpecificationError

__all__ = ["least_confounded_residuals"]

MOST_ROWS = 4000  # the eigenvectors of an n x n matrix are needed
NULL = 1e-9  # eigenvalues below belong to the space of the fixed effects


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
    ``sqrt(l) U' y / sigma``.

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
    design = results.design
    root = np.ones(results.nobs) if design.weights is None else np.sqrt(design.weights)
    y = root * (design.response.values if design.offset is None else design.response.values - design.offset)
    X = root[:, None] * design.fixed.matrix
    half = root[:, None] * (results.model.exog_re @ results.model.Lambda(results.theta.to_numpy())).toarray()
    inverse = np.linalg.inv(np.eye(results.nobs) + half @ half.T)
    solved = inverse @ X
    projection = inverse - solved @ np.linalg.solve(X.T @ solved, solved.T)
    shares, vectors = np.linalg.eigh(0.5 * (projection + projection.T))
    kept = np.flatnonzero(shares > NULL)[::-1]
    values = np.sqrt(shares[kept]) * (vectors[:, kept].T @ y) / results.sigma
    return pd.Series(values, index=pd.Index(shares[kept], name="share"), name="residual")
