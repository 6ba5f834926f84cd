"""One column of a data frame, whatever its storage: as numbers, as labels, and where it is missing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._lazy import cached_property
from mixedfx._typing import AnyArray, Array, BoolArray
from mixedfx.exceptions import DataError
from mixedfx.matrices.labels import Labels, factorize

__all__ = [
    "DataColumn",
    "FactorColumn",
    "NumberColumn",
    "RefusedColumn",
    "TextColumn",
    "TimeColumn",
    "column_from_array",
    "column_from_pandas",
]


class DataColumn(ABC):
    """A named column of n values.

    Parameters
    ----------
    name : str
        Its name in the data.
    dtype : str
        The storage, as error messages show it.
    """

    #: Whether formulas read the column as a factor; otherwise as numbers.
    is_factor: bool = False
    #: Whether the values are True and False, which formulas read as 1 and 0.
    is_logical: bool = False

    def __init__(self, name: str, dtype: str) -> None:
        self.name = name
        self.dtype = dtype

    @property
    @abstractmethod
    def numbers(self) -> Array:
        """The values (n,) as float64, NaN where missing; possibly the caller's own memory."""

    @property
    @abstractmethod
    def labels(self) -> Labels:
        """The values as labels."""

    @property
    @abstractmethod
    def missing(self) -> BoolArray | None:
        """Where the values are missing (n,), or None if nowhere."""


class NumberColumn(DataColumn):
    """Integers, floats or booleans, in numpy or in a nullable extension array."""

    def __init__(self, name: str, dtype: str, values: Any, *, is_logical: bool = False) -> None:
        super().__init__(name, dtype)
        self._values = values
        self.is_logical = is_logical

    @cached_property
    def numbers(self) -> Array:
        """The values as float64."""
        if isinstance(self._values, np.ndarray):
            return self._values.astype(np.float64, copy=False)
        return np.asarray(self._values.to_numpy(dtype=np.float64, na_value=np.nan))

    @cached_property
    def labels(self) -> Labels:
        """The distinct values in increasing order, in their own dtype (large integers stay exact)."""
        return factorize(self.name, self._values)

    @cached_property
    def missing(self) -> BoolArray | None:
        """Where the values are NaN or NA."""
        if isinstance(self._values, np.ndarray) and self._values.dtype.kind in "iub":
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isnan(np.add.reduce(self.numbers)):  # a NaN would spread: one pass without a temporary array
                return None
        missing = np.isnan(self.numbers)
        return missing if missing.any() else None


class FactorColumn(DataColumn):
    """A categorical column: the categories give the order of the levels."""

    is_factor = True

    def __init__(self, name: str, dtype: str, codes: AnyArray, categories: pd.Index[Any]) -> None:
        super().__init__(name, dtype)
        self._codes, self._categories = codes, categories

    @property
    def categories(self) -> pd.Index[Any]:
        """All categories in their order, those that do not occur included."""
        return self._categories

    @property
    def numbers(self) -> Array:
        """Refused: categories are not numbers."""
        raise DataError(_not_numeric(self.name, self.dtype, _example(self.labels.levels)))

    @cached_property
    def labels(self) -> Labels:
        """The categories that occur, in the order of the categories."""
        return Labels(self._codes.astype(np.intp), self._categories).without_unused()

    @cached_property
    def missing(self) -> BoolArray | None:
        """Where no category is given."""
        missing = self._codes < 0
        return missing if missing.any() else None


class TextColumn(DataColumn):
    """Strings: a factor whose levels are sorted."""

    is_factor = True

    def __init__(self, name: str, dtype: str, values: Any) -> None:
        super().__init__(name, dtype)
        self._values = values

    @property
    def numbers(self) -> Array:
        """Refused: text is not a number."""
        raise DataError(_not_numeric(self.name, self.dtype, _example(self.labels.levels)))

    @cached_property
    def labels(self) -> Labels:
        """The distinct strings, sorted."""
        return factorize(self.name, self._values)

    @cached_property
    def missing(self) -> BoolArray | None:
        """Where there is no string."""
        missing = self.labels.codes < 0
        return missing if missing.any() else None


class TimeColumn(TextColumn):
    """Dates, times or durations: labels of groups, never numbers."""

    is_factor = False

    @property
    def numbers(self) -> Array:
        """Refused: the unit and the origin are the user's to choose."""
        raise DataError(
            f"column {self.name!r} holds dates or times (dtype {self.dtype}), not numbers: choose a unit and an origin "
            f"first, for example (data[{self.name!r}] - data[{self.name!r}].min()).dt.days"
        )


