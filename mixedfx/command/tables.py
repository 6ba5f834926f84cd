"""Tables from files, standard input and the bundled data."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zipfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import mixedfx as mfx
from mixedfx.command.numbers import checked_decimal
from mixedfx.command.texts import checked_separator, read_text, with_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STANDARD", "read_data", "read_tables"]

STANDARD = "-"  # standard input or output in place of a file
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": ",", ".dat": ","}
PARQUET = (".parquet", ".pq")
EXCEL = (".xlsx", ".xlsm", ".xls", ".ods")
ENGINES: dict[str, Literal["openpyxl"]] = {".xlsx": "openpyxl", ".xlsm": "openpyxl"}
# which options suit which tables
TAKES = {
    "text files": {"separator", "decimal", "missing"},
    "Excel files": {"sheet", "missing"},
    "Parquet files": set(),
    "bundled data sets": set(),
}
OPTIONS = {"separator": "--sep", "decimal": "--decimal", "sheet": "--sheet", "missing": "--na"}


def _zipped(path: Path) -> IO[bytes]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} files: unpack it and give one of them")
        return BytesIO(archive.read(names[0]))


OPENERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": _zipped}
KNOWN = (*SEPARATORS, *PARQUET, *EXCEL)


def read_tables(names: Sequence[str], **given: Any) -> list[tuple[pd.DataFrame, list[str]]]:
    """Return tables as :func:`read_data`, each with the options that suit it; a sheet is of the first Excel file.

    Raises
    ------
    SpecificationError
        If an option suits none of them.
    """
    kinds = [_kind(name) for name in names]
    given = {option: value for option, value in given.items() if value not in (None, [])}
    for option in given:
        wanted = [kind for kind, taken in TAKES.items() if option in taken]
        if not set(wanted).intersection(kinds):
            found = ", ".join(f"{name!r} is one of the {kind}" for name, kind in zip(names, kinds, strict=True))
            raise mfx.SpecificationError(f"{OPTIONS[option]} is for {' and '.join(wanted)}; {found}")
    tables = []
    for name, kind in zip(names, kinds, strict=True):
        tables.append(read_data(name, **{option: value for option, value in given.items() if option in TAKES[kind]}))
        given = {option: value for option, value in given.items() if option != "sheet" or kind != "Excel files"}
    return tables


def read_data(
    name: str,
    separator: str | None = None,
    sheet: str | None = None,
    missing: Sequence[str] = (),
    decimal: str | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Return a table: of a file, of standard input (``-``), or the bundled data set of that name.

    Parameters
    ----------
    name : str
    separator : str, optional
        What divides the columns of a text; guessed from its first lines if omitted.
    sheet : str, optional
        Of an Excel file; the first if omitted.
    missing : sequence of str
        What stands for a missing value, beside nothing, NA and the like.
    decimal : str, optional
        The decimal sign of a text, where numbers such as 1,100 leave it open.

    Returns
    -------
    data : DataFrame
        Without spaces around names and labels. Rows of text and Excel files are called by their lines, the header
        being line 1.
    remarks : list of str
        What was guessed against the usual meaning of the file's name, or changed.

    Raises
    ------
    DataError
        If the file cannot be read as a table.
    SpecificationError
        If there is neither a file nor a data set of that name.
    """
    if "://" in name:
        raise mfx.SpecificationError(f"{name!r} is an address; download the file first and give its name")
    sign, path, kind = checked_separator(separator), Path(name), _kind(name)
    checked_decimal(decimal)
    if kind == "bundled data sets":
        try:
            return mfx.load_dataset(name), []
        except mfx.SpecificationError as error:
            raise mfx.SpecificationError(f"there is no file {name!r}, and {error}") from error
    ending = _ending(path)
    try:
        if kind == "Excel files":
            data, guessed = _of_excel(path, ending, sheet, missing)
        elif kind == "Parquet files":
            import pandas as pd

            data, guessed = pd.read_parquet(path), []
        else:
            content = _content(name, path, ending)
            data, guessed = read_text(content, SEPARATORS.get(ending, ","), sign, decimal, missing)
        data, stripped = _without_spaces(data)
        return data, [*guessed, *stripped]
    except mfx.SpecificationError:
        raise
    except Exception as error:  # readers of other libraries raise what they like
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        shown = "standard input" if name == STANDARD else repr(name)
        raise mfx.DataError(f"cannot read {shown}: {reason or type(error).__name__}") from error


