"""Fit a generalised mixed model again: to another response or to other rows, starting from an earlier fit."""

from __future__ import annotations

from dataclasses import replace

from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.fitting.control import Control
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.generalized_search import fit_generalized
from mixedfx.fitting.integrators import fit_profiled

__all__ = ["refit_generalized"]


def refit_generalized(earlier: GeneralizedFit, problem: GeneralizedProblem) -> GeneralizedFit:
    """Fit a problem with the parameters of an earlier fit from its estimate, integrated in the same way.

    Where a variance of the earlier fit is zero the usual starting values are better: no slope leads away from there.
    """
    if earlier.nodes == 0:
        return fit_profiled(problem, Control())
    singular = any(verdict.rank < verdict.size for verdict in earlier.certificate.variances)
    start = None if singular else problem.to_inner(earlier.problem.to_user(earlier.x))
    return replace(fit_generalized(problem, Control(), earlier.integrate, start), nodes=earlier.nodes)
