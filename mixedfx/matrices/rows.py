"""The rows of a model: those with a value of everything and something to say, their weights and their offsets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import Expression, columns_in, display
from mixedfx.matrices.columns import column_from_array, column_from_pandas
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.frame import Frame, FrameRows, as_frame
from mixedfx.matrices.transforms import FittedTransform
from mixedfx.matrices.values import Factor

__all__ = [
    "Completeness",
    "MissingName",
    "OffsetEncoder",
    "RowArgument",
    "complete_rows",
    "left_out",
    "missing_of",
    "read_argument",
]

MissingName: TypeAlias = Literal["drop", "raise"]


@dataclass(frozen=True)
class Completeness:
    """Which rows a model uses: the complete ones that carry information.

    Parameters
    ----------
    keep : numpy.ndarray of bool or None
        The rows (n,) that are used; None if all are.
    counts : dict
        Number of missing values by source (a column, an expression, ``weights``, ``offset``), where there are any.
    n_rows : int
        Number of rows before leaving any out.
    silent : dict
        Number of rows left out because they say nothing, by reason: ``"their weight is zero"``.
    """

    keep: BoolArray | None
    counts: dict[str, int]
    n_rows: int
    silent: dict[str, int] = field(default_factory=dict)

    @property
    def n_dropped(self) -> int:
        """Number of rows left out."""
        return 0 if self.keep is None else int(self.n_rows - self.keep.sum())

    @property
    def n_missing(self) -> int:
        """Number of rows left out because of missing values."""
        return self.n_dropped - sum(self.silent.values())

    @property
    def listed(self) -> str:
        """The sources with their counts: ``y (2), x (1)``."""
        return _listed(self.counts)

    def notes(self) -> list[str]:
        """Say in words how many rows were left out and why."""
        return left_out(self.n_rows, self.n_missing, self.counts, self.silent)

    def without(self, silent: BoolArray, reason: str) -> Completeness:
        """Leave out the rows that say nothing: ``silent`` (k,) of the k rows that are used so far."""
        if not silent.any():
            return self
        keep = np.ones(self.n_rows, dtype=bool) if self.keep is None else self.keep.copy()
        keep[np.flatnonzero(keep)[silent]] = False
        return replace(self, keep=keep, silent={**self.silent, reason: int(silent.sum())})

    def enforce(self, missing: MissingName) -> None:
        """Apply the user's choice ``missing``: "drop" or "raise".

        Raises
        ------
        DataError
            If values are missing and ``missing`` is "raise", or no complete row is left.
        """
        if missing not in get_args(MissingName):
            raise SpecificationError(f"missing must be 'drop' or 'raise', found {missing!r}")
        if self.n_missing and missing == "raise":
            raise DataError(
                f"{self.n_missing} of {self.n_rows} rows have missing values: {self.listed}; fill them in, or leave "
                "the rows out with missing='drop'"
            )
        if self.n_dropped == self.n_rows:
            reasons = [f"has a missing value: {self.listed}"] if self.counts else []
            reasons += ["says nothing: " + " or ".join(self.silent)] if self.silent else []
            raise DataError(f"no rows are left: each of the {self.n_rows} rows {', or '.join(reasons)}")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())


def left_out(n_rows: int, n_missing: int, counts: Mapping[str, int], silent: Mapping[str, int]) -> list[str]:
    """Say in words how many of the rows were left out and why: ``counts`` of missing values, ``silent`` by reason."""
    reasons = [(count, f"because {reason}") for reason, count in silent.items()]
    if n_missing:
        reasons.append((n_missing, f"because of missing values: {_listed(counts)}"))
    return [f"{count} of {n_rows} rows {'was' if count == 1 else 'were'} left out {why}" for count, why in reasons]


def missing_of(frame: Frame, expressions: Iterable[Expression], functions: Mapping[str, Any]) -> dict[str, BoolArray]:
    """Return where the columns that ``expressions`` need are missing, and where ``lag(…)`` reaches beyond the data."""
    places: dict[str, BoolArray] = {}
    seen: set[str] = set()
    for expression in expressions:
        for name in expression.row_columns:
            if name in seen or name not in frame:
                continue
            seen.add(name)
            missing = frame.column(name).missing
            if missing is not None:
                places[name] = missing
        for lagged in expression.lags:
            places |= _missing_of_lag(frame, lagged, functions)
    return places


def _missing_of_lag(frame: Frame, expression: Expression, functions: Mapping[str, Any]) -> dict[str, BoolArray]:
    value = Evaluator(FrameRows(frame), functions, {}).unchecked(expression)
    missing = value.labels.codes < 0 if isinstance(value, Factor) else np.isnan(value)
    return {display(expression): missing} if missing.any() else {}


def complete_rows(n_rows: int, missing: Mapping[str, BoolArray]) -> Completeness:
    """Combine the places that are ``missing`` by source."""
    if not missing:
        return Completeness(None, {}, n_rows)
    keep = ~np.logical_or.reduce(list(missing.values()))
    return Completeness(keep, {name: int(places.sum()) for name, places in missing.items()}, n_rows)


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
    """Read the weights or the offset that the user gave: a column's name, an array, or None.

    Returns
    -------
    RowArgument or None

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
    """Return the weights (n,) of the rows that are used.

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
    expressions : tuple of Expression
        Inside ``offset(…)``.
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

    expressions: tuple[Expression, ...]
    column: str | None
    needs_array: bool
    functions: Mapping[str, Any]
    learnt: tuple[dict[str, FittedTransform], dict[str, pd.Index[Any]]]
    given: Array | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the data's columns that the offset uses."""
        named = () if self.column is None else (self.column,)
        return tuple(dict.fromkeys((*columns_in(self.expressions), *named)))

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
        frame.require(columns_in(self.expressions))
        keep = complete_rows(len(frame), missing_of(frame, self.expressions, self.functions)).keep
        total = np.full(len(frame), np.nan)
        total[slice(None) if keep is None else keep] = sum_of(
            self.expressions, Evaluator(FrameRows(frame, keep), self.functions, {}, self.learnt)
        )
        return total


def sum_of(expressions: Sequence[Expression], value: Evaluator) -> Array:
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
