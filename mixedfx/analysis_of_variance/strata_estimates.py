"""Coefficients of an analysis of variance, with errors and degrees of freedom from the mean squares of its strata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx._typing import Array
from mixedfx.analysis_of_variance.groupings import Grouping
from mixedfx.analysis_of_variance.projections import Projector, increments
from mixedfx.analysis_of_variance.strata import Stratum
from mixedfx.inference.denominator import Denominator, fai_cornelius
from mixedfx.matrices import Design

__all__ = ["StrataDenominator", "StrataEstimates", "strata_estimates"]

ROUNDING = 1e-9  # relative difference of projections that is none


@dataclass(frozen=True, eq=False)
class StrataDenominator(Denominator):
    """Errors of coefficients by stratum: ``Var(l b) = sum of xi_s l M_s l'``, with ``xi_s`` the mean squares.

    Attributes
    ----------
    mean_squares, df : (s,)
        Residual mean squares of the strata, and their degrees of freedom.
    shares : (s, p, p)
        ``M_s``.

    References
    ----------
    Satterthwaite (1946), Biometrics Bulletin 2, 110; Bailey (2008), ch. 10.
    """

    mean_squares: Array
    df: Array
    shares: Array
    label = "the error strata (Satterthwaite's where they are combined)"

    @cached_property
    def covariance(self) -> Array:
        """Covariance (p, p)."""
        return np.asarray(np.einsum("s,spq->pq", self.mean_squares, self.shares))

    def of_rows(self, rows: Array) -> Array:
        """Return the degrees of freedom (r,)."""
        parts = self.mean_squares * np.einsum("rp,spq,rq->rs", rows, self.shares, rows)
        total = parts.sum(axis=1)
        parts = np.where(np.abs(parts) > ROUNDING * np.abs(total)[:, None], parts, 0.0)
        spread = np.sum(parts**2 / self.df, axis=1)
        df = np.full(len(rows), np.nan)
        np.divide(parts.sum(axis=1) ** 2, spread, out=df, where=spread > 0)
        return df

    def joint(self, rows: Array) -> tuple[float, float]:
        """Return the degrees of freedom of uncorrelated combinations, pooled; F is not scaled."""
        _, vectors = np.linalg.eigh(rows @ self.covariance @ rows.T)
        return fai_cornelius(self.of_rows(vectors.T @ rows)), 1.0


@dataclass(frozen=True, eq=False)
class StrataEstimates:
    """What marginal means need of an analysis of variance.

    Attributes
    ----------
    design : Design
        Of the mixed model with the same strata.
    beta : (p,)
    denominator : StrataDenominator
    """

    design: Design
    beta: Array
    denominator: StrataDenominator


def strata_estimates(
    design: Design, groupings: Sequence[Grouping], analysis: Sequence[Stratum]
) -> StrataEstimates | None:
    """Estimate the coefficients by their strata, each weighted by its mean square.

    That is exact where every stratum has one variance: its units have equally many rows, and groupings are orthogonal
    to each other. A mean square below that of a finer stratum (a negative variance component) is taken as it is, as in
    the tables. The variance of the grand mean is the combination of mean squares with its expectation.

    Parameters
    ----------
    design : Design
    groupings : sequence of Grouping
        Of the terms of ``Error(…)``, coarse ones first.
    analysis : sequence of Stratum
        The strata that the table shows.

    Returns
    -------
    StrataEstimates or None
        None where strata have no single variance, or no residual degrees of freedom.
    """
    X, y = design.fixed.matrix, design.response.values
    projectors = [projector for projector in increments(list(groupings), len(y)) if projector.rank]
    if any(not stratum.mean_sq > 0 for stratum in analysis) or not _spans_the_mean(X):
        return None
    both = np.column_stack([X, y])
    mean = np.broadcast_to(both.mean(axis=0), both.shape)
    parts = [projector.apply(both) for projector in projectors]
    rest = both - mean - sum(parts)
    parts += [rest] if len(analysis) > len(parts) else []
    expected = _expectations(groupings, projectors, len(y), with_rest=len(analysis) > len(projectors))
    if expected is None or len(parts) != len(analysis):
        return None
    of_mean = np.append([float(grouping.counts[0]) for grouping in groupings], 1.0)
    combination = of_mean @ np.linalg.pinv(expected)
    if np.abs(combination @ expected - of_mean).max() > ROUNDING * of_mean.max():
        return None
    xi = np.array([stratum.mean_sq for stratum in analysis])
    crosses = np.stack([part[:, :-1].T @ part for part in parts]) / xi[:, None, None]
    centre = mean[:, :-1].T @ mean / xi.max()  # any weight: the grand mean is in the model
    whole = crosses.sum(axis=0) + centre
    inverse = np.linalg.inv(whole[:, :-1])
    beta = inverse @ whole[:, -1]
    of_strata = inverse @ (crosses[:, :, :-1] / xi[:, None, None]) @ inverse
    of_centre = inverse @ (centre[:, :-1] / xi.max()) @ inverse
    shares = of_strata + combination[:, None, None] * of_centre
    df = np.array([float(stratum.df) for stratum in analysis])
    return StrataEstimates(design, beta, StrataDenominator(xi, df, shares))


def _spans_the_mean(X: Array) -> bool:
    ones = np.ones(len(X))
    found = X @ np.linalg.lstsq(X, ones, rcond=None)[0]
    return bool(np.abs(found - ones).max() < np.sqrt(ROUNDING))


def _expectations(
    groupings: Sequence[Grouping], projectors: Sequence[Projector], n: int, *, with_rest: bool
) -> Array | None:
    """Return what the variance of each stratum is made of (strata, groupings + 1); None if it has no single one.

    A grouping into units of m rows gives m times its component to the strata inside its space, and nothing to others.
    """
    if not all(grouping.is_balanced for grouping in groupings):
        return None
    probe = np.random.default_rng(0).standard_normal((n, 2))
    pieces = [projector.apply(probe) for projector in projectors]
    if with_rest:
        pieces.append(probe - probe.mean(axis=0) - sum(pieces))
    table = np.ones((len(pieces), len(groupings) + 1))
    for k, grouping in enumerate(groupings):
        for s, piece in enumerate(pieces):
            inside, size = grouping.averages(piece), np.abs(piece).max()
            if np.abs(inside - piece).max() <= ROUNDING * size:
                table[s, k] = float(grouping.counts[0])
            elif np.abs(inside).max() <= ROUNDING * size:
                table[s, k] = 0.0
            else:
                return None
    return table
