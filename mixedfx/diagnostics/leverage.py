"""Leverages of a mixed model: how much every row pulls its own fitted value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.criterion.marginal import FamilyLikelihood
from mixedfx.criterion.residual import ResidualEvaluation
from mixedfx.diagnostics.checks import fitted_results
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.fitting.linear import LinearFit
from mixedfx.linalg.factor import BlockFactor, PatternInverse, factorize
from mixedfx.linalg.gram import Rows, cross_products
from mixedfx.linalg.rowwise import RowMap

__all__ = ["WorkingModel", "leverage"]

PROBES = 64  # columns that are whitened at a time


@dataclass(frozen=True)
class _LeverageParts:
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


def leverage(fit: Any) -> pd.DataFrame:
    """Return the leverage of every row: the diagonal of the matrix that makes fitted values of responses.

    Parameters
    ----------
    fit : MixedResults
        A generalised model is measured by its working linear model at the fit: the matrix makes the linear predictor
        of the working responses, with the expected information of the rows for weights.

    Returns
    -------
    DataFrame
        ``fixed``: through the fixed effects, ``random``: through the random effects, ``total``: their sum, which adds
        up to the effective number of parameters of the fit.

    Notes
    -----
    Where residuals are correlated the matrix is not symmetric, and a row with strongly correlated neighbours can have a
    leverage outside of 0 to 1.

    References
    ----------
    Demidenko & Stukel (2005), Stat. Med. 24, 893; Nobre & Singer (2011), J. Appl. Stat. 38, 1063; Pregibon (1981), Ann.
    Stat. 9, 705, for working weights.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.leverage(fit).sum().round(2)
    fixed      2.00
    random    27.02
    total     29.02
    dtype: float64
    """
    results = fitted_results(fit, "leverage")
    rows = (
        WorkingModel.of(results.solution).rows
        if isinstance(results.solution, GeneralizedFit)
        else _linear_rows(results.solution)
    )
    pulled = rows.inverse_X @ rows.unscaled
    fixed = np.einsum("ip,ip->i", rows.X, pulled)
    random = rows.own - np.einsum("ip,ip->i", rows.predicted, pulled)
    return pd.DataFrame({"fixed": fixed, "random": random, "total": fixed + random}, index=results.design.index)


def _linear_rows(fit: LinearFit) -> _LeverageParts:
    at, rows = fit.at, fit.problem.assembly.rows
    if isinstance(fit.point, ResidualEvaluation):
        return _structured_rows(fit.point)
    given = fit.problem.design.weights
    weights = np.ones(len(rows.columns)) if given is None else given
    X = rows.columns[:, :-1]
    predicted = _predicted_columns(RowMap(rows), at.column_effects, X.shape[1])
    own = weights * RowMap(rows).leverages(at.factor.inverse)
    return _LeverageParts(X, weights[:, None] * (X - predicted), predicted, at.unscaled_cov, own)


def _structured_rows(point: ResidualEvaluation) -> _LeverageParts:
    """With correlated residuals ``R^-1`` mixes rows, but only within levels of all grouping factors."""
    rows, bound = point.criterion.rows, point.criterion.residual
    X, at = rows.columns[:, :-1], point.linear
    predicted = _predicted_columns(RowMap(rows), at.column_effects, X.shape[1])
    inverse_X = _precision_times(bound, point.rho, X - predicted)
    z = [_precision_times(bound, point.rho, part.T).T for part in rows.z]
    return _LeverageParts(X, inverse_X, predicted, at.unscaled_cov, _bilinear(rows, z, at.factor.inverse))


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
        problem, state = fit.problem, fit.at.state
        likelihood, space = problem.model.likelihood, problem.model.space
        assert isinstance(likelihood, FamilyLikelihood)
        arguments = likelihood.arguments(state.mode.eta, state.auxiliary)
        weights = problem.family.expected_weights(problem.observed, *arguments)
        factor = factorize(cross_products(space.rows, weights), state.factors)
        return cls(space, problem.model.X, weights, factor)

    def predicted(self, weighted: Array) -> Array:
        """Return ``Z b`` (n, c) predicted from responses times their weights (n, c)."""
        side = self.space.collect(weighted)
        effects = self.space.solve(self.factor, side)[0] if weighted.shape[1] else side
        return np.array([self.space.spread(column) for column in effects.T]).reshape(weighted.shape[::-1]).T

    @cached_property
    def rows(self) -> _LeverageParts:
        """What leverages are made of."""
        X, weights = self.X, self.weights
        predicted = self.predicted(weights[:, None] * X)
        inverse_X = weights[:, None] * (X - predicted)
        unscaled = np.asarray(np.linalg.inv(X.T @ inverse_X), dtype=float)
        own = weights * self.space.leverages(self.factor.inverse)
        return _LeverageParts(X, inverse_X, predicted, unscaled, own)

    def fitted(self, weighted: Array) -> Array:
        """Return the linear predictors (n,) fitted to responses times their weights (n,)."""
        predicted = self.predicted(weighted[:, None])[:, 0]
        beta = self.rows.unscaled @ (self.X.T @ weighted - self.rows.predicted.T @ weighted)
        return np.asarray(predicted + (self.X - self.rows.predicted) @ beta)


def _predicted_columns(rows: RowMap, effects: tuple[Array, ...], count: int) -> Array:
    """``Z Sigma Z' V^-1 X`` (n, p): what the random effects take of every column."""
    out = np.zeros((rows.rows.columns.shape[0], count))
    for j in range(count):
        out[:, j] = rows.spread(np.concatenate([np.zeros(0), *(part[:, :, j].ravel() for part in effects)]))
    return out
