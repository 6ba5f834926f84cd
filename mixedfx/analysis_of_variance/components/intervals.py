"""Intervals of variance components: of sums of mean squares, and the exact ones of the one-way random model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import optimize, special

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.components.expected import Expected, MeanSquareSum
from mixedfx.analysis_of_variance.components.layout import VarianceLayout
from mixedfx.analysis_of_variance.strata.projections import Grouping
from mixedfx.exceptions import DataError, SpecificationError

__all__ = ["INTERVALS", "IntervalMethod", "IntervalName", "mls_interval", "one_way_table", "satterthwaite_interval"]

IntervalName: TypeAlias = Literal["mls", "satterthwaite"]
Interval = tuple[float, float]
Side = tuple[Array, Array]
NEAREST = 1e-12  # to the lower end of the ratios that are possible


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


@dataclass(frozen=True)
class IntervalMethod:
    """How the limits of a sum of mean squares are found, and what a table says of them."""

    limits: Callable[[MeanSquareSum, float], Interval]
    note: str


INTERVALS: dict[str, IntervalMethod] = {
    "mls": IntervalMethod(
        mls_interval,
        "Intervals: modified large-sample (Graybill and Wang 1980; Ting et al. 1990); exact for the residual.",
    ),
    "satterthwaite": IntervalMethod(
        satterthwaite_interval, "Intervals: Satterthwaite's chi-squared; none where the estimate is negative."
    ),
}


# --------------------------------------------------------------------------- one-way
def one_way_table(layout: VarianceLayout, expected: Expected, alpha: float) -> StatsTable:
    """Return ratio, intraclass correlation, both variances, with their intervals."""
    if len(layout.terms) != 1:
        raise SpecificationError("one_way is for a single random factor: 'y ~ group'")
    group = layout.partitions[0]
    mse = float(expected.mean_sq[1])
    if mse <= 0.0:
        raise DataError("the residual mean square is zero: rows of one group are all equal, and there is no ratio")
    dfa, dfe = expected.df
    ratio = np.array(
        [_ratio(layout.y, group, mse * float(special.fdtri(dfa, dfe, q))) for q in (1 - alpha / 2, alpha / 2)]
    )
    sigma2 = dfe * mse / special.chdtri(dfe, [alpha / 2, 1 - alpha / 2])
    component = float(expected.weights[0] @ expected.mean_sq)
    between = _williams_tukey(group, expected, alpha)
    point = component / mse
    frame = pd.DataFrame(
        {
            "estimate": [component, mse, point, point / (1 + point)],
            "lower": [between[0], sigma2[0], ratio[0], ratio[0] / (1 + ratio[0])],
            "upper": [between[1], sigma2[1], ratio[1], ratio[1] / (1 + ratio[1])],
        },
        index=[layout.terms[0].label, "Residual", "ratio", "icc"],
    )
    notes = [
        "Ratio (of the variances), icc (intraclass correlation) and residual variance: exact; Wald's (1940) method.",
        f"{layout.terms[0].label}: Williams (1962) and Tukey (1951), at least {1 - 2 * alpha:.0%} and near "
        f"{1 - alpha:.0%}; for groups of one size.",
        "Negative bounds mean that zero is the bound.",
    ]
    return StatsTable.from_frame(frame, heading=f"One-way random model of {layout.name}", notes=notes)


def _ratio(y: Array, group: Grouping, wanted: float) -> float:
    """The ratio of variances at which the weighted mean square between groups is ``wanted``."""
    means = np.bincount(group.codes, weights=y) / group.counts

    def excess(r: float) -> float:
        w = group.counts / (1.0 + group.counts * r)
        centre = float(np.sum(w * means) / w.sum())
        return float(np.sum(w * (means - centre) ** 2) / (group.size - 1)) - wanted

    lowest = -1.0 / float(group.counts.max())
    start, stop = lowest * (1 - NEAREST), 1.0
    if excess(start) <= 0:
        return lowest
    root = optimize.brentq(excess, start, _beyond(excess, stop), xtol=1e-14, rtol=1e-14)
    return float(root)


def _beyond(excess: Callable[[float], float], stop: float) -> float:
    while excess(stop) > 0:
        stop *= 10.0
    return stop


def _williams_tukey(group: Grouping, expected: Expected, alpha: float) -> tuple[float, float]:
    if not group.is_balanced:
        return np.nan, np.nan
    ssa, f = float(expected.sum_sq[0]), float(expected.mean_sq[0] / expected.mean_sq[1])
    dfa, dfe = expected.df
    low, high = (
        ssa * (1.0 - float(special.fdtri(dfa, dfe, 1 - q)) / f) / (group.counts[0] * float(special.chdtri(dfa, q)))
        for q in (alpha / 2, 1 - alpha / 2)
    )
    return low, high
