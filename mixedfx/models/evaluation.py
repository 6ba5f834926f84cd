"""Evaluate a model without fitting it: parameters that a user gives, and what floating point makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices import Design

__all__ = ["checked_numbers", "checked_theta", "evaluated", "finite_pair"]

END = 1e-9  # relative: no farther beyond its end a correlation is taken for 1 or -1


def checked_numbers(what: str, given: Any, count: int) -> Array:
    """Return ``count`` finite numbers that a user gave, as a new array, or say what is wrong with them."""
    try:
        values = np.array(given, dtype=float)
    except (TypeError, ValueError):
        raise SpecificationError(f"{what} is an array of {count} numbers, found {given!r}") from None
    if values.shape != (count,):
        raise SpecificationError(f"{what} needs {count} numbers, found shape {values.shape}")
    if not np.all(np.isfinite(values)):
        raise SpecificationError(f"{what} must be finite, found {values.tolist()}")
    return values


def checked_theta(design: Design, theta: Array) -> Array:
    """Return covariance parameters (n_theta,) on the user's scale within their bounds, or name the one that is not.

    A correlation of exactly 1 or -1 is moved inside by the margin that the structures keep.
    """
    parts, start = [], 0
    for term in design.random:
        covariance = term.covariance
        own = theta[start : start + covariance.n_theta]
        start += own.size
        lower, upper = covariance.search_lower(), covariance.upper()
        legal = np.clip(own, lower, upper)
        wrong = np.abs(legal - own) > END * np.maximum(np.abs(legal), 1.0)
        if wrong.any():
            j = int(np.flatnonzero(wrong)[0])
            name = covariance.labels(term.names)[j]
            raise SpecificationError(
                f"theta of {term.term}: {name} = {own[j]:g} is not between {lower[j]:.4g} and {upper[j]:.4g}"
            )
        parts.append(legal)
    return np.concatenate(parts) if parts else theta


@contextmanager
def evaluated(what: str) -> Iterator[None]:
    """Turn what floating point cannot compute into an error of ours."""
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            yield
    except (FloatingPointError, np.linalg.LinAlgError) as error:
        raise DataError(f"the likelihood cannot be computed at these {what} ({error})") from error


def finite_pair(value: float, gradient: Array) -> tuple[float, Array]:
    """Return a value and its gradient, or raise where one is not finite."""
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        raise FloatingPointError("it overflows")
    return float(value), np.asarray(gradient)
