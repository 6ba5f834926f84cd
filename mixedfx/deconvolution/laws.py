"""Laws of theta: their distribution functions, and what they say of each observation's own theta."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from mixedfx._typing import Array
from mixedfx.deconvolution.kernels import Kernel, NormalErrors, Scale
from mixedfx.deconvolution.modes import find_modes

__all__ = ["AtomicLaw", "Law", "NormalLaw", "Posterior"]

NODES = 401
EXTENTS = np.geomspace(4.0, 4096.0, 31)  # posterior standard deviations that are tried as half-widths of an integral
NEGLIGIBLE = 40.0  # fall of a log-density beyond which nothing is integrated
STILL = 1e-12


class Posterior(ABC):
    """The laws of theta given each of k observations.

    Attributes
    ----------
    log_f : (k,)
        Logarithms of the marginal densities of the observations.
    mean, sd : (k,)
    """

    log_f: Array
    mean: Array
    sd: Array

    @abstractmethod
    def quantile(self, p: float) -> Array:
        """Return the smallest theta (k,) with a probability of at least ``p`` up to it."""


class Law(ABC):
    """A probability law of theta.

    Attributes
    ----------
    mean, sd : float
    """

    mean: float
    sd: float

    @abstractmethod
    def cdf(self, t: Array) -> Array:
        """Return the probabilities of values up to ``t``."""

    @abstractmethod
    def posterior(self, kernel: Kernel) -> Posterior:
        """Return the laws of theta given each observation."""

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw values (count,) of theta."""


# ---------------------------------------------------------------- finitely many values
@dataclass(frozen=True)
class _WeightedNodes(Posterior):
    """Probabilities ``weights`` (k, m) of ``theta`` (1, m) or (k, m), which ascends."""

    theta: Array
    weights: Array
    log_f: Array

    @cached_property
    def mean(self) -> Array:  # type: ignore[override]
        """Means (k,)."""
        return np.asarray(np.sum(self.weights * self.theta, axis=1))

    @cached_property
    def sd(self) -> Array:  # type: ignore[override]
        """Standard deviations (k,)."""
        return np.asarray(np.sqrt(np.sum(self.weights * (self.theta - self.mean[:, None]) ** 2, axis=1)))

    def quantile(self, p: float) -> Array:
        """Return the first of the values up to which the probability reaches ``p``."""
        reached = np.cumsum(self.weights, axis=1) >= p * (1.0 - STILL)
        first = np.where(reached.any(axis=1), reached.argmax(axis=1), self.weights.shape[1] - 1)
        theta = np.broadcast_to(self.theta, self.weights.shape)
        return np.asarray(theta[np.arange(first.size), first])


