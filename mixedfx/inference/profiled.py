"""The likelihood with one quantity held fixed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.assembly import TermSlot
from mixedfx.criterion.boundary import reopened
from mixedfx.criterion.evaluation import GaussianCriterion, GaussianEvaluation, MarginalEvaluation
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.inference.constrained import DECREMENT, FAILURES, ConstrainedSearch, ProfilePoint, orthogonal_complement
from mixedfx.inference.profile_ends import End, Held, find_end
from mixedfx.inference.quantities import Quantity
from mixedfx.optimize import Optimum, minimize

__all__ = [
    "CoefficientProfile",
    "GeneralizedPoint",
    "HeldProfile",
    "MappedProfile",
    "QuantityProfile",
    "ReleasedProfile",
    "Surroundings",
    "UnprofiledPoint",
    "with_variances",
]

NEARLY_ZERO = 1e-3  # a standard deviation below this share of a small one starts its profile from the latter
VANISHED = 1e-8  # eigenvalue of a covariance, relative to the largest, that counts as zero
REOPENINGS = 3  # searches from a boundary that the criterion contradicts, at the most
RELEASED = 1e-4  # of the wanted rise: what parameters that leave their end may lower it by, unnoticed
REOPENED = 0.1  # standard deviation given to its direction


@dataclass(frozen=True)
class UnprofiledPoint:
    """Minus twice the log-likelihood at ``phi = (theta, rho, log sigma^2)``, beta profiled out.

    ``rho`` are the parameters of a residual structure, if there is one.
    """

    criterion: GaussianCriterion
    phi: Array

    @cached_property
    def at(self) -> GaussianEvaluation:
        """The criterion at (theta, rho) with this sigma."""
        return self.criterion.with_sigma2(float(np.exp(self.phi[-1])))(self.phi[:-1])

    @property
    def value(self) -> float:
        """The criterion."""
        return self.at.value

    @cached_property
    def _ratio(self) -> float:
        """Residual sum of squares over sigma squared."""
        return self.at.linear.r2 / self.at.linear.sigma2

    @cached_property
    def gradient(self) -> Array:
        """Exact gradient (k + 1,)."""
        return np.append(self.at.gradient, self.at.linear.criterion.nu - self._ratio)

    @cached_property
    def hessian(self) -> Array:
        """Hessian (k + 1, k + 1): exact where that is cheap, else with the average information."""
        k = self.phi.size - 1
        out = np.empty((k + 1, k + 1))
        out[:k, :k] = self.at.curvature
        out[:k, k] = out[k, :k] = self.at.response_slopes / self.at.linear.sigma2
        out[k, k] = self._ratio
        return out

    @property
    def hessian_is_exact(self) -> bool:
        """Whether it is the Hessian itself."""
        return self.at.curvature_is_exact


@dataclass(frozen=True)
class GeneralizedPoint:
    """Minus twice the log-likelihood at the inner parameters ``phi`` (k,), integrated as in the fit."""

    fit: GeneralizedFit
    phi: Array

    @cached_property
    def at(self) -> MarginalEvaluation:
        """The evaluation."""
        return self.fit.problem.evaluate(self.phi, self.fit.integrate, self.fit.at.state)

    @property
    def value(self) -> float:
        """The criterion; infinite where no mode was found."""
        return self.at.value

    @property
    def gradient(self) -> Array:
        """Exact gradient (k,)."""
        return self.at.gradient

    @cached_property
    def hessian(self) -> Array:
        """Approximate Hessian (k, k) here, plus what the approximation lacks at the estimate."""
        lack = self.fit.hessian - self.fit.at.curvature
        known = np.isfinite(lack) & self.fit.free[:, None] & self.fit.free
        return np.asarray(self.at.curvature + np.where(known, lack, 0.0))

    @property
    def hessian_is_exact(self) -> bool:
        """It is not."""
        return False


class HeldProfile(ABC):
    """The profile of one quantity."""

    estimate: float
    se: float
    lower: float
    upper: float
    start: Array

    @abstractmethod
    def hold(self, value: float, state: Array) -> Held:
        """Minimise with the quantity fixed at ``value``, starting from ``state``."""

    def end(self, best: float, zeta: float) -> End:
        """Return where the signed root of the rise of the criterion above ``best`` equals ``zeta`` (not 0)."""
        return find_end(self, best, zeta)


@dataclass(frozen=True)
class QuantityProfile(HeldProfile):
    """A smooth function of the parameters.

    Attributes
    ----------
    search : ConstrainedSearch
    opening : callable
        Moves parameters at the end of their range (a standard deviation of zero) off it, where their slope vanishes.
    estimate, se : float
    start : (k,)
        All parameters at the estimate.
    """

    search: ConstrainedSearch
    opening: Callable[[Array], Array]
    estimate: float
    se: float
    start: Array

    @property
    def lower(self) -> float:  # type: ignore[override]
        """Smallest possible value."""
        return self.search.quantity.lower

    @property
    def upper(self) -> float:  # type: ignore[override]
        """Largest possible value."""
        return self.search.quantity.upper

    def hold(self, value: float, state: Array) -> Held:
        """Return the minimum with the quantity at ``value``."""
        found = self.search.minimum(value, self.opening(state))
        if not found.met and not np.array_equal(state, self.start):
            found = self.search.minimum(value, self.opening(self.start))
        return Held(found.value, found.slope, found.phi if found.met else state, found.met, found.feasible)


@dataclass(frozen=True)
class ReleasedProfile(HeldProfile):
    """A profile while other parameters are at the end of their range: they may leave it where this one is held.

    Attributes
    ----------
    closed, released : QuantityProfile
        With those parameters where they are, which is quick, and with all of them free.
    """

    closed: QuantityProfile
    released: QuantityProfile

    @property
    def estimate(self) -> float:  # type: ignore[override]
        """The estimate."""
        return self.closed.estimate

    @property
    def se(self) -> float:  # type: ignore[override]
        """Its standard error."""
        return self.closed.se

    @property
    def start(self) -> Array:  # type: ignore[override]
        """All parameters at the estimate."""
        return self.closed.start

    @property
    def lower(self) -> float:  # type: ignore[override]
        """Smallest possible value."""
        return self.closed.lower

    @property
    def upper(self) -> float:  # type: ignore[override]
        """Largest possible value."""
        return self.closed.upper

    def hold(self, value: float, state: Array) -> Held:
        """Return the lower one of both minima."""
        found = [self.closed.hold(value, state), self.released.hold(value, state)]
        return min(found, key=lambda held: held.value if held.met else np.inf)

    def end(self, best: float, zeta: float) -> End:
        """Return the end with the others where they are, unless the criterion is lower there if they move."""
        found = self.closed.end(best, zeta)
        if found.is_open:
            return found
        if found.reached:
            released = self.released.hold(found.value, found.state)
            if not released.met or released.value >= best + zeta**2 * (1.0 - RELEASED):
                return found
        return self.released.end(best, zeta)


@dataclass(frozen=True)
class MappedProfile(HeldProfile):
    """A profile followed on another scale, on which the quantity has no bounds.

    Attributes
    ----------
    inner : HeldProfile
        On that scale.
    natural, slope, unbounded : callable
        To the user's scale (increasing), its derivative, and back.
    lower, upper : float
        Smallest and largest value on the user's scale.
    """

    inner: HeldProfile
    natural: Callable[[float], float]
    slope: Callable[[float], float]
    unbounded: Callable[[float], float]
    lower: float
    upper: float

    @property
    def estimate(self) -> float:  # type: ignore[override]
        """The estimate on the user's scale."""
        return float(np.clip(self.natural(self.inner.estimate), self.lower, self.upper))

    @property
    def se(self) -> float:  # type: ignore[override]
        """Its standard error."""
        return self.slope(self.inner.estimate) * self.inner.se

    @property
    def start(self) -> Array:  # type: ignore[override]
        """All parameters at the estimate."""
        return self.inner.start

    def hold(self, value: float, state: Array) -> Held:
        """Return the minimum with the quantity at ``value``."""
        at = self.unbounded(value)
        held = self.inner.hold(at, state)
        return replace(held, slope=held.slope / self.slope(at))

    def end(self, best: float, zeta: float) -> End:
        """Return the end found on the other scale; a bound there is a bound here."""
        found = self.inner.end(best, zeta)
        bound = self.upper if zeta > 0 else self.lower
        return replace(found, value=bound if found.is_open else float(self.natural(found.value)))


