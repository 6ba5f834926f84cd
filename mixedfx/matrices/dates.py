"""Text that reads as dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Style", "style_of"]


@dataclass(frozen=True)
class Style:
    """One way to write a date.

    Attributes
    ----------
    pattern : re.Pattern
        With three numbers.
    order : tuple of int
        Which of them are year, month and day.
    reading : str
        What ``pandas.to_datetime`` has to be told.
    """

    pattern: re.Pattern[str]
    order: tuple[int, int, int]
    reading: str

    def keys(self, texts: Sequence[str]) -> list[tuple[int, ...]] | None:
        """Return (year, month, day) of every text; None if one is no such date."""
        found = [match for text in texts if (match := self.pattern.fullmatch(text.strip()))]
        keys = [tuple(int(match[part]) for part in self.order) for match in found]
        is_date = len(found) == len(texts) > 0 and all(1 <= month <= 12 and 1 <= day <= 31 for _, month, day in keys)
        return keys if is_date else None

    def is_sorted(self, texts: Sequence[str]) -> bool:
        """Whether dates stand in the order of time."""
        keys = self.keys(texts)
        return keys is not None and sorted(keys) == keys

    def cure(self, name: str, texts: Sequence[str]) -> str:
        """Return what makes days of a column of such dates, in pandas."""
        forms = {re.sub(r"\d+", "", text) for text in map(str.strip, texts)}
        reading = self.reading
        is_short = self.order[0] == 3 and all(len(text.strip()) == len("31.12.24") for text in texts)
        if len(forms) == 1 and is_short:  # years of two digits, which pandas would guess
            parts = ("%d", "%m", "%y") if self.order[1] == 2 else ("%m", "%d", "%y")
            reading = f", format='{forms.pop()[0].join(parts)}'"
        return f"(date - date.min()).dt.days of date = pd.to_datetime(data[{name!r}]{reading})"


SPOKEN = r"(\d{1,2}(?=[./-]\d{1,2}[./-]\d{4})|\d{2})[./-](\d{1,2}(?=[./-]\d{4})|\d{2})[./-](\d{4}|\d{2})"
CLOCK = r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?"
STYLES = (
    Style(re.compile(rf"(\d{{4}})[-/.](\d{{1,2}})[-/.](\d{{1,2}}){CLOCK}"), (1, 2, 3), ""),
    Style(re.compile(SPOKEN + CLOCK), (3, 2, 1), ", dayfirst=True"),
    Style(re.compile(SPOKEN + CLOCK), (3, 1, 2), ", dayfirst=False"),
)


def style_of(texts: Sequence[str]) -> Style | None:
    """Return how texts are written if all are dates: the day before the month where both are possible.

    Examples
    --------
    >>> columns = ["2024-01-31"], ["31.1.2024", "1.2.2024"], ["01/31/24"], ["1.1.24"]
    >>> [style.order if (style := style_of(texts)) else None for texts in columns]
    [(1, 2, 3), (3, 2, 1), (3, 1, 2), None]
    """
    return next((style for style in STYLES if style.keys(texts) is not None), None)
