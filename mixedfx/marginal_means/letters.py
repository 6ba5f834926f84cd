"""Compact letter display: means that share a letter are not told apart."""

from __future__ import annotations

from string import ascii_lowercase

import numpy as np

from mixedfx._typing import Array, BoolArray

__all__ = ["compact_letters"]


def compact_letters(means: Array, differ: BoolArray) -> list[str]:
    """Return the letters of each mean; those without an estimate have none.

    Parameters
    ----------
    means : (k,)
    differ : (k, k)
        Whether two means are told apart.

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
        groups = _absorbed(split)
    groups.sort(key=lambda group: sorted(means[list(group)].tolist()))
    return ["".join(_letter(n) for n, group in enumerate(groups) if i in group) for i in range(means.size)]


def _absorbed(groups: list[frozenset[int]]) -> list[frozenset[int]]:
    distinct = list(dict.fromkeys(groups))
    return [group for group in distinct if not any(group < other for other in distinct)]


def _letter(number: int) -> str:
    """Return a, b, …, z, then a1, b1, …."""
    cycle, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(cycle) if cycle else "")
