"""Search for the optimum of a Gaussian mixed model: from several places where one may mislead, the boundary settled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np

from mixedfx._progress import watched
from mixedfx._typing import Array
from mixedfx.criterion.boundary import NEGLIGIBLE_VARIANCE, reopened, settled
from mixedfx.criterion.evaluation import GaussianEvaluation
from mixedfx.criterion.linear_problem import LinearProblem
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.fitting.control import Control, checked_start
from mixedfx.fitting.iterative_search import fit_by_probes, near_optimum
from mixedfx.fitting.linear import LinearFit, is_saturated
from mixedfx.fitting.starts import (
    FEW_EFFECTS,
    NUDGES,
    SMALL_SD,
    Effort,
    Found,
    NarrowerModel,
    Starts,
    exchanged_thetas,
    has_free_correlation,
    narrower_models,
    random_thetas,
    similar_terms,
    starts_report,
    station_thetas,
)
from mixedfx.optimize import Optimum, minimize

__all__ = ["fit_linear", "settled_point"]

TINY_RESIDUAL = 1e-7  # of the response's variance: below it, digits of the residual sum of squares are lost
RESTARTS = 3  # restarts from a doubtful boundary at the most
DOUBLE = 2  # evaluations in narrower structures all together, in units of those of the search, away from boundaries
NEGLIGIBLE_FALL = 1e-8  # of -2 log L: the same valley
LONG_SEARCH = 10  # evaluations; a longer search met a surface that is far from quadratic and may have another valley
NEAR_BOUND = 0.25  # share of its range: a parameter of the residuals that is so near to its bound has run away …
NEAR_END = 0.02  # … or so near to the end of the range of its natural value
LESS = 0.3  # of the moments' standard deviations: what correlated residuals leave to the random effects
MOST_BY_DIFFERENCES = 8  # parameters beyond which a curvature by differences is too dear for searches from elsewhere
EXPLORING, PROMISING, EXPLORED = 1e-6, 1e-5, 30  # decrement, gain, and steps at which a search elsewhere is given up
WIDER = 3.0  # a second search starts with so many times the moments' standard deviations, without correlations


def fit_linear(problem: LinearProblem, control: Control, effort: Effort | None = None) -> LinearFit:
    """Minimise the criterion of a Gaussian mixed model.

    Directions whose variance vanishes are settled by the sign of the derivative with respect to the covariance: set to
    exactly zero where it is not negative, re-opened otherwise. ``effort`` is what narrower structures may still cost.
    """
    if problem.is_iterative:
        return fit_by_probes(problem, control)
    problem, optimum = _searched(problem, control)
    optimum = _second_search(problem, optimum, control)
    optimum = _from_stations(problem, optimum, control, effort)
    optimum = _from_other_end(problem, _opened(problem, optimum, control), control)
    optimum = _from_within(problem, optimum, control, effort)
    optimum, starts = _from_elsewhere(problem, optimum, control)
    return LinearFit(problem, optimum, settled_point(problem, optimum.point), starts)


def _from_other_end(
    problem: LinearProblem, found: Optimum[GaussianEvaluation], control: Control
) -> Optimum[GaussianEvaluation]:
    """Search again where a variance of zero may be one that a nearly exchangeable term has taken over."""
    if found.cut or not similar_terms(problem.design):
        return found
    k = problem.covariance.n_theta
    for _ in range(RESTARTS):
        best = found
        for theta in exchanged_thetas(problem.design, problem.to_user(found.x[:k])):
            try:
                start = np.concatenate([problem.to_inner(theta), found.x[k:]])
                again = _opened(problem, _minimize(problem, start, control), control)
            except FloatingPointError:
                continue
            if again.point.value < best.point.value - NEGLIGIBLE_FALL:
                best = again
        if best is found:
            break
        found = best
    return found


def _from_elsewhere(
    problem: LinearProblem, first: Optimum[GaussianEvaluation], control: Control
) -> tuple[Optimum[GaussianEvaluation], Starts | None]:
    """Search from random parameters too, if that is asked for; the best, and what each found."""
    if control.starts == 1:
        return first, None
    k, best = problem.covariance.n_theta, first
    searches = [_found(problem, _start(problem, control), first)]
    thetas = random_thetas(problem.covariance, control.starts - 1, control.seed)
    tried = (_tried(problem, np.concatenate([theta, problem.criterion.start[k:]]), control) for theta in thetas)
    with closing(watched(tried, control.starts - 1, "starts")) as found:
        for start, again in found:
            searches.append(_found(problem, start, again) if again else Found.nothing(start[:k]))
            if again and again.point.value < best.point.value - NEGLIGIBLE_FALL:
                best = again
    return best, starts_report(problem.design, problem.to_user, searches)


def _tried(problem: LinearProblem, start: Array, control: Control) -> tuple[Array, Optimum[GaussianEvaluation] | None]:
    """One more start and what the search from there found, if it could be made."""
    try:
        return start, _opened(problem, _minimize(problem, start, control), control)
    except FloatingPointError:
        return start, None


def _found(problem: LinearProblem, start: Array, optimum: Optimum[GaussianEvaluation]) -> Found:
    k = problem.covariance.n_theta
    value = float(optimum.point.value)
    return Found(start[:k], optimum.x[:k], -0.5 * value, optimum.converged, optimum.evaluations)


def _from_within(
    problem: LinearProblem, found: Optimum[GaussianEvaluation], control: Control, effort: Effort | None
) -> Optimum[GaussianEvaluation]:
    """Search structured covariances again from the optima of the structures that they contain."""
    model = problem.covariance
    lost = not found.converged or has_free_correlation(model, found.x[: model.n_theta], SMALL_SD)
    if found.cut or not (lost or (control.start is None and _has_few_effects(problem))) or _is_hopeless(problem, found):
        return found
    if effort is None:
        structured = sum(bool(term.covariance.contained()) for term in problem.design.random)
        effort = Effort(control.max_iter // max(structured, 1) ** 2 if lost else DOUBLE * found.evaluations)
    else:
        effort.spend(found.evaluations)
    for narrower in narrower_models(problem.design, model):
        if effort.is_used_up:
            break
        start = _optimum_within(problem, narrower, control, effort)
        if start is None:
            continue
        try:
            again = _opened(problem, _minimize(problem, start, control), control)
        except FloatingPointError:
            continue
        effort.spend(again.evaluations)
        if again.point.value < found.point.value - NEGLIGIBLE_FALL:
            found = again
    return found


def _optimum_within(problem: LinearProblem, narrower: NarrowerModel, control: Control, effort: Effort) -> Array | None:
    """Inner parameters of the optimum of a narrower model, as one of ``problem``; None where there is none."""

    def search() -> tuple[Array, ...] | None:
        try:
            inner = problem.with_design(narrower.design)
            fit = fit_linear(inner, replace(control, start=None, starts=1), effort)
        except (DataError, FloatingPointError):
            return None
        return fit.theta, fit.rho

    found = effort.optimum(narrower.design, search)
    if found is None:
        return None
    theta, rho = found
    return np.concatenate([problem.to_inner(narrower.embed(theta)), rho])


def _is_hopeless(problem: LinearProblem, found: Optimum[GaussianEvaluation]) -> bool:
    """Whether the search ran into rounding beside no residual, where any place is as low as another."""
    return not found.converged and is_saturated(problem)


def _has_few_effects(problem: LinearProblem) -> bool:
    layout = problem.assembly.rows.layout
    return sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True)) <= FEW_EFFECTS


def _opened(
    problem: LinearProblem, optimum: Optimum[GaussianEvaluation], control: Control
) -> Optimum[GaussianEvaluation]:
    """Search on from where directions without variance are opened, as long as the criterion falls that way."""
    for _ in range(RESTARTS):
        start = None if optimum.cut else _opening(problem, optimum.point)
        if start is None:
            break
        try:
            again = _minimize(problem, start, control)
        except FloatingPointError:
            break
        if not again.point.value < optimum.point.value:
            break
        optimum = again
    return optimum


def _opening(problem: LinearProblem, point: GaussianEvaluation) -> Array | None:
    """Parameters with wrongly closed directions opened, by so little that the criterion falls; None if none is."""
    first = None
    for nudge in NUDGES:
        theta = reopened(problem.covariance, point.linear, nudge=nudge)
        if theta is None:
            return first
        x = np.concatenate([theta, point.x[theta.size :]])
        first = x if first is None else first
        try:
            if problem.criterion(x).value < point.value:
                return x
        except FloatingPointError:
            continue
    return first


def _second_search(
    problem: LinearProblem, first: Optimum[GaussianEvaluation], control: Control
) -> Optimum[GaussianEvaluation]:
    """Search small models with several factors once more from elsewhere, if the first search was a long one."""
    layout = problem.assembly.rows.layout
    if control.start is not None or first.cut or first.evaluations < LONG_SEARCH or layout.n_factors < 2:
        return first
    if not _has_few_effects(problem):
        return first
    start, model = problem.criterion.start, problem.covariance
    k = model.n_theta
    free = np.where(model.lower < 0, 0.0, np.where(np.isfinite(model.upper), start[:k], WIDER * start[:k]))
    try:
        second = _minimize(problem, np.concatenate([free, start[k:]]), control)
    except FloatingPointError:
        return first
    better = second.converged and second.point.value < first.point.value - NEGLIGIBLE_FALL
    return second if better else first


def _from_stations(
    problem: LinearProblem, found: Optimum[GaussianEvaluation], control: Control, effort: Effort | None
) -> Optimum[GaussianEvaluation]:
    """Search again from elsewhere in the ranges of correlations: there may be a higher maximum on the other side.

    Every search is given up as soon as it is seen to end no higher than what was found.
    """
    if (found.cut and found.decrement > EXPLORING) or control.start is not None or effort is not None:
        return found
    if _is_hopeless(problem, found):
        return found
    coarse = replace(control, tol=max(control.tol, EXPLORING), max_iter=min(control.max_iter, EXPLORED))
    for start in _stations(problem, found):
        try:
            again = _opened(problem, _minimize(problem, start, coarse), coarse)
            if again.point.value - 2.0 * again.decrement < found.point.value - PROMISING:
                again = _opened(problem, _minimize(problem, again.x, control), control)
        except (FloatingPointError, SpecificationError):
            continue
        if again.decrement <= EXPLORING and again.point.value < found.point.value - NEGLIGIBLE_FALL:
            found = again
    return found


def _stations(problem: LinearProblem, found: Optimum[GaussianEvaluation]) -> Iterator[Array]:
    """Places to search from: of structured random effects, and of residual parameters that have run to a bound.

    Random slopes and correlated residuals describe the same data in part: where one takes all, the other starts small.
    """
    model, criterion = problem.covariance, problem.criterion
    k = model.n_theta
    theta, rho = np.split(criterion.start, [k])
    dear = problem.residual is not None and found.x.size > MOST_BY_DIFFERENCES
    if not dear and (_has_few_effects(problem) or has_free_correlation(model, found.x[:k], SMALL_SD)):
        yield from (np.concatenate([station, rho]) for station in station_thetas(model, theta))
    rho, lower, upper = found.x[k:], criterion.search_lower[k:], criterion.upper[k:]
    at_bound = np.minimum(rho - lower, upper - rho) < NEAR_BOUND * (upper - lower)
    if problem.residual is not None:
        at_bound |= problem.residual.parameters.at_ends(rho, NEAR_END)
    if at_bound.any():
        inside = np.where(at_bound, 0.5 * (lower + upper), rho)
        yield from (np.concatenate([share * theta, inside]) for share in (1.0, LESS))


def _searched(problem: LinearProblem, control: Control) -> tuple[LinearProblem, Optimum[GaussianEvaluation]]:
    """Minimise; where the residual variance is lost in rounding, again with the columns split for precision."""
    failure: FloatingPointError | None = None
    try:
        optimum = _minimize(problem, _start(problem, control), control)
        if optimum.point.linear.sigma2 > TINY_RESIDUAL:
            return problem, optimum
    except FloatingPointError as error:
        failure = error
    finer = problem.refined()
    if finer is not None:
        try:
            return finer, _minimize(finer, _start(finer, control), control)
        except FloatingPointError as error:
            failure = error
    if failure is not None:
        raise DataError(
            f"the likelihood of {problem.design.response.name!r} cannot be computed ({failure}): do the predictors and "
            "groups leave no residual, or are columns of very different size involved?"
        ) from failure
    return problem, optimum


def _start(problem: LinearProblem, control: Control) -> Array:
    start = problem.criterion.start
    if control.start is None:
        return near_optimum(problem, start) if control.max_iter else start
    k = problem.covariance.n_theta
    return np.concatenate([problem.to_inner(checked_start(control.start, k)), start[k:]])


def _minimize(problem: LinearProblem, start: Array, control: Control) -> Optimum[GaussianEvaluation]:
    return minimize(
        problem.evaluate,
        start,
        problem.criterion.search_lower,
        problem.criterion.upper,
        tol=control.tol,
        max_iter=control.max_iter,
        callback=control.callback(problem.to_user),
        release=lambda point: point.forget(),
    )


def settled_point(problem: LinearProblem, point: GaussianEvaluation) -> GaussianEvaluation:
    """Return the evaluation with negligible directions set to exactly zero and theta in its canonical form."""
    theta = settled(problem.covariance, point.linear)
    if np.array_equal(theta, point.linear.theta):
        return point
    moved: GaussianEvaluation = problem.criterion(np.concatenate([theta, point.x[theta.size :]]))
    try:
        value = moved.value
    except FloatingPointError:
        return point
    return moved if value <= point.value + point.linear.criterion.nu * NEGLIGIBLE_VARIANCE else point
