"""Other responses for a design that is set up already."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.prepare import LinearProblem, inner_weights
from mixedfx.matrices.basis import InnerResponses, inner_responses

__all__ = ["constants", "known_sigma2", "responses_of", "with_response"]


def constants(problem: LinearProblem, responses: InnerResponses) -> Array:
    """Return what the criterion of each response has beyond the one on the inner scale (R,)."""
    criterion = problem.criterion
    nu = len(responses.values) - (problem.basis.matrix.shape[1] if criterion.reml else 0)
    return np.asarray(criterion.constant + 2.0 * nu * np.log(responses.scale / problem.basis.scale))


def known_sigma2(problem: LinearProblem, responses: InnerResponses) -> Array | None:
    """Return the known residual variances (R,) on the inner scale, or None."""
    known = problem.criterion.sigma2
    return None if known is None else known * (problem.basis.scale / responses.scale) ** 2


def responses_of(problem: LinearProblem, Y: Array) -> InnerResponses:
    """Bring the responses ``Y`` (n, R), offset included, to the inner scale."""
    design = problem.design
    values = Y if design.offset is None else Y - design.offset[:, None]
    X = problem.assembly.rows.columns[:, :-1]
    return inner_responses(problem.basis, X, values, inner_weights(design, problem.residual))


def with_response(problem: LinearProblem, y: Array) -> LinearProblem:
    """Return the problem with the response ``y`` (n,); everything that does not depend on the response is shared."""
    inner = responses_of(problem, y[:, None])
    basis = replace(problem.basis, origin=inner.origin[0], scale=float(inner.scale[0]))
    design = replace(problem.design, response=replace(problem.design.response, values=y))
    rows = problem.assembly.rows.with_response(inner.values[:, 0])
    known, constant = known_sigma2(problem, inner), float(constants(problem, inner)[0])
    sigma2 = None if known is None else float(known[0])
    criterion = problem.criterion.with_response(rows, design.weights, constant, sigma2)
    assembly = replace(problem.assembly, rows=rows)
    return replace(problem, design=design, assembly=assembly, criterion=criterion, bases=(basis,))
