"""Tables for notebooks and web pages: everything escaped, captions and scopes set, at home on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import singledispatch
from html import escape
from itertools import groupby

from mixedfx._display.blocks import Block, Fact, Facts, Table, WrittenTable, written
from mixedfx._display.formats import format_text

__all__ = ["as_html"]

# The doubled class outranks the table rules of Jupyter and of Sphinx themes.
STYLE = """<style>
.mfx.mfx { overflow-x: auto; margin: 0.5em 0; }
.mfx.mfx > div { display: inline-block; min-width: 22em; }
.mfx.mfx table { width: 100%; margin: 0 0 1em 0; border: 0; border-collapse: collapse; table-layout: auto;
  font-size: 0.92em; border-top: 2px solid currentColor; border-bottom: 2px solid currentColor;
  color: inherit; background: transparent; font-variant-numeric: tabular-nums lining-nums; }
.mfx.mfx caption { caption-side: top; padding: 0.3em 0; text-align: left; font-weight: 600; color: inherit; }
.mfx.mfx tr, .mfx.mfx thead, .mfx.mfx tbody tr:nth-child(n) { background: transparent; border: 0; }
.mfx.mfx th, .mfx.mfx td { padding: 0.2em 0.7em; border: 0; text-align: right; vertical-align: top;
  white-space: nowrap; color: inherit; background: transparent; }
.mfx.mfx thead th, .mfx.mfx thead td { border-bottom: 1px solid currentColor; vertical-align: bottom; }
.mfx.mfx thead th { font-weight: 600; white-space: normal; }
.mfx.mfx tbody th { font-weight: 400; }
.mfx.mfx .mfx-name { text-align: left; }
.mfx.mfx tbody th.mfx-name { white-space: normal; overflow-wrap: break-word; max-width: 30em; }
.mfx.mfx thead th[colspan] { text-align: center; }
.mfx.mfx th.mfx-label { white-space: nowrap; opacity: 0.75; text-align: left; }
.mfx.mfx td.mfx-wide { white-space: normal; overflow-wrap: anywhere; text-align: left; }
.mfx.mfx tbody tr.mfx-heading:nth-child(n) th { font-style: italic; padding-top: 0.5em; text-align: left; }
.mfx.mfx tbody tr:hover td, .mfx.mfx tbody tr:hover th { background: rgba(128, 128, 128, 0.14); }
.mfx.mfx p, .mfx.mfx ol { margin: 0 0 0.6em 0; font-size: 0.88em; max-width: min(52em, 88vw); }
.mfx.mfx ol { padding-left: 1.6em; }
</style>"""


def as_html(title: str, blocks: Sequence[Block], notes: Sequence[str], following: str = "") -> str:
    """Write ``blocks`` as tables in one ``<div>`` that carries its own style, in ASCII: no encoding can spoil it."""
    lines = ['<div class="mfx">', STYLE, "<div>"]
    for number, block in enumerate(blocks):
        lines += block_lines(block, block.title or (title if number == 0 else ""))
    if notes:
        lines += ["<ol>", *(f"<li>{_escaped(note)}</li>" for note in notes), "</ol>"]
    if following:
        lines.append(f"<p>{_escaped(following)}</p>")
    return "\n".join([*lines, "</div>", "</div>"]).encode("ascii", "xmlcharrefreplace").decode()


def _escaped(value: object) -> str:
    return escape(format_text(value), quote=True)


@singledispatch
def block_lines(block: Block, caption: str) -> list[str]:
    """Return the lines of one ``<table>``."""
    raise TypeError(f"a block of a summary is a Table or Facts, not {type(block).__name__}")


@block_lines.register
def _(block: Table, caption: str) -> list[str]:
    content = written(block)
    opening = dict(block.headings)
    lines = [*_opened(caption), f"<thead><tr>{''.join(_headers(content))}</tr></thead>", "<tbody>"]
    for number, row in enumerate(content.rows()):
        if number in opening:
            span = len(content.headers)
            heading = f'<th scope="rowgroup" colspan="{span}">{_escaped(opening[number])}</th>'
            lines.append(f'<tr class="mfx-heading">{heading}</tr>')
        lines.append(f"<tr>{''.join(_cell(text, index, content) for index, text in enumerate(row))}</tr>")
    return [*lines, "</tbody>", "</table>", *(f"<p>{_escaped(note)}</p>" for note in block.footnotes)]


@block_lines.register
def _(block: Facts, caption: str) -> list[str]:
    return [*_opened(caption), "<tbody>", *_fact_rows(block.items), "</tbody>", "</table>"]


def _opened(caption: str) -> list[str]:
    return ["<table>", *([f"<caption>{_escaped(caption)}</caption>"] if caption else [])]


def _headers(content: WrittenTable) -> Iterator[str]:
    """Yield the header cells; one followed by empty headers spans them."""
    index = 0
    while index < len(content.headers):
        last = index + 1
        while content.stubs <= index and last < len(content.headers) and not content.headers[last]:
            last += 1
        span = f' colspan="{last - index}"' if last - index > 1 else ""
        style = _style(content.aligns[index])
        text = _escaped(content.headers[index]).replace("_", "_<wbr>")
        yield f'<th scope="col"{span}{style}>{text}</th>' if text else f"<td{style}></td>"
        index = last


def _cell(text: str, index: int, content: WrittenTable) -> str:
    style = _style(content.aligns[index])
    if index < content.stubs and text:
        return f'<th scope="row"{style}>{_escaped(text)}</th>'
    return f"<td{style}>{_escaped(text)}</td>"


def _style(align: str) -> str:
    return ' class="mfx-name"' if align == "left" else ""


def _fact_rows(facts: Sequence[Fact]) -> Iterator[str]:
    """Yield rows of two facts; wide ones stand alone."""
    for wide, run in groupby(facts, key=lambda fact: fact.wide):
        texts = [_label(fact) + _value(fact) for fact in run]
        step = 1 if wide else 2
        yield from (f"<tr>{''.join(texts[row : row + step])}</tr>" for row in range(0, len(texts), step))


def _value(fact: Fact) -> str:
    style = ' class="mfx-wide" colspan="3"' if fact.wide else ""
    return f"<td{style}>{_escaped(fact.shown)}</td>"


def _label(fact: Fact) -> str:
    if not fact.label:
        return "<td></td>"
    return f'<th scope="row" class="mfx-label">{_escaped(fact.label)}</th>'
