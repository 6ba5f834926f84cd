"""Standard errors and Satterthwaite's degrees of freedom of many fits of one design."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.batch import BatchCriterion
from mixedfx.criterion.prepare import LinearProblem
from mixedfx.criterion.responses import with_response
from mixedfx.fitting import LinearFit, Refits
from mixedfx.fitting.batch import batch_chunks
from mixedfx.fitting.refit import blocks_of
from mixedfx.inference.linear_algebra import inverse_on_range
from mixedfx.inference.satterthwaite import satterthwaite_df
from mixedfx.inference.variance_parameters import VarianceParameters
from mixedfx.matrices.basis import InnerResponses
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
    errors, df = np.empty(refits.beta.shape), np.empty(refits.beta.shape)
    for which, criterion, inner in batch_chunks(problem, blocks, Y, problem.model.n_theta):
        own = refits.taken(which)
        try:
            errors[which], df[which] = _at_once(problem, criterion, inner, own.theta)
        except (np.linalg.LinAlgError, FloatingPointError):  # one response of the chunk that could not be fitted
            errors[which], df[which] = _one_by_one(problem, Y[:, which], own)
    return errors, df


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # responses without a residual
def _at_once(
    problem: LinearProblem, criterion: BatchCriterion, inner: InnerResponses, theta: Array
) -> tuple[Array, Array]:
    at = criterion.at(problem.theta_to_inner(theta), np.arange(len(theta)))
    variance, slopes, own = at.contrast_variances(problem.fixed.matrix)
    inverse = 2.0 * np.stack([_inverse(hessian) for hessian in at.hessian])
    spread = np.zeros_like(variance)
    if criterion.responses.sigma2 is None:
        slopes = slopes - variance[:, None, :] * (own / at.r2[:, None])[:, :, None]
        spread = 2.0 * variance**2 / criterion.nu
    spread = spread + np.einsum("rki,rkl,rli->ri", slopes, inverse, slopes)
    errors = np.sqrt(variance * at.sigma2[:, None]) * inner.scale[:, None]
    known = np.full(variance.shape, np.inf)
    return errors, np.divide(2.0 * variance**2, spread, out=known, where=~(spread <= 0))


def _inverse(hessian: Array) -> Array:
    return inverse_on_range(hessian) if np.isfinite(hessian).all() else np.full_like(hessian, np.nan)


def _one_by_one(problem: LinearProblem, Y: Array, refits: Refits) -> tuple[Array, Array]:
    rows = [_one(problem, y, theta) for y, theta in zip(Y.T, refits.theta, strict=True)]
    shape = (len(rows), refits.beta.shape[1])
    return np.array([se for se, _ in rows]).reshape(shape), np.array([df for _, df in rows]).reshape(shape)


def _one(problem: LinearProblem, y: Array, theta: Array) -> tuple[Array, Array]:
    """Standard errors (p,) and df (p,) of one fit; nan where there is none."""
    k, nothing = problem.model.n_theta, np.full(problem.fixed.matrix.shape[0], np.nan)
    if not np.isfinite(theta).all():
        return nothing, nothing
    own = with_response(problem, y)
    inner = np.concatenate([own.theta_to_inner(theta[:k]), theta[k:]])
    try:
        point = own.criterion(inner)
        fit = LinearFit(own, Optimum(inner, point, 0.0, 0, 1, converged=True, cut=False, path=(inner,)), point)
        covariance = own.fixed.covariance(fit.at.sigma2 * fit.at.unscaled_cov)
        contrasts = own.fixed.scale * own.fixed.matrix
        return np.sqrt(covariance.diagonal()), satterthwaite_df(VarianceParameters(fit), contrasts)
    except (np.linalg.LinAlgError, FloatingPointError):
        return nothing, nothing
