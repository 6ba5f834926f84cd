"""Continuous families: Gaussian, Student t; Gamma, inverse Gaussian and lognormal for positive numbers."""

from __future__ import annotations

from typing import final

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array
from mixedfx.calculus.gamma_functions import stirling
from mixedfx.calculus.jets import Jet
from mixedfx.calculus.special import exp, exp_excess, expm1, log1p, softplus
from mixedfx.families.base import Family
from mixedfx.families.evaluate import CLOSED_FORMS, settled
from mixedfx.families.links import IDENTITY, LINKS, Mean
from mixedfx.families.observed import POSITIVE, Observed
from mixedfx.families.parameters import DEGREES_OF_FREEDOM, DISPERSION

__all__ = ["Gamma", "Gaussian", "InverseGaussian", "LogNormal", "StudentT"]

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
    many_responses = True
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
    many_responses = True
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


POSITIVE_LINKS = ("log", "inverse", "identity", "inverse_squared", "sqrt")


@final
class Gamma(Family):
    """Gamma distribution with ``Var = phi mu²``: the shape is ``1 / phi``.

    glmmTMB reports ``sigma = sqrt(phi)``; the coefficients of its dispersion formula are of the logarithm of the
    shape, those here with the opposite sign. The default link is R's and statsmodels', the inverse; for random
    effects a log link is usually what is meant.
    """

    name = "gamma"
    many_responses = True
    default_link = "inverse"
    links = POSITIVE_LINKS
    mean_range = "positive"
    support = POSITIVE
    parameters = (DISPERSION,)
    precision_weights = True
    exponential_dispersion = True

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``-(y/mu - 1 - log(y/mu)) / phi``."""
        return -(exp_excess(-mean.log + np.log(observed.y)) * exp(-parameters[0]))

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet:
        """What is left of ``a log a - a - log Gamma(a)`` at ``a = 1/phi``."""
        return parameters[0] * -0.5 - stirling(-parameters[0])

    def constant(self, y: Array, trials: Array) -> Array:
        """``-log(2 pi)/2 - log(y)``."""
        return np.asarray(-0.5 * LOG_2PI - np.log(y))

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu`` and ``phi mu²``."""
        return mu, np.exp(parameters[0]) * mu**2

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``1 / phi``."""
        return np.asarray(np.exp(-parameters[0]) * np.ones_like(mu))

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Gamma numbers."""
        return rng.gamma(np.exp(-parameters[0]), np.exp(parameters[0]) * mu, size=np.shape(mu))

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Regularised incomplete Gamma function."""
        shape = np.exp(-parameters[0])
        return np.asarray(sp.gammainc(shape, shape * y / mu))

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """Zero: the density has no larger value."""
        return np.zeros(observed.n)

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """Squared coefficient of variation."""
        return (log_variance(observed.y) - 2 * float(np.log(np.mean(observed.y))),)


@final
class InverseGaussian(Family):
    """Inverse Gaussian distribution with ``Var = phi mu³``; the default link is R's, ``1/mu²``."""

    name = "inverse_gaussian"
    many_responses = True
    default_link = "inverse_squared"
    links = POSITIVE_LINKS
    mean_range = "positive"
    support = POSITIVE
    parameters = (DISPERSION,)
    precision_weights = True
    exponential_dispersion = True

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``-(y/mu - 1)² / (2 phi y)``."""
        distance = expm1(-mean.log + np.log(observed.y))
        return distance * distance * exp(-parameters[0]) * (-0.5 / observed.y)

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet:
        """``-log(phi) / 2``."""
        return parameters[0] * -0.5

    def constant(self, y: Array, trials: Array) -> Array:
        """``-log(2 pi y³) / 2``."""
        return np.asarray(-0.5 * LOG_2PI - 1.5 * np.log(y))

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu`` and ``phi mu³``."""
        return mu, np.exp(parameters[0]) * mu**3

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``1 / (phi mu)``."""
        return np.asarray(np.exp(-parameters[0]) / mu)

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Inverse Gaussian (Wald) numbers."""
        return rng.wald(mu, np.exp(-parameters[0]), size=np.shape(mu))

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Sum of two normal tail areas, the second with its exponential factor absorbed."""
        root = np.exp(-0.5 * parameters[0]) / np.sqrt(y)
        distance = np.where(y == mu, 0.0, root * (y / mu - 1))
        reflected = 0.5 * sp.erfcx(root * (y / mu + 1) / np.sqrt(2)) * np.exp(-0.5 * distance**2)
        return np.asarray(sp.ndtr(distance) + reflected)

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """Zero: the density has no larger value."""
        return np.zeros(observed.n)

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """Variance over the cube of the mean."""
        return (log_variance(observed.y) - 3 * float(np.log(np.mean(observed.y))),)


@final
class LogNormal(Family):
    """``log y`` is normal with variance ``phi`` and ``y`` has mean ``mu``, so that ``Var = mu² (exp(phi) - 1)``.

    With a log link this is the linear mixed model of ``log y``, its intercept raised by ``phi / 2``. glmmTMB's
    lognormal family holds the standard deviation of y constant instead of that of ``log y``.
    """

    name = "lognormal"
    many_responses = True
    default_link = "log"
    links = POSITIVE_LINKS
    mean_range = "positive"
    support = POSITIVE
    parameters = (DISPERSION,)
    precision_weights = True

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``-(log y - log mu + phi/2)² / (2 phi)``."""
        residual = mean.log - np.log(observed.y) - exp(parameters[0]) * 0.5
        return residual * residual * exp(-parameters[0]) * -0.5

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet:
        """``-log(phi) / 2``."""
        return parameters[0] * -0.5

    def constant(self, y: Array, trials: Array) -> Array:
        """``-log(2 pi)/2 - log(y)``."""
        return np.asarray(-0.5 * LOG_2PI - np.log(y))

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu`` and ``mu² (exp(phi) - 1)``."""
        return mu, mu**2 * np.expm1(np.exp(parameters[0]))

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``1 / phi``."""
        return np.asarray(np.exp(-parameters[0]) * np.ones_like(mu))

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Exponentials of normal numbers."""
        phi = np.exp(parameters[0])
        return np.asarray(mu * np.exp(rng.normal(-phi / 2, np.sqrt(phi), size=np.shape(mu))))

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``Phi`` of the standardised logarithm."""
        phi = np.exp(parameters[0])
        return np.asarray(sp.ndtr((np.log(y / mu) + phi / 2) / np.sqrt(phi)))

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """Zero: the density has no larger value."""
        return np.zeros(observed.n)

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """Variance of ``log y``."""
        return (log_variance(np.log(observed.y)),)


def _student_t_identity(observed: Observed, eta: Array, parameters: list[Array], order: int) -> tuple[Array, ...]:
    """Student's t with an identity link, in residuals of the unit ``sqrt(nu phi)``."""
    with np.errstate(all="ignore"):  # settled() answers for what overflows
        log_phi, log_df = parameters
        per_unit = np.exp(-0.5 * (log_phi + log_df))
        z = (observed.y - eta) * per_unit
        square = z * z
        weight = (np.exp(log_df) + 1.0) / (1.0 + square)
        bend = per_unit * per_unit * weight / (1.0 + square)
        third = 2 * per_unit * z * bend * (square - 3) / (1.0 + square)
        parts = [-0.5 * (np.exp(log_df) + 1.0) * np.log1p(square), per_unit * weight * z, bend * (square - 1), third]
        return tuple(settled(parts[: order + 1]))


CLOSED_FORMS[StudentT, IDENTITY] = _student_t_identity
