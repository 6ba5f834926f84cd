"""What a search that finds no optimum of a generalised model runs into."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.generalized_problem import GeneralizedProblem
from mixedfx.criterion.start import start_phi

__all__ = ["has_collapsed", "obstacle_at"]

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
    if has_collapsed(problem, x):
        return COLLAPSE
    return FOLD if is_folded() else ""


def has_collapsed(problem: GeneralizedProblem, x: Array) -> bool:
    """Whether the dispersion at ``x`` (k,) is next to nothing beside the one to start from."""
    family = problem.family
    if not family.precision_weights or "dispersion" not in family.phi_names:
        return False
    at = family.phi_names.index("dispersion") - len(family.phi_names)
    return bool(x[at] < start_phi(problem)[at] + LOG_COLLAPSE)
