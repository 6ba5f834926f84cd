"""Families made of another one and its zeros: truncated counts, zero inflation, hurdles; which family another holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array, BoolArray
from mixedfx.calculus.jets import Jet, Space, constant, seeds, where
from mixedfx.calculus.special import cloglog_log_mean, logaddexp, softplus
from mixedfx.exceptions import SpecificationError
from mixedfx.families.base import Family
from mixedfx.families.counts import CountFamily
from mixedfx.families.links import LOG, Mean
from mixedfx.families.observed import POSITIVE_COUNTS, Observed, Support
from mixedfx.families.parameters import ZERO_INFLATION

__all__ = [
    "ExtraZeros",
    "Hurdle",
    "Truncated",
    "ZeroInflated",
    "parameters_at_limit",
    "sources_of_zeros",
    "with_zero_inflation",
]


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
        self.parameters, self.many_responses = base.parameters, base.many_responses
        super().__init__(base.link)
        self.predictors, self.fixed = base.predictors, base.fixed

    @property
    def mean_bounds(self) -> tuple[float, float]:
        """The mean of positive counts is above one."""
        return 1.0, np.inf

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """Log-density of the count minus ``log(1 - P(0))``."""
        zero_rate = self.base.log_zero_rate(mean, *parameters)
        return self.base.log_density(observed, mean, *parameters) - cloglog_log_mean(zero_rate)

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet | Array | float:
        """As of the count."""
        return self.base.log_normaliser(observed, *parameters)

    def constant(self, y: Array, trials: Array) -> Array:
        """As of the count."""
        return self.base.constant(y, trials)

    def _zero_rate(self, mu: Array, parameters: tuple[Array, ...]) -> Array:
        """``-log P(0)``."""
        space = Space(1, 0)
        jets = (constant(value, space) for value in parameters)
        return np.exp(self.base.log_zero_rate(Mean(LOG, constant(np.log(mu), space)), *jets).value)

    @property
    def innermost(self) -> Family:
        """As in the base."""
        return self.base.innermost

    @property
    def is_truncated(self) -> bool:
        """It is."""
        return True

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
        """As of the count."""
        return self.base.start_parameters(observed)

    def __repr__(self) -> str:
        return f"Truncated({self.base.name!r}, link={self.link.name!r})"


class ExtraZeros(Family):
    """A family beside a process that makes zeros with probability ``pi``; the last component is zero_inflation."""

    prefix: str

    def __init__(self, base: Family) -> None:
        self.base = base
        self.name = f"{self.prefix}_{base.name.removeprefix('truncated_')}"
        self.default_link, self.links = base.default_link, base.links
        self.mean_range, self.proportions = base.mean_range, base.proportions
        self.precision_weights, self.many_responses = base.precision_weights, base.many_responses
        self.parameters = (*base.parameters, ZERO_INFLATION)
        self.support = self.widened(base.support)
        super().__init__(base.link)
        self.predictors = (*base.predictors, ZERO_INFLATION.name)
        self.fixed = base.fixed

    def widened(self, support: Support) -> Support:
        """Support of the base with zero."""
        if support.contains(np.zeros(1))[0]:
            return support
        atoms = support.atoms if support.atoms == "integers" else "zero"
        return Support(f"zeros or {support.description}", _ZeroOr(support), atoms)

    def own_scale(self, y: Array, trials: Array) -> Array:
        """As in the base."""
        return self.base.own_scale(y, trials)

    @property
    def innermost(self) -> Family:
        """As in the base."""
        return self.base.innermost

    @property
    def is_truncated(self) -> bool:
        """That of the base."""
        return self.base.is_truncated

    def moments(self, mu: Array, trials: Array, *parameters: Array) -> tuple[Array, Array]:
        """``(1 - pi) m`` and ``(1 - pi) (v + pi m²)``."""
        *inner, logit = parameters
        average, variance = self.base.moments(mu, trials, *inner)
        present, absent = sp.expit(-logit), sp.expit(logit)
        return present * average, present * (variance + absent * average**2)

    def draw(self, rng: np.random.Generator, mu: Array, trials: Array, *parameters: Array) -> Array:
        """Draws of the base, some of them replaced by zero."""
        *inner, logit = parameters
        drawn = self.base.draw(rng, mu, trials, *inner)
        return np.where(rng.random(size=np.shape(mu)) < sp.expit(logit), 0.0, drawn)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base.name!r}, link={self.link.name!r})"


@dataclass(frozen=True)
class _ZeroOr:
    support: Support

    def __call__(self, y: Array) -> BoolArray:
        return np.equal(y, 0) | self.support.contains(y)


@final
class ZeroInflated(ExtraZeros):
    """``P(0) = pi + (1 - pi) f(0)``, elsewhere ``(1 - pi) f(y)``.

    Parameters
    ----------
    base : Family
        A family with a probability of zero; what it leaves to ``log_normaliser`` and ``constant`` must vanish at
        zero (it does for all families here).
    """

    prefix = "zero_inflated"

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``log(pi + (1 - pi) f(0))`` or ``log(1 - pi) + log f(y)``."""
        *inner, logit = parameters
        density = self.base.log_density(observed, mean, *inner)
        return where(observed.y == 0, logaddexp(logit, density), density) - softplus(logit)

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet | Array | float:
        """As in the base."""
        return self.base.log_normaliser(observed, *parameters[:-1])

    def constant(self, y: Array, trials: Array) -> Array:
        """As in the base."""
        return self.base.constant(y, trials)

    def expected_information(self, observed: Observed, mean: Mean, *parameters: Jet) -> Array:
        """``(1 - pi) (I - f(0) g² w)``: g the score of a zero of the base, w the probability that a zero is not.

        Where that of the base is only a bound, so is this one, from the variance of the mixture.
        """
        *inner, logit = parameters
        if self.base.information_is_bound:
            values = [parameter.value for parameter in parameters]
            average, variance = self.moments(mean.value.value, observed.trials, *values)
            return np.asarray(np.square(average * mean.log.part((0,))) / variance)
        nothing = np.zeros(observed.y.shape)
        zeros = Observed(nothing, observed.trials, nothing)
        density = self.base.log_density(zeros, mean, *inner)
        structural = sp.expit(logit.value - density.value)
        lost = np.exp(density.value) * structural * density.part((0,)) ** 2
        exact = sp.expit(-logit.value) * (self.base.expected_information(zeros, mean, *inner) - lost)
        return np.fmax(exact, 0.0)

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``pi + (1 - pi) F(y)``."""
        *inner, logit = parameters
        return np.asarray(sp.expit(logit) + sp.expit(-logit) * self.base.cumulative(y, mu, trials, *inner))

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """As in the base, with half of the zeros extra ones."""
        share = 0.5 * np.mean(observed.y == 0)
        return (*self.base.start_parameters(observed), _cautious_logit(float(share)))


@final
class Hurdle(ExtraZeros):
    """``P(0) = pi``, elsewhere ``(1 - pi) f(y)``, for a base that is never zero itself.

    Parameters
    ----------
    base : Family
        A truncated count family, or one of positive numbers or of proportions.
    """

    prefix = "hurdle"

    def log_density(self, observed: Observed, mean: Mean, *parameters: Jet) -> Jet:
        """``log(pi)`` or ``log(1 - pi) + log f(y)``."""
        *inner, logit = parameters
        density = self.base.log_density(_positive(observed), mean, *inner)
        return where(observed.y == 0, logit, density) - softplus(logit)

    def log_normaliser(self, observed: Observed, *parameters: Jet) -> Jet | Array | float:
        """As in the base, where the response is positive."""
        normaliser = self.base.log_normaliser(_positive(observed), *parameters[:-1])
        return normaliser * np.not_equal(observed.y, 0).astype(float)

    def constant(self, y: Array, trials: Array) -> Array:
        """As in the base, where the response is positive."""
        return np.where(y == 0, 0.0, self.base.constant(_filled(y), trials))

    def within(self, observed: Observed) -> Observed:
        """The response with another positive value in the place of each zero."""
        return Observed(_filled(observed.y), observed.trials, observed.constant)

    def expected_information(self, observed: Observed, mean: Mean, *parameters: Jet) -> Array:
        """``(1 - pi) I``."""
        *inner, logit = parameters
        return np.asarray(sp.expit(-logit.value) * self.base.expected_information(_positive(observed), mean, *inner))

    def cumulative(self, y: Array, mu: Array, trials: Array, *parameters: Array) -> Array:
        """``pi + (1 - pi) F(y)``."""
        *inner, logit = parameters
        above = np.where(y > 0, self.base.cumulative(_filled(y), mu, trials, *inner), 0.0)
        return np.asarray(sp.expit(logit) + sp.expit(-logit) * above)

    def start_parameters(self, observed: Observed) -> tuple[float, ...]:
        """As in the base for the positive responses; every zero belongs to the hurdle."""
        zero = observed.y == 0
        positive = _positive(observed) if zero.all() else _positive(observed).where(~zero)
        return (*self.base.start_parameters(positive), _cautious_logit(float(np.mean(zero))))


def _positive(observed: Observed) -> Observed:
    return observed if observed.inner is None else observed.inner


def _filled(y: Array) -> Array:
    """Replace what is not positive by the first positive value (or a half: fine for every density)."""
    positive = y > 0
    return np.where(positive, y, y[np.argmax(positive)] if positive.any() else 0.5)


def _cautious_logit(share: float) -> float:
    return float(sp.logit(np.clip(share, 0.02, 0.98)))


def with_zero_inflation(family: Family) -> Family:
    """Return the family with zeros of a second kind, of probability ``pi`` (a logit linear predictor).

    A family that can be zero itself (counts, binomials, Tweedie) becomes :class:`ZeroInflated`; one that cannot
    (truncated counts, Gamma, beta, …) a :class:`Hurdle`.

    Parameters
    ----------
    family : Family

    Returns
    -------
    ZeroInflated or Hurdle

    Raises
    ------
    SpecificationError
        If zero is not a special value of the family (Gaussian, ordinal, …).

    Examples
    --------
    >>> from mixedfx.families import family_for, with_zero_inflation
    >>> with_zero_inflation(family_for("poisson")).predictors
    ('mean', 'zero_inflation')
    """
    if isinstance(family, ExtraZeros):
        raise SpecificationError(
            f"family {family.name!r} has zero inflation already: name the family of the counts alone"
        )
    if family.mean_range == "real":
        raise SpecificationError(f"family {family.name!r} has no zeros to inflate; use one of counts or proportions")
    return ZeroInflated(family) if family.support.contains(np.zeros(1))[0] else Hurdle(family)


def sources_of_zeros(family: Family) -> dict[str, float]:
    """Return the estimated parameters that extra zeros may come from, with the end of each where none do.

    They may stand for each other: extra zeros, and a variance larger than that of the family at the limit. There are
    none without zero inflation.

    Examples
    --------
    >>> from mixedfx.families import family_for, with_zero_inflation
    >>> sources_of_zeros(with_zero_inflation(family_for("nbinom1")))
    {'zero_inflation': -inf, 'dispersion': -inf}
    """
    if not isinstance(family, ZeroInflated):
        return {}
    base = family.innermost
    ends = {ZERO_INFLATION.name: -np.inf}
    if base.limit:
        ends[base.parameters[-1].name] = base.limit_end
    return {name: end for name, end in ends.items() if name not in family.fixed}


def parameters_at_limit(small: Family, large: Family) -> tuple[str, ...] | None:
    """Return the parameters of ``large`` that are at the end of their range where it is ``small``; None if none are.

    Examples
    --------
    >>> from mixedfx.families import family_for
    >>> parameters_at_limit(family_for("poisson"), family_for("zero_inflated_nbinom2"))
    ('dispersion', 'zero_inflation')
    >>> parameters_at_limit(family_for("nbinom1"), family_for("nbinom2")) is None
    True
    """
    if small.link != large.link:
        return None
    if isinstance(large, ZeroInflated) and not isinstance(small, ZeroInflated):
        inner = parameters_at_limit(small, large.base)
        return None if inner is None else (*inner, "zero_inflation")
    if isinstance(large, ExtraZeros | Truncated):
        if type(small) is not type(large) or not isinstance(small, ExtraZeros | Truncated):
            return None
        return parameters_at_limit(small.base, large.base)
    if small.name == large.name:
        return ()
    if large.limit != small.name:
        return None
    had = {parameter.name for parameter in small.parameters}
    return tuple(parameter.name for parameter in large.parameters if parameter.name not in had)
