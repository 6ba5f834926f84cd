"""Families on the whole real line: Gaussian and Student t."""

from __future__ import annotations

from typing import final

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array
from mixedfx.calculus.gamma_functions import stirling
from mixedfx.calculus.jets import Jet
from mixedfx.calculus.special import exp, log1p, softplus
from mixedfx.families.base import Family
from mixedfx.families.links import LINKS
from mixedfx.families.mean import Mean
from mixedfx.families.observed import Observed
from mixedfx.families.parameters import DEGREES_OF_FREEDOM, DISPERSION

__all__ = ["Gaussian", "StudentT"]

LOG_2PI = float(np.log(2 * np.pi))
SMALLEST_START_VARIANCE = 1e-12  # relative to the squared response


def log_variance(y: Array) -> float:
    """Logarithm of the sample variance, bounded away from that of a constant."""
    spread = float(np.var(y))
    return float(np.log(max(spread, SMALLEST_START_VARIANCE * (float(np.mean(y * y)) or 1.0))))


@final
class Gaussian(Family):
    """Normal distribution; the dispersion is the variance."""

    name = "gaussian"
    default_link = "identity"
    links = tuple(LINKS)
    parameters = (DISPERSION,)
    precision_weights = True
    has_location = True
    exponential_dispersion = True

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``-(y - mu)² / (2 phi)``."""
        residual = mean.value - observed.y
        return residual * residual * exp(-parameters[0]) * -0.5

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet:
        """``-log(phi) / 2``."""
        return parameters[0] * -0.5

    def constant(self, y: Array, trials: Array) -> Array:
        """``-log(2 pi) / 2``."""
        return np.full(y.shape, -0.5 * LOG_2PI)

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu`` and ``phi``."""
        return mu, np.exp(parameters[0])

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Normal numbers."""
        return rng.normal(mu, np.exp(0.5 * parameters[0]))

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``Phi((y - mu) / sigma)``."""
        return np.asarray(sp.ndtr((y - mu) * np.exp(-0.5 * parameters[0])))

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """Zero: the density has no larger value."""
        return np.zeros(observed.n)

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """Sample variance."""
        return (log_variance(observed.y),)


@final
class StudentT(Family):
    """Student's t around ``mu``, its squared scale the dispersion, so that many degrees of freedom give a Gaussian.

    glmmTMB reports the scale itself, ``sigma = sqrt(phi)``.
    """

    name = "student_t"
    limit = "gaussian"
    default_link = "identity"
    links = tuple(LINKS)
    parameters = (DISPERSION, DEGREES_OF_FREEDOM)
    precision_weights = True
    has_location = True

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``-(nu + 1)/2 log(1 + (y - mu)² / (nu phi))``."""
        log_phi, log_df = parameters
        residual = mean.value - observed.y
        return log1p(residual * residual * exp(-(log_phi + log_df))) * (exp(log_df) + 1.0) * -0.5

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet:
        """``log Gamma((nu+1)/2) - log Gamma(nu/2) - log(nu pi phi)/2`` by Stirling's formula, which never cancels."""
        log_phi, log_df = parameters
        growth = softplus(-log_df)  # log((nu + 1) / nu)
        log_half = log_df - float(np.log(2))
        leading = exp(log_half) * growth - log_phi * 0.5 - 0.5 * (1 + LOG_2PI)
        return leading + stirling(log_half + growth) - stirling(log_half)

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu``, the centre also where there is no mean (nu <= 1); ``phi nu / (nu - 2)``, infinite for nu <= 2."""
        df = np.exp(parameters[1])
        variance = np.where(df > 2, np.exp(parameters[0]) * df / np.maximum(df - 2, np.finfo(float).tiny), np.inf)
        return mu, np.asarray(variance * np.ones_like(mu))

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``(nu + 1) / ((nu + 3) phi)``."""
        df = np.exp(parameters[1])
        return np.asarray((df + 1) / (df + 3) * np.exp(-parameters[0]) * np.ones_like(mu))

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Scaled and shifted t."""
        return mu + np.exp(0.5 * parameters[0]) * rng.standard_t(np.exp(parameters[1]), size=np.shape(mu))

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Distribution function of t."""
        return np.asarray(sp.stdtr(np.exp(parameters[1]), (y - mu) * np.exp(-0.5 * parameters[0])))

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """Zero: the density has no larger value."""
        return np.zeros(observed.n)

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """Half the sample variance, with four degrees of freedom."""
        return log_variance(observed.y) - float(np.log(2)), float(np.log(4))
