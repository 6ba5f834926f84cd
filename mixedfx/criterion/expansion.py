"""What a criterion needs of a family: row-wise log-likelihoods with derivatives, as plain arrays.

The first linear predictor carries the random effects. Everything else that the likelihood depends on (further linear
predictors, family-wide parameters) is an *auxiliary* variable: a value a row, or one value for all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mixedfx._typing import Array

__all__ = ["AuxiliaryPart", "Curve", "Expansion", "RowLikelihood"]


@dataclass(frozen=True)
class Curve:
    """A positive-by-intention weight of every row (n,) with its derivatives.

    Attributes
    ----------
    weight : (n,)
    slope : (n,)
        Derivative in the first linear predictor.
    auxiliary : tuple of (n,)
        Derivatives in the auxiliary variables.
    """

    weight: Array
    slope: Array
    auxiliary: tuple[Array, ...]

    def take(self, place: int) -> Curve:
        """Return one of several points that were expanded together (leading axis)."""
        return Curve(self.weight[place], self.slope[place], tuple(part[place] for part in self.auxiliary))


@dataclass(frozen=True)
class AuxiliaryPart:
    """Derivatives (n,) of the log-likelihood in one auxiliary variable: itself, and once more in the predictor."""

    slope: Array
    mixed: Array


@dataclass(frozen=True)
class Expansion:
    """The log-likelihood of all rows around their linear predictor.

    Attributes
    ----------
    value, gradient : (n,)
        Log-likelihood and its derivative in the first linear predictor.
    observed : Curve
        Minus the second derivative, and how it changes.
    determinant : Curve
        The weights of the determinant in the Laplace approximation: ``observed``, or the expected information.
    auxiliary : tuple of AuxiliaryPart
    """

    value: Array
    gradient: Array
    observed: Curve
    determinant: Curve
    auxiliary: tuple[AuxiliaryPart, ...]

    def take(self, place: int) -> Expansion:
        """Return one of several points that were expanded together (leading axis)."""
        observed = self.observed.take(place)
        same = self.determinant is self.observed
        parts = tuple(AuxiliaryPart(part.slope[place], part.mixed[place]) for part in self.auxiliary)
        determinant = observed if same else self.determinant.take(place)
        return Expansion(self.value[place], self.gradient[place], observed, determinant, parts)


class RowLikelihood(Protocol):
    """A response with its family; ``eta`` may have leading axes (…, n), auxiliary values are scalars or (n,)."""

    @property
    def n_auxiliary(self) -> int:
        """Number of auxiliary variables."""

    def value(self, eta: Array, auxiliary: Sequence[Array]) -> Array:
        """Return the log-likelihood of every row."""

    def quadratic(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Return the log-likelihood, its derivative in ``eta`` and minus the second derivative."""

    def scores(self, eta: Array, auxiliary: Sequence[Array]) -> tuple[Array, Array, tuple[Array, ...]]:
        """Return the log-likelihood and its first derivatives in ``eta`` and in the auxiliary variables."""

    def expansion(self, eta: Array, auxiliary: Sequence[Array]) -> Expansion:
        """Return everything up to the third order."""
