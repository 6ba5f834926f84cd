"""Fit a generalised linear mixed model: optimise all parameters jointly, settle the boundary, certify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.boundary import (
    CERTIFIED_GAP,
    UNKNOWABLE,
    curvature_verdict,
    reopened,
    settled,
    variance_verdict,
    widened,
)
from mixedfx.criterion.fold import nearly_folded
from mixedfx.criterion.mode_state import ModeState, mode_state, predicted_states
from mixedfx.criterion.pirls import TOLERANCE
from mixedfx.criterion.prepare_generalized import GeneralizedProblem
from mixedfx.criterion.separation import divided_factors, looks_separated, separating_direction
from mixedfx.criterion.start import response_unit, starting_values
from mixedfx.exceptions import DataError
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.control import Control, checked_start
from mixedfx.optimize import Optimum, equilibrium, minimize

__all__ = ["GeneralizedFit", "Integrator", "MarginalEvaluation", "difference_hessian", "fit_generalized", "free_bounds"]

RESTARTS = (reopened, reopened, widened, reopened)  # where to look again when the search has ended on a boundary
SEARCH_TOLERANCE = 1e-8  # decrement at which the search with approximate curvature ends and exact Newton steps begin
POLISHING_STEPS = 4
POLISHED = 0.01  # share of the tolerance where they end: with a Hessian at hand a step costs little
EVALUATIONS_PER_STEP = 2  # on average, allowed to all searches together; a search that goes well needs 1 to 1.5
INNER_SHARE, COARSEST = 1e-4, 1e-4  # of the inner iteration during the search: see _inner_tolerance
DIFFERENCE_STEP = 1e-6  # of forward differences of the exact gradient, relative to the size of a parameter …
SHARE_OF_WIDTH = 1e-3  # … but no more than this share of the width of the likelihood …
SPACINGS = 64.0  # … and no less than so many distances between floating-point numbers
SEPARATED = 1e-3  # share of the largest effect that makes a column take part in a separation
AT_LIMIT = 1e-5  # curvature and slope of -2 log L in an unbounded parameter below which it is at infinity
SINGULAR = 1e-8  # eigenvalue of the scaled Hessian, relative to the largest, below which there is no information
LOG_COLLAPSE = float(np.log(1e-10))  # a dispersion so far below that of the response has gone to zero
COLLAPSE = "the dispersion goes to 0, where the mean passes through some rows exactly and the likelihood has no maximum"
FOLD = (
    "the search ran to where the density of the random effects is about to split into several modes, which is beyond "
    "the Laplace approximation; fewer random effects or lighter tails are needed, or information='expected'"
)
TAKES_PART = 1e-4  # share of a direction without information that makes a parameter unknown


class MarginalEvaluation(Protocol):
    """Minus twice an approximate log-likelihood at one place."""

    @property
    def state(self) -> ModeState:
        """The conditional mode that the approximation rests on."""

    @property
    def value(self) -> float:
        """Minus twice the log-likelihood, plus the penalty."""

    @property
    def gradient(self) -> Array:
        """Exact gradient (k,)."""

    @property
    def curvature(self) -> Array:
        """Approximate Hessian (k, k)."""

    @property
    def curvature_is_exact(self) -> bool:
        """Whether that is the Hessian itself."""

    @property
    def theta(self) -> Array:
        """Covariance parameters."""

    @property
    def covariance_gradient(self) -> tuple[Array, ...]:
        """Derivative with respect to the covariances, by factor."""


Integrator = Callable[[ModeState], MarginalEvaluation]


@dataclass(frozen=True)
class GeneralizedFit:
    """A fitted generalised linear mixed model on the inner scale.

    Attributes
    ----------
    problem : GeneralizedProblem
    integrate : Integrator
    optimum : Optimum
        Where the search ended.
    at : MarginalEvaluation
        The criterion at the estimate, boundary settled.
    hessian : (k, k)
        Of minus twice the log-likelihood (plus penalty) at the estimate.
    nodes : int
        Nodes in each dimension: 1 is the Laplace approximation, 0 the one with profiled fixed effects.
    remaining : float, optional
        How far the criterion could still fall, where the gradient of ``at`` does not say it (profiled fixed effects).
    """

    problem: GeneralizedProblem
    integrate: Integrator
    optimum: Optimum[Any]
    at: MarginalEvaluation
    hessian: Array
    nodes: int = 1
    remaining: float | None = None

    @property
    def x(self) -> Array:
        """All parameters on the inner scale."""
        return self.at.state.x

    @property
    def llf(self) -> float:
        """Log-likelihood without the penalty, all constants included."""
        penalty = self.problem.model.penalty.value(self.at.state.parts.beta)
        return -0.5 * (float(self.at.value) - penalty)

    @cached_property
    def free(self) -> BoolArray:
        """Parameters (k,) that are neither held by a bound nor at a limit."""
        lower, upper = free_bounds(self.problem)
        return np.asarray((self.x > lower) & (self.x < upper) & ~self.at_limit)

    @cached_property
    def at_limit(self) -> BoolArray:
        """Parameters (k,) beside the mean that have run to a limit, such as a dispersion that the data do not show."""
        beyond = np.arange(self.x.size) >= self.problem.model.theta_slice.stop
        flat = (np.abs(self.hessian.diagonal()) < AT_LIMIT) & (np.abs(self.at.gradient) < AT_LIMIT)
        return np.asarray(beyond & flat)

    @property
    def unnoticed(self) -> BoolArray:
        """Covariance parameters (k,) whose own size the likelihood does not notice: correlations of no variance."""
        found, own = np.zeros(self.x.size, dtype=bool), self.problem.model.theta_slice
        size = np.maximum(np.abs(self.x[own]), 1.0)
        found[own] = np.abs(self.hessian.diagonal()[own]) * size**2 <= UNKNOWABLE
        return found

    @property
    def inner_covariance(self) -> Array:
        """Joint covariance (k, k) of all parameters on the inner scale; nan for those held at the boundary."""
        inner = np.full_like(self.hessian, np.nan)
        sought = np.ix_(self.free & ~self.unnoticed, self.free & ~self.unnoticed)
        inner[sought] = 2.0 * _inverse(self.hessian[sought])
        return inner

    @cached_property
    def covariance(self) -> Array:
        """Joint covariance (k, k) of all parameters on the user's scale; nan for those held at the boundary."""
        inner = self.inner_covariance
        jacobian = self.problem.jacobian_to_user(self.x)
        unknown = np.isnan(inner.diagonal())
        known = np.where(np.isnan(inner), 0.0, inner)
        out = jacobian @ known @ jacobian.T
        held = np.abs(jacobian) @ unknown.astype(float) > 0
        out[held] = np.nan
        out[:, held] = np.nan
        return np.asarray(out)

    @cached_property
    def certificate(self) -> Certificate:
        """From the Hessian at the estimate."""
        covariance = self.problem.model.covariance
        signature = curvature_verdict(self.hessian, self.at.gradient, self.free, self.x)
        labels, unit = [term.term for term in self.problem.design.random], _unit(self.at)
        verdicts = tuple(variance_verdict(covariance, self.at, k, label, unit) for k, label in enumerate(labels))
        o = self.optimum
        gap = signature.gap if self.remaining is None else self.remaining
        gap = gap if self.at.state.mode.converged else np.inf
        counts = (o.cut, o.iterations, o.evaluations)
        found = Certificate(gap, signature.negative, signature.flat, verdicts, *counts, self.separated, self.divided)
        found = replace(found, unseen=self._unseen()) if found.converged else found
        return replace(found, held=self.held) if found.converged else replace(found, obstacle=self._obstacle())

    @cached_property
    def held(self) -> tuple[str, ...]:
        """Family-wide parameters held at a bound, with their values there."""
        family = self.problem.family
        own = self.x[self.x.size - len(family.phi_names) :]
        lower, upper = family.phi_bounds
        at_bound = (own <= lower) | (own >= upper)
        values = family.natural(own)[0]
        return tuple(f"{name} = {values[name]:.3g}" for name, held in zip(family.phi_names, at_bound) if held)

    def _unseen(self) -> tuple[str, ...]:
        """Names of the fixed effects without a standard error, where floating point lost their curvature."""
        variances = self.covariance.diagonal()[: self.problem.model.n_fixed]
        names = self.problem.design.fixed.names
        return tuple(name for name, variance in zip(names, variances, strict=True) if not np.isfinite(variance))

    def _obstacle(self) -> str:
        """What a search that found no optimum ran into, in words; empty where nothing is known."""
        if _collapsed(self.problem, self.x):
            return COLLAPSE
        return FOLD if nearly_folded(self.at.state) else ""

    @cached_property
    def divided(self) -> tuple[str, ...]:
        """Names of the grouping factors none of whose levels has more than one outcome: infinite variances."""
        slots, terms = self.problem.model.covariance.terms, self.problem.design.random
        found = divided_factors(self.at.state)
        return tuple(dict.fromkeys(t.group for t, slot in zip(terms, slots, strict=True) if slot.factor in found))

    @cached_property
    def separated(self) -> tuple[str, ...]:
        """Names of the fixed effects that separate the response; empty under a penalty, which keeps them finite."""
        state, problem = self.at.state, self.problem
        p = problem.model.n_fixed
        if problem.model.penalty.precision.any() or p == 0:
            return ()
        with np.errstate(invalid="ignore"):  # a separated fit may have no covariance
            inner = np.sqrt(2.0 * _inverse(self.hessian[np.ix_(self.free, self.free)]).diagonal()[:p])
        direction = separating_direction(state) if looks_separated(state, inner) else None
        if direction is None:
            return ()
        moved = problem.bases[0].matrix @ direction
        size = np.abs(moved) * problem.design.fixed.matrix.std(axis=0)
        constant = problem.design.fixed.matrix.std(axis=0) == 0
        chosen = np.where(constant, 0.0, size) > SEPARATED * max(float(size.max()), 1e-300)
        names = problem.design.fixed.names
        return tuple(name for name, one in zip(names, chosen, strict=True) if one) or names


