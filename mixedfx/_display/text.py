"""Tables for a terminal, in the manner of statsmodels: rules of ``=`` and ``-``, numbers aligned at their points.

Text is measured in terminal cells, and line breaks lose nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import singledispatch
from itertools import groupby

from mixedfx._display.blocks import Block, Fact, Facts, Table, WrittenTable, written
from mixedfx._display.formats import format_text

__all__ = [
    "aligned_at_point",
    "as_text",
    "center",
    "display_width",
    "longest_word",
    "pad",
    "wrap_label",
    "wrap_sentence",
]

TIGHT_GAP = 1  # blanks between columns where there is no room for more
GAP = 2
USUAL_GAP = 4  # of a table that stands alone
WIDEST_GAP = 5
NARROWEST_STUB = 12  # cells that the names of rows keep at least …
LONGEST_STUB = 16  # … and up to so many where a word would be cut otherwise
SHORT_HEADERS = (8, 1)  # cells that a header may take in a table that is too wide, whole words apart: first, then
LONG_WORD = 14  # a longer word of a header is cut
NOTE_WIDTH = 60  # cells that notes may take below a narrower table
FACT_GAP = 4  # blanks between the two halves of the model block

HANGING = 2  # cells by which the continuation of a long name is indented
PARTS = re.compile(r"[^\s:]*[\s:]+|[^\s:]+")  # a name breaks best after these
PIECES = re.compile(r"[^|+*,.()\[\]_]*[|+*,.()\[\]_]+|[^|+*,.()\[\]_]+")  # and next best after these
WORDS = re.compile(r"\S+\s*")


def display_width(text: str) -> int:
    """Return the terminal cells that ``text`` takes: two for East Asian wide characters, none for accents.

    Examples
    --------
    >>> display_width("abc"), display_width("日本")
    (3, 4)
    """
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def pad(text: str, width: int, align: str = "left") -> str:
    """Fill ``text`` with blanks to ``width`` cells; ``align`` is ``"left"`` or ``"right"``."""
    blanks = " " * (width - display_width(text))
    return text + blanks if align == "left" else blanks + text


def center(text: str, width: int) -> str:
    """Put ``text`` in the middle of ``width`` cells, without trailing blanks."""
    return " " * ((width - display_width(text)) // 2) + text


def aligned_at_point(texts: Sequence[str]) -> list[str]:
    """Pad numbers on the right so that their decimal points stand below each other when flush right.

    Numbers with an exponent stay as they are.

    Examples
    --------
    >>> aligned_at_point(["1.25", "10", ""])
    ['1.25', '10   ', '']
    """
    tails = [len(text) - _point(text) if _is_numeric(text) else 0 for text in texts]
    longest = max(tails, default=0)
    return [text + " " * (longest - tail) if _is_numeric(text) else text for text, tail in zip(texts, tails)]


def _is_numeric(text: str) -> bool:
    return "e" not in text and any(character.isdigit() or character == "∞" for character in text)


def _point(text: str) -> int:
    place = text.find(".")
    return place if place >= 0 else len(text.rstrip("%"))


def wrap_label(text: str, width: int, hanging: int = HANGING) -> list[str]:
    """Break a long name into lines of at most ``width`` cells; nothing of it is lost.

    The break comes after a colon or blank, else after a bracket, dot or underscore if possible; continuations are
    indented by ``hanging``.

    Examples
    --------
    >>> wrap_label("treatment[T.placebo]:week", 16)
    ['treatment[T.', '  placebo]:week']
    >>> wrap_label("treatment:week", 12)
    ['treatment:', '  week']
    """
    longest = width - hanging
    parts = ([part] if display_width(part) <= longest else PIECES.findall(part) for part in PARTS.findall(text))
    return _filled(_cut([piece for part in parts for piece in part], longest), width, "", " " * hanging)


def longest_word(text: str, most: int) -> int:
    """Return the cells that the longest piece of a name takes which :func:`wrap_label` need not cut, up to ``most``.

    Examples
    --------
    >>> longest_word("partial_eta_sq", 14)
    8
    """
    pieces = (piece for part in PARTS.findall(text) for piece in PIECES.findall(part))
    return min(most, max((display_width(piece.rstrip()) for piece in pieces), default=0))


def wrap_sentence(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Fill a sentence into lines of ``width``, the first opened by ``first`` and the others by ``rest``.

    Examples
    --------
    >>> wrap_sentence("one two three", 9, first="- ", rest="  ")
    ['- one two', '  three']
    """
    words = WORDS.findall(text)
    return _filled(_cut(words, width - max(len(first), len(rest))), width, first, rest)


