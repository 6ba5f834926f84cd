"""Fit a linear mixed model: optimise, settle the boundary, and certify what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.criterion.prepare import LinearProblem, refined
from mixedfx.criterion.residual import ResidualEvaluation
from mixedfx.exceptions import DataError
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.control import Control, checked_start
from mixedfx.optimize import Optimum, minimize

__all__ = ["LinearFit", "fit_linear"]

Evaluation = LinearEvaluation | ResidualEvaluation

TINY_RESIDUAL = 1e-7  # of the response's variance: below it, digits of the residual sum of squares are lost
RESTARTS = 3  # restarts from a doubtful boundary at the most
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
    point : LinearEvaluation or ResidualEvaluation
        The criterion at the estimate, boundary settled.
    """

    problem: LinearProblem
    optimum: Optimum[Evaluation]
    point: Evaluation

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
        return self.point.theta[self.at.theta.size :]

    @cached_property
    def verdicts(self) -> tuple[VarianceVerdict, ...]:
        """What can be said of every term's boundary without the Hessian."""
        labels = [term.term for term in self.problem.design.random]
        return tuple(variance_verdict(self.problem.model, self.at, k, label) for k, label in enumerate(labels))

    @property
    def is_doubtful(self) -> bool:
        """Whether only the certificate can tell if this is the optimum: the search had trouble, or all is flat."""
        confirmed = all(v.confirmed for v in self.verdicts if v.rank < v.size)
        return not self.optimum.converged or not confirmed or self._signature(self.point.curvature).flat > 0

    def _signature(self, hessian: Array) -> CurvatureVerdict:
        point, criterion = self.point, self.problem.criterion
        free = (point.theta > criterion.search_lower) & (point.theta < criterion.upper)
        return curvature_verdict(hessian, point.gradient, free, point.theta)

    @cached_property
    def certificate(self) -> Certificate:
        """From the exact Hessian at the estimate."""
        signature = self._signature(self.point.hessian)
        o = self.optimum
        return Certificate(
            signature.gap, signature.negative, signature.flat, self.verdicts, o.cut, o.iterations, o.evaluations
        )


def fit_linear(problem: LinearProblem, control: Control) -> LinearFit:
    """Minimise the criterion of a Gaussian mixed model.

    Directions whose variance vanishes are settled by the sign of the derivative with respect to the covariance: set to
    exactly zero where it is not negative, re-opened otherwise.
    """
    problem, optimum = _searched(problem, control)
    optimum = _second_search(problem, optimum, control)
    for _ in range(RESTARTS):
        opened = reopened(problem.model, optimum.point.linear)
        if opened is None or optimum.cut:
            break
        try:
            again = _minimize(problem, np.concatenate([opened, optimum.x[opened.size :]]), control)
        except FloatingPointError:
            break
        if not again.point.value < optimum.point.value:
            break
        optimum = again
    return LinearFit(problem, optimum, _settled(problem, optimum.point))


def _second_search(problem: LinearProblem, first: Optimum[Evaluation], control: Control) -> Optimum[Evaluation]:
    """Search small models with several factors once more from elsewhere, if the first search was a long one."""
    layout = problem.assembly.rows.layout
    few = sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True)) <= FEW_EFFECTS
    if control.start is not None or first.cut or first.evaluations < LONG_SEARCH or layout.n_factors < 2 or not few:
        return first
    start, k = problem.criterion.start, problem.model.n_theta
    free = np.where(problem.model.lower < 0, 0.0, WIDER * start[:k])
    try:
        second = _minimize(problem, np.concatenate([free, start[k:]]), control)
    except FloatingPointError:
        return first
    better = second.converged and second.point.value < first.point.value - NEGLIGIBLE_FALL
    return second if better else first


def _searched(problem: LinearProblem, control: Control) -> tuple[LinearProblem, Optimum[Evaluation]]:
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
    k = problem.model.n_theta
    return np.concatenate([problem.theta_to_inner(checked_start(control.start, k)), start[k:]])


def _minimize(problem: LinearProblem, start: Array, control: Control) -> Optimum[Evaluation]:
    criterion: Callable[[Array], Evaluation] = problem.criterion
    return minimize(
        criterion,
        start,
        problem.criterion.search_lower,
        problem.criterion.upper,
        tol=control.tol,
        max_iter=control.max_iter,
        callback=control.callback(),
    )


def _settled(problem: LinearProblem, point: Evaluation) -> Evaluation:
    """The evaluation with negligible directions set to exactly zero and theta in its canonical form."""
    theta = settled(problem.model, point.linear)
    if np.array_equal(theta, point.linear.theta):
        return point
    moved: Evaluation = problem.criterion(np.concatenate([theta, point.theta[theta.size :]]))
    try:
        value = moved.value
    except FloatingPointError:
        return point
    return moved if value <= point.value + point.linear.criterion.nu * NEGLIGIBLE_VARIANCE else point
