"""Fit a generalised linear mixed model: optimise all parameters jointly, settle the boundary, polish."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace

import numpy as np

from mixedfx._progress import watched
from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.boundary import CERTIFIED_GAP, reopened, settled, widened
from mixedfx.criterion.evaluation import Integrator, MarginalEvaluation
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.mode import TOLERANCE
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.families.links import EVERYWHERE, LINKS
from mixedfx.families.zeros import sources_of_zeros
from mixedfx.fitting.control import Control, checked_start
from mixedfx.fitting.generalized import (
    GeneralizedFit,
    inverse_information,
    unit_at,
)
from mixedfx.fitting.obstacles import has_no_end
from mixedfx.fitting.starts import (
    FEW_EFFECTS,
    NUDGES,
    SMALL_SD,
    Effort,
    Found,
    NarrowerModel,
    Starts,
    has_free_correlation,
    narrower_models,
    random_thetas,
    starts_report,
    station_thetas,
)
from mixedfx.optimize import Optimum, minimize

__all__ = ["difference_hessian", "fit_generalized", "inner_tolerance", "not_computable", "starting_point"]

RESTARTS = (reopened, reopened, widened, reopened)  # where to look again when the search has ended on a boundary
SEARCH_TOLERANCE = 1e-8  # decrement at which the search with approximate curvature ends and exact Newton steps begin
LARGEST_SPAN = 50.0  # of an offset on a link's scale; 22 magnitudes between two rows are a forgotten logarithm
POLISHING_STEPS = 4
POLISHED = 0.01  # share of the tolerance where they end: with a Hessian at hand a step costs little
NEXT_TO = 1e-4  # relative distance of a parameter from the end of its range, which is tried too
EXPLORING, EXPLORED = 1e-3, 8  # decrement, and steps, at which a search elsewhere is asked what it may find
AS_GOOD_AS_INFINITE = 12.0  # size, on its unbounded scale, of a parameter that a look holds at its end
UNNOTICED, HARDLY_NOTICED = 0.05, 5.0  # log-likelihood, given the random effects, that a source of zeros is worth
SEARCHES = 2  # that a boundary usually asks for, where the narrower structures are counted
EVALUATIONS_PER_STEP = 2  # on average, allowed to all searches together; a search that goes well needs 1 to 1.5
INNER_SHARE, COARSEST = 1e-4, 1e-4  # of the inner iteration during the search: see inner_tolerance
DIFFERENCE_STEP = 1e-6  # of forward differences of the exact gradient, relative to the size of a parameter …
SHARE_OF_WIDTH = 1e-4  # … but no more than this share of the width of the likelihood …
SPACINGS = 64.0  # … and no less than so many distances between floating-point numbers


def difference_hessian(integrate: Integrator, at: MarginalEvaluation, stretch: float = 1.0) -> Array:
    """Return the Hessian (k, k) by forward differences of the exact gradient, the mode moved by its derivative.

    ``stretch`` multiplies the usual steps: what another one changes is rounding.

    The error of the predicted mode is of second order in the step, as is that of the difference itself. Covariance
    parameters move one by one, those at an upper bound down; the others along directions that the approximate curvature
    tells apart, so that parameters which nearly make up for each other cost no digits. The Hessian is nan where
    floating point cannot compute it.
    """
    x, gradient = at.state.x, at.gradient
    moved = x + stretch * _moves(at)
    taken = moved - x
    try:
        states = at.state.predicted(list(moved))
        changes = np.array([integrate(state).gradient - gradient for state in states])
        inner = taken @ changes.T
        left = np.linalg.solve(taken, 0.5 * (inner + inner.T))
        hessian = np.linalg.solve(taken, left.T)
    except (FloatingPointError, np.linalg.LinAlgError):
        return np.full((x.size, x.size), np.nan)
    return np.asarray(0.5 * (hessian + hessian.T))


def _moves(at: MarginalEvaluation) -> Array:
    """Steps (k, k) from the parameters, one a row."""
    x, own, upper = at.state.x, at.state.model.theta_slice, at.state.model.covariance.upper
    directions = np.diag(1.0 / np.sqrt(np.maximum(np.abs(at.curvature.diagonal()), np.finfo(float).tiny)))
    others = np.delete(np.arange(x.size), own)
    square = np.ix_(others, others)
    with suppress(np.linalg.LinAlgError):  # a curvature that is none: one by one
        directions[square] = np.linalg.inv(np.linalg.cholesky(at.curvature[square]))
    size, largest = np.abs(directions), DIFFERENCE_STEP * np.maximum(np.abs(x), 0.1)
    ratio = np.full_like(size, np.inf)
    with np.errstate(over="ignore"):  # a direction that moves a parameter by next to nothing sets no limit, and one
        # that moves it by all there is is seen
        share = np.minimum(np.divide(largest, size, out=ratio, where=size > 0).min(axis=1), SHARE_OF_WIDTH)
        seen = (size / np.spacing(np.maximum(np.abs(x), np.finfo(float).tiny))).max(axis=1)
    moves = np.maximum(share, SPACINGS / seen)[:, None] * directions
    steps = moves[own, own].diagonal()
    moves[own, own] *= np.where(x[own] + steps > upper, -1.0, 1.0)[:, None]
    return np.asarray(moves)


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
        first = starting_point(problem, control) if start is None else start
        optimum = _searched(problem, control, integrate, first, hessian)
        if start is None:
            optimum = _from_stations(problem, control, integrate, first, optimum)
            optimum = _from_sources_of_zeros(problem, control, integrate, first, optimum)
        optimum, starts = _from_elsewhere(problem, control, integrate, first, optimum)
    except FloatingPointError as error:
        raise not_computable(problem, error) from error
    at = optimum.point
    if not np.isfinite(at.value):
        raise DataError(
            f"the likelihood of {problem.design.response.name!r} is not finite where the search begins: "
            f"{_reason(problem)}"
        )
    at, hessian = _polished(problem, _settled(problem, at, integrate), control, integrate)
    return GeneralizedFit(problem, integrate, optimum, _settled(problem, at, integrate), hessian, starts=starts)


def _from_stations(
    problem: GeneralizedProblem,
    control: Control,
    integrate: Integrator,
    start: Array,
    found: Optimum[MarginalEvaluation],
) -> Optimum[MarginalEvaluation]:
    """Search small models again from elsewhere in the ranges of correlations, for a higher maximum there."""
    if control.start is not None or not _is_small(problem, found):
        return found
    own = problem.theta_slice
    for theta in station_thetas(problem.covariance, start[own]):
        begin = start.copy()
        begin[own] = theta
        found = _explored(problem, control, integrate, begin, found)
    return found


def _is_small(problem: GeneralizedProblem, found: Optimum[MarginalEvaluation]) -> bool:
    """Whether there are so few random effects that other maxima are worth a look, and a search that has ended."""
    layout = problem.assembly.rows.layout
    few = sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True)) <= FEW_EFFECTS
    return few and not _is_hopeless(problem, found)


def _is_hopeless(problem: GeneralizedProblem, found: Optimum[MarginalEvaluation]) -> bool:
    """Whether a search from elsewhere has nothing to find: the limit is used up, or there is no maximum."""
    return found.cut or not np.isfinite(found.point.value) or has_no_end(problem, found)


def _explored(
    problem: GeneralizedProblem,
    control: Control,
    integrate: Integrator,
    begin: Array,
    found: Optimum[MarginalEvaluation],
    held: BoolArray | None = None,
) -> Optimum[MarginalEvaluation]:
    """The higher one of a maximum and of that near ``begin``, which is searched to the end if it may be the higher.

    The first look leaves the parameters ``held`` (k,) where they are.
    """
    coarse = replace(control, tol=max(control.tol, EXPLORING), max_iter=min(control.max_iter, EXPLORED))
    try:
        again = _minimize(problem, begin, coarse, integrate, held=held)
        if again.point.value - 2.0 * again.decrement < found.point.value - CERTIFIED_GAP:
            again = _minimize(problem, again.x, control, integrate)
            again = _beyond_boundaries(problem, control, integrate, again, found)
    except (FloatingPointError, SpecificationError):
        return found
    return again if again.converged and again.point.value < found.point.value - CERTIFIED_GAP else found


def _from_sources_of_zeros(
    problem: GeneralizedProblem,
    control: Control,
    integrate: Integrator,
    start: Array,
    found: Optimum[MarginalEvaluation],
) -> Optimum[MarginalEvaluation]:
    """Look at the smaller models, each without one of two sources of zeros, and search on from one that is better.

    Each may stand for the other, so that the likelihood has a maximum with either. A source is left out where the
    other one has run to its end, and where the data, given the random effects, hardly notice it.
    """
    sources = sources_of_zeros(problem.family)
    if len(sources) < 2 or not _is_small(problem, found):
        return found
    state, model = found.point.state, problem.model
    names = (*problem.family.predictors[1:], *problem.family.phi_names)
    places = {name: len(model.auxiliaries) - len(names) + k for k, name in enumerate(names)}
    held = {name: np.zeros(found.x.size, dtype=bool) for name in sources}
    at_end, worth = found.x.copy(), {}
    here = float(model.likelihood.value(state.mode.eta, state.auxiliary).sum())
    for name, end in sources.items():
        span, matrix = model.extra_slices[places[name]], model.auxiliaries[places[name]].matrix
        level = float(np.copysign(AS_GOOD_AS_INFINITE, end))
        held[name][problem.theta_slice.stop :][span] = True
        at_end[held[name]] = np.linalg.lstsq(matrix, np.full(len(matrix), level), rcond=None)[0]
        without = list(state.auxiliary)
        without[places[name]] = np.full_like(state.auxiliary[places[name]], level)
        worth[name] = here - float(model.likelihood.value(state.mode.eta, without).sum())
    for name, other in ((name, other) for name in sources for other in sources if name != other):
        ended = worth[other] < UNNOTICED
        if ended or UNNOTICED <= worth[name] < HARDLY_NOTICED:
            begin = np.where(held[name], at_end, np.where(held[other] & ended, start, found.x))
            found = _explored(problem, control, integrate, begin, found, held[name])
    return found


def not_computable(problem: GeneralizedProblem, reason: FloatingPointError) -> DataError:
    """Return the error for a likelihood that floating point cannot compute."""
    return DataError(
        f"the likelihood of {problem.design.response.name!r} cannot be computed ({reason}): do columns differ "
        "much in size, are there values that the family can hardly produce, or more effects than the rows can bear?"
    )


def _from_elsewhere(
    problem: GeneralizedProblem,
    control: Control,
    integrate: Integrator,
    start: Array,
    first: Optimum[MarginalEvaluation],
) -> tuple[Optimum[MarginalEvaluation], Starts | None]:
    """Search from random covariances too, if that is asked for; the best, and what each found."""
    if control.starts == 1 or not np.isfinite(first.point.value):
        return first, None
    best, own = first, problem.theta_slice
    searches = [_found(problem, start, first)]
    covariance, count = problem.covariance, control.starts - 1

    def tried(theta: Array) -> tuple[Array, Optimum[MarginalEvaluation] | None]:
        begin = start.copy()
        begin[own] = theta
        try:
            again = _minimize(problem, begin, control, integrate)
            return begin, _beyond_boundaries(problem, control, integrate, again)
        except FloatingPointError:
            return begin, None

    thetas = random_thetas(covariance, count, control.seed, unit_at(first.point))
    with closing(watched((tried(theta) for theta in thetas), count, "starts")) as found:
        for begin, again in found:
            searches.append(_found(problem, begin, again) if again else Found.nothing(begin[own]))
            if again and again.converged and again.point.value < best.point.value - CERTIFIED_GAP:
                best = again

    def to_user(theta: Array) -> Array:
        return problem.to_user(_with_theta(problem, first.point, theta))[own]

    return best, starts_report(problem.design, to_user, searches)


def _found(problem: GeneralizedProblem, start: Array, optimum: Optimum[MarginalEvaluation]) -> Found:
    own, penalty = problem.theta_slice, problem.model.penalty
    value = float(optimum.point.value) - penalty.value(optimum.x[: problem.model.n_fixed])
    return Found(start[own], optimum.x[own], -0.5 * value, optimum.converged, optimum.evaluations)


def _searched(
    problem: GeneralizedProblem,
    control: Control,
    integrate: Integrator,
    start: Array,
    hessian: Array | None = None,
    effort: Effort | None = None,
) -> Optimum[MarginalEvaluation]:
    """Search from ``start``, from beyond the boundaries, and from the optima of narrower structures."""
    effort = Effort(control.max_iter) if effort is None else effort
    found = _minimize(problem, start, control, integrate, hessian=hessian)
    found = _beyond_boundaries(problem, control, integrate, found)
    effort.spend(SEARCHES * found.evaluations)
    at, covariance = found.point, problem.covariance
    lost = not found.converged or has_free_correlation(covariance, at.theta, SMALL_SD * unit_at(at))
    if not lost or _is_hopeless(problem, found):
        return found
    for narrower in narrower_models(problem.design, covariance):
        if effort.is_used_up:
            break
        try:
            begin = _optimum_within(problem, narrower, control, integrate, effort)
            if begin is None:
                continue
            again = _minimize(problem, begin, control, integrate)
            again = _beyond_boundaries(problem, control, integrate, again, found)
        except FloatingPointError:
            continue
        effort.spend(SEARCHES * again.evaluations)
        if again.converged and again.point.value < found.point.value:
            found = again
    return found


def _optimum_within(
    problem: GeneralizedProblem, narrower: NarrowerModel, control: Control, integrate: Integrator, effort: Effort
) -> Array | None:
    """Inner parameters of the optimum of a narrower model, as ones of ``problem``; None where it is not to be had."""

    def search() -> tuple[Array, ...]:
        inner = problem.with_design(narrower.design)
        return (inner.to_user(_searched(inner, control, integrate, inner.start, effort=effort).x),)

    found = effort.optimum(narrower.design, search)
    if found is None:
        return None
    (user,), own = found, problem.theta_slice
    after = user.size - (problem.n_parameters - own.stop)  # theta is shorter there; all else is as it is here
    return problem.to_inner(np.concatenate([user[: own.start], narrower.embed(user[own.start : after]), user[after:]]))


def _beyond_boundaries(
    problem: GeneralizedProblem,
    control: Control,
    integrate: Integrator,
    found: Optimum[MarginalEvaluation],
    known: Optimum[MarginalEvaluation] | None = None,
) -> Optimum[MarginalEvaluation]:
    """Search again from other variances where some are zero that should not be, or a higher maximum may lie beyond.

    What lies beyond must be a maximum: the Laplace approximation of a density with several modes grows without one.
    Of an optimum that is ``known``, which has come from here, nothing is searched twice.
    """
    if known is not None and known.converged and abs(found.point.value - known.point.value) <= CERTIFIED_GAP:
        return found
    evaluations = found.evaluations
    for elsewhere in RESTARTS:
        at = found.point
        if _is_hopeless(problem, found):
            break
        theta = elsewhere(problem.covariance, at, unit_at(at))
        if theta is None:
            continue
        try:
            start = _with_theta(problem, at, theta)
            if elsewhere is reopened:
                start = _falling(problem, at, start, integrate)
            again = _minimize(problem, start, control, integrate, spent=evaluations)
        except FloatingPointError:
            break
        evaluations += again.evaluations
        if again.point.value < at.value and (again.converged or elsewhere is not widened):
            found = again
    return found


def _falling(problem: GeneralizedProblem, at: MarginalEvaluation, start: Array, integrate: Integrator) -> Array:
    """``start``, or parameters opened by less, so that the criterion falls."""
    for nudge in NUDGES:
        theta = reopened(problem.covariance, at, unit_at(at), nudge)
        if theta is None:
            break
        x = _with_theta(problem, at, theta)
        try:
            if problem.evaluate(x, integrate, at.state).value < at.value:
                return x
        except FloatingPointError:
            continue
    return start


def _reason(problem: GeneralizedProblem) -> str:
    """What may keep a likelihood from being finite, in words."""
    family, offset = problem.family, problem.design.offset
    link = family.mean_link
    if offset is not None and link.name != "identity" and np.ptp(offset) > LARGEST_SPAN:
        return (
            f"the offset goes from {offset.min():.4g} to {offset.max():.4g} on the scale of the linear predictor (link "
            f"{link.name!r}); is it an exposure that should be offset(log(…))?"
        )
    known = [LINKS[name] for name in family.links if name in LINKS and name != link.name]
    others = ", ".join(f"link={other.name!r}" for other in known if other.domain(family.mean_range) == EVERYWHERE)
    edge = link.domain(family.mean_range) != EVERYWHERE
    if edge and others:
        return (
            f"with the link {link.name!r} not every linear predictor is a mean of the family {family.name!r}; take a "
            f"link without an edge, {others}, or give the model an intercept if it has none"
        )
    return "are there predictors of very different size, or values that the family can hardly produce?"


def starting_point(problem: GeneralizedProblem, control: Control) -> Array:
    """Return inner parameters (k,) to begin with: from moments, theta the user's where it is given."""
    x = problem.start
    if control.start is not None:
        user = problem.to_user(x)
        user[problem.theta_slice] = checked_start(control.start, problem.covariance.n_theta)
        x = problem.to_inner(user)
    return x


