"""Tables for other programs: as comma-separated values (unrounded), as Markdown, and as statsmodels has them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from itertools import groupby, zip_longest
from numbers import Real
from typing import Any

import pandas as pd

from mixedfx._display.blocks import Block, Facts, Table, written
from mixedfx._display.formats import format_text, is_missing

__all__ = ["as_csv", "as_markdown", "as_statsmodels"]

GAP = 2  # blanks between the columns of a table for statsmodels
MARKDOWN_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~$])")


def as_csv(blocks: Sequence[Block]) -> str:
    """Write the unrounded values of ``blocks``, separated by empty lines; each begins with its title, if any."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for number, block in enumerate(blocks):
        if number:
            writer.writerow([])
        if block.title:
            writer.writerow([block.title])
        writer.writerows(_records(block.to_frame()))
    return buffer.getvalue()


def _records(frame: pd.DataFrame) -> list[list[object]]:
    names = ["" if name is None else name for name in frame.index.names]
    labels = [label if isinstance(label, tuple) else (label,) for label in frame.index]
    body = [[*label, *row] for label, row in zip(labels, frame.itertuples(index=False, name=None))]
    return [[*names, *frame.columns], *([_plain(value) for value in row] for row in body)]


def _plain(value: object) -> object:
    """Give numbers in full precision and missing values as nothing."""
    if is_missing(value):
        return ""
    return float(value) if isinstance(value, float) else value


def as_markdown(title: str, blocks: Sequence[Block], notes: Sequence[str]) -> str:
    """Write ``blocks`` as pipe tables under bold titles."""
    parts = [f"**{_escaped(title)}**"] if title else []
    for block in blocks:
        if block.title and block.title != title:
            parts.append(f"**{_escaped(block.title)}**")
        parts.append(block_text(block))
    parts += ["\n".join(f"{number}. {_escaped(note)}" for number, note in enumerate(notes, start=1))] if notes else []
    return "\n\n".join(parts)


def _escaped(value: object) -> str:
    return MARKDOWN_SPECIAL.sub(r"\\\1", format_text(value))


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


@singledispatch
def block_text(block: Block) -> str:
    """Return one pipe table and its footnotes."""
    raise TypeError(f"a block of a summary is a Table or Facts, not {type(block).__name__}")


@block_text.register
def _(block: Table) -> str:
    content = written(block)
    opening = dict(block.headings)
    rules = [":---" if align == "left" else "---:" for align in content.aligns]
    lines = [_row([_escaped(header) for header in content.headers]), _row(rules)]
    for number, row in enumerate(content.rows()):
        if number in opening:
            lines.append(_row([f"*{_escaped(opening[number])}*", *[""] * (len(row) - 1)]))
        lines.append(_row([_escaped(text) for text in row]))
    return "\n\n".join(["\n".join(lines), *map(_escaped, block.footnotes)])


@block_text.register
def _(block: Facts) -> str:
    rows = [_row([_escaped(fact.label), _escaped(fact.shown)]) for fact in block.items if fact.label]
    return "\n".join([_row(["", ""]), _row([":---", ":---"]), *rows])


# ---------------------------------------------------------------- statsmodels
class _Written(float):
    """A number that is shown as its table shows it."""

    text: str

    def __new__(cls, value: float, text: str) -> _Written:
        self = super().__new__(cls, value)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[_Written], tuple[float, str]]:
        return _Written, (float(self), self.text)


@dataclass(frozen=True)
class _Grid:
    """Rows of cells below headers, if there are any; the first ``stubs`` cells name the row.

    ``aligns`` has a letter for each of the other columns, ``stretched`` the columns that take up what room is left.
    """

    title: str
    rows: list[list[Any]]
    headers: tuple[str, ...]
    stubs: int
    aligns: str
    stretched: tuple[int, ...]

    @property
    def widths(self) -> list[int]:
        """Characters that the columns need."""
        lines = [self.headers, *self.rows] if self.headers else self.rows
        return [max(len(str(cell)) for cell in column) for column in zip(*lines)]


