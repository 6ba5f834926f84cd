"""Numbers of a table of text: decimal points, decimal commas, and marks between thousands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mixedfx as mfx
from mixedfx.matrices.notation import COMMA, MARKS, NOTATIONS, POINT, Notation, notations

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["checked_decimal", "with_numbers"]

DECIMALS = {one.decimal: one for one in NOTATIONS}
HABITS = {POINT: "marks between thousands", COMMA: "decimal commas"}
SIGNS = frozenset(f",.{MARKS}")
FEW = 5  # columns that a message lists


def checked_decimal(text: str | None) -> str | None:
    """Return the decimal sign that the user gave."""
    if text is not None and text not in DECIMALS:
        raise mfx.SpecificationError(f"--decimal is the decimal sign of numbers, '.' or ','; found {text!r}")
    return text


def with_numbers(
    data: pd.DataFrame, as_text: Callable[[], pd.DataFrame], decimal: str | None, missing: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with numbers where texts are numbers in one notation, and what is to be said of it.

    Parameters
    ----------
    data : DataFrame
        In which numbers with decimal points are numbers already.
    as_text : callable
        Returns the same table as text.
    decimal : str or None
        The decimal sign, where both are possible.
    missing : sequence of str
        What stands for a missing value.

    Raises
    ------
    DataError
        If a comma may be before decimals as well as between thousands, and nothing tells which.

    Notes
    -----
    A column whose values are numbers in one notation alone has it. Where both are possible, as in 1,100, it is that of
    the columns that have one, if they agree.
    """
    labels = data.select_dtypes(include=["object", "string"])
    if not any(_Written.of(name, labels[name]).ways for name in labels):
        return data, []
    texts = as_text()
    columns = [one for name in texts if (one := _Written.of(name, texts[name])).ways]
    sure = {one.ways[0] for one in columns if len(one.ways) == 1}
    told = DECIMALS[decimal] if decimal is not None else sure.pop() if len(sure) == 1 else None
    read: dict[Notation, list[str]] = {one: [] for one in NOTATIONS}
    said = []
    for one in columns:
        notation = one.notation(told)
        if notation is POINT and one.name not in labels:
            continue
        data = data.assign(**{one.name: _numbers(texts[one.name], notation, missing)})
        read[notation].append(one.name)
        if one.is_doubtful and decimal is None:
            other = next(way.decimal for way in NOTATIONS if way is not notation)
            said.append(f"{one.example} in {one.name!r} was read as in other columns (otherwise: --decimal {other})")
    return data, [*(f"numbers have {HABITS[one]}: {_listed(names)}" for one, names in read.items() if names), *said]


@dataclass(frozen=True)
class _Written:
    """A column of numbers as text.

    Attributes
    ----------
    name : str
    texts : tuple of str
        Its different values.
    ways : tuple of Notation
        In which they are numbers with a mark among them; none if they are no such numbers.
    """

    name: str
    texts: tuple[str, ...]
    ways: tuple[Notation, ...]

    @classmethod
    def of(cls, name: Any, column: pd.Series[Any]) -> _Written:
        texts = tuple(str(value).strip() for value in column.dropna().unique())
        return cls(str(name), texts, notations(texts) if any(map(SIGNS.intersection, texts)) else ())

    @property
    def example(self) -> str:
        """A value with a comma or a point; empty if there is none."""
        return next((text for text in self.texts if "," in text or "." in text), "")

    @property
    def is_doubtful(self) -> bool:
        """Whether it is one number with a decimal comma and another one with a decimal point."""
        return len(self.ways) > 1 and bool(self.example)

    def notation(self, told: Notation | None) -> Notation:
        """Return how the numbers are read; ``told`` is the notation of the table."""
        if not self.is_doubtful:
            return self.ways[0]
        if told is None and "," in self.example:
            raise mfx.DataError(
                f"the comma of {self.example} in column {self.name!r} may stand before decimals or between thousands: "
                "--decimal , or --decimal . says which"
            )
        return POINT if told is None else told


def _numbers(texts: pd.Series[Any], notation: Notation, missing: Sequence[str]) -> pd.Series[Any]:
    """The numbers, without those that a code for missing values is."""
    import pandas as pd

    codes = pd.Series([code for code in missing if notation.reads([code])[0]], dtype=str)
    numbers = notation.numbers(texts.str.strip())
    return numbers.mask(numbers.isin(notation.numbers(codes)))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:FEW])) + (", …" if len(names) > FEW else "")
