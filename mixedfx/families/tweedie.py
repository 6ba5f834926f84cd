"""Tweedie's compound Poisson-Gamma distribution: non-negative responses with exact zeros."""

from __future__ import annotations

from typing import final

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array, IntArray
from mixedfx.calculus.gamma_functions import gammaln
from mixedfx.calculus.jets import Jet, Part, where
from mixedfx.calculus.special import exp, log, log_expit
from mixedfx.families.base import Family
from mixedfx.families.continuous import POSITIVE_LINKS, log_variance
from mixedfx.families.counts import draw_poisson
from mixedfx.families.links import Mean
from mixedfx.families.observed import NON_NEGATIVE, Observed
from mixedfx.families.parameters import DISPERSION, POWER

__all__ = ["Tweedie"]

# The series of the density is a sum over j of terms with one peak of width sd. Where it is wide it is replaced by an
# integral over a grid of step sd/2: the error of the trapezoidal rule is exp(-8 pi²), less than rounding.
GRID = np.arange(-24, 29) / 2.0
LEFT_REACH, RIGHT_REACH, EXTRA_TERMS = 12.0, 14.0, 25.0
NARROWEST_INTEGRAL = 2.0
NORMAL_LIMIT = 1e8
MOST_TERMS = 2000
BLOCK = 2048  # rows that are summed at a time, for the sake of memory


