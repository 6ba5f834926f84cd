"""How levels are written: numbers with no more digits than tell them apart."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["shown_levels"]

DIGITS = 5  # significant digits of a number, if that tells it from the others
SHORT = 7  # characters that need no rounding
MOST_DIGITS = 17


def shown_levels(values: pd.Series[Any]) -> list[Any]:
    """Return levels as tables show them: long decimal fractions are rounded, everything else stays as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> shown_levels(pd.Series([540.5460999264726, 29.7150462962963, 2.0]))
    ['540.55', '29.715', '2.0']
    >>> shown_levels(pd.Series(["a", "b"]))
    ['a', 'b']
    """
    levels = list(dict.fromkeys(values.tolist()))
    long = [level for level in levels if isinstance(level, float) and len(repr(level)) > SHORT]
    if not long:
        return list(values.tolist())
    for digits in range(DIGITS, MOST_DIGITS + 1):
        texts = {level: _rounded(level, digits) for level in levels}
        if len(set(texts.values())) == len(levels):
            break
    return [texts[level] for level in values.tolist()]


def _rounded(level: Any, digits: int) -> str:
    text = str(level)
    if not isinstance(level, float) or len(text) <= SHORT:
        return text
    whole = len(str(int(abs(level)))) if 1.0 <= abs(level) < 1e15 else 0
    return f"{level:.{max(digits, whole)}g}"
