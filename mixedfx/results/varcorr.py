"""Variances, standard deviations and correlations of the random effects: ``Sigma`` of every term."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import Column, Numbers, OnceOnly, Summary, Table, Text
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array

__all__ = ["TermCovariance", "VarCorr"]

RESIDUAL = "Residual"
CORRELATIONS = Numbers(3, units=(1.0,), missing="—")  # undefined where a variance is zero


@dataclass(frozen=True, eq=False)
class TermCovariance:
    """Covariance matrix of the effects of one random-effects term.

    Parameters
    ----------
    group : str
        Label of the grouping factor, ``"Subject"`` or ``"batch:cask"``.
    names : tuple of str
        The q effects, ``("Intercept", "Days")``.
    matrix : ndarray (q, q)
        Their covariance.
    correlated : bool
        Whether the covariances are parameters; false for ``(x || g)``.
    smooth : bool
        Whether the effects are those of a smooth, which is a straight line without them.
    """

    group: str
    names: tuple[str, ...]
    matrix: Array
    correlated: bool = True
    smooth: bool = False

    def __post_init__(self) -> None:
        size = len(self.names)
        if np.shape(self.matrix) != (size, size):
            raise ValueError(f"the covariance of {size} effects of {self.group} has shape {np.shape(self.matrix)}")

    @property
    def sd(self) -> Array:
        """Standard deviations (q,)."""
        return np.sqrt(np.diag(self.matrix))

    @property
    def correlation(self) -> Array:
        """Correlation matrix (q, q); NaN where a variance is zero and the correlations are parameters."""
        if not self.correlated:
            return np.eye(len(self.names))
        product = np.outer(self.sd, self.sd)
        result = np.full_like(product, np.nan)
        np.divide(self.matrix, product, out=result, where=product > 0)
        return result

    def records(self) -> list[tuple[Any, ...]]:
        """Return rows ``(group, term1, term2, variance, sd, corr)``: the variances, then the covariances."""
        sd, correlation, names = self.sd, self.correlation, self.names
        variances = [
            (self.group, name, None, float(self.matrix[i, i]), float(sd[i]), np.nan) for i, name in enumerate(names)
        ]
        below = [(i, j) for j in range(len(names)) for i in range(j + 1, len(names))] if self.correlated else []
        covariances = [
            (self.group, names[j], names[i], float(self.matrix[i, j]), np.nan, float(correlation[i, j]))
            for i, j in below
        ]
        return variances + covariances


@hinting_methods
@dataclass(frozen=True, eq=False)
class VarCorr:
    """Variances and correlations of the random effects, and the residual variance.

    Parameters
    ----------
    terms : tuple of TermCovariance
        In the order of the formula.
    residual : float, optional
        Residual variance; None for families without one.

    Examples
    --------
    >>> import numpy as np
    >>> matrix = np.array([[612.1, 9.6], [9.6, 35.07]])
    >>> varcorr = VarCorr.from_terms([("Subject", ("Intercept", "Days"), matrix)], residual=654.9)
    >>> print(varcorr)
    =======================================================
    Random effects           Variance    Std. dev.    Corr.
    -------------------------------------------------------
    Subject     Intercept    612.1000      24.7407
                Days          35.0700       5.9220    0.066
    Residual                 654.9000      25.5910
    =======================================================
    >>> varcorr.to_frame()[["group", "term1", "term2", "variance"]].fillna("")
          group      term1 term2  variance
    0   Subject  Intercept          612.10
    1   Subject       Days           35.07
    2   Subject  Intercept  Days      9.60
    3  Residual                     654.90
    >>> varcorr.covariances["Subject"].loc["Days", "Days"]
    np.float64(35.07)
    """

    terms: tuple[TermCovariance, ...]
    residual: float | None = None

    @classmethod
    def from_terms(cls, terms: Iterable[tuple[str, Sequence[str], Array]], residual: float | None = None) -> VarCorr:
        """Build from ``(group, names of the effects, covariance matrix)`` of every term."""
        return cls(tuple(TermCovariance(group, tuple(names), matrix) for group, names, matrix in terms), residual)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a parameter.

        Returns
        -------
        DataFrame
            Columns ``group, term1, term2, variance, sd, corr``. A variance has no ``term2`` and no ``corr``; a
            covariance stands in the column ``variance`` and has no ``sd``. The residual comes last.
        """
        records = [record for term in self.terms for record in term.records()]
        if self.residual is not None:
            records.append((RESIDUAL, None, None, float(self.residual), float(np.sqrt(self.residual)), np.nan))
        columns = ["group", "term1", "term2", "variance", "sd", "corr"]
        frame = pd.DataFrame(records, columns=columns)
        names = dict.fromkeys(columns[:3], pd.Series(dtype=str).dtype)
        return frame.astype({**names, **dict.fromkeys(columns[3:], "float64")})

    @property
    def covariances(self) -> dict[str, pd.DataFrame]:
        """Covariance matrices by group; terms of one group stand in the blocks of one matrix."""
        groups = dict.fromkeys(term.group for term in self.terms)
        return {group: _block_diagonal([term for term in self.terms if term.group == group]) for group in groups}

    @property
    def correlations(self) -> dict[str, pd.DataFrame]:
        """Correlation matrices by group, as :attr:`covariances`; NaN where a variance is zero."""
        return {
            group: pd.DataFrame(
                TermCovariance(group, tuple(matrix.columns), matrix.to_numpy()).correlation,
                index=matrix.index,
                columns=matrix.columns,
            )
            for group, matrix in self.covariances.items()
        }

    def table(self) -> Table:
        """Return the table of the summary: an effect a row, its correlations with the effects above."""
        rows = [(term, position) for term in self.terms for position in range(len(term.names))]
        groups = [term.group for term, _ in rows]
        names = [term.names[position] for term, position in rows]
        variances = [float(term.matrix[position, position]) for term, position in rows]
        if self.residual is not None:
            groups, names, variances = [*groups, RESIDUAL], [*names, ""], [*variances, float(self.residual)]
        return Table(
            (
                Column("Group", tuple(groups), OnceOnly(), stub=True),
                Column("Term", tuple(names), Text(), stub=True),
                Column("Variance", tuple(variances), Numbers()),
                Column("Std. dev.", tuple(np.sqrt(variances)), Numbers()),
                *_correlation_columns(rows, len(variances)),
            ),
            title="Random effects",
        )

    def summary(self) -> Summary:
        """Return the table ready to be written as text, HTML, LaTeX, CSV or Markdown."""
        return Summary((self.table(),))

    def __str__(self) -> str:
        return self.summary().as_text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def _block_diagonal(terms: Sequence[TermCovariance]) -> pd.DataFrame:
    names = [name for term in terms for name in term.names]
    matrix, start = np.zeros((len(names), len(names))), 0
    for term in terms:
        stop = start + len(term.names)
        matrix[start:stop, start:stop] = term.matrix
        start = stop
    return pd.DataFrame(matrix, index=names, columns=names)


def _correlation_columns(rows: Sequence[tuple[TermCovariance, int]], length: int) -> list[Column]:
    """Return the lower triangles of the correlation matrices, as many columns as the largest needs."""
    width = max((len(term.names) - 1 for term, _ in rows if term.correlated), default=0)
    triangle: list[list[float | None]] = [[None] * width for _ in range(length)]
    for row, (term, position) in enumerate(rows):
        if term.correlated:
            triangle[row][:position] = map(float, term.correlation[position, :position])
    return [
        Column(f"Corr. {column + 1}", values, CORRELATIONS, header="" if column else "Corr.")
        for column, values in enumerate(zip(*triangle))
    ]
