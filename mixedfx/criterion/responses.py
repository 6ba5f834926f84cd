"""Other responses for a design that is set up already."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.linear import LinearCriterion
from mixedfx.criterion.prepare import LinearProblem, inner_weights
from mixedfx.criterion.refinement import loses_digits, refinement
from mixedfx.criterion.residual import ResidualCriterion
from mixedfx.linalg.gram import Gram, Rows
from mixedfx.linalg.rowwise import RowMap
from mixedfx.matrices.basis import InnerResponses, inner_responses

__all__ = ["constants", "known_sigma2", "responses_of", "with_response"]


def constants(problem: LinearProblem, responses: InnerResponses) -> Array:
    """Return what the criterion of each response has beyond the one on the inner scale (R,)."""
    criterion = problem.criterion
    nu = len(responses.values) - (problem.fixed.matrix.shape[1] if criterion.reml else 0)
    return np.asarray(criterion.constant + 2.0 * nu * np.log(responses.scale / problem.fixed.scale))


def known_sigma2(problem: LinearProblem, responses: InnerResponses) -> Array | None:
    """Return the known residual variances (R,) on the inner scale, or None."""
    known = problem.criterion.sigma2
    return None if known is None else known * (problem.fixed.scale / responses.scale) ** 2


def responses_of(problem: LinearProblem, Y: Array) -> InnerResponses:
    """Bring the responses ``Y`` (n, R), offset included, to the inner scale."""
    design = problem.design
    values = Y if design.offset is None else Y - design.offset[:, None]
    X = problem.assembly.rows.columns[:, :-1]
    return inner_responses(problem.fixed, X, values, inner_weights(design, problem.residual))


def with_response(problem: LinearProblem, y: Array) -> LinearProblem:
    """Return the problem with the response ``y`` (n,); everything that does not depend on the response is shared."""
    inner = responses_of(problem, y[:, None])
    fixed = replace(problem.fixed, origin=inner.origin[0], scale=float(inner.scale[0]))
    design = replace(problem.design, response=replace(problem.design.response, values=y))
    rows = _with_last_column(problem.assembly.rows, inner.values[:, 0])
    known, constant = known_sigma2(problem, inner), float(constants(problem, inner)[0])
    sigma2 = None if known is None else float(known[0])
    criterion = problem.criterion
    changed: LinearCriterion | ResidualCriterion
    if isinstance(criterion, LinearCriterion):
        gram = _with_response(criterion.gram, rows, design.weights)
        split = refinement(rows, gram, design.weights) if loses_digits(gram) else None
        changed = replace(criterion, gram=gram, constant=constant, sigma2=sigma2, refinement=split)
    else:
        root = 1.0 if design.weights is None else np.sqrt(design.weights)
        weighted = _with_last_column(criterion.rows, inner.values[:, 0] * root)
        changed = replace(criterion, rows=weighted, constant=constant, sigma2=sigma2)
    assembly = replace(problem.assembly, rows=rows)
    return replace(problem, design=design, assembly=assembly, criterion=changed, fixed=fixed)


def _with_last_column(rows: Rows, column: Array) -> Rows:
    columns = rows.columns.copy(order="K")
    columns[:, -1] = column
    return replace(rows, columns=columns)


def _with_response(gram: Gram, rows: Rows, weights: Array | None) -> Gram:
    """The cross-products with the last dense column of ``rows`` in place of the old response."""
    layout, y = gram.layout, rows.columns[:, -1]
    weighted = y if weights is None else y * weights
    row_map = RowMap(rows)
    side = row_map.collect(weighted[:, None])
    chain = tuple(
        np.concatenate([old[:, :, :-1], new], axis=2) for old, new in zip(gram.sides, row_map.split(side), strict=False)
    )
    rest = np.concatenate([gram.remainder_side[:, :-1], side[row_map.starts[layout.n_chain] :]], axis=1)
    total = gram.total.copy()
    total[-1] = total[:, -1] = rows.columns.T @ weighted
    return replace(gram, sides=chain, remainder_side=rest, total=total)
