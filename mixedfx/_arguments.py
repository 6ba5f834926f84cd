"""Arguments that many functions share, checked at one door."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfx.exceptions import SpecificationError

__all__ = ["checked_alpha", "checked_flag"]


def checked_alpha(alpha: Any) -> float:
    """Return one minus the level of an interval as a number between 0 and 1, both excluded.

    Raises
    ------
    SpecificationError
        If it lies elsewhere.
    TypeError
        If it is no number.

    Examples
    --------
    >>> checked_alpha(0.1)
    0.1
    """
    if isinstance(alpha, bool | np.bool_) or not isinstance(alpha, int | float | np.number):
        raise TypeError(f"alpha is a number between 0 and 1, found {type(alpha).__name__}")
    if not 0.0 < float(alpha) < 1.0:
        raise SpecificationError(f"alpha is one minus the level, between 0 and 1 (0.05 for 95 %); found {alpha}")
    return float(alpha)


def checked_flag(name: str, value: Any) -> bool:
    """Return a boolean argument, or raise a TypeError."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is True or False, found {value!r}")
    return bool(value)
