"""Text that was meant to be numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfx.matrices.columns import TextColumn
from mixedfx.matrices.labels import Labels
from mixedfx.matrices.rows import Rows

__all__ = ["numerals", "text_notes"]

SHOWN = 3  # culprits that a message lists
MANY = 10  # levels of text, all of them numbers, from which on it is worth a word


def _number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def numerals(labels: Labels) -> str:
    """Say what keeps text that looks like numbers from being some; empty if most levels do not look so.

    Rows are counted from 0, as everywhere.
    """
    levels = [str(level).strip() for level in labels.levels]
    plain = [_number(level) for level in levels]
    comma = [_number(level.replace(",", ".", 1)) for level in levels]
    if not levels or 2 * sum(comma) <= len(levels):
        return ""
    commas = sum(comma) > sum(plain)
    read = comma if commas else plain
    culprits = [k for k, one in enumerate(read) if not one]
    written = "numbers with a decimal comma" if commas else "numbers"
    if not culprits:
        cure = ".str.replace(',', '.').astype(float)" if commas else ".astype(float)"
        return f"all of its values are {written} ({cure} makes them numbers)"
    shown = ", ".join(
        f"{labels.levels[k]!r} (row {int(np.flatnonzero(labels.codes == k)[0])})" for k in culprits[:SHOWN]
    )
    return f"all of its values but {shown}{', …' if len(culprits) > SHOWN else ''} are {written}"


def text_notes(rows: Rows, names: Sequence[str]) -> list[str]:
    """Return a note for every predictor of text that was probably meant to be a number."""
    out = []
    for name in names:
        if name not in rows.frame or not isinstance(rows.frame.column(name), TextColumn):
            continue
        labels = rows.labels(name)
        said, count = numerals(labels), len(labels.levels)
        if said and not (said.startswith("all of its values are numbers (") and count < MANY):
            out.append(f"{name} is text and was taken as a factor of {count} levels; {said}")
    return out