def _filled(pieces: Sequence[str], width: int, first: str, rest: str) -> list[str]:
    """Put pieces into lines, greedily; a line holds at least one."""
    lines, line, margin = [], first, first
    for piece in pieces:
        if line != margin and display_width((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = margin = rest
        line += piece
    return [*lines, line.rstrip()]


def _cut(pieces: Sequence[str], longest: int) -> list[str]:
    """Cut the pieces that are too long, anywhere."""
    result = []
    for piece in pieces:
        while display_width(piece.rstrip()) > max(longest, 2):
            count = _fitting(piece, max(longest, 2))
            result.append(piece[:count])
            piece = piece[count:]
        result.append(piece)
    return result


def _fitting(text: str, width: int) -> int:
    """Return how many leading characters take at most ``width`` cells (at least one)."""
    used = 0
    for count, character in enumerate(text):
        used += _cells_of(character)
        if used > width and count:
            return count
    return len(text)


def as_text(title: str, blocks: Sequence[Block], notes: Sequence[str], width: int, following: str = "") -> str:
    """Lay out ``blocks`` below each other in at most ``width`` cells.

    Several blocks take the whole width, as in a regression summary; a single one takes what it needs.
    """
    used = width if len(blocks) != 1 else min(width, max(_natural_width(blocks[0]), display_width(title)))
    lines = _title_lines(title, used)
    for block in blocks:
        lines += block_lines(block, used, block.title if block.title != title else "")
    if blocks:
        lines.append("=" * used)
    lines += _note_lines(notes, max(used, min(width, NOTE_WIDTH)))
    lines += wrap_sentence(following, max(used, min(width, NOTE_WIDTH))) if following else []
    return "\n".join(line.rstrip() for line in lines)


def _title_lines(title: str, width: int) -> list[str]:
    return [center(line, width) for line in wrap_sentence(format_text(title), width)] if title else []


def _note_lines(notes: Sequence[str], width: int) -> Iterator[str]:
    if notes:
        yield "Notes:"
    for number, note in enumerate(notes, start=1):
        mark = f"[{number}] "
        yield from wrap_sentence(format_text(note), width, mark, " " * len(mark))


@singledispatch
def block_lines(block: Block, width: int, title: str) -> list[str]:
    """Return the lines of a block, from its upper rule to its last row; the title stands above the names of rows."""
    raise TypeError(f"a block of a summary is a Table or Facts, not {type(block).__name__}")


@singledispatch
def _natural_width(block: Block) -> int:
    raise TypeError(f"a block of a summary is a Table or Facts, not {type(block).__name__}")


# ---------------------------------------------------------------- tables


@block_lines.register
def _(block: Table, width: int, title: str) -> list[str]:
    content = _with_short_headers(_aligned(written(block)), width)
    lines: list[str] = []
    for panel in _panels(content, width):
        lines += ["=" * width, *_panel_lines(panel, block.headings, width, title)]
    for footnote in block.footnotes:
        lines += wrap_sentence(format_text(footnote), width)
    return lines


@_natural_width.register
def _(block: Table) -> int:
    content = _aligned(written(block))
    longest = max(map(display_width, (block.title, *(heading for _, heading in block.headings))))
    footnotes = max(map(display_width, block.footnotes), default=0)
    return max(sum(_widths(content)) + USUAL_GAP * (len(content.headers) - 1), longest, min(footnotes, NOTE_WIDTH))


def _aligned(content: WrittenTable) -> WrittenTable:
    body = (
        tuple(aligned_at_point(column)) if align == "right" else column
        for column, align in zip(content.body, content.aligns)
    )
    return WrittenTable(content.headers, tuple(body), content.aligns, content.stubs)


def _widths(content: WrittenTable) -> list[int]:
    return [
        max(map(display_width, (*header.split("\n"), *column))) for header, column in zip(content.headers, content.body)
    ]


def _least_width(content: WrittenTable, columns: Sequence[int], gap: int) -> int:
    """Return the width of a table of these columns with its names of rows as narrow as they may be."""
    widths = _widths(content)
    names = [_least_stub(content.body[stub], widths[stub]) for stub in range(content.stubs)]
    shown = names + [widths[column] for column in columns]
    return sum(shown) + gap * (len(shown) - 1)


def _with_short_headers(content: WrittenTable, width: int) -> WrittenTable:
    """Break the long headers of a table that is too wide into several lines."""
    columns = range(content.stubs, len(content.headers))
    if _least_width(content, columns, GAP) <= width:
        return content
    for short in SHORT_HEADERS:
        narrow = _broken_headers(content, short)
        if _least_width(narrow, columns, TIGHT_GAP) <= width:
            return narrow
    return _broken_headers(content, SHORT_HEADERS[0])


def _broken_headers(content: WrittenTable, short: int) -> WrittenTable:
    widths = [max(map(display_width, column), default=0) for column in content.body]
    headers = (
        header
        if index < content.stubs
        else "\n".join(wrap_label(header, max(widths[index], short, longest_word(header, LONG_WORD)), hanging=0))
        for index, header in enumerate(content.headers)
    )
    return WrittenTable(tuple(headers), content.body, content.aligns, content.stubs)


def _panels(content: WrittenTable, width: int) -> Iterator[WrittenTable]:
    """Cut a table that is too wide into tables with the same names of rows."""
    stubs = range(content.stubs)
    chosen: list[int] = []
    for column in range(content.stubs, len(content.headers)):
        if chosen and _least_width(content, [*chosen, column], TIGHT_GAP) > width:
            yield _selected(content, [*stubs, *chosen])
            chosen = []
        chosen.append(column)
    yield _selected(content, [*stubs, *chosen])


def _selected(content: WrittenTable, columns: Sequence[int]) -> WrittenTable:
    pick = tuple(columns)
    return WrittenTable(
        tuple(content.headers[index] for index in pick),
        tuple(content.body[index] for index in pick),
        tuple(content.aligns[index] for index in pick),
        content.stubs,
    )


def _panel_lines(content: WrittenTable, headings: Sequence[tuple[int, str]], width: int, title: str) -> list[str]:
    widths = _fitted(content, width)
    gaps = _gaps(widths, content.stubs, width)
    opening = dict(headings)
    lines = [*_header_lines(content, widths, gaps, title), "-" * width]
    for number, row in enumerate(content.rows()):
        if number in opening:
            lines += wrap_label(format_text(opening[number]), width)
        lines += _row_lines(row, content, widths, gaps)
    return lines


def _header_lines(content: WrittenTable, widths: list[int], gaps: list[int], title: str) -> list[str]:
    """Return the headers; a title replaces those of the names of rows, or stands above them if it is long."""
    stubs = content.stubs
    room = sum(widths[:stubs]) + sum(gaps[: stubs + 1]) - GAP
    replaces = bool(title) and display_width(title) <= room
    above = wrap_sentence(format_text(title), sum(widths) + sum(gaps)) if title and not replaces else []
    shown = [""] * stubs + list(content.headers[stubs:]) if replaces else content.headers
    headers = [header.split("\n") for header in shown]
    height = max(map(len, headers))
    lines = _joined([[""] * (height - len(header)) + header for header in headers], content, widths, gaps)
    if replaces:
        lines[-1] = format_text(title) + lines[-1][display_width(title) :]
    return above + lines


def _least_stub(names: Sequence[str], widest: int) -> int:
    """Return the cells that names of rows need at least: no word is cut that is not very long."""
    words = max((longest_word(name, LONGEST_STUB - HANGING) for name in names), default=0)
    return min(widest, max(NARROWEST_STUB, words + HANGING))


def _fitted(content: WrittenTable, width: int) -> list[int]:
    """Narrow the widest names of rows until the table fits."""
    widths, stubs = _widths(content), content.stubs
    least = [_least_stub(content.body[stub], widths[stub]) for stub in range(stubs)]
    excess = sum(widths) + GAP * (len(widths) - 1) - width
    while excess > 0 and stubs:
        widest = max(range(stubs), key=lambda stub: widths[stub] - least[stub])
        if widths[widest] <= least[widest]:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _gaps(widths: list[int], stubs: int, width: int) -> list[int]:
    """Return the blanks before each column: even ones, and what remains after the names of rows."""
    count = len(widths) - 1
    if count < 1:
        return [0]
    even = max(TIGHT_GAP, min(WIDEST_GAP, (width - sum(widths)) // count))
    gaps = [0] + [even] * count
    gaps[min(max(stubs, 1), count)] += max(0, width - sum(widths) - even * count)
    return gaps


def _row_lines(row: Sequence[str], content: WrittenTable, widths: list[int], gaps: list[int]) -> list[str]:
    """Return the lines of a row; names that are too long go on below."""
    parts = [
        wrap_label(text, width) if index < content.stubs else [text]
        for index, (text, width) in enumerate(zip(row, widths))
    ]
    height = max(map(len, parts), default=1)
    return _joined([part + [""] * (height - len(part)) for part in parts], content, widths, gaps)


def _joined(parts: Sequence[Sequence[str]], content: WrittenTable, widths: list[int], gaps: list[int]) -> list[str]:
    """Put cells of equally many lines beside each other."""
    return [
        "".join(
            " " * gap + pad(text, width, align) for text, width, gap, align in zip(line, widths, gaps, content.aligns)
        )
        for line in zip(*parts)
    ]


# ---------------------------------------------------------------- facts


@block_lines.register
def _(block: Facts, width: int, title: str) -> list[str]:
    half = (width - FACT_GAP) // 2
    margin = max((display_width(fact.label) for fact in block.items if fact.wide), default=0) + 3
    lines = ["=" * width, *_title_lines(title, width)]
    for wide, run in groupby(block.items, key=lambda fact: fact.wide or not _fits(fact, half)):
        facts = list(run)
        lines += _wide_lines(facts, margin, width) if wide else _paired_lines(facts, half)
    return lines


@_natural_width.register
def _(block: Facts) -> int:
    return max((display_width(fact.label) + display_width(fact.shown) + 3 for fact in block.items), default=0)


def _fits(fact: Fact, width: int) -> bool:
    return _natural_width(Facts((fact,))) <= width


def _wide_lines(facts: Sequence[Fact], margin: int, width: int) -> list[str]:
    labels = [pad(f"{format_text(fact.label)}:" if fact.label else "", margin) for fact in facts]
    return [
        line
        for fact, label in zip(facts, labels)
        for line in wrap_sentence(fact.shown, width, label, " " * min(margin, width // 2))
    ]


def _paired_lines(facts: Sequence[Fact], half: int) -> list[str]:
    halves = [_fact_line(fact, half) for fact in facts]
    return [(" " * FACT_GAP).join(halves[row : row + 2]) for row in range(0, len(halves), 2)]


def _fact_line(fact: Fact, width: int) -> str:
    label = f"{format_text(fact.label)}:" if fact.label else ""
    return label + pad(fact.shown, width - display_width(label), "right")
