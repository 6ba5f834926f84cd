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
from mixedfx.fitting import Fit
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


@dataclass(frozen=True, kw_only=True)
class HeldProfile(ABC):
    """The profile of one quantity.

    Attributes
    ----------
    estimate, se : float
        On the user's scale.
    start : (k,)
        The other parameters at the estimate.
    lower, upper : float
        Smallest and largest possible value.
    """

    estimate: float
    se: float
    start: Array
    lower: float = -np.inf
    upper: float = np.inf

    @abstractmethod
    def hold(self, value: float, state: Array) -> Held:
        """Minimise with the quantity fixed at ``value``, starting from ``state``."""

    def end(self, best: float, zeta: float) -> End:
        """Return where the signed root of the rise of the criterion above ``best`` equals ``zeta`` (not 0)."""
        return find_end(self, best, zeta)


@dataclass(frozen=True, kw_only=True)
class QuantityProfile(HeldProfile):
    """A smooth function of the parameters.

    Attributes
    ----------
    search : ConstrainedSearch
    opening : callable
        Moves parameters at the end of their range (a standard deviation of zero) off it, where their slope vanishes.
    """

    search: ConstrainedSearch
    opening: Callable[[Array], Array]

    def hold(self, value: float, state: Array) -> Held:
        """Return the minimum with the quantity at ``value``."""
        minimum = self.search.minimum(value, self.opening(state))
        if not minimum.converged and not np.array_equal(state, self.start):
            minimum = self.search.minimum(value, self.opening(self.start))
        phi = minimum.phi if minimum.converged else state
        return Held(minimum.value, minimum.slope, phi, minimum.converged, minimum.feasible)


@dataclass(frozen=True, kw_only=True)
class ReleasedProfile(HeldProfile):
    """A profile while other parameters are at the end of their range: they may leave it where this one is held.

    Attributes
    ----------
    closed, released : QuantityProfile
        With those parameters where they are, which is quick, and with all of them free.
    """

    closed: QuantityProfile
    released: QuantityProfile

    @classmethod
    def of(cls, closed: QuantityProfile, released: QuantityProfile) -> ReleasedProfile:
        """Return the profile of both."""
        return cls(
            estimate=closed.estimate,
            se=closed.se,
            start=closed.start,
            lower=closed.lower,
            upper=closed.upper,
            closed=closed,
            released=released,
        )

    def hold(self, value: float, state: Array) -> Held:
        """Return the lower one of both minima."""
        minima = [self.closed.hold(value, state), self.released.hold(value, state)]
        return min(minima, key=lambda held: held.value if held.converged else np.inf)

    def end(self, best: float, zeta: float) -> End:
        """Return the end with the others where they are, unless the criterion is lower there if they move."""
        end = self.closed.end(best, zeta)
        if end.is_open:
            return end
        if end.reached:
            released = self.released.hold(end.value, end.state)
            if not released.converged or released.value >= best + zeta**2 * (1.0 - RELEASED):
                return end
        return self.released.end(best, zeta)


@dataclass(frozen=True, kw_only=True)
class MappedProfile(HeldProfile):
    """A profile followed on another scale, on which the quantity has no bounds.

    Attributes
    ----------
    inner : HeldProfile
        On that scale.
    scale : NaturalScale
        From there to the user's scale (increasing).
    """

    inner: HeldProfile
    scale: NaturalScale

    @classmethod
    def of(cls, inner: HeldProfile, number: Reported) -> MappedProfile:
        """Return the profile of a number that ``inner`` follows on its unbounded scale."""
        estimate = float(np.clip(number.scale.natural(inner.estimate), number.lower, number.upper))
        return cls(
            estimate=estimate,
            se=number.scale.slope(inner.estimate) * inner.se,
            start=inner.start,
            lower=number.lower,
            upper=number.upper,
            inner=inner,
            scale=number.scale,
        )

    def hold(self, value: float, state: Array) -> Held:
        """Return the minimum with the quantity at ``value``."""
        at = self.scale.unbounded(value)
        held = self.inner.hold(at, state)
        return replace(held, slope=held.slope / self.scale.slope(at))

    def end(self, best: float, zeta: float) -> End:
        """Return the end found on the other scale; a bound there is a bound here."""
        end = self.inner.end(best, zeta)
        bound = self.upper if zeta > 0 else self.lower
        return replace(end, value=bound if end.is_open else float(self.scale.natural(end.value)))


