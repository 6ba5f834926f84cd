"""Responses that depend on more than one linear predictor: categories by thresholds, means with extra zeros."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import linalg

from mixedfx._typing import Array, IntArray
from mixedfx.design import FixedEffects
from mixedfx.families import Ordinal
from mixedfx.families.base import Family
from mixedfx.families.zero_inflated import ExtraZeros
from mixedfx.inference.denominator import Asymptotic
from mixedfx.linalg.quadrature import hermite_rule
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import FittedModel, fixed_df
from mixedfx.results.generalized import GeneralizedLinearMixedResults

__all__ = ["Outcome", "has_outcome", "outcome_of"]

NODES = 61
STEP = 1e-3  # of differences of fourth order, in units of a linear predictor or of an unbounded parameter

Values = Callable[[Array, Array], Array]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the response does at given linear predictors and family-wide parameters.

    Attributes
    ----------
    values : callable
        From linear predictors (…, n, K) and family-wide parameters (m,) to means (…, n, 1) or to probabilities of the
        categories (…, n, C).
    further : tuple of FixedEffects
        Columns of the further linear predictors.
    coefficients : tuple of (k,)
        Of each of them.
    phi : (m,)
        Family-wide parameters on their unbounded scales.
    name : str
        Of the response.
    categories : tuple
        Labels of the categories; empty for a mean.
    model : FittedModel
        The fit with all its parameters: those of the linear predictors in turn, then the family-wide ones.
    """

    values: Values
    further: tuple[FixedEffects, ...]
    coefficients: tuple[Array, ...]
    phi: Array
    name: str
    categories: tuple[Hashable, ...]
    model: FittedModel

    def of(self, linear: Functions, data: pd.DataFrame, variance: Array) -> list[Functions]:
        """Return the mean of every row, or the probability of each category in turn.

        Parameters
        ----------
        linear : Functions
            The first linear predictor of every row.
        data : DataFrame
        variance : (n,)
            Of the random effects that are averaged over; zero where they are held at zero.
        """
        columns = [fixed.encode_full(data) for fixed in self.further]
        etas = [linear.values]
        etas += [x[:, f.kept] @ b for x, f, b in zip(columns, self.further, self.coefficients, strict=True)]
        predictors = np.stack(etas, axis=-1)
        moves = STEP * np.eye(predictors.shape[1])
        by_eta = [self._slope(predictors, variance, move, np.zeros(self.phi.size)) for move in moves]
        by_phi = [self._slope(predictors, variance, 0.0 * moves[0], shift) for shift in STEP * np.eye(self.phi.size)]
        found = self._mean(predictors, self.phi, variance)
        out = []
        for j in range(found.shape[-1]):
            blocks = [slope[:, j, None] * x for slope, x in zip(by_eta, [linear.rows, *columns], strict=True)]
            blocks += [slope[:, j, None] for slope in by_phi]
            out.append(Functions(self.model, found[:, j], np.hstack(blocks)))
        return out

    def _slope(self, predictors: Array, variance: Array, move: Array, shift: Array) -> Array:
        """Return the derivative (n, C) in a direction: central differences of fourth order."""
        at = {k: self._mean(predictors + k * move, self.phi + k * shift, variance) for k in (-2, -1, 1, 2)}
        return (8.0 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12.0 * STEP)

    def _mean(self, predictors: Array, phi: Array, variance: Array) -> Array:
        if not variance.any():
            return self.values(predictors, phi)
        rule = hermite_rule(NODES, 1)
        weights = np.exp(rule.log_weights - rule.nodes[:, 0] ** 2) / np.sqrt(np.pi)
        moved = np.broadcast_to(predictors, (NODES, *predictors.shape)).copy()
        moved[..., 0] += np.sqrt(2.0 * variance) * rule.nodes
        return np.asarray(np.einsum("q,qnc->nc", weights, self.values(moved, phi)))


def has_outcome(fit: GeneralizedLinearMixedResults) -> bool:
    """Say whether the response of a fit depends on more than its linear predictor."""
    return isinstance(fit.fit.problem.family, Ordinal | ExtraZeros)


def outcome_of(fit: GeneralizedLinearMixedResults, model: FittedModel, df: float | None) -> Outcome:
    """Return the outcome of a fit.

    Parameters
    ----------
    fit : GeneralizedLinearMixedResults
    model : FittedModel
        Its first linear predictor.
    df : float, optional
        Degrees of freedom of all tests; z tests if omitted.
    """
    problem = fit.fit.problem
    family, estimate = problem.family, np.asarray(problem.to_user(fit.fit.x), dtype=float)
    everything, m = np.arange(estimate.size), len(family.phi_names)
    slices = [problem.component_slices[c.name] for c in problem.components]
    further = tuple(fit.model.components[c.name] for c in problem.components)
    places = [*(everything[own] for own in slices), everything[estimate.size - m :]]
    covariance = _covariance(fit, np.concatenate([np.arange(len(model.beta)), *places]))
    own_kept = [(fixed.kept, len(fixed.full_names)) for fixed in further]
    sizes = np.cumsum([len(model.null), *(count for _, count in own_kept)])
    kept = [model.kept, *(k + start for (k, _), start in zip(own_kept, sizes)), np.arange(m) + sizes[-1]]
    whole = replace(
        model,
        beta=np.concatenate([model.beta, *(estimate[own] for own in places)]),
        denominator=Asymptotic(covariance) if df is None else fixed_df(covariance, df, model.denominator.label),
        kept=np.concatenate(kept).astype(np.intp),
        null=linalg.block_diag(model.null, *(f.silent() for f in further), np.zeros((m, 0))),
    )
    categories: tuple[Hashable, ...] = ()
    if isinstance(family, Ordinal):
        categories = tuple(problem.design.response.categories or range(family.n_categories))
    return Outcome(
        _values(family),
        further,
        tuple(estimate[own] for own in slices),
        estimate[estimate.size - m :],
        problem.design.response.name,
        categories,
        whole,
    )


def _values(family: Family) -> Values:
    if isinstance(family, Ordinal):
        return lambda predictors, phi: family.probabilities(predictors[..., 0], phi)
    several = len(family.predictors) > 1
    return lambda predictors, phi: family.mean(predictors if several else predictors[..., 0], phi)[..., None]


def _covariance(fit: GeneralizedLinearMixedResults, places: IntArray) -> Array:
    """Return the covariance of some parameters; one that is held at the end of its range counts as known."""
    covariance = fit.fit.covariance[np.ix_(places, places)]
    return np.where(np.isnan(covariance), 0.0, covariance)
