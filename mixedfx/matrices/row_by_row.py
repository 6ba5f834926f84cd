"""Functions of the user give each row its value whatever the other rows are: new data are other rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._suggestions import way_out
from mixedfx._typing import AnyArray, BoolArray
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices.values import Basis, Factor, Value

__all__ = ["check_row_by_row"]

SAME = 1e-9  # difference of two values, relative to the largest, that is rounding


def check_row_by_row(
    name: str, shown: str, value: Value, arguments: Sequence[Any], n: int, again: Callable[[BoolArray], Value]
) -> None:
    """Refuse a function that gives rows other values where it does not see the others.

    It is asked for the rows with the smaller values of its first argument alone, and for those with the larger ones:
    what depends on a mean, a largest value or ranks is another one there.

    Parameters
    ----------
    name, shown : str
        The function and its call.
    value : Value
        Of all rows.
    arguments : sequence
        What the function was given.
    n : int
        Number of rows.
    again : callable
        The value of some of the rows alone, as new data would have it.

    Raises
    ------
    SpecificationError
        If their values are not those that they have among all rows, or cannot be had.
    """
    said = f"{shown}: {name} does not work row by row"
    says = way_out("functions", "whole_column")
    for some in _halves(arguments, n):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                alone = again(some)
        except Exception as error:  # whatever a function of the user raises
            raise SpecificationError(f"{said}: for half of the rows alone it fails ({error}); {says}") from error
        if not _is_same(_numbers(value), _numbers(alone), some):
            raise SpecificationError(
                f"{said}: half of the rows alone have other values than among all rows, as new data would; {says}"
            )


def _halves(arguments: Sequence[Any], n: int) -> list[BoolArray]:
    """Which rows have the smaller values of the first argument that varies, and which the larger ones."""
    if n < 2:
        return []
    keys = [_key(argument) for argument in arguments]
    varying = (key for key in keys if key.ndim == 1 and len(key) == n and np.any(key != key[0]))
    lower = np.zeros(n, dtype=bool)
    lower[np.argsort(next(varying, np.arange(n)), kind="stable")[: n // 2]] = True
    return [lower, ~lower]


def _key(argument: Any) -> AnyArray:
    """What rows are ordered by: the numbers of an argument, or the codes of its labels."""
    if isinstance(argument, pd.Categorical):
        return np.asarray(argument.codes)
    if isinstance(argument, np.ndarray) and argument.dtype.kind in "biuf":
        return argument[:, 0] if argument.ndim == 2 else argument
    return np.zeros(())


def _numbers(value: Value) -> AnyArray:
    if isinstance(value, Factor):
        return value.labels.codes
    return value.matrix if isinstance(value, Basis) else np.asarray(value)


def _is_same(whole: AnyArray, alone: AnyArray, some: BoolArray) -> bool:
    """Whether rows have the values alone that they have among all, but for rounding; one number is that of all rows."""
    expected = whole[some] if whole.ndim else whole
    if expected.shape != alone.shape:
        return False
    size = np.abs(whole[np.isfinite(whole)]).max(initial=0.0)
    return bool(np.allclose(alone, expected, rtol=0.0, atol=SAME * float(size), equal_nan=True))
