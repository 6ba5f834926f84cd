"""Laws of random effects that are not normal: gamma, inverse gamma and beta, on the scale of the linear predictor.

The effect of a level is ``u``; its *canonical* scale ``v = v(u)`` is the one that enters the linear predictor,
``eta = X beta + v``. The density of v has the Jacobian of that map in it: ``f_v(v) = f_u(u) |du/dv|``. ``lambda`` says
how much the levels differ; at zero every level has the same effect, ``v = 0``.

============= ============== ======================================= ====================
law           v              density of u                            variance of u
============= ============== ======================================= ====================
gamma         ``log u``      ``Gamma(1/lambda, rate 1/lambda)``      ``lambda``
inverse gamma ``log u``      ``IG(1 + 1/lambda, scale 1/lambda)``    ``lambda/(1-lambda)``
beta          ``logit u``    ``Beta(1/(2 lambda), 1/(2 lambda))``    ``lambda/(4(1+lambda))``
============= ============== ======================================= ====================

Gamma and inverse gamma effects have mean 1, beta effects 1/2. All three log-densities are concave in v.

References
----------
Lee & Nelder (1996), JRSS B 58, 619; Lee, Nelder & Pawitan (2017), Generalized Linear Models with Random Effects, ch. 6.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, TypeAlias

import numpy as np
from scipy import special as sp

from mixedfx._typing import Array
from mixedfx.calculus.gamma_functions import stirling
from mixedfx.calculus.jets import Jet, seeds
from mixedfx.calculus.special import exp_excess

__all__ = ["BETA", "GAMMA", "INVERSE_GAMMA", "LAWS", "Law", "LawName"]

LawName: TypeAlias = Literal["normal", "gamma", "inverse_gamma", "beta"]

HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))
LOG_2 = float(np.log(2.0))
SMALLEST_LAMBDA, LARGEST_LAMBDA = 1e-10, 1e4  # between which a search for lambda goes


class Law(ABC):
    """A law of the random effects u of one term, seen on the scale v of the linear predictor.

    Attributes
    ----------
    name : str
    lower, upper : float
        Ends of the interval of u.
    centre : float
        The value of u at ``v = 0``.
    """

    name: str
    lower: float = 0.0
    upper: float = np.inf
    centre: float = 1.0

    @abstractmethod
    def log_density(self, v: Jet, log_lambda: Jet) -> Jet:
        """Logarithm of the density of v, the Jacobian included."""

    @abstractmethod
    def effect(self, v: Array) -> Array:
        """Return ``u(v)``."""

    @abstractmethod
    def log_jacobian(self, v: Array) -> tuple[Array, Array, Array]:
        """Return ``log du/dv`` and its first two derivatives in v."""

    @abstractmethod
    def variance(self, size: float) -> float:
        """Return the variance of u at lambda; infinite where there is none."""

    @abstractmethod
    def predictor_moments(self, size: float) -> tuple[float, float]:
        """Return mean and variance of v at lambda."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: float, shape: tuple[int, ...]) -> Array:
        """Draw v at lambda."""

    @abstractmethod
    def start(self, variance: float) -> float:
        """Return the lambda at which v has about this variance."""

    @abstractmethod
    def quasi(self, v: Array) -> tuple[Array, Array, Array]:
        """Return what the extended quasi-likelihood of Lee and Nelder sees of v.

        ``(psi - u) dv/du`` (the working deviation), ``(du/dv)^2 / V(u)`` (the weight, to be divided by lambda), and the
        deviance of ``psi``, the mean of u.
        """

    def derivatives(self, v: Array, log_lambda: float) -> dict[tuple[int, ...], Array]:
        """Return the log-density of v and its derivatives to the third order in v (0) and once in log lambda (1)."""
        with np.errstate(over="ignore", invalid="ignore"):  # a v beyond all numbers has a density of zero
            (at,), (size,) = seeds([np.asarray(v, dtype=float)], [np.asarray(log_lambda)], 3, whole=True)
            jet = self.log_density(at, size)
            keys = [(), (0,), (0, 0), (0, 0, 0), (1,), (0, 1), (0, 0, 1)]
            parts = {key: np.broadcast_to(jet.part(key), np.shape(v)) for key in keys}
        good = np.isfinite(sum(parts.values(), np.zeros(np.shape(v))))
        if good.all():
            return parts
        return {key: np.where(good, part, 0.0 if key else -np.inf) for key, part in parts.items()}

    def __repr__(self) -> str:
        return f"<law of random effects: {self.name}>"


def _bracket(log_lambda: Jet) -> Jet:
    """``k log k - k - log Gamma(k)``, k = 1 / lambda, without the cancellation of large numbers."""
    return -0.5 * log_lambda - HALF_LOG_2PI - stirling(-log_lambda)


def _log_gamma_draw(rng: np.random.Generator, shape: float, size: tuple[int, ...]) -> Array:
    """Logarithms of gamma variates; those of small shapes are beyond the smallest numbers themselves."""
    boosted = np.log(rng.gamma(shape + 1.0, size=size))
    return np.asarray(boosted + np.log(rng.uniform(size=size)) / shape)