def _collapsed(problem: GeneralizedProblem, x: Array) -> bool:
    """Whether the dispersion has gone to zero, next to the one to start from: some rows are fitted exactly."""
    family = problem.family
    if not family.precision_weights or "dispersion" not in family.phi_names:
        return False
    at = family.phi_names.index("dispersion") - len(family.phi_names)
    return bool(x[at] < family.start_phi(problem.observed)[at] + LOG_COLLAPSE)


def _inverse(hessian: Array) -> Array:
    """Inverse of a positive semidefinite matrix; nan for parameters that take part in a direction without curvature."""
    if not np.isfinite(hessian).all():
        return np.full_like(hessian, np.nan)
    scale = equilibrium(hessian)
    scaled = (hessian / scale) / scale[:, None]
    values, vectors = np.linalg.eigh(scaled)
    vanishing = np.abs(values) <= SINGULAR * np.abs(values).max(initial=0.0)
    if np.any(values[~vanishing] < 0):
        return np.full_like(hessian, np.nan)
    determined, kept = ~(np.abs(vectors[:, vanishing]) > TAKES_PART).any(axis=1), vectors[:, ~vanishing]
    out = np.full_like(hessian, np.nan)
    both = np.ix_(determined, determined)
    out[both] = ((kept / values[~vanishing]) @ kept.T / np.outer(scale, scale))[both]
    return out


