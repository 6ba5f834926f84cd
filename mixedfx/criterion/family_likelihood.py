"""The rows of a response under a family, as the criteria want them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.criterion.expansion import AuxiliaryPart, Curve, Expansion
from mixedfx.families.base import Family
from mixedfx.families.observed import Observed

__all__ = ["EXPECTED", "OBSERVED", "FamilyLikelihood", "Information"]

STENCIL = ((1.0, 8.0), (2.0, -1.0))  # five-point rule: offsets and weights / 12
STENCIL_STEP = 1e-3


@dataclass(frozen=True)
class FamilyLikelihood:
    """A family and what it observed.

    The auxiliary variables are the family's linear predictors after the first, then its family-wide parameters.
    """

    family: Family
    observed: Observed
    information: Information

    @property
    def n_predictors(self) -> int:
        """Number of linear predictors."""
        return len(self.family.predictors)

    @property
    def n_auxiliary(self) -> int:
        """Number of auxiliary variables."""
        return self.n_predictors - 1 + len(self.family.phi_names)

    def arguments(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array]:
        """Return the linear predictors as the family takes them, and the family-wide parameters."""
        further = self.n_predictors - 1
        phi = np.array([float(value) for value in auxiliary[further:]])
        if not further:
            return eta, phi
        return np.stack(np.broadcast_arrays(eta, *auxiliary[:further]), axis=-1), phi

    def value(self, eta: Array, auxiliary: Sequence[Array]) -> Array:
        """Return the log-likelihood of every row."""
        return self.family.derivatives(self.observed, *self.arguments(eta, auxiliary), order=0)[0]

    def quadratic(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Return the log-likelihood up to what does not depend on ``eta``, its derivative, minus the second one."""
        arguments = self.arguments(eta, auxiliary)
        value, gradient, second = self.family.mean_derivatives(self.observed, *arguments, order=2)
        return value, gradient, -second

    def scores(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array, tuple[Array, ...]]:
        """Return the log-likelihood and its first derivatives in ``eta`` and in the auxiliary variables."""
        arguments = self.arguments(eta, auxiliary)
        value, gradient = self.family.derivatives(self.observed, *arguments, order=1)
        phi = self.family.phi_derivatives(self.observed, *arguments, order=0)
        if self.n_predictors == 1:
            return value, gradient, tuple(phi[0][..., j] for j in range(self.n_auxiliary))
        further = tuple(gradient[..., k] for k in range(1, self.n_predictors))
        return value, gradient[..., 0], further + tuple(phi[0][..., j] for j in range(phi[0].shape[-1]))

    def expansion(self, eta: Array, auxiliary: Sequence[Array]) -> Expansion:
        """Return everything up to the third order."""
        arguments = self.arguments(eta, auxiliary)
        (value, first, second, third), phi = self.family.all_derivatives(self.observed, *arguments)
        parts: list[AuxiliaryPart] = []
        curves: list[Array] = []
        if self.n_predictors > 1:
            for k in range(1, self.n_predictors):
                parts.append(AuxiliaryPart(first[..., k], second[..., 0, k]))
                curves.append(-third[..., 0, 0, k])
            first, second, third = first[..., 0], second[..., 0, 0], third[..., 0, 0, 0]
            phi = (phi[0], phi[1][..., 0, :], phi[2][..., 0, 0, :])
        for j in range(len(self.family.phi_names)):
            parts.append(AuxiliaryPart(phi[0][..., j], phi[1][..., j]))
            curves.append(-phi[2][..., j])
        observed = Curve(-second, -third, tuple(curves))
        determinant = self.information.curve(self, observed, eta, auxiliary)
        return Expansion(value, first, observed, determinant, tuple(parts))


class Information(ABC):
    """Which weights the determinant of the Laplace approximation is made of."""

    @abstractmethod
    def curve(self, rows: FamilyLikelihood, observed: Curve, eta: Array, auxiliary: Sequence[Array]) -> Curve:
        """Return the weights and their derivatives at ``eta`` (n,)."""


class _Observed(Information):
    """Minus the second derivative of the log-likelihood: the Laplace approximation proper."""

    def curve(self, rows: FamilyLikelihood, observed: Curve, eta: Array, auxiliary: Sequence[Array]) -> Curve:
        return observed


class _Expected(Information):
    """Fisher's expected information, as in Fisher scoring."""

    def curve(self, rows: FamilyLikelihood, observed: Curve, eta: Array, auxiliary: Sequence[Array]) -> Curve:
        def weights(*values: Array) -> Array:
            return rows.family.expected_weights(rows.observed, *rows.arguments(values[0], values[1:]))

        values = [eta, *auxiliary]
        slopes = [_slope(weights, values, position) for position in range(len(values))]
        return Curve(weights(*values), slopes[0], tuple(slopes[1:]))


def _slope(function: Callable[..., Array], values: Sequence[Array], position: int) -> Array:
    """Derivative in one argument, row by row, by a five-point rule (relative error about 1e-12)."""
    total: Array | float = 0.0
    for offset, weight in STENCIL:
        for sign in (1.0, -1.0):
            moved = list(values)
            moved[position] = values[position] + sign * offset * STENCIL_STEP
            total = total + sign * weight * function(*moved)
    return np.asarray(total / (12.0 * STENCIL_STEP))


OBSERVED: Information = _Observed()
EXPECTED: Information = _Expected()
