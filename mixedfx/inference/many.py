"""Standard errors and Satterthwaite's degrees of freedom of many fits of one design."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.prepare import LinearProblem
from mixedfx.criterion.responses import with_response
from mixedfx.fitting import LinearFit, Refits
from mixedfx.fitting.batch import batch_chunks
from mixedfx.fitting.refit import blocks_of
from mixedfx.inference.linear_algebra import inverse_on_range
from mixedfx.inference.satterthwaite import satterthwaite_df
from mixedfx.inference.variance_parameters import VarianceParameters
from mixedfx.optimize import Optimum

__all__ = ["many_denominators"]


def many_denominators(problem: LinearProblem, Y: Array, refits: Refits) -> tuple[Array, Array]:
    """Return the standard errors (R, p) of the fixed effects and their degrees of freedom (R, p).

    Parameters
    ----------
    problem : LinearProblem
    Y : (n, R)
        The responses, on the user's scale.
    refits : Refits
        Their fits.

    Notes
    -----
    With sigma profiled out, ``sigma^2 = r2(theta) / nu`` moves with theta, and the variance ``sigma^2 c' C c`` of a
    coefficient along both ways: its variance is that of the single fit, without the Hessian of ``(theta, sigma)``.
    """
    blocks = blocks_of(problem)
    if blocks is None:
        return _one_by_one(problem, Y, refits)
    rows = problem.fixed.matrix
    errors, df = np.empty(refits.beta.shape), np.empty(refits.beta.shape)
    k = problem.model.n_theta
    for which, criterion, inner in batch_chunks(problem, blocks, Y, k):
        at = criterion.at(problem.theta_to_inner(refits.theta[which]), np.arange(which.size))
        variance, slopes, own = at.contrast_variances(rows)
        inverse = 2.0 * np.stack([inverse_on_range(hessian) for hessian in at.hessian])
        spread = np.zeros_like(variance)
        if criterion.responses.sigma2 is None:
            slopes = slopes - variance[:, None, :] * (own / at.r2[:, None])[:, :, None]
            spread = 2.0 * variance**2 / criterion.nu
        spread = spread + np.einsum("rki,rkl,rli->ri", slopes, inverse, slopes)
        errors[which] = np.sqrt(variance * at.sigma2[:, None]) * inner.scale[:, None]
        known = np.full(variance.shape, np.inf)
        df[which] = np.divide(2.0 * variance**2, spread, out=known, where=spread > 0)
    return errors, df


def _one_by_one(problem: LinearProblem, Y: Array, refits: Refits) -> tuple[Array, Array]:
    k = problem.model.n_theta
    rows = []
    for y, theta in zip(Y.T, refits.theta, strict=True):
        own = with_response(problem, y)
        inner = np.concatenate([own.theta_to_inner(theta[:k]), theta[k:]])
        point = own.criterion(inner)
        fit = LinearFit(own, Optimum(inner, point, 0.0, 0, 1, converged=True, cut=False, path=(inner,)), point)
        covariance = own.fixed.covariance(fit.at.sigma2 * fit.at.unscaled_cov)
        contrasts = own.fixed.scale * own.fixed.matrix
        rows.append((np.sqrt(covariance.diagonal()), satterthwaite_df(VarianceParameters(fit), contrasts)))
    shape = (len(rows), refits.beta.shape[1])
    return np.array([se for se, _ in rows]).reshape(shape), np.array([df for _, df in rows]).reshape(shape)
