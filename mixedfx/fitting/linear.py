"""Fit a linear mixed model: optimise, settle the boundary, and certify what was found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.boundary import (
    NEGLIGIBLE_VARIANCE,
    CurvatureVerdict,
    VarianceVerdict,
    curvature_verdict,
    reopened,
    settled,
    variance_verdict,
)
from mixedfx.criterion.evaluation import GaussianEvaluation
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.criterion.linear_problem import LinearProblem, linear_problem, refined
from mixedfx.exceptions import DataError
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.contained import NUDGES, SMALL_SD, Effort, NarrowerModel, has_free_correlation, narrower_models
from mixedfx.fitting.control import Control, checked_start
from mixedfx.fitting.starts import Found, Starts, random_thetas, starts_report
from mixedfx.matrices import Design, Undetermined, verdict_of
from mixedfx.optimize import Optimum, minimize

__all__ = ["LinearFit", "fit_linear"]

TINY_RESIDUAL = 1e-7  # of the response's variance: below it, digits of the residual sum of squares are lost
MOST_ROWS = 400  # up to which the rank of all columns together is computed
UNBOUNDED = (
    "the fixed and random effects together fit every row exactly, so that the likelihood rises without end as the "
    "variances grow; fit by REML (reml=True), or with fewer effects"
)
NO_RESIDUAL = (
    "the fixed and random effects together fit every row exactly, and the likelihood is highest where no residual "
    "variance is left; fewer effects are needed"
)
RESTARTS = 3  # restarts from a doubtful boundary at the most
DOUBLE = 2  # evaluations in narrower structures all together, in units of those of the search, away from boundaries
NEGLIGIBLE_FALL = 1e-8  # of -2 log L: the same valley
LONG_SEARCH = 10  # evaluations; a longer search met a surface that is far from quadratic and may have another valley
FEW_EFFECTS = 500  # random effects; with more, the likelihood of crossed factors is close to quadratic
WIDER = 3.0  # a second search starts with so many times the moments' standard deviations, without correlations


@dataclass(frozen=True)
class LinearFit:
    """A fitted Gaussian mixed model on the inner scale.

    Attributes
    ----------
    problem : LinearProblem
    optimum : Optimum
    point : GaussianEvaluation
        The criterion at the estimate, boundary settled.
    starts : Starts, optional
        What each of several searches found.
    """

    problem: LinearProblem
    optimum: Optimum[GaussianEvaluation]
    point: GaussianEvaluation
    starts: Starts | None = None

    @property
    def at(self) -> LinearEvaluation:
        """The linear algebra at the estimate: that of the whitened rows, if the residuals have a structure."""
        return self.point.linear

    @property
    def theta(self) -> Array:
        """Estimated covariance parameters on the inner scale."""
        return self.at.theta

    @property
    def rho(self) -> Array:
        """Estimated parameters of the residual structure."""
        return self.point.x[self.at.theta.size :]

    @cached_property
    def verdicts(self) -> tuple[VarianceVerdict, ...]:
        """What can be said of every term's boundary without the Hessian."""
        labels = [term.term for term in self.problem.design.random]
        return tuple(variance_verdict(self.problem.covariance, self.at, k, label) for k, label in enumerate(labels))

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """Variances that the design does not determine under this criterion."""
        reml = self.problem.criterion.reml
        return tuple(found for found in self.problem.design.undetermined if reml or not found.restricted)

    @property
    def is_doubtful(self) -> bool:
        """Whether only the certificate can tell if this is the optimum: the search had trouble, or all is flat."""
        confirmed = all(v.confirmed for v in self.verdicts if v.rank < v.size) and not self.undetermined
        if self.is_unbounded:
            return True
        return not self.optimum.converged or not confirmed or self._signature(self.point.curvature).flat > 0

    def _signature(self, hessian: Array) -> CurvatureVerdict:
        point, criterion = self.point, self.problem.criterion
        free = (point.x > criterion.search_lower) & (point.x < criterion.upper)
        known = sum(finding.column is None for finding in self.undetermined)
        return curvature_verdict(hessian, point.gradient, free, point.x, known_flat=known)

    @cached_property
    def certificate(self) -> Certificate:
        """From the exact Hessian at the estimate."""
        signature = self._signature(self.point.hessian)
        o = self.optimum
        counts = (o.cut, o.iterations, o.evaluations)
        said = verdict_of(self.undetermined)
        gap = signature.whole_gap if o.cut else signature.gap
        found = Certificate(gap, signature.negative, signature.flat, self.verdicts, *counts)
        if self.is_unbounded:
            found = replace(found, gap=np.inf, obstacle=UNBOUNDED)
        elif not found.converged and self._is_saturated:
            found = replace(found, obstacle=NO_RESIDUAL)
        return replace(found, undetermined=said, starts=self.starts)

    def __repr__(self) -> str:
        return f"<LinearFit: -2 log L = {self.at.value:.4f}, {self.problem.design!r}>"

    @cached_property
    def is_unbounded(self) -> bool:
        """Whether the effects fit every row exactly and the likelihood grows without end, as ``t**(n - rank Z)``.

        The restricted likelihood has a limit.
        """
        design, reml = self.problem.design, self.problem.criterion.reml
        return bool(not reml and self._is_saturated and np.linalg.matrix_rank(random_matrix(design)) < design.n_rows)

    @cached_property
    def _is_saturated(self) -> bool:
        """Whether fixed and random effects together fit every row exactly, while the residual variance is estimated.

        Asked of small designs only: larger ones have more rows than effects, or more than one can look at.
        """
        problem, design, layout = self.problem, self.problem.design, self.problem.assembly.rows.layout
        X = problem.assembly.rows.columns[:, :-1]
        effects = sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True))
        if problem.criterion.sigma2 is not None or problem.residual is not None:
            return False
        if design.n_rows > min(X.shape[1] + effects, MOST_ROWS):
            return False
        return bool(np.linalg.matrix_rank(np.hstack([unit_columns(X), random_matrix(design)])) == design.n_rows)


