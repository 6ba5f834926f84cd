"""Tables for a terminal, in the manner of statsmodels: rules of ``=`` and ``-``, numbers aligned at their points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import singledispatch
from itertools import groupby

from mixedfx._display.blocks import Block, Cells, Fact, Facts, Table, cells
from mixedfx._display.formats import format_text
from mixedfx._display.wrapping import aligned_at_point, center, display_width, pad, wrap_label, wrap_sentence

__all__ = ["as_text"]

GAP = 2  # least blanks between columns
USUAL_GAP = 4  # of a table that stands alone
WIDEST_GAP = 5
NARROWEST_STUB = 12  # cells that the names of rows keep at least
FACT_GAP = 4  # blanks between the two halves of the model block


def as_text(title: str, blocks: Sequence[Block], notes: Sequence[str], width: int) -> str:
    """Lay out ``blocks`` below each other in at most ``width`` cells.

    Several blocks take the whole width, as in a regression summary; a single one takes what it needs.
    """
    used = width if len(blocks) > 1 else min(width, max((_natural_width(block) for block in blocks), default=width))
    lines = _title_lines(title, used)
    for block in blocks:
        if block.title and block.title != title:
            lines += _title_lines(block.title, used)
        lines += block_lines(block, used)
    if blocks:
        lines.append("=" * used)
    return "\n".join(line.rstrip() for line in [*lines, *_note_lines(notes, max(used, min(width, 60)))])


def _title_lines(title: str, width: int) -> list[str]:
    return [center(line, width) for line in wrap_sentence(format_text(title), width)] if title else []


def _note_lines(notes: Sequence[str], width: int) -> Iterator[str]:
    if notes:
        yield "Notes:"
    for number, note in enumerate(notes, start=1):
        mark = f"[{number}] "
        yield from wrap_sentence(format_text(note), width, mark, " " * len(mark))


@singledispatch
def block_lines(block: Block, width: int) -> list[str]:
    """Return the lines of a block, from its upper rule to its last row."""
    raise TypeError(f"a block of a summary is a Table or Facts, not {type(block).__name__}")


@singledispatch
def _natural_width(block: Block) -> int:
    raise TypeError(f"a block of a summary is a Table or Facts, not {type(block).__name__}")


# ---------------------------------------------------------------- tables


@block_lines.register
def _(block: Table, width: int) -> list[str]:
    content = _aligned(cells(block))
    lines: list[str] = []
    for panel in _panels(content, width):
        lines += ["=" * width, *_panel_lines(panel, block.headings, width)]
    for footnote in block.footnotes:
        lines += wrap_sentence(format_text(footnote), width)
    return lines


@_natural_width.register
def _(block: Table) -> int:
    content = _aligned(cells(block))
    return max(sum(_widths(content)) + USUAL_GAP * (len(content.headers) - 1), display_width(block.title))


def _aligned(content: Cells) -> Cells:
    body = (
        tuple(aligned_at_point(column)) if align == "right" else column
        for column, align in zip(content.body, content.aligns)
    )
    return Cells(content.headers, tuple(body), content.aligns, content.stubs)


def _widths(content: Cells) -> list[int]:
    return [max(map(display_width, (header, *column))) for header, column in zip(content.headers, content.body)]


def _panels(content: Cells, width: int) -> Iterator[Cells]:
    """Cut a table that is too wide into tables with the same names of rows."""
    widths = _widths(content)
    stubs = range(content.stubs)
    names = sum(min(widths[stub], NARROWEST_STUB) + GAP for stub in stubs)
    chosen: list[int] = []
    for column in range(content.stubs, len(widths)):
        if chosen and names + sum(widths[index] + GAP for index in [*chosen, column]) - GAP > width:
            yield _selected(content, [*stubs, *chosen])
            chosen = []
        chosen.append(column)
    yield _selected(content, [*stubs, *chosen])


def _selected(content: Cells, columns: Sequence[int]) -> Cells:
    pick = tuple(columns)
    return Cells(
        tuple(content.headers[index] for index in pick),
        tuple(content.body[index] for index in pick),
        tuple(content.aligns[index] for index in pick),
        content.stubs,
    )


def _panel_lines(content: Cells, headings: Sequence[tuple[int, str]], width: int) -> list[str]:
    widths = _fitted(_widths(content), content.stubs, width)
    gaps = _gaps(widths, content.stubs, width)
    opening = dict(headings)
    lines = [*_row_lines(content.headers, content, widths, gaps), "-" * width]
    for number, row in enumerate(content.rows()):
        if number in opening:
            lines += wrap_label(format_text(opening[number]), width)
        lines += _row_lines(row, content, widths, gaps)
    return lines


def _fitted(widths: list[int], stubs: int, width: int) -> list[int]:
    """Narrow the widest names of rows until the table fits."""
    widths = list(widths)
    excess = sum(widths) + GAP * (len(widths) - 1) - width
    while excess > 0 and stubs:
        widest = max(range(stubs), key=widths.__getitem__)
        if widths[widest] <= NARROWEST_STUB:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _gaps(widths: list[int], stubs: int, width: int) -> list[int]:
    """Return the blanks before each column: even ones, and what remains after the names of rows."""
    count = len(widths) - 1
    if count < 1:
        return [0]
    even = max(GAP, min(WIDEST_GAP, (width - sum(widths)) // count))
    gaps = [0] + [even] * count
    gaps[min(max(stubs, 1), count)] += max(0, width - sum(widths) - even * count)
    return gaps


def _row_lines(row: Sequence[str], content: Cells, widths: list[int], gaps: list[int]) -> list[str]:
    """Return the lines of a row; names that are too long go on below."""
    parts = [
        wrap_label(text, width) if index < content.stubs else [text]
        for index, (text, width) in enumerate(zip(row, widths))
    ]
    height = max(map(len, parts), default=1)
    filled = [part + [""] * (height - len(part)) for part in parts]
    return [
        "".join(
            " " * gap + pad(text, width, align) for text, width, gap, align in zip(line, widths, gaps, content.aligns)
        )
        for line in zip(*filled)
    ]


# ---------------------------------------------------------------- facts


@block_lines.register
def _(block: Facts, width: int) -> list[str]:
    half = (width - FACT_GAP) // 2
    margin = max((display_width(fact.label) for fact in block.items if fact.wide), default=0) + 3
    lines = ["=" * width]
    for wide, run in groupby(block.items, key=lambda fact: fact.wide or not _fits(fact, half)):
        facts = list(run)
        lines += _wide_lines(facts, margin, width) if wide else _paired_lines(facts, half)
    return lines


@_natural_width.register
def _(block: Facts) -> int:
    return max((display_width(fact.label) + display_width(fact.value) + 3 for fact in block.items), default=0)


def _fits(fact: Fact, width: int) -> bool:
    return _natural_width(Facts((fact,))) <= width


def _wide_lines(facts: Sequence[Fact], margin: int, width: int) -> list[str]:
    lines = []
    for fact in facts:
        label = pad(f"{format_text(fact.label)}:" if fact.label else "", margin)
        first, *rest = wrap_label(format_text(fact.value), max(width - display_width(label), NARROWEST_STUB))
        lines += [label + first, *(" " * margin + line for line in rest)]
    return lines


def _paired_lines(facts: Sequence[Fact], half: int) -> list[str]:
    halves = [_fact_line(fact, half) for fact in facts]
    return [(" " * FACT_GAP).join(halves[row : row + 2]) for row in range(0, len(halves), 2)]


def _fact_line(fact: Fact, width: int) -> str:
    label = f"{format_text(fact.label)}:" if fact.label else ""
    return label + pad(format_text(fact.value), width - display_width(label), "right")
