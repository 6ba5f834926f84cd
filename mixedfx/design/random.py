"""The random effects of one term: which level each row belongs to, and the columns that vary between levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.covariance import Covariance, covariance_for
from mixedfx.design.encoder import Encoder, Settings, learn_encoder
from mixedfx.design.frame import Frame, as_frame
from mixedfx.design.labels import Labels, combine
from mixedfx.design.limits import check_parameters
from mixedfx.design.rows import Rows
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import RandomTerm

__all__ = ["RandomBuilder", "RandomEffects"]


@dataclass(frozen=True)
class RandomEffects:
    """The random effects of one term ``(expression | group)``.

    Parameters
    ----------
    group : str
        Name of the grouping factor: ``batch:cask``.
    factors : tuple of str
        The columns whose combinations are its levels.
    codes : numpy.ndarray
        Level of each row (n,).
    levels : pandas.Index
        The levels (m,): a MultiIndex if there are several factors.
    matrix : numpy.ndarray
        The columns (n, q) on the user's scale, in Fortran order.
    names : tuple of str
        Their names (q).
    covariance : Covariance
        How the q effects of a level vary together.
    encoder : Encoder
        Makes the columns from any data.
    term : str
        The term as a formula has it: ``(1 + x | g)``.
    relationship : numpy.ndarray or None
        Known covariance (m, m) between the levels, in their order; None if they are independent.
    """

    group: str
    factors: tuple[str, ...]
    codes: IntArray
    levels: pd.Index[Any]
    matrix: Array
    names: tuple[str, ...]
    covariance: Covariance
    encoder: Encoder
    term: str
    relationship: Array | None = None

    @property
    def n_levels(self) -> int:
        """Number m of levels."""
        return len(self.levels)

    @property
    def n_columns(self) -> int:
        """Number q of columns."""
        return len(self.names)

    def encode(self, data: Any) -> tuple[IntArray, Array]:
        """Return the level (n,) of each row of new data, -1 where it is unknown or missing, and the columns (n, q)."""
        frame = as_frame(data)
        return self.encode_codes(frame), self.encoder.encode(frame)

    def encode_codes(self, data: Any) -> IntArray:
        """Return the level (n,) of each row of new data, -1 where it is unknown or missing."""
        frame = as_frame(data)
        frame.require(self.factors)
        parts = [frame.column(name).labels for name in self.factors]
        if len(parts) == 1:
            return parts[0].recode(self.levels)
        own = [pd.Index(level) for level in self.levels.levels]  # type: ignore[attr-defined]
        codes = [part.recode(level) for part, level in zip(parts, own)]
        cells = combine([Labels(code, level) for code, level in zip(codes, own)], self.factors)
        return cells.recode(self.levels)


class RandomBuilder:
    """Builds the random terms of a model; terms with the same group or the same columns share their arrays.

    Parameters
    ----------
    rows : Rows
        The rows of the model.
    settings : Settings
        The user's functions and contrasts.
    """

    def __init__(self, rows: Rows, settings: Settings) -> None:
        self.rows, self.settings = rows, settings
        self._groups: dict[tuple[str, ...], Labels] = {}
        self._columns: dict[str, tuple[Encoder, Array]] = {}

    def build(self, term: RandomTerm) -> RandomEffects:
        """Return the random effects of a term.

        Raises
        ------
        DataError
            If the grouping factor has one level only.
        SpecificationError
            If the term has more covariance parameters than there are rows.
        """
        labels = self._labels(term.group)
        encoder, matrix = self._encoded(term)
        covariance = covariance_for(term.covariance, len(encoder.names))
        check_parameters(str(term), covariance.n_theta, len(encoder.names), self.rows.size)
        relationship = None
        if term.argument is not None:
            relationship = _relationship(term, self.settings.functions[term.argument], labels.levels)
        return RandomEffects(
            term.label,
            term.group,
            labels.codes,
            labels.levels,
            matrix,
            encoder.names,
            covariance,
            encoder,
            str(term),
            relationship,
        )

    def _labels(self, group: tuple[str, ...]) -> Labels:
        if group not in self._groups:
            self._groups[group] = _group_labels(group, self.rows)
        return self._groups[group]

    def _encoded(self, term: RandomTerm) -> tuple[Encoder, Array]:
        if term.expression not in self._columns:
            part = f"the left side of {term}"
            self._columns[term.expression] = learn_encoder(term.terms, self.rows, self.settings, part)
        return self._columns[term.expression]


def _group_labels(group: tuple[str, ...], rows: Rows) -> Labels:
    """Return the level of each row; a single factor's levels carry its name."""
    parts = [rows.labels(name) for name in group]
    labels = combine(parts, group) if len(parts) > 1 else Labels(parts[0].codes, parts[0].levels.rename(group[0]))
    if len(labels.levels) < 2:
        name = ":".join(group)
        found = f"{labels.levels[0]!r}" if len(labels.levels) else "none"
        raise DataError(
            f"the grouping factor {name!r} has only one level ({found}) in the {rows.size} rows used; the variance "
            "between groups needs at least two levels"
        )
    return labels


def _relationship(term: RandomTerm, given: Any, levels: pd.Index[Any]) -> Array:
    """Return the known covariance between the levels of ``known(… | g, K)`` in the order of the levels.

    Raises
    ------
    DataError
        If a level has no row in the matrix, or the matrix is not symmetric.
    """
    if isinstance(given, pd.DataFrame):
        return _symmetric(term, _by_label(term, given, levels))
    matrix = np.asarray(given, dtype=np.float64)
    if matrix.shape != (len(levels), len(levels)):
        raise DataError(
            f"the matrix {term.argument} of {term} has shape {matrix.shape}; the group has {len(levels)} levels: give a "
            "DataFrame whose index and columns are the levels"
        )
    return _symmetric(term, matrix)


def _by_label(term: RandomTerm, given: pd.DataFrame, levels: pd.Index[Any]) -> Array:
    rows, columns = given.index.get_indexer(levels), given.columns.get_indexer(levels)
    unknown = (rows < 0) | (columns < 0)
    if unknown.any():
        raise DataError(
            f"the matrix {term.argument} of {term} has no row and column for {int(unknown.sum())} levels of "
            f"{term.label!r}, for example {levels[unknown][0]!r}"
        )
    return given.to_numpy(dtype=np.float64)[np.ix_(rows, columns)]


def _symmetric(term: RandomTerm, matrix: Array) -> Array:
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-10 * float(np.abs(matrix).max(initial=0.0))):
        raise DataError(f"the matrix {term.argument} of {term} is not symmetric (or has missing values)")
    return (matrix + matrix.T) / 2.0
