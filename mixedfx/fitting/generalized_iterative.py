"""Fit a generalised mixed model whose crossed equations are solved by iteration: a search by gradients alone.

The traces of the gradient are means over random probes, which stay the same through the search: its end is the root of
the gradient of these probes, and their spread tells how far the exact optimum can be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.boundary import reopened, settled
from mixedfx.criterion.evaluation import MarginalEvaluation
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.laplace import LaplaceEvaluation
from mixedfx.criterion.mode import TOLERANCE, mode_state, predicted_states
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.control import Control
from mixedfx.fitting.generalized import GeneralizedFit, unit_at
from mixedfx.fitting.generalized_search import inner_tolerance, not_computable, starting_point
from mixedfx.fitting.likelihood import inverse_information
from mixedfx.fitting.monte_carlo import Plan
from mixedfx.linalg.probes import Solver
from mixedfx.optimize import Optimum, descend

__all__ = ["final_solver", "fit_by_probes", "probed_hessian"]

_Found: TypeAlias = Optimum[LaplaceEvaluation]

FIRST = Plan(4)  # probes of the search; a Newton step or two lead from its end to the optimum of all probes
DECREMENT = 1e-6  # where the search ends, …
CLOSE = 1e-3  # … and from where one step with the Hessian reaches the optimum of all probes
LANDINGS = 3  # steps with the Hessian at the most; where they do not get there, all probes search
SEARCHING, MOVING, FINAL = 1e-6, 1e-7, 1e-10  # residuals of the equations: on the way, of differences, at the end
FINAL_PROBES = 1e-8  # … and of those of the probes at the end
STEP = 1e-2  # of the differences of the gradient, in the width of the likelihood
REOPENINGS = 3  # restarts from a doubtful boundary at the most


@np.errstate(over="ignore", invalid="ignore")  # wild steps are taken back
def fit_by_probes(problem: GeneralizedProblem, control: Control, start: Array | None = None) -> GeneralizedFit:
    """Minimise minus twice the Laplace log-likelihood by its gradients, with more probes until their error is small.

    Parameters
    ----------
    problem : GeneralizedProblem
        With an iterative remainder.
    control : Control
    start : (k,), optional
        Inner parameters to start from.

    Raises
    ------
    DataError
        If floating point cannot compute the likelihood.
    SpecificationError
        If several searches are asked for.
    """
    if control.starts > 1:
        raise SpecificationError(
            "several starts are for exact fits: where crossed effects are solved by iteration (remainder='iterative') "
            "there is one search; write starts=1"
        )
    fewest, most = control.probe_range
    search, plan = _Search(problem, control), Plan(fewest, control.controls)
    try:
        optimum = search.opened(
            search.descended(starting_point(problem, control) if start is None else start, FIRST), FIRST
        )
        hessian = probed_hessian(optimum.point)
        fit = search.landed(optimum, hessian, plan)
        while plan.probes < most and not (fit.monte_carlo.is_enough and not _is_in_doubt(fit)):
            plan = plan.more(fit.monte_carlo)
            fit = search.landed(fit.optimum, hessian, plan)
    except FloatingPointError as error:
        raise not_computable(problem, error) from error
    return fit


def _is_in_doubt(fit: GeneralizedFit) -> bool:
    """Whether the probes do not tell the sign of a derivative in a direction without variance."""
    return any(verdict.rank < verdict.size and not verdict.confirmed for verdict in fit.certificate.variances)


@dataclass(frozen=True)
class _Search:
    problem: GeneralizedProblem
    control: Control

    def searching(self, plan: Plan) -> GeneralizedProblem:
        """The problem with so many probes, its equations solved as well as a search needs."""
        solver = Solver(plan.probes, self.control.seed, SEARCHING, SEARCHING, controls=plan.controls)
        return self.problem.with_solver(solver)

    def descended(self, start: Array, plan: Plan, near: LaplaceEvaluation | None = None) -> _Found:
        """Search from ``start`` (k,)."""
        problem = self.searching(plan)
        lower, upper = problem.bounds

        def function(x: Array, last: LaplaceEvaluation | None) -> LaplaceEvaluation:
            return _evaluated(problem, x, last)

        def report(iteration: int, x: Array, point: LaplaceEvaluation) -> None:
            shown = np.array2string(problem.to_user(x), precision=5)
            size = np.array2string(point.gradient, precision=3)
            print(f"iteration {iteration:3d}   {plan.probes} probes   gradient = {size}   parameters = {shown}")

        return descend(
            function,
            start,
            lower,
            upper,
            tol=max(self.control.tol, DECREMENT),
            max_iter=self.control.max_iter,
            callback=report if self.control.verbose else None,
            first=near,
        )

    def opened(self, optimum: _Found, plan: Plan) -> _Found:
        """Search again where a variance was closed without reason."""
        for _ in range(REOPENINGS):
            at = optimum.point
            theta = None if optimum.cut else reopened(self.problem.covariance, at, unit_at(at))
            if theta is None:
                break
            optimum = self.descended(_with_theta(at, theta), plan, at)
        return optimum

    def landed(self, optimum: _Found, hessian: Array, plan: Plan) -> GeneralizedFit:
        """The fit with so many probes, from the end of a search with fewer, settled and from a cold start."""
        if self.control.max_iter == 0:
            return self._final(optimum, hessian, plan)
        point = self._stepped(optimum.point, hessian, plan)
        fit = self._final(replace(optimum, point=point), hessian, plan)
        theta = reopened(self.problem.covariance, fit.at, unit_at(fit.at))
        if theta is None and self._step(fit.at, hessian)[1] <= DECREMENT:
            return fit
        optimum = self.opened(self.descended(point.x if theta is None else _with_theta(fit.at, theta), plan), plan)
        return self._final(optimum, probed_hessian(optimum.point), plan)

    def _stepped(self, point: LaplaceEvaluation, hessian: Array, plan: Plan) -> LaplaceEvaluation:
        """A point with so many probes that is, if the Hessian there is what it is said to be, close to the optimum."""
        problem = self.searching(plan)
        for _ in range(LANDINGS):
            point = _evaluated(problem, self._step(point, hessian)[0], point)
            if self._step(point, hessian)[1] <= CLOSE:
                break
        return point

    def _final(self, optimum: _Found, hessian: Array, plan: Plan) -> GeneralizedFit:
        point = optimum.point
        x = self._step(point, hessian)[0] if self.control.max_iter > 0 else point.x
        theta = settled(self.problem.covariance, point, unit_at(point))
        x = x if np.array_equal(theta, point.theta) else _with_theta(point, theta)
        problem = self.problem.with_solver(final_solver(plan.probes, self.control.seed, plan.controls))
        found = LaplaceEvaluation(replace(mode_state(problem.model, x, point.state, TOLERANCE), near=None))
        return GeneralizedFit(problem, LaplaceEvaluation, replace(optimum, point=found, x=x), found, hessian)

    def _step(self, point: MarginalEvaluation, hessian: Array) -> tuple[Array, float]:
        """The parameters (k,) after a Newton step, and its decrement."""
        x, (lower, upper) = point.state.x, self.problem.bounds
        free = (x > lower) & (x < upper)
        moved = np.zeros_like(x)
        moved[free] = np.nan_to_num(inverse_information(hessian[np.ix_(free, free)])) @ point.gradient[free]
        return np.clip(x - moved, lower, upper), abs(0.5 * float(moved @ point.gradient))


def final_solver(probes: int, seed: int, controls: int = 0) -> Solver:
    """Return how equations are solved at the estimate."""
    return Solver(probes, seed, FINAL, FINAL_PROBES, controls=controls)


def _evaluated(problem: GeneralizedProblem, x: Array, last: LaplaceEvaluation | None) -> LaplaceEvaluation:
    close = inner_tolerance(x, [] if last is None else [last])
    state = mode_state(problem.model, x, None if last is None else last.state, close)
    if not state.mode.converged:
        raise FloatingPointError("the conditional mode was not found")
    point = LaplaceEvaluation(state)
    point.lighten()
    return point


def _with_theta(at: MarginalEvaluation, theta: Array) -> Array:
    x = at.state.x.copy()
    x[at.state.model.theta_slice] = theta
    return x


def probed_hessian(at: LaplaceEvaluation) -> Array:
    """Return the Hessian (k, k) by forward differences of the gradient with the same probes.

    The mode is moved by its derivative; the equations are solved from where they are solved already. Parameters next to
    an upper bound move down.
    """
    state, gradient = at.state, at.gradient
    model = replace(state.model, solver=replace(state.model.solver, inverse_iterations=0, probe_tolerance=MOVING))
    steps = STEP / np.sqrt(np.maximum(np.abs(at.curvature.diagonal()), np.finfo(float).tiny))
    own, upper = model.theta_slice, model.covariance.upper
    steps[own] *= np.where(at.x[own] + steps[own] > upper, -1.0, 1.0)
    rows = []
    for j, step in enumerate(steps):
        moved = at.x.copy()
        moved[j] += step
        (predicted,) = predicted_states(state, [moved])
        rows.append((LaplaceEvaluation(replace(predicted, model=model)).gradient - gradient) / step)
    jacobian = np.array(rows)
    return np.asarray(0.5 * (jacobian + jacobian.T))
