"""What the response does: its mean or its categories as functions of every parameter of the fit, variances included."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import linalg

from mixedfx._typing import Array
from mixedfx.families import Family
from mixedfx.families.mean_function import MeanFunction, MeanModel
from mixedfx.fitting.response import ResponseModel
from mixedfx.inference.denominator import Asymptotic
from mixedfx.marginal_means.functions import Functions, WiderDenominator
from mixedfx.marginal_means.model import FittedModel, fixed_df
from mixedfx.marginal_means.scales import MeanScale
from mixedfx.matrices import FixedEffects
from mixedfx.results.generalized import GeneralizedLinearMixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["Outcome", "outcome_of", "outcome_of_transformed"]

STEP = 1e-5  # of differences of variances in their parameters
SAME = 1e-10  # relative difference of a mean from the inverse link that is rounding

Variance = Callable[[pd.DataFrame, Array], Array]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the response does at given linear predictors, family-wide parameters and variances.

    Attributes
    ----------
    parts : tuple of MeanModel
        The mean, or the probability of each category in turn.
    further : tuple of FixedEffects
        Columns of the further linear predictors.
    coefficients : tuple of (k,)
        Of each of them.
    variance : callable
        From rows and variance parameters to the variance (n,) of the linear predictor between groups.
    theta : (t,)
        The variance parameters.
    name : str
        Of the response.
    categories : tuple
        Labels of the categories; empty for a mean.
    is_inverse_link : bool
        Whether the mean is the inverse link of the linear predictor, and nothing else.
    cut : Functions or None
        The mean of the thresholds of ordered categories: the origin of the latent variable.
    model : FittedModel
        The fit with all its parameters: those of the linear predictors in turn, the family-wide ones, the variances'.
    """

    parts: tuple[MeanModel, ...]
    further: tuple[FixedEffects, ...]
    coefficients: tuple[Array, ...]
    variance: Variance
    theta: Array
    name: str
    categories: tuple[Hashable, ...]
    is_inverse_link: bool
    cut: Functions | None
    model: FittedModel

    def of(self, linear: Functions, data: pd.DataFrame, *, integrate: bool) -> list[Functions]:
        """Return the mean of every row, or the probability of each category in turn.

        Parameters
        ----------
        linear : Functions
            The first linear predictor of every row.
        data : DataFrame
        integrate : bool
            Average over the distribution of the random effects, instead of holding them at zero. The variances move
            with what is estimated: they count in the standard errors.
        """
        columns = [fixed.encode_full(data) for fixed in self.further]
        etas = [x[:, f.kept] @ b for x, f, b in zip(columns, self.further, self.coefficients, strict=True)]
        further = np.stack(etas, axis=-1) if etas else np.zeros((len(data), 0))
        variance, by_theta = np.zeros(len(data)), np.zeros((len(data), self.theta.size))
        if integrate:
            variance, by_theta = self.variance(data, self.theta), self._variance_slopes(data)
        out = []
        for part in self.parts:
            function = MeanFunction(part, further, variance)
            slopes = function.slopes(linear.values)
            rows = [
                slopes.eta[:, None] * linear.rows,
                *(own[:, None] * x for own, x in zip(slopes.further.T, columns, strict=True)),
                slopes.phi,
                slopes.variance[:, None] * by_theta,
            ]
            out.append(Functions(self.model, function(linear.values), np.hstack(rows)))
        return out

    def _variance_slopes(self, data: pd.DataFrame) -> Array:
        moves = STEP * np.eye(self.theta.size)
        slopes = [self.variance(data, self.theta + s) - self.variance(data, self.theta - s) for s in moves]
        return np.array(slopes).reshape(self.theta.size, len(data)).T / (2.0 * STEP)

    def latent(self, linear: Functions) -> Functions:
        """Return the latent variable of every row less the mean threshold, which does not depend on any coding."""
        assert self.cut is not None
        rows = np.pad(linear.rows, [(0, 0), (0, self.cut.rows.shape[1] - linear.rows.shape[1])])
        return Functions(self.model, linear.values - self.cut.values, rows - self.cut.rows)


@dataclass(frozen=True, eq=False)
class Category:
    """The probability of one category."""

    family: Family
    phi: Array
    number: int

    def mean_at(self, predictors: Array, phi: Array) -> Array:
        """Return the probability (…, n)."""
        return self.family.probabilities(predictors, phi)[..., self.number]


@dataclass(frozen=True, eq=False)
class Untransformed:
    """The response behind a transformed one: the transformation is undone before it is averaged."""

    scale: MeanScale
    phi: Array

    def mean_at(self, predictors: Array, phi: Array) -> Array:
        """Return the response (…, n)."""
        return self.scale.inverse(predictors)[0]


