"""What is seen given theta: the law of each of k observations, as a function of its own theta."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import special

from mixedfx._typing import Array, IntArray

__all__ = ["IDENTITY", "BinnedNormal", "Kernel", "NormalErrors", "Scale"]

LOG_2PI = float(np.log(2.0 * np.pi))
FINENESS = 4.0  # points of a grid in a standard error of the most precise observation
FEWEST, MOST = 100, 2000  # equispaced points of such a grid
AROUND = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])  # standard errors around precise observations where the grid is coarse


@dataclass(frozen=True)
class Scale:
    """A monotone map from the line on which a normal law lives to theta, with its inverse and its name."""

    to_theta: Callable[[Array], Array]
    from_theta: Callable[[Array], Array]
    words: str


IDENTITY = Scale(np.asarray, np.asarray, "theta")


class Kernel(ABC):
    """The laws ``p_i(y_i | theta)`` of k observations.

    Attributes
    ----------
    domain : tuple of float
        Where theta may lie.
    scale : Scale
        The line on which a normal law of theta lives.
    """

    domain: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    scale: Scale = IDENTITY

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of observations."""

    @property
    @abstractmethod
    def columns(self) -> tuple[Array, ...]:
        """What tells observations apart, each (k,)."""

    @property
    @abstractmethod
    def estimates(self) -> tuple[Array, Array]:
        """Each observation's own estimate of theta and its standard error, each (k,)."""

    @abstractmethod
    def take(self, rows: IntArray) -> Kernel:
        """Return some of the observations."""

    @abstractmethod
    def log_density(self, theta: Array) -> Array:
        """Return the log-densities (k, m) at ``theta`` (1, m) or (k, m), all constants included."""

    @abstractmethod
    def slopes(self, theta: Array) -> tuple[Array, Array]:
        """Return first and second derivatives (k, m) of :meth:`log_density` in theta."""

    @abstractmethod
    def drawn(self, theta: Array, rng: np.random.Generator) -> Kernel:
        """Return observations like these, drawn at ``theta`` (k,)."""

    @property
    def linear(self) -> Kernel:
        """The same observations with theta on the line of :attr:`scale`."""
        return self

    @property
    def outcomes(self) -> Kernel | None:
        """All outcomes of the one law that the observations share, or None if they do not share one."""
        return None

    @property
    def span(self) -> tuple[float, float]:
        """The interval of the observations' own estimates, outside which no atom can help."""
        theta = self.estimates[0]
        return float(theta.min()), float(theta.max())

    def search_grid(self) -> Array:
        """Return points (m,) so close that the likelihood of no observation has its peak between two of them."""
        low, high = self.span
        theta, se = self._variance_stable()
        least, most = float(theta.min()), float(theta.max())
        if not high > low:
            return np.array([low])
        count = int(min(np.ceil(FINENESS * (most - least) / float(se.min())) + 1, 1e9))
        points = np.linspace(least, most, int(np.clip(count, FEWEST, MOST)))
        if count > MOST:
            finite = np.isfinite(se)
            around = theta[finite, None] + se[finite, None] * AROUND
            points = np.union1d(points, np.clip(around, least, most))
        grid = np.unique(np.clip(self._from_stable(points), low, high))
        grid[0], grid[-1] = low, high
        return grid

    def _variance_stable(self) -> tuple[Array, Array]:
        """Estimates and standard errors on the scale on which grids are equispaced."""
        return self.estimates

    def _from_stable(self, points: Array) -> Array:
        return points

    def spline_grid(self, count: int) -> Array:
        """Return ``count`` equispaced points on which a smooth law is estimated, if the user names none."""
        return np.linspace(*self.span, count)

    def distinct(self) -> tuple[Kernel, IntArray]:
        """Return the observations that differ, in an order that does not depend on theirs, and which each is (k,)."""
        _, first, inverse = np.unique(np.column_stack(self.columns), axis=0, return_index=True, return_inverse=True)
        return self.take(first), np.asarray(inverse, dtype=np.intp).ravel()


