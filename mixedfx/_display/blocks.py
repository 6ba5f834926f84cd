"""What a summary is made of: tables of typed columns, and a block of labelled facts. No layout here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mixedfx._display.formats import ColumnFormat, Text, format_text

__all__ = ["Block", "Column", "Fact", "Facts", "Table", "WrittenTable", "written"]


@dataclass(frozen=True)
class Column:
    """One column of a table: unrounded values and the way they are written.

    Parameters
    ----------
    name : str
        Name of the column in the DataFrame.
    values : tuple
        Unrounded values.
    format : ColumnFormat
        How they are written.
    header : str, optional
        What stands above them, if not ``name``; an empty header continues the one before.
    stub : bool
        Whether the values name the rows.
    """

    name: str
    values: tuple[Any, ...]
    format: ColumnFormat = field(default_factory=Text)
    header: str | None = None
    stub: bool = False


@dataclass(frozen=True)
class Table:
    """Columns of equal length under a title.

    Parameters
    ----------
    columns : tuple of Column
        Those that name the rows first.
    title : str
        Caption.
    footnotes : tuple of str
        Sentences below the table.
    headings : tuple of (int, str)
        Lines that stand before the row of that number and open a group of rows.

    Examples
    --------
    >>> table = Table((Column("", ("Days",), stub=True), Column("coef", (10.46729,))), title="Fixed effects")
    >>> table.to_frame().loc["Days", "coef"]
    np.float64(10.46729)
    """

    columns: tuple[Column, ...]
    title: str = ""
    footnotes: tuple[str, ...] = ()
    headings: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        lengths = {column.name: len(column.values) for column in self.columns}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a table must have one length, not {lengths}")

    def to_frame(self) -> pd.DataFrame:
        """Return the unrounded values, the columns that name the rows as the index."""
        stubs = [column for column in self.columns if column.stub]
        body = [column for column in self.columns if not column.stub]
        frame = pd.DataFrame(dict(enumerate(column.values for column in body)))
        frame.columns = pd.Index([column.name for column in body])
        if stubs:
            frame.index = _index(stubs)
        return frame


@dataclass(frozen=True)
class Fact:
    """A labelled value of the model block; two stand in a line, but a ``wide`` one has a line for itself.

    Parameters
    ----------
    label : str
        What the value is; an empty label leaves the place empty.
    value : object
        Unrounded value.
    text : str, optional
        How it is written, if not as ``str(value)``.
    wide : bool
        Whether it has a line for itself.
    """

    label: str
    value: Any
    text: str | None = None
    wide: bool = False

    @property
    def shown(self) -> str:
        """The value on one line."""
        return format_text(self.value if self.text is None else self.text)


@dataclass(frozen=True)
class Facts:
    """The block on top of a summary: what was fitted to which data, with which result.

    Examples
    --------
    >>> Facts((Fact("Observations", 180),)).to_frame()
                 value
    Observations   180
    """

    items: tuple[Fact, ...]
    title: str = ""

    def to_frame(self) -> pd.DataFrame:
        """Return the values in one column, indexed by their labels."""
        facts = [fact for fact in self.items if fact.label]
        return pd.DataFrame({"value": [fact.value for fact in facts]}, index=[fact.label for fact in facts])


Block = Table | Facts


@dataclass(frozen=True)
class WrittenTable:
    """A table as text: header and body by column, ready for a layout."""

    headers: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    aligns: tuple[str, ...]
    stubs: int

    def rows(self) -> list[tuple[str, ...]]:
        """Return the body by row."""
        return list(zip(*self.body))


def written(table: Table) -> WrittenTable:
    """Write every value of ``table`` as its column wants it."""
    columns = table.columns
    headers = (column.name if column.header is None else column.header for column in columns)
    return WrittenTable(
        tuple(format_text(header) for header in headers),
        tuple(tuple(column.format(column.values)) for column in columns),
        tuple("left" if column.stub else column.format.align for column in columns),
        sum(column.stub for column in columns),
    )


def _index(stubs: Sequence[Column]) -> pd.Index[Any]:
    labels, names = [list(stub.values) for stub in stubs], [stub.name or None for stub in stubs]
    index: pd.Index[Any] = pd.MultiIndex.from_arrays(labels, names=names)
    return index.get_level_values(0) if len(stubs) == 1 else index
