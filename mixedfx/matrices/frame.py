"""Any data frame as named columns (pandas, whatever narwhals reads, a dict of arrays), and the rows of it in use."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._suggestions import way_out
from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import DataError
from mixedfx.matrices.columns import (
    DataColumn,
    FactorColumn,
    RefusedColumn,
    TextColumn,
    TimeColumn,
    column_from_array,
    column_from_pandas,
)
from mixedfx.matrices.dates import style_of
from mixedfx.matrices.labels import Labels, cased, numerals, spaced

__all__ = [
    "DictFrame",
    "Frame",
    "FrameRows",
    "NarwhalsFrame",
    "PandasFrame",
    "as_frame",
    "missing_column",
    "slip_notes",
    "text_notes",
    "unnamed_hint",
    "used_columns",
]

CODES = frozenset({9.0, 99.0, 999.0, 9999.0, 99999.0})  # that stand for missing values, most often with a minus
LEVELS_OF_NUMBERS = tuple(f"all of its values are numbers{sign} (" for sign in ("", " with a percent sign"))
MANY_LEVELS = 10  # of text, all of them numbers, from which on a note is worth its place


class Frame(ABC):
    """Columns by name; each is converted once, when it is first asked for.

    Parameters
    ----------
    names : tuple of str
        Names of the columns; columns whose name is not text cannot be used in a formula and are left out.
    index : pandas.Index
        Labels of the rows.
    unnamed : tuple
        The names that are not text: those of columns that are left out.
    """

    def __init__(self, names: Sequence[str], index: pd.Index[Any], unnamed: Sequence[Any] = ()) -> None:
        self.names = tuple(names)
        self.index = index
        self.unnamed = tuple(unnamed)
        self._columns: dict[str, DataColumn] = {}

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, name: str) -> bool:
        return name in self._columns or name in self.names

    @abstractmethod
    def _convert(self, name: str) -> DataColumn:
        """Return the column called ``name``, which exists."""

    def column(self, name: str) -> DataColumn:
        """Return the column called ``name``.

        Raises
        ------
        DataError
            If there is none, or more than one.
        """
        column = self._columns.get(name)
        if column is None:
            count = self.names.count(name)
            if count == 0:
                raise missing_column([name], self.names, self.unnamed)
            if count > 1:
                raise DataError(f"the data have {count} columns called {name!r}: rename or drop all but one")
            column = self._columns[name] = self._convert(name)
        return column

    def require(self, names: Iterable[str]) -> None:
        """Raise a DataError that names every column of ``names`` that is missing."""
        absent = [name for name in dict.fromkeys(names) if name not in self]
        if absent:
            raise missing_column(absent, self.names, self.unnamed)


def missing_column(absent: Sequence[str], names: Sequence[str], unnamed: Sequence[Any] = ()) -> DataError:
    """Return the error for columns that the data don't have, with close names."""
    listed = ", ".join(map(repr, absent))
    for name in absent:
        if says := way_out("column", name):
            return DataError(f"the data have no column {name!r}: {says}")
        if (meant := _computed(name, names)) is not None:
            return DataError(
                f"the data have no column {name!r}; what is computed is given as numbers, {meant}, or as a column of "
                "the data"
            )
    message = f"the data have no column {listed}" if len(absent) == 1 else f"the data have no columns {listed}"
    message += unnamed_hint(unnamed)
    close = dict.fromkeys(match for name in absent for match in get_close_matches(name, names, n=2))
    if close:
        return DataError(f"{message}; did you mean {' or '.join(map(repr, close))}?")
    shown = ", ".join(map(repr, names[:12])) + (", …" if len(names) > 12 else "")
    return DataError(f"{message}; there are {shown or 'no columns'}")


def _computed(text: str, names: Sequence[str]) -> str | None:
    """Return the expression that computes what was asked for as if it were a column; None if it is a plain name."""
    used = [name for name in re.findall(r"[^\W\d]\w*", text) if name in names]
    if not used or not re.search(r"[-+*/()^]", text):
        return None
    expression = re.sub(r"[^\W\d]\w*", lambda found: f"data[{found[0]!r}]" if found[0] in used else found[0], text)
    return re.sub(r"\b(log|log2|log10|log1p|exp|sqrt)\(", r"np.\1(", expression)