@dataclass(frozen=True)
class NormalErrors(Kernel):
    """``y_i ~ N(theta, sd_i**2)``."""

    y: Array
    sd: Array

    @property
    def size(self) -> int:
        """Number of observations."""
        return self.y.size

    @property
    def columns(self) -> tuple[Array, ...]:
        """Values and standard deviations."""
        return self.y, self.sd

    @property
    def estimates(self) -> tuple[Array, Array]:
        """Values and standard deviations."""
        return self.y, self.sd

    def take(self, rows: IntArray) -> NormalErrors:
        """Return some of the observations."""
        return NormalErrors(self.y[rows], self.sd[rows])

    def log_density(self, theta: Array) -> Array:
        """Return normal log-densities."""
        z = (self.y[:, None] - theta) / self.sd[:, None]
        return np.asarray(-0.5 * z * z - (np.log(self.sd) + 0.5 * LOG_2PI)[:, None])

    def slopes(self, theta: Array) -> tuple[Array, Array]:
        """Return their derivatives."""
        precision = (self.sd**-2)[:, None]
        first = (self.y[:, None] - theta) * precision
        return first, np.broadcast_to(-precision, first.shape)

    def drawn(self, theta: Array, rng: np.random.Generator) -> NormalErrors:
        """Return values drawn at theta."""
        return NormalErrors(theta + self.sd * rng.standard_normal(self.size), self.sd)


@dataclass(frozen=True)
class BinnedNormal(Kernel):
    """``y_i ~ N(theta, sd**2)`` of which is known between which two numbers it lies."""

    lower: Array
    upper: Array
    sd: float
    edges: Array

    @property
    def size(self) -> int:
        """Number of observations."""
        return self.lower.size

    @property
    def columns(self) -> tuple[Array, ...]:
        """Ends of the cells."""
        return self.lower, self.upper

    @property
    def estimates(self) -> tuple[Array, Array]:
        """Middles of the cells (the finite end of an endless one), and the standard deviation."""
        low, high = (np.where(np.isfinite(a), a, b) for a, b in ((self.lower, self.upper), (self.upper, self.lower)))
        return 0.5 * (low + high), np.full(self.size, self.sd)

    def take(self, rows: IntArray) -> BinnedNormal:
        """Return some of the observations."""
        return BinnedNormal(self.lower[rows], self.upper[rows], self.sd, self.edges)

    def _ends(self, theta: Array) -> tuple[Array, Array]:
        """Standardised ends of the cells, turned so that differences of tails lose no digits."""
        a, b = ((end[:, None] - theta) / self.sd for end in (self.lower, self.upper))
        turned = a > 0
        return np.where(turned, -b, a), np.where(turned, -a, b)

    def log_density(self, theta: Array) -> Array:
        """Return logarithms of the probabilities of the cells."""
        a, b = self._ends(theta)
        log_b = special.log_ndtr(b)
        with np.errstate(divide="ignore"):
            return np.asarray(log_b + np.log1p(-np.exp(special.log_ndtr(a) - log_b)))

    def slopes(self, theta: Array) -> tuple[Array, Array]:
        """Return their derivatives: those of ``log(Phi(b) - Phi(a))``."""
        log_p = self.log_density(theta)
        a, b = ((end[:, None] - theta) / self.sd for end in (self.lower, self.upper))
        at_a, at_b = (np.exp(-0.5 * z * z - 0.5 * LOG_2PI - log_p) for z in (a, b))
        za, zb = np.where(np.isfinite(a), a, 0.0) * at_a, np.where(np.isfinite(b), b, 0.0) * at_b
        first = (at_a - at_b) / self.sd
        return first, np.asarray((za - zb) / self.sd**2 - first**2)

    def drawn(self, theta: Array, rng: np.random.Generator) -> BinnedNormal:
        """Return cells of values drawn at theta; those outside of all cells lie in the outermost ones."""
        values = theta + self.sd * rng.standard_normal(self.size)
        cell = np.clip(np.searchsorted(self.edges, values, side="right") - 1, 0, self.edges.size - 2)
        return BinnedNormal(self.edges[cell], self.edges[cell + 1], self.sd, self.edges)

    @property
    def outcomes(self) -> BinnedNormal:
        """All cells."""
        return BinnedNormal(self.edges[:-1], self.edges[1:], self.sd, self.edges)
