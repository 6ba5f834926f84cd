"""Counts: Poisson and the two negative binomials."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array, BoolArray
from mixedfx.calculus.gamma_functions import log_rising, log_rising_slope
from mixedfx.calculus.jets import Jet, constant, where
from mixedfx.calculus.special import (
    LARGEST_EXPONENT,
    exp,
    log1p_ratio,
    log_softplus,
    plain_softplus,
    saturated_exp,
    softplus,
)
from mixedfx.families.base import Family
from mixedfx.families.evaluate import CLOSED_FORMS, CLOSED_SLOPES
from mixedfx.families.links import LOG, Mean
from mixedfx.families.observed import COUNTS, Observed
from mixedfx.families.parameters import DISPERSION

__all__ = ["CountFamily", "NegativeBinomial1", "NegativeBinomial2", "Poisson"]

COUNT_LINKS = ("log", "identity", "sqrt")
LARGEST_RATE = 1e18  # of the Poisson generator
POISSON_LIMIT = 1e10  # sizes beyond it are Poisson to working precision


def draw_poisson(rng: np.random.Generator, rate: Array) -> Array:
    """Poisson numbers, of the largest rate that the generator takes if need be."""
    usable = np.minimum(np.fmax(rate, 0.0), LARGEST_RATE)  # nan becomes zero
    return np.asarray(rng.poisson(usable), dtype=float)


class CountFamily(Family):
    """A count as a Poisson variable whose rate is Gamma distributed; the Poisson family is its limit."""

    default_link = "log"
    links = COUNT_LINKS
    mean_range = "positive"
    support = COUNTS

    @abstractmethod
    def size(self, mu: Array, *parameters: Array) -> Array:
        """Shape of the Gamma distribution of the rate; infinite for a Poisson variable."""

    @abstractmethod
    def log_zero_rate(self, mean: Mean, *parameters: Jet) -> Jet:
        """``log(-log P(Y = 0))``."""

    def constant(self, y: Array, trials: Array) -> Array:
        """``-log(y!)``."""
        return np.asarray(-sp.gammaln(y + 1))

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Poisson numbers with Gamma rates."""
        size = np.broadcast_to(self.size(mu, *parameters), np.shape(mu))
        mixed = size < POISSON_LIMIT
        if not mixed.any():
            return draw_poisson(rng, mu)
        shape = np.where(mixed, size, 1.0)
        rate = np.where(mixed, rng.gamma(shape, mu / shape), mu)
        return draw_poisson(rng, rate)

    def draw_positive(self, rng: np.random.Generator, mu: Array, *parameters: Array) -> Array:
        """Draw given that the count is not zero: one event at its time in (0, 1), then those after it."""
        size = np.broadcast_to(self.size(mu, *parameters), np.shape(mu))
        mixed = size < POISSON_LIMIT
        shape = np.where(mixed, size, 1.0)
        none = np.where(mixed, -shape * np.log1p(mu / shape), -mu)
        survival = np.log1p(rng.random(size=np.shape(mu)) * np.expm1(none))
        time = np.where(mixed, shape * np.expm1(-survival / shape), -survival) / mu
        rate = np.where(mixed, rng.gamma(shape + 1.0) / (shape / mu + time), mu)
        return 1.0 + draw_poisson(rng, rate * (1 - time))

    def _gamma_shape(self, y: Array, mu: Array, *parameters: Array) -> tuple[BoolArray, Array]:
        """Say which rates have a distribution of their own, and its shape: not zero, for SciPy's sake, and 1 else."""
        size = np.broadcast_to(self.size(mu, *parameters), np.broadcast_shapes(np.shape(mu), np.shape(y)))
        mixed = size < POISSON_LIMIT
        return mixed, np.where(mixed, np.maximum(size, np.finfo(float).tiny), 1.0)

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Regularised incomplete Beta function, or Gamma function in the Poisson limit."""
        mixed, shape = self._gamma_shape(y, mu, *parameters)
        return np.where(mixed, sp.betainc(shape, y + 1, shape / (shape + mu)), sp.pdtr(y, mu))

    def survival(self, y: Array, mu: Array, *parameters: Array) -> Array:
        """Probability of a count above y, without the cancellation of one minus the distribution function."""
        mixed, shape = self._gamma_shape(y, mu, *parameters)
        return np.where(mixed, sp.betainc(y + 1, shape, mu / (shape + mu)), sp.pdtrc(y, mu))


@final
class Poisson(CountFamily):
    """Poisson distribution."""

    name = "poisson"
    many_responses = True

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``y log(mu) - mu``."""
        return mean.log * observed.y - mean.value

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu`` and ``mu``."""
        return mu, mu

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``mu``."""
        return mu

    def size(self, mu: Array, *parameters: Array) -> Array:
        """Infinite: the rate is no random variable."""
        return np.full(np.shape(mu), np.inf)

    def log_zero_rate(self, mean: Mean, *parameters: Jet) -> Jet:
        """``log(mu)``."""
        return mean.log

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """``y log(y) - y``."""
        return np.asarray(sp.xlogy(observed.y, observed.y) - observed.y)