def as_statsmodels(title: str, blocks: Sequence[Block], notes: Sequence[str]) -> Any:
    """Return ``blocks`` as a ``statsmodels.iolib.summary.Summary``: a ``SimpleTable`` each, facts may have several.

    A cell shows what our tables show and holds the unrounded number; footnotes and notes are the extra text.
    """
    from statsmodels.iolib.summary import Summary  # takes a second to import

    grids = [grid for block in blocks for grid in _grids(block)]
    if grids and title != grids[0].title:
        grids[0] = replace(grids[0], title="\n".join(filter(None, (title, grids[0].title))))
    width = max((_total(grid.widths) for grid in grids if len(grid.widths) > 2), default=0)  # two are of long facts
    summary = Summary()
    summary.tables = [_simple_table(grid, width) for grid in grids]
    footnotes = [format_text(note) for block in blocks if isinstance(block, Table) for note in block.footnotes]
    numbered = [f"[{number}] {format_text(note)}" for number, note in enumerate(notes, start=1)]
    if footnotes or notes:
        summary.add_extra_txt([*footnotes, *(["Notes:", *numbered] if notes else [])])
    return summary


@singledispatch
def _grids(block: Block) -> list[_Grid]:
    raise TypeError(f"a block of a summary is a Table or Facts, not {type(block).__name__}")


@_grids.register
def _(block: Table) -> list[_Grid]:
    content = written(block)
    values = list(zip(*(column.values for column in block.columns)))
    opening = dict(block.headings)
    rows: list[list[Any]] = []
    for number, (texts, row) in enumerate(zip(content.rows(), values)):
        if number in opening:
            rows.append([format_text(opening[number]), *[""] * (len(texts) - 1)])
        names, cells = texts[: content.stubs], zip(row[content.stubs :], texts[content.stubs :])
        rows.append([*names, *(_cell(value, text) for value, text in cells)])
    aligns = "".join(align[0] for align in content.aligns[content.stubs :])
    return [_Grid(block.title, rows, content.headers, content.stubs, aligns, (max(content.stubs - 1, 0),))]


@_grids.register
def _(block: Facts) -> list[_Grid]:
    """Return two facts a row; runs of wide ones are tables of their own."""
    grids: list[_Grid] = []
    for wide, run in groupby(block.items, key=lambda fact: fact.wide):
        title = "" if grids else block.title
        pairs = [[f"{format_text(fact.label)}:" if fact.label else "", _cell(fact.value, fact.shown)] for fact in run]
        if wide:
            grids.append(_Grid(title, pairs, (), 1, "l", (1,)))
        else:
            rows = [left + right for left, right in zip_longest(pairs[::2], pairs[1::2], fillvalue=["", ""])]
            grids.append(_Grid(title, rows, (), 1, "rlr", (1, 3)))
    return grids


def _cell(value: Any, text: str) -> Any:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return _Written(float(value), text) if is_number else text


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _simple_table(grid: _Grid, width: int) -> Any:
    from statsmodels.iolib.table import SimpleTable

    widths = grid.widths
    room = max(width - _total(widths), 0)
    for k, column in enumerate(grid.stretched):
        widths[column] += (room + k) // len(grid.stretched)
    layout = {"data_aligns": grid.aligns or "r", "colwidths": widths, "colsep": " " * GAP, "header_align": "r"}
    layout |= {"table_dec_above": "=", "table_dec_below": "=", "header_dec_below": "-", "stubs_align": "l"}
    table = SimpleTable([row[grid.stubs :] for row in grid.rows], title=grid.title, txt_fmt=layout)
    for k in reversed(range(grid.stubs)):
        table.insert_stubs(0, [row[k] for row in grid.rows])
    if grid.headers:
        table.insert_header_row(0, grid.headers)
        for cell in table[0][: grid.stubs]:
            cell.datatype = "stub"  # left-aligned as the names below
    return table
