"""The numbers that intervals are made for: standard deviations, correlations, sigma, fixed effects, the family's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.covariance.base import Covariance
from mixedfx.covariance.linear import DiagonalCovariance, HomogeneousDiagonalCovariance
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import Refits
from mixedfx.inference.quantities import Quantity
from mixedfx.matrices import RandomEffects
from mixedfx.results.base import MixedResults
from mixedfx.results.further import dispersion_is_variance, further_quantities
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["WHICH", "Quantities", "estimates", "quantities", "refitted_estimates", "term_entries"]

WHICH = ("fixed", "random", "family", "all")


@dataclass(frozen=True)
class Quantities:
    """Names and bounds of the random part (``sd_x|g``, ``cor_x.y|g``, ``sigma``), the fixed effects, the family's own.

    Attributes
    ----------
    names : tuple of str
    n_random, n_fixed : int
    lower, upper : (k,)
        Smallest and largest possible values.
    """

    names: tuple[str, ...]
    n_random: int
    n_fixed: int
    lower: Array
    upper: Array

    def chosen(self, which: str) -> slice:
        """Resolve ``"fixed"``, ``"random"``, ``"family"`` or ``"all"``."""
        if which not in WHICH:
            raise SpecificationError(f"which is one of {', '.join(map(repr, WHICH))}; found {which!r}")
        first, second, end = self.n_random, self.n_random + self.n_fixed, len(self.names)
        parts = {"random": (0, first), "fixed": (first, second), "family": (second, end), "all": (0, end)}
        return slice(*parts[which])


def term_entries(term: RandomEffects) -> list[tuple[str, int, int]]:
    """Return names and entries ``(name, i, j)`` of a term's standard deviations (i = j) and correlations (i > j)."""
    names = term.names
    out = [(f"sd_{name}|{term.group}", i, i) for i, name in enumerate(names)]
    if isinstance(term.covariance, DiagonalCovariance | HomogeneousDiagonalCovariance):
        return out
    pairs = [(i, j) for j in range(len(names)) for i in range(j + 1, len(names))]
    return out + [(f"cor_{names[i]}.{names[j]}|{term.group}", i, j) for i, j in pairs]


def quantities(fit: MixedResults) -> Quantities:
    """Return what a fit has."""
    entries = [entry for term in fit.design.random for entry in term_entries(term)]
    names = [name for name, _, _ in entries]
    lower = [0.0 if i == j else -1.0 for _, i, j in entries]
    upper = [np.inf if i == j else 1.0 for _, i, j in entries]
    further = [*_structure_names(fit), *(["sigma"] if has_sigma(fit) else [])]
    names += further
    lower += [0.0 if name == "sigma" else -np.inf for name in further]
    upper += [np.inf] * len(further)
    p, own = len(fit.params), _of_the_family(fit)
    return Quantities(
        (*names, *map(str, fit.params.index), *own),
        len(names),
        p,
        np.array(lower + [-np.inf] * p + [quantity.lower for quantity in own.values()]),
        np.array(upper + [np.inf] * p + [quantity.upper for quantity in own.values()]),
    )


def _of_the_family(fit: MixedResults) -> dict[str, Quantity]:
    return further_quantities(fit.solution) if isinstance(fit, GeneralizedLinearMixedResults) else {}


def has_sigma(fit: MixedResults) -> bool:
    """Say whether sigma is estimated."""
    if isinstance(fit, LinearMixedResults):
        return fit.solution.problem.criterion.sigma2 is None
    assert isinstance(fit, GeneralizedLinearMixedResults)
    return dispersion_is_variance(fit.solution.problem)


def _structure_names(fit: MixedResults) -> list[str]:
    return list(map(str, fit.residual_params.index)) if isinstance(fit, LinearMixedResults) else []


def estimates(fit: MixedResults) -> Array:
    """Return the values (k,) of :func:`quantities` in one fit."""
    assert isinstance(fit, LinearMixedResults | GeneralizedLinearMixedResults)
    unit = fit.sigma if isinstance(fit, LinearMixedResults) else 1.0
    structure = list(fit.residual_params) if isinstance(fit, LinearMixedResults) else []
    random = _random_values(fit, _theta(fit)[None], np.array([unit]))[0]
    sigma = [fit.sigma] if has_sigma(fit) else []
    own = []
    if isinstance(fit, GeneralizedLinearMixedResults):
        own = [quantity.value(fit.solution.x) for quantity in further_quantities(fit.solution).values()]
    return np.concatenate([random, structure, sigma, np.asarray(fit.params, dtype=float), own])


def _theta(fit: LinearMixedResults | GeneralizedLinearMixedResults) -> Array:
    """Covariance parameters on the user's scale, without their labels, which take their time."""
    if isinstance(fit, LinearMixedResults):
        return fit.solution.theta
    return fit.solution.problem.to_user(fit.solution.x)[fit.solution.problem.theta_slice]


def refitted_estimates(fit: LinearMixedResults, refits: Refits) -> Array:
    """Return the values (R, k) of :func:`quantities` in many fits of one model."""
    k = sum(term.covariance.n_theta for term in fit.design.random)
    bound = fit.solution.problem.residual
    parts = [_random_values(fit, refits.theta[:, :k], refits.sigma)]
    if bound is not None:
        parts.append(np.array([bound.natural(rho) for rho in refits.theta[:, k:]]))
    if has_sigma(fit):
        parts.append(refits.sigma[:, None])
    return np.concatenate([*parts, refits.beta], axis=1)


def _random_values(fit: MixedResults, theta: Array, unit: Array) -> Array:
    """Standard deviations and correlations (R, r) at ``theta`` (R, k) in units (R,); nan without a variance."""
    columns = [
        column
        for term, own in zip(fit.design.random, _by_term(fit, theta), strict=True)
        for column in _term_values(term, own, unit)
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((len(theta), 0))


def _by_term(fit: MixedResults, theta: Array) -> list[Array]:
    ends = np.cumsum([term.covariance.n_theta for term in fit.design.random])
    return np.split(theta, ends, axis=1)[:-1]


def _term_values(term: RandomEffects, theta: Array, unit: Array) -> Iterator[Array]:
    factor = _factors(term.covariance, theta)
    covariance = factor @ factor.swapaxes(1, 2)
    sd = np.sqrt(np.einsum("rii->ri", covariance))
    for _, i, j in term_entries(term):
        if i == j:
            yield unit * sd[:, i]
            continue
        product = sd[:, i] * sd[:, j]
        correlation = np.full(product.shape, np.nan)
        np.divide(covariance[:, i, j], product, out=correlation, where=product > 0)
        yield np.clip(correlation, -1.0, 1.0)


def _factors(covariance: Covariance, theta: Array) -> Array:
    """Relative factors (R, q, q) of many ``theta`` (R, k)."""
    start = covariance.start()
    if covariance.second_derivative(start) is None:
        return np.tensordot(theta, covariance.derivative(start), axes=1)
    return np.array([covariance.factor(own) for own in theta])
