"""The likelihood with one quantity held fixed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.boundary import reopened
from mixedfx.criterion.evaluation import GaussianCriterion, GaussianEvaluation
from mixedfx.fitting.likelihood import Likelihood, with_variances
from mixedfx.fitting.quantities import Quantity
from mixedfx.fitting.reported import NaturalScale, Reported
from mixedfx.inference.constrained import DECREMENT, FAILURES, ConstrainedSearch, orthogonal_complement
from mixedfx.inference.profile_ends import End, Held, find_end
from mixedfx.optimize import Optimum, minimize

__all__ = [
    "CoefficientProfile",
    "HeldProfile",
    "MappedProfile",
    "QuantityProfile",
    "ReleasedProfile",
    "profiles",
]

NEARLY_ZERO = 1e-3  # a standard deviation below this share of a small one starts its profile from the latter
REOPENINGS = 3  # searches from a boundary that the criterion contradicts, at the most
LARGEST_ERROR = 3.0  # on a scale of logarithms or logits: a larger standard error says nothing
RELEASED = 1e-4  # of the wanted rise: what parameters that leave their end may lower it by, unnoticed


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
    scale : NaturalScale
        From there to the user's scale (increasing).
    lower, upper : float
        Smallest and largest value on the user's scale.
    """

    inner: HeldProfile
    scale: NaturalScale
    lower: float
    upper: float

    @property
    def estimate(self) -> float:  # type: ignore[override]
        """The estimate on the user's scale."""
        return float(np.clip(self.scale.natural(self.inner.estimate), self.lower, self.upper))

    @property
    def se(self) -> float:  # type: ignore[override]
        """Its standard error."""
        return self.scale.slope(self.inner.estimate) * self.inner.se

    @property
    def start(self) -> Array:  # type: ignore[override]
        """All parameters at the estimate."""
        return self.inner.start

    def hold(self, value: float, state: Array) -> Held:
        """Return the minimum with the quantity at ``value``."""
        at = self.scale.unbounded(value)
        held = self.inner.hold(at, state)
        return replace(held, slope=held.slope / self.scale.slope(at))

    def end(self, best: float, zeta: float) -> End:
        """Return the end found on the other scale; a bound there is a bound here."""
        found = self.inner.end(best, zeta)
        bound = self.upper if zeta > 0 else self.lower
        return replace(found, value=bound if found.is_open else float(self.scale.natural(found.value)))


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

    @classmethod
    def of(cls, fit: Any, name: str) -> CoefficientProfile:
        """Return the profile of the fixed effect of that name."""
        basis, at, j = fit.problem.basis, fit.at, list(fit.problem.design.fixed.names).index(name)
        row, k = basis.matrix[j], fit.problem.covariance.n_theta
        se = basis.scale * float(np.sqrt(at.sigma2 * (row @ at.unscaled_cov @ row)))
        start = np.concatenate([with_variances(fit.problem.covariance.terms, fit.point.x[:k]), fit.point.x[k:]])
        estimate = float(basis.beta(at.beta)[j])
        return cls(fit.problem.criterion, row, basis.scale, float(basis.origin[j]), estimate, se, start)

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


def profiles(fit: Any) -> dict[str, HeldProfile]:
    """Return the profile of every number that a fit reports, by name; a correlation that others determine has none."""
    around = fit.likelihood
    return {number.name: _profile(fit, around, number) for number in fit.reported if not number.is_tied}


def _profile(fit: Any, around: Likelihood, number: Reported) -> HeldProfile:
    if number.quantity is None:  # profiled out of the criterion, which can hold it in the response
        return CoefficientProfile.of(fit, number.name)
    if number.unbounded is None:
        return _quantity_profile(around, number.quantity)
    inner = _quantity_profile(around, number.unbounded, LARGEST_ERROR)
    return MappedProfile(inner, number.scale, number.lower, number.upper)


def _quantity_profile(around: Likelihood, quantity: Quantity, largest: float = np.inf) -> HeldProfile:
    """The profile of a quantity; a standard error above ``largest`` says nothing."""
    estimate, gradient = quantity.value(around.phi), quantity.gradient(around.phi)
    se = float(np.sqrt(max(float(gradient @ around.covariance @ gradient), 0.0)))
    beginning = abs(quantity.value(around.opening(around.phi)))
    if not np.isfinite(se) or (quantity.lower == 0.0 and estimate < NEARLY_ZERO * beginning):
        se = beginning
    size = min(se, largest) if np.isfinite(se) and se > 0.0 else 1.0
    estimate, ended = float(np.nan_to_num(estimate)), around.ended & (gradient == 0.0)

    def opening(phi: Array) -> Array:
        return np.where(around.ended & ~ended, phi, around.opening(phi))

    def searched(held: BoolArray) -> QuantityProfile:
        bounds = np.where(held, around.phi, around.lower), np.where(held, around.phi, around.upper)
        search = ConstrainedSearch(around.evaluate, quantity, *bounds, size)
        return QuantityProfile(search, opening, estimate, size, around.phi)

    closed, released = searched(ended), searched(ended & ~around.releasable)
    return ReleasedProfile(closed, released) if (ended & around.releasable).any() else closed
