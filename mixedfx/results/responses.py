"""Responses that a user gives in place of the fitted one."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.design import Design
from mixedfx.exceptions import DataError

__all__ = ["checked_responses"]


def checked_responses(design: Design, values: Any) -> Array:
    """Return responses as (n, R), one row for each row that the fit uses.

    Raises
    ------
    DataError
        If a value is no number, the number of rows is not that of the fit (or of its data), or a value is missing or
        infinite.
    """
    Y = _numbers(values)
    Y = Y[:, None] if Y.ndim == 1 else Y
    n = design.n_rows
    if design.keep is not None and Y.ndim == 2 and len(Y) == design.keep.size:
        Y = Y[design.keep]
    if Y.ndim != 2 or len(Y) != n:
        raise DataError(f"a response needs one number for each of the {n} rows of the fit; found shape {Y.shape}")
    missing = int(np.sum(~np.isfinite(Y)))
    if missing:
        first = int(np.flatnonzero(~np.isfinite(Y).all(axis=1))[0])
        raise DataError(
            f"{missing} values of the new responses are missing or infinite, the first in row {first}: a response "
            f"needs one finite number for each of the {n} rows of the fit"
        )
    return Y


def _numbers(values: Any) -> Array:
    """Return an array of floats; text, dates and complex numbers are refused, not converted."""
    try:
        found = np.asarray(values)
    except ValueError:
        raise DataError("the new responses differ in length: give one column a response, one number a row") from None
    if found.dtype.kind not in "biuf":
        odd = [value for value in found.flat if not _is_real(value)][:1]
        if odd:
            raise DataError(f"the new responses must be numbers, one column a response; found {str(odd[0])!r}")
        found = np.where(pd.isna(found), np.nan, found)
    return np.asarray(found, dtype=float)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real | Decimal) or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))
