"""The fixed effects: columns, names, terms, and what was dropped because it was redundant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import DataError, RankDeficientWarning, warn
from mixedfx.matrices.encoder import Encoder, Settings, Term, learn_encoder
from mixedfx.matrices.numerals import text_notes
from mixedfx.matrices.rank import Rank, independent_columns
from mixedfx.matrices.rows import Rows

__all__ = ["FixedEffects", "build_fixed", "told"]

#: Columns that a description names.
SHOWN = 8
#: Redundant columns that a warning spells out.
DROPPED_SHOWN = 6
#: Part of a row, relative to its size, in directions on which the data are silent that counts as none.
OUTSIDE = 1e-7


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


def told(rows: Array, silent: Array) -> BoolArray:
    """Say which rows (r, P) of all columns the data tell: those without a part in the ``silent`` directions (P, d).

    An empty cell of a factorial is not told: whatever number came out would depend on the order of the levels. Rows
    with missing values count as told.
    """
    if not silent.size:
        return np.ones(len(rows), dtype=bool)
    outside = np.abs(rows @ silent).max(axis=1)
    size = (np.abs(rows) @ np.abs(silent)).max(axis=1)
    return np.asarray(~(outside > OUTSIDE * np.maximum(size, np.finfo(float).tiny)))


def build_fixed(terms: Sequence[Term], rows: Rows, settings: Settings) -> tuple[FixedEffects, str | None]:
    """Encode the fixed part and leave out redundant columns.

    Parameters
    ----------
    terms : sequence of tuple of str
        The terms of the formula.
    rows : Rows
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
    rank = independent_columns(matrix)
    if len(rank.kept) >= rows.size:
        raise _saturated(encoder, len(rank.kept), rows)
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


def _saturated(encoder: Encoder, rank: int, rows: Rows) -> DataError:
    """Return the error for as many independent columns as observations."""
    n_used = rows.size
    size = f"{n_used} observation{'s' * (n_used != 1)}"
    widest = max(encoder.terms, key=lambda term: len(encoder.terms[term]))
    blame = f" (the term {widest} alone has {len(encoder.terms[widest])})" if len(encoder.terms[widest]) > 1 else ""
    hints = "".join(f". {note}" for note in text_notes(rows, encoder.variables))
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
