"""The rows of a table: the kind of their estimates, their names, how levels are written, groups, and letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray, IntArray

__all__ = ["MEANS", "Limits", "RowKind", "compact_letters", "row_names", "shown_levels", "split_by"]

Limits: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]
DIGITS = 5  # significant digits of a number, if these distinguish it from the others
SHORT = 7  # characters that need no rounding
MOST_DIGITS = 17


@dataclass(frozen=True)
class RowKind:
    """What the rows of a table are.

    Attributes
    ----------
    estimate : str
        Name of the column of estimates.
    heading : str
        Of the table.
    words : str
        Name of the estimates on the axis of a picture.
    difference : str
        Name of their contrasts on such an axis.
    place : str
        Added to the words of contrasts: empty, or that they are of category numbers.
    is_comparison : bool
        Whether the rows are compared with zero (or one): differences, ratios, slopes.
    is_on_link : bool
        Whether the estimates are on the scale of the linear predictor, unless they are transformed back.
    limits : callable, optional
        From estimates (r,) and half widths, both as shown, to the ends of intervals within the range of what is
        estimated; None where intervals are made on the scale of the tests.
    """

    estimate: str
    heading: str
    words: str
    difference: str = "difference"
    place: str = ""
    is_comparison: bool = False
    is_on_link: bool = True
    limits: Limits | None = None

    def contrasts(self, ratio: str | None) -> RowKind:
        """Return the kind of contrasts of such rows; ``ratio`` is the name of the column if they become ratios."""
        heading = self.heading[0].lower() + self.heading[1:]
        return replace(
            self,
            estimate=ratio or "estimate",
            heading=self.heading if heading.startswith("contrasts of ") else f"Contrasts of {heading}",
            words=(ratio.replace("_", " ") if ratio else self.difference) + self.place,
            is_comparison=True,
            is_on_link=self.is_on_link and ratio is None,
            limits=None,
        )

    def sizes(self) -> RowKind:
        """Return the kind of such rows in units of a standard deviation."""
        words = f"effect size{self.place}"
        return replace(
            self,
            estimate="effect_size",
            heading="Effect sizes",
            words=words,
            is_comparison=True,
            is_on_link=False,
            limits=None,
        )


MEANS = RowKind("mean", "Marginal means", "mean")


def shown_levels(values: pd.Series[Any]) -> list[Any]:
    """Return levels as tables show them: long decimal fractions are rounded to the digits that distinguish them.

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


def row_names(labels: pd.DataFrame) -> list[str]:
    """Return the names of rows; levels that are bare numbers carry the name of their factor: ``Days0``."""
    if labels.shape[1] == 0:
        return ["overall"] * len(labels)
    texts = []
    for name in labels.columns:
        levels = map(str, shown_levels(labels[name]))
        texts.append([f"{name}{text}" if text[:1].isdigit() or text[:1] in "-.+" else text for text in levels])
    return [" ".join(parts) for parts in zip(*texts, strict=True)]


def split_by(labels: pd.DataFrame, by: Sequence[str]) -> list[IntArray]:
    """Return the positions of the rows of each combination of the columns ``by``, in the order of the table."""
    if not by:
        return [np.arange(len(labels))]
    codes = labels.groupby(list(by), sort=False, observed=True).ngroup().to_numpy()
    return [np.flatnonzero(codes == number) for number in range(int(codes.max(initial=-1)) + 1)]


def compact_letters(means: Array, differ: BoolArray) -> list[str]:
    """Return the letters of each mean; those without an estimate have none.

    Parameters
    ----------
    means : (k,)
    differ : (k, k)
        Whether two means differ.

    Notes
    -----
    Insert and absorb: one letter for all; each difference splits every letter that both means have; a letter whose
    means all share another letter is dropped.

    References
    ----------
    Piepho (2004), J. Comput. Graph. Stat. 13, 456.

    Examples
    --------
    >>> import numpy as np
    >>> differ = np.zeros((3, 3), dtype=bool)
    >>> differ[0, 2] = differ[2, 0] = True
    >>> compact_letters(np.array([1.0, 2.0, 3.0]), differ)
    ['a', 'ab', 'b']
    """
    known = np.flatnonzero(np.isfinite(means))
    groups: list[frozenset[int]] = [frozenset(known.tolist())] if known.size else []
    for i, j in zip(*np.nonzero(np.triu(differ))):
        split: list[frozenset[int]] = []
        for group in groups:
            split += [group - {int(i)}, group - {int(j)}] if {int(i), int(j)} <= group else [group]
        distinct = list(dict.fromkeys(split))
        groups = [group for group in distinct if not any(group < other for other in distinct)]
    groups.sort(key=lambda group: sorted(means[list(group)].tolist()))
    return ["".join(_letter(n) for n, group in enumerate(groups) if i in group) for i in range(means.size)]


def _letter(number: int) -> str:
    """Return a, b, …, z, then a1, b1, …."""
    cycle, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(cycle) if cycle else "")
