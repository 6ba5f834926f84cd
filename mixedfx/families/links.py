"""Links: how a mean hangs on its linear predictor.

A link gives the inverse link ``mu(eta)``, ``log mu`` and ``log(1 - mu)`` with their derivatives in ``eta``; the two
logarithms have closed forms of their own, because a probability or a mean rounded to 0 or 1 has lost its logarithm.

A link may leave the range of a mean (the identity for a Poisson mean, the logarithm for a probability). ``domain``
says where it does not; outside, a log-likelihood is ``-inf`` and its derivatives are zero, so that a line search
rejects the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import special as sp

from mixedfx._suggestions import advised
from mixedfx._typing import Array, BoolArray
from mixedfx.calculus.jets import ONE, Derivatives, Jet, Primitive
from mixedfx.calculus.special import (
    cloglog_log_mean_derivatives,
    log_expit_derivatives,
    log_ndtr_derivatives,
    plain_log1m_exp,
    saturated_exp,
)
from mixedfx.exceptions import SpecificationError

__all__ = [
    "EVERYWHERE",
    "LINKS",
    "Domain",
    "Link",
    "LinkName",
    "Mean",
    "MeanRange",
    "image",
    "inside_domain",
    "link_for",
]

LinkName: TypeAlias = Literal[
    "logit", "probit", "cloglog", "cauchit", "log", "identity", "inverse", "inverse_squared", "sqrt"
]
MeanRange: TypeAlias = Literal["real", "positive", "unit"]
Domain: TypeAlias = tuple[float, float]

EVERYWHERE: Domain = (-np.inf, np.inf)
POSITIVE: Domain = (0.0, np.inf)
SMALLEST_ROOT = 1e-100
UNIT: Domain = (0.0, 1.0)
NEGATIVE: Domain = (-np.inf, 0.0)
ABOVE_ONE: Domain = (1.0, np.inf)
SMALLEST_MEAN, LARGEST_MEAN, LARGEST_PROBABILITY = 1e-280, 1e280, 1 - np.finfo(float).epsneg


@dataclass(frozen=True)
class Link:
    """A link function as a value: a few functions and where they hold.

    A user's own link is an instance of this class and may be passed as ``link=``; only the first three fields are
    needed. A differentiable function takes an array and an order from 0 to 3 and returns a tuple: the value and its
    derivatives up to that order (``None`` for one that is zero everywhere).

    Parameters
    ----------
    name : str
        Name that is shown.
    function : callable
        The link ``eta = g(mu)`` on arrays.
    inverse : differentiable function
        The mean ``mu`` as a function of ``eta``.
    log_of_mean, log_of_complement : differentiable functions, optional
        ``log(mu)`` and ``log(1 - mu)``, where better than the logarithm of the rounded mean.
    real, positive, unit : pairs of float
        Open interval of linear predictors whose means are any numbers, positive numbers, numbers between 0 and 1.
    latent_variance : float, optional
        Variance of the latent variable whose distribution function the inverse link is (for R² and ICC).

    Examples
    --------
    >>> import numpy as np
    >>> def inverse(eta, order):
    ...     mean = np.exp(-np.exp(-eta))
    ...     slope = mean * np.exp(-eta)
    ...     second = slope * (np.exp(-eta) - 1)
    ...     third = second * (np.exp(-eta) - 1) - slope * np.exp(-eta)
    ...     return (mean, slope, second, third)[: order + 1]
    >>> from mixedfx.families import Link
    >>> loglog = Link("loglog", lambda mu: -np.log(-np.log(mu)), inverse)
    >>> mean, slope = loglog.inverse(np.array([0.0]), 1)
    >>> print(mean.round(4), slope.round(4))
    [0.3679] [0.3679]
    """

    name: str
    function: Callable[[Array], Array]
    inverse: Primitive
    log_of_mean: Primitive | None = None
    log_of_complement: Primitive | None = None
    real: Domain = EVERYWHERE
    positive: Domain = EVERYWHERE
    unit: Domain = EVERYWHERE
    latent_variance: float | None = None

    def __call__(self, mu: Array) -> Array:
        """Linear predictor at the mean ``mu``."""
        return np.asarray(self.function(np.asarray(mu, dtype=float)))

    def mean(self, eta: Array) -> Array:
        """Mean at the linear predictor ``eta``."""
        return np.asarray(self.inverse(np.asarray(eta, dtype=float), 0)[0])

    def log_mean(self, eta: Array, order: int = 0) -> Derivatives:
        """``log(mu)`` and its derivatives in ``eta``."""
        if self.log_of_mean is not None:
            return self.log_of_mean(eta, order)
        return log_derivatives(self.inverse(eta, order))

    def log_complement(self, eta: Array, order: int = 0) -> Derivatives:
        """``log(1 - mu)`` and its derivatives in ``eta``."""
        if self.log_of_complement is not None:
            return self.log_of_complement(eta, order)
        value, *slopes = self.inverse(eta, order)
        return log_derivatives((1.0 - np.asarray(value), *(None if slope is None else -slope for slope in slopes)))

    def domain(self, mean_range: MeanRange) -> Domain:
        """Open interval of linear predictors whose means lie in the range."""
        return {"real": self.real, "positive": self.positive, "unit": self.unit}[mean_range]

    def __repr__(self) -> str:
        return f"Link({self.name!r})"


def log_derivatives(parts: Derivatives) -> Derivatives:
    """Derivatives of ``log f`` from those of f."""
    f, *slopes = (np.asarray(0.0 if part is None else part) for part in parts)
    ratios = [slope / f for slope in slopes]
    result = [np.log(f), *ratios[:1]]
    if len(ratios) > 1:
        result.append(ratios[1] - ratios[0] ** 2)
    if len(ratios) > 2:
        result.append(ratios[2] - 3 * ratios[0] * ratios[1] + 2 * ratios[0] ** 3)
    return tuple(result)


def reflect(parts: Derivatives) -> Derivatives:
    """Derivatives of ``f(-x)`` from those of f at ``-x``."""
    return tuple(part if part is None or degree % 2 == 0 else -part for degree, part in enumerate(parts))


def _log_times(factor: float, x: Array, order: int) -> Derivatives:
    slope = factor / x
    return (factor * np.log(x), slope, -slope / x, 2 * slope / x**2)[: order + 1]


def _logit_inverse(x: Array, order: int) -> Derivatives:
    p, q = sp.expit(x), sp.expit(-x)
    pq = p * q
    return (p, pq, pq * (q - p), pq * (1 - 6 * pq))[: order + 1]


def _logit_complement(x: Array, order: int) -> Derivatives:
    return reflect(log_expit_derivatives(-x, order))


def _probit_inverse(x: Array, order: int) -> Derivatives:
    density = np.exp(-0.5 * np.square(x)) / np.sqrt(2 * np.pi)
    return (sp.ndtr(x), density, -x * density, (np.square(x) - 1) * density)[: order + 1]


def _probit_complement(x: Array, order: int) -> Derivatives:
    return reflect(log_ndtr_derivatives(-x, order))


def _cloglog(mu: Array) -> Array:
    return np.log(-np.log1p(-mu))


def _cloglog_inverse(x: Array, order: int) -> Derivatives:
    t = saturated_exp(x)
    density = t * np.exp(-t)
    return (-np.expm1(-t), density, density * (1 - t), density * ((1 - t) ** 2 - t))[: order + 1]


def _cloglog_complement(x: Array, order: int) -> Derivatives:
    return (-saturated_exp(x),) * (order + 1)


def _cauchit(mu: Array) -> Array:
    return np.tan(np.pi * (mu - 0.5))


def _cauchit_inverse(x: Array, order: int) -> Derivatives:
    square = 1.0 + np.square(x)
    density = 1.0 / (np.pi * square)
    third = density * (6 * np.square(x) - 2) / square**2
    return (np.arctan2(1.0, -x) / np.pi, density, -2 * x * density / square, third)[: order + 1]


def _cauchit_complement(x: Array, order: int) -> Derivatives:
    return reflect(log_derivatives(_cauchit_inverse(-x, order)))


def _log_inverse(x: Array, order: int) -> Derivatives:
    return (saturated_exp(x),) * (order + 1)


def _log_complement(x: Array, order: int) -> Derivatives:
    odds = 1.0 / np.expm1(-x)
    total = 1.0 + odds
    return (plain_log1m_exp(-x), -odds, -odds * total, -odds * total * (total + odds))[: order + 1]


def _identity(mu: Array) -> Array:
    return mu


def _identity_inverse(x: Array, order: int) -> Derivatives:
    return (x, ONE, None, None)[: order + 1]


def _identity_log(x: Array, order: int) -> Derivatives:
    return _log_times(1.0, x, order)


def _inverse_inverse(x: Array, order: int) -> Derivatives:
    mu = 1.0 / x
    return (mu, -(mu**2), 2 * mu**3, -6 * mu**4)[: order + 1]


def _inverse_log(x: Array, order: int) -> Derivatives:
    return _log_times(-1.0, x, order)


def _inverse_square(mu: Array) -> Array:
    return 1.0 / np.square(mu)


def _inverse_squared_inverse(x: Array, order: int) -> Derivatives:
    mu = 1.0 / np.sqrt(x)
    return (mu, -0.5 * mu / x, 0.75 * mu / x**2, -1.875 * mu / x**3)[: order + 1]


def _inverse_squared_log(x: Array, order: int) -> Derivatives:
    return _log_times(-0.5, x, order)


def _sqrt_inverse(x: Array, order: int) -> Derivatives:
    return (np.square(x), 2 * x, 2.0, None)[: order + 1]


def _sqrt_log(x: Array, order: int) -> Derivatives:
    """``log(x²)``, even in x; at zero large and negative, so that zero times it is zero."""
    value, *slopes = _log_times(2.0, np.maximum(np.abs(x), SMALLEST_ROOT), order)
    sign = np.where(x < 0, -1.0, 1.0)
    return (value, *(slope if degree % 2 else slope * sign for degree, slope in enumerate(slopes)))


LOGIT = Link("logit", sp.logit, _logit_inverse, log_expit_derivatives, _logit_complement, latent_variance=np.pi**2 / 3)
PROBIT = Link("probit", sp.ndtri, _probit_inverse, log_ndtr_derivatives, _probit_complement, latent_variance=1.0)
CLOGLOG = Link(
    "cloglog",
    _cloglog,
    _cloglog_inverse,
    cloglog_log_mean_derivatives,
    _cloglog_complement,
    latent_variance=np.pi**2 / 6,
)
CAUCHIT = Link(
    "cauchit", _cauchit, _cauchit_inverse, log_of_complement=_cauchit_complement, latent_variance=float("inf")
)
LOG = Link("log", np.log, _log_inverse, _identity_inverse, _log_complement, unit=NEGATIVE)
IDENTITY = Link("identity", _identity, _identity_inverse, _identity_log, positive=POSITIVE, unit=UNIT)
INVERSE = Link("inverse", np.reciprocal, _inverse_inverse, _inverse_log, positive=POSITIVE, unit=ABOVE_ONE)
INVERSE_SQUARED = Link(
    "inverse_squared",
    _inverse_square,
    _inverse_squared_inverse,
    _inverse_squared_log,
    real=POSITIVE,
    positive=POSITIVE,
    unit=ABOVE_ONE,
)
# a negative linear predictor is a second name of the same mean, but without it small counts would run into a wall
SQRT = Link("sqrt", np.sqrt, _sqrt_inverse, _sqrt_log, unit=UNIT)

LINKS: dict[str, Link] = {
    link.name: link for link in (LOGIT, PROBIT, CLOGLOG, CAUCHIT, LOG, IDENTITY, INVERSE, INVERSE_SQUARED, SQRT)
}
ALIASES = {"1/mu^2": "inverse_squared", "1/mu": "inverse", "inverse_power": "inverse", "cauchy": "cauchit"}
STATSMODELS_LINKS = {
    "logit": "logit",
    "probit": "probit",
    "cloglog": "cloglog",
    "cauchy": "cauchit",
    "log": "log",
    "identity": "identity",
    "inversepower": "inverse",
    "inversesquared": "inverse_squared",
    "sqrt": "sqrt",
}
POWERS = {1.0: "identity", -1.0: "inverse", -2.0: "inverse_squared", 0.5: "sqrt"}


def is_from_statsmodels(value: object) -> bool:
    """Tell an object of statsmodels by its class, without importing statsmodels."""
    return type(value).__module__.startswith("statsmodels.genmod.families")


def _statsmodels_link_name(link: Any) -> str:
    """Name of a statsmodels link; by its exact class, since there LogLog descends from CLogLog and that from Logit."""
    class_name = type(link).__name__
    if class_name == "Power":
        return POWERS.get(float(link.power), f"Power({link.power})")
    return STATSMODELS_LINKS.get(class_name.lower().replace("_", ""), class_name)


def link_for(link: object) -> Link:
    """Return the link of a name, of a statsmodels link or a :class:`Link` itself.

    Parameters
    ----------
    link : str, Link or statsmodels link
        ``"logit"``, ``"probit"``, ``"cloglog"``, ``"cauchit"``, ``"log"``, ``"identity"``, ``"inverse"``,
        ``"inverse_squared"`` or ``"sqrt"``.

    Returns
    -------
    Link

    Raises
    ------
    SpecificationError
        If the name is unknown; the message lists the choices.
    TypeError
        If it is nothing of the kind.

    Examples
    --------
    >>> from mixedfx.families import link_for
    >>> link_for("probit")
    Link('probit')
    """
    if isinstance(link, Link):
        return link
    if isinstance(link, str):
        name = link.lower().replace("-", "_").replace(" ", "_")
        name = ALIASES.get(name, name)
    elif is_from_statsmodels(link):
        name = _statsmodels_link_name(link)
    else:
        raise TypeError(f"link must be a name or a link object, not {type(link).__name__}")
    if name not in LINKS:
        raise SpecificationError(f"unknown link {name!r}; {advised('link', name, LINKS)}")
    return LINKS[name]


class Mean:
    """A mean, its logarithm and the logarithm of its complement, each computed only if a density asks for it.

    Parameters
    ----------
    link : Link
        How the mean hangs on the linear predictor.
    eta : Jet
        The linear predictor.
    """

    def __init__(self, link: Link, eta: Jet) -> None:
        self.link = link
        self.eta = eta

    @cached_property
    def value(self) -> Jet:
        """The mean ``mu`` itself."""
        return self.eta.compose(self.link.inverse)

    @cached_property
    def log(self) -> Jet:
        """``log(mu)``, of the mean before rounding."""
        return self.eta.compose(self.link.log_mean)

    @cached_property
    def log_complement(self) -> Jet:
        """``log(1 - mu)``, of the mean before rounding."""
        return self.eta.compose(self.link.log_complement)


@dataclass(frozen=True)
class MeanInterval:
    """The open interval of a mean parameter, with the scale on which it has no bounds.

    Parameters
    ----------
    lower, upper : float
        Ends of the interval.
    link : Link
        From the mean to its unbounded scale.
    working : callable
        From a :class:`Mean` to a jet of the mean on its unbounded scale.
    slope : callable
        From mean parameters and means of responses (...) that are proportional to them to the derivatives of the
        latter in the unbounded scale.
    clip : callable
        From means (...) that rounding may have put at an end to ones inside.
    near : callable
        From responses and trials (n,) to means (n,) close to them, inside.
    """

    lower: float
    upper: float
    link: Link
    working: Callable[[Mean], Jet]
    slope: Callable[[Array, Array], Array]
    clip: Callable[[Array], Array]
    near: Callable[[Array, Array], Array]


MEAN_INTERVALS: dict[MeanRange, MeanInterval] = {
    "real": MeanInterval(
        *EVERYWHERE,
        IDENTITY,
        working=lambda mean: mean.value,
        slope=lambda mu, average: np.ones_like(mu),
        clip=lambda mu: mu,
        near=lambda y, trials: y,
    ),
    "positive": MeanInterval(
        *POSITIVE,
        LOG,
        working=lambda mean: mean.log,
        slope=lambda mu, average: average,
        clip=lambda mu: np.clip(mu, SMALLEST_MEAN, LARGEST_MEAN),
        near=lambda y, trials: 0.5 * (y + np.mean(y)) + np.finfo(float).tiny,
    ),
    "unit": MeanInterval(
        *UNIT,
        LOGIT,
        working=lambda mean: mean.log - mean.log_complement,
        slope=lambda mu, average: average * (1.0 - mu),
        clip=lambda mu: np.clip(mu, SMALLEST_MEAN, LARGEST_PROBABILITY),
        near=lambda y, trials: (y + 0.5) / (trials + 1.0),
    ),
}


def image(link: Link, domain: Domain, low: Array, high: Array) -> tuple[Array, Array]:
    """Return the least and the largest mean between two linear predictors, those outside the domain left out.

    Parameters
    ----------
    link : Link
    domain : (float, float)
        See :meth:`Link.domain`.
    low, high : (n,)

    Examples
    --------
    >>> import numpy as np
    >>> image(INVERSE, POSITIVE, np.array([-0.5]), np.array([2.0]))
    (array([0.5]), array([inf]))
    >>> image(SQRT, EVERYWHERE, np.array([-0.5]), np.array([2.0]))
    (array([0.]), array([4.]))
    """
    low, high = np.clip(low, *domain), np.clip(high, *domain)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # a mean may be infinite at the edge
        first, last = link.mean(low), link.mean(high)
        before, after = (np.sign(np.asarray(link.inverse(end, 1)[1], dtype=float)) for end in (low, high))
        turns = before * after < 0  # the square of a root, at zero
        passes_pole = (before == after) & (before * (last - first) < 0)  # the reciprocal of a mean of either sign
        lower = np.where(turns, link.mean(np.zeros_like(low)), np.minimum(first, last))
        return np.where(passes_pole, -np.inf, lower), np.where(passes_pole, np.inf, np.maximum(first, last))


def inside_domain(link: Link, mean_range: MeanRange, eta: Array) -> tuple[BoolArray | None, Array]:
    """Mark the linear predictors that the link can take, and replace the others by one that it can.

    Returns
    -------
    inside : boolean array or None
        None if the link can take every number.
    eta : array
        Linear predictors that are safe to evaluate.
    """
    lower, upper = link.domain(mean_range)
    if (lower, upper) == EVERYWHERE:
        return None, eta
    inside = (eta > lower) & (eta < upper)
    if np.isfinite(lower) and np.isfinite(upper):
        harmless = (lower + upper) / 2
    else:
        harmless = lower + 1.0 if np.isfinite(lower) else upper - 1.0
    return inside, np.where(inside, eta, harmless)