def free_bounds(problem: GeneralizedProblem) -> tuple[Array, Array]:
    """Return the bounds (k,) of all parameters for the search."""
    covariance, at = problem.model.covariance, problem.model.theta_slice
    lower = np.full(problem.n_parameters, -np.inf)
    upper = np.full(problem.n_parameters, np.inf)
    lower[at], upper[at] = covariance.search_lower, covariance.upper
    n_phi = len(problem.family.phi_names)
    lower[lower.size - n_phi :], upper[upper.size - n_phi :] = problem.family.phi_bounds
    return lower, upper


def difference_hessian(integrate: Integrator, at: MarginalEvaluation) -> Array:
    """Return the Hessian (k, k) by forward differences of the exact gradient, the mode moved by its derivative.

    The error of the predicted mode is of second order in the step, as is that of the difference itself. Parameters at
    an upper bound move down. The Hessian is nan where floating point cannot compute it.
    """
    x, gradient = at.state.x, at.gradient
    width = 1.0 / np.sqrt(np.maximum(np.abs(at.curvature.diagonal()), np.finfo(float).tiny))
    steps = np.minimum(DIFFERENCE_STEP * np.maximum(np.abs(x), 0.1), SHARE_OF_WIDTH * width)
    steps = np.maximum(steps, SPACINGS * np.spacing(np.maximum(np.abs(x), np.finfo(float).tiny)))
    own, upper = at.state.model.theta_slice, at.state.model.covariance.upper
    steps[own] *= np.where(x[own] + steps[own] > upper, -1.0, 1.0)
    moved = x + np.diag(steps)
    taken = moved.diagonal() - x
    try:
        states = predicted_states(at.state, list(moved))
        jacobian = np.array([integrate(state).gradient - gradient for state in states]) / taken[:, None]
    except FloatingPointError:
        return np.full((x.size, x.size), np.nan)
    return np.asarray(0.5 * (jacobian + jacobian.T))


