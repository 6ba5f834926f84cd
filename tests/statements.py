"""Numbers in the text of the documentation, and where they come from.

A number is a decimal, a share in per cent, a power of ten, a duration or a size in bytes. The rule:

* a cell of its page shows it, rounded as it is said, or sets it (`n_sim=300`);
* or its paragraph cites a publication, an author and a year;
* or it stands in a block that says what measured it, and when::

      :::{admonition} Measured 2026-11-22 by `python -m benchmarks`
      :class: measured

* or it is a number of the package's own, which ``tests/test_statements.py`` looks up.

Levels of tests and intervals are names, what stands in quotes is said by somebody else, "such as 0.5" is an example.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser

UNITS = r"%|per cent\b|CPU seconds?\b|seconds?\b|milliseconds?\b|ms\b|s\b|MB\b|GB\b|times as\b"
NUMBER = re.compile(
    rf"(?<![\w.,/-])[-−]?(?P<digits>\d*\.\d+|\d+e-?\d+|\d+(?= ?(?:{UNITS}))|\d+(?= to \d+ (?:{UNITS})))(?!\w)"
    r"(?P<share> ?(?:%|per cent))?"
)
IN_OUTPUT = re.compile(r"(?<![\w.])[-−+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)(?:e[-+]?\d+)?")
SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
FENCE = re.compile(r"^```(?!\{(?:dropdown|admonition|note|tip|warning)).*?^```\s*$", re.MULTILINE | re.DOTALL)
CELL = re.compile(r"^```\{code-cell\}.*?\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
MATHS = re.compile(r"^\$\$.*?^\$\$|\$[^$\n]+\$", re.MULTILINE | re.DOTALL)
MEASURED = re.compile(r"^:{3,}\{admonition\} (?P<title>[^\n]*)\n:class: measured\n(?P<body>.*?)^:{3,}$", re.M | re.S)
TITLE = re.compile(r"Measured \d{4}-\d\d-\d\d by `(?P<command>python -m (?P<module>[\w.]+)[^`]*)`")
QUOTED = re.compile(r'"[^"\n]*"|such as [^,;|.]*\d+(?:\.\d+)?')
LEVELS = {"5 %", "50 %", "90 %", "95 %", "99 %"}
CITED = re.compile(r"[A-Z][\w’-]+\S*(?: [^.;:]{0,40})?[ (]\(?(?:18|19|20)\d\d\b")


def paragraphs(page: str) -> list[str]:
    """Return the paragraphs of the text of a page that say something: neither code nor formulas nor measured blocks."""
    text = re.sub(r"\A---\n.*?\n---\n", "", page, flags=re.DOTALL)
    for left_out in (FENCE, MEASURED, MATHS, SPAN, QUOTED):
        text = left_out.sub("", text)
    return re.split(r"\n\s*\n|\n(?=[*|-] )", text)


def numbers(text: str) -> list[tuple[str, float, int, bool]]:
    """Return (as written, absolute value, decimals, whether it is a share) of the numbers in a text."""
    found = []
    for match in NUMBER.finditer(text):
        digits = match["digits"]
        decimals = 0 if "e" in digits else len(digits.partition(".")[2])
        found.append((match.group().strip(), float(digits), decimals, match["share"] is not None))
    return found


def values(text: str) -> set[float]:
    """Return the absolute values of all numbers that the output of cells, or their code, has."""
    return {abs(float(number.replace("−", "-").replace(",", ""))) for number in IN_OUTPUT.findall(text)}


def is_rounding(value: float, decimals: int, known: Iterable[float]) -> bool:
    """Whether a number is one of the known ones, rounded."""
    return any(abs(round(one, decimals) - value) < 10.0**-decimals / 2 for one in known)


def unshown(said: Iterable[str], shown: str, code: str = "") -> list[str]:
    """Return the numbers of paragraphs that no output shows, no code sets, and for which no publication is cited."""
    found, given = values(shown), values(code)
    missing = []
    for paragraph in said:
        for written, value, decimals, is_share in numbers(paragraph):
            scales = (1.0, 0.01) if is_share else (1.0,)
            seen = [one / scale for scale in scales for one in found]
            is_set = any(abs(one / scale - value) <= 1e-12 * value for scale in scales for one in given)
            if written not in LEVELS and not (is_rounding(value, decimals, seen) or is_set or CITED.search(paragraph)):
                missing.append(written)
    return missing


def number_of(written: str) -> tuple[float, int]:
    """Return a number that is written in a text, and its decimals."""
    digits = re.sub(r"\s", "", written)
    return float(digits), len(digits.partition(".")[2])


def code(page: str) -> str:
    """Return the code of the cells of a page."""
    return "\n".join(CELL.findall(page))


class Site(HTMLParser):
    """A built page: ``shown`` is what its cells show."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.depth, self.parts, self.is_style = 0, [], False
        self.feed(html)
        self.shown = " ".join(self.parts)

    def handle_starttag(self, tag, attrs):
        self.is_style = tag in ("style", "script")
        is_output = "cell_output" in (dict(attrs).get("class") or "").split()
        if tag == "div" and (self.depth or is_output):
            self.depth += 1

    def handle_endtag(self, tag):
        self.is_style = False
        if tag == "div" and self.depth:
            self.depth -= 1

    def handle_data(self, data):
        if self.depth and not self.is_style:
            self.parts.append(data)