@final
class Tweedie(Family):
    """Tweedie distribution with ``Var = phi mu**p``, ``1 < p < 2``: a Poisson number of Gamma variables.

    The power is estimated by ``logit(p - 1)``; hold it with ``with_fixed(power=1.5)``.

    References
    ----------
    Dunn, P. K. and Smyth, G. K. (2005). Statistics and Computing 15, 267-280 (the series).
    """

    name = "tweedie"
    default_link = "log"
    links = POSITIVE_LINKS
    mean_range = "positive"
    support = NON_NEGATIVE
    parameters = (DISPERSION, POWER)
    precision_weights = True
    exponential_dispersion = True

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``-(y mu**(1-p)/(p-1) + mu**(2-p)/(2-p)) / phi``."""
        log_phi, logit = parameters
        log_above, log_below = log_expit(logit), log_expit(-logit)  # of p - 1 and 2 - p
        first = exp(-(mean.log * exp(log_above)) - log_above - log_phi)
        second = exp(mean.log * exp(log_below) - log_below - log_phi)
        return -(first * observed.y + second)

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet:
        """Logarithm of the series in y, the dispersion and the power; nothing at y = 0."""
        positive = np.flatnonzero(observed.y > 0)
        blocks = [positive[start : start + BLOCK] for start in range(0, positive.size, BLOCK)]
        sums = [_log_series(observed.y[rows], *_rows(parameters, rows, observed.n)) for rows in blocks]
        return _scatter(sums, blocks, observed.n, parameters[0])

    def constant(self, y: Array, trials: Array) -> Array:
        """``-log(y)``, the measure in which the series is a density."""
        return np.where(y > 0, -np.log(np.where(y > 0, y, 1.0)), 0.0)

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``mu`` and ``phi mu**p``."""
        return mu, np.exp(parameters[0]) * mu ** (1 + sp.expit(parameters[1]))

    def information(self, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``mu**(2-p) / phi``."""
        return np.asarray(mu ** sp.expit(-parameters[1]) * np.exp(-parameters[0]))

    def _compound(self, mu: Array, parameters: tuple[Array, ...]) -> tuple[Array, Array, Array]:
        """Rate of the Poisson number, shape and scale of the Gamma variables."""
        phi, above, below = np.exp(parameters[0]), sp.expit(parameters[1]), sp.expit(-parameters[1])
        return mu**below / (phi * below), np.asarray(below / above), phi * above * mu**above

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Sums of a Poisson number of Gamma variables."""
        rate, shape, scale = self._compound(mu, parameters)
        number = draw_poisson(rng, np.broadcast_to(rate, np.shape(mu)))
        return np.where(number > 0, rng.gamma(np.maximum(number, 1) * shape, scale), 0.0)

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Poisson mixture of Gamma distribution functions; normal where the Poisson rate is beyond 1e8."""
        rate, shape, scale = (np.broadcast_to(part, np.shape(mu)) for part in self._compound(mu, parameters))
        mixed = rate < NORMAL_LIMIT
        rate = np.where(mixed, rate, 1.0)
        reach = RIGHT_REACH * np.sqrt(rate) + EXTRA_TERMS
        first = np.maximum(np.floor(rate - reach), 1.0)
        n_terms = min(int(np.max(2 * reach, initial=0.0)) + 3, MOST_TERMS)
        step = np.maximum(2 * reach / n_terms, 1.0)
        numbers = first + step * np.arange(n_terms).reshape(-1, *(1,) * rate.ndim)
        chances = step * np.exp(sp.xlogy(numbers, rate) - rate - sp.gammaln(numbers + 1))
        total = np.exp(-rate) + np.sum(chances * sp.gammainc(numbers * shape, y / scale), axis=0)
        _, variance = self.moments(mu, trials, *parameters)
        return np.where(mixed, total, sp.ndtr((y - mu) / np.sqrt(variance)))

    def saturated(self, observed: Observed, *parameters: Array) -> Array:
        """The density's value at a mean of y."""
        above, below = sp.expit(parameters[1]), sp.expit(-parameters[1])
        return np.asarray(-(observed.y**below) * np.exp(-parameters[0]) / (above * below))

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """Variance over the mean to the power 3/2."""
        mean = max(float(np.mean(observed.y)), 1e-8)
        return log_variance(observed.y) - 1.5 * float(np.log(mean)), 0.0


def _rows(parameters: tuple[Jet, ...], rows: IntArray, n: int) -> list[Jet]:
    """The parameters of some rows; what is the same for all rows stays a number."""

    def pick(part: Part) -> Part:
        return part if np.ndim(part) == 0 else np.broadcast_to(part, (*np.shape(part)[:-1], n))[..., rows]

    return [Jet({key: pick(part) for key, part in jet.parts.items()}, jet.space) for jet in parameters]


def _scatter(sums: list[Jet], blocks: list[IntArray], n: int, like: Jet) -> Jet:
    """Put blocks of rows together, with zeros elsewhere."""
    keys = dict.fromkeys(key for jet in sums for key in jet.parts)
    lead = sums[0].value.shape[:-1] if sums else ()
    parts: dict[tuple[int, ...], Part] = {(): np.zeros((*lead, n))}
    for key in keys:
        whole = np.zeros((*lead, n))
        for jet, rows in zip(sums, blocks):
            whole[..., rows] = jet.part(key)
        parts[key] = whole
    return Jet(parts, like.space)


def _log_series(y: Array, log_phi: Jet, logit: Jet) -> Jet:
    """``log sum_j exp(j z) / (j! Gamma(alpha j))``, the sum taken around its largest term."""
    alpha = exp(-logit)
    log_above, log_below = log_expit(logit), log_expit(-logit)
    z = alpha * (np.log(y) - log_above) - log_below - (alpha + 1.0) * log_phi
    peak = np.maximum(np.exp(np.exp(log_below.value) * np.log(y) - log_below.value - log_phi.value), 1.0)
    peak, width = np.broadcast_arrays(peak, np.sqrt(peak / (1 + alpha.value)))
    wide = (width >= NARROWEST_INTEGRAL) & (peak - LEFT_REACH * width > 1.0)
    column = (-1, *(1,) * peak.ndim)
    step = np.where(wide, width, 1.0)
    if wide.any():
        integral = _sum_around(np.where(wide, peak, 1e3), step * GRID.reshape(column), z, alpha) + np.log(0.5 * step)
    if wide.all():
        return integral
    centre = np.where(wide, 1.0, peak)
    n_terms = np.max(np.where(wide, 1.0, peak + RIGHT_REACH * width + EXTRA_TERMS), initial=1.0)
    terms = np.arange(1.0, n_terms + 1.0).reshape(column)
    series = _sum_around(centre, terms - centre, z, alpha)
    return where(wide, integral, series) if wide.any() else series


def _sum_around(peak: Array, offsets: Array, z: Jet, alpha: Jet) -> Jet:
    """Logarithm of the sum over ``j = peak + offset``, everything relative to the term at the peak."""
    numbers = peak + offsets
    at_peak = gammaln(alpha * peak)
    terms = z * offsets - (gammaln(alpha * numbers) - at_peak) - np.asarray(sp.gammaln(numbers + 1))
    largest = np.asarray(np.max(terms.value, axis=0))
    total = exp(terms - largest).map(lambda part: np.sum(part, axis=0))
    return z * peak - at_peak + log(total) + largest
