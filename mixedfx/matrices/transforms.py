"""Functions of formulas: elementwise ones, and those that learn from the data and are replayed on new data.

A learner takes the values of the data that the model is fitted to (and its options) and returns a *fitted transform*:
an immutable, picklable function that is applied to those values and, later, to new ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_choice
from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices.labels import Labels
from mixedfx.matrices.limits import check_basis
from mixedfx.matrices.values import Basis, Factor, Value

__all__ = [
    "BETWEEN",
    "ELEMENTWISE",
    "LEARN_SPLINE",
    "WITHIN",
    "BSplines",
    "FittedTransform",
    "GroupMeans",
    "NaturalSplines",
    "RegressionSplines",
    "lag",
    "learn_bs",
    "learn_center",
    "learn_cr",
    "learn_cut",
    "learn_means",
    "learn_ns",
    "learn_poly",
    "learn_scale",
    "whole",
]

NO_DEVIATION = 4.0 * np.finfo(float).eps  # a deviation below this multiple of the value is none

FittedTransform = Callable[[Any], Value]


def _round(x: Any, decimals: float = 0) -> Any:
    return np.round(x, int(decimals))


def _identity(x: Any) -> Any:
    return x


def _log(x: Any, base: float = math.e) -> Any:
    return EXACT_LOGARITHMS[base](x) if base in EXACT_LOGARITHMS else np.log(x) / np.log(base)


def _where(condition: Any, yes: Any, no: Any) -> Any:
    return np.where(np.asarray(condition) != 0, yes, no)


EXACT_LOGARITHMS = {np.e: np.log, 2.0: np.log2, 10.0: np.log10}

#: Functions of each row alone.
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "log": _log,
    "log10": np.log10,
    "log2": np.log2,
    "log1p": np.log1p,
    "exp": np.exp,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "tanh": np.tanh,
    "logit": special.logit,
    "expit": special.expit,
    "pmin": lambda *values: reduce(np.minimum, values),
    "pmax": lambda *values: reduce(np.maximum, values),
    "where": _where,
    "round": _round,
    "floor": np.floor,
    "ceil": np.ceil,
    "I": _identity,
}


def whole(what: str, value: Any, least: int) -> int:
    """Return a whole number of at least ``least``, or say what was found."""
    number = float(value) if isinstance(value, int | float | np.number) else np.nan
    if not number.is_integer():
        raise SpecificationError(f"{what} must be a whole number, found {value}")
    if number < least:
        raise SpecificationError(f"{what} must be at least {least}, found {value}")
    return int(number)


def lag(value: Any, k: float = 1) -> Value:
    """Return the value of ``k`` rows earlier (later if negative), missing where there is none."""
    steps = whole("the number of rows of a lag", k, -(2**31))
    if isinstance(value, Factor):
        codes = np.full_like(value.labels.codes, -1)
        _shift(codes, value.labels.codes, steps)
        return Factor(Labels(codes, value.labels.levels), value.coding)
    shifted = np.full(len(value), np.nan)
    _shift(shifted, np.asarray(value, dtype=np.float64), steps)
    return shifted


def _shift(target: Any, source: Any, steps: int) -> None:
    if steps >= 0:
        target[steps:] = source[: max(len(source) - steps, 0)]
    else:
        target[:steps] = source[-steps:]


@dataclass(frozen=True)
class Scaled:
    """``(x - location) / scale``."""

    location: float
    scale: float

    def __call__(self, x: Array) -> Array:
        """Return the standardised values."""
        return (x - self.location) / self.scale


def learn_scale(x: Array, center: bool = True, scale: bool = True, ddof: float = 1) -> Scaled:
    """Learn the mean and the standard deviation (divisor n - ddof; about zero if not centred, as R does)."""
    location = float(np.mean(x)) if center else 0.0
    spread = 1.0
    if scale:
        spread = float(np.sqrt(np.sum((x - location) ** 2) / max(len(x) - ddof, 1)))
        if spread == 0.0 or not np.isfinite(spread):
            raise DataError("the values are constant, so that they have no scale")
    return Scaled(location, spread)


def learn_center(x: Array) -> Scaled:
    """Learn the mean."""
    return Scaled(float(np.mean(x)), 1.0)


@dataclass(frozen=True)
class Polynomials:
    """Orthonormal polynomials of degree 1 to d by the three-term recurrence (Kennedy & Gentle 1980, section 8.3)."""

    alpha: tuple[float, ...]
    norms: tuple[float, ...] = field(repr=False)

    def __call__(self, x: Array) -> Basis:
        """Return the polynomials at ``x``."""
        degree = len(self.alpha)
        P = np.ones((len(x), degree + 1), order="F")
        for j in range(1, degree + 1):
            P[:, j] = (x - self.alpha[j - 1]) * P[:, j - 1]
            if j > 1:
                P[:, j] -= self.norms[j - 1] / self.norms[j - 2] * P[:, j - 2]
        return Basis(P[:, 1:] / np.sqrt(self.norms[1:]), tuple(range(1, degree + 1)))


@dataclass(frozen=True)
class Powers:
    """The powers ``x, x**2, …``."""

    degree: int

    def __call__(self, x: Array) -> Basis:
        """Return the powers of ``x``."""
        return Basis(x[:, None] ** np.arange(1, self.degree + 1), tuple(range(self.degree)))


def learn_poly(x: Array, degree: int = 1, raw: bool = False) -> Polynomials | Powers:
    """Learn the polynomials that are orthonormal over ``x``; with ``raw`` there is nothing to learn."""
    degree = whole("the degree of a polynomial", degree, 1)
    check_basis("poly", degree, len(x))
    if raw:
        return Powers(degree)
    if degree >= len(np.unique(x)):
        raise DataError(f"a polynomial of degree {degree} needs more than {degree} different values")
    alpha: list[float] = []
    norms: list[float] = [float(len(x))]
    previous, current = np.zeros_like(x), np.ones_like(x)
    for j in range(degree):
        alpha.append(float(np.sum(x * current**2) / norms[j]) if j else float(np.mean(x)))
        following = (x - alpha[j]) * current - (norms[j] / norms[j - 1] * previous if j else 0.0)
        previous, current = current, following
        norms.append(float(np.sum(current**2)))
    return Polynomials(tuple(alpha), tuple(norms))


@dataclass(frozen=True)
class Cut:
    """Intervals between ``breaks``; outside of them the value is missing."""

    breaks: tuple[float, ...]
    names: tuple[str, ...]
    right: bool = True
    closed_end: bool = False

    def __call__(self, x: Array) -> Factor:
        """Return the interval of each value."""
        edges = np.array(self.breaks)
        codes = np.searchsorted(edges, x, side="left" if self.right else "right") - 1
        if self.closed_end:
            codes[x == (edges[0] if self.right else edges[-1])] = 0 if self.right else len(edges) - 2
        outside = (codes < 0) | (codes >= len(edges) - 1) | np.isnan(x)
        return Factor(Labels(np.where(outside, -1, codes), pd.Index(list(self.names))))


def learn_cut(
    x: Array,
    breaks: Any,
    labels: Sequence[str] | None = None,
    right: bool = True,
    include_lowest: bool = False,
) -> Cut:
    """Learn the intervals: given ``breaks``, or that many of equal width over the range (as R's ``cut``)."""
    if np.ndim(breaks) == 0:
        edges = _equal_intervals(x, whole("the number of intervals of cut", breaks, -(2**31)))
    else:
        edges = np.unique(np.asarray(breaks, dtype=np.float64))
    if len(edges) < 2:
        raise SpecificationError("cut needs at least two different breaks, or the number of intervals")
    names = tuple(map(str, labels)) if labels is not None else _interval_names(edges, right)
    if len(names) != len(edges) - 1:
        raise SpecificationError(f"cut makes {len(edges) - 1} intervals but there are {len(names)} labels")
    return Cut(tuple(edges.tolist()), names, bool(right), bool(include_lowest))


def _equal_intervals(x: Array, count: int) -> Array:
    if count < 2:
        raise SpecificationError(f"cut needs at least two intervals, found {count}")
    low, high = float(np.nanmin(x)), float(np.nanmax(x))
    if low == high:
        raise DataError("the values are constant, so that they cannot be cut into intervals")
    if not np.isfinite([low, high, high - low]).all():
        raise DataError(f"the values go from {low:.3g} to {high:.3g}: give finite ones, or the breaks, to cut them")
    edges = np.linspace(low, high, count + 1)
    edges[[0, -1]] = low - (high - low) / 1000, high + (high - low) / 1000
    return edges


def _interval_names(edges: Array, right: bool) -> tuple[str, ...]:
    """Name the intervals with as few digits (at least 3) as keep the edges apart."""
    for digits in range(3, 17):
        text = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(text)) == len(text):
            break
    opening, closing = ("(", "]") if right else ("[", ")")
    return tuple(f"{opening}{low},{high}{closing}" for low, high in pairwise(text))