def _with_theta(problem: GeneralizedProblem, at: MarginalEvaluation, theta: Array) -> Array:
    x = at.state.x.copy()
    x[problem.theta_slice] = theta
    return x


def _minimize(
    problem: GeneralizedProblem,
    start: Array,
    control: Control,
    integrate: Integrator,
    *,
    spent: int = 0,
    hessian: Array | None = None,
    held: BoolArray | None = None,
) -> Optimum[MarginalEvaluation]:
    """Search with warm starts: every mode is sought from where the last accepted one leads one to expect it.

    ``spent`` evaluations were made before: the work on a hopeless problem is bounded. ``hessian`` (k, k) is what the
    one at the start is known to be, or nearly. The parameters ``held`` (k,) stay where they start.
    """
    lower, upper = problem.bounds
    if held is not None:
        lower, upper = np.where(held, start, lower), np.where(held, start, upper)
    last: list[MarginalEvaluation] = []

    def function(x: Array) -> MarginalEvaluation:
        near = last[0].state if last else None
        point = problem.evaluate(x, integrate, near, inner_tolerance(x, last))
        if np.isfinite(point.value) and _is_smooth(point):
            last[:] = [point]
        return point

    tolerance = max(control.tol, SEARCH_TOLERANCE)
    callback = control.callback(problem.to_user)
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


