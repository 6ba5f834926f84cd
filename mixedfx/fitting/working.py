"""The linear model at an estimate, as a smoother of its responses: what leverages and draws given the data need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.linalg.factor import BlockFactor, PatternInverse, factorize
from mixedfx.linalg.gram import Rows, cross_products
from mixedfx.linalg.rowwise import RowMap
from mixedfx.matrices.new_rows import fitted_predictor

if TYPE_CHECKING:
    from mixedfx.criterion.residual import ResidualCriterion
    from mixedfx.fitting.generalized import GeneralizedFit
    from mixedfx.fitting.linear import LinearFit

__all__ = ["LeverageParts", "WorkingModel", "linear_leverage"]

PROBES = 64  # columns that are whitened at a time


@dataclass(frozen=True)
class LeverageParts:
    """What the diagonal of ``H = I - R V^-1 (I - X Phi X' V^-1)`` is made of, ``Phi = (X' V^-1 X)^-1``.

    Attributes
    ----------
    X : (n, p)
    inverse_X : (n, p)
        ``V^-1 X``.
    predicted : (n, p)
        ``Z Sigma Z' V^-1 X``.
    unscaled : (p, p)
        ``Phi``.
    own : (n,)
        Diagonal of ``Z Sigma Z' V^-1``: ``z_i' K (R^-1 Z)_i``.
    """

    X: Array
    inverse_X: Array
    predicted: Array
    unscaled: Array
    own: Array

    def leverages(self) -> tuple[Array, Array]:
        """Return the diagonal of ``H`` (n,) through the fixed effects and through the random effects."""
        pulled = self.inverse_X @ self.unscaled
        fixed = np.einsum("ip,ip->i", self.X, pulled)
        return fixed, self.own - np.einsum("ip,ip->i", self.predicted, pulled)


def linear_leverage(fit: LinearFit) -> LeverageParts:
    """Return what the leverages of a linear model are made of."""
    if fit.residual is not None:
        return _structured_rows(fit, fit.residual)
    at, rows = fit.at, fit.problem.assembly.rows
    given = fit.problem.design.weights
    weights = np.ones(len(rows.columns)) if given is None else given
    X = rows.columns[:, :-1]
    predicted = _predicted_columns(RowMap(rows), at.column_effects, X.shape[1])
    own = weights * RowMap(rows).leverages(at.factor.inverse)
    return LeverageParts(X, weights[:, None] * (X - predicted), predicted, at.unscaled_cov, own)


def _structured_rows(fit: LinearFit, bound: BoundResidual) -> LeverageParts:
    """With correlated residuals ``R^-1`` mixes rows, but only within levels of all grouping factors."""
    rows, at = cast("ResidualCriterion", fit.problem.criterion).rows, fit.at
    X = rows.columns[:, :-1]
    predicted = _predicted_columns(RowMap(rows), at.column_effects, X.shape[1])
    inverse_X = _precision_times(bound, fit.rho, X - predicted)
    z = [_precision_times(bound, fit.rho, part.T).T for part in rows.z]
    return LeverageParts(X, inverse_X, predicted, at.unscaled_cov, _bilinear(rows, z, at.factor.inverse))


def _bilinear(rows: Rows, others: list[Array], inverse: PatternInverse) -> Array:
    """``z_i' K w_i`` (n,) by polarisation, w the columns of ``others`` in the same levels."""
    up, down = (
        RowMap(replace(rows, z=tuple(z + sign * w for z, w in zip(rows.z, others, strict=True)))).leverages(inverse)
        for sign in (1.0, -1.0)
    )
    return np.asarray(0.25 * (up - down))


def _precision_times(bound: BoundResidual, rho: Array, M: Array) -> Array:
    """``D^-1 M`` (n, k) as ``L' (L M)``: the whitening ``L`` is block-diagonal, so a probe reads a column a group."""
    whitened = bound.whiten(rho, np.ascontiguousarray(M))
    groups = np.arange(bound.n) if bound.groups is None else bound.groups
    rank = pd.Series(groups).groupby(groups).cumcount().to_numpy()
    out = np.empty_like(whitened)
    for first in range(0, int(rank.max(initial=0)) + 1, PROBES):
        chosen = np.arange(first, min(first + PROBES, int(rank.max()) + 1))
        factor = bound.whiten(rho, (rank[:, None] == chosen).astype(float))
        for place, position in enumerate(chosen):
            sums = np.zeros((int(groups.max()) + 1, M.shape[1]))
            np.add.at(sums, groups, factor[:, place : place + 1] * whitened)
            here = rank == position
            out[here] = sums[groups[here]]
    return out


@dataclass(frozen=True)
class WorkingModel:
    """The linear model of the working responses: weights are the expected information about the linear predictor.

    Attributes
    ----------
    space : RowMap
    X : (n, p)
        Columns that move the linear predictor: those of the model, and the common level of thresholds.
    weights : (n,)
    factor : BlockFactor
        The equations of its random effects.
    """

    space: RowMap
    X: Array
    weights: Array
    factor: BlockFactor

    @classmethod
    def of(cls, fit: GeneralizedFit) -> WorkingModel:
        """The working model at the estimate."""
        problem, response, space = fit.problem, fit.response, fit.problem.model.space
        eta = fitted_predictor(fit.design, fit.beta, fit.modes)
        predictors = response.predictors(eta, response.matrices)
        weights = fit.family.expected_weights(problem.observed, predictors, response.phi)
        factor = factorize(cross_products(space.rows, weights), fit.at.state.factors)
        return cls(space, problem.level_columns, weights, factor)

    def predicted(self, weighted: Array) -> Array:
        """Return ``Z b`` (n, c) predicted from responses times their weights (n, c)."""
        side = self.space.collect(weighted)
        effects = self.space.solve(self.factor, side)[0] if weighted.shape[1] else side
        return np.array([self.space.spread(column) for column in effects.T]).reshape(weighted.shape[::-1]).T

    @cached_property
    def parts(self) -> LeverageParts:
        """What leverages are made of."""
        X, weights = self.X, self.weights
        predicted = self.predicted(weights[:, None] * X)
        inverse_X = weights[:, None] * (X - predicted)
        unscaled = np.asarray(np.linalg.inv(X.T @ inverse_X), dtype=float)
        own = weights * self.space.leverages(self.factor.inverse)
        return LeverageParts(X, inverse_X, predicted, unscaled, own)

    def fitted(self, weighted: Array) -> Array:
        """Return the linear predictors (n,) fitted to responses times their weights (n,)."""
        predicted = self.predicted(weighted[:, None])[:, 0]
        beta = self.parts.unscaled @ (self.X.T @ weighted - self.parts.predicted.T @ weighted)
        return np.asarray(predicted + (self.X - self.parts.predicted) @ beta)


def _predicted_columns(rows: RowMap, effects: tuple[Array, ...], count: int) -> Array:
    """``Z Sigma Z' V^-1 X`` (n, p): what the random effects take of every column."""
    out = np.zeros((rows.rows.columns.shape[0], count))
    for j in range(count):
        out[:, j] = rows.spread(np.concatenate([np.zeros(0), *(part[:, :, j].ravel() for part in effects)]))
    return out