WITHIN, BETWEEN = "within", "between"


@dataclass(frozen=True)
class GroupMeans:
    """Means of a predictor by group, learnt from the rows of the model.

    Parameters
    ----------
    levels : pandas.Index
        The groups (m,).
    means : numpy.ndarray
        Their means (m,).
    within_only : bool
        Whether the mean itself is no column: left of a bar, where it would not vary within the group.
    """

    levels: pd.Index[Any]
    means: Array
    within_only: bool

    def __call__(self, values: tuple[Array, Labels]) -> Basis:
        """Return the columns for values ``x`` (n,) and groups; a group that was not learnt has the mean of its rows."""
        x, groups = values
        codes = groups.recode(self.levels)
        mean = self.means[codes]
        unknown = codes < 0
        if unknown.any():
            mean = np.where(unknown, means_by_group(x, groups)[groups.codes], mean)
        within = x - mean
        within[np.abs(within) <= NO_DEVIATION * np.abs(x)] = 0.0
        if self.within_only:
            return Basis(within[:, None], (WITHIN,))
        return Basis(np.column_stack([within, mean]), (WITHIN, BETWEEN))


def learn_means(x: Array, groups: Labels, *, within_only: bool) -> GroupMeans:
    """Learn the mean of each group."""
    return GroupMeans(groups.levels, means_by_group(x, groups), within_only)