def inner_tolerance(x: Array, last: Sequence[MarginalEvaluation]) -> float:
    """Return how exact a mode a step deserves: a share of the change that the gradient leads one to expect."""
    if not last:
        return COARSEST
    expected = abs(float(last[0].gradient @ (x - last[0].state.x)))
    return float(np.clip(INNER_SHARE * expected, TOLERANCE, COARSEST))


def _settled(problem: GeneralizedProblem, at: MarginalEvaluation, integrate: Integrator) -> MarginalEvaluation:
    """The evaluation with negligible directions set to exactly zero and theta in its canonical form.

    A parameter next to the end of its range, where the derivatives may be lost in rounding, is put there.
    """
    x = _with_theta(problem, at, settled(problem.covariance, at, unit_at(at)))
    for bound in problem.bounds:
        x = np.where(np.abs(x - bound) < NEXT_TO * np.abs(bound), bound, x)
    if np.array_equal(x, at.state.x):
        return at
    moved = problem.evaluate(x, integrate, at.state)
    return moved if moved.value <= at.value + CERTIFIED_GAP and _is_smooth(moved) else at


def _polished(
    problem: GeneralizedProblem, at: MarginalEvaluation, control: Control, integrate: Integrator
) -> tuple[MarginalEvaluation, Array]:
    """Newton steps with the Hessian of the first point, and that Hessian."""
    hessian = difference_hessian(integrate, at)
    lower, upper = problem.bounds
    free = (at.state.x > lower) & (at.state.x < upper)
    inverse = np.nan_to_num(inverse_information(hessian[np.ix_(free, free)]))
    for _ in range(POLISHING_STEPS if control.max_iter > 0 else 0):
        x, gradient = at.state.x, at.gradient[free]
        if not 0.5 * float(gradient @ inverse @ gradient) > POLISHED * control.tol:
            break
        moved = x.copy()
        moved[free] -= inverse @ gradient
        trial = problem.evaluate(np.clip(moved, lower, upper), integrate, at.state)
        if not (trial.value <= at.value and _is_smooth(trial)):
            break
        at = trial
    return at, hessian
