"""The order of rows in time within groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.covariance.residual.columns import Columns, group_codes, numbers, read
from mixedfx.exceptions import DataError

__all__ = ["GridTimes", "RealTimes", "TimeOrder", "Times"]


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
            found = times[times != np.round(times)][0]
            raise DataError(
                f"AR1: times must be integers, column {self.name!r} contains {found:g}; "
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
        found = cls.sort(columns, names, within, times)
        if found.gaps.size == 0:
            raise DataError(f"no group of {':'.join(within)} has two rows: their correlation cannot be estimated")
        return found

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
            where = "".join(f", {name} {read(columns, name).tolist()[row]!r}" for name in within)
            remedy = "" if within else ", as all rows are one: name the groups, group=…"
            raise DataError(f"column {names[0]!r} has the same time {t[row]:g} twice in one group{where}{remedy}")
        return cls(names, within, times, groups, order, follows, gaps)

    def again(self, columns: Columns) -> TimeOrder:
        """Sort other rows in the same way."""
        return TimeOrder.sort(columns, self.names, self.group_names, self.times)