def means_by_group(x: Array, groups: Labels) -> Array:
    """Return the mean (m,) of each level; a second pass makes those of constant values exact."""
    present = groups.codes >= 0
    codes, m = groups.codes[present], len(groups.levels)
    counts = np.maximum(np.bincount(codes, minlength=m), 1)
    means = np.bincount(codes, weights=x[present], minlength=m) / counts
    return np.asarray(means + np.bincount(codes, weights=x[present] - means[codes], minlength=m) / counts)


@dataclass(frozen=True)
class Outside:
    """What a spline does beyond its boundary knots; without a word its end polynomials go on, as in R.

    Attributes
    ----------
    refused : bool
        Whether a value there is an error.
    clipped : bool
        Whether it counts as the nearest boundary knot.
    value : float or None
        What every column is there, if it is a constant.
    """

    refused: bool = False
    clipped: bool = False
    value: float | None = None


ExtrapolationName: TypeAlias = Literal["raise", "clip", "na", "zero", "extend"]
OUTSIDE: dict[str, Outside] = {
    "raise": Outside(refused=True),
    "clip": Outside(clipped=True),
    "na": Outside(value=np.nan),
    "zero": Outside(value=0.0),
    "extend": Outside(),
}


@dataclass(frozen=True)
class BSplines:
    """B-splines of a degree on a knot sequence.

    Parameters
    ----------
    knots : tuple of float
        All knots, the boundary ones repeated ``degree + 1`` times.
    degree : int
        Degree of the polynomials.
    intercept : bool
        Whether the first B-spline is kept, so that the basis spans the constant.
    beyond : Outside
        What happens beyond the boundary knots.
    """

    knots: tuple[float, ...]
    degree: int
    intercept: bool = False
    beyond: Outside = OUTSIDE["raise"]

    def full(self, x: Array, derivative: int = 0) -> Array:
        """Return all B-splines (or their derivatives) at ``x``."""
        from scipy.interpolate import BSpline  # which imports scipy.optimize

        count = len(self.knots) - self.degree - 1
        spline = BSpline(np.array(self.knots), np.eye(count), self.degree)
        return np.asarray(spline(x, nu=derivative))

    def __call__(self, x: Array) -> Basis:
        """Return the basis at ``x``."""
        first = 0 if self.intercept else 1
        low, high = self.knots[0], self.knots[-1]
        outside = (x < low) | (x > high)
        if self.beyond.refused and outside.any():
            raise DataError(
                f"{int(outside.sum())} values lie outside {low:g} … {high:g}, where the spline was learnt (for example "
                f"{x[outside][0]:g}); write bs(…, extrapolation='extend') or 'clip' to allow them"
            )
        matrix = self.full(np.clip(x, low, high) if self.beyond.clipped else x)[:, first:]
        if self.beyond.value is not None:
            matrix[outside] = self.beyond.value
        return Basis(matrix, tuple(range(first, first + matrix.shape[1])), self.intercept)


@dataclass(frozen=True)
class NaturalSplines:
    """Cubic splines that are straight lines beyond the boundary knots.

    The cubic B-splines are restricted to the null space of their second derivatives at the boundary (Hastie, chapter 7
    of *Statistical Models in S*, 1992); that space is taken from the full QR decomposition, so that the basis is R's.
    """

    knots: tuple[float, ...]
    intercept: bool
    projection: Array = field(repr=False, compare=False)

    def __call__(self, x: Array) -> Basis:
        """Return the basis at ``x``."""
        low, high = self.knots[0], self.knots[-1]
        splines = BSplines(self.knots, 3)
        matrix = splines.full(np.clip(x, low, high))
        for edge, outside in ((low, x < low), (high, x > high)):
            if outside.any():
                slope = splines.full(np.array([edge]), derivative=1)
                matrix[outside] += (x[outside] - edge)[:, None] * slope
        matrix = matrix[:, 0 if self.intercept else 1 :] @ self.projection
        return Basis(matrix, tuple(range(1, matrix.shape[1] + 1)), self.intercept)


