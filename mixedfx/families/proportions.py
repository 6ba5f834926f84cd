"""Proportions: binomial, beta-binomial, beta."""

from __future__ import annotations

from typing import final

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array
from mixedfx.calculus.gamma_functions import log_rising, stirling
from mixedfx.calculus.jets import Jet, Primitive, Space, constant
from mixedfx.calculus.special import exp, log_expit_derivatives, log_ndtr_derivatives
from mixedfx.families.base import Family
from mixedfx.families.continuous import LOG_2PI
from mixedfx.families.evaluate import CLOSED_FORMS
from mixedfx.families.links import LOGIT, PROBIT, Mean
from mixedfx.families.observed import OPEN_UNIT, PROPORTIONS, Observed, refuse
from mixedfx.families.parameters import DISPERSION

__all__ = ["Beta", "BetaBinomial", "Binomial"]

PROBABILITY_LINKS = ("logit", "probit", "cloglog", "cauchit", "log", "identity")
ROUNDING_OF_SUCCESSES = 1e-3  # a printed proportion times its trials may miss a whole number by so much
START_PRECISION = 10.0
LARGEST_LOG_PRECISION = 200.0


def successes(y: Array, trials: Array) -> Array:
    """Whole numbers of successes from proportions; DataError if they are not whole."""
    whole = (trials >= 0) & np.isfinite(trials) & np.equal(trials, np.floor(trials))
    refuse(whole, trials, "binomial trials must be whole numbers; found")
    counts = y * trials
    refuse(
        np.abs(counts - np.round(counts)) <= ROUNDING_OF_SUCCESSES,
        y,
        "proportion times trials must be a whole number of successes; found the proportion",
        ": write cbind(successes, failures) with whole numbers; are the weights the trials? Fractions that are no "
        "counts are of family='beta'",
    )
    return np.asarray(np.round(counts))


def log_choose(y: Array, trials: Array) -> Array:
    """Logarithm of the binomial coefficient."""
    if np.all(trials == 1):
        return np.broadcast_to(0.0, y.shape)
    return np.asarray(sp.gammaln(trials + 1) - sp.gammaln(y + 1) - sp.gammaln(trials - y + 1))


def _binomial_kernel(observed: Observed, mean: Mean) -> Jet:
    return mean.log * observed.y + mean.log_complement * (observed.trials - observed.y)


@final
class Binomial(Family):
    """Successes among trials, or single 0/1 responses."""

    name = "binomial"
    many_responses = True
    default_link = "logit"
    links = PROBABILITY_LINKS
    mean_range = "unit"
    support = PROPORTIONS
    proportions = True
    latent = True

    def own_scale(self, y: Array, trials: Array) -> Array:
        """Numbers of successes."""
        return successes(y, trials)

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``y log(mu) + (n - y) log(1 - mu)``."""
        return _binomial_kernel(observed, mean)

    def constant(self, y: Array, trials: Array) -> Array:
        """Logarithm of the binomial coefficient."""
        return log_choose(y, trials)

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``n mu`` and ``n mu (1 - mu)``."""
        return trials * mu, trials * mu * (1 - mu)

    def expected_information(self, observed: Observed, mean: Mean, *parameters: Jet) -> Array:
        """``n mu'² / (mu (1 - mu))``, as the product of two logarithmic slopes."""
        return -observed.trials * mean.log.part((0,)) * mean.log_complement.part((0,))

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Binomial numbers."""
        return rng.binomial(trials.astype(np.int64), mu).astype(float)

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Regularised incomplete Beta function."""
        failures = np.maximum(trials - y, np.finfo(float).tiny)
        return np.where(y >= trials, 1.0, np.where(y < 0, 0.0, sp.betainc(failures, y + 1, 1 - mu)))

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """``y log(y/n) + (n - y) log(1 - y/n)``."""
        y, n = observed.y, np.maximum(observed.trials, 1.0)
        return np.asarray(sp.xlogy(y, y / n) + sp.xlogy(observed.trials - y, (n - y) / n))


