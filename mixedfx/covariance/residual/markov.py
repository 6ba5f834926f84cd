"""Residual correlation that decays with the distance in time: AR(1) at discrete times, CAR(1) at any."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.linalg import solve_banded

from mixedfx._arguments import written
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, IntArray
from mixedfx.covariance.residual.columns import Columns, group_codes, group_names, numbers, place, read
from mixedfx.covariance.residual.scales import LOGIT_REACH, Bounded, DecayRate, Parameters
from mixedfx.covariance.residual.structure import BoundCorrelation, CorrelationStructure, check_group, check_name
from mixedfx.exceptions import DataError, SpecificationError

__all__ = ["AR1", "CAR1", "GridTimes", "RealTimes", "TimeOrder", "Times"]


class Times(ABC):
    """How the times of the rows are read."""

    @abstractmethod
    def values(self, columns: Columns, groups: IntArray) -> Array:
        """Return the times (n,)."""


@dataclass(frozen=True)
class GridTimes(Times):
    """Integer times, positions in an ordered categorical, or the order of the rows."""

    name: str | None

    def values(self, columns: Columns, groups: IntArray) -> Array:
        """Return the times (n,)."""
        if self.name is None:
            return _positions(groups)
        values = read(columns, self.name)
        if isinstance(values.dtype, pd.CategoricalDtype):
            return np.asarray(values.cat.codes, dtype=np.float64)
        times = numbers(columns, self.name)
        if np.any(times != np.round(times)):
            between = times[times != np.round(times)][0]
            raise DataError(
                f"AR1: times must be integers, column {self.name!r} contains {written(between)}; "
                f"use CAR1({self.name!r}, …) for times in between"
            )
        return times


@dataclass(frozen=True)
class RealTimes(Times):
    """Any numeric times."""

    name: str

    def values(self, columns: Columns, groups: IntArray) -> Array:
        """Return the times (n,)."""
        return numbers(columns, self.name)


def _positions(groups: IntArray) -> Array:
    """Count the rows (n,) of each group in the order in which they come."""
    return np.asarray(pd.Series(groups).groupby(groups).cumcount(), dtype=np.float64)


@dataclass(frozen=True)
class TimeOrder:
    """The rows sorted by group and time.

    Attributes
    ----------
    names, group_names : tuple of str
        All columns, and those of the group.
    times : Times
    groups : (n,) array
        Group of every row, in the data's order.
    order : (n,) array
        Rows sorted by group, then time.
    follows : (n,) bool array
        Whether a sorted row has a predecessor in its group: the sorted row before it.
    gaps : (n - number of groups,) array
        Distances to those predecessors.
    """

    names: tuple[str, ...]
    group_names: tuple[str, ...]
    times: Times
    groups: IntArray
    order: IntArray
    follows: IntArray
    gaps: Array

    @classmethod
    def of(cls, columns: Columns, names: tuple[str, ...], within: tuple[str, ...], times: Times) -> TimeOrder:
        """Sort the rows of ``columns``; refuse equal times in a group, and data without two rows in any group."""
        order = cls.sort(columns, names, within, times)
        if order.gaps.size == 0:
            raise DataError(f"no group of {':'.join(within)} has two rows: their correlation cannot be estimated")
        return order

    @classmethod
    def sort(cls, columns: Columns, names: tuple[str, ...], within: tuple[str, ...], times: Times) -> TimeOrder:
        """Sort the rows of ``columns``; refuse equal times in a group."""
        groups = group_codes(columns, within, len(read(columns, names[0])))
        t = times.values(columns, groups)
        order = np.lexsort((t, groups))
        follows = np.flatnonzero(np.diff(groups[order]) == 0) + 1
        gaps = (t[order[follows]] - t[order[follows - 1]]).astype(np.float64)
        if np.any(gaps == 0):
            row = order[follows[gaps == 0][0]]
            where = f", {place(columns, within, row)}" if within else ""
            remedy = "" if within else ", as all rows are one: name the groups, group=…"
            raise DataError(
                f"column {names[0]!r} has the same time {written(t[row])} twice in one group{where}{remedy}"
            )
        return cls(names, within, times, groups, order, follows, gaps)

    def again(self, columns: Columns) -> TimeOrder:
        """Sort other rows in the same way."""
        return TimeOrder.sort(columns, self.names, self.group_names, self.times)


@hinting_methods
@dataclass(frozen=True)
class AR1(CorrelationStructure):
    """First-order autoregression: the correlation is ``phi ** steps``, ``-1 < phi < 1``.

    Parameters
    ----------
    time : str, optional
        Integer times, or a categorical column whose order is that of time; gaps are allowed. A step is the greatest
        common divisor of all distances in a group, so that ages 8, 10, 12 and 14 are one step apart. Without it the
        rows of a group stand one step apart in the order in which they come.
    group : str or tuple of str, optional
        Rows of different groups are independent; ``"a:b"`` or ``("a", "b")`` combine two columns. One series if
        omitted.

    Examples
    --------
    >>> bound = AR1("age", group="Subject").bind({"age": [8, 10, 14], "Subject": ["a", "a", "a"]})
    >>> bound.names
    ('phi',)
    """

    time: str | None = None
    group: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.time is None and self.group is None:
            raise SpecificationError("AR1 needs the name of the time column, of the group, or of both")
        if self.time is not None:
            check_name("AR1", "time", self.time)
        check_group("AR1", self.group)

    @property
    def columns(self) -> tuple[str, ...]:
        """The time and the group."""
        return (*(() if self.time is None else (self.time,)), *group_names(self.group))

    def bind_variances(self, columns: Columns) -> tuple[()]:
        """Return nothing: the variances are equal."""
        return ()

    def bind_correlation(self, columns: Columns) -> MarkovCorrelation:
        """Return the correlation for the rows of ``columns``."""
        order = TimeOrder.of(columns, self.columns, group_names(self.group), GridTimes(self.time))
        step = float(np.gcd.reduce(order.gaps.astype(np.int64)))
        parameters = Parameters.elementwise(("phi",), Bounded(-1.0, 1.0), 0.0, LOGIT_REACH)
        return MarkovCorrelation(order, PowerDecay(step), parameters)

    def __str__(self) -> str:
        return f"AR(1) over {self.time or 'rows'}" + _within(self.group)


@hinting_methods
@dataclass(frozen=True)
class CAR1(CorrelationStructure):
    """Continuous-time autoregression (Ornstein-Uhlenbeck): the correlation is ``phi ** distance``, ``0 < phi < 1``.

    Parameters
    ----------
    time : str
        Numeric, distinct within a group.
    group : str or tuple of str, optional
        Rows of different groups are independent; ``"a:b"`` or ``("a", "b")`` combine two columns. One series if
        omitted.

    Examples
    --------
    >>> bound = CAR1("time", group="g").bind({"time": [0.5, 0.1, 2.0], "g": [1, 1, 1]})
    >>> bound.names
    ('phi',)
    """

    time: str
    group: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_name("CAR1", "time", self.time)
        check_group("CAR1", self.group)

    @property
    def columns(self) -> tuple[str, ...]:
        """The time and the group."""
        return (self.time, *group_names(self.group))

    def bind_variances(self, columns: Columns) -> tuple[()]:
        """Return nothing: the variances are equal."""
        return ()

    def bind_correlation(self, columns: Columns) -> MarkovCorrelation:
        """Return the correlation for the rows of ``columns``."""
        order = TimeOrder.of(columns, self.columns, group_names(self.group), RealTimes(self.time))
        unit = float(np.median(order.gaps))
        parameters = Parameters.elementwise(("phi",), DecayRate(unit), 0.0, LOGIT_REACH)
        return MarkovCorrelation(order, ExponentialDecay(unit), parameters)

    def __str__(self) -> str:
        return f"CAR(1) over {self.time}" + _within(self.group)


def _within(group: str | tuple[str, ...] | None) -> str:
    names = group_names(group)
    return f" within {':'.join(names)}" if names else ""


class Decay(ABC):
    """Correlation r of neighbours as a function of their distance."""

    @abstractmethod
    def at(self, x: float, gaps: Array) -> tuple[Array, Array, Array]:
        """Return r, ``dr / dx`` and ``1 - r**2`` at each of ``gaps``, the last without cancellation."""


@dataclass(frozen=True)
class PowerDecay(Decay):
    """``phi ** (gap / step)`` with ``phi = tanh(x / 2)``."""

    step: float

    def at(self, x: float, gaps: Array) -> tuple[Array, Array, Array]:
        """Return r, ``dr / dx`` and ``1 - r**2``."""
        lags = np.rint(gaps / self.step)
        if np.any(lags * self.step != gaps):
            raise DataError(f"AR1: the times are not whole steps of {self.step:g} apart, as they were in the fit")
        phi, tail = np.tanh(x / 2), np.exp(-abs(x))
        log_phi = np.log(-np.expm1(-abs(x))) - np.log1p(tail) if x != 0 else -np.inf
        slope = 2 * tail / (1 + tail) ** 2
        return phi**lags, lags * phi ** (lags - 1) * slope, -np.expm1(2 * lags * log_phi)


@dataclass(frozen=True)
class ExponentialDecay(Decay):
    """``exp(-e**x gap / unit)``."""

    unit: float

    def at(self, x: float, gaps: Array) -> tuple[Array, Array, Array]:
        """Return r, ``dr / dx`` and ``1 - r**2``."""
        exponents = np.exp(x) * gaps / self.unit
        r = np.exp(-exponents)
        return r, -exponents * r, -np.expm1(-2 * exponents)


@dataclass(frozen=True)
class MarkovCorrelation(BoundCorrelation):
    """Each row given its predecessor: ``(m_t - r m_(t-1)) / sqrt(1 - r**2)`` is white."""

    rows: TimeOrder
    decay: Decay
    parameters: Parameters

    @property
    def groups(self) -> IntArray:
        """Group (n,) of every row."""
        return self.rows.groups

    @cached_property
    def _distinct(self) -> tuple[Array, IntArray]:
        gaps, position = np.unique(self.rows.gaps, return_inverse=True)
        return gaps, position.astype(np.intp)

    @cached_property
    def _pairs(self) -> tuple[IntArray, IntArray]:
        """Each row that has a predecessor, and the predecessor."""
        order, follows = self.rows.order, self.rows.follows
        return order[follows], order[follows - 1]

    def _at(self, rho: Array) -> tuple[Array, Array, Array]:
        """Return r, dr and ``1 - r**2`` for each pair."""
        gaps, position = self._distinct
        r, slope, innovation = self.decay.at(float(rho[0]), gaps)
        return r[position], slope[position], innovation[position]

    def whiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(-1/2) M`` (n, k)."""
        r, _, innovation = self._at(rho)
        rows, previous = self._pairs
        result = np.array(M)
        result[rows] = (M[rows] - r[:, None] * M[previous]) / np.sqrt(innovation)[:, None]
        return result

    def whiten_derivative(self, rho: Array, M: Array) -> Array:
        """Return its derivative (1, n, k)."""
        r, slope, innovation = self._at(rho)
        rows, previous = self._pairs
        white = M[rows] - r[:, None] * M[previous]
        result = np.zeros((1, *M.shape))
        shrink, stretch = slope / np.sqrt(innovation), r * slope / innovation**1.5
        result[0, rows] = stretch[:, None] * white - shrink[:, None] * M[previous]
        return result

    def unwhiten(self, rho: Array, M: Array) -> Array:
        """Return ``C**(1/2) M`` (n, k) by solving the bidiagonal system of :meth:`whiten`."""
        r, _, innovation = self._at(rho)
        order, follows = self.rows.order, self.rows.follows
        bands = np.zeros((2, len(order)))
        bands[0] = 1.0
        bands[0, follows] = 1 / np.sqrt(innovation)
        bands[1, follows - 1] = -r / np.sqrt(innovation)
        result = np.empty_like(M)
        result[order] = solve_banded((1, 0), bands, M[order])
        return result

    def logdet(self, rho: Array) -> float:
        """Return ``log |C|``."""
        return float(np.sum(np.log(self._at(rho)[2])))

    def logdet_derivative(self, rho: Array) -> Array:
        """Return ``d log |C| / d rho`` (1,)."""
        r, slope, innovation = self._at(rho)
        return np.array([-2.0 * np.sum(r * slope / innovation)])

    def rebind(self, columns: Columns) -> MarkovCorrelation:
        """Return the correlation of other rows."""
        return MarkovCorrelation(self.rows.again(columns), self.decay, self.parameters)
