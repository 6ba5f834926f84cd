"""Exact intervals for the one-way random model: the ratio of variances, the intraclass correlation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import optimize, special

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.expected import Expected
from mixedfx.analysis_of_variance.groupings import Grouping
from mixedfx.analysis_of_variance.variance_terms import Layout
from mixedfx.exceptions import DataError, SpecificationError

__all__ = ["one_way_table"]

NEAREST = 1e-12  # to the lower end of the ratios that are possible


def one_way_table(layout: Layout, expected: Expected, alpha: float) -> StatsTable:
    """Return ratio, intraclass correlation, both variances, with their intervals."""
    if len(layout.terms) != 1:
        raise SpecificationError("one_way is for a single random factor: 'y ~ group'")
    group = layout.partition(layout.terms[0])
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
