"""Groups of rows of a family, given an effect of the group: what a generalised mixed model says of its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.deconvolution.kernels import Kernel
from mixedfx.deconvolution.modes import find_modes
from mixedfx.families.base import Family
from mixedfx.families.observed import Observed

__all__ = ["FamilyGroups"]

BLOCK = 4_000_000  # log-densities that are computed at a time
DISTANCES = np.geomspace(1.0, 1e3, 60)  # of an effect from where its rows are
BEYOND = 2.0  # standard errors
AS_GOOD = 1e-12  # difference of log-likelihoods that is none


@dataclass(frozen=True)
class FamilyGroups(Kernel):
    """Groups of rows of a family: theta is added to the linear predictor of all rows of a group.

    Attributes
    ----------
    family : Family
    observed : Observed
        The rows, ordered by group.
    predictors : (n,) or (n, K)
        All linear predictors without theta.
    phi : (s,)
        Family-wide parameters on their unbounded scales.
    starts : (k,)
        The first row of every group.
    weights, trials : (n,), optional
        As the response was observed with them.
    """

    family: Family
    observed: Observed
    predictors: Array
    phi: Array
    starts: IntArray
    weights: Array | None = None
    trials: Array | None = None

    @classmethod
    def of_rows(cls, family: Family, observed: Observed, predictors: Array) -> Self:
        """Return groups of one row each, of a family without parameters."""
        rows = np.arange(predictors.size)
        return cls(family, observed, predictors, np.zeros(0), rows, None, observed.trials)

    @property
    def size(self) -> int:
        """Number of groups."""
        return self.starts.size

    @property
    def codes(self) -> IntArray:
        """The group of every row."""
        return np.repeat(np.arange(self.size), self._counts)

    @property
    def _counts(self) -> IntArray:
        return np.diff(np.append(self.starts, len(self.predictors)))

    @property
    def columns(self) -> tuple[Array, ...]:
        """Groups are told apart by their number."""
        return (np.arange(float(self.size)),)

    def take(self, rows: IntArray) -> FamilyGroups:
        """Return some of the groups."""
        counts = self._counts[rows]
        starts = np.cumsum(counts) - counts
        at = np.arange(counts.sum()) + np.repeat(self.starts[rows] - starts, counts)
        prior = (None if a is None else a[at] for a in (self.weights, self.trials))
        return FamilyGroups(self.family, self.observed.take(at), self.predictors[at], self.phi, starts, *prior)

    def _moved(self, theta: Array) -> Array:
        """All linear predictors (m, n) or (m, n, K) with theta (1, m) or (k, m) added to the first."""
        shift = np.broadcast_to(theta, (self.size, theta.shape[1]))[self.codes].T
        if self.predictors.ndim == 1:
            return np.asarray(self.predictors + shift)
        moved = np.repeat(self.predictors[None], shift.shape[0], axis=0)
        moved[..., 0] += shift
        return moved

    def _by_group(self, theta: Array, terms: Callable[[Array], tuple[Array, ...]]) -> list[Array]:
        """Sums (k, m) over the rows of each group of functions of the linear predictors."""
        m, parts = theta.shape[1], []
        step = max(1, BLOCK // max(len(self.predictors), 1))
        for first in range(0, max(m, 1), step):
            values = terms(self._moved(theta[:, first : first + step]))
            parts.append([np.add.reduceat(value, self.starts, axis=1).T for value in values])
        return [np.concatenate(own, axis=1) for own in zip(*parts, strict=True)]

    def log_density(self, theta: Array) -> Array:
        """Return log-likelihoods of the groups."""
        return self._by_group(theta, lambda eta: (self.family.loglik(self.observed, eta, self.phi),))[0]

    def slopes(self, theta: Array) -> tuple[Array, Array]:
        """Return their derivatives."""
        first, second = self._by_group(
            theta, lambda eta: self.family.mean_derivatives(self.observed, eta, self.phi, order=2)[1:]
        )
        return first, second

    @property
    def estimates(self) -> tuple[Array, Array]:
        """The theta of best likelihood of every group and its standard error.

        Where the likelihood rises for ever, the first theta at which it is as good as there, with an infinite error.
        """
        theta, curvature, settled = find_modes(self, 0.0, 0.0)
        if not settled.all():
            far = np.sign(theta[:, None]) * DISTANCES
            value = self.log_density(far)
            enough = value >= value.max(axis=1, keepdims=True) - AS_GOOD
            theta = np.where(settled, theta, far[np.arange(self.size), enough.argmax(axis=1)])
        se = np.full_like(theta, np.inf)
        np.divide(1.0, np.sqrt(np.maximum(curvature, 0.0)), out=se, where=settled & (curvature > 0))
        return theta, se

    def spline_grid(self, count: int) -> Array:
        """Return equispaced points over the range of the finite estimates, and further where some are infinite."""
        theta, se = self.estimates
        finite = np.isfinite(se)
        if not finite.any():
            return np.linspace(*self.span, count)
        low, high = float(theta[finite].min()), float(theta[finite].max())
        beyond = BEYOND * float(np.median(se[finite]))
        low -= beyond * bool(theta.min() < low)
        high += beyond * bool(theta.max() > high)
        return np.linspace(low, high, count)

    def drawn(self, theta: Array, rng: np.random.Generator) -> FamilyGroups:
        """Return responses drawn at theta."""
        predictors = self._moved(theta[:, None])[0]
        trials = 1.0 if self.trials is None else self.trials
        dividing = self.weights if self.family.precision_weights else None
        y = self.family.simulate(rng, predictors, self.phi, trials=trials, weights=dividing)
        observed = self.family.observe(y, trials=self.trials, weights=self.weights)
        return FamilyGroups(self.family, observed, self.predictors, self.phi, self.starts, self.weights, self.trials)
