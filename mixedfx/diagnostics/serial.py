"""Do residuals hang together within groups? Their autocorrelations by lag, and their variogram by distance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_alpha, checked_whole, plain_numbers
from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, IntArray
from mixedfx.diagnostics.checks import mixed_results, row_sets
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.fitting.response import ResidualName
from mixedfx.matrices.frame import FrameRows
from mixedfx.results.base import MixedResults

__all__ = ["SerialCorrelation", "acf", "variogram"]

MOST_PAIRS = 20_000_000
DECADE = 10.0  # lags are shown up to so many times the decimal logarithm of the longest series
INTERVALS = 20  # of distance, if there are more distinct ones


@hinting_methods
@dataclass(frozen=True, eq=False)
class SerialCorrelation:
    """How residuals of a group hang together; made by :func:`acf` and :func:`variogram`.

    Attributes
    ----------
    table : StatsTable
        By lag ``acf, pairs, lower, upper``; by number ``distance, variogram, pairs``.
    kind : str
        ``"acf"`` or ``"variogram"``.
    """

    table: StatsTable
    kind: str

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers."""
        return pd.DataFrame(self.table)

    def plot(self, ax: Any = None) -> Any:
        """Draw them; see :func:`mixedfx.plots.correlogram`."""
        return higher("correlogram")(self, ax=ax)

    def __str__(self) -> str:
        return str(self.table)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def acf(
    fit: Any,
    group: str | Sequence[Any] | None = None,
    *,
    time: str | Sequence[Any] | None = None,
    kind: ResidualName | None = "pearson",
    lags: int | None = None,
    alpha: float = 0.05,
) -> SerialCorrelation:
    """Return the autocorrelations of residuals within groups.

    Parameters
    ----------
    fit : MixedResults
    group : str or sequence, optional
        A grouping factor of the model, or a label for every row, within which residuals may hang together; if left out
        the group of the residual structure, or the grouping factor with most levels.
    time : str or sequence, optional
        Whole numbers, a column of the data or one value a row: rows a lag apart are those whose times differ by it. If
        left out the rows of a group count as they stand.
    kind : str, optional
        Of the residuals, see ``fit.residuals``; None for the usual one of the model. ``"pearson"`` shows what a
        residual structure would have to describe, ``"normalized"`` (linear models) what it has left.
    lags : int, optional
        The largest lag; 10 log10 of the longest series if left out.
    alpha : float
        Autocorrelations of independent residuals lie beyond ``lower`` and ``upper`` with about this probability.

    Returns
    -------
    SerialCorrelation
        By ``lag``: ``acf``, number of ``pairs``, ``lower``, ``upper`` (normal, ``1 / sqrt(pairs)``); ``plot()``.

    Raises
    ------
    SpecificationError, DataError
        If no rows are a lag apart, or times are not whole numbers (see :func:`variogram`) or occur twice in a group.

    Notes
    -----
    The mean product of residuals a lag apart over the mean square of all. Residuals about fitted effects of small
    groups are negatively correlated even if the errors are not, by about one over the size of the group.

    References
    ----------
    Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, section 5.3.3; Box, Jenkins & Reinsel (1994), Time
    Series Analysis.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> cycle = "follicles ~ sin(2 * pi * Time) + cos(2 * pi * Time) + (1 | Mare)"
    >>> fit = mfx.lmer(cycle, mfx.load_dataset("ovary"))
    >>> mfx.acf(fit, lags=3).to_frame()["acf"].round(3).tolist()
    [1.0, 0.503, 0.329, 0.188]
    """
    results = mixed_results(fit, "acf")
    of = results.solution.response.residual_kind(kind)
    values, codes, name = _residuals(results, of, group)
    alpha = checked_alpha(alpha)
    times = pd.Series(codes).groupby(codes).cumcount().to_numpy() if time is None else _whole(results, time)
    longest = int(np.bincount(codes).max())
    most = _checked_lags(lags, max(1, min(longest - 1, int(DECADE * np.log10(longest)))))
    series = pd.MultiIndex.from_arrays([codes, times])
    if not series.is_unique:
        raise DataError(f"a time occurs twice within {name}: give the groups within which times differ, group=…")
    frame = _autocorrelations(values, series, most)
    if len(frame) == 1:
        raise SpecificationError(
            f"no two rows within {name} are up to {most} apart: there is no autocorrelation; give larger "
            "groups, group=…, or more lags="
        )
    bound = special.ndtri(1.0 - 0.5 * alpha) / np.sqrt(frame["pairs"].to_numpy(dtype=float))
    frame = frame.assign(lower=-bound, upper=bound)
    notes = [
        f"{of.capitalize()} residuals within {name}.",
        f"Of independent residuals {100 * (1 - alpha):g} % of the autocorrelations lie between lower and upper.",
    ]
    table = StatsTable.from_frame(
        frame, heading="Autocorrelation of residuals", notes=notes, formats={"pairs": "count"}
    )
    return SerialCorrelation(table, "acf")


