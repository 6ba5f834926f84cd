"""Other responses for a design that is set up already."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.criterion.linear import LinearCriterion
from mixedfx.criterion.prepare import LinearProblem
from mixedfx.criterion.residual import ResidualCriterion
from mixedfx.linalg.gram import Gram, Rows
from mixedfx.linalg.rowwise import RowMap

__all__ = ["InnerResponses", "inner_responses", "with_response"]


@dataclass(frozen=True)
class InnerResponses:
    """R responses on the inner scale: ``values (n, R) = (y - offset - shift) / scale``, shift and scale (R,)."""

    values: Array
    shift: Array
    scale: Array

    def take(self, which: IntArray) -> InnerResponses:
        """Return the responses number ``which``."""
        return InnerResponses(self.values[:, which], self.shift[which], self.scale[which])

    def constants(self, problem: LinearProblem) -> Array:
        """Return what the criterion of each response has beyond the one on the inner scale (R,)."""
        criterion = problem.criterion
        nu = len(self.values) - (problem.fixed.matrix.shape[1] if criterion.reml else 0)
        return np.asarray(criterion.constant + 2.0 * nu * np.log(self.scale / problem.fixed.scale))

    def known_sigma2(self, problem: LinearProblem) -> Array | None:
        """Return the known residual variances (R,) on the inner scale, or None."""
        known = problem.criterion.sigma2
        return None if known is None else known * (problem.fixed.scale / self.scale) ** 2


def inner_responses(problem: LinearProblem, Y: Array) -> InnerResponses:
    """Shift and scale the responses ``Y`` (n, R), each by numbers of its own."""
    design = problem.design
    values = Y if design.offset is None else Y - design.offset[:, None]
    shift = np.zeros(values.shape[1])
    if problem.fixed.intercept.any():
        shift = np.take_along_axis(values, np.abs(values - values.mean(axis=0)).argmin(axis=0)[None], axis=0)[0]
    values = values - shift
    scale = np.sqrt(np.mean(values**2, axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    return InnerResponses(values / scale, shift, scale)


def with_response(problem: LinearProblem, y: Array) -> LinearProblem:
    """Return the problem with the response ``y`` (n,); everything that does not depend on the response is shared."""
    inner = inner_responses(problem, y[:, None])
    fixed = replace(problem.fixed, shift=float(inner.shift[0]), scale=float(inner.scale[0]))
    design = replace(problem.design, response=replace(problem.design.response, values=y))
    rows = _with_last_column(problem.assembly.rows, inner.values[:, 0])
    known, constant = inner.known_sigma2(problem), float(inner.constants(problem)[0])
    sigma2 = None if known is None else float(known[0])
    criterion = problem.criterion
    changed: LinearCriterion | ResidualCriterion
    if isinstance(criterion, LinearCriterion):
        gram = _with_response(criterion.gram, rows, design.weights)
        changed = replace(criterion, gram=gram, constant=constant, sigma2=sigma2)
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
