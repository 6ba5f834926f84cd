"""Predictions of a generalised mixed model with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_alpha
from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.families.mean_function import MeanFunction, MeanSlopes, limits_on_unbounded_scale
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.results.predicted_responses import PredictedResponses
from mixedfx.results.prediction import SHOWN, short_table
from mixedfx.results.predictor_errors import PredictorErrors, known_covariance
from mixedfx.results.response import ResponseModel

__all__ = ["GeneralizedPrediction", "generalized_prediction"]

SCALES = ("mean", "linear", "effect")


@dataclass(frozen=True)
class Effects:
    """The random effects that are not included.

    Attributes
    ----------
    variance : (n,)
        Of the linear predictor.
    slope : (n,)
        Derivative of the mean in the linear predictor.
    """

    variance: Array
    slope: Array


@dataclass(frozen=True, repr=False)
class GeneralizedPrediction:
    """Predicted means with intervals that never leave the range of the mean; made by ``fit.get_prediction``.

    Attributes
    ----------
    linear : Series
        Linear predictors of the mean.
    se_linear : (n,) array
        Their standard errors.
    se : (n,) array
        Standard errors of the means.
    mean : MeanFunction
    of_eta_only : bool
        Whether the mean is a function of the linear predictor alone.
    responses : PredictedResponses
        Draws of new responses.
    effects : Effects
        How far the mean of a new group may lie.
    notes : tuple of str
        What is unknown or assumed, in words.
    averaged : bool
        Whether the means are averages over the distribution of the random effects.
    """

    linear: pd.Series[float]
    se_linear: Array
    se: Array
    mean: MeanFunction
    of_eta_only: bool
    responses: PredictedResponses
    effects: Effects
    notes: tuple[str, ...] = ()
    averaged: bool = False

    @property
    def _eta(self) -> Array:
        return np.asarray(self.linear, dtype=np.float64)

    @property
    def predicted_mean(self) -> pd.Series[float]:
        """Means (n,)."""
        return pd.Series(self.mean(self._eta), index=self.linear.index, name="mean")

    @property
    def se_mean(self) -> pd.Series[float]:
        """Standard errors of the means (n,), by the delta method."""
        return pd.Series(self.se, index=self.linear.index, name="mean_se")

    def conf_int(self, alpha: float = 0.05, *, obs: bool = False, which: str = "mean", seed: int = 0) -> pd.DataFrame:
        """Return the limits for the mean, for the linear predictor, or for a new observation.

        Parameters
        ----------
        alpha : float
            One minus the level.
        obs : bool
            For a new observation: quantiles of simulated responses.
        which : str
            ``"mean"``, ``"linear"`` (predictor), or ``"effect"``: where the mean of a group that is not known lies, the
            random effects that are not included being drawn from their distribution.
        seed : int
            Of the simulation; all rows start from it, so that no row's limits depend on the others.

        Notes
        -----
        Limits for the mean are those of the linear predictor, transformed. Where the mean depends on more than one
        linear predictor (zero inflation), on thresholds, or is integrated over random effects, they are computed on
        the logarithm (positive means) or logit (means within a range) of the mean.
        """
        if which not in SCALES:
            raise SpecificationError(f"which is one of {', '.join(map(repr, SCALES))}; found {which!r}")
        alpha = checked_alpha(alpha)
        z = float(special.ndtri(1.0 - 0.5 * alpha))
        se_linear, se = self.se_linear, self.se
        if which == "effect":
            if self.averaged:
                raise SpecificationError(
                    "which='effect' is about one group, integrate=True about the average of all: leave one out"
                )
            se_linear, se = self._se_effect()
        low, high = self._eta - z * se_linear, self._eta + z * se_linear
        if obs:
            low, high = self.responses.limits(alpha, seed)
        elif which != "linear" and self.of_eta_only:
            ends = np.stack([self.mean(low), self.mean(high)])
            low, high = ends.min(axis=0), ends.max(axis=0)
        elif which != "linear":
            family = self.responses.response.problem.family
            low, high = limits_on_unbounded_scale(family, self.mean(self._eta), z * se)
        return pd.DataFrame({"lower": low, "upper": high}, index=self.linear.index)

    def _se_effect(self) -> tuple[Array, Array]:
        """Standard errors (n,) of the linear predictor and of the mean of a new group."""
        own = self.effects
        se_linear = np.sqrt(self.se_linear**2 + own.variance)
        return se_linear, np.sqrt(self.se**2 + own.slope**2 * own.variance)

    def summary_frame(self, alpha: float = 0.05, *, which: str = "mean") -> StatsTable:
        """Return a table: mean, its standard error, confidence limits of the mean and of a new observation.

        Parameters
        ----------
        alpha : float
            One minus the level.
        which : str
            ``"mean"``; ``"linear"`` for the linear predictor; ``"effect"`` for the mean of a new group.

        Returns
        -------
        StatsTable
            Columns ``mean, mean_se, mean_ci_lower, mean_ci_upper, obs_ci_lower, obs_ci_upper``; with
            ``which="linear"`` ``linear, linear_se, linear_ci_lower, linear_ci_upper``, with ``which="effect"``
            ``mean, effect_se, effect_ci_lower, effect_ci_upper``. The limits for an observation
            are nan where a binomial response lacks its trials.
        """
        limits = self.conf_int(alpha, which=which)
        value, se = {
            "mean": (self.predicted_mean, self.se),
            "linear": (self.linear, self.se_linear),
            "effect": (self.predicted_mean, self._se_effect()[1]),
        }[which]
        columns = {
            "linear" if which == "linear" else "mean": value,
            f"{which}_se": se,
            f"{which}_ci_lower": limits["lower"],
            f"{which}_ci_upper": limits["upper"],
        }
        if which == "mean":
            obs = self.conf_int(alpha, obs=True)
            columns |= {"obs_ci_lower": obs["lower"], "obs_ci_upper": obs["upper"]}
        return StatsTable.from_frame(pd.DataFrame(columns, index=self.linear.index), notes=self.notes)

    def _shown(self) -> StatsTable:
        """The first rows, without drawing responses of the others."""
        at = slice(0, SHOWN)
        few = replace(
            self,
            linear=self.linear.iloc[at],
            se_linear=self.se_linear[at],
            se=self.se[at],
            mean=replace(self.mean, further=self.mean.further[at], variance=self.mean.variance[at]),
            responses=self.responses.taken(at),
            effects=Effects(self.effects.variance[at], self.effects.slope[at]),
        )
        return short_table(few.summary_frame(), len(self.linear))

    def __repr__(self) -> str:
        return str(self._shown())

    def _repr_html_(self) -> str:
        return self._shown()._repr_html_()


def generalized_prediction(
    fit: GeneralizedFit,
    response: ResponseModel,
    linear: pd.Series[float],
    errors: PredictorErrors,
    matrices: dict[str, Array],
    averaging: tuple[Array, Array],
    prior: Array | None,
) -> GeneralizedPrediction:
    """Put the prediction of some rows together.

    Parameters
    ----------
    fit : GeneralizedFit
    response : ResponseModel
    linear : Series
        First linear predictors.
    errors : PredictorErrors
    matrices : dict
        Columns (n, k) of every further linear predictor.
    averaging : (n,), (n, k)
        Variance of the random effects that are integrated out, and its derivatives in all parameters.
    prior : (n,) array or None
        Trials or precision weights of new responses; nan where they are unknown.
    """
    eta, root = np.asarray(linear, dtype=np.float64), _root(known_covariance(fit))
    further = response.predictors(eta, matrices)[..., 1:] if matrices else np.zeros((eta.size, 0))
    mean = MeanFunction(response, further, averaging[0])
    slopes, phi = mean.slopes(eta), len(fit.problem.family.phi_names)
    others = _component_slopes(fit, matrices, eta.size)
    moved = _mean_slopes(slopes, errors.slopes, others, averaging[1], phi) @ root
    own = errors.slopes @ root
    with np.errstate(invalid="ignore"):  # rows with missing predictors
        se_linear = np.sqrt(np.einsum("ir,ir->i", own, own) + errors.conditional)
        se = np.sqrt(np.einsum("ir,ir->i", moved, moved) + slopes.eta**2 * errors.conditional)
    responses = PredictedResponses(
        response,
        eta,
        further,
        np.stack([own, *(part @ root for part in others)], axis=1),
        root[root.shape[0] - phi :],
        np.sqrt(errors.conditional + errors.outside),
        prior,
    )
    effects = Effects(errors.outside, slopes.eta)
    return GeneralizedPrediction(linear, se_linear, se, mean, slopes.of_eta_only, responses, effects)


def _root(covariance: Array) -> Array:
    """``R`` with ``R R'`` the covariance; nan throughout if that has a nan."""
    if np.isnan(covariance).any():
        return np.full_like(covariance, np.nan)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _component_slopes(fit: GeneralizedFit, matrices: dict[str, Array], n: int) -> list[Array]:
    """Derivatives (n, k) of every further linear predictor in all parameters on the inner scale."""
    problem, found = fit.problem, []
    for component, basis in zip(problem.components, problem.bases[1:], strict=True):
        slopes = np.zeros((n, fit.x.size))
        slopes[:, problem.component_slices[component.name]] = matrices[component.name] @ basis.matrix
        found.append(slopes)
    return found


def _mean_slopes(mean: MeanSlopes, eta: Array, others: list[Array], variance: Array, phi: int) -> Array:
    """Derivatives (n, k) of the mean in all parameters, by the chain rule."""
    slopes = mean.eta[:, None] * eta + mean.variance[:, None] * variance
    for own, part in zip(mean.further.T, others, strict=True):
        slopes = slopes + own[:, None] * part
    slopes[:, slopes.shape[1] - phi :] += mean.phi
    return np.asarray(slopes)
