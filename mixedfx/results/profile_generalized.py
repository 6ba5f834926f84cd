"""Profiles of a generalised linear mixed model: of every parameter that it has."""

from __future__ import annotations

from functools import partial

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.parameters import TermSlot
from mixedfx.design.random import RandomEffects
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.inference.linear_algebra import inverse_on_range
from mixedfx.inference.profiled import HeldProfile, opened, quantity_profile
from mixedfx.inference.unprofiled import Correlation, Quantity, StandardDeviation
from mixedfx.inference.unprofiled_generalized import Coefficient, GeneralizedPoint, OfTheta
from mixedfx.results.further import dispersion_is_variance, further_quantities, root_dispersion

__all__ = ["generalized_profiles", "term_quantities"]


def generalized_profiles(fit: GeneralizedFit) -> dict[str, HeldProfile]:
    """Return the profile of every standard deviation, correlation, fixed effect, and parameter of the family.

    Raises
    ------
    SpecificationError
        If the fixed effects were not estimated jointly (``nagq=0``): their likelihood has no maximum there.
    """
    if fit.nodes == 0:
        raise SpecificationError("a fit with nagq=0 has no likelihood to profile: fit it with nagq=1")
    problem, place = fit.problem, fit.problem.model.theta_slice
    quantities: dict[str, Quantity] = {}
    for term, basis, slot in zip(problem.design.random, problem.terms, problem.model.covariance.terms, strict=True):
        found = term_quantities(term, basis.matrix, slot, 1.0)
        quantities |= {name: OfTheta(quantity, place) for name, quantity in found.items()}
    if dispersion_is_variance(problem):
        quantities["sigma"] = root_dispersion(problem)
    names, mean = problem.design.fixed.names, slice(0, place.start)
    quantities |= {str(name): Coefficient(problem.bases[0].matrix[j], mean) for j, name in enumerate(names)}
    quantities |= further_quantities(fit)
    start = fit.x.copy()
    start[place] = opened(problem.model.covariance.terms, fit.certificate.variances, fit.x[place])
    covariance = 2.0 * inverse_on_range(fit.hessian)
    held = ~fit.free & (np.arange(fit.x.size) >= place.stop)
    profiles: dict[str, HeldProfile] = {}
    for name, quantity in quantities.items():
        others = held & (quantity.gradient(fit.x) == 0.0)
        evaluate = partial(GeneralizedPoint, fit, held=others)
        profiles[name] = quantity_profile(evaluate, quantity, fit.x, covariance, start)
    return profiles


def term_quantities(term: RandomEffects, matrix: Array, slot: TermSlot, scale: float) -> dict[str, Quantity]:
    """Return the standard deviations of a term and, where it has any, the correlations, by name.

    Parameters
    ----------
    term : RandomEffects
    matrix : (q, q)
        From the inner effects to those of the user.
    slot : TermSlot
    scale : float
        Of the response.
    """
    names = list(term.names)
    found: dict[str, Quantity] = {
        f"sd_{a}|{term.group}": StandardDeviation(slot, np.asarray(matrix), i, scale) for i, a in enumerate(names)
    }
    if slot.covariance.n_theta > len(names):
        for j, b in enumerate(names):
            for i in range(j + 1, len(names)):
                found[f"cor_{names[i]}.{b}|{term.group}"] = Correlation(slot, np.asarray(matrix), i, j)
    return found
