"""Random effects of a generalised fit, term by term on the user's scale."""

from __future__ import annotations

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.quadrature import Moments, QuadratureEvaluation, node_moments
from mixedfx.fitting.generalized import GeneralizedFit

__all__ = ["effects_by_term", "quadrature_moments"]


def effects_by_term(problem: GeneralizedProblem, effects: Array) -> tuple[Array, ...]:
    """Return inner effects (q,) as the user's effects (q, m) of every term, in the order of the formula."""
    parts = problem.model.space.split(effects)
    out = []
    for basis, (factor, coefficients) in zip(problem.terms, problem.assembly.places, strict=True):
        loading = problem.assembly.rows.loadings.get(factor)
        own = basis.matrix @ parts[factor][coefficients]
        out.append(own if loading is None else own @ loading.T)
    return tuple(out)


def quadrature_moments(fit: GeneralizedFit) -> tuple[Moments, ...] | None:
    """Return the moments of every term's effects from the nodes of the quadrature; None after a Laplace fit."""
    at, problem = fit.at, fit.problem
    if not isinstance(at, QuadratureEvaluation):
        return None
    out = []
    for basis, (_, coefficients) in zip(problem.terms, problem.assembly.places, strict=True):
        matrix = np.zeros((basis.matrix.shape[0], at.factor.shape[0]))
        matrix[:, coefficients] = basis.matrix
        out.append(node_moments(at, matrix))
    return tuple(out)
