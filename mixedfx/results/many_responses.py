"""Many responses as they come: a table of any kind, a dict, an array on disk, or one table after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import AnyArray, Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices import Design
from mixedfx.results.responses import names_of_columns, responses_in_rows

__all__ = ["Responses", "Stream", "responses_of"]


@dataclass(frozen=True)
class Responses:
    """Some of the responses: values (n, r) in the rows of the fit, nan where missing, and their names."""

    values: Array
    names: pd.Index[Any]


@dataclass(frozen=True)
class Stream:
    """Responses as they come, and how many there will be, if that is known."""

    chunks: Iterator[Responses]
    count: int | None


def responses_of(design: Design, Y: Any, names: Sequence[Any] | None, size: int) -> Stream:
    """Return the responses of ``Y``, at most ``size`` at a time.

    Parameters
    ----------
    design : Design
        Whose rows the responses are for.
    Y : table, dict, array (n, R), or an iterator of these
    names : sequence, optional
        A name for each; else those of the columns, else 0, 1, …
    size : int
        How many at a time.

    Raises
    ------
    SpecificationError
        If there is not one name for each, or two have the same.
    DataError
        If a response has the wrong number of rows, is not made of numbers, or there is none at all.
    """
    given = None if names is None else _listed(names)
    if isinstance(Y, Iterator):
        chunks = _named((part for block in Y for part in _read(design, block).parts(size)), given)
        return Stream(chunks, None if given is None else len(given))
    table = _read(design, Y)
    _check_count(given, table.width)
    return Stream(_named(table.parts(size), given), table.width)


def _listed(names: Any) -> list[Any]:
    return [names] if isinstance(names, str) else list(names)


@dataclass(frozen=True)
class _Table:
    """Responses in columns; an array on disk stays there until its columns are asked for."""

    design: Design
    values: AnyArray
    names: list[Any] | None

    @property
    def width(self) -> int:
        return int(self.values.shape[1])

    def parts(self, size: int) -> Iterator[tuple[Array, list[Any] | None]]:
        """Yield values (n, r) and names of ``size`` columns at a time."""
        for start in range(0, self.width, size):
            own = slice(start, start + size)
            yield responses_in_rows(self.design, self.values[:, own]), None if self.names is None else self.names[own]


def _read(design: Design, Y: Any) -> _Table:
    is_plain = isinstance(Y, np.ndarray) and Y.ndim == 2 and Y.dtype.kind in "biuf"
    values = Y if is_plain else responses_in_rows(design, Y)
    if is_plain:
        responses_in_rows(design, values[:, :1])  # a wrong number of rows is told before anything is fitted
    return _Table(design, values, names_of_columns(Y))


def _named(parts: Iterator[tuple[Array, list[Any] | None]], given: list[Any] | None) -> Iterator[Responses]:
    """Give every response its name, and see to it that no two have the same."""
    count, known = 0, set[Any]()
    for values, own in parts:
        first, count = count, count + values.shape[1]
        if given is not None and count > len(given):
            _check_count(given, count)
        found = given[first:count] if given is not None else own
        names = pd.RangeIndex(first, count) if found is None else pd.Index(found, tupleize_cols=False)
        _check_distinct(names, known)
        yield Responses(values, names)
    if not count:
        raise DataError("there is no response to fit: Y has no columns")
    _check_count(given, count)


def _check_count(given: list[Any] | None, count: int) -> None:
    if given is not None and len(given) != count:
        raise SpecificationError(f"names needs one name for each of the {count} responses; found {len(given)}")


def _check_distinct(names: pd.Index[Any], known: set[Any]) -> None:
    """Add names to those that are ``known``; refuse those that are already."""
    if isinstance(names, pd.RangeIndex):
        return
    before, own = len(known), list(names)
    twice = next((name for name in own if name in known), None)
    known.update(own)
    if len(known) != before + len(own):
        twice = names[names.duplicated()][0] if twice is None else twice
        raise SpecificationError(f"two responses have the same name {twice!r}: rename one of them, or give names=")
