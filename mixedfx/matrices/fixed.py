"""The fixed effects: columns, names, terms, and what was dropped because it was redundant."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import linalg

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import DataError, RankDeficientWarning, warn
from mixedfx.matrices.encoder import Encoder, FormulaicEncoder, Settings, Term, learn_encoder
from mixedfx.matrices.frame import FrameRows, text_notes

__all__ = [
    "FixedEffects",
    "Rank",
    "Reference",
    "build_fixed",
    "estimable_rows",
    "full_rank",
    "independent_columns",
    "independent_effects",
]

#: Columns that a description names.
SHOWN = 8
#: Redundant columns that a warning spells out.
DROPPED_SHOWN = 6
#: Part of a row, relative to its size, in directions on which the data are silent that counts as none.
OUTSIDE = 1e-7
#: A column is redundant if its distance from the span of the earlier ones is below this fraction of its own spread.
RANK_TOLERANCE = 1e-7
#: Above this, the squared Cholesky pivots of the correlation matrix are exact enough to settle the matter.
CLEAR_PIVOT = 1e-6
#: A column of size s is known up to this many times s: its values were rounded when they were made.
ROUNDING = 4.0 * float(np.finfo(np.float64).eps)
#: Coefficients of a combination below this fraction of the largest are noise.
COEFFICIENT_NOISE = 1e-6
#: Numbers of a piece of the matrix that is worked on at a time.
CACHED_NUMBERS = 2**16
#: Terms of a combination that a message spells out.
TERMS_SHOWN = 4


@dataclass(frozen=True)
class Rank:
    """Columns that are linearly independent, and the others as combinations of them.

    Parameters
    ----------
    kept : numpy.ndarray
        Positions (r) of the independent columns: the leftmost ones.
    dropped : numpy.ndarray
        Positions (p - r) of the others.
    alias : numpy.ndarray
        ``X = X[:, kept] @ alias`` with ``alias`` (r, p); the identity on the kept columns.
    """

    kept: IntArray
    dropped: IntArray
    alias: Array

    @property
    def is_full(self) -> bool:
        """Whether no column is redundant."""
        return len(self.dropped) == 0

    def describe(self, names: Sequence[str]) -> list[str]:
        """Return each dropped column as a combination: ``z = 3 x``."""
        return [f"{names[j]} = {_combination(self.alias[:, j], [names[k] for k in self.kept])}" for j in self.dropped]


def _combination(coefficients: Array, names: Sequence[str]) -> str:
    used = np.flatnonzero(coefficients)
    if len(used) > TERMS_SHOWN:
        return f"a combination of {', '.join(names[k] for k in used[:TERMS_SHOWN].tolist())}, …"
    parts: list[str] = []
    for k in used.tolist():
        value = coefficients[k]
        size = "" if abs(abs(value) - 1.0) < COEFFICIENT_NOISE and names[k] != "Intercept" else f"{abs(value):.6g} "
        sign = ("-" if value < 0 else "") if not parts else (" - " if value < 0 else " + ")
        parts.append(sign + (size.strip() if names[k] == "Intercept" else size + names[k]))
    return "".join(parts) or "0"


def independent_columns(matrix: Array) -> Rank:
    """Find the leftmost independent columns of ``matrix`` (n, p).

    The columns are judged by their spread around their means, so that ``1e9 + x`` is as good a predictor as ``x``.

    Parameters
    ----------
    matrix : numpy.ndarray
        The columns (n, p); an intercept, if any, is the first.

    Returns
    -------
    Rank

    Examples
    --------
    >>> x = np.arange(5.0)
    >>> rank = independent_columns(np.column_stack([np.ones(5), x, 1e9 + 2 * x]))
    >>> rank.describe(["Intercept", "x", "z"])
    ['z = 1e+09 + 2 x']
    """
    p = matrix.shape[1]
    X = matrix
    if p == 0 or len(X) == 0:
        return Rank(np.arange(p), np.zeros(0, dtype=np.intp), np.eye(p))
    has_intercept = X[0, 0] != 0.0 and bool(np.all(X[:, 0] == X[0, 0]))
    if p <= len(X) and _clearly_full(X, has_intercept):
        return Rank(np.arange(p), np.zeros(0, dtype=np.intp), np.eye(p))
    return _eliminate(X, has_intercept)


def _centred(X: Array) -> Array:
    """Return the deviations from the column means; exactly zero for a constant column."""
    deviations = X - X[0]
    return np.asarray(deviations - deviations.mean(axis=0))


def _largest(X: Array) -> Array:
    return np.asarray(np.maximum(X.max(axis=0), -X.min(axis=0)))


def _clearly_full(X: Array, has_intercept: bool) -> bool:
    """Settle the ordinary case by cross-products: the pivots of the correlation matrix are all large."""
    others = X[:, 1:] if has_intercept else X
    n, p = others.shape
    if p == 0:
        return True
    mean = others.mean(axis=0) if has_intercept else np.zeros(p)
    gram = _gram(others, mean, has_intercept)
    size = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    if (size * math.sqrt(CLEAR_PIVOT) <= ROUNDING * (np.abs(mean) + size) * math.sqrt(n)).any():
        return False
    factor, info = linalg.lapack.dpotrf(gram / (size * size[:, None]), lower=1)
    return not info and bool(factor.diagonal().min() ** 2 > CLEAR_PIVOT)


def _gram(X: Array, mean: Array, centred: bool) -> Array:
    """Return the cross-products of the deviations from ``mean``, from pieces of ``X`` that fit into the cache."""
    n, p = X.shape
    step = max(256, CACHED_NUMBERS // p)
    gram, total = np.zeros((p, p)), np.zeros(p)
    for start in range(0, n, step):
        piece = X[start : start + step] - mean if centred else X[start : start + step]
        gram += piece.T @ piece
        total += piece.sum(axis=0)
    return gram - np.outer(total, total) / n if centred else gram


def _eliminate(X: Array, has_intercept: bool) -> Rank:
    """Orthogonalise column by column (Gram-Schmidt, twice) on the triangular factor of the (centred) columns.

    ``combine`` (r, r) holds the coefficients that make the orthonormal directions out of the kept columns; with it the
    rounding errors of the kept columns are carried along.
    """
    n, p = X.shape
    mean = X.mean(axis=0)
    centred = _centred(X)
    noise = ROUNDING * _largest(X) * np.sqrt(n)
    spread = np.linalg.norm(centred, axis=0)
    if not has_intercept:
        spread = np.where(spread > noise, spread, np.linalg.norm(X, axis=0))
    R = np.asarray(linalg.qr(centred if has_intercept else X, mode="r")[0])[: min(n, p)]
    start = 1 if has_intercept else 0
    kept: list[int] = []
    Q = np.zeros((len(R), min(R.shape)), order="F")
    combine = np.zeros((min(R.shape), min(R.shape)))
    alias = np.zeros((p, p))
    for j in range(start, p):
        r = len(kept)
        onto = Q[:, :r].T @ R[:, j]
        rest = R[:, j] - Q[:, :r] @ onto
        again = Q[:, :r].T @ rest
        rest -= Q[:, :r] @ again
        coefficients = combine[:r, :r] @ (onto + again)
        size = float(np.linalg.norm(rest))
        error = max(float(noise[j]), float(np.abs(coefficients) @ noise[kept]))
        if r < len(combine) and size > max(RANK_TOLERANCE * spread[j], error):
            Q[:, r] = rest / size
            combine[:r, r], combine[r, r] = -coefficients / size, 1.0 / size
            kept.append(j)
        else:
            alias[kept, j] = coefficients
    return _rank(kept, alias, mean, has_intercept)


def _rank(kept: list[int], alias: Array, mean: Array, has_intercept: bool) -> Rank:
    """Complete the combinations by the intercept and clear them of noise."""
    p = len(mean)
    independent = np.array([0, *kept] if has_intercept else kept, dtype=np.intp)
    dropped = np.setdiff1d(np.arange(p), independent)
    largest = np.abs(alias).max(axis=0, initial=0.0)
    alias[np.abs(alias) < COEFFICIENT_NOISE * largest] = 0.0
    if has_intercept:
        constant = mean[dropped] - mean @ alias[:, dropped]
        scale = np.abs(mean[dropped]) + np.abs(mean) @ np.abs(alias[:, dropped])
        alias[0, dropped] = np.where(np.abs(constant) < COEFFICIENT_NOISE * scale, 0.0, constant / mean[0])
    alias[independent, independent] = 1.0
    return Rank(independent, dropped, alias[independent])


@dataclass(frozen=True)
class FixedEffects:
    """The columns of the fixed effects.

    Parameters
    ----------
    matrix : numpy.ndarray
        The columns (n, p) that are kept, on the user's scale, in Fortran order.
    names : tuple of str
        Their names (p).
    dropped : tuple of str
        Names of redundant columns that were left out.
    terms : dict
        Positions in ``matrix`` of the columns of each term; a term all of whose columns were dropped has none.
    full_names : tuple of str
        Names (P) of all columns, redundant ones included.
    full_terms : dict
        Positions of the columns of each term among all columns.
    kept : numpy.ndarray
        Positions (p) of the kept columns among all columns.
    alias : numpy.ndarray
        ``full matrix = matrix @ alias`` on the data of the model, (p, P).
    encoder : Encoder
        Makes all columns (n, P) from any data.
    replaced : tuple of str
        Columns that were left out because something else of the model takes their place: the intercept of an ordinal
        model, for which the thresholds stand.
    """

    matrix: Array
    names: tuple[str, ...]
    dropped: tuple[str, ...]
    terms: dict[str, tuple[int, ...]]
    full_names: tuple[str, ...]
    full_terms: dict[str, tuple[int, ...]]
    kept: IntArray
    alias: Array
    encoder: Encoder
    replaced: tuple[str, ...] = ()

    @property
    def has_intercept(self) -> bool:
        """Whether a column is the intercept."""
        return "Intercept" in self.terms

    def encode(self, data: Any) -> Array:
        """Return the kept columns (n, p) for new data; rows with missing values are NaN."""
        full = self.encoder.encode(data)
        return full if len(self.kept) == len(self.full_names) else np.asfortranarray(full[:, self.kept])

    def encode_full(self, data: Any) -> Array:
        """Return all columns (n, P) for new data, redundant ones included."""
        return self.encoder.encode(data)

    def silent(self) -> Array:
        """Return a basis (P, d) of the combinations of coefficients about which the data say nothing."""
        redundant = np.setdiff1d(np.arange(len(self.full_names)), self.kept)
        redundant = redundant[[self.full_names[j] not in self.replaced for j in redundant]]
        basis = np.zeros((len(self.full_names), len(redundant)))
        basis[self.kept] = -self.alias[:, redundant]
        basis[redundant, np.arange(len(redundant))] = 1.0
        return basis

    def __repr__(self) -> str:
        names = ", ".join(self.names[:SHOWN]) + (", …" if len(self.names) > SHOWN else "")
        return f"<FixedEffects: {len(self.matrix)} rows, {len(self.names)} columns {names}>"


def estimable_rows(rows: Array, silent: Array) -> BoolArray:
    """Say which rows (r, P) of all columns can be estimated: those without a part in the ``silent`` directions (P, d).

    An empty cell of a factorial cannot: whatever number came out would depend on the order of the levels. Rows with
    missing values count as estimable.
    """
    if not silent.size:
        return np.ones(len(rows), dtype=bool)
    outside = np.abs(rows @ silent).max(axis=1)
    size = (np.abs(rows) @ np.abs(silent)).max(axis=1)
    return np.asarray(~(outside > OUTSIDE * np.maximum(size, np.finfo(float).tiny)))


def build_fixed(terms: Sequence[Term], rows: FrameRows, settings: Settings) -> tuple[FixedEffects, str | None]:
    """Encode the fixed part and leave out redundant columns.

    Parameters
    ----------
    terms : sequence of tuple of str
        The terms of the formula.
    rows : FrameRows
        The rows of the model.
    settings : Settings
        The user's functions and contrasts.

    Returns
    -------
    fixed : FixedEffects
    note : str or None
        What was left out, in words.

    Warns
    -----
    RankDeficientWarning
        If columns were left out.

    Raises
    ------
    DataError
        If there are as many independent columns as rows.
    """
    encoder, matrix = learn_encoder(terms, rows, settings, "the fixed part")
    hints = partial(text_notes, rows, encoder.variables)
    return independent_effects(encoder, matrix, rows.size, hints)


def independent_effects(
    encoder: Encoder, matrix: Array, n_rows: int, hints: Callable[[], list[str]] = list
) -> tuple[FixedEffects, str | None]:
    """Leave redundant columns of ``matrix`` (n, P) out; ``n_rows`` is what the rows are or stand for.

    Raises and warns as :func:`build_fixed`; ``hints`` says more in the error.
    """
    rank = independent_columns(matrix)
    if len(rank.kept) >= n_rows:
        raise _saturated(encoder, len(rank.kept), n_rows, hints())
    note = None if rank.is_full else _note(rank, encoder.names)
    if note is not None:
        warn(note, RankDeficientWarning)
        matrix = np.asfortranarray(matrix[:, rank.kept])
    position = np.full(len(encoder.names), -1, dtype=np.intp)
    position[rank.kept] = np.arange(len(rank.kept))
    kept_terms = encoder.terms
    if not rank.is_full:
        kept_terms = {
            term: tuple(int(position[j]) for j in columns if position[j] >= 0)
            for term, columns in encoder.terms.items()
        }
    fixed = FixedEffects(
        matrix,
        tuple(encoder.names[j] for j in rank.kept),
        tuple(encoder.names[j] for j in rank.dropped),
        kept_terms,
        encoder.names,
        encoder.terms,
        rank.kept,
        rank.alias,
        encoder,
    )
    return fixed, note


def _saturated(encoder: Encoder, rank: int, n_used: int, notes: Sequence[str]) -> DataError:
    """Return the error for as many independent columns as observations."""
    size = f"{n_used} observation{'s' * (n_used != 1)}"
    widest = max(encoder.terms, key=lambda term: len(encoder.terms[term]))
    blame = f" (the term {widest} alone has {len(encoder.terms[widest])})" if len(encoder.terms[widest]) > 1 else ""
    hints = "".join(f". {note}" for note in notes)
    return DataError(
        f"the fixed part has rank {rank} ({len(encoder.names)} columns) for {size}: none is left to estimate the "
        f"variance; leave out terms{blame}, or bring more data{hints}"
    )


def _note(rank: Rank, names: Sequence[str]) -> str:
    described = rank.describe(names)
    shown = "; ".join(described[:DROPPED_SHOWN]) + (
        f"; and {len(described) - DROPPED_SHOWN} more" if len(described) > DROPPED_SHOWN else ""
    )
    columns = "a column that follows" if len(described) == 1 else f"{len(described)} columns that follow"
    return f"the fixed part is rank deficient: dropped {columns} from the others (collinear): {shown}"


def full_rank(matrix: Array, names: Sequence[str]) -> Array:
    """Return the matrix, whose columns must be independent in the rows that were drawn.

    Raises
    ------
    DataError
        If some are combinations of others: it names them.
    """
    rank = independent_columns(matrix)
    if not rank.is_full:
        lost = ", ".join(names[j] for j in rank.dropped)
        raise DataError(f"fixed effects cannot be estimated from the clusters drawn ({lost})")
    return np.asfortranarray(matrix)


@dataclass(frozen=True)
class Reference:
    """The reference rows of a further linear predictor: where its value is the one that tables show.

    The first level of every factor and zero of every number, whatever the coding, as in residual structures.

    Attributes
    ----------
    row : (k,)
        Columns of the predictor there; of the average row where the columns are not defined there (a logarithm).
    words : str
        Where that is: ``"f = 'a', x = 0"``.
    """

    row: Array
    words: str

    @classmethod
    def of(cls, fixed: FixedEffects) -> Reference:
        """Return the reference rows of a predictor with these columns."""
        average = cls(fixed.matrix.mean(axis=0), "the average row")
        encoder = fixed.encoder
        levels = encoder.levels if isinstance(encoder, FormulaicEncoder) else {}
        firsts = {name: levels.get(name, levels.get(f"C({name})")) for name in encoder.variables}
        values = {name: 0.0 if known is None else known[0] for name, known in firsts.items()}
        if not values:
            return average
        try:
            with np.errstate(all="ignore"):
                row = fixed.encode({name: [value] for name, value in values.items()})[0]
        except (DataError, ArithmeticError):
            return average
        words = ", ".join(f"{name} = {0 if value == 0.0 else repr(value)}" for name, value in values.items())
        return cls(row, words) if np.isfinite(row).all() else average
