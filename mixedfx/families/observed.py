"""What was observed: the checked response of a family, with everything that does not depend on a parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from mixedfx._arguments import written
from mixedfx._typing import AnyArray, Array, BoolArray
from mixedfx.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COUNTS",
    "NON_NEGATIVE",
    "OPEN_UNIT",
    "POSITIVE",
    "POSITIVE_COUNTS",
    "PROPORTIONS",
    "REAL",
    "ImpossibleValueError",
    "Observed",
    "Support",
    "numeric",
    "refuse",
]

Atoms: TypeAlias = Literal["none", "zero", "integers"]


@dataclass(frozen=True)
class Support:
    """The values that a response may take.

    Parameters
    ----------
    description : str
        Words for an error message: "… needs <description>".
    contains : callable
        From an array to a boolean array.
    atoms : {"none", "zero", "integers"}
        Single values with positive probability.
    hint : str
        What to write instead, for an error message.
    """

    description: str
    contains: Callable[[Array], BoolArray]
    atoms: Atoms = "none"
    hint: str = ""


def _whole(y: Array) -> BoolArray:
    return np.equal(y, np.floor(y))


def _is_real(y: Array) -> BoolArray:
    return np.isfinite(y)


def _is_count(y: Array) -> BoolArray:
    return (y >= 0) & np.isfinite(y) & _whole(y)


def _is_positive_count(y: Array) -> BoolArray:
    return (y > 0) & np.isfinite(y) & _whole(y)


def _is_positive(y: Array) -> BoolArray:
    return (y > 0) & np.isfinite(y)


def _is_non_negative(y: Array) -> BoolArray:
    return (y >= 0) & np.isfinite(y)


def _in_open_unit(y: Array) -> BoolArray:
    return (y > 0) & (y < 1)


def _in_unit(y: Array) -> BoolArray:
    return (y >= 0) & (y <= 1)


ZEROS_HINT = "; zeros can have a process of their own (zero_inflation=)"
REAL = Support("finite numbers", _is_real)
COUNTS = Support("non-negative whole numbers", _is_count, "integers")
POSITIVE_COUNTS = Support("positive whole numbers", _is_positive_count, "integers", hint=ZEROS_HINT)
POSITIVE = Support("positive numbers", _is_positive, hint=ZEROS_HINT)
NON_NEGATIVE = Support("non-negative numbers", _is_non_negative, "zero")
UNIT_HINT = (
    "; divide percentages by 100; counts of successes are binomial, cbind(successes, failures); zeros can have a "
    "process of their own (zero_inflation=); measured zeros and ones can be moved inside: (y * (n - 1) + 0.5) / n"
)
OPEN_UNIT = Support("numbers strictly between 0 and 1", _in_open_unit, hint=UNIT_HINT)
PROPORTIONS = Support("0/1 values, or proportions between 0 and 1 with their trials", _in_unit, "integers")


def numeric(y: Any, what: str) -> Array:
    """Return a float vector, or a DataError that shows what cannot be a number."""
    values: AnyArray = np.asarray(y)
    if values.ndim != 1:
        raise DataError(f"{what} must be one column; found an array of shape {values.shape}")
    try:
        return values.astype(float)
    except (TypeError, ValueError) as error:
        text = next((str(value) for value in values.flat if isinstance(value, str)), str(values.flat[0]))
        raise DataError(f"{what} must be numeric; found {text!r}") from error


class ImpossibleValueError(DataError):
    """A value that a family cannot have: what is said before and after the place (n,) at which it stands."""

    def __init__(self, before: str, place: int, after: str) -> None:
        super().__init__(before, place, after)
        self.before, self.place, self.after = before, place, after

    def __str__(self) -> str:
        return f"{self.before} in row {self.place}{self.after}"

    def in_rows(self, rows: pd.Index[Any]) -> DataError:
        """Return the error with the name of the row in place of its number."""
        return DataError(f"{self.before} in row {rows[self.place]}{self.after}")


def refuse(good: BoolArray, values: Array, what: str, hint: str = "") -> None:
    """Raise an error that names the first bad value and where it stands, if there is one."""
    bad = np.flatnonzero(~good)
    if bad.size:
        more = f" (and {bad.size - 1} more)" if bad.size > 1 else ""
        raise ImpossibleValueError(f"{what} {written(values[bad[0]])}", int(bad[0]), f"{more}{hint}")


@dataclass(frozen=True)
class Observed:
    """A response that has passed its family's check; made by :meth:`Family.observe`.

    Parameters
    ----------
    y : array of shape (n,)
        On the family's own scale: successes for a binomial, category numbers 0, 1, … for an ordinal response.
    trials : array of shape (n,)
        Binomial denominators, ones for the other families.
    constant : array of shape (n,)
        Terms of the log-likelihood in which there is no parameter at all.
    multiplier : array of shape (n,), optional
        Weights that multiply the log-likelihood of a row.
    log_precision : array of shape (n,), optional
        Logarithm of weights that divide the dispersion of a row.
    inner : Observed, optional
        What the family inside a zero-inflated one sees.
    """

    y: Array
    trials: Array
    constant: Array
    multiplier: Array | None = None
    log_precision: Array | None = None
    inner: Observed | None = None

    @cached_property
    def outcome(self) -> Array | None:
        """1 where all trials of a row succeeded, -1 where all failed (n,); None where a row has some of both."""
        failed = self.y == 0
        return np.where(failed, -1.0, 1.0) if np.all(failed | (self.y == self.trials)) else None

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.y.shape[0])

    def where(self, mask: BoolArray) -> Observed:
        """What a mask (n,), or (R, n) of several responses, lets through, as rows of one response."""

        def chosen(part: Array) -> Array:
            return np.broadcast_to(part, mask.shape)[mask]

        return replace(
            self,
            y=chosen(self.y),
            trials=chosen(self.trials),
            constant=chosen(self.constant),
            multiplier=None if self.multiplier is None else chosen(self.multiplier),
            log_precision=None if self.log_precision is None else chosen(self.log_precision),
            inner=None if self.inner is None else self.inner.where(mask),
        )

    def take(self, rows: AnyArray | slice) -> Observed:
        """Some of the rows (positions, a mask, or a slice, which copies nothing)."""
        return replace(
            self,
            y=self.y[rows],
            trials=self.trials[rows],
            constant=self.constant[rows],
            multiplier=None if self.multiplier is None else self.multiplier[rows],
            log_precision=None if self.log_precision is None else self.log_precision[rows],
            inner=None if self.inner is None else self.inner.take(rows),
        )
