"""The criterion of a generalised mixed model with all its parameters, and quantities of them to hold fixed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.mode_state import mode_state
from mixedfx.fitting.generalized import GeneralizedFit, MarginalEvaluation
from mixedfx.inference.unprofiled import Quantity

__all__ = ["FixedEffect", "GeneralizedPoint", "OfTheta"]


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
        return self.at.curvature + (self.fit.hessian - self.fit.at.curvature)


@dataclass(frozen=True)
class FixedEffect(Quantity):
    """A fixed effect on the user's scale: ``row @ beta`` of the inner ones."""

    row: Array

    def value(self, phi: Array) -> float:
        """Return the coefficient."""
        return float(self.row @ phi[: self.row.size])

    def gradient(self, phi: Array) -> Array:
        """Return the gradient (k,)."""
        return np.concatenate([self.row, np.zeros(phi.size - self.row.size)])

    def hessian(self, phi: Array) -> Array:
        """Return zeros (k, k)."""
        return np.zeros((phi.size, phi.size))


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
