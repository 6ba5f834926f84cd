"""Log-likelihoods and derivatives of any family, from its ``log_density`` on jets.

Values that cannot be represented (a linear predictor of ±1e3 under an exponential, one outside the domain of its
link) come back as a log-likelihood of ``-inf`` with zero derivatives, without warnings: a line search rejects them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement, permutations
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from mixedfx._typing import Array, BoolArray
from mixedfx.calculus.jets import Jet, Space, constant, seeds
from mixedfx.families.links import Link, Mean, inside_domain
from mixedfx.families.observed import Observed

if TYPE_CHECKING:
    from mixedfx.families.base import Family

__all__ = [
    "CLOSED_FORMS",
    "CLOSED_SLOPES",
    "ClosedForm",
    "ClosedSlopes",
    "all_derivatives",
    "derivatives",
    "expected_weights",
    "mean_derivatives",
    "phi_derivatives",
    "plain_parameters",
    "settled",
]

ClosedForm: TypeAlias = Callable[[Observed, Array, list[Array], int], tuple[Array, ...]]

CLOSED_FORMS: dict[tuple[type, Link], ClosedForm] = {}
"""Hand-written ``log_density`` of the commonest pairs: (observed, eta, parameters, order) -> derivatives in eta."""

ClosedSlopes: TypeAlias = Callable[[Observed, Array, list[Array]], tuple[Array, Array, Array]]

CLOSED_SLOPES: dict[tuple[type, Link], ClosedSlopes] = {}
"""Derivatives of a log-density, its gradient and second derivative in the one parameter beside the mean."""


def columns(family: Family, eta: Array) -> list[Array]:
    """One array a linear predictor."""
    values = np.asarray(eta, dtype=float)
    if len(family.predictors) == 1:
        return [values]
    return [values[..., k] for k in range(len(family.predictors))]


def _arrange(family: Family, observed: Observed, predictors: list[Jet], phi: list[Jet]) -> list[Jet]:
    """Parameters beside the mean in the family's order, wherever they come from."""
    space = predictors[0].space
    values = dict(zip(family.predictors, predictors)) | dict(zip(family.phi_names, phi))
    values |= {name: constant(np.asarray(value), space) for name, value in family.fixed.items() if name not in values}
    if observed.log_precision is not None:
        values["dispersion"] = values["dispersion"] - observed.log_precision
    return [values[parameter.name] for parameter in family.parameters]


def plain_parameters(family: Family, eta: Array, phi: ArrayLike, log_precision: Array | None = None) -> list[Array]:
    """Parameters beside the mean as plain arrays on their unbounded scales, in the family's order."""
    if not family.parameters:
        return []
    values = dict(zip(family.predictors, columns(family, eta)))
    values |= dict(zip(family.phi_names, np.asarray(phi, dtype=float)))
    values |= {name: np.asarray(value) for name, value in family.fixed.items() if name not in values}
    if log_precision is not None:
        values["dispersion"] = values["dispersion"] - log_precision
    return [np.asarray(values[parameter.name]) for parameter in family.parameters]


def settled(parts: list[Array], inside: BoolArray | None = None) -> list[Array]:
    """Turn what cannot be represented into a log-likelihood of -inf with zero derivatives."""
    good = np.isfinite(sum(parts[1:], parts[0]))
    if inside is not None:
        good &= inside
    if good.all():
        return parts
    return [np.where(good, part, 0.0 if degree else -np.inf) for degree, part in enumerate(parts)]


def _log_likelihood(family: Family, observed: Observed, mean: Mean, parameters: list[Jet]) -> Jet:
    total = family.log_density(observed, mean, *parameters)
    total = total + family.log_normaliser(observed, *parameters) + observed.constant
    return total if observed.multiplier is None else total * observed.multiplier


def _closed_form(family: Family, observed: Observed) -> ClosedForm | None:
    return CLOSED_FORMS.get((type(family), family.link)) if observed.multiplier is None else None


