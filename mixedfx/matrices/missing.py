"""The rows of a model: those with a value of everything and with something to say; the others are counted and named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixedfx._typing import BoolArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula.names import column, display
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.expressions import names_in
from mixedfx.matrices.frame import Frame
from mixedfx.matrices.rows import Rows
from mixedfx.matrices.values import Factor

__all__ = ["Completeness", "complete_rows", "missing_of"]


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
        return ", ".join(f"{name} ({count})" for name, count in self.counts.items())

    def notes(self) -> list[str]:
        """Say in words how many rows were left out and why."""
        notes = [self._left_out(count, f"because {reason}") for reason, count in self.silent.items()]
        if self.n_missing:
            notes.append(self._left_out(self.n_missing, f"because of missing values: {self.listed}"))
        return notes

    def _left_out(self, count: int, why: str) -> str:
        return f"{count} of {self.n_rows} rows {'was' if count == 1 else 'were'} left out {why}"

    def without(self, silent: BoolArray, reason: str) -> Completeness:
        """Leave out the rows that say nothing: ``silent`` (k,) of the k rows that are used so far."""
        if not silent.any():
            return self
        keep = np.ones(self.n_rows, dtype=bool) if self.keep is None else self.keep.copy()
        keep[np.flatnonzero(keep)[silent]] = False
        return replace(self, keep=keep, silent={**self.silent, reason: int(silent.sum())})

    def enforce(self, missing: str) -> None:
        """Apply the user's choice ``missing``: "drop" or "raise".

        Raises
        ------
        DataError
            If values are missing and ``missing`` is "raise", or no complete row is left.
        """
        if missing not in ("drop", "raise"):
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


def missing_of(frame: Frame, expressions: Iterable[str], functions: Mapping[str, Any]) -> dict[str, BoolArray]:
    """Return where the columns that ``expressions`` need are missing, and where ``lag(…)`` reaches beyond the data."""
    found: dict[str, BoolArray] = {}
    seen: set[str] = set()
    for expression in expressions:
        names, lags = ((expression,), ()) if expression.isidentifier() else names_in(expression)
        for identifier in names:
            name = column(identifier)
            if name in seen or name not in frame:
                continue
            seen.add(name)
            missing = frame.column(name).missing
            if missing is not None:
                found[name] = missing
        for lagged in lags:
            found |= _missing_of_lag(frame, lagged, functions)
    return found


def _missing_of_lag(frame: Frame, expression: str, functions: Mapping[str, Any]) -> dict[str, BoolArray]:
    value = Evaluator(Rows(frame), functions, {}).unchecked(expression)
    missing = value.labels.codes < 0 if isinstance(value, Factor) else np.isnan(value)
    return {display(expression): missing} if missing.any() else {}


def complete_rows(n_rows: int, missing: Mapping[str, BoolArray]) -> Completeness:
    """Combine the places that are ``missing`` by source."""
    if not missing:
        return Completeness(None, {}, n_rows)
    keep = ~np.logical_or.reduce(list(missing.values()))
    return Completeness(keep, {name: int(places.sum()) for name, places in missing.items()}, n_rows)