def unit_columns(matrix: Array) -> Array:
    """Return the columns of ``matrix`` scaled to length 1."""
    size = np.linalg.norm(matrix, axis=0)
    return np.asarray(matrix / np.where(size > 0, size, 1.0))


def random_matrix(design: Design) -> Array:
    """Return the columns (n, q) of all random effects, scaled to length 1."""
    blocks = []
    for term in design.random:
        own = np.zeros((design.n_rows, len(term.levels), term.matrix.shape[1]))
        own[np.arange(design.n_rows), term.codes] = term.matrix
        blocks.append(unit_columns(own.reshape(design.n_rows, -1)))
    return np.hstack(blocks)


def fit_linear(problem: LinearProblem, control: Control, effort: Effort | None = None) -> LinearFit:
    """Minimise the criterion of a Gaussian mixed model.

    Directions whose variance vanishes are settled by the sign of the derivative with respect to the covariance: set to
    exactly zero where it is not negative, re-opened otherwise. ``effort`` is what narrower structures may still cost.
    """
    problem, optimum = _searched(problem, control)
    optimum = _second_search(problem, optimum, control)
    optimum = _from_within(problem, _opened(problem, optimum, control), control, effort)
    optimum, starts = _from_elsewhere(problem, optimum, control)
    return LinearFit(problem, optimum, _settled(problem, optimum.point), starts)


def _from_elsewhere(
    problem: LinearProblem, first: Optimum[GaussianEvaluation], control: Control
) -> tuple[Optimum[GaussianEvaluation], Starts | None]:
    """Search from random parameters too, if that is asked for; the best, and what each found."""
    if control.starts == 1:
        return first, None
    k, best = problem.covariance.n_theta, first
    searches = [_found(problem, _start(problem, control), first)]
    for theta in random_thetas(problem.covariance, control.starts - 1, control.seed):
        start = np.concatenate([theta, problem.criterion.start[k:]])
        try:
            again = _opened(problem, _minimize(problem, start, control), control)
        except FloatingPointError:
            searches.append(Found(theta, np.full(k, np.nan), -np.inf, False, 0))
            continue
        searches.append(_found(problem, start, again))
        if again.point.value < best.point.value - NEGLIGIBLE_FALL:
            best = again
    return best, starts_report(problem.design, problem.to_user, searches)


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
    if found.cut or not (lost or (control.start is None and _has_few_effects(problem))):
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
    criterion = problem.criterion
    known = None if criterion.sigma2 is None else float(np.sqrt(criterion.sigma2)) * problem.basis.scale

    def search() -> tuple[Array, ...] | None:
        try:
            inner = linear_problem(narrower.design, reml=criterion.reml, sigma=known, residual=problem.residual)
            fit = fit_linear(inner, replace(control, start=None, starts=1), effort)
        except (DataError, FloatingPointError):
            return None
        return inner.to_user(fit.theta), fit.rho

    found = effort.optimum(narrower.design, search)
    if found is None:
        return None
    theta, rho = found
    return np.concatenate([problem.to_inner(narrower.embed(theta)), rho])


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
    start, k = problem.criterion.start, problem.covariance.n_theta
    free = np.where(problem.covariance.lower < 0, 0.0, WIDER * start[:k])
    try:
        second = _minimize(problem, np.concatenate([free, start[k:]]), control)
    except FloatingPointError:
        return first
    better = second.converged and second.point.value < first.point.value - NEGLIGIBLE_FALL
    return second if better else first


def _searched(problem: LinearProblem, control: Control) -> tuple[LinearProblem, Optimum[GaussianEvaluation]]:
    """Minimise; where the residual variance is lost in rounding, again with the columns split for precision."""
    failure: FloatingPointError | None = None
    try:
        optimum = _minimize(problem, _start(problem, control), control)
        if optimum.point.linear.sigma2 > TINY_RESIDUAL:
            return problem, optimum
    except FloatingPointError as error:
        failure = error
    finer = refined(problem)
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
        return start
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
    )


def _settled(problem: LinearProblem, point: GaussianEvaluation) -> GaussianEvaluation:
    """The evaluation with negligible directions set to exactly zero and theta in its canonical form."""
    theta = settled(problem.covariance, point.linear)
    if np.array_equal(theta, point.linear.theta):
        return point
    moved: GaussianEvaluation = problem.criterion(np.concatenate([theta, point.x[theta.size :]]))
    try:
        value = moved.value
    except FloatingPointError:
        return point
    return moved if value <= point.value + point.linear.criterion.nu * NEGLIGIBLE_VARIANCE else point
