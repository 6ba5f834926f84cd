"""Spline bases of formulas: ``bs`` (B-splines), ``ns`` (R's natural splines), ``cr`` (cubic regression splines)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.interpolate import BSpline

from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices.limits import check_basis
from mixedfx.matrices.transforms import whole
from mixedfx.matrices.values import Basis

__all__ = ["LEARN_SPLINE", "BSplines", "NaturalSplines", "RegressionSplines", "learn_bs", "learn_cr", "learn_ns"]


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
    extrapolation : str
        What happens beyond the boundary knots: "raise" (an error), "clip", "na", "zero", or "extend", by which the end
        polynomials go on (as in R).
    """

    knots: tuple[float, ...]
    degree: int
    intercept: bool = False
    extrapolation: str = "raise"

    def full(self, x: Array, derivative: int = 0) -> Array:
        """Return all B-splines (or their derivatives) at ``x``."""
        count = len(self.knots) - self.degree - 1
        spline = BSpline(np.array(self.knots), np.eye(count), self.degree)
        return np.asarray(spline(x, nu=derivative))

    def __call__(self, x: Array) -> Basis:
        """Return the basis at ``x``."""
        first = 0 if self.intercept else 1
        low, high = self.knots[0], self.knots[-1]
        outside = (x < low) | (x > high)
        if self.extrapolation == "raise" and outside.any():
            raise DataError(
                f"{int(outside.sum())} values lie outside {low:g} … {high:g}, where the spline was learnt (for example "
                f"{x[outside][0]:g}); write bs(…, extrapolation='extend') or 'clip' to allow them"
            )
        matrix = self.full(np.clip(x, low, high) if self.extrapolation == "clip" else x)[:, first:]
        if self.extrapolation in ("na", "zero"):
            matrix[outside] = np.nan if self.extrapolation == "na" else 0.0
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
    extrapolation: str = "raise",
) -> BSplines:
    """Place the knots of a B-spline basis with ``df`` columns at quantiles of ``x``, or take those given."""
    degree = whole("the degree of bs", degree, 1)
    df = _checked_df("bs", df, len(x))
    low, high = _boundary(x, lower_bound, upper_bound)
    count = None if df is None else df - degree - bool(include_intercept)
    inner = _inner_knots("bs", x, df, knots, count, degree + bool(include_intercept), low, high)
    knots = (low,) * (degree + 1) + inner + (high,) * (degree + 1)
    return BSplines(knots, degree, bool(include_intercept), extrapolation)


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