@dataclass(frozen=True)
class AtomicLaw(Law):
    """Masses at finitely many values, in ascending order."""

    support: Array
    mass: Array

    @cached_property
    def mean(self) -> float:  # type: ignore[override]
        """Mean."""
        return float(self.mass @ self.support)

    @cached_property
    def sd(self) -> float:  # type: ignore[override]
        """Standard deviation."""
        return float(np.sqrt(self.mass @ (self.support - self.mean) ** 2))

    def cdf(self, t: Array) -> Array:
        """Return the sums of the masses up to ``t``."""
        below = np.searchsorted(self.support, t, side="right")
        return np.append(0.0, np.cumsum(self.mass))[below]

    def posterior(self, kernel: Kernel) -> Posterior:
        """Return the probabilities of the values given each observation."""
        with np.errstate(divide="ignore"):
            terms = kernel.log_density(self.support[None, :]) + np.log(self.mass)
        log_f = special.logsumexp(terms, axis=1)
        with np.errstate(invalid="ignore"):
            weights = np.exp(terms - log_f[:, None])
        return _WeightedNodes(self.support[None, :], weights, log_f)

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw from the values."""
        return rng.choice(self.support, count, p=self.mass)


# ---------------------------------------------------------------- normal
@dataclass(frozen=True)
class _NormalPosterior(Posterior):
    mean: Array
    sd: Array
    log_f: Array

    def quantile(self, p: float) -> Array:
        """Return normal quantiles."""
        return np.asarray(self.mean + self.sd * special.ndtri(p))


@dataclass(frozen=True)
class NormalLaw(Law):
    """A normal law on a scale: that of theta itself, of its logit or its logarithm."""

    location: float
    spread: float
    scale: Scale

    @cached_property
    def _moments(self) -> tuple[float, float]:
        reach = np.sqrt(2.0 * NEGLIGIBLE)
        z = np.linspace(-reach, reach, NODES)
        weight = np.exp(-0.5 * z * z)
        theta = self.scale.to_theta(self.location + self.spread * z)
        mean = float(weight @ theta / weight.sum())
        return mean, float(np.sqrt(weight @ (theta - mean) ** 2 / weight.sum()))

    @property
    def mean(self) -> float:  # type: ignore[override]
        """Mean of theta."""
        return self._moments[0]

    @property
    def sd(self) -> float:  # type: ignore[override]
        """Standard deviation of theta."""
        return self._moments[1]

    def cdf(self, t: Array) -> Array:
        """Return normal probabilities; a step where the spread is zero."""
        with np.errstate(invalid="ignore"):
            at = self.scale.from_theta(np.asarray(t, dtype=float))
        at = np.where(np.isnan(at), np.where(np.asarray(t) > 0, np.inf, -np.inf), at)
        if self.spread == 0:
            return np.asarray((at >= self.location).astype(float))
        return np.asarray(special.ndtr((at - self.location) / self.spread))

    def posterior(self, kernel: Kernel) -> Posterior:
        """Return normal laws for normal errors, else the nodes of numerical integrals."""
        if self.spread == 0:
            at = self.scale.to_theta(np.array([self.location]))
            return AtomicLaw(at, np.ones(1)).posterior(kernel)
        if isinstance(kernel, NormalErrors):
            total = self.spread**2 + kernel.sd**2
            mean = (self.spread**2 * kernel.y + kernel.sd**2 * self.location) / total
            log_f = -0.5 * (np.log(2.0 * np.pi * total) + (kernel.y - self.location) ** 2 / total)
            return _NormalPosterior(mean, self.spread * kernel.sd / np.sqrt(total), log_f)
        nodes, weights, log_f = normal_nodes(kernel.linear, self.location, self.spread)
        return _WeightedNodes(self.scale.to_theta(nodes), weights, log_f)

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw normal values."""
        return self.scale.to_theta(self.location + self.spread * rng.standard_normal(count))


def normal_nodes(kernel: Kernel, location: float, spread: float) -> tuple[Array, Array, Array]:
    """Return nodes (k, m), probabilities (k, m) and log-marginals (k,) of a normal theta given each observation.

    The trapezoidal rule in ``t``, ``theta = mode + sd sinh(t)``, where the integrand is not negligible: for a smooth
    one that vanishes at both ends it is as exact as the arithmetic (Trefethen & Weideman 2014, SIAM Rev. 56, 385), and
    the nodes lie close where the likelihood bends.
    """

    def log_density(theta: Array) -> Array:
        z = (theta - location) / spread
        normal = -0.5 * z * z - np.log(spread) - 0.5 * np.log(2.0 * np.pi)
        return np.asarray(kernel.log_density(theta) + normal)

    theta, curvature, _ = find_modes(kernel, location, spread**-2)
    mode = theta[:, None]
    sd = 1.0 / np.sqrt(np.maximum(curvature, spread**-2))[:, None]
    peak = log_density(mode)
    ends = []
    for side in (-1.0, 1.0):
        enough = peak - log_density(mode + side * sd * EXTENTS) > NEGLIGIBLE
        place = np.where(enough.any(axis=1), enough.argmax(axis=1), EXTENTS.size - 1)
        ends.append(side * np.arcsinh(EXTENTS[place])[:, None])
    t = ends[0] + (ends[1] - ends[0]) * np.linspace(0.0, 1.0, NODES)
    nodes = mode + sd * np.sinh(t)
    terms = log_density(nodes) + np.log(sd * np.cosh(t) * (ends[1] - ends[0]) / (NODES - 1))
    log_f = special.logsumexp(terms, axis=1)
    return nodes, np.asarray(np.exp(terms - log_f[:, None])), np.asarray(log_f)
