"""The likelihood with one quantity held fixed, and where it has fallen by a given amount."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.boundary import VarianceVerdict, reopened
from mixedfx.criterion.linear import LinearCriterion, LinearEvaluation
from mixedfx.criterion.parameters import TermSlot
from mixedfx.inference.unprofiled import Quantity
from mixedfx.linalg.gram import Gram
from mixedfx.optimize import Optimum, minimize

__all__ = [
    "CoefficientProfile",
    "End",
    "Held",
    "HeldProfile",
    "ProfilePoint",
    "QuantityProfile",
    "find_end",
    "opened",
    "quantity_profile",
]

DECREMENT = 1e-9  # how far the criterion may still fall at a constrained minimum
MISMATCH = 1e-9  # of the quantity from its fixed value, relative
ROOT_TOLERANCE = 1e-6  # of zeta at the end of an interval
OPEN_END = 1e-4  # this close to its bound, relative to the estimate's distance, an interval is open
LARGEST_MOVE = 1.0  # no parameter moves by more than this times (1 + its size) in one step
MAX_STEPS = 60
NEAR = 1.5  # a constrained minimum with at most so many times the wanted zeta is a good start for the next one
NEARLY_ZERO = 1e-3  # a standard deviation below this share of a small one starts its profile from the latter
VANISHED = 1e-8  # eigenvalue of a covariance, relative to the largest, that counts as zero
REOPENINGS = 3  # searches from a boundary that the criterion contradicts, at the most
REOPENED = 0.1  # standard deviation given to its direction


@dataclass(frozen=True)
class Held:
    """A constrained minimum.

    Attributes
    ----------
    value : float
        Minus twice the log-likelihood.
    slope : float
        Its derivative with respect to the fixed value.
    state : (k,)
        The other parameters, to start the next one from.
    """

    value: float
    slope: float
    state: Array


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


class ProfilePoint(Protocol):
    """Minus twice the log-likelihood at the parameters ``phi``."""

    @property
    def phi(self) -> Array:
        """Parameters (k,)."""

    @property
    def value(self) -> float:
        """The function; it may raise FloatingPointError, or be infinite, where it cannot be computed."""

    @property
    def gradient(self) -> Array:
        """Exact gradient (k,)."""

    @property
    def hessian(self) -> Array:
        """Hessian (k, k), exact or nearly so."""


@dataclass(frozen=True)
class QuantityProfile(HeldProfile):
    """A smooth function of the parameters, held fixed by Newton steps on the Lagrangian."""

    evaluate: Callable[[Array], ProfilePoint]
    quantity: Quantity
    estimate: float
    se: float
    start: Array

    @property
    def lower(self) -> float:  # type: ignore[override]
        """Smallest possible value."""
        return self.quantity.lower

    @property
    def upper(self) -> float:  # type: ignore[override]
        """Largest possible value."""
        return self.quantity.upper

    def hold(self, value: float, state: Array) -> Held:
        """Return the minimum with the quantity at ``value``."""
        phi, point = state, self.evaluate(state)
        normal = self.quantity.gradient(phi)
        slope = float(point.gradient @ normal) / max(float(normal @ normal), np.finfo(float).tiny)
        for _ in range(MAX_STEPS):
            gradient, normal = point.gradient, self.quantity.gradient(phi)
            gap = value - self.quantity.value(phi)
            step, slope, decrement = _lagrange_step(point, self.quantity, gradient, normal, gap, slope)
            if decrement <= DECREMENT and abs(gap) <= MISMATCH * max(abs(value), self.se):
                break
            moved = self._accepted(point, step, value, slope)
            if moved is None:
                break
            phi, point = moved.phi, moved
        return Held(point.value, slope, phi)

    def _accepted(self, point: ProfilePoint, step: Array, value: float, slope: float) -> ProfilePoint | None:
        """Backtrack on ``f + mu |h - value|``."""
        weight = 2.0 * abs(slope) + 1.0
        before = point.value + weight * abs(self.quantity.value(point.phi) - value)
        fraction = 1.0
        while fraction > 1e-8:
            moved = self.evaluate(point.phi + fraction * step)
            after = _finite_value(moved) + weight * abs(self.quantity.value(moved.phi) - value)
            if np.isfinite(after) and after <= before + 1e-11 * abs(before):
                return moved
            fraction *= 0.4
        return None


def _finite_value(point: ProfilePoint) -> float:
    """The criterion, infinite where the parameters are beyond what can be computed."""
    try:
        return point.value
    except FloatingPointError:
        return np.inf


def _lagrange_step(
    point: ProfilePoint, quantity: Quantity, gradient: Array, normal: Array, gap: float, slope: float
) -> tuple[Array, float, float]:
    """Return the Newton step to the constrained minimum, the multiplier, and the decrement along the constraint."""
    hessian = point.hessian - slope * quantity.hessian(point.phi)
    scale = 1.0 / np.sqrt(np.maximum(np.abs(hessian.diagonal()), np.finfo(float).tiny))
    B, g, a = hessian * np.outer(scale, scale), gradient * scale, normal * scale
    across = a * (gap / max(float(a @ a), np.finfo(float).tiny))
    basis = _complement(a)
    reduced = basis.T @ B @ basis
    values, vectors = np.linalg.eigh(reduced)
    magnitude = np.maximum(np.abs(values), 1e-8 * max(float(np.abs(values).max(initial=0.0)), 1e-8))
    along = vectors.T @ (basis.T @ (g + B @ across))
    step = across - basis @ (vectors @ (along / magnitude))
    multiplier = float(a @ (g + B @ step)) / max(float(a @ a), np.finfo(float).tiny)
    largest = float(np.max(np.abs(step * scale) / (1.0 + np.abs(point.phi))))
    step = step * min(1.0, LARGEST_MOVE / max(largest, np.finfo(float).tiny))
    return step * scale, multiplier, float(0.5 * np.sum(along**2 / magnitude))


def _complement(normal: Array) -> Array:
    """Return an orthonormal basis (k, k - 1) of what is orthogonal to ``normal`` (k,), by Householder's reflection."""
    mirror = normal / max(float(np.abs(normal).max()), np.finfo(float).tiny)
    mirror[0] += np.copysign(np.sqrt(mirror @ mirror), mirror[0])
    size = float(mirror @ mirror)
    if size == 0:
        return np.eye(normal.size)[:, 1:]
    return np.asarray((np.eye(normal.size) - np.outer(mirror, 2.0 / size * mirror))[:, 1:])


