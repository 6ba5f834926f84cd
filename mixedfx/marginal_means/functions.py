"""Functions of the coefficients with their gradients: estimates, standard errors, tests, estimability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.inference.hypothesis import Hypothesis
from mixedfx.inference.wald import JointTest, joint_test
from mixedfx.marginal_means.model import FittedModel
from mixedfx.matrices.fixed import OUTSIDE, told

__all__ = ["Functions", "stacked"]

ROUNDING = 1e-11  # a gradient is zero below this, relative to the numbers of which it is a difference


@dataclass(frozen=True, eq=False)
class Functions:
    """Quantities ``f(beta)`` by value and gradient; linear ones are exact, others by the delta method.

    Attributes
    ----------
    model : FittedModel
    values : (r,)
    rows : (r, P)
        Gradients in all coefficients, redundant ones included.
    """

    model: FittedModel
    values: Array
    rows: Array

    def combined(self, coefficients: Array) -> Functions:
        """Return the combinations ``coefficients`` (c, r) of them."""
        return Functions(self.model, coefficients @ self.values, coefficients @ self.rows)

    def taken(self, which: IntArray | BoolArray) -> Functions:
        """Return some of them, by position or flag."""
        return Functions(self.model, self.values[which], self.rows[which])

    def without_rounding(self, size: Array) -> Functions:
        """Return those that are not zero: gradients far below the ``size`` (P,) of what they are differences of are."""
        rows = np.where(np.abs(self.rows) <= ROUNDING * size, 0.0, self.rows)
        found = rows.any(axis=1)
        return Functions(self.model, self.values[found], rows[found])

    @cached_property
    def estimable(self) -> BoolArray:
        """Whether each (r,) is told by the data."""
        finite = np.isfinite(self.rows).all(axis=1) & np.isfinite(self.values)
        return np.asarray(finite & told(self.rows, self.model.null))

    @cached_property
    def L(self) -> Array:
        """Gradients (r, p) in the estimated coefficients."""
        return np.asarray(self.rows[:, self.model.kept])

    @cached_property
    def estimates(self) -> Array:
        """Values (r,); nan where the data say nothing."""
        return np.where(self.estimable, self.values, np.nan)

    @cached_property
    def covariance(self) -> Array:
        """Covariance (r, r)."""
        return self.L @ self.model.denominator.covariance @ self.L.T

    @cached_property
    def se(self) -> Array:
        """Standard errors (r,)."""
        variance = np.einsum("rp,pq,rq->r", self.L, self.model.denominator.covariance, self.L)
        return np.where(self.estimable, np.sqrt(np.maximum(variance, 0.0)), np.nan)

    @cached_property
    def df(self) -> Array:
        """Degrees of freedom (r,)."""
        out = np.full(len(self.values), np.nan)
        usable = self.estimable & (self.se > 0)
        if usable.any():
            out[usable] = self.model.denominator.of_rows(self.L[usable])
        return out

    def joint(self, null: float = 0.0) -> JointTest:
        """Return the test that all of them are ``null``; where not all can be estimated, that of what can.

        The rows of the result that are wanted but cannot be estimated are missing from its ``df_num``.
        """
        own = Functions(self.model, self.values - null, self.rows)._estimable_part()
        if len(own.values) == 0:
            return JointTest(np.nan, 0, np.nan, 1.0, self.model.denominator.label)
        names = tuple(f"row {i}" for i in range(len(own.values)))
        hypothesis = Hypothesis(own.L, own.L @ self.model.beta - own.values, names)
        return joint_test(hypothesis, self.model.beta, self.model.denominator, self.model.write)

    def _estimable_part(self) -> Functions:
        """Return combinations of the rows that can all be estimated."""
        if self.estimable.all():
            return self
        finite = self.taken(np.asarray(np.isfinite(self.rows).all(axis=1)))
        if not len(finite.values):
            return finite
        outside = finite.rows @ self.model.null
        left, sizes, _ = np.linalg.svd(outside)
        rank = int(np.sum(sizes > OUTSIDE * max(1.0, float(np.abs(finite.rows).max()))))
        return finite.combined(left[:, rank:].T)


def stacked(parts: Sequence[Functions]) -> Functions:
    """Return functions of the same model below each other."""
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([part.values for part in parts])
    return Functions(parts[0].model, values, np.vstack([part.rows for part in parts]))
