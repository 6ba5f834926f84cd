"""Tables for LaTeX with the rules of booktabs; every special character is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import singledispatch

from mixedfx._display.blocks import Block, Facts, Table, WrittenTable, written
from mixedfx._display.formats import format_text

__all__ = ["as_latex"]

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    '"': r"\char34{}", "[": "{[}", "]": "{]}", "∞": r"$\infty$", "χ": r"$\chi$", "²": r"$^2$",
    "±": r"$\pm$", "σ": r"$\sigma$", "×": r"$\times$", "≤": r"$\le$", "≥": r"$\ge$", "−": r"$-$", "—": "---",
    "–": "--", "…": r"\ldots{}", "θ": r"$\theta$", "β": r"$\beta$", "ρ": r"$\rho$",
    "·": r"$\cdot$", "→": r"$\to$", "≠": r"$\neq$", "Δ": r"$\Delta$", "λ": r"$\lambda$", "μ": r"$\mu$",
    "φ": r"$\phi$", "τ": r"$\tau$", "ω": r"$\omega$", "η": r"$\eta$", "ε": r"$\epsilon$", "³": r"$^3$",
}  # fmt: skip
ESCAPES = str.maketrans(SPECIAL)
SCIENTIFIC = re.compile(r"^(-?[\d.]+)e([+-])0*(\d+)$")


def as_latex(title: str, blocks: Sequence[Block], notes: Sequence[str]) -> str:
    """Write ``blocks`` below each other in one ``table`` environment; needs ``\\usepackage{booktabs}``."""
    lines = [r"\begin{table}", r"\centering"]
    if title:
        lines.append(rf"\caption{{{_escaped(title)}}}")
    for number, block in enumerate(blocks):
        lines += [r"\par\medskip"] if number else []
        lines += [rf"\textbf{{{_escaped(block.title)}}}\par\smallskip"] if block.title not in ("", title) else []
        lines += block_lines(block)
    if notes:
        lines += [r"\par\medskip", r"\begin{minipage}{\linewidth}", r"\footnotesize"]
        lines += [rf"{_escaped(note)}\par" for note in notes]
        lines.append(r"\end{minipage}")
    return "\n".join([*lines, r"\end{table}"])


def _escaped(value: object) -> str:
    return format_text(value).translate(ESCAPES)


def _number(text: str) -> str:
    """Write a formatted number with a true minus sign and a power of ten."""
    match = SCIENTIFIC.match(text)
    if match:
        mantissa, sign, exponent = match.groups()
        return rf"${mantissa} \times 10^{{{sign.strip('+')}{exponent}}}$"
    return f"$-${_escaped(text[1:])}" if text.startswith("-") else _escaped(text)


@singledispatch
def block_lines(block: Block) -> list[str]:
    """Return the lines of one ``tabular``."""
    raise TypeError(f"a block of a summary is a Table or Facts, not {type(block).__name__}")


@block_lines.register
def _(block: Table) -> list[str]:
    content = written(block)
    opening = dict(block.headings)
    span = len(content.headers)
    lines = [rf"\begin{{tabular}}{{{''.join(align[0] for align in content.aligns)}}}", r"\toprule"]
    lines += [" & ".join(_headers(content)) + r" \\", r"\midrule"]
    for number, row in enumerate(content.rows()):
        if number in opening:
            lines.append(rf"\multicolumn{{{span}}}{{l}}{{\textit{{{_escaped(opening[number])}}}}} \\")
        texts = [_escaped(text) if align == "left" else _number(text) for text, align in zip(row, content.aligns)]
        lines.append(" & ".join(texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return [*lines, *(rf"\par\footnotesize {_escaped(note)}" for note in block.footnotes)]


def _headers(content: WrittenTable) -> Iterator[str]:
    for header, align in zip(content.headers, content.aligns):
        yield rf"\multicolumn{{1}}{{{align[0]}}}{{{_escaped(header)}}}" if header else ""


@block_lines.register
def _(block: Facts) -> list[str]:
    rows = [rf"{_escaped(fact.label)} & {_escaped(fact.shown)} \\" for fact in block.items if fact.label]
    return [r"\begin{tabular}{lp{0.7\linewidth}}", r"\toprule", *rows, r"\bottomrule", r"\end{tabular}"]
