"""Error strata: the response and the terms projected onto the space of every stratum, and their sums of squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.hypotheses import FixedPart, TermHypotheses
from mixedfx.analysis_of_variance.observations import Observations
from mixedfx.analysis_of_variance.projections import RANK_TOLERANCE, Projector, increments, orthonormal
from mixedfx.inference.distributions import f_tail
from mixedfx.matrices.rank import independent_columns

__all__ = ["RESIDUAL", "WITHIN", "Effect", "Stratum", "analysed", "efficiencies"]

WITHIN = "Within"
RESIDUAL = "Residual"
SPLIT = 1e-6  # an efficiency factor further than this from 0 and 1 tells of a term that is split over strata


@dataclass(frozen=True)
class Effect:
    """One term in one stratum.

    Attributes
    ----------
    label : str
    df : int
    sum_sq : float
    efficiency : float
        Share of the information on the term that the stratum holds.
    wanted : int
        Degrees of freedom, had every cell been observed.
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
    effects : tuple of Effect
    df : int
        Residual degrees of freedom.
    residual : (n,)
        What the terms leave of the response in this stratum.
    """

    name: str
    effects: tuple[Effect, ...]
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

    def f_value(self, effect: Effect) -> float:
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
        return StatsTable.from_frame(frame, heading=f"Stratum {self.name}", notes=self._notes())

    def _notes(self) -> list[str]:
        if self.effects and not self.df:
            return ["There are no residual degrees of freedom: the terms cannot be tested in this stratum."]
        return []

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
        effects.append(Effect(hypothesis.label, own.shape[1], size, efficiency[hypothesis.label], hypothesis.wanted))
    left = y - Q @ scores
    left -= Q @ (Q.T @ left)
    return Stratum(name, tuple(effects), rank - Q.shape[1], left)


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
