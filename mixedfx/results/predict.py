"""Linear predictors for the fitted rows and for new data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.design import Design, RandomEffects
from mixedfx.design.frame import Frame, as_frame
from mixedfx.exceptions import DataError, SpecificationError

__all__ = [
    "chosen_terms",
    "encoded_term",
    "fitted_predictor",
    "fixed_part",
    "new_fixed_part",
    "new_predictor",
    "unknown_levels",
]

NEW_LEVELS = ("error", "population", "nan")


def chosen_terms(design: Design, random: Any) -> list[bool]:
    """Resolve ``random=`` (True, False, a group or term, or a list of them) to one flag for every term."""
    if isinstance(random, bool | np.bool_):
        return [bool(random)] * len(design.random)
    wanted = [random] if isinstance(random, str) else list(random)
    spelled = [
        {term.group, str(written), _compact(str(written))}
        for term, written in zip(design.random, design.formula.random, strict=True)
    ]
    for name in wanted:
        if not any(name in own or _compact(str(name)) in own for own in spelled):
            known = ", ".join(repr(term.group) for term in design.random)
            raise SpecificationError(f"random={random!r} names no random-effects term; the groups are {known}")
    return [any(name in own or _compact(str(name)) in own for name in wanted) for own in spelled]


def _compact(text: str) -> str:
    return "".join(text.split()).strip("()")


def fixed_part(design: Design, beta: Array) -> Array:
    """Return ``X beta + offset`` (n,) for the fitted rows."""
    eta = design.fixed.matrix @ beta
    return np.asarray(eta if design.offset is None else eta + design.offset)


def new_fixed_part(design: Design, beta: Array, frame: Frame, offset: Any) -> Array:
    """Return ``X beta + offset`` (n,) for new data."""
    eta = design.fixed.encode(frame) @ beta
    shift = design.offsets.encode(frame, offset)
    return np.asarray(eta if shift is None else eta + shift)


def fitted_predictor(design: Design, beta: Array, modes: Sequence[Array], chosen: Sequence[bool]) -> Array:
    """Return ``X beta + Z b + offset`` (n,) for the fitted rows, with the chosen terms only."""
    eta = fixed_part(design, beta)
    for term, b, used in zip(design.random, modes, chosen, strict=True):
        if used:
            eta = eta + np.einsum("iq,qi->i", term.matrix, b[:, term.codes])
    return np.asarray(eta)


def new_predictor(
    design: Design,
    beta: Array,
    modes: Sequence[Array],
    chosen: Sequence[bool],
    data: Any,
    *,
    new_levels: str,
    offset: Any,
) -> pd.Series[float]:
    """Return ``X beta + Z b + offset`` for new data, indexed as the data; missing predictors give nan.

    Raises
    ------
    DataError
        If a level is unknown and ``new_levels="error"``, or columns are missing.
    SpecificationError
        If ``new_levels`` is none of the three words.
    """
    if new_levels not in NEW_LEVELS:
        raise SpecificationError(f"new_levels is one of {', '.join(map(repr, NEW_LEVELS))}; found {new_levels!r}")
    frame = as_frame(data)
    eta = new_fixed_part(design, beta, frame, offset)
    for term, b, used in zip(design.random, modes, chosen, strict=True):
        if not used:
            continue
        codes, matrix = term.encode(frame)
        unknown = codes < 0
        if unknown.any() and new_levels == "error":
            remedy = 'write new_levels="population" to predict them without a random effect, or new_levels="nan"'
            raise unknown_levels(term, frame, unknown, remedy)
        share = np.einsum("iq,qi->i", matrix, b[:, codes])
        eta = eta + np.where(unknown, np.nan if new_levels == "nan" else 0.0, share)
    return pd.Series(eta, index=frame.index, name="predicted")


def encoded_term(term: RandomEffects, frame: Frame, used: bool) -> tuple[IntArray, Array]:
    """Return the levels (n,) and columns (n, q) of a term for new data; without use, no group column is needed."""
    if used:
        return term.encode(frame)
    return np.full(len(frame), -1, dtype=np.intp), term.encoder.encode(frame)


def unknown_levels(term: RandomEffects, frame: Frame, unknown: BoolArray, remedy: str) -> DataError:
    """Return the error for rows whose level the fit does not know."""
    rows = np.flatnonzero(unknown)
    shown = ", ".join(_label(term, frame, row) for row in rows[:3].tolist()) + (", …" if len(rows) > 3 else "")
    return DataError(
        f"{term.group}: {len(rows)} row(s) of the new data have levels that the fit does not know ({shown}); {remedy}"
    )


def _label(term: RandomEffects, frame: Frame, row: int) -> str:
    parts = []
    for name in term.factors:
        labels = frame.column(name).labels
        code = int(labels.codes[row])
        parts.append("missing" if code < 0 else repr(_plain(labels.levels[code])))
    return ":".join(parts)


def _plain(value: Any) -> Any:
    """A number of NumPy's as Python writes it."""
    return value.item() if isinstance(value, np.generic) else value