@final
class BetaBinomial(Family):
    """Successes among trials whose probability is Beta(mu phi, (1 - mu) phi) distributed: ``phi`` is a precision."""

    name = "beta_binomial"
    information_is_bound = True
    many_responses = True
    limit = "binomial"
    default_link = "logit"
    links = PROBABILITY_LINKS
    mean_range = "unit"
    support = PROPORTIONS
    parameters = (DISPERSION,)
    proportions = True
    latent = True

    def own_scale(self, y: Array, trials: Array) -> Array:
        """Numbers of successes."""
        return successes(y, trials)

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """Binomial log-density plus the excesses of three rising factorials, which vanish for large ``phi``."""
        y, failures = observed.y, observed.trials - observed.y
        excess = log_rising(y, mean.log + parameters[0]) + log_rising(failures, mean.log_complement + parameters[0])
        return _binomial_kernel(observed, mean) + excess - log_rising(observed.trials, parameters[0])

    def constant(self, y: Array, trials: Array) -> Array:
        """Logarithm of the binomial coefficient."""
        return log_choose(y, trials)

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``n mu`` and ``n mu (1 - mu) (phi + n)/(phi + 1)``."""
        inflation = 1 + (trials - 1) / (1 + np.exp(parameters[0]))
        return trials * mu, trials * mu * (1 - mu) * inflation

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``n mu (1 - mu) (phi + 1)/(phi + n)``, the quasi-likelihood bound."""
        return np.asarray(trials * mu * (1 - mu) / (1 + (trials - 1) / (1 + np.exp(parameters[0]))))

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Binomial numbers with Beta probabilities."""
        chance = draw_beta(rng, mu, np.exp(parameters[0]))
        return rng.binomial(trials.astype(np.int64), chance).astype(float)

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Sum of the probabilities, from that of zero and their ratios."""
        log_phi = np.clip(parameters[0], -LARGEST_LOG_PRECISION, LARGEST_LOG_PRECISION)
        per_trial = np.exp(-log_phi)
        steps = np.arange(max(int(np.max(y, initial=0.0)), 0)).reshape(-1, *(1,) * np.ndim(mu * trials))
        remaining = np.maximum(trials - steps, 1.0)
        up, down = mu + steps * per_trial, 1 - mu + (remaining - 1) * per_trial
        log_ratio = np.log(remaining / (steps + 1)) + np.log(up / down)
        space = Space(1, 0)
        none_down = log_rising(trials, constant(np.log1p(-mu) + log_phi, space))
        none = none_down.value + trials * np.log1p(-mu) - log_rising(trials, constant(log_phi, space)).value
        later = np.where(steps < y, none + np.cumsum(log_ratio, axis=0), -np.inf)
        total = np.exp(none) + np.sum(np.exp(later), axis=0)
        return np.where(y >= trials, 1.0, np.where(y < 0, 0.0, total))

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """A precision of ten."""
        return (float(np.log(START_PRECISION)),)


def draw_beta(rng: np.random.Generator, mu: Array, precision: Array) -> Array:
    """Beta numbers of given mean and precision, in the open unit interval."""
    smallest = np.finfo(float).tiny
    a, b = np.maximum(mu * precision, smallest), np.maximum((1 - mu) * precision, smallest)
    return np.clip(rng.beta(a, b, size=np.shape(mu)), smallest, 1 - np.finfo(float).epsneg)


