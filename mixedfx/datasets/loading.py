"""Reading the bundled tables: ``load_dataset`` and ``list_datasets``."""

from __future__ import annotations

import difflib
import gzip
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from mixedfx.datasets.catalogue import CATALOGUE
from mixedfx.exceptions import SpecificationError

__all__ = ["list_datasets", "load_dataset"]


def natural_key(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Sort key in which runs of digits count as numbers: ``"R-2"`` comes before ``"R-10"``."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)


def _as_categorical(column: pd.Series[str], levels: tuple[str, ...], ordered: bool) -> pd.Series[Any]:
    categories = list(levels) or sorted(column.dropna().unique(), key=natural_key)
    return column.astype(pd.CategoricalDtype(categories, ordered=ordered))


@cache
def _read(name: str) -> pd.DataFrame:
    entry = CATALOGUE[name]
    path = files(__package__).joinpath("data", f"{name}.csv.gz")
    with path.open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8", newline="") as text:
        frame = pd.read_csv(text, dtype=dict.fromkeys(entry.factors, str))
    for column, levels in entry.factors.items():
        frame[column] = _as_categorical(frame[column], levels, column in entry.ordered)
    frame.attrs = {
        "name": entry.name,
        "description": entry.description,
        "source": entry.source,
        "origin": entry.origin,
    }
    return frame


def _resolve(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a data set is a string, not {type(name).__name__}")
    wanted = name.casefold()
    if wanted in CATALOGUE:
        return wanted
    if re.search(r"[.]\w+\Z|[/\\]", name):
        raise SpecificationError(f"there is no bundled data set {name!r}; a file is read by pandas, pandas.read_csv(…)")
    near = difflib.get_close_matches(wanted, CATALOGUE, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "list_datasets() names those there are"
    raise SpecificationError(f"there is no bundled data set {name!r}; {hint}")


def _listing(indent: str) -> str:
    lines = (f"* ``{entry.name}``: {entry.description} {entry.source}." for entry in CATALOGUE.values())
    return f"\n{indent}".join(lines)


def _with_listing(function: Callable[[str], pd.DataFrame]) -> Callable[[str], pd.DataFrame]:
    if function.__doc__ is not None:  # None under python -OO
        function.__doc__ = function.__doc__.replace("{listing}", _listing("    "))
    return function


@_with_listing
def load_dataset(name: str) -> pd.DataFrame:
    """Return one of the bundled data sets, a fresh copy each time.

    Parameters
    ----------
    name : str
        One of the names below; upper and lower case are alike.

    Returns
    -------
    pandas.DataFrame
        Columns are named as in the original; grouping factors and treatments are categorical, with their categories in
        a natural order. ``attrs`` holds ``name``, ``description``, ``source`` (the publication) and ``origin`` (of the
        copy).

    Raises
    ------
    SpecificationError
        If there is no such data set; similar names are suggested.

    See Also
    --------
    list_datasets : the names with descriptions and sources as a table.

    Notes
    -----
    {listing}

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("sleepstudy")
    >>> data.head(3)
       Reaction  Days Subject
    0  249.5600     0     308
    1  258.7047     1     308
    2  250.8006     2     308
    >>> data.attrs["source"]
    'Belenky et al. (2003), Journal of Sleep Research 12, 1-12'
    """
    return _read(_resolve(name)).copy()


def list_datasets() -> pd.DataFrame:
    """Return the table of the bundled data sets.

    Returns
    -------
    pandas.DataFrame
        One row a data set, indexed by name: ``description``, ``source`` and ``origin``.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> "sleepstudy" in mfx.list_datasets().index
    True
    """
    rows = {
        name: {"description": entry.description, "source": entry.source, "origin": entry.origin}
        for name, entry in CATALOGUE.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
