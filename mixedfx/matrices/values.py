"""What an expression can be besides numbers: a factor with its contrasts, or a basis of columns.

The names of contrasts are formulaic's: ``f[T.b]``, ``f[S.a]``, ``f[.L]``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices.labels import Labels

__all__ = [
    "CODINGS",
    "Basis",
    "Coding",
    "DifferenceCoding",
    "Factor",
    "HelmertCoding",
    "MatrixCoding",
    "PolynomialCoding",
    "SumCoding",
    "TreatmentCoding",
    "Value",
    "coding_for",
    "codings_for",
]

Levels = Sequence[Hashable]


class Coding(ABC):
    """How the levels of a factor become columns when the intercept (or a margin) is already in the model.

    Without an intercept to lean on, every coding uses one indicator column a level, named ``f[level]``.
    """

    #: What stands between the brackets before the name of a column.
    prefix: str = ""

    @abstractmethod
    def matrix(self, levels: Levels) -> Array:
        """Return the contrast matrix (m, m - 1): a row for each of the ``levels``."""

    @abstractmethod
    def columns(self, levels: Levels) -> tuple[Hashable, ...]:
        """Return the names (m - 1) of the columns."""

    def check(self, name: str, levels: Levels) -> None:  # noqa: B027  (most codings fit any levels)
        """Raise a SpecificationError if the coding does not fit the ``levels`` of the factor ``name``."""


@dataclass(frozen=True)
class TreatmentCoding(Coding):
    """Each level against a base, by default the first."""

    base: Hashable = None
    prefix = "T."

    def check(self, name: str, levels: Levels) -> None:
        """Refuse a base that is not a level."""
        if self.base is not None and self.base not in levels:
            raise SpecificationError(
                f"the base {self.base!r} of the treatment contrasts is not a level of {name!r}: {_listed(levels)}"
            )

    def _position(self, levels: Levels) -> int:
        return 0 if self.base is None else list(levels).index(self.base)

    def matrix(self, levels: Levels) -> Array:
        """Return the identity without the column of the base."""
        return np.delete(np.eye(len(levels)), self._position(levels), axis=1)

    def columns(self, levels: Levels) -> tuple[Hashable, ...]:
        """Return the levels other than the base."""
        base = self._position(levels)
        return tuple(level for i, level in enumerate(levels) if i != base)


@dataclass(frozen=True)
class SumCoding(Coding):
    """Each level but the last against the mean of the levels."""

    prefix = "S."

    def matrix(self, levels: Levels) -> Array:
        """Return the identity with a last row of -1."""
        return np.vstack([np.eye(len(levels) - 1), -np.ones((1, len(levels) - 1))])

    def columns(self, levels: Levels) -> tuple[Hashable, ...]:
        """Return the levels but the last."""
        return tuple(levels[:-1])


@dataclass(frozen=True)
class HelmertCoding(Coding):
    """Each level against the mean of those before it, as R's ``contr.helmert``."""

    prefix = "H."

    def matrix(self, levels: Levels) -> Array:
        """Return -1 above and ``j`` on the first sub-diagonal of column ``j``."""
        m = len(levels)
        upper = -np.triu(np.ones((m, m - 1)))
        upper[np.arange(1, m), np.arange(m - 1)] = np.arange(1, m)
        return upper

    def columns(self, levels: Levels) -> tuple[Hashable, ...]:
        """Return the levels but the first."""
        return tuple(levels[1:])


@dataclass(frozen=True)
class DifferenceCoding(Coding):
    """Each level against the one before it, as ``contr.sdif`` of R's MASS."""

    prefix = "D."

    def matrix(self, levels: Levels) -> Array:
        """Return ``j / m`` below and ``j / m - 1`` on and above the diagonal."""
        m = len(levels)
        steps = np.arange(1, m) / m
        return np.where(np.arange(m)[:, None] > np.arange(m - 1), steps, steps - 1.0)

    def columns(self, levels: Levels) -> tuple[Hashable, ...]:
        """Return the levels but the first."""
        return tuple(levels[1:])


@dataclass(frozen=True)
class PolynomialCoding(Coding):
    """Orthonormal polynomials of equally spaced levels, or of the given ``scores``: R's ``contr.poly``."""

    scores: tuple[float, ...] | None = None

    def check(self, name: str, levels: Levels) -> None:
        """Refuse scores that do not match the levels one to one."""
        if self.scores is not None and (len(self.scores) != len(levels) or len(set(self.scores)) != len(levels)):
            raise SpecificationError(
                f"the polynomial contrasts of {name!r} need {len(levels)} distinct scores, found {list(self.scores)}"
            )

    def matrix(self, levels: Levels) -> Array:
        """Return the orthonormal polynomials of degree 1 to m - 1."""
        m = len(levels)
        scores = np.arange(m, dtype=float) if self.scores is None else np.array(self.scores, dtype=float)
        Q, R = np.linalg.qr(np.vander((scores - scores.mean()) / np.ptp(scores), m, increasing=True))
        return np.asarray((Q * np.sign(np.diag(R)))[:, 1:])

    def columns(self, levels: Levels) -> tuple[Hashable, ...]:
        """Return ``.L, .Q, .C, ^4, …``."""
        return tuple([".L", ".Q", ".C", *(f"^{degree}" for degree in range(4, len(levels)))][: len(levels) - 1])


