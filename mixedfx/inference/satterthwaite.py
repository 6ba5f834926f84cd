"""Satterthwaite's degrees of freedom from exact derivatives, of one fit and of many fits of one design."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.criterion.batch import BatchPoint
from mixedfx.criterion.linear_problem import LinearProblem
from mixedfx.fitting import LinearFit, Refits
from mixedfx.fitting.likelihood import inverse_on_range
from mixedfx.fitting.refit import batch_chunks, blocks_of
from mixedfx.inference.denominator import Denominator, fai_cornelius
from mixedfx.matrices.basis import InnerResponses
from mixedfx.optimize import Optimum

__all__ = ["Satterthwaite", "many_denominators", "many_joint_denominators"]


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
        return float(fai_cornelius(self.of_rows(vectors.T @ rows))), 1.0


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
    p = refits.beta.shape[1]
    return _in_chunks(problem, Y, refits, _of_coefficients, _of_coefficients_of_one, ((p,), (p,)))


def many_joint_denominators(problem: LinearProblem, Y: Array, refits: Refits, rows: Array) -> tuple[Array, Array]:
    """Return the covariances (R, r, r) of ``rows @ beta`` and the denominator df (R,) of the joint tests of ``rows``.

    Parameters
    ----------
    problem, Y, refits
        As for :func:`many_denominators`.
    rows : (r, p)
        Independent contrasts of the fixed effects.
    """

    def together(problem: LinearProblem, at: BatchPoint, inner: InnerResponses) -> tuple[Array, Array]:
        covariance, slopes, along_sigma = at.contrast_covariances(rows @ problem.basis.matrix)
        variance, vectors = np.linalg.eigh(covariance)
        turned = np.einsum("rac,rkab,rbc->rkc", vectors, slopes, vectors, optimize=True)
        scale = at.sigma2 * inner.scale**2
        return covariance * scale[:, None, None], fai_cornelius(_satterthwaite(at, variance, turned, along_sigma))

    def of_one(denominator: Satterthwaite) -> tuple[Array, Array]:
        return rows @ denominator.covariance @ rows.T, np.array(denominator.joint(rows)[0])

    return _in_chunks(problem, Y, refits, together, of_one, ((len(rows), len(rows)), ()))


def _in_chunks(
    problem: LinearProblem,
    Y: Array,
    refits: Refits,
    together: Callable[[LinearProblem, BatchPoint, InnerResponses], tuple[Array, Array]],
    of_one: Callable[[Satterthwaite], tuple[Array, Array]],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> tuple[Array, Array]:
    """Two things of every fit (R, …) at once, or one fit after the other where that cannot be; nan without a fit."""
    count, blocks = len(refits.beta), blocks_of(problem)
    first, second = (np.full((count, *shape), np.nan) for shape in shapes)

    def apart(which: IntArray) -> None:
        for k in which[np.isfinite(refits.theta[which]).all(axis=1)]:
            with suppress(np.linalg.LinAlgError, FloatingPointError):
                first[k], second[k] = of_one(_denominator(problem, Y[:, k], refits.theta[k]))

    if blocks is None:
        apart(np.arange(count))
        return first, second
    for which, criterion, inner in batch_chunks(problem, blocks, Y, problem.covariance.n_theta):
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # responses without a residual
                at = criterion.at(problem.to_inner(refits.theta[which]), np.arange(which.size))
                first[which], second[which] = together(problem, at, inner)
        except (np.linalg.LinAlgError, FloatingPointError):  # one response of the chunk that could not be fitted
            apart(which)
    return first, second


def _of_coefficients(problem: LinearProblem, at: BatchPoint, inner: InnerResponses) -> tuple[Array, Array]:
    variance, slopes, along_sigma = at.contrast_variances(problem.basis.matrix)
    errors = np.sqrt(variance * at.sigma2[:, None]) * inner.scale[:, None]
    return errors, _satterthwaite(at, variance, slopes, along_sigma)


def _satterthwaite(at: BatchPoint, variance: Array, slopes: Array, along_sigma: Array) -> Array:
    """Degrees of freedom (R, c) of contrasts with relative variances (R, c) and their slopes (R, k, c)."""
    inverse = 2.0 * np.stack([_inverse(hessian) for hessian in at.hessian])
    spread = np.zeros_like(variance)
    if at.responses.sigma2 is None:
        slopes = slopes - variance[:, None, :] * (along_sigma / at.r2[:, None])[:, :, None]
        spread = 2.0 * variance**2 / at.criterion.nu
    spread = spread + np.einsum("rki,rkl,rli->ri", slopes, inverse, slopes)
    known = np.full(variance.shape, np.inf)
    return np.asarray(np.divide(2.0 * variance**2, spread, out=known, where=~(spread <= 0)))


def _inverse(hessian: Array) -> Array:
    return inverse_on_range(hessian) if np.isfinite(hessian).all() else np.full_like(hessian, np.nan)


def _of_coefficients_of_one(denominator: Satterthwaite) -> tuple[Array, Array]:
    errors = np.sqrt(denominator.covariance.diagonal())
    return errors, denominator.of_rows(np.eye(errors.size))


def _denominator(problem: LinearProblem, y: Array, theta: Array) -> Satterthwaite:
    """What calibrates the tests of the fit to one response, with estimates ``theta`` (k,)."""
    k, again = problem.covariance.n_theta, problem.with_response(y)
    inner = np.concatenate([again.to_inner(theta[:k]), theta[k:]])
    point = again.criterion(inner)
    optimum = Optimum(inner, point, 0.0, 0, 1, converged=True, cut=False, path=(inner,))
    return Satterthwaite(LinearFit(again, optimum, point))
