"""Counts given theta: binomial with its probability, Poisson with its rate, and that without zeros."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfx._typing import Array, IntArray
from mixedfx.deconvolution.grouped import FamilyGroups
from mixedfx.deconvolution.kernels import Kernel, Scale
from mixedfx.families import Binomial, Poisson, Truncated

__all__ = ["BinomialCounts", "PoissonCounts"]

SERIES = 1e-2  # below it differences of nearly equal numbers are taken from their series
NEWTON_STEPS = 60
SMALLEST_SLOPE = 1e-15  # of a function whose root and slope are zero together


def _log(x: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(x))


LOGIT = Scale(special.expit, special.logit, "logit theta")
LOG = Scale(np.exp, _log, "log theta")


@dataclass(frozen=True)
class BinomialCounts(Kernel):
    """``y_i ~ Binomial(trials_i, theta)``."""

    y: Array
    trials: Array

    domain = (0.0, 1.0)
    scale = LOGIT

    @property
    def size(self) -> int:
        """Number of observations."""
        return self.y.size

    @property
    def columns(self) -> tuple[Array, ...]:
        """Successes and trials."""
        return self.y, self.trials

    @property
    def estimates(self) -> tuple[Array, Array]:
        """Proportions, and their standard errors; those of none and of all at (y + 1/2) / (trials + 1)."""
        p = (self.y + 0.5) / (self.trials + 1.0)
        return self.y / self.trials, np.sqrt(p * (1.0 - p) / self.trials)

    def _variance_stable(self) -> tuple[Array, Array]:
        return np.arcsin(np.sqrt(self.y / self.trials)), 0.5 / np.sqrt(self.trials)

    def _from_stable(self, points: Array) -> Array:
        return np.asarray(np.sin(points) ** 2)

    def spline_grid(self, count: int) -> Array:
        """Return the inner ones of equispaced points between 0 and 1."""
        return np.asarray(np.arange(1, count) / count)

    def take(self, rows: IntArray) -> BinomialCounts:
        """Return some of the observations."""
        return BinomialCounts(self.y[rows], self.trials[rows])

    def log_density(self, theta: Array) -> Array:
        """Return binomial log-probabilities."""
        y, n = self.y, self.trials
        constant = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)
        failures = special.xlog1py((n - y)[:, None], -theta)
        return np.asarray(constant[:, None] + special.xlogy(y[:, None], theta) + failures)

    def slopes(self, theta: Array) -> tuple[Array, Array]:
        """Return their derivatives; those at 0 and 1 are one-sided, or infinite."""
        y, failures = self.y[:, None], (self.trials - self.y)[:, None]
        a, b = _ratio(y, theta), _ratio(failures, 1.0 - theta)
        return a - b, -_ratio(a, theta) - _ratio(b, 1.0 - theta)

    def drawn(self, theta: Array, rng: np.random.Generator) -> BinomialCounts:
        """Return successes drawn at theta."""
        return BinomialCounts(rng.binomial(self.trials.astype(np.int64), theta).astype(float), self.trials)

    @property
    def linear(self) -> FamilyGroups:
        """The same counts with the logit of theta."""
        family = Binomial()
        observed = family.observe(self.y / self.trials, trials=self.trials)
        return FamilyGroups.of_rows(family, observed, np.zeros(self.size))

    @property
    def outcomes(self) -> BinomialCounts | None:
        """All numbers of successes, where all observations have the same number of trials."""
        if np.ptp(self.trials) > 0:
            return None
        counts = np.arange(self.trials[0] + 1.0)
        return BinomialCounts(counts, np.full(counts.size, self.trials[0]))


def _ratio(a: Array, b: Array) -> Array:
    """``a / b``, zero where a is."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    with np.errstate(divide="ignore", over="ignore"):
        return np.divide(a, b, out=np.zeros(shape), where=np.broadcast_to(a != 0, shape))