def outcome_of(fit: GeneralizedLinearMixedResults, model: FittedModel, df: float | None, variance: Variance) -> Outcome:
    """Return the outcome of a generalised fit.

    Parameters
    ----------
    fit : GeneralizedLinearMixedResults
    model : FittedModel
        Its first linear predictor.
    df : float, optional
        Degrees of freedom of all tests; z tests if omitted.
    variance : callable
        From rows and all parameters on the inner scale to the variance of the linear predictor.
    """
    problem, x = fit.solution.problem, fit.solution.x
    family, estimate = problem.family, np.asarray(problem.to_user(x), dtype=float)
    response, m = fit.solution.response, len(family.phi_names)
    own = problem.theta_slice
    slices = [problem.component_slices[c.name] for c in problem.components]
    further = tuple(fit.model.components[c.name] for c in problem.components)
    everything = np.arange(estimate.size)
    beta_places = everything[: len(model.beta)]
    places = [beta_places, *(everything[s] for s in slices), everything[estimate.size - m :], everything[own]]
    covariance = _covariance(fit)[np.ix_(np.concatenate(places), np.concatenate(places))]
    whole = _widened(
        replace(
            model,
            denominator=Asymptotic(covariance) if df is None else fixed_df(covariance, df, model.denominator.label),
        ),
        further,
        [estimate[p] for p in places[1:-1]] + [x[own]],
    )

    def spread(data: pd.DataFrame, theta: Array) -> Array:
        moved = x.copy()
        moved[own] = theta
        return variance(data, moved)

    parts: tuple[MeanModel, ...] = (response,)
    categories: tuple[Hashable, ...] = ()
    cut = None
    if family.has_categories:
        parts = tuple(Category(family, response.phi, j) for j in range(family.n_categories))
        categories = tuple(problem.design.response.categories or range(1, family.n_categories + 1))
        cut = _mean_threshold(family, response.phi, whole, len(model.null))
    return Outcome(
        parts,
        further,
        tuple(estimate[s] for s in slices),
        spread,
        x[own],
        problem.design.response.name,
        categories,
        not categories and _is_inverse_link(fit, response),
        cut,
        whole,
    )


def outcome_of_transformed(
    fit: LinearMixedResults, model: FittedModel, variance: Variance, theta: Array, covariance: Array
) -> Outcome:
    """Return the outcome of a linear mixed model whose response was transformed.

    Parameters
    ----------
    fit : LinearMixedResults
    model : FittedModel
    variance : callable
        From rows and variance parameters to the variance of the response on its transformed scale.
    theta, covariance : (t,), (t, t)
        The variance parameters and their covariance. The fixed effects are uncorrelated with them.
    """
    denominator = WiderDenominator(model.denominator, covariance)
    whole = _widened(replace(model, denominator=denominator), (), [theta])
    part = Untransformed(model.scale, np.zeros(0))
    return Outcome((part,), (), (), variance, theta, fit.design.response.name, (), True, None, whole)


def _widened(model: FittedModel, further: tuple[FixedEffects, ...], others: list[Array]) -> FittedModel:
    """Return the model with further linear predictors and other parameters behind its coefficients."""
    n_other = sum(part.size for part in others[len(further) :])
    starts = np.cumsum([len(model.null), *(len(fixed.full_names) for fixed in further)])
    kept = [model.kept, *(f.kept + start for f, start in zip(further, starts)), np.arange(n_other) + starts[-1]]
    return replace(
        model,
        beta=np.concatenate([model.beta, *others]),
        kept=np.concatenate(kept).astype(np.intp),
        null=linalg.block_diag(model.null, *(f.silent() for f in further), np.zeros((n_other, 0))),
        write=None,
    )


def _covariance(fit: GeneralizedLinearMixedResults) -> Array:
    """Return the covariance (k, k) of all parameters, those of the variances on the inner scale.

    What is held at the end of its range counts as known; fixed effects without information are nan.
    """
    problem, inner = fit.solution.problem, fit.solution.known_covariance
    jacobian, own = problem.jacobian_to_user(fit.solution.x).copy(), problem.theta_slice
    jacobian[own] = np.eye(len(jacobian))[own]
    unknown = np.isnan(inner.diagonal())
    out = jacobian @ np.where(np.isnan(inner), 0.0, inner) @ jacobian.T
    touched = np.abs(jacobian) @ unknown.astype(float) > 0
    out[touched] = np.nan
    out[:, touched] = np.nan
    return np.asarray(out)


def _mean_threshold(family: Family, phi: Array, model: FittedModel, n_linear: int) -> Functions:
    thresholds, jacobian = family.natural(phi)
    rows = np.zeros((1, len(model.null)))
    rows[0, n_linear : n_linear + phi.size] = jacobian.mean(axis=0)
    return Functions(model, np.array([np.mean(list(thresholds.values()))]), rows)


def _is_inverse_link(fit: GeneralizedLinearMixedResults, response: ResponseModel) -> bool:
    """Say whether the mean of the fitted rows is the inverse link of the first linear predictor."""
    predictors = fit.linear_predictors
    own = predictors if predictors.shape[1] > 1 else predictors[:, 0]
    mean, plain = response.mean(own), np.asarray(response.family.link.inverse(predictors[:, 0], 0)[0])
    return bool(np.all(np.abs(mean - plain) <= SAME * np.abs(plain)))
