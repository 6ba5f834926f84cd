"""Linear combinations of mean squares: degrees of freedom, standard errors, confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError

__all__ = ["INTERVALS", "MeanSquareSum", "interval_for"]

Interval = tuple[float, float]


@dataclass(frozen=True)
class MeanSquareSum:
    """``sum of c_k MS_k`` with independent mean squares.

    Attributes
    ----------
    c, mean_sq, df : (K,)
    """

    c: Array
    mean_sq: Array
    df: Array

    @property
    def parts(self) -> Array:
        """``c_k MS_k`` (K,)."""
        return self.c * self.mean_sq

    @property
    def value(self) -> float:
        """The sum."""
        return float(self.parts.sum())

    def variance(self, *, unbiased: bool = True) -> float:
        """Variance of the sum, estimated: unbiased, or with the mean squares in the place of their expectations."""
        return float(np.sum(2.0 * self.parts**2 / (self.df + 2.0 * unbiased)))

    @property
    def satterthwaite_df(self) -> float:
        """Degrees of freedom of a multiple of chi-squared with the same mean and variance (Satterthwaite 1946)."""
        spread = float(np.sum(self.parts**2 / self.df))
        return self.value**2 / spread if spread > 0 else np.nan

    @property
    def is_single(self) -> bool:
        """Whether it is a multiple of one mean square."""
        return int(np.sum(self.c != 0)) == 1


def satterthwaite_interval(total: MeanSquareSum, alpha: float) -> Interval:
    """Interval from chi-squared with Satterthwaite's degrees of freedom; nan where the estimate is not positive."""
    if total.value <= 0:
        return np.nan, np.nan
    df = total.satterthwaite_df
    return (
        df * total.value / float(special.chdtri(df, alpha / 2)),
        df * total.value / float(special.chdtri(df, 1 - alpha / 2)),
    )


def mls_interval(total: MeanSquareSum, alpha: float) -> Interval:
    """Modified large-sample interval: of Graybill and Wang for sums, of Ting and others where there are differences.

    Exact for a single mean square; close to its level for small degrees of freedom too, where the other is not.

    References
    ----------
    Graybill & Wang (1980), J. Am. Stat. Assoc. 75, 869; Ting, Burdick, Graybill, Jeyaratnam & Lu (1990), J. Stat.
    Comput. Simul. 35, 135; Burdick & Graybill (1992), Confidence Intervals on Variance Components, ch. 3.
    """
    used = total.c != 0
    sizes, df, positive = np.abs(total.parts[used]), total.df[used], total.c[used] > 0
    plus, minus = (sizes[positive], df[positive]), (sizes[~positive], df[~positive])
    low = _lower_variance(plus, minus, alpha / 2)
    high = _upper_variance(plus, minus, alpha / 2)
    return total.value - np.sqrt(max(low, 0.0)), total.value + np.sqrt(max(high, 0.0))


def _f_upper(alpha: float, df: Array, den_df: Array | None = None) -> Array:
    """Upper ``alpha`` points of F; of chi-squared over df without a denominator."""
    if den_df is None:
        return np.asarray(special.chdtri(df, alpha) / df)
    return np.asarray(special.fdtri(df, den_df, 1 - alpha))


def _g(alpha: float, df: Array) -> Array:
    return np.asarray(1.0 - 1.0 / _f_upper(alpha, df))


def _h(alpha: float, df: Array) -> Array:
    return np.asarray(1.0 / _f_upper(1 - alpha, df) - 1.0)


Side = tuple[Array, Array]


def _lower_variance(plus: Side, minus: Side, alpha: float) -> float:
    """What is subtracted, squared, to get the lower bound."""
    (p, df_p), (r, df_r) = plus, minus
    g, h = _g(alpha, df_p), _h(alpha, df_r)
    total = float(np.sum((g * p) ** 2) + np.sum((h * r) ** 2))
    if len(p) and len(r):
        f = _f_upper(alpha, df_p[:, None], df_r[None, :])
        cross = ((f - 1.0) ** 2 - (g[:, None] * f) ** 2 - h[None, :] ** 2) / f
        total += float(p @ cross @ r)
        total += _pairs(p, df_p, g, alpha)
    return total


def _upper_variance(plus: Side, minus: Side, alpha: float) -> float:
    """What is added, squared, to get the upper bound."""
    (p, df_p), (r, df_r) = plus, minus
    h, g = _h(alpha, df_p), _g(alpha, df_r)
    total = float(np.sum((h * p) ** 2) + np.sum((g * r) ** 2))
    if len(p) and len(r):
        f = _f_upper(1 - alpha, df_p[:, None], df_r[None, :])
        cross = ((1.0 - f) ** 2 - (h[:, None] * f) ** 2 - g[None, :] ** 2) / f
        total += float(p @ cross @ r)
        total += _pairs(r, df_r, g, alpha)
    return total


def _pairs(sizes: Array, df: Array, g: Array, alpha: float) -> float:
    """The terms of pairs of mean squares with the same sign, where there are both signs."""
    count = len(sizes)
    if count < 2:
        return 0.0
    i, j = np.triu_indices(count, 1)
    both = df[i] + df[j]
    star = _g(alpha, both) ** 2 * both**2 / (df[i] * df[j]) - g[i] ** 2 * df[i] / df[j] - g[j] ** 2 * df[j] / df[i]
    return float(np.sum(star * sizes[i] * sizes[j]) / (count - 1))


INTERVALS: dict[str, Callable[[MeanSquareSum, float], Interval]] = {
    "mls": mls_interval,
    "satterthwaite": satterthwaite_interval,
}


def interval_for(method: object) -> Callable[[MeanSquareSum, float], Interval]:
    """Resolve ``method=``.

    Raises
    ------
    SpecificationError
        If it is not known.
    """
    if not isinstance(method, str) or method not in INTERVALS:
        raise SpecificationError(f"method is {' or '.join(map(repr, INTERVALS))}; found {method!r}")
    return INTERVALS[method]
