"""Numbers that a profile holds fixed, as smooth functions of the parameters of a fit on the inner scale."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.criterion.assembly import TermSlot

__all__ = [
    "EffectCorrelation",
    "FamilyParameter",
    "LinearQuantity",
    "OfAll",
    "PositiveParameter",
    "Quantity",
    "ResidualSd",
    "StandardDeviation",
    "StructureParameter",
]

STEP = 1e-6  # relative step of the differences of a quantity's exact gradient


class Quantity(ABC):
    """A smooth function of ``phi`` that a profile holds fixed."""

    lower: float = -np.inf
    upper: float = np.inf

    @abstractmethod
    def value(self, phi: Array) -> float:
        """Return the quantity on the user's scale."""

    @abstractmethod
    def gradient(self, phi: Array) -> Array:
        """Return its gradient (k + 1,)."""

    def hessian(self, phi: Array) -> Array:
        """Return its Hessian (k + 1, k + 1), by central differences of the gradient: a handful of tiny products."""
        steps = STEP * np.maximum(np.abs(phi), 1.0)
        rows = [
            (self.gradient(phi + h * e) - self.gradient(phi - h * e)) / (2.0 * h)
            for h, e in zip(steps, np.eye(phi.size), strict=True)
        ]
        jacobian = np.array(rows)
        return np.asarray(0.5 * (jacobian + jacobian.T))


@dataclass(frozen=True)
class ResidualSd(Quantity):
    """The residual standard deviation; ``scale`` converts from the inner scale to units of the response."""

    scale: float
    lower: float = 0.0

    def value(self, phi: Array) -> float:
        """Return ``scale exp(tau / 2)``."""
        return float(self.scale * np.exp(0.5 * phi[-1]))

    def gradient(self, phi: Array) -> Array:
        """Return the gradient (k + 1,)."""
        out = np.zeros(phi.size)
        out[-1] = 0.5 * self.value(phi)
        return out

    def hessian(self, phi: Array) -> Array:
        """Return the Hessian (k + 1, k + 1)."""
        out = np.zeros((phi.size, phi.size))
        out[-1, -1] = 0.25 * self.value(phi)
        return out


@dataclass(frozen=True)
class StructureParameter(Quantity):
    """Natural parameter number ``j`` of a residual structure, whose parameters stand in ``place``."""

    bound: BoundResidual
    j: int
    place: slice

    @cached_property
    def _range(self) -> tuple[float, float]:
        scale = self.bound.parameters.map.scales[self.j]
        with np.errstate(over="ignore"):
            low, high = sorted((scale.natural(-np.inf), scale.natural(np.inf)))
        return low, high

    @property
    def lower(self) -> float:  # type: ignore[override]
        """Smallest possible value."""
        return self._range[0]

    @property
    def upper(self) -> float:  # type: ignore[override]
        """Largest possible value."""
        return self._range[1]

    def value(self, phi: Array) -> float:
        """Return the parameter as tables show it."""
        return float(self.bound.natural(phi[self.place])[self.j])

    def gradient(self, phi: Array) -> Array:
        """Return the gradient (k + 1,)."""
        out = np.zeros(phi.size)
        out[self.place] = self.bound.natural_derivative(phi[self.place])[self.j]
        return out


@dataclass(frozen=True)
class _TermQuantity(Quantity):
    slot: TermSlot
    matrix: Array

    def _covariance(self, phi: Array) -> Array:
        half = self.matrix @ self.slot.covariance.factor(phi[self.slot.theta])
        return np.asarray(half @ half.T)

    def _derivative(self, phi: Array, i: int, j: int) -> Array:
        """Derivatives (k,) of entry (i, j) of the term's relative covariance with respect to its theta."""
        d = self.slot.covariance.covariance_derivative(phi[self.slot.theta])
        return np.asarray(d @ self.matrix[j] @ self.matrix[i])

    def _second(self, phi: Array, i: int, j: int) -> Array:
        """Second derivatives (k, k) of the entry."""
        d = self.slot.covariance.covariance_second_derivative(phi[self.slot.theta])
        return np.asarray(d @ self.matrix[j] @ self.matrix[i])


@dataclass(frozen=True)
class StandardDeviation(_TermQuantity):
    """The standard deviation of effect ``i`` of a term: ``scale exp(tau / 2) sqrt(Sigma_ii)``."""

    i: int
    scale: float
    lower: float = 0.0

    def value(self, phi: Array) -> float:
        """Return the standard deviation."""
        return float(self.scale * np.exp(0.5 * phi[-1]) * np.sqrt(max(self._covariance(phi)[self.i, self.i], 0.0)))

    def gradient(self, phi: Array) -> Array:
        """Return the gradient (k + 1,)."""
        out = np.zeros(phi.size)
        relative = np.sqrt(max(self._covariance(phi)[self.i, self.i], np.finfo(float).tiny))
        unit = self.scale * np.exp(0.5 * phi[-1])
        out[self.slot.theta] = unit * 0.5 * self._derivative(phi, self.i, self.i) / relative
        out[-1] = 0.5 * unit * relative
        return out

    def hessian(self, phi: Array) -> Array:
        """Return the Hessian (k + 1, k + 1)."""
        relative = np.sqrt(max(self._covariance(phi)[self.i, self.i], np.finfo(float).tiny))
        slope = self._derivative(phi, self.i, self.i) / (2.0 * relative)
        own = self._second(phi, self.i, self.i) / (2.0 * relative) - np.outer(slope, slope / relative)
        out = np.zeros((phi.size, phi.size))
        out[self.slot.theta, self.slot.theta] = own
        out[self.slot.theta, -1] = out[-1, self.slot.theta] = 0.5 * slope
        out[-1, -1] = 0.25 * relative
        return np.asarray(self.scale * np.exp(0.5 * phi[-1]) * out)