@dataclass(frozen=True)
class CoefficientProfile(HeldProfile):
    """A fixed effect, held fixed by moving its part of ``X beta`` to the response.

    Attributes
    ----------
    criterion : LinearCriterion
    row : (p,)
        The coefficient is ``unit * row @ beta + shift`` of the inner coefficients.
    unit, shift : float
    estimate, se : float
    start : (k,)
        Theta to start from: that of the estimate, variances of zero opened.
    """

    criterion: LinearCriterion
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
        columns = self._columns(inner)
        held = replace(self.criterion, gram=_mapped(self.criterion.gram, columns), refinement=None)
        found = _minimum(held, state)
        full = self.criterion(found.x)
        spread = float(self.row @ full.unscaled_cov @ self.row)
        distance = (inner - float(self.row @ full.beta)) / spread
        sigma2 = found.point.sigma2
        return Held(found.point.value, 2.0 * distance / (sigma2 * self.unit), found.x)

    def _columns(self, inner: float) -> Array:
        """Map (p + 1, p) from ``[X y]`` to the columns with ``row @ beta = inner``."""
        p = self.row.size
        out = np.zeros((p + 1, p))
        out[:p, : p - 1] = _complement(self.row)
        out[:p, -1] = -self.row * (inner / float(self.row @ self.row))
        out[p, -1] = 1.0
        return out


def _minimum(criterion: LinearCriterion, start: Array) -> Optimum[LinearEvaluation]:
    """Return the minimum, searched on from variances of zero where the criterion falls if they leave it."""
    model = criterion.model
    search = partial(minimize, criterion, lower=model.search_lower, upper=model.upper, tol=DECREMENT)
    found = search(start)
    for _ in range(REOPENINGS):
        further = reopened(model, found.point)
        if further is None:
            break
        again = search(further)
        if not again.point.value < found.point.value:
            break
        found = again
    return found


def _mapped(gram: Gram, columns: Array) -> Gram:
    """Cross-products with the dense columns multiplied by ``columns`` (c, c')."""
    return replace(
        gram,
        sides=tuple(side @ columns for side in gram.sides),
        remainder_side=gram.remainder_side @ columns,
        total=columns.T @ gram.total @ columns,
    )


