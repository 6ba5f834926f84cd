"""The mean of the response, or its category probabilities, as functions of all parameters, variances included."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import linalg

from mixedfx._typing import Array
from mixedfx.families import Family
from mixedfx.families.mean_function import MeanFunction, MeanModel, has_link_scale, limits_of_mean
from mixedfx.fitting.fit import Fit
from mixedfx.fitting.likelihood import NormalVariances
from mixedfx.inference.denominator import Asymptotic
from mixedfx.inference.smooths import smooth_errors
from mixedfx.marginal_means.functions import Coefficients, Functions, WiderDenominator
from mixedfx.marginal_means.labels import Limits
from mixedfx.marginal_means.scales import MeanScale
from mixedfx.matrices import Design
from mixedfx.matrices.new_rows import averaged_columns, linear_predictor_variance
from mixedfx.results.adapted import AdaptedFit, fixed_df

__all__ = ["OutcomeModel", "outcome_of", "outcome_of_transformed"]

STEP = 1e-5  # of differences of variances in their parameters


class OutcomeModel(ABC):
    """The mean of the response, or its category probabilities, at given rows and first linear predictors.

    Attributes
    ----------
    name : str
        Of the response.
    categories : tuple
        Labels of the categories; empty for a mean.
    is_inverse_link : bool
        Whether the mean is the inverse link of the linear predictor, and nothing else.
    """

    name: str
    categories: tuple[Hashable, ...] = ()
    is_inverse_link: bool = True

    @abstractmethod
    def of(self, linear: Functions, data: pd.DataFrame, *, integrate: bool) -> list[Functions]:
        """Return the mean of every row, or the probability of each category in turn.

        Parameters
        ----------
        linear : Functions
            The first linear predictor of every row (n,).
        data : DataFrame
        integrate : bool
            Average over the distribution of the random effects instead of holding them at zero. The standard errors
            then include the uncertainty of the variances.
        """

    @property
    def is_on_link(self) -> bool:
        """Whether the link has no edge and the range of the mean, so that intervals of means are made on its scale."""
        return True

    @property
    def limits(self) -> Limits | None:
        """What makes intervals of means within their range; None where the scale of the tests does."""
        return None

    def latent(self, linear: Functions) -> Functions:
        """Return the linear predictor of every row less the origin of the latent variable, if there are categories."""
        return linear


# ---------------------------------------------------------------- a family
@dataclass(frozen=True, eq=False)
class FamilyOutcome(OutcomeModel):
    """The response of a family, by all parameters of a fit.

    Attributes
    ----------
    fit : Fit
    parts : tuple of MeanModel
        The mean, or the probability of each category in turn.
    coefficients : Coefficients
        Of the first linear predictor, of the further ones in turn, and the parameters (k,) of
        ``fit.error_covariance``, on the inner scale.
    name, categories, is_inverse_link
        As of every outcome.
    """

    fit: Fit
    parts: tuple[MeanModel, ...]
    coefficients: Coefficients
    name: str
    categories: tuple[Hashable, ...]
    is_inverse_link: bool

    @property
    def is_on_link(self) -> bool:
        """Whether the link has no edge and the range of the mean."""
        return has_link_scale(self.fit.family)

    @property
    def limits(self) -> Limits | None:
        """What makes intervals of means within their range, as those of predictions are made."""
        return partial(limits_of_mean, self.fit.family)

    def of(self, linear: Functions, data: pd.DataFrame, *, integrate: bool) -> list[Functions]:
        """Return the mean of every row, or the probability of each category in turn."""
        fit, n = self.fit, len(data)
        columns = {name: fixed.encode_full(data) for name, fixed in fit.components.items()}
        kept = {name: columns[name][:, fixed.kept] for name, fixed in fit.components.items()}
        further = fit.response.predictors(linear.values, kept).reshape(n, -1)[:, 1:]
        variance, by_errors = np.zeros(n), np.zeros((n, len(fit.error_covariance)))
        if integrate:
            variance = fit.integrated_variance(averaged_columns(fit.design), data)
            by_errors = fit.variance_slopes(averaged_columns(fit.design), data)
        out = []
        for part in self.parts:
            function = MeanFunction(part, further, variance)
            slopes = function.slopes(linear.values)
            errors = slopes.variance[:, None] * by_errors
            if slopes.phi.shape[1]:
                errors += slopes.phi @ fit.phi_slopes
            others = [slope[:, None] * x for slope, x in zip(slopes.further.T, columns.values(), strict=True)]
            rows = np.hstack([slopes.eta[:, None] * linear.rows, *others, errors])
            out.append(Functions(self.coefficients, function(linear.values), rows))
        return out

    def latent(self, linear: Functions) -> Functions:
        """Return the linear predictor of every row less the mean threshold, which does not depend on any coding."""
        phi = self.fit.response.phi
        thresholds, jacobian = self.fit.family.natural(phi)
        rows = np.pad(linear.rows, [(0, 0), (0, len(self.coefficients.silent) - linear.rows.shape[1])])
        rows[:, rows.shape[1] - self.fit.phi_slopes.shape[1] :] -= jacobian.mean(axis=0) @ self.fit.phi_slopes
        return Functions(self.coefficients, linear.values - np.mean(list(thresholds.values())), rows)


@dataclass(frozen=True, eq=False)
class Category:
    """The probability of one category."""

    family: Family
    phi: Array
    number: int

    def mean_at(self, predictors: Array, phi: Array) -> Array:
        """Return the probability (…, n)."""
        return self.family.probabilities(predictors, phi)[..., self.number]


def outcome_of(fit: Fit, adapted: AdaptedFit, coefficients: Coefficients) -> OutcomeModel:
    """Return the outcome of a fit.

    Parameters
    ----------
    fit : Fit
    adapted : AdaptedFit
        The same one with its rows.
    coefficients : Coefficients
        Of its first linear predictor.
    """
    family, response = fit.family, fit.response
    parts: tuple[MeanModel, ...] = (response,)
    categories: tuple[Hashable, ...] = ()
    if family.has_categories:
        parts = tuple(Category(family, response.phi, j) for j in range(family.n_categories))
        categories = tuple(fit.design.response.categories or range(1, family.n_categories + 1))
    whole = _with_all_parameters(fit, coefficients, adapted.df)
    is_inverse_link = not categories and adapted.mean_is_inverse_link
    return FamilyOutcome(fit, parts, whole, fit.design.response.name, categories, is_inverse_link)


def _with_all_parameters(fit: Fit, coefficients: Coefficients, df: float | None) -> Coefficients:
    """Return the coefficients of all linear predictors and, behind them, the inner parameters of the fit's errors."""
    components = fit.components
    units = {name: np.eye(len(fixed.kept)) for name, fixed in components.items()}
    k = len(fit.error_covariance)
    bent, left = smooth_errors(fit)
    slopes = np.vstack([fit.beta_slopes, bent, *fit.component_slopes(units), np.eye(k)])
    sizes = [len(coefficients.silent), *(len(fixed.full_names) for fixed in components.values())]
    starts = np.cumsum(sizes)
    kept = [fixed.kept + start for fixed, start in zip(components.values(), starts)]
    covariance, label = _moved(fit.error_covariance, slopes), coefficients.denominator.label
    own = slice(fit.beta.size, fit.beta.size + len(left))
    covariance[own, own] += left
    return Coefficients(
        np.concatenate([coefficients.beta, np.zeros(len(slopes) - len(coefficients.beta))]),
        Asymptotic(covariance) if df is None else fixed_df(covariance, df, label),
        np.concatenate([coefficients.kept, *kept, np.arange(k) + starts[-1]]).astype(np.intp),
        linalg.block_diag(coefficients.silent, *(f.silent() for f in components.values()), np.zeros((k, 0))),
        notes=coefficients.notes,
    )


