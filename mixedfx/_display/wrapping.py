"""Text measured in terminal cells: widths, padding and lossless line breaks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

__all__ = ["aligned_at_point", "center", "display_width", "longest_word", "pad", "wrap_label", "wrap_sentence"]

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
    found = text.find(".")
    return found if found >= 0 else len(text.rstrip("%"))


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