def _normaliser(family: Family, observed: Observed, phi: ArrayLike) -> Array:
    """Terms of the log-density without the mean, of a family with one predictor."""
    space = Space(1, 0)
    numbers = plain_parameters(family, np.zeros(observed.n), phi, observed.log_precision)
    with np.errstate(all="ignore"):  # a Gamma function that overflows makes the likelihood infinite
        result = family.log_normaliser(observed, *(constant(number, space) for number in numbers))
    return result.value if isinstance(result, Jet) else np.asarray(result)


def derivatives(family: Family, observed: Observed, eta: Array, phi: ArrayLike, order: int) -> tuple[Array, ...]:
    """See :meth:`Family.derivatives`."""
    closed = _closed_form(family, observed)
    if closed is not None and len(family.predictors) == 1:
        plain = plain_parameters(family, eta, phi, observed.log_precision)
        value, *slopes = closed(observed, np.asarray(eta, dtype=float), plain, order)
        return (value + (_normaliser(family, observed, phi) + observed.constant), *slopes)
    inside, predictors = _safe_columns(family, eta)
    with np.errstate(all="ignore"):  # settled() answers for what overflows
        jets, _ = seeds(predictors, [], order)
        space = jets[0].space
        numbers = [constant(value, space) for value in np.asarray(phi, dtype=float)]
        parameters = _arrange(family, observed, jets, numbers)
        jet = _log_likelihood(family, observed, Mean(family.mean_link, jets[0]), parameters)
        keys = list(space)
        representable = settled([jet.part(key) for key in keys], inside)
    return _tensors(dict(zip(keys, representable)), len(predictors), order)


def _safe_columns(family: Family, eta: Array) -> tuple[BoolArray | None, list[Array]]:
    first, *rest = columns(family, eta)
    inside, safe = inside_domain(family.mean_link, family.mean_range, first)
    return inside, [safe, *rest]


def _tensors(parts: dict[tuple[int, ...], Array], n_predictors: int, order: int) -> tuple[Array, ...]:
    """Lay symmetric derivatives out as full arrays; with one predictor without axes of length one."""
    if n_predictors == 1:
        return tuple(parts[(0,) * degree] for degree in range(order + 1))
    shape = parts[()].shape
    result = [parts[()]]
    for degree in range(1, order + 1):
        tensor = np.empty((*shape, *(n_predictors,) * degree))
        for key in combinations_with_replacement(range(n_predictors), degree):
            for place in set(permutations(key)):
                index: tuple[Any, ...] = (..., *place)
                tensor[index] = parts[key]
        result.append(tensor)
    return tuple(result)


def mean_derivatives(family: Family, observed: Observed, eta: Array, phi: ArrayLike, order: int) -> tuple[Array, ...]:
    """See :meth:`Family.mean_derivatives`."""
    closed = _closed_form(family, observed)
    if closed is not None:
        first = columns(family, eta)[0]
        return closed(observed, first, plain_parameters(family, eta, phi, observed.log_precision), order)
    inside, (first, *others) = _safe_columns(family, eta)
    with np.errstate(all="ignore"):  # settled() answers for what overflows
        space = Space(1, order)
        jets = [seeds([first], [], order)[0][0], *(constant(value, space) for value in others)]
        numbers = [constant(value, space) for value in np.asarray(phi, dtype=float)]
        parameters = _arrange(family, observed, jets, numbers)
        jet = family.log_density(observed, Mean(family.mean_link, jets[0]), *parameters)
        jet = jet if observed.multiplier is None else jet * observed.multiplier
        return tuple(settled([jet.part((0,) * degree) for degree in range(order + 1)], inside))


