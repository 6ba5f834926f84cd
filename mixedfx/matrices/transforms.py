"""Functions of formulas: elementwise ones, and those that learn from the data and are replayed on new data.

A learner takes the values of the data that the model is fitted to (and its options) and returns a *fitted transform*:
an immutable, picklable function that is applied to those values and, later, to new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices.labels import Labels
from mixedfx.matrices.limits import check_basis
from mixedfx.matrices.values import Basis, Factor, Value

__all__ = ["ELEMENTWISE", "FittedTransform", "lag", "learn_center", "learn_cut", "learn_poly", "learn_scale", "whole"]

FittedTransform = Callable[[Any], Value]


def _round(x: Any, decimals: float = 0) -> Any:
    return np.round(x, int(decimals))


def _identity(x: Any) -> Any:
    return x


#: Functions of each row alone.
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "log": np.log,
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
