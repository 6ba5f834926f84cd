"""Profiles of a generalised linear mixed model: of every parameter that it has."""

from __future__ import annotations

from functools import partial

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.assembly import TermSlot
from mixedfx.criterion.marginal import MarginalModel
from mixedfx.criterion.start import starting_values
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.inference.information import inverse_on_range
from mixedfx.inference.profiled import GeneralizedPoint, HeldProfile, MappedProfile, Surroundings, with_variances
from mixedfx.inference.quantities import Coefficient, Correlation, OfTheta, Quantity, StandardDeviation
from mixedfx.matrices.random import RandomEffects
from mixedfx.results.further import (
    UnboundedScale,
    dispersion_is_variance,
    further_quantities,
    root_dispersion,
    unbounded_scales,
)

__all__ = ["generalized_profiles", "term_quantities"]

INFINITE = 40.0  # a predictor of zero inflation or the like that has run so far is as good as infinite
CURVED = 1e-3  # curvature in a parameter at a bound from which its standard error can be guessed
LARGEST_ERROR = 3.0  # on a scale of logarithms or logits: a larger standard error says nothing


def generalized_profiles(fit: GeneralizedFit) -> dict[str, HeldProfile]:
    """Return the profile of every standard deviation, correlation, fixed effect, and parameter of the family.

    Raises
    ------
    SpecificationError
        If the fixed effects were not estimated jointly (``nagq=0``): their likelihood has no maximum there.
    """
    if fit.nodes == 0:
        raise SpecificationError("a fit with nagq=0 has no likelihood to profile: fit it with nagq=1")
    problem, place = fit.problem, fit.problem.theta_slice
    quantities: dict[str, Quantity] = {}
    for term, basis, slot in zip(problem.design.random, problem.terms, problem.covariance.terms, strict=True):
        found = term_quantities(term, basis.matrix, slot, 1.0)
        quantities |= {name: OfTheta(quantity, place) for name, quantity in found.items()}
    if dispersion_is_variance(problem):
        quantities["sigma"] = root_dispersion(problem)
    names, mean = problem.design.fixed.names, slice(0, place.start)
    mean_basis = problem.bases[0]
    quantities |= {
        str(name): Coefficient(mean_basis.matrix[j], mean, shift=float(mean_basis.origin[j]))
        for j, name in enumerate(names)
    }
    quantities |= further_quantities(fit)
    around, scales = _surroundings(fit), unbounded_scales(fit)
    return {
        name: _mapped(around, scales[name], quantity) if name in scales else around.profile(quantity)
        for name, quantity in quantities.items()
    }


def _mapped(around: Surroundings, scale: UnboundedScale, quantity: Quantity) -> HeldProfile:
    """The profile of a parameter of the family, followed on the scale on which it is estimated."""
    inner = around.profile(scale.quantity, LARGEST_ERROR)
    return MappedProfile(inner, scale.natural, scale.slope, scale.unbounded, quantity.lower, quantity.upper)


def _surroundings(fit: GeneralizedFit) -> Surroundings:
    lower, upper = fit.problem.bounds
    free = np.ix_(fit.free, fit.free)
    covariance = np.zeros_like(fit.hessian)
    covariance[free] = 2.0 * inverse_on_range(np.nan_to_num(fit.hessian[free]))
    own = np.nan_to_num(fit.hessian.diagonal())
    curved = ~fit.free & (own > CURVED)
    covariance[curved, curved] = 2.0 / own[curved]
    position = np.arange(fit.x.size)
    ended = (position >= fit.problem.theta_slice.stop) & ~fit.free
    single = [place for place in fit.problem.component_slices.values() if place.stop - place.start == 1]
    family_wide = position >= fit.x.size - len(fit.problem.family.phi_names)
    releasable = ended & (family_wide | np.isin(position, [place.start for place in single]))
    start = starting_values(fit.problem) if releasable.any() else fit.x
    opening = partial(_opened, fit.problem.model, np.where(releasable, start, np.nan))
    evaluate = partial(GeneralizedPoint, fit)
    phi = np.where(releasable & ~family_wide, np.clip(fit.x, -INFINITE, INFINITE), fit.x)
    return Surroundings(evaluate, phi, covariance, lower, upper, opening, ended, releasable)


def _opened(model: MarginalModel, start: Array, phi: Array) -> Array:
    """The parameters with some variance in every direction without, and those with a ``start`` (k,) there."""
    out = np.where(np.isnan(start), phi, start)
    out[model.theta_slice] = with_variances(model.covariance.terms, phi[model.theta_slice])
    return out


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