def unnamed_hint(unnamed: Sequence[Any]) -> str:
    """Return what to do about columns whose name is not text; empty without any."""
    if not unnamed:
        return ""
    few = ", ".join(repr(name) for name in unnamed[:5]) + (", …" if len(unnamed) > 5 else "")
    return (
        f" (columns whose name is not text cannot stand in a formula: {few}; rename them, for example "
        "data.columns = ['_'.join(map(str, np.atleast_1d(name))) for name in data.columns])"
    )


class PandasFrame(Frame):
    """A pandas DataFrame."""

    def __init__(self, data: pd.DataFrame) -> None:
        names = list(data.columns)
        unnamed = [name for name in names if not isinstance(name, str)]
        super().__init__([name for name in names if isinstance(name, str)], data.index, unnamed)
        self._data = pd.DataFrame(data)  # columns that the caller adds or replaces later are not ours

    def _convert(self, name: str) -> DataColumn:
        return column_from_pandas(name, self._data[name])


class DictFrame(Frame):
    """A dict of equally long one-dimensional arrays; a single value stands for all rows."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in data.items() if isinstance(name, str)}
        lengths = {name: len(value) for name, value in self._values.items() if not _is_single(value)}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
            raise DataError(f"the columns of the data differ in length: {listed}")
        n = next(iter(lengths.values()), 1 if self._values else 0)
        series = {name: value for name, value in self._values.items() if isinstance(value, pd.Series)}
        index: pd.Index[Any] = next((value.index for value in series.values()), pd.RangeIndex(n))
        for name, value in series.items():
            if not value.index.equals(index):
                raise DataError(
                    f"the Series {name!r} and {next(iter(series))!r} of the data have different indexes; put them into "
                    "one DataFrame, or pass arrays to go by position"
                )
        super().__init__(tuple(self._values), index)

    def _convert(self, name: str) -> DataColumn:
        value = self._values[name]
        if _is_single(value):
            value = [value] * len(self)
        if isinstance(value, pd.Series):
            return column_from_pandas(name, value)
        if isinstance(value, np.ma.MaskedArray):
            masked, value = np.ma.getmaskarray(value), value.data.astype(object)
            value[masked] = None
        if isinstance(value, np.ndarray):
            return column_from_array(name, value)
        if isinstance(value, (list, tuple, range, pd.Index)) or pd.api.types.is_extension_array_dtype(value):
            return column_from_pandas(name, pd.Series(value))
        return _from_narwhals_series(name, value)


def _is_single(value: Any) -> bool:
    return isinstance(value, str) or not hasattr(value, "__len__")


class NarwhalsFrame(Frame):
    """Any eager data frame that narwhals knows."""

    def __init__(self, data: Any) -> None:
        super().__init__(tuple(data.columns), pd.RangeIndex(len(data)))
        self._data = data

    def _convert(self, name: str) -> DataColumn:
        return _column_of_series(name, self._data[name])


def _from_narwhals_series(name: str, value: Any) -> DataColumn:
    """Return the column of a series of another library."""
    import narwhals.stable.v1 as nw

    try:
        series = nw.from_native(value, series_only=True)
    except TypeError:
        return column_from_array(name, np.asarray(value))
    return _column_of_series(name, series)


def _column_of_series(name: str, series: Any) -> DataColumn:
    """Return the column of a narwhals Series; categories keep their order where they have one."""
    import narwhals.stable.v1 as nw

    dtype = series.dtype
    text = str(dtype)
    if dtype == nw.String or (dtype == nw.Categorical and not _keeps_category_order(series)):
        return column_from_array(name, np.array(series.cast(nw.String()).to_list(), dtype=object))
    if dtype == nw.Categorical or dtype == nw.Enum:
        levels = pd.Index(series.cat.get_categories().to_list(), dtype=object)
        codes = pd.Categorical(series.cast(nw.String()).to_list(), categories=levels).codes
        return FactorColumn(name, text, np.asarray(codes), levels)
    if dtype.is_nested() or dtype == nw.Object:
        return RefusedColumn(name, text, "nested values are not supported; take one value a row")
    if dtype.is_numeric() and not dtype.is_decimal() and series.null_count() == 0:
        return column_from_array(name, np.asarray(series.to_numpy()))
    if dtype.is_temporal():
        return column_from_pandas(name, pd.Series(series.to_list()))
    return column_from_array(name, np.array(series.to_list(), dtype=object))


def _keeps_category_order(series: Any) -> bool:
    """Say whether the categories have an order; polars' Categorical, which has none, is text stored as numbers."""
    import narwhals.stable.v1 as nw

    return series.implementation is not nw.Implementation.POLARS