@np.errstate(over="ignore", invalid="ignore")  # wild steps are judged by their value and taken back
def fit_generalized(
    problem: GeneralizedProblem,
    control: Control,
    integrate: Integrator,
    start: Array | None = None,
    hessian: Array | None = None,
) -> GeneralizedFit:
    """Minimise minus twice the approximate log-likelihood over all parameters jointly.

    Parameters
    ----------
    problem : GeneralizedProblem
    control : Control
    integrate : callable
        From the state at the conditional mode to the approximation: Laplace, quadrature.
    start : (k,), optional
        Inner parameters to start from.
    hessian : (k, k), optional
        What the Hessian there is known to be, or nearly.

    Raises
    ------
    DataError
        If floating point cannot compute the likelihood where the search begins.
    """
    try:
        first = _start(problem, control) if start is None else start
        optimum = _beyond_boundaries(
            problem, control, integrate, _minimize(problem, first, control, integrate, hessian=hessian)
        )
    except FloatingPointError as error:
        raise DataError(
            f"the likelihood of {problem.design.response.name!r} cannot be computed ({error}): do columns differ "
            "much in size, are there values that the family can hardly produce, or more effects than the rows can bear?"
        ) from error
    at = optimum.point
    if not np.isfinite(at.value):
        raise DataError(
            f"the likelihood of {problem.design.response.name!r} is not finite where the search begins: does the model "
            "lack an intercept that the link needs? Try another link, such as link='log'"
        )
    at, hessian = _polished(problem, _settled(problem, at, integrate), control, integrate)
    return GeneralizedFit(problem, integrate, optimum, _settled(problem, at, integrate), hessian)


def _beyond_boundaries(
    problem: GeneralizedProblem, control: Control, integrate: Integrator, found: Optimum[MarginalEvaluation]
) -> Optimum[MarginalEvaluation]:
    """Search again from other variances where some are zero that should not be, or a higher maximum may lie beyond.

    What lies beyond must be a maximum: the Laplace approximation of a density with several modes grows without one.
    """
    evaluations = found.evaluations
    for elsewhere in RESTARTS:
        at = found.point
        theta = elsewhere(problem.model.covariance, at, _unit(at)) if np.isfinite(at.value) and not found.cut else None
        if theta is None:
            continue
        try:
            again = _minimize(problem, _with_theta(problem, at, theta), control, integrate, spent=evaluations)
        except FloatingPointError:
            break
        evaluations += again.evaluations
        if again.point.value < at.value and (again.converged or elsewhere is not widened):
            found = again
    return found


def _unit(at: MarginalEvaluation) -> float:
    """What a standard deviation of random effects is compared with."""
    return response_unit(at.state.model, at.state.mode.eta, at.state.auxiliary)


