"""The criterion of a generalised mixed model with all its parameters, and quantities of them to hold fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.mode_state import mode_state
from mixedfx.fitting.generalized import GeneralizedFit, MarginalEvaluation
from mixedfx.inference.unprofiled import Quantity

__all__ = ["Coefficient", "FamilyParameter", "GeneralizedPoint", "OfTheta"]


@dataclass(frozen=True)
class GeneralizedPoint:
    """Minus twice the log-likelihood at the inner parameters ``phi`` (k,), integrated as in the fit."""

    fit: GeneralizedFit
    phi: Array

    @cached_property
    def at(self) -> MarginalEvaluation:
        """The evaluation."""
        return self.fit.integrate(mode_state(self.fit.problem.model, self.phi, self.fit.at.state))

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


@dataclass(frozen=True)
class Coefficient(Quantity):
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
    """A function of the family-wide parameters, which stand last: ``function`` gives its value and gradient there."""

    function: Callable[[Array], tuple[float, Array]]
    count: int
    lower: float = -np.inf
    upper: float = np.inf

    def value(self, phi: Array) -> float:
        """Return the parameter on its natural scale."""
        return self.function(phi[phi.size - self.count :])[0]

    def gradient(self, phi: Array) -> Array:
        """Return its gradient (k,)."""
        own = phi[phi.size - self.count :]
        return np.concatenate([np.zeros(phi.size - self.count), self.function(own)[1]])


@dataclass(frozen=True)
class OfTheta(Quantity):
    """A quantity of theta and ``log sigma^2``, the latter 0 here, in the place where all parameters have theta."""

    inner: Quantity
    place: slice

    @property
    def lower(self) -> float:  # type: ignore[override]
        """Smallest possible value."""
        return self.inner.lower

    @property
    def upper(self) -> float:  # type: ignore[override]
        """Largest possible value."""
        return self.inner.upper

    def value(self, phi: Array) -> float:
        """Return the quantity on the user's scale."""
        return self.inner.value(np.append(phi[self.place], 0.0))

    def gradient(self, phi: Array) -> Array:
        """Return its gradient (k,)."""
        out = np.zeros(phi.size)
        out[self.place] = self.inner.gradient(np.append(phi[self.place], 0.0))[:-1]
        return out