def _autocorrelations(values: Array, series: pd.MultiIndex, most: int) -> pd.DataFrame:
    """Autocorrelations (``acf, pairs``) of values (n,) in series up to the lag ``most``; a row a lag with pairs."""
    codes, times = series.get_level_values(0).to_numpy(), series.get_level_values(1).to_numpy()
    used = np.isfinite(values)
    square = float(np.mean(values[used] ** 2))
    rows = {0: (1.0, int(used.sum()))}
    for lag in range(1, min(most, int(np.ptp(times))) + 1):
        later = series.get_indexer(pd.MultiIndex.from_arrays([codes, times + lag]))
        products = (values * values[later])[later >= 0]
        products = products[np.isfinite(products)]
        if products.size:
            rows[lag] = (float(products.mean()) / square if square > 0 else np.nan, products.size)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["acf", "pairs"]).rename_axis("lag")


def variogram(
    fit: Any,
    distance: str | Sequence[Any],
    group: str | Sequence[Any] | None = None,
    *,
    kind: ResidualName | None = "pearson",
    intervals: int = INTERVALS,
) -> SerialCorrelation:
    """Return the semivariogram of residuals: half the mean squared difference of two, by their distance.

    Parameters
    ----------
    fit : MixedResults
    distance : str, sequence, or list of str
        A numeric column of the data, one value a row, or several columns (coordinates) for Euclidean distances.
    group : str or sequence, optional
        As for :func:`acf`; pairs lie within groups. A model without groups has one.
    kind : str, optional
        Of the residuals, as for :func:`acf`.
    intervals : int
        Number of intervals with equally many pairs, if there are more distinct distances.

    Returns
    -------
    SerialCorrelation
        ``distance`` (the mean of an interval), ``variogram``, number of ``pairs``; ``plot()``. Independent residuals of
        variance 1 have a variogram of 1 everywhere; one that rises from less says that near rows are alike.

    Raises
    ------
    SpecificationError, DataError
        If there are no pairs, or more than 20 million.

    References
    ----------
    Cressie (1993), Statistics for Spatial Data, section 2.4; Pinheiro & Bates (2000), section 5.3.2.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))
    >>> mfx.variogram(fit, "age").to_frame().round(3)
            distance  variogram  pairs
    number
    1            2.0      1.003     81
    2            4.0      0.821     54
    3            6.0      1.202     27
    """
    results = mixed_results(fit, "variogram")
    of = results.solution.response.residual_kind(kind)
    values, codes, name = _residuals(results, of, group)
    most = checked_whole("intervals", intervals, 1)
    named = isinstance(distance, list | tuple) and len(distance) > 0 and all(isinstance(d, str) for d in distance)
    columns = [_numbers(results, one, "distance") for one in (distance if named else [distance])]
    places = np.column_stack(columns)
    used = np.flatnonzero(np.isfinite(values) & np.isfinite(places).all(axis=1))
    far, half = _pairs(values[used], places[used], codes[used], name)
    number = _intervals(far, most)
    counts = np.bincount(number)
    frame = pd.DataFrame(
        {
            "distance": np.bincount(number, weights=far) / counts,
            "variogram": np.bincount(number, weights=half) / counts,
            "pairs": counts,
        },
        index=pd.RangeIndex(1, counts.size + 1, name="number"),
    )
    table = StatsTable.from_frame(
        frame,
        heading="Variogram of residuals",
        notes=[f"Half the mean squared difference of {of} residuals within {name}."],
        formats={"pairs": "count"},
    )
    return SerialCorrelation(table, "variogram")