class Gamma(Law):
    """Gamma effects of mean 1 and variance lambda, entering as their logarithm."""

    name = "gamma"

    def log_density(self, v: Jet, log_lambda: Jet) -> Jet:
        """``k log k - log Gamma(k) + k (v - e^v)``, k = 1 / lambda."""
        density: Jet = _bracket(log_lambda) - np.exp(-log_lambda) * exp_excess(v)
        return density

    def effect(self, v: Array) -> Array:
        """Return ``exp(v)``."""
        return np.asarray(np.exp(v))

    def log_jacobian(self, v: Array) -> tuple[Array, Array, Array]:
        """Return v, 1 and 0."""
        return v, np.ones_like(v), np.zeros_like(v)

    def variance(self, size: float) -> float:
        """Return lambda."""
        return size

    def predictor_moments(self, size: float) -> tuple[float, float]:
        """Return ``digamma(k) - log k`` and ``trigamma(k)``."""
        k = 1.0 / size
        return float(sp.digamma(k) - np.log(k)), float(sp.polygamma(1, k))

    def draw(self, rng: np.random.Generator, size: float, shape: tuple[int, ...]) -> Array:
        """Draw logarithms of gamma variates of mean 1."""
        return np.asarray(_log_gamma_draw(rng, 1.0 / size, shape) + np.log(size))

    def start(self, variance: float) -> float:
        """Return the variance itself."""
        return variance

    def quasi(self, v: Array) -> tuple[Array, Array, Array]:
        """Deviations, weights and deviances of a gamma variable of mean 1."""
        u = np.exp(v)
        return np.expm1(-v), u, 2.0 * (np.expm1(v) - v)


class InverseGamma(Law):
    """Inverse gamma effects of mean 1, entering as their logarithm."""

    name = "inverse_gamma"

    def log_density(self, v: Jet, log_lambda: Jet) -> Jet:
        """``a log k - log Gamma(a) - a v - k e^-v``, a = 1 + k, k = 1 / lambda."""
        density: Jet = _bracket(log_lambda) - v - np.exp(-log_lambda) * exp_excess(-v)
        return density

    def effect(self, v: Array) -> Array:
        """Return ``exp(v)``."""
        return np.asarray(np.exp(v))

    def log_jacobian(self, v: Array) -> tuple[Array, Array, Array]:
        """Return v, 1 and 0."""
        return v, np.ones_like(v), np.zeros_like(v)

    def variance(self, size: float) -> float:
        """Return ``lambda / (1 - lambda)``, infinite from 1 on."""
        return size / (1.0 - size) if size < 1.0 else np.inf

    def predictor_moments(self, size: float) -> tuple[float, float]:
        """Return ``log k - digamma(1 + k)`` and ``trigamma(1 + k)``."""
        k = 1.0 / size
        return float(np.log(k) - sp.digamma(1.0 + k)), float(sp.polygamma(1, 1.0 + k))

    def draw(self, rng: np.random.Generator, size: float, shape: tuple[int, ...]) -> Array:
        """Draw logarithms of inverse gamma variates of mean 1."""
        return np.asarray(-_log_gamma_draw(rng, 1.0 + 1.0 / size, shape) - np.log(size))

    def start(self, variance: float) -> float:
        """Return the variance itself."""
        return variance

    def quasi(self, v: Array) -> tuple[Array, Array, Array]:
        """Deviations, weights and deviances of a variable of mean 1 whose variance grows as its square."""
        return np.expm1(-v), np.ones_like(v), 2.0 * (np.expm1(-v) + v)


class Beta(Law):
    """Symmetric beta effects, entering as their logit."""

    name = "beta"
    upper = 1.0
    centre = 0.5

    def log_density(self, v: Jet, log_lambda: Jet) -> Jet:
        """``a log u + a log(1 - u) - log B(a, a)``, a = 1 / (2 lambda)."""
        half = np.exp(-log_lambda) * 0.5
        log_half = -log_lambda - LOG_2
        shape = -np.log1p(-0.25 * np.expm1(v) * np.expm1(-v))  # log(4 u (1 - u)), exact next to v = 0 too
        constant = 0.5 * log_half - 0.5 * LOG_2 - HALF_LOG_2PI - 2.0 * stirling(log_half) + stirling(-log_lambda)
        density: Jet = half * shape + constant
        return density

    def effect(self, v: Array) -> Array:
        """Return ``1 / (1 + exp(-v))``."""
        return np.asarray(sp.expit(v))

    def log_jacobian(self, v: Array) -> tuple[Array, Array, Array]:
        """Return ``log u(1 - u)`` and its derivatives."""
        u = sp.expit(v)
        return np.asarray(sp.log_expit(v) + sp.log_expit(-v)), 1.0 - 2.0 * u, -2.0 * u * (1.0 - u)

    def variance(self, size: float) -> float:
        """Return ``lambda / (4 (1 + lambda))``."""
        return 0.25 * size / (1.0 + size)

    def predictor_moments(self, size: float) -> tuple[float, float]:
        """Return 0 and ``2 trigamma(a)``."""
        return 0.0, 2.0 * float(sp.polygamma(1, 0.5 / size))

    def draw(self, rng: np.random.Generator, size: float, shape: tuple[int, ...]) -> Array:
        """Draw logits of symmetric beta variates."""
        return _log_gamma_draw(rng, 0.5 / size, shape) - _log_gamma_draw(rng, 0.5 / size, shape)

    def start(self, variance: float) -> float:
        """Return a quarter of the variance: that of v is 4 lambda where it is small."""
        return 0.25 * variance

    def quasi(self, v: Array) -> tuple[Array, Array, Array]:
        """Deviations, weights and deviances of a proportion of mean 1/2."""
        u = sp.expit(v)
        spread = u * (1.0 - u)
        return (0.5 - u) / spread, spread, np.log1p(-0.25 * np.expm1(v) * np.expm1(-v))


GAMMA, INVERSE_GAMMA, BETA = Gamma(), InverseGamma(), Beta()
LAWS: dict[str, Law | None] = {"normal": None, "gamma": GAMMA, "inverse_gamma": INVERSE_GAMMA, "beta": BETA}
"""By the word of the user; None for the normal law, which is that of all other random effects."""
