"""A family whose linear predictor has a normal error in every row: the error that a mismeasured predictor leaves.

The density of a row is ``integral f(y | eta + s t) phi(t) dt``; the standard deviation s of the error is the last
linear predictor, ``error``. For a normal response around the linear predictor itself the integral is again normal, its
variance ``sigma^2 + s^2``. Elsewhere it is summed over Gauss-Hermite nodes around the mode of the integrand in every
row, scaled by its curvature there; the sum is differentiated with the nodes held in place, which gives the derivatives
of the integral to the accuracy of the sum.

References
----------
Liu, Q. and Pierce, D. A. (1994). *Biometrika* 81, 624-629.
"""

from __future__ import annotations

from typing import final

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array
from mixedfx.calculus.jets import Jet, constant, seeds
from mixedfx.calculus.quadrature import hermite_rule
from mixedfx.families.base import Family
from mixedfx.families.continuous import Gaussian
from mixedfx.families.links import Mean
from mixedfx.families.observed import Observed
from mixedfx.families.parameters import Parameter

__all__ = ["Blurred", "BlurredGaussian", "blurred"]

NODES = 50  # for means of the response
ORDERS = ((0.5, 24), (1.0, 40))  # largest standard deviation of the error, Gauss-Hermite nodes of the density
STEP, LARGE = 0.14, 1.2  # of the trapezoidal rule for larger errors; smaller yet beyond
REACH = 9.0  # standard deviations of the error from the mode: the integrand of a log-concave density is below 1e-17
LOG_PI, ROOT2 = float(np.log(np.pi)), float(np.sqrt(2.0))
STEPS = 30  # towards the mode of the integrand; it need not be met, the nodes cover its surroundings
CLOSE = 1e-3  # change of the mode, in standard deviations of the error, that ends them
LONGEST = 3.0  # step, in standard deviations of the error


def _same(value: float) -> float:
    return value


def _one(value: float) -> float:
    return 1.0


class BlurredFamily(Family):
    """What both kinds share: they are the family inside but for its density."""

    def __init__(self, base: Family) -> None:
        self.base = base
        self.name = base.name
        self.default_link, self.links = base.default_link, base.links
        self.mean_range, self.proportions, self.support = base.mean_range, base.proportions, base.support
        self.has_location, self.precision_weights = base.has_location, base.precision_weights
        self.has_intercept, self.n_categories, self.first = base.has_intercept, base.n_categories, base.first
        self.latent = base.latent
        self.parameters = (*base.parameters, ERROR)
        super().__init__(base.link)
        self.mean_link = base.mean_link
        self.predictors, self.fixed = (*base.predictors, ERROR.name), base.fixed

    @property
    def innermost(self) -> Family:
        """As in the base."""
        return self.base.innermost

    @property
    def is_truncated(self) -> bool:
        """That of the base."""
        return self.base.is_truncated

    def own_scale(self, y: Array, trials: Array) -> Array:
        """As in the base."""
        return self.base.own_scale(y, trials)

    def constant(self, y: Array, trials: Array) -> Array:
        """As in the base."""
        return self.base.constant(y, trials)

    def within(self, observed: Observed) -> Observed | None:
        """As in the base."""
        return self.base.within(observed)

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """As in the base, without error."""
        return (*self.base.start_parameters(observed), 0.0)

    def natural_scale(self, free: list[Parameter], values: Array) -> tuple[dict[str, float], Array]:
        """As in the base."""
        return self.base.natural_scale(free, values)

    def _over_error(self, mu: Array, s: Array) -> tuple[Array, Array]:
        """Means (c, …) at nodes of the error, and their weights (c,)."""
        rule = hermite_rule(NODES, 1)
        nodes, weights = np.sqrt(2.0) * rule.nodes[:, 0], _weights(rule.nodes[:, 0], rule.log_weights)
        eta = self.mean_link(mu) + nodes.reshape(-1, *[1] * np.ndim(mu)) * s
        return self.mean_interval.clip(self.mean_link.mean(eta)), weights

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """Mean and variance over the error."""
        *inner, s = parameters
        if not np.any(s):
            return self.base.moments(mu, trials, *inner)
        at, weights = self._over_error(mu, s)
        mean, variance = self.base.moments(at, trials, *inner)
        average = np.tensordot(weights, mean, axes=1)
        return average, np.tensordot(weights, variance + (mean - average) ** 2, axes=1)

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Draw an error, then a response."""
        *inner, s = parameters
        if not np.any(s):
            return self.base.draw(rng, mu, trials, *inner)
        eta = self.mean_link(mu) + s * rng.standard_normal(np.shape(mu))
        return self.base.draw(rng, self.mean_interval.clip(self.mean_link.mean(eta)), trials, *inner)

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Probability over the error."""
        *inner, s = parameters
        if not np.any(s):
            return self.base.cumulative(y, mu, trials, *inner)
        at, weights = self._over_error(mu, s)
        return np.tensordot(weights, self.base.cumulative(y, at, trials, *inner), axes=1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base.name!r}, link={self.link.name!r})"


ERROR = Parameter("error", natural=_same, unbounded=_same, slope=_one)


