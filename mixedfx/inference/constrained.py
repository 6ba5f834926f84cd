"""Minima of a smooth function of parameters between bounds, with one quantity of them held fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.fitting.quantities import Quantity
from mixedfx.optimize import SECANT_REGION, minimize, secant

__all__ = ["DECREMENT", "FAILURES", "Constrained", "ConstrainedSearch", "ProfilePoint", "orthogonal_complement"]

DECREMENT = 1e-9  # predicted fall of the function at which a constrained minimum is accepted
TOLERABLE = 1e-6  # the same, when the search cannot make further progress
MISMATCH = 1e-9  # relative distance of the quantity from its fixed value that is tolerated
LARGEST_MOVE = 1.0  # no parameter moves by more than this times (1 + its size) in one step
MAX_STEPS = 50
SMALLEST_FRACTION = 1e-8  # smallest share of a step that is tried
RELEASES = 4  # rounds of holding parameters at bounds that the step would cross
PENALTY = 20.0  # weight of the squared mismatch (in standard errors), used when Newton steps fail
PENALTY_ROUNDS, PENALTY_GROWTH, ENOUGH = 12, 10.0, 0.25  # the penalty grows where a round leaves a larger share
PENALTY_EVALUATIONS = 100  # in all rounds together
SHARE, NEAR_END = 0.9, 1e-3  # share of the way to its bound that a correlation may go in one step, unless it is near
CLOSE = 1e-6  # mismatch, in standard errors, that a linear correction removes
FAILURES = (ArithmeticError, np.linalg.LinAlgError)  # raised where the function cannot be computed


class ProfilePoint(Protocol):
    """A function evaluated at ``phi``; where it cannot be computed, its parts raise or are not finite."""

    @property
    def phi(self) -> Array:
        """Parameters (k,)."""

    @property
    def value(self) -> float:
        """The function."""

    @property
    def gradient(self) -> Array:
        """Exact gradient (k,)."""

    @property
    def hessian(self) -> Array:
        """Hessian (k, k), exact or nearly so."""

    @property
    def hessian_is_exact(self) -> bool:
        """Whether it is the Hessian itself."""


@dataclass(frozen=True)
class Constrained:
    """The end of a search.

    Attributes
    ----------
    value : float
        The function.
    slope : float
        Its derivative with respect to the fixed value.
    phi : (k,)
    converged : bool
        Whether this is a minimum at which the quantity has its fixed value.
    feasible : bool
        Whether the quantity has its fixed value; the true minimum is then no higher than ``value``.
    """

    value: float
    slope: float
    phi: Array
    converged: bool
    feasible: bool = False


@dataclass(frozen=True)
class ConstrainedSearch:
    """A function, the quantity to hold fixed, and bounds (k,) of the parameters; equal bounds fix a parameter.

    Attributes
    ----------
    size : float
        Scale of the quantity, such as its standard error.
    """

    evaluate: Callable[[Array], ProfilePoint]
    quantity: Quantity
    lower: Array
    upper: Array
    size: float

    def minimum(self, value: float, start: Array) -> Constrained:
        """Search with the quantity at ``value`` from ``start`` (k,): Newton steps, and a penalty where they fail."""
        with np.errstate(all="ignore"):  # points that cannot be computed are not finite, and are rejected
            start = np.clip(start, self.lower, self.upper)
            optimum = self._newton(value, start)
            if optimum.converged:
                return optimum
            again = self._penalised(value, optimum.phi if np.isfinite(optimum.phi).all() else start)
            return again if again.converged else optimum

    def _at(self, phi: Array) -> ProfilePoint | None:
        """The point, or None where the function or its gradient cannot be computed."""
        try:
            point = self.evaluate(phi)
            fine = bool(np.isfinite(point.value)) and bool(np.isfinite(point.gradient).all())
        except FAILURES:
            return None
        return point if fine else None

    def _newton(self, value: float, start: Array) -> Constrained:
        """Newton steps on the Lagrangian, between the bounds."""
        point = self._at(start)
        if point is None:
            return Constrained(np.inf, 0.0, start, False)
        normal = self.quantity.gradient(point.phi)
        slope = float(point.gradient @ normal) / max(float(normal @ normal), np.finfo(float).tiny)
        correction, remaining = np.zeros((start.size, start.size)), np.inf
        for _ in range(MAX_STEPS):
            gap = value - self.quantity.value(point.phi)
            try:
                step = self._step(point, correction, gap, slope)
            except FAILURES:
                break
            slope = step.multiplier
            remaining = step.decrement if abs(gap) <= MISMATCH * max(abs(value), self.size) else np.inf
            if remaining <= DECREMENT:
                break
            moved = self._accepted(point, step.move, value, slope)
            if moved is None:
                break
            if not moved.hessian_is_exact and step.decrement < SECANT_REGION:
                change = moved.gradient - point.gradient
                correction = secant(correction, moved.phi - point.phi, change, moved.hessian)
            point = moved
        return Constrained(point.value, slope, point.phi, remaining <= TOLERABLE, bool(np.isfinite(remaining)))

    def _step(self, point: ProfilePoint, correction: Array, gap: float, slope: float) -> _Step:
        """The step, parameters held that would cross their bounds."""
        hessian = point.hessian + correction - slope * self.quantity.hessian(point.phi)
        normal = self.quantity.gradient(point.phi)
        if not (np.isfinite(hessian).all() and np.isfinite(normal).all()):
            raise FloatingPointError("its derivatives are not finite")
        free: BoolArray = self.lower < self.upper
        for _ in range(RELEASES):
            step = _lagrange_step(point, hessian, normal, gap, free)
            crossing = (point.phi <= self.lower) & (step.move < 0) | (point.phi >= self.upper) & (step.move > 0)
            if not (crossing & free).any():
                break
            free = free & ~crossing
        return step

    def _accepted(self, point: ProfilePoint, step: Array, value: float, slope: float) -> ProfilePoint | None:
        """Backtrack on ``f + mu |h - value|``."""
        weight = 2.0 * abs(slope) + 1.0
        before = point.value + weight * abs(self.quantity.value(point.phi) - value)
        fraction = 1.0
        while fraction > SMALLEST_FRACTION:
            moved = self._at(self._towards(point.phi, fraction * step))
            if moved is not None:
                after = moved.value + weight * abs(self.quantity.value(moved.phi) - value)
                if np.isfinite(after) and after <= before + 1e-11 * abs(before):
                    return moved
            fraction *= 0.4
        return None

    def _towards(self, phi: Array, move: Array) -> Array:
        """The parameters after a move; a correlation far from its end goes only part of the way there at once."""
        last = np.minimum(phi - self.lower, self.upper - phi) < NEAR_END
        share = np.where(np.isfinite(self.lower) & np.isfinite(self.upper) & ~last, SHARE, 1.0)
        return np.asarray(phi + np.clip(move, share * (self.lower - phi), share * (self.upper - phi)))

    def _penalised(self, value: float, start: Array) -> Constrained:
        """Minimise the augmented Lagrangian (Nocedal & Wright 2006, Numerical Optimization, section 17.3)."""
        multiplier, weight, before, phi, left = 0.0, PENALTY, np.inf, start, PENALTY_EVALUATIONS
        for _ in range(PENALTY_ROUNDS):
            target = _Augmented(self, value, multiplier, weight)
            try:
                optimum = minimize(
                    target, phi, self.lower, self.upper, tol=DECREMENT, max_iter=left, max_evaluations=left
                )
            except FAILURES:
                break
            phi, point, left = optimum.x, optimum.point, left - optimum.evaluations
            off = point.mismatch
            multiplier += weight * off
            if abs(off) <= CLOSE and optimum.decrement <= TOLERABLE:
                slope = -multiplier / self.size
                return Constrained(point.inner.value - slope * off * self.size, slope, phi, True)
            if left <= 0:
                break
            weight *= PENALTY_GROWTH if abs(off) > ENOUGH * before else 1.0
            before = abs(off)
        return Constrained(np.inf, 0.0, phi, False)


@dataclass(frozen=True)
class _Augmented:
    """``f + lambda c + w c^2 / 2`` with the mismatch ``c`` in units of the search's size."""

    search: ConstrainedSearch
    wanted: float
    multiplier: float
    weight: float

    def __call__(self, phi: Array) -> _AugmentedPoint:
        return _AugmentedPoint(self, phi, self.search.evaluate(phi))


