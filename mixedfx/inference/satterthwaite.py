"""Satterthwaite's degrees of freedom from exact derivatives, of one fit and of many fits of one design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.batch import BatchCriterion
from mixedfx.criterion.linear_problem import LinearProblem
from mixedfx.fitting import LinearFit, Refits
from mixedfx.fitting.likelihood import inverse_on_range
from mixedfx.fitting.refit import batch_chunks, blocks_of
from mixedfx.inference.denominator import Denominator, fai_cornelius
from mixedfx.matrices.basis import InnerResponses
from mixedfx.optimize import Optimum

__all__ = ["Satterthwaite", "many_denominators"]


@dataclass(frozen=True, repr=False)
class Satterthwaite(Denominator):
    """Satterthwaite's degrees of freedom by the delta method; several rows by Fai and Cornelius.

    Attributes
    ----------
    fit : Fit
        Of a kind that knows ``contrast_slopes``: how the variances of contrasts move with the parameters of its
        likelihood.

    References
    ----------
    Satterthwaite (1946), Biometrics Bulletin 2, 110; Fai & Cornelius (1996), J. Stat. Comput. Simul. 54, 363.
    """

    fit: LinearFit
    label = "Satterthwaite"
    depends_on_rows = True

    @property
    def covariance(self) -> Array:
        """The estimated covariance (p, p)."""
        return self.fit.beta_covariance

    def of_rows(self, rows: Array) -> Array:
        """Return ``2 v^2 / Var(v)`` (r,), v the variance of ``rows @ beta``.

        It is ``inf`` where the variance does not depend on estimated parameters, nan for a zero contrast.
        """
        variance, slopes = self.fit.contrast_slopes(rows)
        spread = (slopes * (self.fit.phi_covariance @ slopes)).sum(axis=0)
        df = np.divide(2.0 * variance**2, spread, out=np.full(variance.size, np.inf), where=spread > 0)
        return np.where(variance > 0, df, np.nan)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the degrees of freedom of uncorrelated combinations, pooled; F is not scaled."""
        _, vectors = np.linalg.eigh(rows @ self.covariance @ rows.T)
        return fai_cornelius(self.of_rows(vectors.T @ rows)), 1.0


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
    coefficient depends on theta in both ways. This gives the variance of the single fit without the Hessian in
    ``(theta, sigma)``.
    """
    blocks = blocks_of(problem)
    if blocks is None:
        return _one_by_one(problem, Y, refits)
    errors, df = np.empty(refits.beta.shape), np.empty(refits.beta.shape)
    for which, criterion, inner in batch_chunks(problem, blocks, Y, problem.covariance.n_theta):
        chosen = refits.taken(which)
        try:
            errors[which], df[which] = _at_once(problem, criterion, inner, chosen.theta)
        except (np.linalg.LinAlgError, FloatingPointError):  # one response of the chunk that could not be fitted
            errors[which], df[which] = _one_by_one(problem, Y[:, which], chosen)
    return errors, df


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # responses without a residual
def _at_once(
    problem: LinearProblem, criterion: BatchCriterion, inner: InnerResponses, theta: Array
) -> tuple[Array, Array]:
    at = criterion.at(problem.to_inner(theta), np.arange(len(theta)))
    variance, slopes, along_sigma = at.contrast_variances(problem.basis.matrix)
    inverse = 2.0 * np.stack([_inverse(hessian) for hessian in at.hessian])
    spread = np.zeros_like(variance)
    if criterion.responses.sigma2 is None:
        slopes = slopes - variance[:, None, :] * (along_sigma / at.r2[:, None])[:, :, None]
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
    k, nothing = problem.covariance.n_theta, np.full(problem.basis.matrix.shape[0], np.nan)
    if not np.isfinite(theta).all():
        return nothing, nothing
    again = problem.with_response(y)
    inner = np.concatenate([again.to_inner(theta[:k]), theta[k:]])
    try:
        point = again.criterion(inner)
        fit = LinearFit(again, Optimum(inner, point, 0.0, 0, 1, converged=True, cut=False, path=(inner,)), point)
        denominator = Satterthwaite(fit)
        errors = np.sqrt(denominator.covariance.diagonal())
        return errors, denominator.of_rows(np.eye(errors.size))
    except (np.linalg.LinAlgError, FloatingPointError):
        return nothing, nothing
