"""Search for the optimum of a Gaussian mixed model whose crossed equations are solved by iteration.

The traces of the gradient are means over random probes, which stay the same through the search: its end is the root of
the gradient of these probes, and their spread tells how far the exact optimum can be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.boundary import reopened, settled
from mixedfx.criterion.evaluation import GaussianEvaluation
from mixedfx.criterion.linear import LinearCriterion, LinearEvaluation
from mixedfx.criterion.linear_problem import LinearProblem
from mixedfx.exceptions import DataError
from mixedfx.fitting.control import Control, checked_start
from mixedfx.fitting.linear import LinearFit
from mixedfx.fitting.monte_carlo import Plan
from mixedfx.linalg.gram import cross_products
from mixedfx.linalg.probes import Solver
from mixedfx.optimize import Optimum, descend

__all__ = ["fit_by_probes", "near_optimum"]

DECREMENT = 1e-10  # where the search with given probes ends: a hundred-thousandth of a standard error away
SEARCHING = 1e-7  # relative residuals of the equations on the way …
FINAL = 1e-10  # … and at the end
DEAR_COLUMNS = 1500  # of a dense remainder: beyond, a search by probes costs less than one exact evaluation
SKETCHED = Solver(probes=8, seed=0, tolerance=1e-6, probe_tolerance=1e-6)  # how well such a search solves
SKETCHES = 20  # steps of it at the most
NEAR = 1e-7  # decrement where it ends, far below what its probes leave open
REOPENINGS = 3  # restarts from a doubtful boundary at the most


def fit_by_probes(problem: LinearProblem, control: Control) -> LinearFit:
    """Minimise the criterion by its gradients, with more probes until their error is small.

    Raises
    ------
    DataError
        If the likelihood cannot be computed.
    """
    fewest, most = control.probe_range
    search = _Search(problem, control, Plan(fewest, control.controls))
    try:
        x, fit = search.start, None
        while True:
            fit = search.fit(x)
            if search.plan.probes >= most or (fit.monte_carlo.is_enough and not _is_in_doubt(fit)):
                return fit
            x, search = fit.optimum.x, replace(search, plan=search.plan.more(fit.monte_carlo))
    except FloatingPointError as error:
        raise DataError(
            f"the likelihood of {problem.design.response.name!r} cannot be computed ({error}): do the predictors and "
            "groups leave no residual, or are columns of very different size involved?"
        ) from error


def near_optimum(problem: LinearProblem, start: Array) -> Array:
    """Return parameters (k,) next to the optimum of an exact criterion whose evaluations are dear; else ``start``.

    They come of a few random probes and spare the exact search all but its last steps: its end is the same.
    """
    layout = problem.assembly.rows.layout
    is_dear = layout.n_remainder > DEAR_COLUMNS and problem.is_plain and layout.plan is None
    if not is_dear or problem.criterion.is_refined:
        return start
    rows = replace(problem.assembly.rows, layout=replace(layout, is_operator=True))
    gram = replace(cross_products(rows, problem.design.weights), solver=SKETCHED)
    criterion = replace(cast(LinearCriterion, problem.criterion), gram=gram)
    bounds = criterion.search_lower, criterion.upper
    try:
        return descend(criterion, start, *bounds, tol=NEAR, max_iter=SKETCHES).x
    except FloatingPointError:
        return start


def _is_in_doubt(fit: LinearFit) -> bool:
    """Whether the probes do not tell the sign of a derivative in a direction without variance."""
    return any(verdict.rank < verdict.size and not verdict.confirmed for verdict in fit.verdicts)


@dataclass(frozen=True)
class _Search:
    problem: LinearProblem
    control: Control
    plan: Plan

    @property
    def start(self) -> Array:
        """Starting values (k,): from moments, or the user's."""
        start = self.problem.criterion.start
        if self.control.start is None:
            return start
        return self.problem.to_inner(checked_start(self.control.start, self.problem.covariance.n_theta))

    def criterion(self, tolerance: float) -> LinearCriterion:
        """The criterion with these probes, its equations solved so well."""
        criterion = cast(LinearCriterion, self.problem.criterion)
        plan, seed = self.plan, self.control.seed
        return criterion.with_solver(Solver(plan.probes, seed, tolerance, tolerance, controls=plan.controls))

    def fit(self, start: Array) -> LinearFit:
        """Search from ``start`` (k,), and look again where a variance was closed without reason."""
        optimum, point = self._ended(self._descended(start))
        for _ in range(REOPENINGS):
            opened = reopened(self.problem.covariance, point)
            if opened is None:
                break
            optimum, point = self._ended(self._descended(opened))
        problem = replace(self.problem, criterion=point.criterion)
        return LinearFit(problem, cast(Optimum[GaussianEvaluation], optimum), point)

    def _descended(self, start: Array) -> Optimum[LinearEvaluation]:
        criterion = self.criterion(SEARCHING)
        return descend(
            criterion,
            start,
            criterion.search_lower,
            criterion.upper,
            tol=max(self.control.tol, DECREMENT),
            max_iter=self.control.max_iter,
            callback=self._callback,
        )

    def _callback(self, iteration: int, x: Array, point: LinearEvaluation) -> None:
        if self.control.verbose:
            shown = np.array2string(self.problem.to_user(x), precision=5)
            size = np.array2string(point.gradient, precision=3)
            print(f"iteration {iteration:3d}   {self.plan.probes} probes   gradient = {size}   parameters = {shown}")

    def _ended(self, optimum: Optimum[LinearEvaluation]) -> tuple[Optimum[LinearEvaluation], LinearEvaluation]:
        """The optimum, and the evaluation there from a cold start, with negligible directions set to exactly zero."""
        theta = settled(self.problem.covariance, optimum.point)
        return replace(optimum, point=optimum.point.without_near()), self.criterion(FINAL)(theta)
