"""Responses that leave no residual: exact functions of the predictors, constants within groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.matrices.labels import Labels
from mixedfx.matrices.random import RandomEffects

__all__ = ["no_residual", "restarts"]

EXACT = 8 * float(np.finfo(float).eps)  # of the numbers that were added: what rounding leaves of an exact function
FIRST_LOOK = 2_000  # rows that are looked at first


def no_residual(name: str, y: Array, X: Array, names: Sequence[str], random: Sequence[RandomEffects]) -> str:
    """Say why a response (n,) leaves no residual beside the fixed effects X (n, p) and one grouping factor, or ``""``.

    A likelihood with a residual variance has no maximum then: it grows without end as that goes to zero.
    """
    terms = list({term.group: term for term in random if _has_intercept(term.matrix)}.values())
    found = [term for term in terms if _is_exact(y, X, term)]
    if not found and any(len(y) > X.shape[1] + term.n_levels for term in terms):
        return ""  # a function of the predictors alone is one of them and the levels
    if _is_exact(y, X, None):
        named = ", ".join(other for other in names if other != "Intercept")
        return f"the response {name!r} is an exact linear function of {named or 'the fixed effects'}"
    for term in found:
        means = _level_means(y[:, None], term.codes, term.n_levels)[term.codes, 0]
        if np.all(np.abs(y - means) <= EXACT * np.abs(y).max()):
            return (
                f"the response {name!r} does not vary within the levels of {term.group}: all rows of a level are alike"
            )
        return (
            f"the response {name!r} is an exact linear function of the fixed effects and of the levels of {term.group}"
        )
    return ""


def _level_means(columns: Array, codes: IntArray, m: int) -> Array:
    """Means (m, k) of columns (n, k); exact for a column that is constant within its levels."""
    first = np.zeros(m, dtype=np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    shift = columns[first]
    counts = np.maximum(np.bincount(codes, minlength=m), 1)
    off = columns - shift[codes]
    return np.asarray(shift + np.stack([np.bincount(codes, c, minlength=m) for c in off.T], axis=1) / counts[:, None])


def _has_intercept(columns: Array) -> bool:
    """Whether the columns, or their sum, are constant."""
    total = columns.sum(axis=1)
    return bool(np.any((np.ptp(columns, axis=0) == 0) & (columns[0] != 0)) or (np.ptp(total) == 0 and total[0] != 0))


def _is_exact(y: Array, X: Array, term: RandomEffects | None) -> bool:
    every = np.ones(len(y), dtype=bool)
    if any(_leaves_rows(X, term, rows) and not _fits(y, X, term, rows) for rows in _first_looks(len(y), term)):
        return False
    return _leaves_rows(X, term, every) and _fits(y, X, term, every)


def _first_looks(n: int, term: RandomEffects | None) -> Iterator[BoolArray | slice]:
    """Yield some rows that may tell that a response is not exact: the first, and all rows of the first levels."""
    if n <= FIRST_LOOK:
        return
    yield slice(FIRST_LOOK)
    if term is not None:
        sizes = np.bincount(term.codes, minlength=term.n_levels)
        rows = term.codes < int(np.searchsorted(np.cumsum(sizes), FIRST_LOOK)) + 1
        if not rows.all():
            yield rows


def _leaves_rows(X: Array, term: RandomEffects | None, rows: BoolArray | slice) -> bool:
    levels = 0 if term is None else int(np.count_nonzero(np.bincount(term.codes[rows])))
    return bool(len(X[rows]) > X.shape[1] + levels)


def _fits(y: Array, X: Array, term: RandomEffects | None, rows: BoolArray | slice) -> bool:
    """Whether the rows leave nothing but rounding."""
    own, columns = y[rows], X[rows]
    size = np.abs(own).max()
    if term is not None:
        codes = term.codes[rows]
        both = np.column_stack([own, columns])
        both = both - _level_means(both, codes, term.n_levels)[codes]
        own, columns = both[:, 0], both[:, 1:]
        if np.abs(own).max() <= EXACT * size:
            return True
    scale = np.abs(columns).max(axis=0, initial=0.0)
    columns = columns[:, scale > 0] / scale[scale > 0]
    found = np.linalg.lstsq(columns, own, rcond=None)[0] if columns.shape[1] else np.zeros(0)
    left = own - columns @ found
    again = np.linalg.lstsq(columns, left, rcond=None)[0] if columns.shape[1] else np.zeros(0)
    left = left - columns @ again
    added = float(np.abs(own).max(initial=0.0)) + float(size) + float(np.abs(found).sum())
    return bool(float(np.abs(left).max()) <= EXACT * added)


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