@dataclass(frozen=True)
class PoissonCounts(Kernel):
    """``y_i ~ Poisson(exposure_i * theta)``, or that given that it is not zero."""

    y: Array
    exposure: Array
    truncated: bool = False

    domain = (0.0, np.inf)
    scale = LOG

    @property
    def size(self) -> int:
        """Number of observations."""
        return self.y.size

    @property
    def columns(self) -> tuple[Array, ...]:
        """Counts and exposures."""
        return self.y, self.exposure

    @property
    def estimates(self) -> tuple[Array, Array]:
        """Rates of best likelihood, and their standard errors."""
        rate = _untruncated(self.y) if self.truncated else self.y
        return rate / self.exposure, np.sqrt(np.maximum(self.y, 0.5)) / self.exposure

    def _variance_stable(self) -> tuple[Array, Array]:
        return np.sqrt(self.estimates[0]), 0.5 / np.sqrt(self.exposure)

    def _from_stable(self, points: Array) -> Array:
        return np.asarray(points**2)

    def spline_grid(self, count: int) -> Array:
        """Return equispaced points above zero, up to the largest rate (that of one event, if there is none)."""
        most = max(self.span[1], float(1.0 / self.exposure.max()))
        return np.asarray(most * np.arange(1, count + 1) / count)

    def take(self, rows: IntArray) -> PoissonCounts:
        """Return some of the observations."""
        return PoissonCounts(self.y[rows], self.exposure[rows], self.truncated)

    def log_density(self, theta: Array) -> Array:
        """Return log-probabilities of the counts."""
        mean, y = self.exposure[:, None] * theta, self.y[:, None]
        constant = special.gammaln(y + 1.0)
        if not self.truncated:
            return np.asarray(special.xlogy(y, mean) - mean - constant)
        # as theta falls to zero y = 1 becomes certain: (y - 1) log(mean) + log(mean / (exp(mean) - 1))
        return np.asarray(special.xlogy(y - 1.0, mean) - np.log(special.exprel(mean)) - constant)

    def slopes(self, theta: Array) -> tuple[Array, Array]:
        """Return their derivatives."""
        exposure, y = self.exposure[:, None], self.y[:, None]
        if not self.truncated:
            first = _ratio(y, theta)
            return first - exposure, -_ratio(first, theta)
        mean = exposure * theta
        first = _ratio(y - 1.0, theta)
        slope, bend = _log_exprel_slopes(mean)
        return first - exposure * slope, -_ratio(first, theta) - exposure**2 * bend

    def drawn(self, theta: Array, rng: np.random.Generator) -> PoissonCounts:
        """Return counts drawn at theta."""
        mean = self.exposure * theta
        if not self.truncated:
            return PoissonCounts(rng.poisson(mean).astype(float), self.exposure)
        # events of a process by time 1, given that there is one: the first comes at a truncated exponential time
        first = -np.log1p(rng.uniform(size=self.size) * np.expm1(-mean))
        later = rng.poisson(np.maximum(mean - first, 0.0))
        return PoissonCounts(later.astype(np.float64) + 1.0, self.exposure, True)

    @property
    def linear(self) -> FamilyGroups:
        """The same counts with the logarithm of theta."""
        family = Truncated(Poisson()) if self.truncated else Poisson()
        return FamilyGroups.of_rows(family, family.observe(self.y), np.log(self.exposure))

    @property
    def outcomes(self) -> PoissonCounts | None:
        """All counts up to the largest one, where all observations have the same exposure."""
        if np.ptp(self.exposure) > 0:
            return None
        counts = np.arange(float(self.truncated), self.y.max() + 1.0)
        exposure = np.full(counts.size, float(self.exposure[0]))
        return PoissonCounts(np.asarray(counts, dtype=np.float64), exposure, self.truncated)


def _log_exprel_slopes(x: Array) -> tuple[Array, Array]:
    """First two derivatives of ``log((exp(x) - 1) / x)``."""
    small = np.minimum(x, 1.0)
    near = 0.5 + small / 12.0 - small**3 / 720.0, 1.0 / 12.0 - small**2 / 240.0 + small**4 / 6048.0
    safe = np.maximum(x, SERIES)
    q = -np.expm1(-safe)
    far = 1.0 / q - 1.0 / safe, 1.0 / safe**2 - np.exp(-safe) / q**2
    return np.where(x < SERIES, near[0], far[0]), np.where(x < SERIES, near[1], far[1])


def _untruncated(y: Array) -> Array:
    """Return the mean ``m`` of the Poisson law of which ``y`` is the mean given that it is not zero."""
    mean = np.maximum(y, 1.0 + 1e-12)
    for _ in range(NEWTON_STEPS):  # of m = y (1 - exp(-m)), which is concave: Newton from above is monotone
        slope = np.maximum(1.0 - y * np.exp(-mean), SMALLEST_SLOPE)
        mean = np.maximum(mean - (mean + y * np.expm1(-mean)) / slope, 0.0)
    return np.where(y > 1.0, mean, 0.0)
