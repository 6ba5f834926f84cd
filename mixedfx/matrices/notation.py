"""How numbers are written: with a decimal point or a decimal comma, and with marks between thousands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

__all__ = ["COMMA", "MARKS", "NOTATIONS", "POINT", "Notation", "notations"]

MARKS = "'’\u00a0\u202f"  # between thousands, whatever the decimal sign: apostrophes and hard spaces


@dataclass(frozen=True)
class Notation:
    """One of the two ways to write a number.

    Attributes
    ----------
    decimal : str
        The sign before the decimals.
    thousands : str
        The sign that may stand between thousands, beside apostrophes and hard spaces.
    """

    decimal: str
    thousands: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What a number looks like; marks between thousands divide three digits each, and no zero comes first."""
        grouped = rf"[1-9]\d{{0,2}}([{self.thousands}{MARKS}])\d{{3}}(?:\1\d{{3}})*"
        whole, end = rf"(?:{grouped}|\d+)", re.escape(self.decimal)
        return re.compile(rf"[-+]?(?:{whole}(?:{end}\d*)?|{end}\d+)(?:[eE][-+]?\d+)?")

    def reads(self, texts: Iterable[str]) -> list[bool]:
        """Say which texts are numbers."""
        match = self.pattern.fullmatch
        return [match(text) is not None for text in texts]

    def cure(self, texts: Iterable[str]) -> str:
        """Return what makes numbers of a column of such texts, in pandas."""
        marks = sorted(set(self.thousands + MARKS).intersection("".join(texts)))
        steps = "".join(f".str.replace({mark!r}, '')" for mark in marks)
        return steps + ("" if self.decimal == "." else f".str.replace({self.decimal!r}, '.')") + ".astype(float)"

    def numbers(self, texts: pd.Series[Any]) -> pd.Series[Any]:
        """Return the numbers that texts are; missing ones stay so."""
        bare = texts.str.replace(f"[{self.thousands}{MARKS}]", "", regex=True).str.replace(self.decimal, ".")
        return pd.to_numeric(bare)


POINT, COMMA = Notation(".", ","), Notation(",", ".")
NOTATIONS = (POINT, COMMA)


def notations(texts: Collection[str]) -> tuple[Notation, ...]:
    """Return the notations in which all texts are numbers: two where nothing tells decimals from thousands.

    Examples
    --------
    >>> [[one.decimal for one in notations(texts)] for texts in (["1,100", "950"], ["1,1"], ["1,100.5"], ["a"])]
    [['.', ','], [','], ['.'], []]
    """
    return tuple(one for one in NOTATIONS if all(one.reads(texts)))
