"""Responses that a user gives in place of the fitted one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import plain_numbers
from mixedfx._typing import AnyArray, Array
from mixedfx.exceptions import DataError
from mixedfx.matrices import Design

__all__ = ["checked_response", "checked_responses", "missing_values", "names_of_columns", "responses_in_rows"]


def responses_in_rows(design: Design, values: Any) -> Array:
    """Return responses as (n, R), one row for each row that the fit uses; nan where a value is missing.

    Raises
    ------
    DataError
        If a value is no number, or the number of rows is not that of the fit (or of its data).
    """
    design.need_rows("fits to other responses")
    columns = isinstance(values, Mapping)
    Y = plain_numbers("the new responses", list(values.values()) if columns else values)
    Y = Y.T if columns else Y
    Y = Y[:, None] if Y.ndim == 1 else Y
    n = design.n_rows
    if design.keep is not None and Y.ndim == 2 and len(Y) == design.keep.size:
        Y = Y[design.keep]
    if Y.ndim != 2 or len(Y) != n:
        raise DataError(f"a response needs one number for each of the {n} rows of the fit; found shape {Y.shape}")
    return Y


def missing_values(Y: Array, rows: pd.Index[Any]) -> AnyArray:
    """Say of every response (n, R) how many values are missing or infinite (R,); empty where none is."""
    words = np.full(Y.shape[1], "", dtype=object)
    for column in np.flatnonzero(~np.isfinite(Y).all(axis=0)):
        absent = np.flatnonzero(~np.isfinite(Y[:, column]))
        several = f"{absent.size} values are missing or infinite, the first in row {rows[absent[0]]}"
        words[column] = several if absent.size > 1 else f"the value in row {rows[absent[0]]} is missing or infinite"
    return words


def checked_responses(design: Design, values: Any) -> Array:
    """Return responses as (n, R), one row for each row that the fit uses.

    Raises
    ------
    DataError
        As :func:`responses_in_rows`, or if a value is missing or infinite.
    """
    Y = responses_in_rows(design, values)
    missing = int(np.sum(~np.isfinite(Y)))
    if missing:
        first = design.index[int(np.flatnonzero(~np.isfinite(Y).all(axis=1))[0])]
        raise DataError(
            f"{missing} values of the new responses are missing or infinite, the first in row {first}: a response "
            f"needs one finite number for each of the {design.n_rows} rows of the fit"
        )
    return Y


def checked_response(design: Design, values: Any) -> Array:
    """Return one response (n,).

    Raises
    ------
    DataError
        As :func:`checked_responses`, or if there are several.
    """
    Y = checked_responses(design, values)
    if Y.shape[1] != 1:
        raise DataError(
            f"refit takes one response, found {Y.shape[1]} columns: give one of them (refit_many takes all)"
        )
    return np.asarray(Y[:, 0])


def names_of_columns(values: Any) -> list[Any] | None:
    """Return the names of the columns of a table of any kind, of a dict of arrays or a Series; None for arrays."""
    if isinstance(values, Mapping):
        return list(values)
    if isinstance(values, pd.Series):
        return None if values.name is None else [values.name]
    names = getattr(values, "column_names", getattr(values, "columns", None))
    return None if names is None else list(names)
