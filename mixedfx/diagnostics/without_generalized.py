"""Estimates of a generalised linear mixed model without each of many sets of rows, from those with all rows.

Weights of zero take the rows out of the likelihood. The gradient of what is left is exact, the conditional modes found
anew. The first step from the estimate with all rows is Pregibon's one step, in all parameters at once and with the
Hessian of all rows; the next ones take the Hessian of the rows that are left, which gives their standard errors too.

References
----------
Pregibon (1981), Ann. Stat. 9, 705; Christensen, Pearson & Johnson (1992), Technometrics 34, 38; Xiang, Tse & Lee
(2002), Comput. Stat. Data Anal. 40, 759.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.criterion.boundary import reopened
from mixedfx.criterion.mode_state import mode_state
from mixedfx.criterion.prepare_generalized import GeneralizedProblem
from mixedfx.diagnostics.deletion import estimable
from mixedfx.diagnostics.without import ESTIMABLE, Without, outer_sums
from mixedfx.exceptions import DataError
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.generalized_search import difference_hessian
from mixedfx.fitting.refit_generalized import refit_generalized

__all__ = ["generalized_fits_without"]

SETTLED = 1e-3  # standard errors that the last step may have; a Newton step leaves about the square
MOST_STEPS = 6
LONGEST = 2.0  # standard errors of a step, above which the estimate with all rows is no place to start from
NEAR_ZERO = 1e-3  # relative standard deviation below which a fit of its own has to settle the boundary


@dataclass(frozen=True)
class _Found:
    """Parameters (k,) on the inner scale and a fit next to them."""

    x: Array
    fit: GeneralizedFit


def generalized_fits_without(fit: GeneralizedFit, sets: IntArray) -> Without:
    """Return the estimates without the rows of each set (n,): by Newton steps, or by a fit where they do not settle."""
    count = int(sets.max()) + 1
    parts = Without(
        np.full((count, fit.problem.model.covariance.n_theta), np.nan),
        np.full((count, fit.problem.model.n_fixed), np.nan),
        np.full((count, fit.problem.model.n_fixed, fit.problem.model.n_fixed), np.nan),
        np.full(count, np.nan),
        np.full((count, fit.x.size - fit.problem.model.theta_slice.stop), np.nan),
    )
    for number in np.flatnonzero(_estimable(fit.problem, sets, count)):
        found = _fit_without(fit, sets != number)
        if found is not None:
            _enter(parts, int(number), found)
    return parts


def _fit_without(fit: GeneralizedFit, kept: BoolArray) -> _Found | None:
    """The fit to the rows that are ``kept`` (n,); None where there is none."""
    problem = _weighted(fit.problem, kept)
    try:
        found = None if fit.nodes == 0 else _stepped(fit, problem)
        if found is None:
            again = refit_generalized(fit, problem)
            found = _Found(again.x, again)
    except (DataError, ArithmeticError, np.linalg.LinAlgError):
        return None
    return None if found.fit.separated else found


def _weighted(problem: GeneralizedProblem, kept: BoolArray) -> GeneralizedProblem:
    """The problem with weights of zero for the rows that are not ``kept`` (n,)."""
    given = problem.observed.multiplier
    multiplier = kept.astype(float) if given is None else kept * given
    return problem.with_observed(replace(problem.observed, multiplier=multiplier))


def _stepped(fit: GeneralizedFit, problem: GeneralizedProblem) -> _Found | None:
    """Newton steps from the fit with all rows; None where they do not settle, or near the boundary."""
    free, state, hessian = np.flatnonzero(fit.free & ~fit.unnoticed), fit.at.state, fit.hessian
    block, x = np.ix_(free, free), fit.x
    for step in range(MOST_STEPS):
        state = mode_state(problem.model, x, near=state)
        if not state.mode.converged:
            return None
        at = fit.integrate(state)
        if step:
            hessian = difference_hessian(fit.integrate, at)
        change = _newton(hessian[block], at.gradient[free])
        if change is None:
            return None
        x = x.copy()
        x[free] += change
        if step and np.sqrt(0.5 * change @ hessian[block] @ change) <= SETTLED:
            found = replace(fit, problem=problem, at=at, hessian=hessian)
            return None if _at_boundary(found) else _Found(x, found)
    return None


def _newton(hessian: Array, gradient: Array) -> Array | None:
    """The step, or None where the Hessian is not positive definite or the step is long."""
    try:
        half = np.linalg.solve(np.linalg.cholesky(hessian), gradient)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(half).all() or half @ half > 2.0 * LONGEST**2:
        return None
    return np.asarray(-np.linalg.solve(hessian, gradient), dtype=float)


def _at_boundary(found: GeneralizedFit) -> bool:
    """Whether a variance has vanished, or would leave zero."""
    model, at = found.problem.model.covariance, found.at
    deviations = at.theta[model.lower == 0]
    closing = deviations < NEAR_ZERO * max(1.0, float(np.abs(at.theta).max(initial=0.0)))
    return bool(closing.any()) or reopened(model, at) is not None


def _estimable(problem: GeneralizedProblem, sets: IntArray, count: int) -> BoolArray:
    """Which sets leave all coefficients of all linear predictors estimable."""
    given = problem.observed.multiplier
    matrices = [problem.model.X, *(c.matrix for c in problem.components)]
    out: BoolArray = np.ones(count, dtype=bool)
    for matrix in matrices:
        full = matrix.T @ (matrix if given is None else matrix * (given > 0)[:, None])
        positive = None if given is None else (given > 0).astype(float)
        out &= estimable(full - outer_sums(matrix, positive, sets, count), full, ESTIMABLE)
    return out


def _enter(parts: Without, number: int, found: _Found) -> None:
    """Write what was found into row ``number``."""
    problem = found.fit.problem
    x = problem.to_user(found.x)
    p, stop = problem.model.n_fixed, problem.model.theta_slice.stop
    family = problem.family
    position = family.phi_names.index("dispersion") - len(family.phi_names) if _has_scale(problem) else 0
    parts.theta[number], parts.beta[number], parts.further[number] = x[p:stop], x[:p], x[stop:]
    parts.covariance[number] = found.fit.covariance[:p, :p]
    parts.sigma2[number] = np.exp(x[position]) if _has_scale(problem) else 1.0


def _has_scale(problem: GeneralizedProblem) -> bool:
    return problem.family.precision_weights and "dispersion" in problem.family.phi_names