@dataclass(frozen=True, kw_only=True)
class CoefficientProfile(HeldProfile):
    """A fixed effect of a linear model, held fixed by moving its part of ``X beta`` to the response.

    It starts from the covariance parameters of the estimate, variances of zero opened.

    Attributes
    ----------
    criterion : GaussianCriterion
    row : (p,)
        The coefficient is ``unit * row @ beta + shift`` of the inner coefficients.
    unit, shift : float
    """

    criterion: GaussianCriterion
    row: Array
    unit: float
    shift: float

    @classmethod
    def of(cls, fit: Any, name: str) -> CoefficientProfile:
        """Return the profile of the fixed effect of that name."""
        basis, j = fit.problem.basis, list(fit.design.fixed.names).index(name)
        row, k = basis.matrix[j], fit.problem.covariance.n_theta
        se = float(np.sqrt(fit.beta_covariance[j, j]))
        start = np.concatenate([with_variances(fit.problem.covariance.terms, fit.point.x[:k]), fit.point.x[k:]])
        return cls(
            estimate=float(fit.beta[j]),
            se=se,
            start=start,
            criterion=fit.problem.criterion,
            row=row,
            unit=basis.scale,
            shift=float(basis.origin[j]),
        )

    def hold(self, value: float, state: Array) -> Held:
        """Return the minimum with the coefficient at ``value``."""
        inner = (value - self.shift) / self.unit
        with np.errstate(all="ignore"):  # what cannot be computed is not finite, and not accepted
            try:
                optimum = _minimum(self.criterion.with_columns(self._columns(inner)), state)
                full = self.criterion(optimum.x).linear
                spread = float(self.row @ full.unscaled_cov @ self.row)
                distance = (inner - float(self.row @ full.beta)) / spread
            except FAILURES:
                return Held(np.inf, 0.0, state, False)
        point = optimum.point
        return Held(point.value, 2.0 * distance / (point.linear.sigma2 * self.unit), optimum.x, optimum.converged)

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
    optimum = search(start)
    for _ in range(REOPENINGS):
        further = reopened(criterion.covariance, optimum.point.linear)
        if further is None:
            break
        again = search(np.concatenate([further, optimum.x[further.size :]]))
        if not again.point.value < optimum.point.value:
            break
        optimum = again
    return optimum


def profiles(fit: Fit) -> dict[str, HeldProfile]:
    """Return the profile of every number that a fit reports, by name; a correlation that others determine has none."""
    around = fit.likelihood
    return {number.name: _profile(fit, around, number) for number in fit.reported if not number.is_tied}


def _profile(fit: Fit, around: Likelihood, number: Reported) -> HeldProfile:
    if number.quantity is None:  # profiled out of the criterion, which can hold it in the response
        return CoefficientProfile.of(fit, number.name)
    if number.unbounded is None:
        return _quantity_profile(around, number.quantity)
    inner = _quantity_profile(around, number.unbounded, LARGEST_ERROR)
    return MappedProfile.of(inner, number)


def _opened_but(opening: Callable[[Array], Array], kept: BoolArray, phi: Array) -> Array:
    """Return ``phi`` (k,) opened, except what is ``kept``."""
    return np.where(kept, phi, opening(phi))


def _quantity_profile(around: Likelihood, quantity: Quantity, largest: float = np.inf) -> HeldProfile:
    """The profile of a quantity; a standard error above ``largest`` says nothing."""
    estimate, gradient = quantity.value(around.phi), quantity.gradient(around.phi)
    se = float(np.sqrt(max(float(gradient @ around.covariance @ gradient), 0.0)))
    beginning = abs(quantity.value(around.opening(around.phi)))
    if not np.isfinite(se) or (quantity.lower == 0.0 and estimate < NEARLY_ZERO * beginning):
        se = beginning
    size = min(se, largest) if np.isfinite(se) and se > 0.0 else 1.0
    estimate, ended = float(np.nan_to_num(estimate)), around.ended & (gradient == 0.0)

    opening = partial(_opened_but, around.opening, around.ended & ~ended)

    def searched(held: BoolArray) -> QuantityProfile:
        bounds = np.where(held, around.phi, around.lower), np.where(held, around.phi, around.upper)
        search = ConstrainedSearch(around.evaluate, quantity, *bounds, size)
        return QuantityProfile(
            estimate=estimate,
            se=size,
            start=around.phi,
            lower=quantity.lower,
            upper=quantity.upper,
            search=search,
            opening=opening,
        )

    closed, released = searched(ended), searched(ended & ~around.releasable)
    return ReleasedProfile.of(closed, released) if (ended & around.releasable).any() else closed
