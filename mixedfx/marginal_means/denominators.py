"""Degrees of freedom of functions of functions, and where variances count beside the fixed effects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from mixedfx._typing import Array
from mixedfx.inference.denominator import Denominator
from mixedfx.marginal_means.functions import Functions

__all__ = ["OfFunctions", "WithSpread", "WithVariances"]


@dataclass(frozen=True)
class WithVariances(Denominator):
    """The denominator of a linear mixed model, with variance parameters behind the fixed effects.

    Attributes
    ----------
    fixed : Denominator
        That of the fixed effects, which give the degrees of freedom.
    variances : (t, t)
        Covariance of the variance parameters, which are uncorrelated with the fixed effects.
    """

    fixed: Denominator
    variances: Array

    @property
    def label(self) -> str:  # type: ignore[override]
        """Whose method it is."""
        return self.fixed.label

    @cached_property
    def covariance(self) -> Array:
        """Covariance (p + t, p + t)."""
        return np.asarray(linalg.block_diag(self.fixed.covariance, self.variances))

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,) of the fixed part of the rows."""
        return self.fixed.of_rows(rows[:, : len(self.fixed.covariance)])

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return those of the fixed part of independent rows."""
        return self.fixed.joint(rows[:, : len(self.fixed.covariance)])


@dataclass(frozen=True, eq=False)
class OfFunctions(Denominator):
    """The denominator of functions of the coefficients, for functions of these."""

    functions: Functions

    @property
    def label(self) -> str:  # type: ignore[override]
        """Whose method it is."""
        return self.functions.model.denominator.label

    @property
    def covariance(self) -> Array:
        """Covariance (r, r) of the functions."""
        return self.functions.covariance

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom of combinations (c, r) of them."""
        return self.functions.model.denominator.of_rows(rows @ self.functions.L)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return those of independent combinations together."""
        return self.functions.model.denominator.joint(rows @ self.functions.L)


@dataclass(frozen=True, eq=False)
class WithSpread(Denominator):
    """A denominator with the logarithm of a standard deviation behind the parameters, estimated independently.

    Attributes
    ----------
    own : Denominator
        Of the parameters.
    df : float
        Degrees of freedom of the standard deviation: its logarithm has variance ``1 / (2 df)``; inf if it is known.
    """

    own: Denominator
    df: float

    @property
    def label(self) -> str:  # type: ignore[override]
        """Whose method it is."""
        return self.own.label

    @cached_property
    def covariance(self) -> Array:
        """Covariance (p + 1, p + 1)."""
        return np.asarray(linalg.block_diag(self.own.covariance, np.array([[0.5 / self.df]])))

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,) of the other parameters."""
        return self.own.of_rows(rows[:, :-1])

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return those of independent rows together."""
        return self.own.joint(rows[:, :-1])
