"""Which integral is computed: nagq of a user becomes one of these strategies, and a fit; refits use the same."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from mixedfx._typing import Array
from mixedfx.calculus.quadrature import hermite_rule
from mixedfx.criterion.evaluation import Integrator, MarginalEvaluation
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.laplace import LaplaceEvaluation, ProfiledEvaluation, profiled
from mixedfx.criterion.mode import ModeState
from mixedfx.criterion.quadrature import QuadratureEvaluation
from mixedfx.criterion.start import starting_values
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.control import Control
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.generalized_iterative import fit_by_probes
from mixedfx.fitting.generalized_search import difference_hessian, fit_generalized, not_computable
from mixedfx.optimize import equilibrium, minimize

__all__ = [
    "FIRST_ORDER",
    "LARGEST_DIMENSION",
    "LARGEST_RULE",
    "check_quadrature",
    "confirmed_hessian",
    "fit_automatic",
    "fit_nodes",
    "fit_profiled",
    "integrator",
    "largest_order",
    "refit_generalized",
]

FIRST_ORDER = 5  # nodes in each dimension that the automatic choice begins with
LARGEST_RULE = 10_000  # nodes in all dimensions together, at the most
LARGEST_ORDER = 500  # nodes in one dimension, at the most
LARGEST_DIMENSION = 3  # random effects of a group
SETTLED = 1e-6  # change of the log-likelihood, when the nodes are doubled, at which the automatic choice stops
CONFIRMED = 0.05  # of the scaled Hessian: how far a stored one (of an earlier Newton step) may be from differences
ROUGHLY = 1e-2  # … and at which it is worth refitting on the way


def integrator(problem: GeneralizedProblem, nodes: int) -> Integrator:
    """Return the Laplace approximation for one node, adaptive quadrature for more."""
    if nodes == 1:
        return LaplaceEvaluation
    return partial(QuadratureEvaluation, rule=hermite_rule(nodes, problem.assembly.rows.layout.sizes[0]))


def check_quadrature(problem: GeneralizedProblem, nodes: int) -> None:
    """Refuse quadrature where groups do not factorise, or the rule would be huge.

    Raises
    ------
    SpecificationError
        With what to write instead.
    """
    layout = problem.assembly.rows.layout
    if layout.n_factors != 1 or problem.assembly.rows.loadings:
        raise SpecificationError(
            f"quadrature (nagq > 1) needs one grouping factor with independent levels; this model has "
            f"{layout.n_factors}: use nagq=1, and fit.compare_integrators() to see how far off it is"
        )
    size = layout.sizes[0]
    if size > LARGEST_DIMENSION:
        raise SpecificationError(
            f"quadrature takes at most {LARGEST_DIMENSION} random effects a group, here are {size}: use nagq=1"
        )
    if nodes**size > LARGEST_RULE or nodes > LARGEST_ORDER:
        raise SpecificationError(
            f"nagq={nodes} with {size} random effects a group means {nodes**size} nodes; at most {LARGEST_RULE} "
            f"(nagq={largest_order(size)}) are possible"
        )


def largest_order(size: int) -> int:
    """Return the largest order whose rule in ``size`` dimensions is allowed."""
    return min(LARGEST_ORDER, int(LARGEST_RULE ** (1.0 / size) + 1e-9))


def fit_nodes(problem: GeneralizedProblem, control: Control, nodes: int) -> GeneralizedFit:
    """Fit with a fixed number of nodes in each dimension."""
    if nodes > 1:
        check_quadrature(problem, nodes)
    return replace(_fitted(problem, control, integrator(problem, nodes)), nodes=nodes)


def _fitted(
    problem: GeneralizedProblem, control: Control, integrate: Integrator, start: Array | None = None
) -> GeneralizedFit:
    """Fit by values and gradients, or by gradients alone where determinants are sampled."""
    if problem.is_iterative:
        return fit_by_probes(problem, control, start)
    return fit_generalized(problem, control, integrate, start)


def fit_automatic(problem: GeneralizedProblem, control: Control) -> GeneralizedFit:
    """Double the nodes until the log-likelihood at the estimate moves by less than 1e-6, or the cap is reached."""
    check_quadrature(problem, FIRST_ORDER)
    fit = fit_nodes(problem, control, FIRST_ORDER)
    for tolerance in (ROUGHLY, SETTLED, SETTLED, SETTLED):
        order = _order_for(problem, fit.at.state, fit.nodes, tolerance)
        if order != fit.nodes:
            alone = replace(control, starts=1)
            again = fit_generalized(problem, alone, integrator(problem, order), fit.x, fit.hessian)
            fit = replace(again, nodes=order, starts=fit.starts)
        elif tolerance == SETTLED:
            break
    return fit


def _order_for(problem: GeneralizedProblem, state: ModeState, order: int, tolerance: float) -> int:
    """Smallest order of the doubling sequence whose value differs from the one before by less than the tolerance.

    Returns ``order`` itself if already doubling *it* changes less than that.
    """
    largest = largest_order(problem.assembly.rows.layout.sizes[0])
    value = integrator(problem, order)(state).value
    first = order
    while order < largest:
        finer = min(2 * order + 1, largest)
        found = integrator(problem, finer)(state).value
        if abs(found - value) < 2.0 * tolerance:
            return first if order == first else finer
        order, value = finer, found
    return largest


def fit_profiled(problem: GeneralizedProblem, control: Control) -> GeneralizedFit:
    """Fit with the fixed effects profiled out by the inner iteration (``nagq=0``)."""
    if control.starts > 1:
        raise SpecificationError("several starts are for nagq=1 or more: nagq=0 is a quick look")
    if problem.is_iterative:
        raise SpecificationError(
            "nagq=0 is for exact fits: where crossed effects are solved by iteration (remainder='iterative') use nagq=1"
        )
    start = starting_values(problem)
    p = problem.model.n_fixed
    lower, upper = problem.bounds
    near: list[tuple[Array, Array]] = [(start[:p], np.zeros(problem.model.space.n_effects))]

    def function(outer: Array) -> ProfiledEvaluation:
        point = profiled(problem.model, outer, near[0])
        if np.isfinite(point.value):
            state = point.inner.state
            near[0] = (state.parts.beta, state.mode.b)
        return point

    callback = control.callback(lambda outer: problem.to_user(np.concatenate([near[0][0], outer])))
    try:
        optimum = minimize(
            function, start[p:], lower[p:], upper[p:], tol=control.tol, max_iter=control.max_iter, callback=callback
        )
        hessian = _profiled_hessian(optimum.point)
    except FloatingPointError as error:
        raise not_computable(problem, error) from error
    fit = GeneralizedFit(problem, LaplaceEvaluation, optimum, optimum.point.inner, hessian, nodes=0)
    return replace(fit, remaining=optimum.decrement)


def _profiled_hessian(at: ProfiledEvaluation, stretch: float = 1.0) -> Array:
    """Curvature (k, k) of the profiled criterion, with the inner iteration's for the fixed effects."""
    p, hessian = len(at.information), difference_hessian(LaplaceEvaluation, at.inner, stretch)
    hessian[:p, p:], hessian[p:, :p] = 0.0, 0.0
    hessian[:p, :p] = 2.0 * at.information
    return hessian


