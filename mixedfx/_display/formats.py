"""How a value is written: never "-0.0000", never "0.000" for a p-value, digits that its uncertainty deserves."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

__all__ = [
    "ColumnFormat",
    "DegreesOfFreedom",
    "Each",
    "Numbers",
    "OnceOnly",
    "Text",
    "format_count",
    "format_df",
    "format_number",
    "format_p",
    "format_percent",
    "format_text",
    "is_missing",
]

SIGNIFICANT = 3  # least digits of a number
OF_UNIT = 2  # least digits of the size that matters, as in metrology
EXTRA_DECIMALS = 2  # more than the asked decimals, to show those digits without an exponent
FIXED_WIDTH = 8  # digits of a number written without an exponent
LONGEST_INTEGER = 13  # digits before the point that a small standard error may ask for


def is_missing(value: object) -> bool:
    """Tell whether ``value`` is None, NaN, NaT or pandas' NA.

    Examples
    --------
    >>> [is_missing(value) for value in (None, float("nan"), 0.0, "")]
    [True, True, False, False]
    """
    return value is None or (bool(pd.api.types.is_scalar(value)) and bool(pd.isna(value)))  # type: ignore[call-overload]


def format_number(x: Any, digits: int = 4, *, unit: float | None = None, missing: str = "") -> str:
    """Write a number with ``digits`` decimals, or as many as it needs to be told from zero.

    Parameters
    ----------
    x : float or None
        The number; None and NaN are written as ``missing``.
    digits : int
        Decimals of a number of moderate size.
    unit : float, optional
        The size that matters, such as the standard error of ``x``: what is far below it is written as zero, and
        a number far above keeps the digits that reach down to it. Without it, the size of ``x`` itself.
    missing : str
        What stands for a missing value.

    Returns
    -------
    str
        Fixed notation, or an exponent for the tiny and the huge.

    Examples
    --------
    >>> format_number(251.40510), format_number(0.00123), format_number(1.234e-9), format_number(2.5e12)
    ('251.4051', '0.00123', '1.234e-09', '2.500e+12')
    >>> format_number(-1e-17, unit=0.5), format_number(1000000251.405, unit=6.8)
    ('0.0000', '1000000251.4')
    """
    if is_missing(x):
        return missing
    value = float(x)
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    return _written(value, _decimals(value, unit, digits), digits)


def format_p(p: Any, digits: int = 3, *, missing: str = "") -> str:
    """Write a p-value; one that would round to zero is bounded instead.

    Examples
    --------
    >>> format_p(0.0312), format_p(3e-12), format_p(1.0)
    ('0.031', '<0.001', '1.000')
    """
    if is_missing(p):
        return missing
    smallest = 10.0**-digits
    return f"<{smallest:.{digits}f}" if p < smallest else f"{float(p):.{digits}f}"


def format_df(df: Any, digits: int = 1, *, missing: str = "") -> str:
    """Write degrees of freedom; those of the normal and the chi-squared limit are infinite.

    Examples
    --------
    >>> format_df(17.0043), format_df(float("inf"))
    ('17.0', '∞')
    """
    return format_number(df, digits, unit=1.0, missing=missing)


def format_count(n: Any, *, missing: str = "") -> str:
    """Write a whole number as one; anything else with one decimal.

    Examples
    --------
    >>> format_count(180.0), format_count(2.5)
    ('180', '2.5')
    """
    if is_missing(n) or not math.isfinite(n) or float(n) != round(n):
        return format_df(n, missing=missing)
    return str(round(n))


def format_percent(share: Any, digits: int = 1, *, missing: str = "") -> str:
    """Write a share of one as a percentage.

    Examples
    --------
    >>> format_percent(0.1234)
    '12.3%'
    """
    return missing if is_missing(share) else format_number(100 * share, digits, unit=1.0) + "%"


def format_text(value: object, *, missing: str = "") -> str:
    r"""Write any value on one line; control characters are escaped.

    Examples
    --------
    >>> format_text("two\nlines"), format_text(None)
    ('two\\nlines', '')
    """
    text = missing if is_missing(value) else str(value)
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    harmless = character.isprintable() or character == "\N{NO-BREAK SPACE}"
    return character if harmless else character.encode("unicode_escape").decode()


class ColumnFormat(ABC):
    """How the values of one column become text, together: so that their decimals agree."""

    align: ClassVar[str] = "right"

    @abstractmethod
    def __call__(self, values: Sequence[Any]) -> list[str]:
        """Return one string a value."""


@dataclass(frozen=True)
class Text(ColumnFormat):
    """Names and other text, left-aligned."""

    align: ClassVar[str] = "left"
    missing: str = ""

    def __call__(self, values: Sequence[Any]) -> list[str]:
        return [format_text(value, missing=self.missing) for value in values]


@dataclass(frozen=True)
class OnceOnly(ColumnFormat):
    """Names of which a repetition in the next row is left blank."""

    align: ClassVar[str] = "left"

    def __call__(self, values: Sequence[Any]) -> list[str]:
        texts = [format_text(value) for value in values]
        return [text if text != before else "" for text, before in zip(texts, [None, *texts])]


@dataclass(frozen=True)
class Each(ColumnFormat):
    """Every value written by itself, e.g. ``Each(format_p)``."""

    write: Callable[..., str]
    missing: str = ""

    def __call__(self, values: Sequence[Any]) -> list[str]:
        return [self.write(value, missing=self.missing) for value in values]


@dataclass(frozen=True)
class DegreesOfFreedom(ColumnFormat):
    """Whole numbers if all are whole, else one decimal."""

    missing: str = ""

    def __call__(self, values: Sequence[Any]) -> list[str]:
        known = [float(value) for value in values if not is_missing(value)]
        write = format_count if all(map(float.is_integer, filter(math.isfinite, known))) else format_df
        return [write(value, missing=self.missing) for value in values]


@dataclass(frozen=True)
class Numbers(ColumnFormat):
    """Numbers with common decimals, where their sizes permit it.

    Parameters
    ----------
    digits : int
        Decimals for values of moderate size.
    units : tuple of float
        The size that matters in each row (see :func:`format_number`); one for all rows, or empty for the values' own.
    missing : str
        What stands for NaN, a number that is not defined; None, a number that does not belong there, is left blank.

    Examples
    --------
    >>> Numbers()([251.4051, 10.46729, 0.00123])
    ['251.40510', '10.46729', '0.00123']
    """

    digits: int = 4
    units: tuple[float, ...] = ()
    missing: str = ""

    def __call__(self, values: Sequence[Any]) -> list[str]:
        units = self.units * len(values) if len(self.units) == 1 else self.units
        finite = [not is_missing(value) and math.isfinite(value) for value in values]
        decimals = [
            _decimals(float(value), units[row] if units else None, self.digits) if finite[row] else None
            for row, value in enumerate(values)
        ]
        common = max((count for count in decimals if count is not None), default=self.digits)
        texts = []
        for value, count, is_finite in zip(values, decimals, finite):
            if not is_finite:
                texts.append(format_number(value, missing="" if value is None else self.missing))
            else:
                places = None if count is None else max(count, min(common, _room(float(value))))
                texts.append(_written(float(value), places, self.digits))
        return texts


def _exponent(size: float) -> int:
    return math.floor(math.log10(size)) if size > 0 else 0


def _room(x: float) -> int:
    """Decimals that fit beside the digits before the point."""
    return max(0, FIXED_WIDTH - 1 - max(0, _exponent(abs(x))))


def _decimals(x: float, unit: float | None, digits: int) -> int | None:
    """Decimals in which ``x`` is to be written; None if it needs an exponent."""
    size = abs(x)
    by_itself = unit is None or not 0 < unit < math.inf
    unit = size if by_itself or unit is None else unit
    wanted = max(digits, (SIGNIFICANT if by_itself else OF_UNIT) - 1 - _exponent(unit))
    if 0 < size < 10.0**-digits and unit < 10.0**-digits:
        return None
    if _exponent(size) < FIXED_WIDTH:
        return min(wanted, digits + EXTRA_DECIMALS, _room(x))
    if by_itself or _exponent(size) >= LONGEST_INTEGER or unit > size * 10.0**-digits:
        return None
    return 1 if unit < 10 else 0


def _written(x: float, decimals: int | None, digits: int) -> str:
    if decimals is None:
        return f"{x:.{max(digits - 1, 1)}e}"
    text = f"{x:.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text
