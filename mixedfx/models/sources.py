"""Data that are read piece by piece: of the columns that a model needs, codes of labels and plain numbers are kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import AnyArray
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices.columns import DataColumn, FactorColumn, NumberColumn, TextColumn, TimeColumn
from mixedfx.matrices.frame import Frame, as_frame
from mixedfx.matrices.labels import Labels
from mixedfx.models.inputs import StoredFrame

__all__ = ["frame_of", "is_read_in_pieces", "once_only"]

LIBRARIES = ("duckdb", "_duckdb", "polars", "dask", "dask_expr", "pyarrow")  # of which some objects are read in pieces


def frame_of(data: Any, mentioned: Sequence[Any]) -> Frame:
    """Return the data as a frame; a source is read once, piece by piece, the columns that are ``mentioned``.

    Parameters
    ----------
    data : data frame, dict of arrays, or a source of :func:`mixedfx.cross_products`
    mentioned : sequence
        Formulas and names of columns; what is no text is passed over.

    Raises
    ------
    SpecificationError
        If the source is an iterator, which gives its rows once: what follows a fit may need them again.
    """
    if not is_read_in_pieces(data):
        return as_frame(data)
    from mixedfx.scale.sources import as_source

    source = as_source(data)
    if not source.can_be_read_again:
        raise once_only(source.name)
    names = _mentioned(next(source.heads()).names, mentioned)
    pieces = [_Piece.of(as_frame(frame), names) for frame in source.frames(names)]
    return _together([piece for piece in pieces if piece is not None], names)


def is_read_in_pieces(data: Any) -> bool:
    """Say whether data are a source that is read piece by piece."""
    if isinstance(data, Frame | pd.DataFrame | Mapping | np.ndarray) or not _may_be_read_in_pieces(data):
        return False
    from mixedfx.scale.sources import is_source

    return is_source(data)


def once_only(name: str) -> SpecificationError:
    """Return the error for rows that can be read once."""
    return SpecificationError(
        f"the data are {name}, which gives its rows once: a generalised model looks at them at every step. "
        "Give a source that can be read again (a list of frames, Parquet files, a database, a Dask dataframe)"
    )


def _may_be_read_in_pieces(data: Any) -> bool:
    if isinstance(data, str):
        return os.path.exists(data) or data.endswith(".parquet")
    library = type(data).__module__.partition(".")[0]
    if library in LIBRARIES or isinstance(data, list | tuple | Iterator | os.PathLike):
        return True
    return isinstance(data, Iterable) and not hasattr(data, "columns")


def _mentioned(columns: Sequence[str], texts: Sequence[Any]) -> list[str]:
    """The columns whose name occurs in one of the texts: more than are needed, perhaps."""
    said = " ".join(str(text) for text in texts if text is not None and not isinstance(text, np.ndarray | pd.Series))
    return [name for name in columns if name in said]


class _Piece:
    """The columns of one piece, ready to be put together."""

    def __init__(self, n: int, columns: dict[str, DataColumn]) -> None:
        self.n, self.columns = n, columns

    @classmethod
    def of(cls, frame: Frame, names: Sequence[str]) -> _Piece | None:
        if len(frame) == 0:
            return None
        frame.require(names)
        return cls(len(frame), {name: _compact(frame.column(name)) for name in names})


class _Coded(TextColumn):
    """Text or times by their codes."""

    def __init__(self, name: str, dtype: str, labels: Labels) -> None:
        super().__init__(name, dtype, None)
        self.__dict__["labels"] = labels


class _CodedTime(TimeColumn):
    """Times by their codes."""

    def __init__(self, name: str, dtype: str, labels: Labels) -> None:
        super().__init__(name, dtype, None)
        self.__dict__["labels"] = labels


def _compact(column: DataColumn) -> DataColumn:
    """A column by its codes, without the values that they were made of; numbers as they are."""
    if isinstance(column, TimeColumn):
        return _CodedTime(column.name, column.dtype, column.labels)
    if isinstance(column, TextColumn):
        return _Coded(column.name, column.dtype, column.labels)
    return column


def _together(pieces: Sequence[_Piece], names: Sequence[str]) -> Frame:
    n = sum(piece.n for piece in pieces)
    columns = {name: _joined(name, [piece.columns[name] for piece in pieces]) for name in names}
    return StoredFrame(columns, pd.RangeIndex(n))


def _joined(name: str, parts: Sequence[DataColumn]) -> DataColumn:
    """One column of the parts; what holds labels in one part and numbers in another is labels as text."""
    from mixedfx.scale.sums import KeyLevels

    kinds = {type(part) for part in parts}
    if all(isinstance(part, NumberColumn) for part in parts):
        values = np.concatenate([_numbers(part) for part in parts])
        return NumberColumn(name, str(values.dtype), values, is_logical=all(part.is_logical for part in parts))
    total: KeyLevels | None = None
    for part in parts:
        own = KeyLevels(part.labels.levels, part.categories if isinstance(part, FactorColumn) else None)
        total = own if total is None else total + own
    levels, _ = (total or KeyLevels(pd.Index([]))).ordered()
    codes = [levels.get_indexer(part.labels.levels)[part.labels.codes] for part in parts]
    for part, own_codes in zip(parts, codes, strict=True):
        own_codes[part.labels.codes < 0] = -1
    labels = Labels(np.concatenate(codes), levels)
    if kinds == {_CodedTime}:
        return _CodedTime(name, parts[0].dtype, labels)
    if kinds == {FactorColumn}:
        return FactorColumn(name, "category", labels.codes, levels)
    return _Coded(name, parts[0].dtype, labels)


def _numbers(column: DataColumn) -> AnyArray:
    """Whole numbers in their own type where none is missing."""
    labels_free = column.missing is None and not column.is_logical
    values = getattr(column, "_values", None)
    return values if labels_free and isinstance(values, np.ndarray) else column.numbers
