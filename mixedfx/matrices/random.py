"""The random effects of one term: which level each row belongs to, and the columns that vary between levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.covariance import Covariance, covariance_for
from mixedfx.covariance.known import relationship_matrix
from mixedfx.exceptions import DataError
from mixedfx.formula import RandomTerm
from mixedfx.matrices.encoder import Encoder, Settings, Term, learn_encoder
from mixedfx.matrices.frame import FrameRows, as_frame
from mixedfx.matrices.labels import Labels, combine
from mixedfx.matrices.limits import check_parameters
from mixedfx.matrices.pooled import MemberEncoder, Pooled, member_parts, smooth_parts

__all__ = ["RandomBuilder", "RandomEffects", "level_labels"]


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
    loading : numpy.ndarray or None
        Factor L (m, m) of the known covariance ``L L'`` between the levels; None if they are independent.
    pooled : Pooled or None
        What the columns are of a smooth, or of rows in several levels at once: one level then, without ``factors``.
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
    loading: Array | None = None
    pooled: Pooled | None = None

    @property
    def is_smooth(self) -> bool:
        """Whether it is the random part of a smooth, which no group has and every prediction keeps."""
        return self.pooled is not None and self.pooled.is_smooth

    @property
    def variances(self) -> tuple[tuple[str, int], ...]:
        """Names of what has a variance of its own, and the first column of each."""
        if self.pooled is None:
            return tuple((name, j) for j, name in enumerate(self.names))
        return tuple(zip(self.pooled.names, self.pooled.firsts, strict=True))

    def variance_name(self, column: int) -> str:
        """Return the name of the variance that a column has."""
        return self.names[column] if self.pooled is None else {j: name for name, j in self.variances}[column]

    @property
    def theta_labels(self) -> tuple[str, ...]:
        """Names of the covariance parameters."""
        return self.covariance.labels(list(self.names)) if self.pooled is None else self.pooled.names

    def shown_covariance(self, matrix: Array) -> Array:
        """Return the part of a covariance (q, q) of the columns that users see: the variance of every block."""
        if self.pooled is None:
            return matrix
        return np.diag(matrix.diagonal()[list(self.pooled.firsts)])

    @property
    def shown_levels(self) -> pd.Index[Any]:
        """The levels as users see them: those of ``mm(a, b)`` are its columns."""
        return self.levels if self.pooled is None or self.pooled.labels is None else self.pooled.labels

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The effects of a level as users see them."""
        return self.names if self.pooled is None or self.pooled.labels is None else self.pooled.names

    def by_level(self, values: Array) -> Array:
        """Return values (q, m) of the effects by the levels and effects that users see, (effects, levels)."""
        return values if self.pooled is None or self.pooled.labels is None else values.reshape(1, -1)

    @property
    def n_levels(self) -> int:
        """Number m of levels."""
        return len(self.levels)

    @property
    def n_columns(self) -> int:
        """Number q of columns."""
        return len(self.names)

    def row_variances(self, columns: Array, covariance: Array) -> Array:
        """Return the variance (n,) that the columns (n, q) of rows have with a covariance (q, q)."""
        if self.pooled is not None:  # independent effects
            return np.asarray(np.square(columns) @ covariance.diagonal())
        found = np.einsum("ia,ab,ib->i", columns, covariance, columns)
        return np.asarray(np.maximum(found, 0.0))  # less is rounding, where huge variances and correlations of 1 cancel

    def level_variances(self, codes: IntArray) -> Array:
        """Return the factor (n,) of the known covariance in the variance of each level; its mean for unknown ones."""
        if self.loading is None:
            return np.ones(len(codes))
        variances = np.einsum("lk,lk->l", self.loading, self.loading)
        return np.where(codes < 0, float(variances.mean()), variances[codes])

    def encode(self, data: Any) -> tuple[IntArray, Array]:
        """Return the level (n,) of each row of new data (-1: unknown or missing) and the columns (n, q)."""
        frame = as_frame(data)
        return self.encode_codes(frame), self.encoder.encode(frame)

    def encode_codes(self, data: Any) -> IntArray:
        """Return the level (n,) of each row of new data, -1 where it is unknown or missing."""
        frame = as_frame(data)
        if self.pooled is not None:
            codes = np.zeros(len(frame), dtype=np.intp)
            return codes if self.members is None else np.where(self.members.unknown_rows(frame), -1, codes)
        frame.require(self.factors)
        parts = [frame.column(name).labels for name in self.factors]
        if len(parts) == 1:
            return parts[0].recode(self.levels)
        levels = [pd.Index(level) for level in self.levels.levels]  # type: ignore[attr-defined]
        cells = combine([Labels(part.recode(level), level) for part, level in zip(parts, levels)], self.factors)
        return cells.recode(self.levels)

    @property
    def left_encoder(self) -> Encoder:
        """The encoder of what stands left of the bar."""
        return self.encoder if self.members is None else self.members.left

    @property
    def members(self) -> MemberEncoder | None:
        """How the memberships of ``mm(a, b)`` are read; None for other terms."""
        return self.encoder if isinstance(self.encoder, MemberEncoder) else None

    def __repr__(self) -> str:
        if self.is_smooth:
            return f"<RandomEffects: {self.term}, a smooth of {self.n_columns} random columns>"
        effects = ", ".join(self.shown_names)
        return f"<RandomEffects: {self.term}, {len(self.shown_levels)} levels, effects {effects}>"