def _start(problem: GeneralizedProblem, control: Control) -> Array:
    x = starting_values(problem)
    if control.start is not None:
        user = problem.to_user(x)
        user[problem.model.theta_slice] = checked_start(control.start, problem.model.covariance.n_theta)
        x = problem.to_inner(user)
    return x


def _with_theta(problem: GeneralizedProblem, at: MarginalEvaluation, theta: Array) -> Array:
    x = at.state.x.copy()
    x[problem.model.theta_slice] = theta
    return x


def _minimize(
    problem: GeneralizedProblem,
    start: Array,
    control: Control,
    integrate: Integrator,
    *,
    spent: int = 0,
    hessian: Array | None = None,
) -> Optimum[MarginalEvaluation]:
    """Search with warm starts: every mode is sought from where the last accepted one leads one to expect it.

    ``spent`` evaluations were made before: the work on a hopeless problem is bounded. ``hessian`` (k, k) is what the
    one at the start is known to be, or nearly.
    """
    lower, upper = free_bounds(problem)
    last: list[MarginalEvaluation] = []

    def function(x: Array) -> MarginalEvaluation:
        near = last[0].state if last else None
        point = integrate(mode_state(problem.model, x, near, _inner_tolerance(x, last)))
        if np.isfinite(point.value) and _is_smooth(point):
            last[:] = [point]
        return point

    tolerance = max(control.tol, SEARCH_TOLERANCE)
    callback = control.callback()
    allowed = max(EVALUATIONS_PER_STEP * control.max_iter - spent, 1)
    return minimize(
        function,
        start,
        lower,
        upper,
        tol=tolerance,
        max_iter=control.max_iter,
        max_evaluations=allowed,
        callback=callback,
        hessian=lambda point: difference_hessian(integrate, point),
        first_hessian=hessian,
    )


def _is_smooth(point: MarginalEvaluation) -> bool:
    """Whether the gradient can be computed: what the observed information at the mode must be positive for."""
    try:
        return bool(np.isfinite(point.gradient).all())
    except FloatingPointError:
        return False


def _inner_tolerance(x: Array, last: Sequence[MarginalEvaluation]) -> float:
    """Accuracy of the mode that a step deserves: a share of the change that the gradient leads one to expect."""
    if not last:
        return COARSEST
    expected = abs(float(last[0].gradient @ (x - last[0].state.x)))
    return float(np.clip(INNER_SHARE * expected, TOLERANCE, COARSEST))


def _settled(problem: GeneralizedProblem, at: MarginalEvaluation, integrate: Integrator) -> MarginalEvaluation:
    """The evaluation with negligible directions set to exactly zero and theta in its canonical form."""
    theta = settled(problem.model.covariance, at, _unit(at))
    if np.array_equal(theta, at.theta):
        return at
    moved = integrate(mode_state(problem.model, _with_theta(problem, at, theta), at.state))
    return moved if moved.value <= at.value + CERTIFIED_GAP and _is_smooth(moved) else at


def _polished(
    problem: GeneralizedProblem, at: MarginalEvaluation, control: Control, integrate: Integrator
) -> tuple[MarginalEvaluation, Array]:
    """Newton steps with the Hessian of the first point, and that Hessian."""
    hessian = difference_hessian(integrate, at)
    lower, upper = free_bounds(problem)
    free = (at.state.x > lower) & (at.state.x < upper)
    inverse = np.nan_to_num(_inverse(hessian[np.ix_(free, free)]))
    for _ in range(POLISHING_STEPS if control.max_iter > 0 else 0):
        x, gradient = at.state.x, at.gradient[free]
        if not 0.5 * float(gradient @ inverse @ gradient) > POLISHED * control.tol:
            break
        moved = x.copy()
        moved[free] -= inverse @ gradient
        trial = integrate(mode_state(problem.model, np.clip(moved, lower, upper), at.state))
        if not (trial.value <= at.value and _is_smooth(trial)):
            break
        at = trial
    return at, hessian
