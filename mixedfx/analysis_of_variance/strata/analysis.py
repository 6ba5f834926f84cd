"""Error strata: sums of squares of the terms in each, and the coefficients estimated from the mean squares of all.

The response and the terms are projected onto the space of every stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import linalg

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.strata.observations import Observations
from mixedfx.analysis_of_variance.strata.projections import RANK_TOLERANCE, Grouping, Projector, increments, orthonormal
from mixedfx.analysis_of_variance.terms.hypotheses import FixedPart, TermHypotheses
from mixedfx.inference.denominator import Denominator, fai_cornelius
from mixedfx.inference.distributions import f_tail
from mixedfx.matrices import Design
from mixedfx.matrices.fixed import independent_columns

__all__ = [
    "RESIDUAL",
    "StrataEstimates",
    "Stratum",
    "StratumEffect",
    "analysed",
    "incomplete_units",
    "strata_estimates",
]

WITHIN = "Within"
RESIDUAL = "Residual"
SPLIT_NOTE = (
    "efficiency: the share of what the rows tell of a term that lies in this stratum. It is below 1 if the design is "
    "not balanced, as when rows are missing: leave incomplete units out, or test in the mixed model, mixed_model()."
)
SPLIT = 1e-6  # an efficiency factor farther than this from 0 and 1 shows a term that is split over strata
SHOWN = 4  # incomplete units that a note names
ROUNDING = 1e-9  # relative difference of projections that is none


@dataclass(frozen=True)
class StratumEffect:
    """One term in one stratum.

    Attributes
    ----------
    label : str
    df : int
    sum_sq : float
    efficiency : float
        Share of the information on the term that the stratum holds.
    wanted : int
        Degrees of freedom if every cell had been observed.
    """

    label: str
    df: int
    sum_sq: float
    efficiency: float
    wanted: int


@dataclass(frozen=True)
class Stratum:
    """What varies in one stratum.

    Attributes
    ----------
    name : str
    effects : tuple of StratumEffect
    df : int
        Residual degrees of freedom.
    residual : (n,)
        What the terms leave of the response in this stratum.
    """

    name: str
    effects: tuple[StratumEffect, ...]
    df: int
    residual: Array

    @property
    def error(self) -> float:
        """Residual sum of squares."""
        return float(self.residual @ self.residual) if self.df else 0.0

    @property
    def mean_sq(self) -> float:
        """Residual mean square; nan without degrees of freedom."""
        return self.error / self.df if self.df else np.nan

    @property
    def is_split(self) -> bool:
        """Whether some term has part of its information elsewhere."""
        return any(abs(1.0 - effect.efficiency) > SPLIT for effect in self.effects)

    def f_value(self, effect: StratumEffect) -> float:
        """Mean square of the effect over that of the residual; nan if there is none."""
        if not self.df or self.error <= 0.0:
            return np.nan
        return effect.sum_sq / effect.df / self.mean_sq

    def table(self, *, split: bool = False) -> StatsTable:
        """Return the table of the stratum, with the efficiencies if some term is ``split``."""
        effects = self.effects
        f = np.array([self.f_value(effect) for effect in effects])
        sizes = np.array([effect.df for effect in effects], dtype=float)
        frame = pd.DataFrame(
            {
                "df": sizes,
                "sum_sq": [effect.sum_sq for effect in effects],
                "mean_sq": [effect.sum_sq / effect.df for effect in effects],
                "F": f,
                "PR(>F)": f_tail(f, sizes, self.df),
            },
            index=[effect.label for effect in effects],
            dtype=float,
        )
        if split:
            frame["efficiency"] = [effect.efficiency for effect in effects]
        if self.df:
            frame.loc[RESIDUAL, ["df", "sum_sq", "mean_sq"]] = [self.df, self.error, self.mean_sq]
        return StatsTable.from_frame(frame, heading=f"Stratum {self.name}", notes=self._notes(split))

    def _notes(self, split: bool) -> list[str]:
        notes = [SPLIT_NOTE] if split else []
        if self.effects and not self.df:
            notes.append("There are no residual degrees of freedom: the terms cannot be tested in this stratum.")
        return notes

    def __repr__(self) -> str:
        return f"<Stratum: {self.name}, {self.df} residual df>"


def analysed(data: Observations, kind: TermHypotheses) -> list[Stratum]:
    """Return the strata, from the coarsest to the rows themselves; those without degrees of freedom left out."""
    projectors = increments(list(data.groupings.values()), data.n)
    bases = _sequential_bases(data) if projectors else {}
    shares = [efficiencies(bases, projector) for projector in projectors]
    within = {term.label: 1.0 - sum(share[term.label] for share in shares) for term in data.tested}
    both = np.column_stack([data.X, data.y])
    out, rest = [], both
    for name, projector, share in zip(data.groupings, projectors, shares):
        part = projector.apply(both)
        rest = rest - part
        if projector.rank:
            out.append(_stratum(name, data, part, projector.rank, kind, share))
    rank = data.n - 1 - sum(projector.rank for projector in projectors)
    return [*out, _stratum(WITHIN, data, rest, rank, kind, within)] if rank else out


def incomplete_units(data: Observations, strata: Sequence[Stratum]) -> list[str]:
    """Return a note that names the units with fewer rows than others, where they split terms over strata.

    Of units that lie in each other the smaller ones are named: a whole plot without one of its rows, not its block.
    """
    places: dict[str, list[str]] = {}
    for stratum in strata:
        for effect in stratum.effects:
            if abs(1.0 - effect.efficiency) > SPLIT:
                places.setdefault(effect.label, []).append(stratum.name)
    split = [f"{label} in {' and '.join(names)}" for label, names in places.items() if len(names) > 1]
    uneven = [
        (columns, grouping)
        for columns, grouping in zip(data.error, data.groupings.values(), strict=True)
        if grouping.counts.max() > 1 and not grouping.is_balanced
    ]
    if not split or not uneven:
        return []
    columns, grouping = max(uneven, key=lambda pair: pair[1].size)
    most = int(grouping.counts.max())
    short = np.flatnonzero(grouping.counts < most)
    first = np.unique(grouping.codes, return_index=True)[1][short[:SHOWN]]
    labels = data.model.data[list(columns)].iloc[first].astype(str).agg(":".join, axis=1)
    named = ", ".join(f"{label} ({grouping.counts[k]} of {most} rows)" for label, k in zip(labels, short))
    more = f" and {short.size - SHOWN} more" if short.size > SHOWN else ""
    return [
        f"Incomplete units: {':'.join(columns)} {named}{more}. They split terms over strata, {'; '.join(split)}: the "
        "test of a term is that in the stratum with most of its efficiency, others hold what the incomplete units leak."
    ]


def _stratum(
    name: str, data: Observations, both: Array, rank: int, kind: TermHypotheses, efficiency: dict[str, float]
) -> Stratum:
    """Test the terms of what is left of ``[X y]`` (n, P + 1) in a stratum of the given dimension."""
    X, y = both[:, :-1], both[:, -1]
    part, Q = _fixed_part(X, data)
    effects, scores = [], Q.T @ y
    for hypothesis in kind.of(part) if Q.shape[1] else []:
        if len(hypothesis.L) == 0:
            continue
        own = _directions(part.root, hypothesis.L)
        size = float(np.sum((own.T @ scores) ** 2))
        effects.append(
            StratumEffect(hypothesis.label, own.shape[1], size, efficiency[hypothesis.label], hypothesis.wanted)
        )
    residual = y - Q @ scores
    residual -= Q @ (Q.T @ residual)
    return Stratum(name, tuple(effects), rank - Q.shape[1], residual)


def _fixed_part(X: Array, data: Observations) -> tuple[FixedPart, Array]:
    """Return the fixed part in a stratum, and orthonormal columns (n, p) of it."""
    size, whole = np.linalg.norm(X, axis=0), np.linalg.norm(data.X, axis=0)
    there = np.flatnonzero(size > RANK_TOLERANCE * whole)
    rank = independent_columns(X[:, there])
    kept = there[rank.kept]
    alias = np.zeros((len(kept), X.shape[1]))
    alias[:, there] = rank.alias
    Q, root = linalg.qr(X[:, kept], mode="economic")
    of_all = data.estimable
    estimable = None if of_all is None else lambda: of_all().of_part(alias[:, data.kept], np.asarray(root))
    return FixedPart(data.terms, kept, alias, np.asarray(root), estimable), np.asarray(Q)


def _directions(root: Array, L: Array) -> Array:
    """Orthonormal directions (p, r), in the coordinates of Q, whose sum of squares tests ``L beta = 0``."""
    rows = linalg.solve_triangular(root, L.T, trans=1)
    return orthonormal(np.asarray(rows), np.linalg.norm(rows, axis=0))


# --------------------------------------------------------------------------- efficiency
def _sequential_bases(data: Observations) -> dict[str, Array]:
    """Orthonormal columns of every term after those before it, strata ignored."""
    out: dict[str, Array] = {}
    for term in data.tested:
        columns = data.X[:, list(term.columns)]
        rest = columns
        for _ in range(2):
            for Q in out.values():
                rest = rest - Q @ (Q.T @ rest)
        out[term.label] = orthonormal(rest, np.linalg.norm(columns, axis=0))
    return out


def efficiencies(bases: dict[str, Array], projector: Projector) -> dict[str, float]:
    """Return the mean canonical efficiency factor of every term in a stratum: ``tr(Q' P Q) / df``.

    References
    ----------
    James & Wilkinson (1971), Biometrika 58, 279; Bailey (2008), ch. 11.
    """
    return {label: float(np.sum(Q * projector.apply(Q))) / max(Q.shape[1], 1) for label, Q in bases.items()}


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
        return float(fai_cornelius(self.of_rows(vectors.T @ rows))), 1.0


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
    projected = X @ np.linalg.lstsq(X, ones, rcond=None)[0]
    return bool(np.abs(projected - ones).max() < np.sqrt(ROUNDING))


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