def _ending(path: Path) -> str:
    """The ending of a name before that of a compressed file."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in OPENERS]
    return suffixes[-1] if suffixes else ""


def _kind(name: str) -> str:
    """What is called so, in the words of ``TAKES``."""
    path = Path(name)
    if name != STANDARD and not path.exists() and path.suffix.lower() not in (*KNOWN, *OPENERS):
        return "bundled data sets"
    ending = _ending(path)
    return "Excel files" if ending in EXCEL else "Parquet files" if ending in PARQUET else "text files"


# ------------------------------------------------------------------ Excel
def _of_excel(path: Path, kind: str, sheet: str | None, missing: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd

    try:
        book = pd.ExcelFile(path, engine=ENGINES.get(kind))
    except ImportError as error:
        remedy = "pip install 'mixedfx[excel]'" if kind in ENGINES else "save it as .xlsx or .csv"
        raise ImportError(f"a library for {kind} files is not installed; {remedy}") from error
    except Exception as error:
        if isinstance(error, OSError):
            raise
        raise ValueError(f"it is no file of the kind {kind} ({error})") from error
    with book:
        names = [str(name) for name in book.sheet_names]
        if sheet is not None and sheet not in names:
            raise mfx.SpecificationError(f"there is no sheet {sheet!r}; there are {', '.join(map(repr, names))}")
        remarks = []
        if sheet is None and len(names) > 1:
            remarks.append(f"sheet {names[0]!r} was read, the first of {len(names)} (--sheet chooses another)")

        def read(**options: Any) -> pd.DataFrame:
            return pd.read_excel(book, sheet_name=sheet or names[0], na_values=list(missing), **options)

        data, mixed = _of_one_type(read())
        data, words = with_words(data, lambda: read(dtype=object, keep_default_na=False), missing)
        return data.set_axis(pd.RangeIndex(2, len(data) + 2)), [*remarks, *mixed, *words]


def _of_one_type(data: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with text where the cells of a column have several types, and what is to be said of it."""
    said = []
    for name, column in data.select_dtypes("object").items():
        if column.dropna().map(type).nunique() > 1:
            data = data.assign(**{str(name): column.map(str, na_action="ignore")})
            said.append(f"{name!r} has texts beside numbers or dates: all were taken as text")
    return data, said


# ------------------------------------------------------------------ text
def _content(name: str, path: Path, kind: str) -> bytes:
    """The bytes of a text."""
    if name == STANDARD:
        return _standard_input()
    if kind not in SEPARATORS and not path.is_dir() and not path.is_fifo():  # such as <(…) of a shell
        endings = ", ".join(KNOWN)
        raise ValueError(f"the name must end in {endings} (or one of the texts and {', '.join(OPENERS)})")
    unpack = OPENERS.get(path.suffix.lower())
    if unpack is None:
        return path.read_bytes()
    with unpack(path) as stream:
        content: bytes = stream.read()
        return content


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise ValueError("it is closed")
    if sys.stdin.isatty():
        print("mixedfx: note: reading a table from the keyboard; Ctrl-D ends it", file=sys.stderr)
    return sys.stdin.buffer.read()


def _without_spaces(data: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the table without spaces around its names and labels, and whether there were any."""
    names = {name: name.strip() for name in data.columns if isinstance(name, str) and name != name.strip()}
    texts = data.select_dtypes(["object", "string"])
    bare = texts.map(lambda value: value.strip() if isinstance(value, str) else value)
    changed = [name for name in texts if not bare[name].equals(texts[name])]
    if not names and not changed:
        return data, []
    return data.assign(**bare[changed]).rename(columns=names), ["spaces around names and labels were taken away"]