def _residuals(fit: MixedResults, kind: str, group: Any) -> tuple[Array, IntArray, str]:
    """Residuals (n,), the group (n,) of every row, and what groups are called."""
    values: Array = np.asarray(fit.residuals(kind), dtype=np.float64)
    if group is not None:
        codes, _, name = row_sets(fit, group)
        return values, codes, f"levels of {name}"
    bound = fit.solution.residual
    if bound is not None and bound.groups is not None:
        return values, np.asarray(bound.groups), "groups of the residual structure"
    terms = [term for term in fit.design.grouped if len(term.levels) < fit.nobs]
    if not terms:
        return values, np.zeros(len(values), dtype=np.intp), "all rows"
    innermost = max(terms, key=lambda term: len(term.levels))
    return values, np.asarray(innermost.codes), f"levels of {innermost.group}"


def _numbers(fit: MixedResults, given: Any, argument: str) -> Array:
    """One number (n,) for every row of the fit: a column of its data, or an array of them."""
    design, inputs = fit.design, fit.model.inputs
    if isinstance(given, str):
        if inputs is None:
            raise SpecificationError(f"a refit has no data of its own: give {argument} as one number a row")
        inputs.source.require([given])
        return np.asarray(FrameRows(inputs.source, design.keep).numbers(given), dtype=float)
    numbers = plain_numbers(argument, given)
    whole = design.keep is not None and numbers.ndim == 1 and numbers.size == design.keep.size
    length = numbers.size if whole else fit.nobs
    if numbers.ndim != 1 or numbers.size != length:
        raise DataError(
            f"{argument} needs one number for each of the {fit.nobs} rows of the fit; found shape {numbers.shape}"
        )
    return numbers[design.keep] if whole else numbers


def _whole(fit: MixedResults, time: Any) -> IntArray:
    times = _numbers(fit, time, "time")
    if not np.all(np.isfinite(times)) or np.any(times != np.round(times)):
        raise DataError(
            "time must be whole numbers, so that rows are lags apart; for other times see mfx.variogram(fit, time)"
        )
    return times.astype(np.intp)


def _checked_lags(lags: Any, usual: int) -> int:
    if lags is None:
        return usual
    if isinstance(lags, bool) or not isinstance(lags, int | np.integer) or lags < 1:
        raise SpecificationError(f"lags is the largest lag, a whole number, at least 1; found {lags!r}")
    return int(lags)


def _pairs(values: Array, places: Array, codes: IntArray, name: str) -> tuple[Array, Array]:
    """Distances and half squared differences of all pairs of rows of a group."""
    sizes = np.bincount(codes)
    total = int(np.sum(sizes * (sizes - 1) // 2))
    if total == 0:
        raise SpecificationError(
            f"there are no pairs of rows within {name}: give larger groups, group=…, to compare rows within them"
        )
    if total > MOST_PAIRS:
        raise SpecificationError(
            f"there are {total} pairs of rows within {name}, more than {MOST_PAIRS}: give smaller groups, group=…"
        )
    parts = list(_pairs_by_shift(codes, int(sizes.max())))
    one, two = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    far = np.sqrt(np.sum((places[one] - places[two]) ** 2, axis=1))
    return far, 0.5 * (values[one] - values[two]) ** 2


def _pairs_by_shift(codes: IntArray, longest: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows of one group that are 1, 2, … places apart in it."""
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    for shift in range(1, longest):
        order = order[sizes[codes[order]] > shift]
        one, two = order[:-shift], order[shift:]
        same = codes[one] == codes[two]
        yield one[same], two[same]


def _intervals(far: Array, count: int) -> IntArray:
    """The interval of every pair: one for each distance, if they are few, else equally many pairs in each."""
    distinct, number = np.unique(far, return_inverse=True)
    if distinct.size <= count:
        return np.asarray(number.ravel())
    edges = np.unique(np.quantile(far, np.linspace(0.0, 1.0, count + 1)))[1:-1]
    return np.asarray(np.unique(np.searchsorted(edges, far, side="left"), return_inverse=True)[1].ravel())
