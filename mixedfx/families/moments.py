"""Moments, residual quantities, simulation and starting values of any family."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import special as sp

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.families import evaluate
from mixedfx.families.links import LOG, inside_domain
from mixedfx.families.observed import Observed

if TYPE_CHECKING:
    from mixedfx.families.base import Family

__all__ = [
    "cdf_limits",
    "link_variance",
    "mean_and_variance",
    "simulate",
    "start_eta",
    "unit_deviance",
]

N_SATURATION_STEPS = 100
SATURATION_TOLERANCE = 1e-13
LARGEST_SATURATION_STEP = 2.0
VarianceName: TypeAlias = Literal["latent", "lognormal", "trigamma", "delta"]


def _log_precision(family: Family, weights: ArrayLike | None) -> Array | None:
    if weights is None or not family.precision_weights:
        return None
    values = np.asarray(weights, dtype=float)
    return np.log(np.where(values > 0, values, 1.0))


def _plain_mean(family: Family, eta: Array) -> Array:
    """Mean parameter, inside its open range; a harmless one where the link cannot take the linear predictor."""
    _, safe = inside_domain(family.mean_link, family.mean_range, eta)
    with np.errstate(all="ignore"):  # a pole of the link is infinite
        mu = family.mean_link.mean(safe)
    return family.mean_interval.clip(mu)


def mean_and_variance(
    family: Family,
    eta: Array,
    phi: ArrayLike,
    *,
    trials: ArrayLike = 1.0,
    weights: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Mean and variance of the response on the scale of the data; NaN where the link has no mean."""
    first = evaluate.columns(family, eta)[0]
    inside, _ = inside_domain(family.mean_link, family.mean_range, first)
    counts = np.asarray(trials, dtype=float)
    parameters = evaluate.plain_parameters(family, eta, phi, _log_precision(family, weights))
    with np.errstate(all="ignore"):  # an overflowing variance is infinite
        average, variance = family.moments(_plain_mean(family, first), counts, *parameters)
        if family.proportions:
            average, variance = average / counts, variance / counts**2
        average = average + family.first
    average, variance = np.broadcast_arrays(average, variance)
    if inside is None:
        return average, variance
    return np.where(inside, average, np.nan), np.where(inside, variance, np.nan)


def simulate(
    family: Family,
    rng: np.random.Generator,
    eta: Array,
    phi: ArrayLike,
    *,
    trials: ArrayLike,
    weights: ArrayLike | None,
) -> Array:
    """See :meth:`Family.simulate`."""
    first = evaluate.columns(family, eta)[0]
    inside, _ = inside_domain(family.mean_link, family.mean_range, first)
    counts = np.broadcast_to(np.asarray(trials, dtype=float), first.shape)
    parameters = evaluate.plain_parameters(family, eta, phi, _log_precision(family, weights))
    with np.errstate(all="ignore"):  # overflowing means make infinite responses
        drawn = np.asarray(family.draw(rng, _plain_mean(family, first), counts, *parameters), dtype=float)
        drawn = drawn / counts if family.proportions else drawn + family.first
    return drawn if inside is None else np.where(inside, drawn, np.nan)


def cdf_limits(family: Family, observed: Observed, eta: Array, phi: ArrayLike) -> tuple[Array, Array]:
    """See :meth:`Family.cdf_limits`."""
    first = evaluate.columns(family, eta)[0]
    mu = _plain_mean(family, first)
    parameters = evaluate.plain_parameters(family, eta, phi, observed.log_precision)
    with np.errstate(all="ignore"):  # tails underflow to 0 or 1
        upper = np.clip(family.cumulative(observed.y, mu, observed.trials, *parameters), 0.0, 1.0)
        if family.support.atoms == "none":
            return upper, upper
        if family.support.atoms == "zero":
            return np.where(observed.y == 0, 0.0, upper), upper
        lower = family.cumulative(observed.y - 1.0, mu, observed.trials, *parameters)
    return np.where(observed.y > 0, np.clip(lower, 0.0, upper), 0.0), upper


def unit_deviance(family: Family, observed: Observed, eta: Array, phi: ArrayLike) -> Array:
    """See :meth:`Family.unit_deviance`."""
    parameters = evaluate.plain_parameters(family, eta, phi, observed.log_precision)
    value = family.mean_derivatives(observed, eta, phi, order=0)[0]
    with np.errstate(all="ignore"):  # parameters so extreme that nothing fits give an infinite deviance
        best = family.saturated(observed, *parameters)
        if best is None:
            best = _saturated(family, observed, eta, phi)
        elif observed.multiplier is not None:
            best = best * observed.multiplier
        result = np.where(np.isfinite(value), 2 * np.maximum(best - value, 0.0), np.inf)
        if not family.exponential_dispersion:
            return result
        place = [parameter.name for parameter in family.parameters].index("dispersion")
        return np.asarray(result * np.exp(evaluate.plain_parameters(family, eta, phi)[place]))