@dataclass(frozen=True)
class End:
    """Where the profile reaches ``zeta``: an end of an interval; ``reached`` is False if it stops at a bound before."""

    value: float
    zeta: float
    reached: bool
    state: Array


def find_end(profile: HeldProfile, best: float, zeta: float) -> End:
    """Return where the signed root of the rise of the criterion equals ``zeta`` (not 0).

    Parameters
    ----------
    profile : HeldProfile
    best : float
        Minus twice the maximal log-likelihood.
    zeta : float
        Negative for the lower end.
    """
    side, target = np.sign(zeta), abs(zeta)
    bound = profile.upper if side > 0 else profile.lower
    room = abs(bound - profile.estimate)
    if np.isfinite(room) and room <= OPEN_END * max(profile.se, abs(profile.estimate)):
        return End(bound, 0.0, False, profile.start)
    inside, outside = profile.estimate, bound
    value, state = _guess(profile, zeta, bound), profile.start
    reached = 0.0
    for _ in range(MAX_STEPS):
        held = profile.hold(value, state)
        reached = float(np.sqrt(max(held.value - best, 0.0)))
        if abs(reached - target) <= ROOT_TOLERANCE * target:
            return End(value, side * reached, True, held.state)
        if reached < target:
            inside, state = value, held.state
            if np.isfinite(room) and abs(bound - value) <= OPEN_END * room:
                return End(bound, side * reached, False, held.state)
        else:
            outside = value
            state = held.state if reached < NEAR * target else state
        newton = value + (target - reached) * 2.0 * reached / held.slope if held.slope * side > 0 else np.nan
        value = _between(newton, inside, outside, side, profile.se)
    return End(value, side * reached, False, state)


def _guess(profile: HeldProfile, zeta: float, bound: float) -> float:
    """Wald's end; on the log scale for positive quantities; kept off the bound."""
    if profile.lower == 0.0 and profile.estimate > 0:
        guess = profile.estimate * float(np.exp(np.clip(zeta * profile.se / profile.estimate, -1.5, 1.5)))
    else:
        guess = profile.estimate + zeta * profile.se
    if np.isfinite(bound) and (guess - bound) * np.sign(zeta) >= 0:
        guess = 0.5 * (profile.estimate + bound)
    return guess


def _between(newton: float, inside: float, outside: float, side: float, se: float) -> float:
    """Newton's value if it lies between the points known to be inside and outside, else a cautious one."""
    if np.isfinite(newton) and (newton - inside) * side > 0 and (outside - newton) * side > 0:
        return float(newton)
    if np.isfinite(outside):
        return 0.5 * (inside + outside)
    return float(inside + side * 2.0 * max(se, abs(inside) * 0.1))


def opened(slots: Sequence[TermSlot], verdicts: Sequence[VarianceVerdict], theta: Array) -> Array:
    """Return theta with some variance given to singular terms: where a standard deviation is 0 its slope vanishes."""
    out = theta.copy()
    for slot, verdict in zip(slots, verdicts, strict=True):
        if verdict.rank < verdict.size:
            own = out[slot.theta]
            values, vectors = np.linalg.eigh(slot.covariance.covariance(own))
            null = vectors[:, values <= VANISHED * max(float(values[-1]), 1.0)]
            if null.shape[1]:
                out[slot.theta] = slot.covariance.reopened(own, null, -np.eye(len(values)), REOPENED)
    return out


def quantity_profile(
    evaluate: Callable[[Array], ProfilePoint], quantity: Quantity, phi: Array, covariance: Array, start: Array
) -> QuantityProfile:
    """Return the profile of a quantity about the estimate ``phi`` with its ``covariance``, searched from ``start``."""
    estimate = quantity.value(phi)
    gradient = quantity.gradient(phi)
    se = float(np.sqrt(max(float(gradient @ covariance @ gradient), 0.0)))
    beginning = quantity.value(start)
    if not np.isfinite(se) or (quantity.lower == 0.0 and estimate < NEARLY_ZERO * beginning):
        se = beginning
    return QuantityProfile(evaluate, quantity, float(np.nan_to_num(estimate)), se, start)