@final
class NegativeBinomial2(CountFamily):
    """Negative binomial with ``Var = mu (1 + mu/phi)``: ``phi`` is the size, large for little overdispersion."""

    name = "nbinom2"
    many_responses = True
    limit = "poisson"
    parameters = (DISPERSION,)

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``y log(mu) - (y + phi) log(1 + mu/phi)``."""
        log_size = _held(parameters[0])
        return mean.log * observed.y - softplus(mean.log - log_size) * (exp(log_size) + observed.y)

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet:
        """``log Gamma(y + phi) - log Gamma(phi) - y log(phi)``."""
        return log_rising(observed.y, parameters[0])

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu`` and ``mu (1 + mu/phi)``."""
        return mu, mu * (1 + mu * np.exp(-parameters[0]))

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``mu / (1 + mu/phi)``."""
        return np.asarray(mu / (1 + mu * np.exp(-parameters[0])))

    def size(self, mu: Array, *parameters: Array) -> Array:
        """``phi``."""
        return np.exp(parameters[0])

    def log_zero_rate(self, mean: Mean, *parameters: Jet) -> Jet:
        """``log(phi log(1 + mu/phi))``."""
        return parameters[0] + log_softplus(mean.log - parameters[0])

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """``y log(y) - (y + phi) log(1 + y/phi)``."""
        y, log_size = observed.y, parameters[0]
        return np.asarray(sp.xlogy(y, y) - (y + saturated_exp(log_size)) * np.log1p(y * np.exp(-log_size)))

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """By the method of moments."""
        return (float(np.log(np.mean(observed.y) + 0.1) - np.log(excess_variance(observed.y))),)


@final
class NegativeBinomial1(CountFamily):
    """Negative binomial with ``Var = mu (1 + phi)``: the size is ``mu/phi``."""

    name = "nbinom1"
    information_is_bound = True
    many_responses = True
    limit = "poisson"
    limit_end = -np.inf
    parameters = (DISPERSION,)

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``log Gamma(y + mu/phi) - log Gamma(mu/phi) + y log(phi) - (mu/phi) log(1 + phi)``."""
        rising = log_rising(observed.y, mean.log - parameters[0])
        return rising + mean.log * observed.y - exp(mean.log) * log1p_ratio(parameters[0])

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet:
        """``-y log(1 + phi)``."""
        return softplus(parameters[0]) * -observed.y

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu`` and ``mu (1 + phi)``."""
        return mu, mu * (1 + np.exp(parameters[0]))

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``mu / (1 + phi)``, the quasi-likelihood bound."""
        return np.asarray(mu / (1 + np.exp(parameters[0])))

    def size(self, mu: Array, *parameters: Array) -> Array:
        """``mu / phi``."""
        return np.asarray(mu * np.exp(-parameters[0]))

    def log_zero_rate(self, mean: Mean, *parameters: Jet) -> Jet:
        """``log((mu/phi) log(1 + phi))``."""
        return mean.log - parameters[0] + log_softplus(parameters[0])

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """By the method of moments."""
        return (float(np.log(excess_variance(observed.y))),)


def _held(log_size: Jet) -> Jet:
    """The logarithm of the size, no larger than exp() follows: a size beyond is infinite for all purposes."""
    beyond = log_size.value > LARGEST_EXPONENT
    if not np.any(beyond):
        return log_size
    return where(beyond, constant(LARGEST_EXPONENT, log_size.space), log_size)


def excess_variance(y: Array) -> float:
    """``Var/mean - 1``, at least a tenth."""
    return max(float(np.var(y)) / max(float(np.mean(y)), 1e-8) - 1.0, 0.1)


def _poisson_log(observed: Observed, eta: Array, parameters: list[Array], order: int) -> tuple[Array, ...]:
    """Poisson with a log link."""
    mu = saturated_exp(eta)
    return (observed.y * eta - mu, observed.y - mu, -mu, -mu)[: order + 1]


def _nbinom2_log(observed: Observed, eta: Array, parameters: list[Array], order: int) -> tuple[Array, ...]:
    """Negative binomial 2 with a log link."""
    log_size = np.minimum(parameters[0], LARGEST_EXPONENT)
    size = np.exp(log_size)
    total = observed.y + size
    distance = eta - log_size
    value = observed.y * eta - total * plain_softplus(distance)
    if order == 0:
        return (value,)
    small = np.exp(-np.abs(distance))
    inverse = 1.0 / (1.0 + small)
    p = np.where(distance >= 0, inverse, small * inverse)
    second = -total * (small * inverse) * inverse
    return (value, observed.y - total * p, second, second * (1 - 2 * p))[: order + 1]


def _nbinom2_log_slopes(observed: Observed, eta: Array, parameters: list[Array]) -> tuple[Array, Array, Array]:
    """Derivatives in ``log phi`` of the log-density, its gradient and its second derivative."""
    log_size = np.minimum(parameters[0], LARGEST_EXPONENT)
    size = np.exp(log_size)
    distance = eta - log_size
    small = np.exp(-np.abs(distance))
    inverse = 1.0 / (1.0 + small)
    p = np.where(distance >= 0, inverse, small * inverse)
    pq = small * inverse * inverse
    total = observed.y + size
    soft = np.maximum(distance, 0.0) + np.log1p(small)
    value = total * p - size * soft + log_rising_slope(observed.y, parameters[0])
    return value, total * pq - size * p, pq * (total * (1 - 2 * p) - size)


CLOSED_FORMS[Poisson, LOG] = _poisson_log
CLOSED_FORMS[NegativeBinomial2, LOG] = _nbinom2_log
CLOSED_SLOPES[NegativeBinomial2, LOG] = _nbinom2_log_slopes
