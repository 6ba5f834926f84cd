"""Labels of a categorical variable as codes: combined, nested, recoded in the levels of a model, or numbers as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import AnyArray, BoolArray, IntArray
from mixedfx.exceptions import DataError
from mixedfx.matrices.notation import COMMA, NOTATIONS, POINT, Notation

__all__ = [
    "NEARLY_SAME",
    "Labels",
    "combine",
    "compress",
    "factorize",
    "nearly_same",
    "nested_in",
    "numerals",
    "ordered_levels",
    "recoded",
    "restarts",
]

#: A table over the range of the integers beats hashing while the range is below this multiple of their number.
DENSE_RANGE = 4
WORD = 3  # letters that make a word
SHOWN = 3  # culprits that a message lists
NEARLY_SAME = 1.5  # combinations of two factors for each level: with fewer, most levels of one are levels of the other


@dataclass(frozen=True)
class Labels:
    """Labels of the rows: ``levels[codes]``, with code -1 where the label is missing.

    Parameters
    ----------
    codes : numpy.ndarray
        Level of each row (n,), or -1.
    levels : pandas.Index
        Distinct labels (m,) in their order: that of the categories, else sorted.
    """

    codes: IntArray
    levels: pd.Index[Any]

    def take(self, keep: BoolArray | None) -> Labels:
        """Return the rows where ``keep`` holds, without the levels that no longer occur."""
        codes = self.codes if keep is None else self.codes[keep]
        return Labels(codes, self.levels).without_unused()

    def without_unused(self) -> Labels:
        """Drop the levels that no row has."""
        counts = np.bincount(self.codes + 1, minlength=len(self.levels) + 1)[1:]
        if counts.all():
            return self
        used = counts > 0
        position = np.append(np.cumsum(used) - 1, -1)
        return Labels(position[self.codes], self.levels[used])

    def ordered(self) -> Labels:
        """Return the same labels with the levels in increasing order (of their text, if they cannot be compared)."""
        try:
            order = np.asarray(self.levels.argsort(), dtype=np.intp)
        except TypeError:
            order = np.asarray(self.levels.astype(str).argsort(), dtype=np.intp)
        position = np.empty(len(order) + 1, dtype=np.intp)
        position[order] = np.arange(len(order))
        position[-1] = -1
        return Labels(position[self.codes], self.levels[order])

    def recode(self, levels: pd.Index[Any]) -> IntArray:
        """Return codes into other ``levels``; -1 for labels that are not among them and for missing ones."""
        if self.levels.equals(levels):
            return self.codes
        position = np.append(levels.get_indexer(pd.Index(self.levels)), -1)
        return np.asarray(position[self.codes], dtype=np.intp)


def compress(keys: IntArray) -> tuple[IntArray, IntArray]:
    """Return ``(codes, distinct)`` with ``distinct`` sorted and ``distinct[codes] == keys``.

    Integers in a short range are looked up in a table, others are hashed; nothing of length n is sorted.
    """
    if keys.size == 0:
        return np.zeros(0, dtype=np.intp), keys
    low, high = int(keys.min()), int(keys.max())
    if high - low > DENSE_RANGE * keys.size + 1024:
        return _sorted_codes(*pd.factorize(keys))
    if keys.dtype != np.intp and not (keys.dtype.kind == "i" and keys.dtype.itemsize < 8):
        offset = (keys - keys.dtype.type(low)).astype(np.intp)
    else:
        offset = np.subtract(keys, low, dtype=np.intp)
    present = np.zeros(high - low + 1, dtype=bool)
    present[offset] = True
    distinct = np.flatnonzero(present)
    if len(distinct) < len(present):
        position = np.cumsum(present, dtype=np.intp)
        position -= 1
        offset = position[offset]
    return offset, distinct.astype(keys.dtype) + keys.dtype.type(low)


def _sorted_codes(codes: AnyArray, distinct: Any) -> tuple[IntArray, Any]:
    """Order the ``distinct`` values of a factorisation and renumber the codes; -1 stays -1."""
    order = np.asarray(distinct.argsort())
    position = np.empty(len(order) + 1, dtype=np.intp)
    position[order] = np.arange(len(order))
    position[-1] = -1
    return position[codes], distinct[order]


def factorize(name: str, values: Any) -> Labels:
    """Return the labels of a numpy or pandas array, levels sorted.

    Raises
    ------
    DataError
        If the labels can be neither hashed nor ordered.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        codes, distinct = compress(values)
        return Labels(codes, pd.Index(distinct))
    try:
        codes, distinct = _sorted_codes(*pd.factorize(values))
    except TypeError as error:
        raise DataError(
            f"the labels of column {name!r} have types that cannot be ordered or hashed ({error}); "
            f"make them text: data[{name!r}].astype(str)"
        ) from error
    return Labels(codes, pd.Index(distinct))


