"""Fit a linear mixed model: optimise, settle the boundary, and certify what was found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.boundary import NEGLIGIBLE_VARIANCE, curvature_verdict, reopened, settled, variance_verdict
from mixedfx.criterion.linear import LinearEvaluation
from mixedfx.criterion.prepare import LinearProblem
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.control import Control, checked_start
from mixedfx.optimize import Optimum, minimize

__all__ = ["LinearFit", "fit_linear"]

RESTARTS = 3  # restarts from a doubtful boundary at the most


@dataclass(frozen=True)
class LinearFit:
    """A fitted Gaussian mixed model on the inner scale.

    Attributes
    ----------
    problem : LinearProblem
    optimum : Optimum
    at : LinearEvaluation
        The criterion at the estimate, boundary settled.
    """

    problem: LinearProblem
    optimum: Optimum[LinearEvaluation]
    at: LinearEvaluation

    @property
    def theta(self) -> Array:
        """Estimate on the inner scale."""
        return self.at.theta

    @cached_property
    def certificate(self) -> Certificate:
        """From the exact Hessian at the estimate."""
        at, model = self.at, self.problem.model
        free = (at.theta > model.search_lower) & (at.theta < model.upper)
        signature = curvature_verdict(at.hessian, at.gradient, free)
        labels = [term.group for term in self.problem.design.random]
        verdicts = tuple(variance_verdict(model, at, k, label) for k, label in enumerate(labels))
        o = self.optimum
        return Certificate(
            signature.gap, signature.negative, signature.flat, verdicts, o.cut, o.iterations, o.evaluations
        )


def fit_linear(problem: LinearProblem, control: Control) -> LinearFit:
    """Minimise the criterion of a Gaussian mixed model.

    Directions whose variance vanishes are settled by the sign of the derivative with respect to the covariance: set to
    exactly zero where it is not negative, re-opened otherwise.
    """
    model = problem.model
    start = (
        model.start if control.start is None else problem.theta_to_inner(checked_start(control.start, model.n_theta))
    )
    optimum = _minimize(problem, start, control)
    at = optimum.point
    for _ in range(RESTARTS):
        opened = reopened(model, at)
        if opened is None or optimum.cut:
            break
        again = _minimize(problem, opened, control)
        if not again.point.value < at.value:
            break
        optimum, at = again, again.point
    return LinearFit(problem, optimum, _settled(at))


def _minimize(problem: LinearProblem, start: Array, control: Control) -> Optimum[LinearEvaluation]:
    model = problem.model
    return minimize(
        problem.criterion,
        start,
        model.search_lower,
        model.upper,
        tol=control.tol,
        max_iter=control.max_iter,
        callback=control.callback(),
    )


def _settled(at: LinearEvaluation) -> LinearEvaluation:
    """The evaluation with negligible directions set to exactly zero and theta in its canonical form."""
    theta = settled(at.criterion.model, at)
    if np.array_equal(theta, at.theta):
        return at
    moved = at.criterion(theta)
    return moved if moved.value <= at.value + at.criterion.nu * NEGLIGIBLE_VARIANCE else at
