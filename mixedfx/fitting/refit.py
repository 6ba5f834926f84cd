"""Fit many responses to one design: one set-up, and where the design falls into small blocks all responses at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.batch import BlockMap, block_map
from mixedfx.criterion.linear_problem import LinearProblem
from mixedfx.exceptions import DataError
from mixedfx.fitting.batch import Refits, batch_fit
from mixedfx.fitting.control import Control
from mixedfx.fitting.linear_search import fit_linear

__all__ = ["Refits", "blocks_of", "refit_many"]

BLOCK_WORK = 4e6  # multiplications an evaluation, above which one fit after the other is as fast as all at once
PARAMETER_CELLS = 1e6  # numbers that the products of the factor's derivatives may take


def refit_many(problem: LinearProblem, Y: Array, start: Array | None = None, control: Control | None = None) -> Refits:
    """Fit every column of ``Y`` in place of the response.

    Parameters
    ----------
    problem : LinearProblem
    Y : (n, R)
        Responses in the rows of the design, on the user's scale, offset included.
    start : (k,), optional
        Inner parameters to start from: those of a fit to a similar response.
    control : Control, optional
        Tolerance and iteration limit.
    """
    control = Control() if control is None else control
    start = problem.criterion.start if start is None else start
    blocks = blocks_of(problem)
    if blocks is None:
        return _one_by_one(problem, Y, start, control)
    found = batch_fit(problem, blocks, Y, start, control)
    doubtful = np.flatnonzero(~found.converged)
    return found.replaced(doubtful, _one_by_one(problem, Y[:, doubtful], start, control)) if doubtful.size else found


def blocks_of(problem: LinearProblem) -> BlockMap | None:
    """Return the blocks of the design, or None where its shape or size is not one for a batch."""
    layout, model = problem.assembly.rows.layout, problem.covariance
    linear = all(t.covariance.second_derivative(t.covariance.start()) is None for t in model.terms)
    free = np.all(np.isneginf(model.search_lower)) and np.all(np.isposinf(model.upper))
    if not (linear and free and problem.is_plain and layout.n_factors):
        return None
    blocks = block_map(layout)
    work = blocks.count * blocks.size**3 * (4 + 2 * model.n_theta)
    single = layout.n_factors == 1
    fits = (work <= BLOCK_WORK or single) and (model.n_theta * blocks.size) ** 2 <= PARAMETER_CELLS
    return blocks if fits else None


def _one_by_one(problem: LinearProblem, Y: Array, start: Array, control: Control) -> Refits:
    warm = replace(control, start=problem.to_user(start[: problem.covariance.n_theta]))
    nothing = Refits.failed(1, len(start), problem.basis.matrix.shape[1])
    return Refits.concatenated([_one(problem, y, warm) or nothing for y in Y.T])


def _one(problem: LinearProblem, y: Array, control: Control) -> Refits | None:
    """The fit to one response, or None where it cannot be computed: that must not cost the others."""
    own = problem.with_response(y)
    try:
        fit = fit_linear(own, control)
        converged = (fit.optimum.converged and not fit.is_doubtful) or fit.certificate.converged
    except (DataError, FloatingPointError, np.linalg.LinAlgError):
        return None
    theta = np.concatenate([fit.theta, fit.rho])
    sigma = np.sqrt(fit.at.sigma2) * own.basis.scale
    singular = any(v.rank < v.size for v in fit.verdicts)
    found = (theta, own.basis.beta(fit.at.beta), sigma, fit.point.value, converged, singular)
    return Refits(*(np.array([value]) for value in found))