def combine(parts: Sequence[Labels], names: Sequence[str]) -> Labels:
    """Return the labels of the combinations ``a:b:…`` that occur: a MultiIndex in lexicographic order of the codes.

    Combinations are made from codes, never from pasted text, so that ``("x:y", "z")`` and ``("x", "y:z")`` differ.
    A row in which one part is missing has code -1.
    """
    missing = np.logical_or.reduce([part.codes < 0 for part in parts])
    present = None if not missing.any() else ~missing
    used = [part.codes if present is None else part.codes[present] for part in parts]
    cells = used[0]
    columns: list[IntArray] = [np.arange(len(parts[0].levels), dtype=np.intp)]
    for part, codes in zip(parts[1:], used[1:]):
        width = max(len(part.levels), 1)
        cells, pairs = compress(cells * width + codes)
        columns = [column[pairs // width] for column in columns] + [pairs % width]
    of_parts: Any = [part.levels for part in parts]
    levels: pd.MultiIndex = pd.MultiIndex(
        levels=of_parts, codes=[column.tolist() for column in columns], names=list(names)
    )
    if present is None:
        return Labels(cells, levels)
    all_cells = np.full(len(missing), -1, dtype=np.intp)
    all_cells[present] = cells
    return Labels(all_cells, levels)


def nested_in(inner: IntArray, outer: IntArray) -> bool:
    """Say whether each level of ``inner`` lies within one level of ``outer`` (codes of the same rows).

    Examples
    --------
    >>> cask, batch = np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1])
    >>> nested_in(cask, batch), nested_in(batch, cask)
    (True, False)
    """
    if len(inner) == 0:
        return True
    home = np.full(int(inner.max()) + 1, -1, dtype=np.intp)
    home[inner] = outer
    return bool(np.array_equal(home[inner], outer))


def nearly_same(one: IntArray, other: IntArray) -> bool:
    """Say whether two factors (codes of the same rows) group the rows in nearly the same way.

    There are not many more combinations of their levels than levels of either: most levels of one are levels of the
    other.

    Examples
    --------
    >>> family, child, half = np.arange(8) // 2, np.array([0, 0, 1, 1, 2, 2, 3, 4]), np.arange(8)
    >>> nearly_same(family, child), nearly_same(family, half)
    (True, False)
    """
    if len(one) == 0:
        return True
    m, k = int(one.max()) + 1, int(other.max()) + 1
    few = NEARLY_SAME * min(m, k)
    return bool(max(m, k) <= few and np.unique(one * k + other).size <= few)


def restarts(ids: Labels, factor: Labels) -> bool:
    """Whether ids look as if they began again in every level of a factor: 1, 2, … n, each of them in all levels."""
    try:
        numbers = np.array([float(level) for level in ids.levels])
    except (TypeError, ValueError):
        return False
    m, k = len(numbers), len(factor.levels)
    counted = m > 1 and numbers.min() in (0, 1) and np.array_equal(np.sort(numbers), numbers.min() + np.arange(m))
    cells = np.unique(ids.codes * k + factor.codes).size
    return bool(counted and k > 1 and cells == m * k)


def recoded(name: str, labels: Labels, levels: pd.Index[Any]) -> Labels:
    """Return the labels in the levels that were learnt.

    Raises
    ------
    DataError
        If a label was unknown when the model was fitted.
    """
    codes = labels.recode(levels)
    unknown = (codes < 0) & (labels.codes >= 0)
    if unknown.any():
        new = labels.levels[np.unique(labels.codes[unknown])].tolist()
        known = levels.tolist()
        shown = ", ".join(map(repr, known[:20])) + (", …" if len(known) > 20 else "")
        raise DataError(
            f"{name!r} has {'levels' if len(new) > 1 else 'the level'} {', '.join(map(repr, new[:5]))}, unknown "
            f"to the fitted model; known levels: {shown}"
        )
    return Labels(codes, levels)


def ordered_levels(name: str, labels: Labels, wanted: Any) -> pd.Index[Any]:
    """Return the levels of ``labels`` in their own order, or in the order in which ``wanted`` lists them.

    Raises
    ------
    DataError
        If ``wanted`` leaves one out.
    """
    if wanted is None:
        return labels.levels
    listed = list(wanted) if isinstance(wanted, list) else [wanted]
    present = labels.levels.tolist()
    absent = [level for level in present if level not in listed]
    if absent:
        raise DataError(
            f"levels={listed} leaves out {', '.join(map(repr, absent[:5]))}, which occur in {name}; list every level"
        )
    return labels.levels[[present.index(level) for level in dict.fromkeys(listed) if level in present]]


def spaced(labels: Labels) -> list[str]:
    """Return the levels that another level is but for spaces at its ends, which nobody sees.

    Examples
    --------
    >>> spaced(factorize("arm", np.array(["drug", "drug ", "placebo"], dtype=object)))
    ['drug ']
    """
    if labels.levels.dtype.kind in "biuf":
        return []
    texts = [level for level in labels.levels if isinstance(level, str)]
    padded = [text for text in texts if text != text.strip()]
    return [text for text in padded if text.strip() in texts]


def cased(labels: Labels) -> list[list[str]]:
    """Return the levels that are the same word but for capitals, by which shorter ones, as of alleles, may be told.

    Examples
    --------
    >>> cased(factorize("arm", np.array(["Drug", "drug", "placebo", "AA", "Aa"], dtype=object)))
    [['Drug', 'drug']]
    """
    if labels.levels.dtype.kind in "biuf":
        return []
    texts = [level for level in labels.levels if isinstance(level, str)]
    if len(set(map(str.casefold, texts))) == len(texts):
        return []
    words: dict[str, list[str]] = {}
    for text in texts:
        if sum(map(str.isalpha, text)) >= WORD:
            words.setdefault(text.casefold(), []).append(text)
    return [same for same in words.values() if len(same) > 1]


def numerals(labels: Labels, rows: pd.Index[Any]) -> str:
    """Say what keeps text that looks like numbers from being some; empty if most levels do not look so.

    Parameters
    ----------
    labels : Labels
    rows : Index
        The names of their rows in the data.
    """
    levels = [str(level).strip() for level in labels.levels]
    bare = [text.removesuffix("%").rstrip() for text in levels]
    signed = 2 * sum(text.endswith("%") for text in levels) > len(levels)
    levels = bare if signed else levels
    point, comma = (one.reads(levels) for one in NOTATIONS)
    if not levels or 2 * max(sum(point), sum(comma)) <= len(levels):
        return ""
    notation, read = (COMMA, comma) if sum(comma) > sum(point) else (POINT, point)
    texts = [text for text, good in zip(levels, read, strict=True) if good]
    written = "numbers"
    ways: tuple[Notation, ...] = (notation,)
    if any("," in text for text in texts):
        if point == comma:
            written, ways = "numbers with a comma, before decimals or between thousands", (COMMA, POINT)
        else:
            written += " with a decimal comma" if notation is COMMA else " with commas between thousands"
    if signed:
        written += f" {'and' if ' with' in written else 'with'} a percent sign"
    culprits = [k for k, good in enumerate(read) if not good]
    if not culprits:
        cures = [(".str.rstrip(' %')" if signed else "") + one.cure(texts) for one in ways]
        return f"all of its values are {written} ({' or '.join(cures)} makes them numbers)"
    shown = ", ".join(
        f"{labels.levels[k]!r} (row {rows[np.flatnonzero(labels.codes == k)[0]]})" for k in culprits[:SHOWN]
    )
    return f"all of its values but {shown}{', …' if len(culprits) > SHOWN else ''} are {written}"
