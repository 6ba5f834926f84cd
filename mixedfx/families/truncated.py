"""Counts without zeros: the distribution of a count given that it is positive."""

from __future__ import annotations

from typing import final

import numpy as np

from mixedfx._typing import Array
from mixedfx.calculus.jets import Jet, Space, constant, seeds
from mixedfx.calculus.special import cloglog_log_mean
from mixedfx.families.base import Family
from mixedfx.families.counts import CountFamily
from mixedfx.families.links import LOG
from mixedfx.families.mean import Mean
from mixedfx.families.observed import POSITIVE_COUNTS, Observed

__all__ = ["Truncated"]


@final
class Truncated(Family):
    """A count family given that the count is positive; the mean parameter is that of the count before truncation.

    Parameters
    ----------
    base : CountFamily
        The count before truncation.
    """

    mean_range = "positive"
    support = POSITIVE_COUNTS

    def __init__(self, base: CountFamily) -> None:
        self.base = base
        self.name = f"truncated_{base.name}"
        self.default_link, self.links = base.default_link, base.links
        self.parameters = base.parameters
        super().__init__(base.link)
        self.predictors, self.fixed = base.predictors, base.fixed

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """Log-density of the count minus ``log(1 - P(0))``."""
        zero_rate = self.base.log_zero_rate(mean, *parameters)
        return self.base.log_density(observed, mean, *parameters) - cloglog_log_mean(zero_rate)

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet | Array | float:
        """That of the count."""
        return self.base.log_normaliser(observed, *parameters)

    def constant(self, y: Array, trials: Array) -> Array:
        """That of the count."""
        return self.base.constant(y, trials)

    def _zero_rate(self, mu: Array, parameters: tuple[Array, ...]) -> Array:
        """``-log P(0)``."""
        space = Space(1, 0)
        jets = (constant(value, space) for value in parameters)
        return np.exp(self.base.log_zero_rate(Mean(LOG, constant(np.log(mu), space)), *jets).value)

    @property
    def innermost(self) -> Family:
        """That of the base."""
        return self.base.innermost

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``E(Y)/(1 - P(0))``, and from ``E(Y²)/(1 - P(0))``."""
        positive = -np.expm1(-self._zero_rate(mu, parameters))
        average, variance = self.base.moments(mu, trials, *parameters)
        truncated = average / positive
        return truncated, (variance + average**2) / positive - truncated**2

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Squared slope of the mean over the variance: exact for Poisson and negative binomial 2."""
        (log_mu,), _ = seeds([np.log(mu)], [], 1)
        jets = (constant(value, log_mu.space) for value in parameters)
        log_rate = self.base.log_zero_rate(Mean(LOG, log_mu), *jets)
        rate = np.exp(log_rate.value)
        average, variance = self.moments(mu, trials, *parameters)
        slope = average * (1 - rate * log_rate.part((0,)) / np.expm1(rate))
        return np.asarray(slope**2 / variance)

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Positive counts, without rejection."""
        return self.base.draw_positive(rng, mu, *parameters)

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``1 - (1 - F(y))/(1 - P(0))``."""
        above = self.base.survival(y, mu, *parameters) / -np.expm1(-self._zero_rate(mu, parameters))
        return np.asarray(1.0 - np.clip(above, 0.0, 1.0))

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """Those of the count."""
        return self.base.start_parameters(observed)

    def __repr__(self) -> str:
        return f"Truncated({self.base.name!r}, link={self.link.name!r})"