@dataclass(frozen=True)
class _AugmentedPoint:
    target: _Augmented
    phi: Array
    inner: ProfilePoint

    @cached_property
    def mismatch(self) -> float:
        search = self.target.search
        return (search.quantity.value(self.phi) - self.target.wanted) / search.size

    @cached_property
    def _pull(self) -> float:
        return self.target.multiplier + self.target.weight * self.mismatch

    @cached_property
    def _normal(self) -> Array:
        return self.target.search.quantity.gradient(self.phi) / self.target.search.size

    @cached_property
    def value(self) -> float:
        off = self.mismatch
        value = self.inner.value + self.target.multiplier * off + 0.5 * self.target.weight * off**2
        return value if np.isfinite(value) else np.inf

    @cached_property
    def gradient(self) -> Array:
        return self.inner.gradient + self._pull * self._normal

    @cached_property
    def curvature(self) -> Array:
        bend = self.target.search.quantity.hessian(self.phi) * (self._pull / self.target.search.size)
        return np.asarray(self.inner.hessian + bend + self.target.weight * np.outer(self._normal, self._normal))

    @property
    def curvature_is_exact(self) -> bool:
        return self.inner.hessian_is_exact


@dataclass(frozen=True)
class _Step:
    move: Array
    multiplier: float
    decrement: float