def _weights(nodes: Array, log_weights: Array) -> Array:
    """Weights (c,) of nodes whose logarithms have ``exp(z^2)`` in them, as probabilities."""
    weights = np.exp(log_weights - nodes**2)
    return np.asarray(weights / weights.sum())


@final
class BlurredGaussian(BlurredFamily):
    """A normal response around its linear predictor: the error adds to its variance.

    Parameters
    ----------
    base : Gaussian
        With the identity link.
    """

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``-(y - eta)² / (2 v) - log(v) / 2``, ``v = phi + s²``."""
        *inner, s = parameters
        variance = np.exp(inner[0]) + s * s
        residual = mean.eta - observed.y
        density: Jet = residual * residual / variance * -0.5 - np.log(variance) * 0.5
        return density

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """The mean itself, and ``phi + s²``."""
        return mu, np.exp(parameters[0]) + np.square(parameters[-1])

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Of the normal distribution."""
        return np.asarray(sp.ndtr((y - mu) / np.sqrt(np.exp(parameters[0]) + np.square(parameters[-1]))))


@final
class Blurred(BlurredFamily):
    """Any other family.

    Parameters
    ----------
    base : Family
        Whose link takes every linear predictor.
    """

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``log sum_k w_k f(y | eta + s t_k)``."""
        *inner, s = parameters
        eta = mean.eta
        centre, spread = self._place(observed, eta.value, [one.value for one in inner], s.value)
        size = float(np.max(np.abs(s.value), initial=0.0))
        places, log_factors = _rule(size, float(np.min(spread, initial=1.0)))
        shape = (-1, *[1] * eta.value.ndim)
        nodes = centre + spread * places.reshape(shape)
        log_weights = log_factors.reshape(shape) + np.log(spread) - 0.5 * nodes**2
        at = Mean(mean.link, _lifted(eta) + _lifted(s) * nodes)
        lifted = [_lifted(one) for one in inner]
        terms = self.base.log_density(observed, at, *lifted) + self.base.log_normaliser(observed, *lifted) + log_weights
        top = np.max(terms.value, axis=0)
        top = np.where(np.isfinite(top), top, 0.0)
        density: Jet = np.log(np.exp(terms - top).map(_summed)) + top
        return density

    def _place(self, observed: Observed, eta: Array, inner: list[Array], s: Array) -> tuple[Array, Array]:
        """Centre and spread (…) of the integrand, by Newton steps in the error, inside of the bracket known so far."""
        t = np.zeros(np.broadcast_shapes(eta.shape, np.shape(s), observed.y.shape))
        information, low, high = np.zeros_like(t), np.full_like(t, -np.inf), np.full_like(t, np.inf)
        for _ in range(STEPS):
            slope, curvature = self._slopes(observed, eta + s * t, inner)
            rise = slope * s - t
            information = np.maximum(-curvature * s * s, 0.0)
            low, high = np.where(rise > 0, t, low), np.where(rise < 0, t, high)
            new = t + np.clip(rise / (1.0 + information), -LONGEST, LONGEST)
            beyond = ((new <= low) | (new >= high)) & np.isfinite(low) & np.isfinite(high)
            new = np.where(beyond, 0.5 * (low + high), new)
            step, t = np.abs(new - t), np.where(np.isfinite(new), new, t)
            if not np.max(step, initial=0.0) > CLOSE:
                break
        return t, np.where(np.isfinite(information), 1.0 / np.sqrt(1.0 + information), 1.0)

    def _slopes(self, observed: Observed, eta: Array, inner: list[Array]) -> tuple[Array, Array]:
        """First and second derivatives of the log-density of the base in the linear predictor."""
        (jet,), _ = seeds([eta], [], 2)
        parameters = [constant(value, jet.space) for value in inner]
        density = self.base.log_density(observed, Mean(self.mean_link, jet), *parameters)
        return density.part((0,)), density.part((0, 0))


def _rule(size: float, narrowest: float) -> tuple[Array, Array]:
    """Return the nodes (c,) in units of the spread, and the logarithms (c,) of what their weights have beside it.

    Gauss-Hermite for small errors. For large ones the poles of a logit come near, and peaks may be much narrower than
    the error: the trapezoidal rule in u, ``t = sinh(u)``, is dense in the middle and reaches the tails.
    """
    for limit, order in ORDERS:
        if size <= limit:
            rule = hermite_rule(order, 1)
            return ROOT2 * rule.nodes[:, 0], rule.log_weights - 0.5 * LOG_PI
    step = min(STEP, STEP * LARGE / size)
    count = int(np.ceil(np.arcsinh(REACH / narrowest) / step))
    u = step * np.arange(-count, count + 1.0)
    return np.sinh(u), np.log(step * np.cosh(u)) - 0.5 * (LOG_PI + np.log(2.0))


def _lifted(jet: Jet) -> Jet:
    """The jet with an axis of nodes in front."""
    return Jet(
        {key: part if np.ndim(part) == 0 else np.asarray(part)[None] for key, part in jet.parts.items()}, jet.space
    )


def _summed(part: Array) -> Array:
    return np.asarray(part.sum(axis=0))


def blurred(family: Family) -> Family:
    """Return the family with a normal error in its linear predictor."""
    if isinstance(family, Gaussian) and family.mean_link.name == "identity" and len(family.predictors) == 1:
        return BlurredGaussian(family)
    return Blurred(family)