def as_frame(data: Any) -> Frame:
    """Read any tabular data by name.

    Returns
    -------
    Frame
        ``data`` itself if it is one.

    Raises
    ------
    TypeError
        If ``data`` is not tabular.
    """
    if isinstance(data, Frame):
        return data
    if isinstance(data, pd.DataFrame):
        return PandasFrame(data)
    if isinstance(data, Mapping):
        return DictFrame(data)
    if isinstance(data, np.ndarray) and data.dtype.names:
        return DictFrame({name: data[name] for name in data.dtype.names})
    if isinstance(data, str):
        raise TypeError(f"data must be a data frame, found the text {_short(data)}: {_meant_by(data)}")
    import narwhals.stable.v1 as nw

    try:
        return NarwhalsFrame(nw.from_native(data, eager_only=True))
    except TypeError as error:
        kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__name__}".removeprefix("builtins.")
        says = way_out("data", "lazy", dir(data))
        raise TypeError(
            "data must be a data frame (pandas, polars, pyarrow, …) or a dict of arrays, "
            f"found {kind}{says and f': {says}'}"
        ) from error


def _short(text: str) -> str:
    return repr(text if len(text) < 60 else f"{text[:59]}…")


def _meant_by(text: str) -> str:
    if "~" in text:
        return "the formula comes first, then the data"
    return way_out("data", text.rpartition(".")[2]) or way_out("data", "text")


class FrameRows:
    """A frame restricted to the rows where ``keep`` holds (all rows if it is None).

    Parameters
    ----------
    frame : Frame
        The data.
    keep : numpy.ndarray of bool, optional
        The rows (n,) that are used.
    """

    def __init__(self, frame: Frame, keep: BoolArray | None = None) -> None:
        self.frame, self.keep = frame, keep
        self.size = len(frame) if keep is None else int(keep.sum())
        self._labels: dict[str, Labels] = {}
        self._numbers: dict[str, Array] = {}

    @property
    def index(self) -> pd.Index[Any]:
        """Labels of the rows that are used."""
        return self.frame.index if self.keep is None else self.frame.index[self.keep]

    def all(self) -> FrameRows:
        """Return all rows of the frame."""
        return self if self.keep is None else FrameRows(self.frame)

    def some(self, chosen: BoolArray) -> FrameRows:
        """Return those of the rows where ``chosen`` (n,) holds."""
        if self.keep is None:
            return FrameRows(self.frame, chosen)
        keep = np.zeros(len(self.keep), dtype=bool)
        keep[self.keep] = chosen
        return FrameRows(self.frame, keep)

    def is_factor(self, name: str) -> bool:
        """Say whether a formula reads the column as a factor."""
        return self.frame.column(name).is_factor

    def is_logical(self, name: str) -> bool:
        """Say whether the values of a column are True and False."""
        return self.frame.column(name).is_logical

    def numbers(self, name: str) -> Array:
        """Return the values of a column as float64; do not write to them."""
        values = self._numbers.get(name)
        if values is None:
            values = self.frame.column(name).numbers
            values = self._numbers[name] = values if self.keep is None else values[self.keep]
        return values

    def labels(self, name: str) -> Labels:
        """Return the values of a column as labels; levels that do not occur are left out."""
        labels = self._labels.get(name)
        if labels is None:
            labels = self.frame.column(name).labels
            labels = self._labels[name] = labels if self.keep is None else labels.take(self.keep)
        return labels


def used_columns(frame: Frame, names: Sequence[str], keep: BoolArray | None) -> pd.DataFrame:
    """Return the named columns in the rows that are used: factors as categoricals, the others as numbers."""
    out = {}
    for name in names:
        column = frame.column(name)
        if column.is_factor or isinstance(column, TimeColumn):
            labels = column.labels.take(keep)
            out[name] = pd.Series(pd.Categorical.from_codes(labels.codes, categories=labels.levels))
        else:
            out[name] = pd.Series(column.numbers if keep is None else column.numbers[keep])
    return pd.DataFrame(out)