def _lagrange_step(point: ProfilePoint, hessian: Array, normal: Array, gap: float, free: BoolArray) -> _Step:
    """Return the Newton step to the constrained minimum, the multiplier, and the decrement along the constraint."""
    tiny = np.finfo(float).tiny
    h, gradient, across_h = hessian[np.ix_(free, free)], point.gradient[free], normal[free]
    scale = 1.0 / np.sqrt(np.maximum(np.abs(h.diagonal()), tiny))
    B, g, a = h * np.outer(scale, scale), gradient * scale, across_h * scale
    across = a * (gap / max(float(a @ a), tiny))
    basis = orthogonal_complement(a) if a.size else np.zeros((0, 0))
    reduced = basis.T @ B @ basis
    values, vectors = np.linalg.eigh(reduced)
    magnitude = np.maximum(np.abs(values), 1e-8 * max(float(np.abs(values).max(initial=0.0)), 1e-8))
    along = vectors.T @ (basis.T @ (g + B @ across))
    step = across - basis @ (vectors @ (along / magnitude))
    multiplier = float(a @ (g + B @ step)) / max(float(a @ a), tiny)
    largest = float(np.max(np.abs(step * scale) / (1.0 + np.abs(point.phi[free])), initial=0.0))
    move = np.zeros(point.phi.size)
    move[free] = step * scale * min(1.0, LARGEST_MOVE / max(largest, tiny))
    return _Step(move, multiplier, float(0.5 * np.sum(along**2 / magnitude)))


def orthogonal_complement(normal: Array) -> Array:
    """Return an orthonormal basis (k, k - 1) of what is orthogonal to ``normal`` (k,), by Householder's reflection."""
    mirror = normal / max(float(np.abs(normal).max()), np.finfo(float).tiny)
    mirror[0] += np.copysign(np.sqrt(mirror @ mirror), mirror[0])
    size = float(mirror @ mirror)
    if size == 0:
        return np.eye(normal.size)[:, 1:]
    return np.asarray((np.eye(normal.size) - np.outer(mirror, 2.0 / size * mirror))[:, 1:])
