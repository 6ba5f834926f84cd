"""Likelihoods without a maximum, where rows are read piece by piece: :mod:`mixedfx.criterion.separation` in passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.criterion.marginal import MarginalModel
from mixedfx.criterion.partitioned import Largest, PartitionedState, Point, Sums
from mixedfx.criterion.separation import (
    LARGEST_LEVERAGE,
    NEGLIGIBLE,
    SUSPICIOUS_ETA,
    SUSPICIOUS_SD,
    SUSPICIOUS_SPREAD,
    direction_of,
    pushes,
)
from mixedfx.linalg.factor import PatternInverse
from mixedfx.linalg.gram import level_sums

__all__ = ["divided_factors", "looks_separated", "nearly_folded", "separating_direction"]

FIRST_ROWS = 5000  # different rows that the linear programme begins with, and that a pass adds at the most
MOST_PASSES = 30  # of rows that object to a direction


@dataclass(frozen=True)
class Distinct:
    """Different rows (k, c), some of them if they are many."""

    rows: Array

    @classmethod
    def of(cls, rows: Array) -> Distinct:
        """Return the different ones among some rows."""
        return cls(np.unique(rows, axis=0)[:FIRST_ROWS])

    def __add__(self, other: Distinct) -> Distinct:
        return Distinct.of(np.concatenate([self.rows, other.rows]))


@dataclass(frozen=True)
class _Extent:
    point: Point

    def __call__(self, rows: MarginalModel) -> Sums:
        eta = self.point.eta(rows)
        _, here, _ = rows.likelihood.scores(eta, rows.auxiliary_values(self.point.extra))
        return {"eta": Largest(float(np.abs(eta).max())), "score": Largest(float(np.abs(here).max()))}


@dataclass(frozen=True)
class _Pushing:
    """Which way rows are pushed, the largest predictor and score of all rows known."""

    point: Point
    largest: float
    strongest: float

    def push(self, rows: MarginalModel) -> tuple[Array, BoolArray]:
        auxiliary = rows.auxiliary_values(self.point.extra)
        _, here, _ = rows.likelihood.scores(self.point.eta(rows), auxiliary)
        return pushes(rows.likelihood, here, auxiliary, self.largest, self.strongest)


@dataclass(frozen=True)
class _Objections:
    """Rows that a direction of the fixed effects may not move as it does; all rows for a direction of zero."""

    pushing: _Pushing
    direction: Array

    def __call__(self, rows: MarginalModel) -> Sums:
        push, counted = self.pushing.push(rows)
        moved = rows.X @ self.direction
        objects = np.where(push == 0, np.abs(moved) > NEGLIGIBLE, push * moved < -NEGLIGIBLE) & counted
        chosen = objects if self.direction.any() else counted
        return {
            "rows": Distinct.of(np.column_stack([rows.X, push])[chosen]),
            "total": rows.X.T @ np.where(counted, push, 0.0),
            "count": int(chosen.sum()),
        }


@dataclass(frozen=True)
class _Outcomes:
    """Sums of the directions in which rows are pushed, within the levels of some factors."""

    pushing: _Pushing
    factors: tuple[int, ...]

    def __call__(self, rows: MarginalModel) -> Sums:
        push, _ = self.pushing.push(rows)
        columns = np.column_stack([push, push**2, np.ones_like(push)])
        return {
            "levels": [level_sums(rows.space.rows.layout, f, columns) for f in self.factors],
            "undecided": int(np.sum(push == 0)),
            "highest": Largest(float(push.max())),
            "lowest": Largest(float(-push.min())),
        }


@dataclass(frozen=True)
class _Curvature:
    point: Point
    inverse: PatternInverse

    def __call__(self, rows: MarginalModel) -> Sums:
        weight = self.point.expansion(rows).observed.weight
        return {"share": Largest(float(np.max(np.abs(weight) * rows.space.leverages(self.inverse))))}


def _pushing(state: PartitionedState) -> _Pushing:
    extent = state.model.pieces.reduce(_Extent(state.point))
    return _Pushing(state.point, extent["eta"].value, extent["score"].value)


def looks_separated(state: PartitionedState, sds: Array) -> bool:
    """Say whether the programme is worth solving: huge linear predictors, or standard errors ``sds`` (p,)."""
    if state.model.n_fixed == 0:
        return False
    return state.curves["largest"].value > SUSPICIOUS_ETA or not bool(np.all(sds < SUSPICIOUS_SD))


def separating_direction(state: PartitionedState) -> Array | None:
    """Return a direction (p,) of the fixed effects on the inner scale that separates the response, or None.

    The linear programme has some rows only; rows that object to its answer join it, until none does.
    """
    reduce, pushing, p = state.model.pieces.reduce, _pushing(state), state.model.n_fixed
    found = reduce(_Objections(pushing, np.zeros(p)))
    total, rows = found["total"], found["rows"]
    for _ in range(MOST_PASSES):
        X, push = rows.rows[:, :-1], rows.rows[:, -1]
        direction = direction_of(X[push != 0] * push[push != 0, None], X[push == 0], total, p)
        if direction is None or not direction.any():
            return None
        objections = reduce(_Objections(pushing, direction))
        if objections["count"] == 0:
            return direction
        rows = Distinct(np.unique(np.concatenate([rows.rows, objections["rows"].rows]), axis=0))
    return None


def divided_factors(state: PartitionedState) -> tuple[int, ...]:
    """Return the grouping factors (in elimination order) in each of whose levels all rows pull the same way."""
    rows = state.model.space.rows
    large = tuple(f for f, t in enumerate(state.factors) if np.abs(t).max(initial=0.0) > SUSPICIOUS_SPREAD)
    if not large:
        return ()
    sums = state.model.pieces.reduce(_Outcomes(_pushing(state), large))
    if sums["undecided"] or sums["highest"].value == -sums["lowest"].value:
        return ()
    divided = []
    for f, levels in zip(large, sums["levels"], strict=True):
        first, second, count = levels.T
        if any(np.all(z == 1.0) for z in rows.z[f]) and np.all(first**2 == second * count):
            divided.append(f)
    return tuple(divided)


def nearly_folded(state: PartitionedState) -> bool:
    """Whether some direction of the random effects has lost almost all of its curvature at the mode."""
    try:
        sums = state.model.pieces.reduce(_Curvature(state.point, state.factor.inverse))
    except FloatingPointError:
        return True
    return bool(sums["share"].value > LARGEST_LEVERAGE)
