"""Tables as comma-separated values (unrounded) and as Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from functools import singledispatch

import pandas as pd

from mixedfx._display.blocks import Block, Facts, Table, written
from mixedfx._display.formats import format_text, is_missing

__all__ = ["as_csv", "as_markdown"]

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