@dataclass(frozen=True, eq=False)
class MatrixCoding(Coding):
    """A contrast matrix of the user's: rows are levels, columns are coefficients.

    Parameters
    ----------
    values : numpy.ndarray
        The matrix (m, k).
    labels : tuple
        Names (k) of its columns.
    rows : tuple, optional
        The levels that its rows stand for; None means the order of the levels.
    """

    values: Array
    labels: tuple[Hashable, ...]
    rows: tuple[Hashable, ...] | None = None

    def check(self, name: str, levels: Levels) -> None:
        """Refuse a matrix whose rows are not the levels or whose columns are not independent of the intercept."""
        if self.rows is not None and set(self.rows) != set(levels):
            raise SpecificationError(
                f"the contrast matrix of {name!r} has the rows {_listed(self.rows)}; the levels are {_listed(levels)}"
            )
        m, k = self.values.shape
        if m != len(levels) or k >= m:
            raise SpecificationError(
                f"the contrast matrix of {name!r} has shape {self.values.shape}; with {len(levels)} levels it needs "
                f"{len(levels)} rows and at most {len(levels) - 1} columns"
            )
        if np.linalg.matrix_rank(np.column_stack([np.ones(m), self.values])) <= k:
            raise SpecificationError(
                f"the contrast matrix of {name!r} needs columns that are linearly independent of each other and of 1"
            )

    def matrix(self, levels: Levels) -> Array:
        """Return the matrix with its rows in the order of the ``levels``."""
        if self.rows is None:
            return self.values
        return self.values[[self.rows.index(level) for level in levels]]

    def columns(self, levels: Levels) -> tuple[Hashable, ...]:
        """Return the labels."""
        return self.labels


#: The codings that a formula or the argument ``contrasts`` may name.
CODINGS: dict[str, type[Coding]] = {
    "treatment": TreatmentCoding,
    "sum": SumCoding,
    "helmert": HelmertCoding,
    "poly": PolynomialCoding,
    "sdif": DifferenceCoding,
}
_ALIASES = {"diff": "sdif", "deviation": "sum", "polynomial": "poly"}


def coding_for(name: str, choice: Any) -> Coding:
    """Resolve what the user gave as contrasts of the factor ``name``.

    Returns
    -------
    Coding

    Raises
    ------
    SpecificationError
        For an unknown word or a matrix that is none.
    TypeError
        For anything but a word, a matrix or a coding.
    """
    if isinstance(choice, Coding):
        return choice
    if isinstance(choice, str):
        word = choice.removeprefix("contr.").lower()
        word = _ALIASES.get(word, word)
        if word not in CODINGS:
            raise SpecificationError(
                f"unknown contrasts {choice!r} for {name!r}; choose from {', '.join(CODINGS)}, or give a matrix"
            )
        return CODINGS[word]()
    if isinstance(choice, pd.DataFrame):
        values = choice.to_numpy(dtype=np.float64)
        return MatrixCoding(values, tuple(map(str, choice.columns)), tuple(choice.index))
    if isinstance(choice, (np.ndarray, list, tuple)):
        values = np.asarray(choice, dtype=np.float64)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2:
            raise SpecificationError(f"the contrast matrix of {name!r} has {values.ndim} dimensions; it needs two")
        return MatrixCoding(values, tuple(range(1, values.shape[1] + 1)))
    raise TypeError(f"the contrasts of {name!r} must be a word, a matrix or a DataFrame, found {type(choice).__name__}")


def codings_for(contrasts: Mapping[str, Any] | None) -> dict[str, Coding]:
    """Resolve the argument ``contrasts`` (column -> choice).

    Returns
    -------
    dict
        From columns to codings.

    Raises
    ------
    TypeError
        If it is not a dict.
    """
    if contrasts is None:
        return {}
    if not isinstance(contrasts, Mapping):
        raise TypeError(f"contrasts must be a dict from column to contrasts, found {type(contrasts).__name__}")
    return {name: coding_for(name, choice) for name, choice in contrasts.items()}


def _listed(levels: Levels) -> str:
    shown = ", ".join(repr(level) for level in levels[:8])
    return shown + (", …" if len(levels) > 8 else "")


@dataclass(frozen=True)
class Factor:
    """A categorical value: the label of each row and the contrasts of the levels.

    Parameters
    ----------
    labels : Labels
        Codes (n,) and levels (m,).
    coding : Coding
        How the levels become columns.
    """

    labels: Labels
    coding: Coding = field(default_factory=TreatmentCoding)

    @property
    def levels(self) -> tuple[Hashable, ...]:
        """The levels as plain Python values."""
        return tuple(self.labels.levels.tolist())

    def categorical(self) -> pd.Categorical:
        """Return the values as pandas has them (for functions of the user)."""
        return pd.Categorical.from_codes(self.labels.codes, categories=self.labels.levels)

    def equals(self, other: Any) -> BoolArray:
        """Return where the label is ``other`` (n,)."""
        position = self.labels.levels.get_indexer(pd.Index([other], dtype=object))[0]
        return np.asarray((self.labels.codes == position) & (position >= 0))


@dataclass(frozen=True)
class Basis:
    """Several columns of one expression, such as a spline.

    Parameters
    ----------
    matrix : numpy.ndarray
        The columns (n, k).
    columns : tuple
        Their names (k), which stand in brackets behind the expression.
    spans_constant : bool
        Whether some combination of them is constant, so that one is left out beside an intercept.
    """

    matrix: Array
    columns: tuple[Hashable, ...]
    spans_constant: bool = False


Value: TypeAlias = "float | str | Array | Factor | Basis"