@final
class Beta(Family):
    """Beta distribution of mean ``mu`` with ``Var = mu (1 - mu)/(1 + phi)``: ``phi`` is a precision."""

    name = "beta"
    many_responses = True
    default_link = "logit"
    links = PROBABILITY_LINKS
    mean_range = "unit"
    support = OPEN_UNIT
    parameters = (DISPERSION,)

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """Divergence between ``mu`` and y times the precision, and what Stirling's formula leaves."""
        log_phi = parameters[0]
        log_y, log_rest = np.log(observed.y), np.log1p(-observed.y)
        divergence = mean.value * (mean.log - log_y) + exp(mean.log_complement) * (mean.log_complement - log_rest)
        remainder = stirling(mean.log + log_phi) + stirling(mean.log_complement + log_phi)
        return (mean.log + mean.log_complement) * 0.5 - exp(log_phi) * divergence - remainder

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet:
        """``log(phi)/2`` and the remainder of Stirling's formula for ``log Gamma(phi)``."""
        return parameters[0] * 0.5 + stirling(parameters[0])

    def constant(self, y: Array, trials: Array) -> Array:
        """``-log(2 pi)/2 - log(y) - log(1 - y)``."""
        return np.asarray(-0.5 * LOG_2PI - np.log(y) - np.log1p(-y))

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu`` and ``mu (1 - mu)/(1 + phi)``."""
        return mu, mu * (1 - mu) / (1 + np.exp(parameters[0]))

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``(phi mu (1 - mu))² (trigamma(mu phi) + trigamma((1 - mu) phi))``."""
        phi = np.exp(parameters[0])
        curvature = sp.polygamma(1, mu * phi) + sp.polygamma(1, (1 - mu) * phi)
        return np.asarray((phi * mu * (1 - mu)) ** 2 * curvature)

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Beta numbers."""
        return draw_beta(rng, mu, np.exp(parameters[0]))

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Regularised incomplete Beta function; a step where the precision is beyond its reach."""
        phi = np.exp(parameters[0])
        area = sp.betainc(mu * phi, (1 - mu) * phi, y)
        return np.where(np.isfinite(area), area, np.greater_equal(y, mu))

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """By the method of moments."""
        mean = float(np.mean(observed.y))
        spread = max(float(np.var(observed.y)), np.finfo(float).tiny)
        return (float(np.log(max(mean * (1 - mean) / spread - 1.0, 0.5))),)


def _binomial_logit(observed: Observed, eta: Array, parameters: list[Array], order: int) -> tuple[Array, ...]:
    """Binomial with a logit link: nothing cancels when the outcome was certain."""
    if observed.outcome is not None:
        return _one_tail(observed.outcome, observed.trials, log_expit_derivatives, eta, order)
    y, failures, n = observed.y, observed.trials - observed.y, observed.trials
    low, high = np.minimum(eta, 0.0), np.maximum(eta, 0.0)
    small = low - high
    np.exp(small, out=small)
    value = np.log1p(small)
    value *= -n
    value += y * low
    value -= failures * high
    if order == 0:
        return (value,)
    inverse = 1.0 / (1.0 + small)
    p, q = np.exp(low, out=low), np.exp(np.negative(high, out=high), out=high)
    p *= inverse
    q *= inverse
    slope = y * q
    slope -= failures * p
    if order == 1:
        return (value, slope)
    second = -n * (small * inverse**2)
    return (value, slope, second, second * (q - p))[: order + 1]


def _binomial_probit(observed: Observed, eta: Array, parameters: list[Array], order: int) -> tuple[Array, ...]:
    """Binomial with a probit link."""
    if observed.outcome is not None:
        return _one_tail(observed.outcome, observed.trials, log_ndtr_derivatives, eta, order)
    y, n = observed.y, observed.trials
    up, down = PROBIT.log_mean(eta, order), PROBIT.log_complement(eta, order)
    return tuple(y * np.asarray(a) + (n - y) * np.asarray(b) for a, b in zip(up, down))


def _one_tail(outcome: Array, trials: Array, log_tail: Primitive, eta: Array, order: int) -> tuple[Array, ...]:
    """Log-density under a symmetric link where all trials of a row had the same outcome: one tail is enough."""
    parts = tuple(np.asarray(part) for part in log_tail(outcome * eta, order))
    weights = (trials, trials * outcome)
    for degree, part in enumerate(parts):
        np.multiply(part, weights[degree % 2], out=part)
    return parts


CLOSED_FORMS[Binomial, LOGIT] = _binomial_logit
CLOSED_FORMS[Binomial, PROBIT] = _binomial_probit