def _saturated(family: Family, observed: Observed, eta: Array, phi: ArrayLike) -> Array:
    """Largest log-density that any mean could give each row: damped Newton steps in its unbounded scale."""
    unbounded = copy.copy(family)
    unbounded.link = unbounded.mean_link = family.mean_interval.link  # whatever links the family accepts
    trial = np.array(eta, dtype=float)
    first = trial if len(family.predictors) == 1 else trial[..., 0]
    first[...] = _start_mean(unbounded, observed)
    best = np.full(first.shape, -np.inf)
    for _ in range(N_SATURATION_STEPS):
        value, slope, curvature = evaluate.mean_derivatives(unbounded, observed, trial, phi, 2)
        better = value > best
        gains = value[better] - best[better]
        best = np.maximum(best, value)
        if not np.any(gains > SATURATION_TOLERANCE):
            break
        expected = evaluate.expected_weights(unbounded, observed, trial, phi)
        weights = np.where(curvature < 0, np.maximum(-curvature, expected / 2), np.maximum(expected, np.abs(slope)))
        step = np.where(slope == 0, 0.0, slope / np.maximum(weights, np.finfo(float).tiny))
        first += np.clip(step, -LARGEST_SATURATION_STEP, LARGEST_SATURATION_STEP)
    return best


def link_variance(family: Family, eta: Array, phi: ArrayLike, method: VarianceName | None) -> Array:
    """See :meth:`Family.link_variance`."""
    if method is not None:
        if method not in LINK_VARIANCES:
            raise SpecificationError(f"unknown method {method!r}; choose from {', '.join(map(repr, LINK_VARIANCES))}")
        return LINK_VARIANCES[method](family, eta, phi)
    latent = family.latent and family.link.latent_variance is not None
    return (_latent if latent else _lognormal if family.link == LOG else _delta)(family, eta, phi)


def _latent(family: Family, eta: Array, phi: ArrayLike) -> Array:
    if not family.latent or family.link.latent_variance is None:
        raise SpecificationError(f"{family!r} has no latent variance; choose 'delta'")
    return np.full(evaluate.columns(family, eta)[0].shape, family.link.latent_variance)


def _lognormal(family: Family, eta: Array, phi: ArrayLike) -> Array:
    average, variance = _moments_of_log_link(family, eta, phi, "lognormal")
    return np.asarray(np.log1p(variance / average**2))


def _trigamma(family: Family, eta: Array, phi: ArrayLike) -> Array:
    average, variance = _moments_of_log_link(family, eta, phi, "trigamma")
    return np.asarray(sp.polygamma(1, average**2 / variance))


def _moments_of_log_link(family: Family, eta: Array, phi: ArrayLike, method: str) -> tuple[Array, Array]:
    if family.link != LOG:
        raise SpecificationError(f"method {method!r} is for a log link; choose 'delta' for {family!r}")
    return mean_and_variance(family, eta, phi)


def _delta(family: Family, eta: Array, phi: ArrayLike) -> Array:
    average, variance = mean_and_variance(family, eta, phi)
    first = evaluate.columns(family, eta)[0]
    slope = np.asarray(family.mean_link.inverse(first, 1)[1]) * average / family.mean_link.mean(first)
    return np.asarray(variance / slope**2)


LINK_VARIANCES: dict[str, Callable[[Family, Array, ArrayLike], Array]] = {
    "latent": _latent,
    "lognormal": _lognormal,
    "trigamma": _trigamma,
    "delta": _delta,
}


def _start_mean(family: Family, observed: Observed) -> Array:
    """Linear predictor of a mean near each response, pulled inside the range and the link's domain."""
    mu = family.mean_interval.near(observed.y, observed.trials)
    with np.errstate(all="ignore"):  # means that the link cannot take are replaced below
        eta = family.mean_link(mu)
        inside, safe = inside_domain(family.mean_link, family.mean_range, eta)
    usable = np.isfinite(eta) if inside is None else np.isfinite(eta) & inside
    fallback = float(np.median(eta[usable])) if usable.any() else 0.0
    return np.where(usable, safe, fallback)


def start_eta(family: Family, observed: Observed) -> Array:
    """See :meth:`Family.start_eta`."""
    first = _start_mean(family, observed)
    if len(family.predictors) == 1:
        return first
    values = dict(zip((parameter.name for parameter in family.parameters), family.start_parameters(observed)))
    others = [np.full(first.shape, values[name]) for name in family.predictors[1:]]
    return np.stack([first, *others], axis=-1)