class RefusedColumn(DataColumn):
    """Values that have no meaning in a model: complex numbers, nested objects, mixtures of types."""

    def __init__(self, name: str, dtype: str, reason: str) -> None:
        super().__init__(name, dtype)
        self._reason = reason

    def _refusal(self) -> DataError:
        return DataError(f"column {self.name!r} (dtype {self.dtype}) cannot be used: {self._reason}")

    @property
    def numbers(self) -> Array:
        """Refused."""
        raise self._refusal()

    @property
    def labels(self) -> Labels:
        """Refused."""
        raise self._refusal()

    @property
    def missing(self) -> BoolArray | None:
        """Refused."""
        raise self._refusal()


def _not_numeric(name: str, dtype: str, example: str) -> str:
    return f"column {name!r} is not numeric (dtype {dtype}{example}): convert it, or use it as a factor"


def _example(levels: pd.Index[Any]) -> str:
    return f", for example {levels[0]!r}" if len(levels) else ""


def column_from_pandas(name: str, series: pd.Series[Any]) -> DataColumn:
    """Return the column of a pandas Series of any dtype."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return column_from_array(name, series.to_numpy())
    text = str(dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        return FactorColumn(name, "category", np.asarray(series.array.codes), dtype.categories)
    if isinstance(dtype, pd.SparseDtype):
        return column_from_array(name, np.asarray(series.array.to_dense()))
    if pd.api.types.is_string_dtype(dtype):
        return TextColumn(name, text, series.array)
    if pd.api.types.is_complex_dtype(dtype):
        return RefusedColumn(name, text, _COMPLEX)
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return NumberColumn(name, text, series.array, is_logical=pd.api.types.is_bool_dtype(dtype))
    if isinstance(dtype, (pd.DatetimeTZDtype, pd.PeriodDtype)):
        return TimeColumn(name, text, series.array)
    return column_from_array(name, series.to_numpy(dtype=object))


def column_from_array(name: str, values: AnyArray) -> DataColumn:
    """Return the column of a one-dimensional numpy array.

    Raises
    ------
    DataError
        If the array has more than one dimension.
    """
    if values.ndim != 1:
        raise DataError(f"column {name!r} has {values.ndim} dimensions (shape {values.shape}); give one value a row")
    kind, dtype = values.dtype.kind, str(values.dtype)
    values = _native(values)
    if kind in "fiub":
        return NumberColumn(name, dtype, values, is_logical=kind == "b")
    if kind in "mM":
        return TimeColumn(name, dtype, values)
    if kind == "c":
        return RefusedColumn(name, dtype, _COMPLEX)
    if kind in "SU":
        return TextColumn(name, dtype, values.astype(object))
    if kind == "O":
        return _column_of_objects(name, values)
    return RefusedColumn(name, dtype, "structured values are not supported; take one field")


def _native(values: AnyArray) -> AnyArray:
    """Return the values in the byte order of the machine, and half-precision numbers in single: pandas needs both."""
    native = values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))
    return native.astype(np.float32) if native.dtype == np.float16 else native


_COMPLEX = "complex numbers are not supported; model the real and the imaginary part (or modulus and argument)"
_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty"}
_TIMES = {"datetime64", "datetime", "date", "time", "timedelta64", "timedelta", "period"}


def _column_of_objects(name: str, values: AnyArray) -> DataColumn:
    """Return the column that the Python objects in ``values`` stand for."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "string":
        return TextColumn(name, "object", values)
    if kind in _NUMBERS:
        missing = pd.isna(values)
        numbers = np.where(missing, np.nan, values).astype(np.float64)
        return NumberColumn(name, "object", numbers, is_logical=kind == "boolean")
    if kind in _TIMES:
        return TimeColumn(name, "object", values)
    if kind == "complex":
        return RefusedColumn(name, "object", _COMPLEX)
    types = sorted({type(value).__name__ for value in values[~_is_missing(values)][:1000]})
    reason = f"the values have type {types[0]}" if len(types) == 1 else f"the values mix the types {', '.join(types)}"
    return RefusedColumn(name, "object", f"{reason}; make them numbers or text, for example with .astype(str)")


def _is_missing(values: AnyArray) -> BoolArray:
    """Return where an object array is missing, treating nested lists as present."""
    return np.fromiter((value is None or value is pd.NA or value != value for value in values), bool, len(values))