@dataclass(frozen=True)
class CoefficientProfile(HeldProfile):
    """A fixed effect of a linear model, held fixed by moving its part of ``X beta`` to the response.

    Attributes
    ----------
    criterion : GaussianCriterion
    row : (p,)
        The coefficient is ``unit * row @ beta + shift`` of the inner coefficients.
    unit, shift : float
    estimate, se : float
    start : (k,)
        Covariance parameters to start from: those of the estimate, variances of zero opened.
    """

    criterion: GaussianCriterion
    row: Array
    unit: float
    shift: float
    estimate: float
    se: float
    start: Array
    lower: float = -np.inf
    upper: float = np.inf

    def hold(self, value: float, state: Array) -> Held:
        """Return the minimum with the coefficient at ``value``."""
        inner = (value - self.shift) / self.unit
        with np.errstate(all="ignore"):  # what cannot be computed is not finite, and not accepted
            try:
                found = _minimum(self.criterion.with_columns(self._columns(inner)), state)
                full = self.criterion(found.x).linear
                spread = float(self.row @ full.unscaled_cov @ self.row)
                distance = (inner - float(self.row @ full.beta)) / spread
            except FAILURES:
                return Held(np.inf, 0.0, state, False)
        point = found.point
        return Held(point.value, 2.0 * distance / (point.linear.sigma2 * self.unit), found.x, found.converged)

    def _columns(self, inner: float) -> Array:
        """Map (p + 1, p) from ``[X y]`` to the columns with ``row @ beta = inner``."""
        p = self.row.size
        out = np.zeros((p + 1, p))
        out[:p, : p - 1] = orthogonal_complement(self.row)
        out[:p, -1] = -self.row * (inner / float(self.row @ self.row))
        out[p, -1] = 1.0
        return out


