"""Reading the columns that a residual structure names: numbers, levels, groups, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import written
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import DataError

__all__ = ["Columns", "Levels", "group_codes", "group_names", "numbers", "place", "read"]

Columns: TypeAlias = Mapping[str, Any] | pd.DataFrame
"""Column name to the values of the rows in use: arrays, Series or Categoricals, all of one length."""


def read(columns: Columns, name: str) -> pd.Series[Any]:
    """Return the column, without its index; refuse it if it is missing or has missing values."""
    if name not in columns:
        raise DataError(f"the residual structure needs the column {name!r}; the data have no such column")
    values = pd.Series(columns[name]).reset_index(drop=True)
    if values.isna().any():
        raise DataError(f"column {name!r} of the residual structure has {int(values.isna().sum())} missing values")
    return values


def numbers(columns: Columns, name: str) -> Array:
    """Return a numeric column (n,), finite."""
    values = read(columns, name)
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        raise DataError(
            f"column {name!r} of the residual structure must be numeric, found {_storage(values)}: convert it, "
            f"dates to days, for example (data[{name!r}] - data[{name!r}].min()).dt.days"
        )
    result = values.to_numpy(dtype=np.float64)
    if not np.all(np.isfinite(result)):
        raise DataError(f"column {name!r} of the residual structure has infinite values")
    return result


def _storage(values: pd.Series[Any]) -> str:
    """What a column holds, in words."""
    inner = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else pd.Index(values)
    example = f" such as {str(inner[0])!r}" if len(inner) else ""
    if pd.api.types.is_datetime64_any_dtype(inner.dtype) or pd.api.types.is_timedelta64_dtype(inner.dtype):
        return f"dates or times{example}"
    return f"text or categories{example}"


def level_label(value: Any) -> str:
    """Return what a level is called; whole numbers that are stored as floating point without their ``.0``."""
    whole = isinstance(value, float) and value.is_integer()
    return f"{value:.0f}" if whole else str(value)


def place(columns: Columns, names: Sequence[str], row: int) -> str:
    """Say where a row is: the names of some columns and its values there."""
    return ", ".join(f"{name} {written(read(columns, name).tolist()[row])}" for name in names)


@dataclass(frozen=True)
class Levels:
    """The distinct values of a column, in an order, and the level of every row."""

    name: str
    values: pd.Index[Any]
    codes: IntArray

    @classmethod
    def by_appearance(cls, columns: Columns, name: str) -> Levels:
        """Levels in the order of the categories, or of first appearance if the column is not categorical."""
        values = read(columns, name)
        if isinstance(values.dtype, pd.CategoricalDtype):
            return cls._of_categories(name, values)
        codes, levels = pd.factorize(values)
        return cls(name, pd.Index(levels), codes.astype(np.intp))

    @classmethod
    def sorted(cls, columns: Columns, name: str) -> Levels:
        """Levels in the order of the categories, or ascending if the column is not categorical."""
        values = read(columns, name)
        if isinstance(values.dtype, pd.CategoricalDtype):
            return cls._of_categories(name, values)
        codes, levels = pd.factorize(values, sort=True)
        return cls(name, pd.Index(levels), codes.astype(np.intp))

    @classmethod
    def _of_categories(cls, name: str, values: pd.Series[Any]) -> Levels:
        used = values.cat.remove_unused_categories()
        return cls(name, used.cat.categories, used.cat.codes.to_numpy().astype(np.intp))

    def contains(self, columns: pd.DataFrame) -> BoolArray:
        """Say which rows (n,) have one of the levels."""
        return np.asarray(self.values.get_indexer(pd.Index(columns[self.name].to_numpy())) >= 0)

    def of(self, columns: Columns) -> Levels:
        """Return these levels for other rows.

        Raises
        ------
        DataError
            If the rows have a level that is not among them.
        """
        values = read(columns, self.name)
        codes = self.values.get_indexer(pd.Index(values.to_numpy()))
        if np.any(codes < 0):
            unknown, known = values[codes < 0].unique().tolist(), self.values.tolist()
            raise DataError(
                f"column {self.name!r} has the level(s) {', '.join(map(written, unknown))}, unknown to the fitted "
                f"residual structure; known are {', '.join(map(written, known))}"
            )
        return Levels(self.name, self.values, codes.astype(np.intp))


def group_names(group: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the columns whose combination defines the groups, ``"a:b"`` being a and b; none for a single group."""
    return () if group is None else tuple(group.split(":")) if isinstance(group, str) else group


def group_codes(columns: Columns, names: tuple[str, ...], n: int) -> IntArray:
    """Number the combinations of the columns ``names``: codes (n,) from 0 on; one group if there are none."""
    codes = np.zeros(n, dtype=np.intp)
    for name in names:
        further, levels = pd.factorize(read(columns, name))
        codes = pd.factorize(codes * len(levels) + further)[0].astype(np.intp)
    return codes