@dataclass(frozen=True)
class EffectCorrelation(_TermQuantity):
    """The correlation of effects ``i`` and ``j`` of a term."""

    i: int
    j: int
    lower: float = -1.0
    upper: float = 1.0

    def value(self, phi: Array) -> float:
        """Return the correlation; nan where one of the effects has no variance."""
        c = self._covariance(phi)
        size = float(np.sqrt(c[self.i, self.i]) * np.sqrt(c[self.j, self.j]))
        return min(max(float(c[self.i, self.j]) / size, -1.0), 1.0) if size > 0 else np.nan

    def gradient(self, phi: Array) -> Array:
        """Return the gradient (k + 1,)."""
        c = self._covariance(phi)
        sii, sjj, rho = c[self.i, self.i], c[self.j, self.j], self.value(phi)
        out = np.zeros(phi.size)
        if np.isnan(rho):
            out[self.slot.theta] = np.nan
            return out
        own = self._derivative(phi, self.i, self.j) / np.sqrt(sii * sjj)
        own -= 0.5 * rho * (self._derivative(phi, self.i, self.i) / sii + self._derivative(phi, self.j, self.j) / sjj)
        out[self.slot.theta] = own
        return out

    def hessian(self, phi: Array) -> Array:
        """Return the Hessian (k + 1, k + 1)."""
        c, pairs = self._covariance(phi), ((self.i, self.i), (self.j, self.j))
        size = np.sqrt(c[self.i, self.i] * c[self.j, self.j])
        ratios = [self._derivative(phi, *pair) / c[pair] for pair in pairs]
        across, rho, logs = self._derivative(phi, self.i, self.j) / size, c[self.i, self.j] / size, sum(ratios)
        slope = across - 0.5 * rho * logs
        own = self._second(phi, self.i, self.j) / size - 0.5 * (np.outer(across, logs) + np.outer(logs, slope))
        for ratio, pair in zip(ratios, pairs, strict=True):
            own -= 0.5 * rho * (self._second(phi, *pair) / c[pair] - np.outer(ratio, ratio))
        out = np.zeros((phi.size, phi.size))
        out[self.slot.theta, self.slot.theta] = own
        return out


@dataclass(frozen=True)
class LinearQuantity(Quantity):
    """A linear function of some parameters, such as a coefficient on the user's scale: ``row @ phi[place] + shift``."""

    row: Array
    place: slice
    lower: float = -np.inf
    upper: float = np.inf
    shift: float = 0.0

    def value(self, phi: Array) -> float:
        """Return the coefficient."""
        return float(self.row @ phi[self.place]) + self.shift

    def gradient(self, phi: Array) -> Array:
        """Return the gradient (k,)."""
        out = np.zeros(phi.size)
        out[self.place] = self.row
        return out

    def hessian(self, phi: Array) -> Array:
        """Return zeros (k, k)."""
        return np.zeros((phi.size, phi.size))


@dataclass(frozen=True)
class FamilyParameter(Quantity):
    """A function of the family-wide parameters ``slopes @ phi``: ``function`` gives its value and gradient there."""

    function: Callable[[Array], tuple[float, Array]]
    slopes: Array
    lower: float = -np.inf
    upper: float = np.inf

    def value(self, phi: Array) -> float:
        """Return the parameter on its natural scale."""
        return self.function(self.slopes @ phi)[0]

    def gradient(self, phi: Array) -> Array:
        """Return its gradient (k,)."""
        return np.asarray(self.function(self.slopes @ phi)[1] @ self.slopes)


@dataclass(frozen=True)
class OfAll(Quantity):
    """A quantity of some parameters, in the ``places`` (m,) that they have among all: -1 for one that it ignores."""

    inner: Quantity
    places: IntArray

    @property
    def lower(self) -> float:  # type: ignore[override]
        """Smallest possible value."""
        return self.inner.lower

    @property
    def upper(self) -> float:  # type: ignore[override]
        """Largest possible value."""
        return self.inner.upper

    def value(self, phi: Array) -> float:
        """Return the quantity."""
        return self.inner.value(self._own(phi))

    def gradient(self, phi: Array) -> Array:
        """Return its gradient (k,)."""
        out, kept = np.zeros(phi.size), self.places >= 0
        out[self.places[kept]] = self.inner.gradient(self._own(phi))[kept]
        return out

    def _own(self, phi: Array) -> Array:
        return np.where(self.places >= 0, phi[self.places], 0.0)


@dataclass(frozen=True)
class PositiveParameter(Quantity):
    """A positive number whose logarithm is the parameter at ``position``."""

    position: int
    lower: float = 0.0

    def value(self, phi: Array) -> float:
        """Return the number."""
        return float(np.exp(phi[self.position]))

    def gradient(self, phi: Array) -> Array:
        """Return its gradient (k,)."""
        out = np.zeros(phi.size)
        out[self.position] = self.value(phi)
        return out