def text_notes(rows: FrameRows, names: Sequence[str]) -> list[str]:
    """Return a note for every predictor of text that was probably meant to be a number."""
    out = []
    for name in names:
        if name not in rows.frame or not isinstance(rows.frame.column(name), TextColumn):
            continue
        labels = rows.labels(name)
        said, count = numerals(labels, rows.index), len(labels.levels)
        if said and not (said.startswith(LEVELS_OF_NUMBERS) and count < MANY_LEVELS):
            out.append(f"{name} is text and was taken as a factor of {count} levels; {said}")
        texts = list(map(str, labels.levels))
        style = style_of(texts)
        if style is not None and (count >= MANY_LEVELS or not style.is_sorted(texts)):
            order = "" if style.is_sorted(texts) else " in the order of their letters"
            said = f"all of its values are dates ({style.cure(name, texts)} makes them numbers)"
            out.append(f"{name} is text and was taken as a factor of {count} levels{order}; {said}")
    return out


def slip_notes(rows: FrameRows, measured: Iterable[str], groups: Iterable[str]) -> list[str]:
    """Return a note for each column whose labels differ in spaces or capitals alone, or that has a code for missing."""
    known = [name for name in measured if name in rows.frame]
    factors = dict.fromkeys([*(name for name in known if rows.is_factor(name)), *groups])
    out = []
    for name in factors:
        if twins := spaced(rows.labels(name)):
            listed = ", ".join(f"{text!r} beside {text.strip()!r}" for text in twins[:3])
            out.append(
                f"{name} has levels that differ in spaces alone: {listed}{', …' if len(twins) > 3 else ''}; "
                f"data[{name!r}].str.strip() makes them the same"
            )
        if words := cased(rows.labels(name)):
            listed = ", ".join(" beside ".join(map(repr, same)) for same in words[:3])
            out.append(
                f"{name} has levels that differ in capitals alone: {listed}{', …' if len(words) > 3 else ''}; "
                f"data[{name!r}].str.lower() makes them the same"
            )
    numeric = [name for name in known if name not in factors and not isinstance(rows.frame.column(name), TimeColumn)]
    for name in numeric:
        values = rows.numbers(name)
        if (code := _missing_code(values)) is not None:
            count = int(np.sum(values == code))
            out.append(
                f"{name} is {code:g} in {count} row{'s' * (count > 1)}, far from all other values: if this is a code "
                f"for missing values, make it one (pandas.read_csv(…, na_values={code:g}))"
            )
    return out


def _missing_code(values: Array) -> float | None:
    """Return the least or greatest value if it is a usual code and further from the others than these from each other.

    Two values alone are a contrast, such as -9 and 9, and no code among others.
    """
    for end in (values.min(), values.max()) if values.size else ():
        if abs(end) in CODES:
            others = values[values != end]
            if others.size and np.ptp(others) > 0 and np.abs(others - end).min() > np.ptp(others):
                return float(end)
    return None


def plain_frame(data: Any) -> pd.DataFrame:
    """Return any tabular data as a pandas DataFrame: itself if it is one."""
    if isinstance(data, pd.DataFrame):
        return data
    frame, columns = as_frame(data), {}
    for name in frame.names:
        column = frame.column(name)
        if isinstance(column, FactorColumn):  # the order of the levels says what a coefficient compares
            labels = column.labels
            columns[name] = pd.Series(pd.Categorical.from_codes(labels.codes, labels.levels), index=frame.index)
        elif column.is_factor or isinstance(column, TimeColumn):
            values = pd.Series(column.labels.levels.to_numpy().astype(object)).reindex(column.labels.codes)
            columns[name] = values.set_axis(frame.index)
        elif column.missing is None:
            columns[name] = pd.Series(column.labels.levels.to_numpy()[column.labels.codes], index=frame.index)
        else:
            columns[name] = pd.Series(column.numbers, index=frame.index)
    return pd.DataFrame(columns, index=frame.index)
