"""Degrees of freedom where functions depend on variance parameters beside the fixed effects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from mixedfx._typing import Array
from mixedfx.inference.denominator import Denominator

__all__ = ["WithVariances"]


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
