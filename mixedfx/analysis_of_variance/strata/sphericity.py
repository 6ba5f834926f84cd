"""Sphericity of repeated measures: Mauchly's test, the corrections of Greenhouse and Geisser and of Huynh and Feldt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import linalg

from mixedfx._typing import Array, IntArray
from mixedfx.analysis_of_variance.strata.analysis import Stratum
from mixedfx.analysis_of_variance.strata.projections import Grouping
from mixedfx.inference.distributions import chi2_tail

__all__ = ["CORRECTIONS", "CorrectionName", "RepeatedMeasures", "Sphericity", "repeated_measures"]

CorrectionName: TypeAlias = Literal["none", "GG", "HF"]

SINGULAR = 1e-12  # smallest eigenvalue of a covariance matrix relative to the largest, below which it is singular


@dataclass(frozen=True)
class Sphericity:
    """How far the contrasts of one stratum are from equal variances without correlations.

    Attributes
    ----------
    covariance : (p, p)
        Sums of squares and products of the residuals of orthonormal contrasts.
    df : float
        Their degrees of freedom.
    n_cells : int
        Number of cells in which every unit is measured.
    """

    covariance: Array
    df: float
    n_cells: int

    @property
    def size(self) -> int:
        """Number p of contrasts."""
        return len(self.covariance)

    @property
    def greenhouse_geisser(self) -> float:
        """Box's epsilon, estimated: ``tr(S)^2 / (p tr(S^2))``."""
        S = self.covariance
        return float(np.trace(S) ** 2 / (self.size * np.sum(S * S)))

    @property
    def huynh_feldt(self) -> float:
        """Less biased than the other where epsilon is large; it can exceed 1.

        References
        ----------
        Huynh & Feldt (1976), J. Educ. Stat. 1, 69, with Lecoutre's (1991) correction for several groups.
        """
        p, product = self.size, self.size * self.greenhouse_geisser
        return ((self.df + 1.0) * product - 2.0) / (p * (self.df - product))

    @property
    def mauchly(self) -> tuple[float, float]:
        """Mauchly's W and its p-value; nan with fewer degrees of freedom than contrasts.

        Notes
        -----
        The p-value is the two-term expansion in Anderson (1984, sec. 10.7). In its second term stands the number of
        cells where Anderson has the number of contrasts: R computes it so, and the programs shall agree. The difference
        is below the error of the expansion itself: simulated p-values are as far from one as from the other.

        References
        ----------
        Mauchly (1940), Ann. Math. Stat. 11, 204.
        """
        p, n, S = self.size, self.df, self.covariance
        values = np.linalg.eigvalsh(S)
        if n < p or values[0] <= SINGULAR * values[-1]:
            return np.nan, np.nan
        log_w = float(np.sum(np.log(values)) - p * np.log(values.mean()))
        rho = 1.0 - (2 * p * p + p + 2) / (6 * p * n)
        second = (p + 2) * (p - 1) * (p - 2) * (2 * p**3 + 6 * p**2 + 3 * self.n_cells + 2) / (288 * (n * p * rho) ** 2)
        z, df = -n * rho * log_w, p * (p + 1) / 2 - 1
        first = chi2_tail(z, df)
        return float(np.exp(log_w)), first + second * (chi2_tail(z, df + 4) - first)


@dataclass(frozen=True)
class Correction:
    """What the degrees of freedom of repeated measures are multiplied by.

    Attributes
    ----------
    note : str
        What the table says of it.
    estimate : callable or None
        Gives epsilon; None leaves the degrees of freedom alone.
    """

    note: str
    estimate: Callable[[Sphericity], float] | None = None

    def epsilon(self, sphericity: Sphericity | None) -> float:
        """Factor of the degrees of freedom, at most 1; 1 where a stratum has no or one contrast within units."""
        if self.estimate is None or sphericity is None or sphericity.size < 2:
            return 1.0
        return min(1.0, self.estimate(sphericity))


CORRECTIONS: dict[str, Correction] = {
    "none": Correction(
        "Degrees of freedom are not corrected: right if the differences between levels have equal variances."
    ),
    "GG": Correction(
        "Degrees of freedom of repeated measures multiplied by Greenhouse and Geisser's epsilon.",
        lambda sphericity: sphericity.greenhouse_geisser,
    ),
    "HF": Correction(
        "Degrees of freedom of repeated measures multiplied by Huynh and Feldt's epsilon, at most 1.",
        lambda sphericity: sphericity.huynh_feldt,
    ),
}


@dataclass(frozen=True)
class RepeatedMeasures:
    """A design in which every unit is measured once in each cell of the within-unit factors.

    Attributes
    ----------
    order : (units, cells)
        Row of every unit and cell.
    contrasts : dict
        Orthonormal contrasts (cells, p) of the within part of every stratum.
    """

    order: IntArray
    contrasts: dict[str, Array]

    def sphericity(self, stratum: Stratum) -> Sphericity | None:
        """Return the covariance of a stratum's contrasts; None for the stratum of the units."""
        C = self.contrasts.get(stratum.name)
        if C is None or not stratum.df:
            return None
        scores = stratum.residual[self.order] @ C
        return Sphericity(scores.T @ scores, stratum.df / C.shape[1], len(C))

    def __repr__(self) -> str:
        units, cells = self.order.shape
        return f"<RepeatedMeasures: {units} units in {cells} cells, strata {', '.join(self.contrasts)}>"


def repeated_measures(
    error: Sequence[tuple[str, ...]], groupings: Mapping[str, Grouping], factors: Mapping[str, Grouping]
) -> RepeatedMeasures | None:
    """Recognise ``Error(unit/(a*b))`` with one row for each unit and cell; None for any other design.

    Parameters
    ----------
    error : sequence of tuple of str
        The terms of ``Error(…)``, by columns.
    groupings : mapping
        The partition of the rows by each of them.
    factors : mapping
        The partition of the rows by each single column.
    """
    if len(error) < 2 or not all(set(error[0]) < set(term) for term in error[1:]):
        return None
    unit = groupings[":".join(error[0])]
    within = [name for name in dict.fromkeys(n for term in error[1:] for n in term) if name not in error[0]]
    sizes = [factors[name].size for name in within]
    cell = np.ravel_multi_index([factors[name].codes for name in within], sizes)
    order = np.argsort(unit.codes * int(np.prod(sizes)) + cell, kind="stable")
    n_cells = int(np.prod(sizes))
    if len(order) != unit.size * n_cells:
        return None
    order = order.reshape(unit.size, n_cells)
    if np.any(cell[order] != np.arange(n_cells)) or np.any(unit.codes[order] != unit.codes[order[:, :1]]):
        return None
    contrasts = {":".join(term): _contrasts(within, sizes, term) for term in error[1:]}
    return RepeatedMeasures(order, contrasts)


def _contrasts(within: Sequence[str], sizes: Sequence[int], term: Sequence[str]) -> Array:
    """Products of Helmert contrasts of the factors in ``term`` and means over the others: (cells, p)."""
    parts = []
    for name, size in zip(within, sizes):
        helmert = linalg.helmert(size, full=True).T
        parts.append(helmert[:, 1:] if name in term else helmert[:, :1])
    out: Array = np.ones((1, 1))
    for part in parts:
        out = np.asarray(np.kron(out, part), dtype=float)
    return out
