"""Where rows come from: one small class for each kind of source, which yields frames of the columns that are needed."""

from __future__ import annotations

import glob
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from mixedfx._libraries import needed
from mixedfx.exceptions import DataError
from mixedfx.matrices.frame import Frame, as_frame
from mixedfx.scale.recipe import Recipe
from mixedfx.scale.rows import Accumulator, Repeated, sums_of
from mixedfx.scale.sums import Sums, Tally

__all__ = ["Source", "as_source"]

FEW_ROWS = 10_000  # that usually tell what the columns are
ROWS_AT_ONCE = 1_000_000  # of a source that leaves the size of its pieces to the reader
WORTH_GROUPING = 4  # rows a group, at least, for which a database makes groups
COUNT, SQUARES = "mixedfx_count", "mixedfx_squares"
OF_FRAMES = ("columns", "column_names", "dtype", "__array__", "__dataframe__", "__arrow_c_stream__")


class Source(ABC):
    """Rows in pieces.

    Attributes
    ----------
    name : str
        What it is, for messages.
    can_be_read_again : bool
        Whether the rows can be read a second time.
    rows_at_once : int
        Rows of a piece, at the most, where that is left to the reader.
    """

    name: str = "the data"
    can_be_read_again: bool = True
    rows_at_once: int = ROWS_AT_ONCE

    @abstractmethod
    def frames(self, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield the rows in pieces, of the columns that are named (all if None)."""

    def heads(self) -> Iterator[Frame]:
        """Yield some rows, and more if they do not tell what the columns are."""
        yield from map(as_frame, self.frames(None))

    def reduced(self, work: Callable[[Frame], Any], plus: Callable[[Any, Any], Any], columns: Sequence[str]) -> Any:
        """Return the sum, by ``plus``, of what ``work`` gives for every piece; None if there is none.

        ``work`` gives None where a piece has no rows that count.
        """
        total = None
        for frame in self.frames(columns):
            for piece in slices(frame, self.rows_at_once):
                total = _plus(total, work(as_frame(piece)), plus)
        return total

    def sums(self, recipe: Recipe) -> Sums | None:
        """Return the sums over all rows; None if there are none."""
        return self.sums_of_rows(recipe)

    def sums_of_rows(self, recipe: Recipe) -> Sums | None:
        """Return the same, every row looked at by itself."""
        total = Accumulator()
        for frame in self.frames(recipe.needed):
            for piece in slices(frame, self.rows_at_once):
                total.add(sums_of(recipe, as_frame(piece)))
        return total.total()


def _plus(total: Any, share: Any, plus: Callable[[Any, Any], Any]) -> Any:
    return share if total is None else total if share is None else plus(total, share)


def slices(frame: Any, rows: int) -> Iterator[Any]:
    """Yield a frame of pandas in pieces of at most so many rows; others as they are."""
    size = len(frame) if hasattr(frame, "iloc") else 0
    if size <= rows:
        yield frame
        return
    for start in range(0, size, rows):
        yield frame.iloc[start : start + rows]


class FrameSource(Source):
    """One frame, or a list of them: read as often as needed."""

    def __init__(self, frames: Sequence[Any]) -> None:
        self._frames = [_framed(frame) for frame in frames]
        self.name = f"a list of {len(frames)} frames"

    def frames(self, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield the frames."""
        yield from self._frames


class IteratorSource(Source):
    """An iterator of frames, which gives them once."""

    can_be_read_again = False

    def __init__(self, frames: Iterator[Any]) -> None:
        self.name = f"a one-shot iterator ({type(frames).__name__})"
        self._frames = frames
        self._seen: list[Frame] = []

    def heads(self) -> Iterator[Frame]:
        """Yield the first frames, which are kept for the pass."""
        for frame in map(_framed, self._frames):
            self._seen.append(frame)
            yield frame

    def frames(self, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield the frames; a second time there are none."""
        seen, self._seen = self._seen, []
        yield from chain(seen, map(_framed, self._frames))


class CollectionSource(Source):
    """A collection of frames that begins anew whenever it is iterated over."""

    def __init__(self, frames: Iterable[Any]) -> None:
        self._frames, self.name = frames, f"a collection of frames ({type(frames).__name__})"

    def frames(self, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield the frames."""
        yield from map(_tabled, self._frames)


class ArrowSource(Source):
    """A pyarrow dataset: Parquet files, a folder of them, anything that pyarrow reads as one."""

    def __init__(self, dataset: Any, name: str) -> None:
        self._dataset, self.name = dataset, name
        self._options: dict[str, Any] = {}
        if getattr(getattr(dataset, "format", None), "default_extname", "") == "parquet":  # not a whole file at once
            options = needed("pyarrow.dataset", name).ParquetFragmentScanOptions
            self._options = {"fragment_scan_options": options(use_buffered_stream=True, pre_buffer=False)}

    def heads(self) -> Iterator[Frame]:
        """Yield the first rows, then all pieces."""
        yield as_frame(_pandas(self._dataset.head(FEW_ROWS)))
        yield from super().heads()

    def frames(self, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield record batches of the columns, read ahead by two only."""
        known = self._dataset.schema.names
        chosen = None if columns is None else [name for name in columns if name in known]
        batches = self._dataset.to_batches(
            columns=chosen, batch_size=self.rows_at_once, batch_readahead=1, fragment_readahead=1, **self._options
        )
        pyarrow = needed("pyarrow", self.name)
        for batch in _gathered(batches, self.rows_at_once):
            yield _pandas(pyarrow.Table.from_batches(batch))


def _gathered(batches: Iterable[Any], most: int = ROWS_AT_ONCE) -> Iterator[list[Any]]:
    """Lists of small batches that have many rows together."""
    held, rows = [], 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        held.append(batch)
        rows += batch.num_rows
        if rows >= most // 2:
            yield held
            held, rows = [], 0
    if held:
        yield held


def _pandas(table: Any) -> Any:
    """A table as pandas has it; dictionaries stay categories."""
    return table.to_pandas(self_destruct=False, split_blocks=True)


class DuckSource(Source):
    """A DuckDB relation, or SQL text with its connection."""

    def __init__(self, relation: Any) -> None:
        self._relation, self.name = relation, "a DuckDB relation"

    def heads(self) -> Iterator[Frame]:
        """Yield the first rows, then all pieces."""
        yield as_frame(_pandas(_arrow_table(self._relation.limit(FEW_ROWS))))
        yield from super().heads()

    def frames(self, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield record batches of the columns."""
        known = self._relation.columns
        relation = self._relation
        if columns is not None:
            relation = relation.select(*(_quoted(name) for name in columns if name in known))
        reader = _reader(relation, self.rows_at_once)
        pyarrow = needed("pyarrow", self.name)
        for batch in _gathered(reader, self.rows_at_once):
            yield _pandas(pyarrow.Table.from_batches(batch))

    def sums(self, recipe: Recipe) -> Sums | None:
        """Return the sums over all rows: over groups of rows that the database makes, where rows repeat."""
        grouped = grouped_rows(self._relation, recipe)
        if grouped is None:
            return super().sums(recipe)
        relation, tally = grouped
        total = Accumulator()
        for batch in _gathered(_reader(relation)):
            frame = _pandas(needed("pyarrow", self.name).Table.from_batches(batch))
            counts, squares = (frame.pop(name).to_numpy(dtype=float) for name in (COUNT, SQUARES))
            total.add(sums_of(recipe, as_frame(frame), Repeated(counts, squares, tally)))
            tally = Tally()  # it is that of all pieces
        return total.total()


def grouped_rows(relation: Any, recipe: Recipe) -> tuple[Any, Tally] | None:
    """Return a query with one row for all rows that are alike but for the response, and the tally of all rows.

    None where rows have weights, the response is computed, or the predictors have so many values that few rows would
    be alike.
    """
    response = recipe.formula.response
    if recipe.weights is not None or not response.is_column or recipe.formula.offsets or recipe.offset is not None:
        return None
    y = response.columns[0]
    others = [name for name in recipe.needed if name != y]
    if not others or len(others) == len(recipe.needed):
        return None
    kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
    listed = [f"approx_count_distinct({_quoted(name)})" for name in others]
    n, *distinct = relation.aggregate(", ".join(["count(*)", *listed])).fetchall()[0]
    if np.prod(np.maximum(np.array(distinct, dtype=float), 1.0)) * WORTH_GROUPING > n:
        return None
    absent = {name: _absent(name, kinds[name]) for name in recipe.needed}
    counts = [f"count(*) filter ({test})" for test in absent.values()]
    some = " or ".join(absent.values())
    read, missing, *by_name = relation.aggregate(
        ", ".join(["count(*)", f"count(*) filter ({some})", *counts])
    ).fetchall()[0]
    tally = Tally(read, read - missing, missing, {k: v for k, v in zip(absent, by_name, strict=True) if v})
    keys, value = ", ".join(map(_quoted, others)), f"{_quoted(y)}::double"
    columns = f"{keys}, favg({value}) as {_quoted(y)}, count(*) as {COUNT}, var_pop({value}) * count(*) as {SQUARES}"
    return relation.filter(f"not ({some})").aggregate(columns, keys), tally


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _absent(name: str, kind: str) -> str:
    """SQL that says where a column has no value."""
    test = f"{_quoted(name)} is null"
    return f"({test} or isnan({_quoted(name)}))" if kind in ("DOUBLE", "FLOAT") else f"({test})"


def _reader(relation: Any, rows: int = ROWS_AT_ONCE) -> Any:
    name = "to_arrow_reader" if hasattr(relation, "to_arrow_reader") else "fetch_record_batch"
    return getattr(relation, name)(rows)


def _arrow_table(relation: Any) -> Any:
    name = "to_arrow_table" if hasattr(relation, "to_arrow_table") else "arrow"
    return getattr(relation, name)()


class PolarsSource(Source):
    """A polars LazyFrame, collected in slices by the streaming engine."""

    def __init__(self, lazy: Any) -> None:
        self._lazy, self.name = lazy, "a polars LazyFrame"

    def heads(self) -> Iterator[Frame]:
        """Yield the first rows, then all pieces."""
        yield as_frame(self._lazy.head(FEW_ROWS).collect())
        yield from super().heads()

    def frames(self, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield batches of the columns."""
        lazy = self._lazy
        if columns is not None:
            known = lazy.collect_schema().names()
            lazy = lazy.select([name for name in columns if name in known])
        if hasattr(lazy, "collect_batches"):
            yield from lazy.collect_batches(chunk_size=self.rows_at_once, maintain_order=True)
        else:  # an older polars: the columns that are needed, all at once
            yield from lazy.collect().iter_slices(self.rows_at_once)


class DaskSource(Source):
    """A Dask dataframe: every partition is summed where it lies, and the sums are added in a tree."""

    def __init__(self, frame: Any) -> None:
        self._frame, self.name = frame, "a Dask dataframe"

    def heads(self) -> Iterator[Frame]:
        """Yield the first rows of every partition, then all of them."""
        for part in self._frame.partitions:
            yield as_frame(part.head(FEW_ROWS, npartitions=1, compute=True))
        yield from super().heads()

    def frames(self, columns: Sequence[str] | None) -> Iterator[Any]:
        """Yield the partitions one by one."""
        for part in self._chosen(columns).partitions:
            yield part.compute()

    def _chosen(self, columns: Sequence[str] | None) -> Any:
        known = list(self._frame.columns)
        return self._frame if columns is None else self._frame[[name for name in columns if name in known]]

    def reduced(self, work: Callable[[Frame], Any], plus: Callable[[Any, Any], Any], columns: Sequence[str]) -> Any:
        """Return the sum of what ``work`` gives, made where the partitions are."""
        dask = needed("dask", self.name)
        shared = dask.delayed(_PartitionWork(work, plus, self.rows_at_once), pure=True)
        parts = [dask.delayed(_done)(shared, part) for part in self._chosen(columns).to_delayed()]
        while len(parts) > 1:
            parts = [dask.delayed(_plus_all)(parts[k : k + 8], plus) for k in range(0, len(parts), 8)]
        return parts[0].compute() if parts else None

    def sums_of_rows(self, recipe: Recipe) -> Sums | None:
        """Return the sums, made where the partitions are, on the scheduler that the user has."""
        dask = needed("dask", self.name)
        parts = [dask.delayed(_sums_of_partition)(recipe, part) for part in self._chosen(recipe.needed).to_delayed()]
        while len(parts) > 1:
            parts = [dask.delayed(_sum_of_list)(parts[k : k + 8]) for k in range(0, len(parts), 8)]
        found: Sums | None = parts[0].compute() if parts else None
        return found


class _PartitionWork:
    """What is done with a partition: sent to every worker once."""

    def __init__(self, work: Callable[[Frame], Any], plus: Callable[[Any, Any], Any], rows: int) -> None:
        self.work, self.plus, self.rows = work, plus, rows

    def total(self, frame: Any) -> Any:
        """Return the sum over the pieces of a partition."""
        out = None
        for piece in slices(frame, self.rows):
            out = _plus(out, self.work(as_frame(piece)), self.plus)
        return out


def _done(work: _PartitionWork, frame: Any) -> Any:
    return work.total(frame)


def _plus_all(parts: Sequence[Any], plus: Callable[[Any, Any], Any]) -> Any:
    total = None
    for part in parts:
        total = _plus(total, part, plus)
    return total


def _sums_of_partition(recipe: Recipe, frame: Any) -> Sums | None:
    return sums_of(recipe, as_frame(frame))


def _sum_of_list(parts: Sequence[Sums | None]) -> Sums | None:
    total = Accumulator()
    for part in parts:
        total.add(part)
    return total.total()


def as_source(given: Any, connection: Any = None) -> Source:
    """Return the source that the user gave.

    Parameters
    ----------
    given
        A frame, a list or an iterator of frames; a path of Parquet files (a file, a folder, a pattern), a pyarrow
        dataset; a DuckDB relation, or SQL text with its ``connection``; a polars LazyFrame; a Dask dataframe.
    connection : optional
        DuckDB connection of SQL text.

    Raises
    ------
    SpecificationError
        If the library that reads it is not installed, or there is no such file.
    TypeError
        If it is none of these.
    """
    if isinstance(given, Source):
        return given
    if connection is not None:
        if not isinstance(given, str):
            raise TypeError(f"with connection= the source is SQL text, found {type(given).__name__}")
        return DuckSource(_query(connection, given))
    if isinstance(given, str | os.PathLike):
        return _of_path(os.fspath(given))
    library = type(given).__module__.partition(".")[0]
    found = OF_LIBRARY.get(library, _of_nothing)(given)
    if found is not None:
        return found
    if isinstance(given, Mapping):
        return FrameSource([given])
    if isinstance(given, Sequence):
        return FrameSource(given)
    if isinstance(given, Iterator):
        return IteratorSource(given)
    if is_collection(given):
        return CollectionSource(given)
    return FrameSource([given])  # or a TypeError that says what data are


def _framed(given: Any) -> Frame:
    """A frame, or a record batch of pyarrow as one."""
    return as_frame(_tabled(given))


def _tabled(given: Any) -> Any:
    """A record batch of pyarrow as a table; all else as it is."""
    if type(given).__name__ == "RecordBatch" and type(given).__module__.partition(".")[0] == "pyarrow":
        return needed("pyarrow", "a record batch").Table.from_batches([given])
    return given


def is_collection(given: Any) -> bool:
    """Say whether an object is no frame, and can be iterated over again and again."""
    if isinstance(given, Mapping | Sequence | Iterator) or not isinstance(given, Iterable):
        return False
    return not any(hasattr(given, name) for name in OF_FRAMES)


def is_source(given: Any) -> bool:
    """Say whether an object is read in pieces, rather than a frame of any kind."""
    if isinstance(given, Source | Iterator | str | os.PathLike):
        return True
    if isinstance(given, list | tuple):
        return bool(given) and all(hasattr(frame, "columns") or isinstance(frame, Mapping) for frame in given)
    library = type(given).__module__.partition(".")[0]
    return OF_LIBRARY.get(library, _of_nothing)(given) is not None or is_collection(given)


def _query(connection: Any, text: str) -> Any:
    try:
        return connection.sql(text)
    except Exception as error:  # DuckDB has many
        raise DataError(f"DuckDB does not take the query {text!r}: {error}") from error


def _of_nothing(given: Any) -> Source | None:
    return None


def _of_path(path: str) -> Source:
    dataset = needed("pyarrow.dataset", f"reading {path!r}")
    files: Any = sorted(glob.glob(path)) if glob.has_magic(path) else path
    try:
        return ArrowSource(dataset.dataset(files or [path], format="parquet"), f"the Parquet data {path!r}")
    except Exception as error:  # of the file system, and of pyarrow
        raise DataError(
            f"the source {path!r} is no Parquet file, nor a folder or pattern of some ({error}); with SQL text give "
            "connection="
        ) from error


def _of_arrow(given: Any) -> Source | None:
    if hasattr(given, "to_batches") and hasattr(given, "head") and hasattr(given, "schema"):
        return None if hasattr(given, "column_names") else ArrowSource(given, "a pyarrow dataset")
    return None


def _of_duckdb(given: Any) -> Source | None:
    return DuckSource(given) if hasattr(given, "fetch_record_batch") and hasattr(given, "select") else None


def _of_polars(given: Any) -> Source | None:
    return PolarsSource(given) if hasattr(given, "collect_schema") and hasattr(given, "collect") else None


def _of_dask(given: Any) -> Source | None:
    return DaskSource(given) if hasattr(given, "to_delayed") else None


OF_LIBRARY: dict[str, Callable[[Any], Source | None]] = {
    "pyarrow": _of_arrow,
    "duckdb": _of_duckdb,
    "_duckdb": _of_duckdb,
    "polars": _of_polars,
    "dask": _of_dask,
    "dask_expr": _of_dask,
}