@dataclass(frozen=True)
class RegressionSplines:
    """formulaic's natural cubic regression spline with remembered knots and constraints."""

    options: dict[str, Any]
    state: dict[str, Any] = field(repr=False)

    def __call__(self, x: Array) -> Basis:
        """Return the basis at ``x``."""
        from formulaic.transforms import natural_cubic_spline

        try:
            columns = natural_cubic_spline(x, **self.options, _state=self.state)
        except ValueError as error:
            raise DataError(str(error)) from error
        return Basis(np.column_stack([np.asarray(column) for column in columns.values()]), tuple(columns))


def learn_bs(
    x: Array,
    df: int | None = None,
    knots: Sequence[float] | None = None,
    degree: int = 3,
    include_intercept: bool = False,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
    extrapolation: ExtrapolationName = "raise",
) -> BSplines:
    """Place the knots of a B-spline basis with ``df`` columns at quantiles of ``x``, or take those given."""
    beyond = checked_choice("extrapolation", extrapolation, OUTSIDE)
    degree = whole("the degree of bs", degree, 1)
    df = _checked_df("bs", df, len(x))
    low, high = _boundary(x, lower_bound, upper_bound)
    count = None if df is None else df - degree - bool(include_intercept)
    inner = _inner_knots("bs", x, df, knots, count, degree + bool(include_intercept), low, high)
    knots = (low,) * (degree + 1) + inner + (high,) * (degree + 1)
    return BSplines(knots, degree, bool(include_intercept), beyond)


def learn_ns(
    x: Array,
    df: int | None = None,
    knots: Sequence[float] | None = None,
    include_intercept: bool = False,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
) -> NaturalSplines:
    """Place the knots of a natural spline basis with ``df`` columns: boundary at the range, inner ones at quantiles."""
    intercept = bool(include_intercept)
    df = _checked_df("ns", df, len(x))
    low, high = _boundary(x, lower_bound, upper_bound)
    count = None if df is None else df - 1 - intercept
    inner = _inner_knots("ns", x, df, knots, count, 1 + intercept, low, high)
    all_knots = (low,) * 4 + inner + (high,) * 4
    curvature = BSplines(all_knots, 3).full(np.array([low, high]), derivative=2)[:, 0 if intercept else 1 :]
    Q = np.linalg.qr(curvature.T, mode="complete")[0]
    return NaturalSplines(all_knots, intercept, np.asarray(Q[:, 2:]))


def learn_cr(
    x: Array, df: int | None = None, knots: Sequence[float] | None = None, **options: Any
) -> RegressionSplines:
    """Learn formulaic's natural cubic regression spline (``cr``, ``cs``)."""
    splines = RegressionSplines({"df": _checked_df("cr", df, len(x)), "knots": knots, **options}, {})
    splines(x)
    return splines


def _checked_df(name: str, df: Any, n_rows: int) -> int | None:
    """Return the number of columns of a spline, which must fit into memory."""
    if df is None:
        return None
    count = whole(f"df of {name}", df, 1)
    check_basis(name, count, n_rows)
    return count


def _boundary(x: Array, lower: float | None, upper: float | None) -> tuple[float, float]:
    if not np.ptp(x) < np.inf:
        raise DataError("a spline needs finite values whose range is finite too")
    low = float(np.min(x)) if lower is None else float(lower)
    high = float(np.max(x)) if upper is None else float(upper)
    if not low < high:
        raise DataError("the values are constant, so that they have no spline")
    return low, high


def _inner_knots(
    name: str, x: Array, df: int | None, knots: Any, count: int | None, least: int, low: float, high: float
) -> tuple[float, ...]:
    """Return the inner knots: as given, or ``count`` quantiles of the ``x`` within the boundary."""
    if df is not None and knots is not None:
        raise SpecificationError(f"{name} takes either df or knots, not both")
    if knots is not None:
        inner = np.sort(np.atleast_1d(np.asarray(knots, dtype=np.float64)))
    elif count is None:
        inner = np.zeros(0)
    elif count < 0:
        raise SpecificationError(f"df of {name} must be at least {least}, found {df}")
    else:
        inner = np.quantile(x[(x >= low) & (x <= high)], np.linspace(0, 1, count + 2)[1:-1])
    if inner.size and (inner[0] <= low or inner[-1] >= high or np.any(np.diff(inner) <= 0)):
        raise DataError(
            f"the inner knots {np.round(inner, 6).tolist()} of {name} must be different and lie between {low:g} and "
            f"{high:g}; ask for a smaller df or give knots"
        )
    return tuple(inner.tolist())


LEARN_SPLINE: dict[str, Callable[..., Callable[[Any], Basis]]] = {
    "bs": learn_bs,
    "ns": learn_ns,
    "cr": learn_cr,
    "cs": learn_cr,
}