def _moved(covariance: Array, slopes: Array) -> Array:
    """Return ``S V S'``, nan where it depends on parameters whose entries of ``V`` (k, k) are nan."""
    unknown = np.isnan(covariance.diagonal())
    out = slopes @ np.where(np.isnan(covariance), 0.0, covariance) @ slopes.T
    touched = np.abs(slopes) @ unknown.astype(float) > 0
    out[touched] = np.nan
    out[:, touched] = np.nan
    return np.asarray(out)


# ---------------------------------------------------------------- a transformed response
@dataclass(frozen=True, eq=False)
class TransformedOutcome(OutcomeModel):
    """The untransformed response: the transformation is undone before averaging.

    Attributes
    ----------
    design : Design
    scale : MeanScale
        The transformation.
    variances : NormalVariances
        On the transformed scale; averages are over the residual too.
    coefficients : Coefficients
        Of the linear predictor, and behind them the independent parameters of the variances, on the inner scale.
    name : str
    """

    design: Design
    scale: MeanScale
    variances: NormalVariances
    coefficients: Coefficients
    name: str

    @property
    def phi(self) -> Array:
        """There are no family-wide parameters."""
        return np.zeros(0)

    def mean_at(self, predictors: Array, phi: Array) -> Array:
        """Return the response (…, n)."""
        return self.scale.inverse(predictors)[0]

    def of(self, linear: Functions, data: pd.DataFrame, *, integrate: bool) -> list[Functions]:
        """Return the mean of every row."""
        at = self.variances.phi
        moves = STEP * np.eye(at.size)
        variance = self._variance(data, at) if integrate else np.zeros(len(data))
        by_parameter = [self._variance(data, at + s) - self._variance(data, at - s) for s in moves]
        function = MeanFunction(self, np.zeros((len(data), 0)), variance)
        slopes = function.slopes(linear.values)
        of_variances = slopes.variance[:, None] * np.stack(by_parameter, axis=1) / (2.0 * STEP)
        rows = np.hstack([slopes.eta[:, None] * linear.rows, of_variances])
        return [Functions(self.coefficients, function(linear.values), rows)]

    def _variance(self, data: pd.DataFrame, parameters: Array) -> Array:
        covariances, residual = self.variances.at(parameters)
        return residual + linear_predictor_variance(self.design, covariances, averaged_columns(self.design), data)


def outcome_of_transformed(
    design: Design, scale: MeanScale, variances: NormalVariances, coefficients: Coefficients
) -> OutcomeModel:
    """Return the outcome of a normal model of a transformed response."""
    t = variances.phi.size
    whole = replace(
        coefficients,
        beta=np.concatenate([coefficients.beta, variances.phi]),
        denominator=WiderDenominator(coefficients.denominator, variances.covariance),
        kept=np.concatenate([coefficients.kept, np.arange(t) + len(coefficients.silent)]).astype(np.intp),
        silent=linalg.block_diag(coefficients.silent, np.zeros((t, 0))),
        usual_rows=None,
    )
    return TransformedOutcome(design, scale, variances, whole, design.response.name)
