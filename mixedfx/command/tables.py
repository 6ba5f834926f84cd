"""Tables from files, standard input and the bundled data."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
import sys
from collections.abc import Callable
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mixedfx as mfx

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STANDARD", "read_data"]

STANDARD = "-"  # standard input or output in place of a file
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": ","}
COMPRESSIONS = {".gz", ".bz2", ".xz", ".zip", ".zst"}
PARQUET = {".parquet", ".pq"}
EXCEL = {".xlsx", ".xlsm", ".xls", ".ods"}
SIGNS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LOOKED_AT = 50  # lines from which the separator is guessed
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")


def read_data(name: str, separator: str | None = None) -> tuple[pd.DataFrame, str]:
    """Return a table: of a file, of standard input (``-``), or the bundled data set of that name.

    Parameters
    ----------
    name : str
    separator : str, optional
        What divides the columns of a text; guessed from its first lines if omitted.

    Returns
    -------
    data : DataFrame
    remark : str
        What was guessed against the usual meaning of the file's name; empty if nothing was.

    Raises
    ------
    DataError
        If the file cannot be read as a table.
    SpecificationError
        If there is neither a file nor a data set of that name.
    """
    if "://" in name:
        raise mfx.SpecificationError(f"{name!r} is an address; download the file first and give its name")
    path = Path(name)
    known = {*SEPARATORS, *PARQUET, *EXCEL, *COMPRESSIONS}
    if name != STANDARD and not path.exists() and path.suffix.lower() not in known:
        try:
            return mfx.load_dataset(name), ""
        except mfx.SpecificationError as error:
            raise mfx.SpecificationError(f"there is no file {name!r}, and {error}") from error
    try:
        if name != STANDARD:
            return _of_file(path, separator)
        text = sys.stdin.read()
        return _of_text(StringIO(text), text, ",", separator)
    except (OSError, ValueError, ImportError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        shown = "standard input" if name == STANDARD else name
        raise mfx.DataError(f"cannot read {shown}: {reason}") from error


def _of_file(path: Path, separator: str | None) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSIONS]
    kind = suffixes[-1] if suffixes else ""
    if kind in PARQUET:
        return pd.read_parquet(path), ""
    if kind in EXCEL:
        try:
            return pd.read_excel(path), ""
        except ImportError as error:
            raise ImportError(f"{error} (pip install 'mixedfx[excel]')") from error
    if kind not in SEPARATORS:
        raise ValueError(f"the name must end in {', '.join([*SEPARATORS, *PARQUET, *EXCEL])} (or one of these and .gz)")
    return _of_text(path, _head(path), SEPARATORS[kind], separator)


def _head(path: Path) -> str:
    """The first lines of a text, compressed or not; none where only pandas can unpack it."""
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    unpack = openers.get(path.suffix.lower())
    if unpack is None and path.suffix.lower() in COMPRESSIONS:
        return ""
    opened = path.open(encoding="utf-8-sig") if unpack is None else unpack(path, "rt", encoding="utf-8-sig")
    with opened as lines:
        return "".join(islice(lines, LOOKED_AT))


def _of_text(source: Path | StringIO, head: str, usual: str, given: str | None) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    sign = given or _separator(head, usual)
    data, decimal = pd.read_csv(source, sep=sign), False
    if sign != "," and any(_has_decimal_commas(data[column]) for column in data):
        if isinstance(source, StringIO):
            source.seek(0)
        data, decimal = pd.read_csv(source, sep=sign, decimal=","), True
    guessed = [f"columns are divided by {SIGNS[sign]}"] if given is None and sign != usual else []
    guessed += ["numbers have decimal commas"] if decimal else []
    return data, " and ".join(guessed)


def _separator(text: str, usual: str) -> str:
    """The sign that divides all the first lines into as many fields, the usual one if several do or none does."""
    lines = [line for line in text.splitlines()[:LOOKED_AT] if line.strip()]
    fields = {sign: {len(row) for row in csv.reader(lines, delimiter=sign)} for sign in SIGNS}
    dividing = [sign for sign, counts in fields.items() if len(counts) == 1 and counts != {1}]
    return usual if usual in dividing or not dividing else max(dividing, key=lambda sign: max(fields[sign]))


def _has_decimal_commas(column: pd.Series[Any]) -> bool:
    values = [value for value in column.dropna().head(LOOKED_AT) if isinstance(value, str)]
    return bool(values) and all(map(DECIMAL_COMMA.fullmatch, values))
