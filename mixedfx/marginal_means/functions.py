"""Functions of the coefficients with their gradients: estimates, standard errors, degrees of freedom, tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.distributions import quantile, two_sided
from mixedfx.inference.hypothesis import Hypothesis
from mixedfx.inference.rubin import Rubin
from mixedfx.inference.wald import JointTest, joint_test
from mixedfx.matrices.fixed import OUTSIDE, estimable_rows

__all__ = [
    "SHORT_HEADERS",
    "Coefficients",
    "Functions",
    "FunctionsDenominator",
    "WiderDenominator",
    "put_together",
    "stacked",
    "wald_columns",
]

#: Headings of ``wald_columns`` that fit the page.
SHORT_HEADERS = {"std_error": "se", "conf_low": "lower", "conf_high": "upper", "p_value": "pvalue"}
DEPENDENT = 1e-10  # a direction of gradients, relative to the largest, that is none
ROUNDING = 1e-11  # a gradient is zero below this, relative to the numbers of which it is a difference


@dataclass(frozen=True, eq=False)
class Coefficients:
    """The parameters of which quantities are functions: coefficients of one linear predictor, or all of a fit.

    Attributes
    ----------
    beta : (p,)
        Estimates.
    denominator : Denominator
        Their covariance, and the degrees of freedom of combinations of them.
    kept : (p,)
        Positions of the estimated ones among all P, redundant ones included.
    silent : (P, d)
        Basis of the combinations that the data do not determine.
    usual_rows : callable or None
        Maps a hypothesis (r, p) to the equivalent rows from which its pooled degrees of freedom are computed.
    notes : tuple of str
        For tables of them.
    """

    beta: Array
    denominator: Denominator
    kept: IntArray
    silent: Array
    usual_rows: Callable[[Array], Array] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Functions:
    """Quantities ``f(beta)`` by value and gradient; linear ones are exact, others by the delta method.

    Attributes
    ----------
    of : Coefficients
    values : (r,)
    rows : (r, P)
        Gradients in all coefficients, redundant ones included.
    """

    of: Coefficients
    values: Array
    rows: Array

    def combined(self, weights: Array) -> Functions:
        """Return linear combinations with the ``weights`` (c, r)."""
        return Functions(self.of, weights @ self.values, weights @ self.rows)

    def taken(self, which: IntArray | BoolArray) -> Functions:
        """Return a subset, by position or flag."""
        return Functions(self.of, self.values[which], self.rows[which])

    def without_rounding(self, size: Array) -> Functions:
        """Return those whose gradient is not zero but for rounding, relative to the ``size`` (P,) of its terms."""
        rows = np.where(np.abs(self.rows) <= ROUNDING * size, 0.0, self.rows)
        nonzero = rows.any(axis=1)
        return Functions(self.of, self.values[nonzero], rows[nonzero])

    @cached_property
    def estimable(self) -> BoolArray:
        """Whether the data determine each (r,)."""
        finite = np.isfinite(self.rows).all(axis=1) & np.isfinite(self.values)
        return np.asarray(finite & estimable_rows(self.rows, self.of.silent))

    @cached_property
    def L(self) -> Array:
        """Gradients (r, p) in the estimated coefficients."""
        return np.asarray(self.rows[:, self.of.kept])

    @cached_property
    def estimates(self) -> Array:
        """Values (r,); nan where they cannot be estimated."""
        return np.where(self.estimable, self.values, np.nan)

    @cached_property
    def covariance(self) -> Array:
        """Covariance (r, r)."""
        return self.L @ self.of.denominator.covariance @ self.L.T

    @cached_property
    def se(self) -> Array:
        """Standard errors (r,)."""
        variance = np.einsum("rp,pq,rq->r", self.L, self.of.denominator.covariance, self.L)
        return np.where(self.estimable, np.sqrt(np.maximum(variance, 0.0)), np.nan)

    @cached_property
    def df(self) -> Array:
        """Degrees of freedom (r,)."""
        out = np.full(len(self.values), np.nan)
        usable = self.estimable & (self.se > 0)
        if usable.any():
            out[usable] = self.of.denominator.of_rows(self.L[usable])
        return out

    def joint(self, null: float = 0.0) -> JointTest:
        """Return the joint test that all are ``null``, or of those combinations that can be estimated.

        Rows that cannot be estimated do not count in ``df_num``.
        """
        part = Functions(self.of, self.values - null, self.rows)._estimable_part()
        if len(part.values) == 0:
            return JointTest(np.nan, 0, np.nan, 1.0, self.of.denominator.label)
        names = tuple(f"row {i}" for i in range(len(part.values)))
        hypothesis = Hypothesis(part.L, part.L @ self.of.beta - part.values, names)
        return joint_test(hypothesis, self.of.beta, self.of.denominator, self.of.usual_rows)

    def _estimable_part(self) -> Functions:
        """Return a basis of the combinations that can be estimated."""
        if self.estimable.all():
            return self
        finite = self.taken(np.asarray(np.isfinite(self.rows).all(axis=1)))
        if not len(finite.values):
            return finite
        outside = finite.rows @ self.of.silent
        left, sizes, _ = np.linalg.svd(outside)
        rank = int(np.sum(sizes > OUTSIDE * max(1.0, float(np.abs(finite.rows).max()))))
        return finite.combined(left[:, rank:].T)


def put_together(parts: Sequence[Functions]) -> Functions:
    """Return the same functions of several analyses of imputed data by Rubin's rules; those of one as they are.

    What is not linear has a gradient of its own in each analysis, so that the functions are their own parameters, or
    rather a basis of them: what is the same whatever the coefficients, such as the sum of all probabilities, is none.
    """
    if len(parts) == 1:
        return parts[0]
    first, values = parts[0], np.array([part.values for part in parts])
    left, sizes, _ = np.linalg.svd(np.hstack([np.nan_to_num(part.rows) for part in parts]), full_matrices=False)
    basis = left[:, sizes > DEPENDENT * sizes.max(initial=0.0)]
    own = [part.combined(basis.T) for part in parts]
    rubin = Rubin(np.array([part.values for part in own]), tuple(map(FunctionsDenominator, own)))
    beta, silent = rubin.estimates.mean(axis=0), basis.T @ np.nan_to_num(first.rows) @ first.of.silent
    return Functions(
        Coefficients(beta, rubin, np.arange(len(beta)), silent, notes=first.of.notes), values.mean(axis=0), basis
    )


def stacked(parts: Sequence[Functions]) -> Functions:
    """Return functions of the same parameters as one set."""
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([part.values for part in parts])
    return Functions(parts[0].of, values, np.vstack([part.rows for part in parts]))


def wald_columns(estimate: Array, se: Array, df: Array, *, null: Array | float, alpha: float) -> dict[str, Array]:
    """Return estimates with standard errors, statistics, p-values, limits of level ``1 - alpha`` and df, all (r,).

    There is no statistic where the standard error is zero or missing.
    """
    statistic = np.full(estimate.size, np.nan)
    np.divide(estimate - null, se, out=statistic, where=se > 0)
    half = quantile(1.0 - 0.5 * alpha, df) * se
    return {
        "estimate": estimate,
        "std_error": se,
        "statistic": statistic,
        "p_value": two_sided(statistic, df),
        "conf_low": estimate - half,
        "conf_high": estimate + half,
        "df": df,
    }


# ---------------------------------------------------------------- denominators
@dataclass(frozen=True, eq=False)
class WiderDenominator(Denominator):
    """A denominator for the coefficients and further parameters behind them, which are independent of them.

    Attributes
    ----------
    coefficients : Denominator
        Of the coefficients (p); it gives the degrees of freedom.
    further : (t, t)
        Covariance of the further parameters.
    """

    coefficients: Denominator
    further: Array

    @property
    def label(self) -> str:  # type: ignore[override]
        """Whose method it is."""
        return self.coefficients.label

    @cached_property
    def covariance(self) -> Array:
        """Covariance (p + t, p + t)."""
        return np.asarray(linalg.block_diag(self.coefficients.covariance, self.further))

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,) of the part of the rows in the coefficients."""
        return self.coefficients.of_rows(rows[:, : len(self.coefficients.covariance)])

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return those of that part of independent rows together."""
        return self.coefficients.joint(rows[:, : len(self.coefficients.covariance)])


@dataclass(frozen=True, eq=False)
class FunctionsDenominator(Denominator):
    """The denominator for functions of functions of the coefficients."""

    functions: Functions

    @property
    def label(self) -> str:  # type: ignore[override]
        """Whose method it is."""
        return self.functions.of.denominator.label

    @property
    def covariance(self) -> Array:
        """Covariance (r, r) of the functions."""
        return self.functions.covariance

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom of combinations (c, r) of them."""
        return self.functions.of.denominator.of_rows(rows @ self.functions.L)

    def together(self, rows: Array) -> Array:
        """Return the covariance by which independent combinations are tested together."""
        return self.functions.of.denominator.together(rows @ self.functions.L)

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return those of independent combinations together."""
        return self.functions.of.denominator.joint(rows @ self.functions.L)
