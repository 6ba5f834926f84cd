"""Arguments that many functions share, checked at one door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from mixedfx._suggestions import meant, way_out
from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError

__all__ = [
    "checked_alpha",
    "checked_choice",
    "checked_flag",
    "checked_mapping",
    "checked_name",
    "checked_names",
    "checked_number",
    "checked_positions",
    "checked_positive",
    "checked_seed",
    "checked_whole",
    "is_number",
    "plain_numbers",
    "written",
]

IN_FULL = 1e5  # numbers from here on keep all digits of their whole part
LONG = 60  # letters of a value that a message shows

V = TypeVar("V")


def checked_alpha(alpha: Any) -> float:
    """Return the level of a test, one minus that of an interval, as a number between 0 and 1, both excluded.

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
    if not is_number(alpha):
        raise TypeError(f"alpha is a number between 0 and 1, found {type(alpha).__name__}")
    if not 0.0 < float(alpha) < 1.0:
        raise SpecificationError(
            "alpha lies between 0 and 1: the level of a test, one minus that of an interval (0.05 for 95 %); "
            f"found {alpha}"
        )
    return float(alpha)


def checked_choice(argument: str, word: Any, choices: Mapping[str, V], besides: str = "") -> V:
    """Return what a word stands for; behind this door nobody asks for the word.

    Parameters
    ----------
    argument : str
        Its name, for the message.
    word : object
        What the user gave.
    choices : mapping of str
        The words that there are, and what they stand for.
    besides : str
        What else the argument may be, for the message: ``", or None"``.

    Raises
    ------
    SpecificationError
        If there is no such word.

    Examples
    --------
    >>> checked_choice("side", "upper", {"lower": -1, "upper": 1})
    1
    """
    if not isinstance(word, str) or word not in choices:
        words = [repr(known) for known in choices]
        says = way_out(argument, word, choices) or (meant(word, choices) if isinstance(word, str) else "")
        listed = f"one of {', '.join(words)}" if len(words) > 2 else " or ".join(words)
        raise SpecificationError(f"{argument} is {listed}{besides}; found {word!r}{says and f': {says}'}")
    return choices[word]


def is_number(value: Any) -> bool:
    """Whether a value is one number, and not True or False."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def written(value: Any) -> str:
    """Return a value of the data as messages show it: text in quotes, whole numbers in full and without a ``.0``.

    Examples
    --------
    >>> [written(value) for value in ("a", 3.0, 20240101.0, 2024000.5, 0.123456789, True)]
    ["'a'", '3', '20240101', '2024000.5', '0.123457', 'True']
    """
    if not is_number(value):
        return repr(value)
    if isinstance(value, int | np.integer):
        return str(value)
    return f"{value:.15g}" if abs(value) >= IN_FULL else f"{value:g}"


def checked_number(argument: str, value: Any, where: str = "", *, count: str = "a") -> float:
    """Return a finite number.

    Parameters
    ----------
    argument : str
    value : object
    where, count : str
        What the messages say of it: ``" on the scale of the linear predictor"``, ``"one"`` where arrays might be given.

    Raises
    ------
    SpecificationError
        If it is infinite or nan.
    TypeError
        If it is no number.
    """
    if not is_number(value):
        raise TypeError(f"{argument} is {count} number{where}; found {type(value).__name__}")
    if not np.isfinite(value):
        raise SpecificationError(f"{argument} is a finite number{where}; found {value}")
    return float(value)


def checked_positive(argument: str, value: Any, *, may_be_infinite: bool = False) -> float:
    """Return a number above zero; raise a TypeError if it is no number, a SpecificationError if it is another one."""
    if not is_number(value):
        raise TypeError(f"{argument} is a positive number; found {type(value).__name__}")
    if not value > 0 or (np.isinf(value) and not may_be_infinite):
        raise SpecificationError(f"{argument} is a positive number; found {value}")
    return float(value)


def checked_flag(name: str, value: Any) -> bool:
    """Return a boolean argument, or raise a TypeError."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is True or False, found {value!r}")
    return bool(value)


