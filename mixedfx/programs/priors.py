"""Priors as words, ``"normal(0, 2.5)"``: their densities, and how each language writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special as sp

from mixedfx.exceptions import SpecificationError

__all__ = ["DISTRIBUTIONS", "Domain", "Prior", "number", "parsed_prior"]

Density = Callable[..., float]
LOG_2 = float(np.log(2.0))
LOG_2PI = float(np.log(2.0 * np.pi))
WRITTEN = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(([^()]*)\))?\s*\Z")


@dataclass(frozen=True)
class Domain:
    """Values that a parameter may have.

    Attributes
    ----------
    words : str
    lower, upper : float
    """

    words: str
    lower: float
    upper: float


REAL = Domain("any number", -np.inf, np.inf)
POSITIVE = Domain("a positive number", 0.0, np.inf)
UNIT = Domain("a number between 0 and 1", 0.0, 1.0)
CORRELATIONS = Domain("a matrix of correlations", -1.0, 1.0)


@dataclass(frozen=True)
class Distribution:
    """A distribution that a prior may be.

    Attributes
    ----------
    arguments : tuple of str
        What its numbers are called.
    positive : tuple of str
        Those that must be positive.
    density : callable
        Logarithm of the density at a value, with the numbers.
    support : callable
        From the numbers to the ends of the values that it may have.
    pymc, numpyro, stan, brms : str
        How the languages write it: ``{0}``, ``{1}`` are the numbers, ``{x}`` (Stan) is the parameter.
    """

    arguments: tuple[str, ...]
    positive: tuple[str, ...]
    density: Density
    support: Callable[..., tuple[float, float]]
    pymc: str
    numpyro: str
    stan: str
    brms: str

    @property
    def call(self) -> str:
        """How it is written: its arguments by name."""
        return f"({', '.join(self.arguments)})" if self.arguments else ""


def _normal(x: float, mean: float, sd: float) -> float:
    return float(-0.5 * LOG_2PI - np.log(sd) - 0.5 * ((x - mean) / sd) ** 2)


def _student(x: float, df: float, centre: float, scale: float) -> float:
    z = (x - centre) / scale
    constant = sp.gammaln(0.5 * (df + 1.0)) - sp.gammaln(0.5 * df) - 0.5 * np.log(df * np.pi) - np.log(scale)
    return float(constant - 0.5 * (df + 1.0) * np.log1p(z * z / df))


def _gamma(x: float, shape: float, rate: float) -> float:
    return float(shape * np.log(rate) - sp.gammaln(shape) + (shape - 1.0) * np.log(x) - rate * x)


def _inverse_gamma(x: float, shape: float, scale: float) -> float:
    return float(shape * np.log(scale) - sp.gammaln(shape) - (shape + 1.0) * np.log(x) - scale / x)


def _everywhere(*numbers: float) -> tuple[float, float]:
    return -np.inf, np.inf


def _positive(*numbers: float) -> tuple[float, float]:
    return 0.0, np.inf


def _unit(*numbers: float) -> tuple[float, float]:
    return 0.0, 1.0


DISTRIBUTIONS: dict[str, Distribution] = {
    "normal": Distribution(
        ("mean", "sd"),
        ("sd",),
        _normal,
        _everywhere,
        "Normal(mu={0}, sigma={1})",
        "Normal({0}, {1})",
        "normal_lpdf({x} | {0}, {1})",
        "normal({0}, {1})",
    ),
    "student_t": Distribution(
        ("df", "centre", "scale"),
        ("df", "scale"),
        _student,
        _everywhere,
        "StudentT(nu={0}, mu={1}, sigma={2})",
        "StudentT({0}, {1}, {2})",
        "student_t_lpdf({x} | {0}, {1}, {2})",
        "student_t({0}, {1}, {2})",
    ),
    "cauchy": Distribution(
        ("centre", "scale"),
        ("scale",),
        lambda x, centre, scale: _student(x, 1.0, centre, scale),
        _everywhere,
        "Cauchy(alpha={0}, beta={1})",
        "Cauchy({0}, {1})",
        "cauchy_lpdf({x} | {0}, {1})",
        "cauchy({0}, {1})",
    ),
    "half_normal": Distribution(
        ("scale",),
        ("scale",),
        lambda x, scale: LOG_2 + _normal(x, 0.0, scale),
        _positive,
        "HalfNormal(sigma={0})",
        "HalfNormal({0})",
        "normal_lpdf({x} | 0, {0}) + log(2)",
        "normal(0, {0})",
    ),
    "half_student_t": Distribution(
        ("df", "scale"),
        ("df", "scale"),
        lambda x, df, scale: LOG_2 + _student(x, df, 0.0, scale),
        _positive,
        "HalfStudentT(nu={0}, sigma={1})",
        "FoldedDistribution(dist.StudentT({0}, 0.0, {1}))",
        "student_t_lpdf({x} | {0}, 0, {1}) + log(2)",
        "student_t({0}, 0, {1})",
    ),
    "half_cauchy": Distribution(
        ("scale",),
        ("scale",),
        lambda x, scale: LOG_2 + _student(x, 1.0, 0.0, scale),
        _positive,
        "HalfCauchy(beta={0})",
        "HalfCauchy({0})",
        "cauchy_lpdf({x} | 0, {0}) + log(2)",
        "cauchy(0, {0})",
    ),
    "exponential": Distribution(
        ("rate",),
        ("rate",),
        lambda x, rate: float(np.log(rate) - rate * x),
        _positive,
        "Exponential(lam={0})",
        "Exponential({0})",
        "exponential_lpdf({x} | {0})",
        "exponential({0})",
    ),
    "gamma": Distribution(
        ("shape", "rate"),
        ("shape", "rate"),
        _gamma,
        _positive,
        "Gamma(alpha={0}, beta={1})",
        "Gamma({0}, {1})",
        "gamma_lpdf({x} | {0}, {1})",
        "gamma({0}, {1})",
    ),
    "inverse_gamma": Distribution(
        ("shape", "scale"),
        ("shape", "scale"),
        _inverse_gamma,
        _positive,
        "InverseGamma(alpha={0}, beta={1})",
        "InverseGamma({0}, {1})",
        "inv_gamma_lpdf({x} | {0}, {1})",
        "inv_gamma({0}, {1})",
    ),
    "lognormal": Distribution(
        ("mean", "sd"),
        ("sd",),
        lambda x, mean, sd: _normal(float(np.log(x)), mean, sd) - float(np.log(x)),
        _positive,
        "LogNormal(mu={0}, sigma={1})",
        "LogNormal({0}, {1})",
        "lognormal_lpdf({x} | {0}, {1})",
        "lognormal({0}, {1})",
    ),
    "beta": Distribution(
        ("a", "b"),
        ("a", "b"),
        lambda x, a, b: float(sp.xlogy(a - 1.0, x) + sp.xlog1py(b - 1.0, -x) - sp.betaln(a, b)),
        _unit,
        "Beta(alpha={0}, beta={1})",
        "Beta({0}, {1})",
        "beta_lpdf({x} | {0}, {1})",
        "beta({0}, {1})",
    ),
    "uniform": Distribution(
        ("lower", "upper"),
        (),
        lambda x, lower, upper: -float(np.log(upper - lower)),
        lambda lower, upper: (lower, upper),
        "Uniform(lower={0}, upper={1})",
        "Uniform({0}, {1})",
        "uniform_lpdf({x} | {0}, {1})",
        "uniform({0}, {1})",
    ),
    "flat": Distribution(
        (),
        (),
        lambda x: 0.0,
        _everywhere,
        "Flat()",
        "ImproperUniform(dist.constraints.real, (), ())",
        "",
        "",
    ),
    "lkj": Distribution(
        ("eta",),
        ("eta",),
        lambda x, eta: np.nan,
        lambda eta: (-1.0, 1.0),
        "LKJCorr(n={x}, eta={0})",
        "LKJCholesky({x}, concentration={0})",
        "lkj_corr_cholesky_lpdf({x} | {0})",
        "lkj({0})",
    ),
}
"""What a prior may be, by its name."""


@dataclass(frozen=True)
class Prior:
    """A prior distribution of one parameter, or of the correlations of a term.

    Attributes
    ----------
    name : str
        One of ``DISTRIBUTIONS``.
    numbers : tuple of float
    domain : Domain
        The values that the parameter may have.
    """

    name: str
    numbers: tuple[float, ...]
    domain: Domain

    @property
    def distribution(self) -> Distribution:
        """What its name stands for."""
        return DISTRIBUTIONS[self.name]

    @property
    def is_flat(self) -> bool:
        """Whether it says nothing at all."""
        return self.name == "flat"

    @property
    def support(self) -> tuple[float, float]:
        """Ends of the values that the parameter has under it."""
        lower, upper = self.distribution.support(*self.numbers)
        return max(lower, self.domain.lower), min(upper, self.domain.upper)

    def log_density(self, value: float) -> float:
        """Return the logarithm of the density at a value; minus infinity outside of the support."""
        lower, upper = self.support
        if not lower <= value <= upper or (value == lower == 0.0 and self.domain is not REAL):
            return -np.inf
        return self.distribution.density(value, *self.numbers)

    def start(self, value: float) -> float:
        """Return the value, moved inside the support if need be."""
        lower, upper = self.support
        if lower < value < upper:
            return value
        if np.isfinite(lower) and np.isfinite(upper):
            return 0.5 * (lower + upper)
        return lower + 1.0 if np.isfinite(lower) else upper - 1.0

    def written(self, language: str, x: str = "") -> str:
        """Return it in a language: ``pymc``, ``numpyro``, ``stan`` or ``brms``."""
        if self.is_flat and self.domain is POSITIVE:
            halves = {"pymc": "HalfFlat()", "numpyro": "ImproperUniform(dist.constraints.positive, (), ())"}
            return halves.get(language, "")
        template: str = getattr(self.distribution, language)
        return template.format(*map(number, self.numbers), x=x)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(number, self.numbers))})" if self.numbers else self.name


def number(value: float) -> str:
    """Return the shortest text of a number, the same in all languages.

    Examples
    --------
    >>> number(2.0), number(0.1), number(1e-7), number(1e22)
    ('2.0', '0.1', '1e-07', '1e+22')
    """
    return repr(float(value))


def parsed_prior(key: str, given: Any, domain: Domain) -> Prior:
    """Return the prior that a user wrote for the parameter ``key``.

    Raises
    ------
    SpecificationError
        If there is no such distribution, its numbers are wrong, or the parameter could not have its values.
    """
    allowed = {name: d for name, d in DISTRIBUTIONS.items() if (name == "lkj") == (domain is CORRELATIONS)}
    match = WRITTEN.match(given) if isinstance(given, str) else None
    if match is None or match[1] not in allowed:
        choices = ", ".join(f"{name}{distribution.call}" for name, distribution in allowed.items())
        raise SpecificationError(f"the prior of {key!r} is one of {choices}; found {given!r}")
    name, found = match[1], [text for text in (match[2] or "").split(",") if text.strip()]
    distribution = allowed[name]
    numbers = tuple(map(_number, found))
    if len(numbers) != len(distribution.arguments) or not np.all(np.isfinite(numbers)):
        raise SpecificationError(f"the prior of {key!r} is written {name}{distribution.call}; found {given!r}")
    by_name: Mapping[str, float] = dict(zip(distribution.arguments, numbers))
    low = [argument for argument in distribution.positive if by_name[argument] <= 0.0]
    if low or (name == "uniform" and numbers[0] >= numbers[1]):
        wrong = f"{low[0]} must be positive" if low else "lower must be below upper"
        raise SpecificationError(f"the prior of {key!r}: {wrong}; found {given!r}")
    lower, upper = distribution.support(*numbers)
    open_end = name == "flat" and domain is not UNIT
    if not open_end and (lower < domain.lower or upper > domain.upper):
        fitting = ", ".join(n for n, d in allowed.items() if d.support(*(1.0, 2.0, 3.0)[: len(d.arguments)])[0] >= 0.0)
        raise SpecificationError(f"{key!r} is {domain.words}, and {given} has other values too: choose from {fitting}")
    return Prior(name, numbers, domain)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
