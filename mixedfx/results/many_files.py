"""Fits to many responses in a Parquet file: written chunk by chunk, read a table at a time."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pandas as pd

from mixedfx._arguments import checked_whole
from mixedfx._progress import watched
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.results.base import MixedResults
from mixedfx.results.many import Failures, FittedResponses, ManyFits, estimate_names, fitted_responses, joined
from mixedfx.results.many_responses import Stream, responses_of
from mixedfx.results.quantities import WhichName

__all__ = ["StoredResponses", "refit_many", "replacing"]

RESPONSE = "response"  # the column of the names
TOGETHER, ONE_BY_ONE = 2e6, 6e4  # values of the responses that are fitted before the next ones are looked at
SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True, eq=False, repr=False)
class StoredResponses(ManyFits):
    """Fits to many responses in a Parquet file, a row a response; every table is read when it is asked for.

    Attributes
    ----------
    fit : results
    path : Path
    """

    fit: MixedResults
    path: Path

    def _read(self, columns: list[str]) -> pd.DataFrame:
        from pyarrow import parquet

        try:
            table = parquet.read_table(self.path, columns=[*columns, RESPONSE])
        except OSError as error:
            raise DataError(f"{self.path} cannot be read ({error.strerror or error})") from error
        frame: pd.DataFrame = table.to_pandas(ignore_metadata=True).set_index(RESPONSE).rename_axis(None)
        return frame

    @cached_property
    def index(self) -> pd.Index[Any]:
        """Names of the responses."""
        return self._read([]).index

    def _test(self, kind: str) -> pd.DataFrame:
        names = list(self.fit.design.fixed.names)
        return self._read([f"{kind}.{name}" for name in names]).set_axis(names, axis=1)

    def _estimates(self, which: WhichName) -> pd.DataFrame:
        return self._read(estimate_names(self.fit, which))

    def _verdict(self, name: str) -> pd.Series[Any]:
        return self._read([name])[name]

    def to_frame(self) -> pd.DataFrame:
        """Return everything in one table, one row a response."""
        return self._read(list(self.columns))

    def __getitem__(self, name: Any) -> pd.Series[Any]:
        """The row of :meth:`to_frame` of one response."""
        from pyarrow import parquet

        if name not in self.index:
            raise self._missing(name)
        table = parquet.read_table(self.path, filters=[(RESPONSE, "==", name)])
        row: pd.Series[Any] = table.to_pandas(ignore_metadata=True).set_index(RESPONSE).iloc[0]
        return row


def refit_many(fit: MixedResults, Y: Any, names: Sequence[Any] | None, out: Any, chunk: int | None) -> ManyFits:
    """Fit the model of ``fit`` to many responses; see :meth:`mixedfx.results.base.MixedResults.refit_many`."""
    path = None if out is None else _checked(out)
    numbers = TOGETHER if fit.refits_together else ONE_BY_ONE
    size = max(1, int(numbers / max(fit.nobs, 1))) if chunk is None else checked_whole("chunk", chunk, 1)
    stream, failures = responses_of(fit.design, Y, names, size), Failures()
    with closing(_fitted(fit, stream)) as parts:
        if path is None:
            found = joined(list(parts))
            failures.seen(found).warn()
            return found
        failures = _written(parts, path)
    failures.warn()
    return StoredResponses(fit, path)


def _fitted(fit: MixedResults, stream: Stream) -> Generator[FittedResponses, None, None]:
    """Yield the fits chunk by chunk, with a bar if that takes long and its end is known."""
    pieces = (fitted_responses(fit, chunk) for chunk in stream.chunks)
    known = None if stream.count else False
    yield from watched(pieces, stream.count or 1, "refits", known, len)


def _written(parts: Iterator[FittedResponses], path: Path) -> Failures:
    """Write chunk after chunk into a file; return what is to be said of responses without an optimum.

    Raises
    ------
    DataError
        If the file cannot be written; none is left then, and one that stood there is unchanged.
    """
    failures = Failures()
    with replacing(path) as beside, _Writer(beside) as file:
        for found in parts:
            file.write(found.to_frame())
            failures = failures.seen(found)
    return failures


def _checked(out: Any) -> Path:
    if not isinstance(out, str | os.PathLike):
        raise TypeError(f"out is the name of a Parquet file, such as 'fits.parquet'; found {type(out).__name__}")
    _need_pyarrow()
    path = Path(out)
    if path.suffix.lower() not in SUFFIXES:
        raise SpecificationError(
            f"out is the name of a Parquet file, such as 'fits.parquet'; found {str(out)!r} (for another kind of file "
            "write refit_many(Y).to_frame() to it)"
        )
    if path.is_dir():
        raise SpecificationError(f"out={str(out)!r} is a folder: give the name of a file in it")
    return path


def _need_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ImportError("out= writes a Parquet file, which needs pyarrow: pip install pyarrow") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of a file beside ``path`` that takes its place once it is whole and on the disk, and vanishes otherwise.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    beside = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        beside.touch(exist_ok=False)  # that it cannot be made, the system tells, and not the library that writes
        yield beside
        with beside.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); what stood there before is unchanged"
        ) from error


class _Writer:
    """Writes tables one after the other into a Parquet file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        self._text: bool | None = None

    def write(self, frame: pd.DataFrame) -> None:
        """Append the rows of a table; names that are not all whole numbers are text."""
        import pyarrow
        from pyarrow import parquet

        if self._text is None:
            self._text = not pd.api.types.is_integer_dtype(frame.index.dtype)
        names = frame.index.astype(str) if self._text else frame.index
        table = pyarrow.Table.from_pandas(frame.set_axis(names, axis=0).rename_axis(RESPONSE), preserve_index=True)
        if self._file is None:
            self._file = parquet.ParquetWriter(self._path, table.schema)
        self._file.write_table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Write the end of the file."""
        if self._file is not None:
            self._file.close()
