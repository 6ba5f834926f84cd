"""What a search that finds no optimum of a generalised model runs into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.start import start_phi
from mixedfx.optimize import Optimum

__all__ = ["COLLAPSE", "has_no_end", "obstacle_at"]

LOG_COLLAPSE = float(np.log(1e-10))  # a dispersion so far below that of the response is next to nothing
COLLAPSE = (
    "the dispersion is next to nothing beside the spread of the response; either the mean passes through some rows "
    "exactly, and the likelihood has no maximum, or it passes so close by that floating point cannot find it (lmer, "
    "for normal errors, can)"
)
FOLD = (
    "the search ran to where the density of the random effects is about to split into several modes, which is beyond "
    "the Laplace approximation; fewer random effects or lighter tails are needed, or information='expected'"
)


def obstacle_at(problem: GeneralizedProblem, x: Array, is_folded: Callable[[], bool]) -> str:
    """What a search that ended at ``x`` (k,) ran into, in words; empty where nothing is known."""
    if _has_collapsed(problem, x):
        return COLLAPSE
    return FOLD if is_folded() else ""


def has_no_end(problem: GeneralizedProblem, found: Optimum[Any]) -> bool:
    """Whether a search ran into rounding beside a dispersion that is next to nothing: no other one gets further."""
    return not found.converged and _has_collapsed(problem, found.x)


def _has_collapsed(problem: GeneralizedProblem, x: Array) -> bool:
    """Whether the dispersion at ``x`` (k,) is next to nothing beside the one to start from."""
    family = problem.family
    if not family.precision_weights or "dispersion" not in family.phi_names:
        return False
    at = family.phi_names.index("dispersion") - len(family.phi_names)
    return bool(x[at] < start_phi(problem)[at] + LOG_COLLAPSE)