def phi_derivatives(family: Family, observed: Observed, eta: Array, phi: ArrayLike, order: int) -> tuple[Array, ...]:
    """See :meth:`Family.phi_derivatives`."""
    values = np.asarray(phi, dtype=float)
    n_predictors, n_phi = len(family.predictors), len(values)
    if n_phi == 0:
        shape = np.broadcast_shapes(columns(family, eta)[0].shape, observed.y.shape)
        axes = () if n_predictors == 1 else (n_predictors,)
        return tuple(np.empty((*shape, *axes * degree, 0)) for degree in range(order + 1))
    inside, predictors = _safe_columns(family, eta)
    with np.errstate(all="ignore"):  # unrepresentable values are zeros in the end
        jets, numbers = seeds(predictors, list(values), order + 1)
        parameters = _arrange(family, observed, jets, numbers)
        jet = _log_likelihood(family, observed, Mean(family.mean_link, jets[0]), parameters)
        slices = [_phi_slice(jet, n_predictors, n_predictors + j, order, inside) for j in range(n_phi)]
    return tuple(np.stack(parts, axis=-1) for parts in zip(*slices))


def all_derivatives(
    family: Family, observed: Observed, eta: Array, phi: ArrayLike
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """See :meth:`Family.all_derivatives`: one pass over the log-density for both."""
    values = np.asarray(phi, dtype=float)
    closed = _closed_form(family, observed)
    if closed is not None and len(family.predictors) == 1:
        return derivatives(family, observed, eta, phi, 3), _closed_slopes(family, observed, eta, values)
    if values.size == 0:
        return derivatives(family, observed, eta, phi, 3), phi_derivatives(family, observed, eta, phi, 2)
    inside, predictors = _safe_columns(family, eta)
    n_predictors = len(predictors)
    with np.errstate(all="ignore"):  # unrepresentable values are settled or zeros in the end
        jets, numbers = seeds(predictors, list(values), 3, whole=True)
        parameters = _arrange(family, observed, jets, numbers)
        jet = _log_likelihood(family, observed, Mean(family.mean_link, jets[0]), parameters)
        keys = list(Space(n_predictors, 3))
        representable = settled([jet.part(key) for key in keys], inside)
        slices = [_phi_slice(jet, n_predictors, n_predictors + j, 2, inside) for j in range(len(values))]
    parts = _tensors(dict(zip(keys, representable)), n_predictors, 3)
    return parts, tuple(np.stack(slopes, axis=-1) for slopes in zip(*slices))


def _closed_slopes(family: Family, observed: Observed, eta: Array, phi: Array) -> tuple[Array, ...]:
    closed = CLOSED_SLOPES.get((type(family), family.link))
    if closed is None or len(phi) != 1:
        return phi_derivatives(family, observed, eta, phi, 2)
    slopes = closed(observed, np.asarray(eta, dtype=float), plain_parameters(family, eta, phi, observed.log_precision))
    return tuple(slope[..., None] for slope in slopes)


def _phi_slice(jet: Jet, n_predictors: int, variable: int, order: int, inside: BoolArray | None) -> tuple[Array, ...]:
    keys = list(Space(n_predictors, order))
    parts = [jet.part((*key, variable)) for key in keys]
    good = np.isfinite(jet.value) if inside is None else np.isfinite(jet.value) & inside
    finite = {key: np.where(good & np.isfinite(part), part, 0.0) for key, part in zip(keys, parts)}
    return _tensors(finite, n_predictors, order)


def expected_weights(family: Family, observed: Observed, eta: Array, phi: ArrayLike) -> Array:
    """See :meth:`Family.expected_weights`."""
    inside, (first, *others) = _safe_columns(family, eta)
    with np.errstate(all="ignore"):  # overflowing weights are set to zero
        space = Space(1, 1)
        jets = [seeds([first], [], 1)[0][0], *(constant(value, space) for value in others)]
        numbers = [constant(value, space) for value in np.asarray(phi, dtype=float)]
        parameters = _arrange(family, observed, jets, numbers)
        weights = family.expected_information(observed, Mean(family.mean_link, jets[0]), *parameters)
        if observed.multiplier is not None:
            weights = weights * observed.multiplier
        good = np.isfinite(weights) if inside is None else np.isfinite(weights) & inside
        return np.where(good, weights, 0.0)
