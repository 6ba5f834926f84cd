"""Fit a hierarchical generalised linear model: by likelihood, or by likelihood adjusted for the fixed effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from mixedfx._typing import AnyArray, Array
from mixedfx.criterion.boundary import CERTIFIED_GAP, settled
from mixedfx.criterion.corrections import (
    RestrictedEvaluation,
    WholeRestricted,
    adjusted_at,
)
from mixedfx.criterion.evaluation import Integrator, MarginalEvaluation
from mixedfx.criterion.hierarchical import HierarchicalProblem
from mixedfx.criterion.mode import known_state
from mixedfx.fitting.control import Control
from mixedfx.fitting.generalized import unit_at
from mixedfx.fitting.generalized_search import fit_generalized, not_computable, starting_point
from mixedfx.fitting.hierarchical import LAPLACE, HierarchicalFit, Strategy, corrected, integrator_of
from mixedfx.fitting.interconnected import fit_interconnected
from mixedfx.optimize import Optimum, minimize

__all__ = ["fit_hierarchical", "refit_hierarchical", "restored_fit"]

NEGLIGIBLE, OPENED = 1e-4, 0.01  # lambdas that may be none, and with which another criterion is tried
STEP = 1e-4  # of the differences of the adjusted criterion's gradient, relative to 1 + |x|


def fit_hierarchical(
    problem: HierarchicalProblem,
    control: Control,
    strategy: Strategy,
    *,
    adjusted: bool,
    start: Array | None = None,
) -> HierarchicalFit:
    """Maximise the (adjusted) likelihood, or solve the equations of the interconnected models.

    Parameters
    ----------
    problem : HierarchicalProblem
    control : Control
    strategy : Strategy
    adjusted : bool
        Whether the likelihood is adjusted for the fixed effects.
    start : (k,), optional
        Inner parameters to begin with.
    """
    first = starting_point(problem, control) if start is None else start
    if strategy.name == "eql":
        try:
            return fit_interconnected(problem, control, first, restricted=adjusted)
        except (FloatingPointError, np.linalg.LinAlgError) as error:
            raise not_computable(problem, FloatingPointError(str(error))) from error
    if start is None and (adjusted or strategy.name == "laplace2"):
        first = _from_laplace(problem, control, strategy, first, adjusted=adjusted)
    if adjusted:
        return _fit_adjusted(problem, control, strategy, first)
    fit = fit_generalized(problem, control, integrator_of(strategy), first)
    at = _without_laws(problem, fit.at, fit.integrate)
    return HierarchicalFit(problem, fit.integrate, fit.optimum, at, fit.hessian, starts=fit.starts, strategy=strategy)


def _from_laplace(
    problem: HierarchicalProblem, control: Control, strategy: Strategy, start: Array, *, adjusted: bool
) -> Array:
    """Parameters to begin a search with whose gradients are dear: those of the first order.

    A lambda that is zero there is opened again if that is better by the criterion that is sought.
    """
    integrate = integrator_of(LAPLACE)
    fit = fit_generalized(problem, replace(control, starts=1, verbose=False), integrate, start)
    x = _without_laws(problem, fit.at, integrate).state.x

    def value(at: Array) -> float:
        try:
            if adjusted:
                p = problem.model.n_fixed
                near = (at[:p], fit.at.state.mode.b)
                return adjusted_at(problem, strategy.correction, at[p:], near).value
            return problem.evaluate(at, integrator_of(strategy), fit.at.state).value
        except FloatingPointError:
            return np.inf

    lower = problem.bounds[0]
    for position in range(problem.lambda_slice.start, problem.lambda_slice.stop):
        if x[position] <= lower[position]:
            opened = x.copy()
            opened[position] = np.log(OPENED)
            x = opened if value(opened) < value(x) else x
    return x


def _without_laws(problem: HierarchicalProblem, at: MarginalEvaluation, integrate: Integrator) -> MarginalEvaluation:
    """The evaluation with every lambda that makes no difference at its lower end, which stands for zero."""
    lower, place = problem.bounds[0], problem.lambda_slice
    for position in range(place.start, place.stop):
        x = at.state.x
        if lower[position] < x[position] < np.log(NEGLIGIBLE):
            moved = x.copy()
            moved[position] = lower[position]
            trial = problem.evaluate(moved, integrate, at.state)
            at = trial if trial.value <= at.value + CERTIFIED_GAP else at
    return at


@np.errstate(over="ignore", invalid="ignore")  # wild steps are judged by their value and taken back
def _fit_adjusted(problem: HierarchicalProblem, control: Control, strategy: Strategy, start: Array) -> HierarchicalFit:
    p = problem.model.n_fixed
    lower, upper = (end[p:] for end in problem.bounds)
    near: list[tuple[Array, Array]] = [(start[:p], np.zeros(problem.model.space.n_effects))]
    at = partial(adjusted_at, problem, strategy.correction)

    def function(outer: Array) -> RestrictedEvaluation:
        point = at(outer, near[0])
        if np.isfinite(point.value):
            near[0] = (point.state.parts.beta, point.state.mode.b)
        return point

    def hessian(point: RestrictedEvaluation) -> Array:
        return _outer_hessian(at, point, lower, upper)

    callback = control.callback(lambda outer: problem.to_user(np.concatenate([near[0][0], outer])))
    try:
        optimum = minimize(
            function,
            start[p:],
            lower,
            upper,
            tol=control.tol,
            max_iter=control.max_iter,
            callback=callback,
            hessian=hessian,
        )
        point = _settled(problem, at, optimum.point)
        whole = WholeRestricted(point)
        full = np.zeros((whole.x.size, whole.x.size))
        full[:p, :p] = 2.0 * point.inner.information
        full[p:, p:] = hessian(point)
    except FloatingPointError as error:
        raise not_computable(problem, error) from error
    if not np.isfinite(whole.value):
        raise not_computable(problem, FloatingPointError("it is not finite where the search begins"))
    return HierarchicalFit(problem, integrator_of(strategy), optimum, whole, full, strategy=strategy, restricted=True)


def _outer_hessian(at: Any, point: RestrictedEvaluation, lower: Array, upper: Array) -> Array:
    """Hessian (k, k) by central differences of the gradient, within the bounds."""
    outer, near = point.outer, (point.state.parts.beta, point.state.mode.b)
    rows = []
    for j, size in enumerate(STEP * (1.0 + np.abs(outer))):
        low, high = outer.copy(), outer.copy()
        low[j], high[j] = max(outer[j] - size, lower[j]), min(outer[j] + size, upper[j])
        rows.append((at(high, near).gradient - at(low, near).gradient) / (high[j] - low[j]))
    jacobian = np.array(rows).reshape(outer.size, outer.size)
    return np.asarray(0.5 * (jacobian + jacobian.T))


def _settled(problem: HierarchicalProblem, at: Any, point: RestrictedEvaluation) -> RestrictedEvaluation:
    """The evaluation with negligible variances set to exactly zero and theta in its canonical form."""
    place, lower = problem.lambda_slice, problem.bounds[0]
    for position in range(place.start, place.stop):
        outer, j = point.outer, position - problem.model.n_fixed
        if lower[position] < outer[j] < np.log(NEGLIGIBLE):
            closed = outer.copy()
            closed[j] = lower[position]
            trial: RestrictedEvaluation = at(closed, (point.state.parts.beta, point.state.mode.b))
            point = trial if trial.value <= point.value + CERTIFIED_GAP else point
    whole = WholeRestricted(point)
    theta = settled(problem.covariance, whole, unit_at(whole))
    if np.array_equal(theta, whole.theta):
        return point
    outer = point.outer.copy()
    outer[: theta.size] = theta
    moved: RestrictedEvaluation = at(outer, (point.state.parts.beta, point.state.mode.b))
    return moved if moved.value <= point.value + CERTIFIED_GAP else point


def refit_hierarchical(earlier: HierarchicalFit, problem: HierarchicalProblem) -> HierarchicalFit:
    """Fit a problem from the estimate of an earlier fit, in the same way.

    Where a variance of the earlier fit is zero the usual starting values are better: no slope leads away from there.
    """
    singular = any(verdict.rank < verdict.size for verdict in earlier.certificate.variances)
    start = None if singular else problem.to_inner(earlier.problem.to_user(earlier.x))
    return fit_hierarchical(problem, Control(), earlier.strategy, adjusted=earlier.restricted, start=start)


def restored_fit(
    problem: HierarchicalProblem, strategy: Strategy, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]
) -> HierarchicalFit:
    """Return the fit that :meth:`HierarchicalFit.stored` described."""
    x, adjusted = arrays["x"], bool(state["restricted"])
    if strategy.name == "eql":
        return fit_hierarchical(problem, Control(), strategy, adjusted=adjusted, start=x)
    if adjusted:
        p = problem.model.n_fixed
        at: MarginalEvaluation = WholeRestricted(adjusted_at(problem, strategy.correction, x[p:], (x[:p], arrays["b"])))
    else:
        at = corrected(
            known_state(problem.model, x, arrays["b"], arrays["t"], bool(state["mode_converged"])), strategy.correction
        )
    counts = (int(state["iterations"]), int(state["evaluations"]), bool(state["converged"]), bool(state["cut"]))
    optimum: Optimum[Any] = Optimum(x, at, float(state["decrement"]), *counts, path=(x,))
    return HierarchicalFit(
        problem,
        integrator_of(strategy),
        optimum,
        at,
        arrays["hessian"],
        strategy=strategy,
        restricted=adjusted,
    )