def checked_name(argument: str, name: Any) -> str:
    """Return a name, or raise a TypeError; a SpecificationError if it is empty."""
    if not isinstance(name, str):
        raise TypeError(f"{argument} is a name; found {name!r}")
    if not name:
        raise SpecificationError(f"{argument} is a name; found an empty one")
    return name


def checked_names(argument: str, names: Any) -> tuple[str, ...]:
    """Return a name, or several, as a tuple without repetition; nothing for None.

    Raises
    ------
    TypeError
        If it is neither a text nor a list of texts.

    Examples
    --------
    >>> checked_names("by", "f"), checked_names("by", ["f", "g"]), checked_names("by", None)
    (('f',), ('f', 'g'), ())
    """
    single = isinstance(names, str) or not isinstance(names, Iterable)
    found = () if names is None else (names,) if single else tuple(names)
    if not all(isinstance(name, str) for name in found):
        raise TypeError(f"{argument} is a name, or a list of names; found {names!r}")
    return tuple(dict.fromkeys(found))


def checked_mapping(argument: str, values: Any, example: str) -> dict[str, Any]:
    """Return a mapping from names as a dict; an empty one for None.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if values is not None and not isinstance(values, Mapping):
        raise TypeError(f"{argument} is a dict such as {example}; found {type(values).__name__}")
    return dict(values or {})


def plain_numbers(argument: str, values: Any) -> Array:
    """Return values as an array of floats, nan where they are missing.

    Raises
    ------
    DataError
        If they differ in length, or one is text, a date or complex: these are not converted.

    Examples
    --------
    >>> plain_numbers("distance", [1, None, 2.5])
    array([1. , nan, 2.5])
    """
    try:
        found = np.asarray(values)
    except ValueError:
        raise DataError(f"{argument} must be numbers, and columns of one length; found rows that differ") from None
    if found.dtype.kind not in "biuf":
        odd = [value for value in found.flat if not _is_real(value)][:1]
        if odd:
            text = str(odd[0])
            raise DataError(f"{argument} must be numbers; found {text if len(text) < LONG else f'{text[:LONG]}…'!r}")
        found = np.where(pd.isna(found), np.nan, found)
    return np.asarray(found, dtype=float)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real | Decimal) or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def checked_positions(argument: str, positions: Any) -> tuple[int, ...]:
    """Return a whole number, or several, as a tuple.

    Raises
    ------
    TypeError
        If it is something else.

    Examples
    --------
    >>> checked_positions("parameters", 1), checked_positions("parameters", [0, 1])
    ((1,), (0, 1))
    """
    single = isinstance(positions, str) or not isinstance(positions, Iterable)
    found = (positions,) if single else tuple(positions)
    if not all(isinstance(one, int | np.integer) and not isinstance(one, bool) for one in found):
        raise TypeError(f"{argument} is a whole number, or a list of them; found {positions!r}")
    return tuple(int(one) for one in found)


def checked_whole(argument: str, value: Any, least: int) -> int:
    """Return a whole number of at least ``least``.

    Raises
    ------
    SpecificationError
        If it is smaller.
    TypeError
        If it is no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{argument} is a whole number, found {value!r}")
    if value < least:
        raise SpecificationError(f"{argument} is a whole number, at least {least}; found {value}")
    return int(value)


def checked_seed(seed: Any) -> Any:
    """Return what numpy's generators start from: a whole number, a SeedSequence, a Generator, or None.

    Raises
    ------
    SpecificationError
        If it is a negative number.
    TypeError
        If it is something else.
    """
    if isinstance(seed, int | np.integer) and seed < 0:
        raise SpecificationError(f"seed is a whole number, at least 0; found {seed}")
    if seed is None or isinstance(seed, int | np.integer | np.random.SeedSequence | np.random.Generator):
        return seed
    raise TypeError(f"seed is a whole number, a SeedSequence, a Generator or None; found {type(seed).__name__}")