def _minimum(criterion: GaussianCriterion, start: Array) -> Optimum[GaussianEvaluation]:
    """Return the minimum, searched on from variances of zero where the criterion falls if they leave it."""
    function: Callable[[Array], GaussianEvaluation] = criterion
    search = partial(minimize, function, lower=criterion.search_lower, upper=criterion.upper, tol=DECREMENT)
    found = search(start)
    for _ in range(REOPENINGS):
        further = reopened(criterion.covariance, found.point.linear)
        if further is None:
            break
        again = search(np.concatenate([further, found.x[further.size :]]))
        if not again.point.value < found.point.value:
            break
        found = again
    return found


def with_variances(slots: Sequence[TermSlot], theta: Array) -> Array:
    """Return theta with some variance in every direction of the terms ``slots`` that has next to none."""
    out = theta.copy()
    for slot in slots:
        own = out[slot.theta]
        covariance = slot.covariance.covariance(own)
        if not np.isfinite(covariance).all():
            continue
        values, vectors = np.linalg.eigh(covariance)
        null = vectors[:, values <= VANISHED * max(float(values[-1]), 1.0)]
        if null.shape[1]:
            own = slot.covariance.reopened(own, null, -np.eye(len(values)), REOPENED)
            closed = (slot.covariance.lower() == 0.0) & (np.abs(own) <= VANISHED)
            out[slot.theta] = np.where(closed, REOPENED, own)
    return out


@dataclass(frozen=True)
class Surroundings:
    """What the profiles of all quantities of a fit share.

    Attributes
    ----------
    evaluate : callable
        Minus twice the log-likelihood at ``phi`` (k,).
    phi : (k,)
        The estimate.
    covariance : (k, k)
        Its covariance, zero where there is none.
    lower, upper : (k,)
    opening : callable
        As of :class:`QuantityProfile`.
    ended : (k,)
        Parameters, other than standard deviations of zero, that the estimate has at the end of their range.
    releasable : (k,)
        Those of them that ``opening`` moves off it.
    """

    evaluate: Callable[[Array], ProfilePoint]
    phi: Array
    covariance: Array
    lower: Array
    upper: Array
    opening: Callable[[Array], Array]
    ended: BoolArray
    releasable: BoolArray

    def profile(self, quantity: Quantity, largest: float = np.inf) -> HeldProfile:
        """Return the profile of a quantity; a standard error above ``largest`` says nothing."""
        estimate, gradient = quantity.value(self.phi), quantity.gradient(self.phi)
        se = float(np.sqrt(max(float(gradient @ self.covariance @ gradient), 0.0)))
        beginning = abs(quantity.value(self.opening(self.phi)))
        if not np.isfinite(se) or (quantity.lower == 0.0 and estimate < NEARLY_ZERO * beginning):
            se = beginning
        size = min(se, largest) if np.isfinite(se) and se > 0.0 else 1.0
        estimate, ended = float(np.nan_to_num(estimate)), self.ended & (gradient == 0.0)

        def opening(phi: Array) -> Array:
            return np.where(self.ended & ~ended, phi, self.opening(phi))

        def searched(held: BoolArray) -> QuantityProfile:
            bounds = np.where(held, self.phi, self.lower), np.where(held, self.phi, self.upper)
            search = ConstrainedSearch(self.evaluate, quantity, *bounds, size)
            return QuantityProfile(search, opening, estimate, size, self.phi)

        closed, released = searched(ended), searched(ended & ~self.releasable)
        return ReleasedProfile(closed, released) if (ended & self.releasable).any() else closed
