"""Prior weights and offsets: a column or an array given beside the formula, ``offset(…)`` terms within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices.columns import column_from_array, column_from_pandas
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.expressions import variables_in
from mixedfx.matrices.frame import Frame, as_frame
from mixedfx.matrices.missing import complete_rows, missing_of
from mixedfx.matrices.rows import Rows
from mixedfx.matrices.transforms import FittedTransform

__all__ = ["OffsetEncoder", "RowArgument", "read_argument"]


@dataclass(frozen=True)
class RowArgument:
    """A number for each row of the data, given as an argument.

    Parameters
    ----------
    argument : str
        Its name: ``weights`` or ``offset``.
    column : str or None
        The column that was named; None if an array was given.
    values : numpy.ndarray
        The numbers (n,) of all rows of the data, NaN where missing.
    """

    argument: str
    column: str | None
    values: Array

    @property
    def label(self) -> str:
        """How messages call it."""
        return self.argument if self.column is None else f"{self.argument} (column {self.column!r})"

    def missing(self) -> dict[str, BoolArray]:
        """Return where the numbers are missing."""
        places = np.isnan(self.values)
        return {self.column or self.argument: places} if places.any() else {}

    def used(self, keep: BoolArray | None) -> Array:
        """Return the numbers of the rows that are used.

        Raises
        ------
        DataError
            If one is infinite.
        """
        values = np.array(self.values if keep is None else self.values[keep])  # the caller's data may change later
        if np.isinf(values).any():
            raise DataError(f"{self.label} is infinite (inf) in {int(np.isinf(values).sum())} rows; it must be finite")
        return values


def read_argument(argument: str, given: Any, frame: Frame) -> RowArgument | None:
    """Return the weights or the offset that the user gave: a column's name, an array, or None.

    Raises
    ------
    DataError
        If the column is missing, or the array is not numeric or has another length or other rows than the data.
    TypeError
        If it is neither text nor an array.
    """
    if given is None:
        return None
    if isinstance(given, str):
        frame.require([given])
        return RowArgument(argument, given, frame.column(given).numbers)
    if isinstance(given, pd.Series):
        converted = column_from_pandas(argument, _aligned(argument, given, frame))
    elif np.ndim(given) == 0:
        raise TypeError(f"{argument} must be the name of a column or an array, found {type(given).__name__}")
    else:
        converted = column_from_array(argument, np.asarray(given))
    values = converted.numbers
    if len(values) != len(frame):
        raise DataError(
            f"{argument} has {len(values)} values for the {len(frame)} rows of the data (count before dropping)"
        )
    return RowArgument(argument, None, values)


def _aligned(argument: str, given: pd.Series[Any], frame: Frame) -> pd.Series[Any]:
    """Return the Series in the order of the rows; never by position against its labels."""
    if len(given) != len(frame) or given.index.equals(frame.index):
        return given
    unique = given.index.is_unique and frame.index.is_unique
    if unique and frame.index.isin(given.index).all():
        return given.reindex(frame.index)
    raise DataError(
        f"the index of {argument} is not that of the data; align it, or pass {argument}.to_numpy() to go by position"
    )


def check_weights(weights: RowArgument, values: Array) -> Array:
    """Return the weights of the rows that are used.

    Raises
    ------
    DataError
        If one is negative, or none is positive.
    """
    negative = values < 0
    if negative.any():
        raise DataError(
            f"{weights.label} must not be negative: {int(negative.sum())} values are, such as {values[negative][0]:g}"
        )
    if not np.any(values > 0):
        raise DataError(f"{weights.label} must be positive somewhere: all {len(values)} values are zero")
    return values


@dataclass(frozen=True)
class OffsetEncoder:
    """The offset of any data: ``offset(…)`` terms plus the argument.

    Parameters
    ----------
    expressions : tuple of str
        Evaluable text inside ``offset(…)``.
    column : str or None
        The column named by the argument.
    needs_array : bool
        Whether the argument was an array, which must be given again for new data.
    functions : mapping
        The user's own functions.
    learnt : tuple of dict
        What the transforms in the expressions learnt.
    given : numpy.ndarray or None
        The array that was the argument, in the rows (n,) of the fit; None if a column was named, or nothing given.
    """

    expressions: tuple[str, ...]
    column: str | None
    needs_array: bool
    functions: Mapping[str, Any]
    learnt: tuple[dict[str, FittedTransform], dict[str, pd.Index[Any]]]
    given: Array | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no offset at all."""
        return not self.expressions and self.column is None and not self.needs_array

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the data's columns that the offset uses."""
        named = () if self.column is None else (self.column,)
        return tuple(dict.fromkeys((*variables_in(self.expressions, self.functions), *named)))

    def encode(self, data: Any, offset: Any = None) -> Array | None:
        """Return the offset (n,) of new data, NaN where a column is missing; None if the model has none.

        Parameters
        ----------
        data : data frame or dict
            The new data.
        offset : str or array, optional
            Takes the place of the argument that the model was fitted with.

        Raises
        ------
        SpecificationError
            If the model was fitted with an array and none is given.
        """
        frame = as_frame(data)
        if offset is None and self.needs_array:
            raise SpecificationError(
                "the model was fitted with an array as offset: give offset=… for the new data too (one value a row)"
            )
        argument = read_argument("offset", self.column if offset is None else offset, frame)
        if not self.expressions and argument is None:
            return None
        total = np.zeros(len(frame)) if argument is None else argument.used(None)
        return total + self._formula_part(frame) if self.expressions else total

    def _formula_part(self, frame: Frame) -> Array:
        frame.require(variables_in(self.expressions, self.functions))
        keep = complete_rows(len(frame), missing_of(frame, self.expressions, self.functions)).keep
        total = np.full(len(frame), np.nan)
        total[slice(None) if keep is None else keep] = sum_of(
            self.expressions, Evaluator(Rows(frame, keep), self.functions, {}, self.learnt)
        )
        return total


def sum_of(expressions: Sequence[str], value: Evaluator) -> Array:
    """Return the sum (n,) of the expressions of ``offset(…)`` terms.

    Raises
    ------
    DataError
        If one is not a column of numbers.
    """
    total = np.zeros(value.rows.size)
    for expression in expressions:
        total = total + value.numbers(expression)
    return total