class RandomBuilder:
    """Builds the random terms of a model; terms with the same group or the same columns share their arrays.

    Parameters
    ----------
    rows : FrameRows
        The rows of the model.
    settings : Settings
        The user's functions and contrasts.
    """

    def __init__(self, rows: FrameRows, settings: Settings) -> None:
        self.rows, self.settings = rows, settings
        self._groups: dict[tuple[str, ...], Labels] = {}
        self._columns: dict[tuple[Term, ...], tuple[Encoder, Array]] = {}

    def reuse(self, terms: tuple[Term, ...], encoder: Encoder, matrix: Array) -> None:
        """Keep columns that exist already for terms that need the same (``wb(x, g)`` has others left of a bar)."""
        if not any(factor.function == "wb" for term in terms for factor in term):
            self._columns[terms] = encoder, matrix

    def build(self, term: RandomTerm) -> RandomEffects:
        """Return the random effects of a term.

        Raises
        ------
        DataError
            If the grouping factor has one level only.
        SpecificationError
            If the term has more covariance parameters than there are rows.
        """
        if not term.group:
            return self._pooled(term)
        labels = self._labels(term.group)
        encoder, matrix = self._encoded(term)
        covariance = covariance_for(term.covariance, len(encoder.names))
        check_parameters(str(term), covariance, self.rows.size)
        loading = None
        if term.argument is not None:
            given = self.settings.functions[term.argument]
            loading = relationship_matrix(term.argument, given).factor(labels.levels)
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
            loading,
        )

    def _pooled(self, term: RandomTerm) -> RandomEffects:
        parts = member_parts if term.members is not None else smooth_parts
        encoder, matrix, covariance, pooled = parts(term, self.rows, self.settings)
        check_parameters(str(term), covariance, self.rows.size)
        codes, levels = np.zeros(self.rows.size, dtype=np.intp), pd.Index([term.label])
        names = encoder.names
        return RandomEffects(term.label, (), codes, levels, matrix, names, covariance, encoder, str(term), None, pooled)

    def _labels(self, group: tuple[str, ...]) -> Labels:
        if group not in self._groups:
            self._groups[group] = _group_labels(group, self.rows)
        return self._groups[group]

    def _encoded(self, term: RandomTerm) -> tuple[Encoder, Array]:
        if term.terms not in self._columns:
            part = f"the left side of {term}"
            self._columns[term.terms] = learn_encoder(term.terms, self.rows, self.settings, part, within_only=True)
        return self._columns[term.terms]


def _group_labels(group: tuple[str, ...], rows: FrameRows) -> Labels:
    return level_labels(group, [rows.labels(name) for name in group], rows.size)


def level_labels(group: tuple[str, ...], parts: Sequence[Labels], n_rows: int) -> Labels:
    """Return the level of each row of a grouping factor, of the labels of its columns; a single one carries its name.

    Raises
    ------
    DataError
        If there is one level only in the ``n_rows`` rows.
    """
    labels = combine(parts, group) if len(parts) > 1 else Labels(parts[0].codes, parts[0].levels.rename(group[0]))
    if len(labels.levels) < 2:
        name = ":".join(group)
        only = repr(str(labels.levels[0])) if len(labels.levels) else "none"
        raise DataError(
            f"the grouping factor {name!r} has only one level ({only}) in the {n_rows} rows used; the variance "
            "between groups needs at least two levels"
        )
    return labels