@np.errstate(over="ignore", invalid="ignore")
def confirmed_hessian(integrate: Integrator, at: MarginalEvaluation, nodes: int, stored: Array) -> Array:
    """Return the ``stored`` Hessian (k, k) if it is that of ``at``, to rounding, and the one of ``at`` if not.

    Differences that are others with other steps are lost in rounding: they deny nothing.
    """

    def differences(stretch: float) -> Array:
        if nodes:
            return difference_hessian(integrate, at, stretch)
        return _profiled_hessian(ProfiledEvaluation(LaplaceEvaluation(at.state)), stretch)

    found = differences(1.0)
    if stored.shape != found.shape:
        return found
    if _agree(found, stored) or not _agree(found, differences(2.0)):
        return stored
    return stored if _least_curvature(found) < _least_curvature(stored) - CONFIRMED else found


def _agree(found: Array, other: Array) -> bool:
    size = np.sqrt(np.abs(found.diagonal()))
    close = np.abs(found - other) <= CONFIRMED * (np.outer(size, size) + 1.0)
    return bool((close | (np.isnan(found) & np.isnan(other))).all())


def _least_curvature(hessian: Array) -> float:
    """Smallest eigenvalue at a unit diagonal; minus infinity where the matrix is not finite.

    Differences that are less of a maximum's Hessian than what they are compared with are lost in rounding.
    """
    if not np.isfinite(hessian).all():
        return -np.inf
    scale = equilibrium(hessian)
    return float(np.linalg.eigvalsh((hessian / scale) / scale[:, None])[0])


def refit_generalized(earlier: GeneralizedFit, problem: GeneralizedProblem) -> GeneralizedFit:
    """Fit a problem with the parameters of an earlier fit from its estimate, integrated in the same way.

    Where a variance of the earlier fit is zero the usual starting values are better: no slope leads away from there.
    """
    if earlier.nodes == 0:
        return fit_profiled(problem, Control())
    singular = any(verdict.rank < verdict.size for verdict in earlier.certificate.variances)
    start = None if singular else problem.to_inner(earlier.problem.to_user(earlier.x))
    control = Control.alike(problem.most_exact, problem.model.solver) if problem.is_iterative else Control()
    return replace(_fitted(problem, control, earlier.integrate, start), nodes=earlier.nodes)
