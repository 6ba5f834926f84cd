"""Predictions with their uncertainty: of means, of the true mean of a new group, and of new observations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._display import StatsTable
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import SpecificationError, UnknownNameError
from mixedfx.families.base import Family
from mixedfx.families.links import image
from mixedfx.families.mean_function import MeanFunction, MeanSlopes, is_inverse_link, joined, limits_of_mean
from mixedfx.fitting import Fit
from mixedfx.fitting.response import ResponseModel
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.distributions import quantile
from mixedfx.matrices.new_rows import PredictedRows
from mixedfx.results.smooth_adapter import SmoothDenominator

__all__ = ["Prediction", "prediction"]

SHOWN = 20  # rows of a prediction that fill a screen
MOST_SIMULATED = 20_000  # rows whose observations are simulated: some seconds
DRAWS = 2000  # simulated responses of a row behind its interval
TOO_MANY = (
    f"The limits of an observation are simulated, row by row: for {MOST_SIMULATED:,} rows at a time, and not for all "
    "of these."
)
WHICH = ("mean", "linear", "effect")


class Observations(ABC):
    """New observations of the predicted rows: where they will lie."""

    @abstractmethod
    def limits(self, mean: Array, se: Array, alpha: float, seed: int) -> tuple[Array, Array]:
        """Return the limits (n,), (n,), of the predicted means (n,) with their standard errors (n,)."""

    @property
    def are_at_hand(self) -> bool:
        """Whether the limits of so many rows are to be had in no time."""
        return True

    @abstractmethod
    def taken(self, at: slice) -> Self:
        """Return some of the rows."""


@dataclass(frozen=True)
class NormalObservations(Observations):
    """Observations that are normal around their means.

    Attributes
    ----------
    variance : (n,)
        Beyond that of the mean: residual, and random effects that are not included.
    df : (n,)
        Degrees of freedom of the limits.
    """

    variance: Array
    df: Array

    def se(self, se_mean: Array) -> Array:
        """Return the standard errors (n,) of new observations."""
        return np.sqrt(se_mean**2 + self.variance)

    def limits(self, mean: Array, se: Array, alpha: float, seed: int) -> tuple[Array, Array]:
        """Return the limits (n,), (n,)."""
        half = quantile(1.0 - 0.5 * alpha, self.df) * self.se(se)
        return mean - half, mean + half

    def taken(self, at: slice) -> NormalObservations:
        """Return some of the rows."""
        return NormalObservations(self.variance[at], self.df[at])


@dataclass(frozen=True)
class SimulatedObservations(Observations):
    """Observations whose parameters and random effects are as uncertain as the fit leaves them.

    Attributes
    ----------
    response : ResponseModel
    eta, further : (n,), (n, K - 1)
        Estimated linear predictors.
    slopes : (n, K, r)
        Of all linear predictors in ``r`` independent standard normal errors of the parameters.
    phi_slopes : (m, r)
        Of the family-wide parameters.
    phi_bounds : (m,), (m,)
    spread : (n,)
        Standard deviation of the random effects, given the parameters: of included ones around their modes, of others
        around zero.
    prior : (n,) array or None
        Trials of a binomial response, elsewhere precision weights; nan where they are unknown.
    """

    response: ResponseModel
    eta: Array
    further: Array
    slopes: Array
    phi_slopes: Array
    phi_bounds: tuple[Array, Array]
    spread: Array
    prior: Array | None

    def taken(self, at: slice) -> SimulatedObservations:
        """Return some of the rows."""
        return replace(
            self,
            eta=self.eta[at],
            further=self.further[at],
            slopes=self.slopes[at],
            spread=self.spread[at],
            prior=None if self.prior is None else self.prior[at],
        )

    @property
    def are_at_hand(self) -> bool:
        """Whether the limits of so many rows are to be had in no time."""
        return self.eta.size <= MOST_SIMULATED

    def limits(self, mean: Array, se: Array, alpha: float, seed: int) -> tuple[Array, Array]:
        """Return quantiles (n,), (n,) of simulated responses; nan where a predictor or the trials are unknown.

        Every row starts from the same seed: its limits do not depend on the rows beside it.
        """
        if not self.are_at_hand:
            raise SpecificationError(
                f"the limits of an observation are simulated, row by row: at most {MOST_SIMULATED:,} rows at a time, "
                f"and these are {self.eta.size:,}"
            )
        out = np.full((2, self.eta.size), np.nan)
        parts = [self.eta, self.spread, self.further.sum(axis=1), self.slopes.sum(axis=(1, 2))]
        known = np.isfinite(sum(parts))
        if self.prior is not None:
            known &= (self.prior > 0) & np.isfinite(self.prior)
        common = np.random.default_rng(seed)
        errors = common.standard_normal((DRAWS, self.slopes.shape[2]))
        effects = common.standard_normal(DRAWS)
        lower, upper = (end[:, None] for end in self.phi_bounds)
        phi = np.clip(self.response.phi[:, None] + self.phi_slopes @ errors.T, lower, upper)
        for row in np.flatnonzero(known):
            drawn = self._drawn(int(row), errors, effects, phi, np.random.default_rng(seed))
            out[:, row] = np.quantile(drawn, [0.5 * alpha, 1.0 - 0.5 * alpha], method="inverted_cdf")
        return out[0], out[1]

    def _drawn(self, row: int, errors: Array, effects: Array, phi: Array, rng: np.random.Generator) -> Array:
        """Responses (draws,) of one row."""
        moved = errors @ self.slopes[row].T
        eta = self.eta[row] + moved[:, 0] + self.spread[row] * effects
        prior = None if self.prior is None else np.full(len(errors), self.prior[row])
        return self.response.simulated(joined(eta, self.further[row] + moved[:, 1:]), phi, prior, rng)


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


@hinting_methods
@dataclass(frozen=True, repr=False)
class Prediction:
    """Predicted means with intervals that never leave the range of the mean; made by ``fit.get_prediction``.

    Attributes
    ----------
    linear : Series
        Linear predictors of the mean.
    se_linear : (n,) array
        Their standard errors: uncertainty of the parameters and of the random effects that are included.
    se : (n,) array
        Standard errors of the means.
    df : (n,) array
        Degrees of freedom of the limits for the mean; inf for the normal distribution.
    mean : MeanFunction
    family : Family
    is_inverse_link : bool
        Whether the mean is the inverse link of the linear predictor, and nothing else.
    observations : NormalObservations or SimulatedObservations
        New observations of the rows.
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
    df: Array
    mean: MeanFunction
    family: Family
    is_inverse_link: bool
    observations: Observations
    effects: Effects
    notes: tuple[str, ...] = ()
    averaged: bool = False

    @property
    def _eta(self) -> Array:
        return np.asarray(self.linear, dtype=np.float64)

    @property
    def predicted_mean(self) -> pd.Series[float]:
        """Means (n,)."""
        return pd.Series(self.mean(self._eta), index=self.linear.index, name="predicted")

    @property
    def se_mean(self) -> pd.Series[float]:
        """Standard errors of the means (n,), by the delta method."""
        return pd.Series(self.se, index=self.linear.index, name="mean_se")

    @property
    def var_effect(self) -> Array:
        """Variance (n,) that the random effects that are not included give to the linear predictor."""
        return self.effects.variance

    @property
    def se_effect(self) -> pd.Series[float]:
        """Standard errors (n,) of the true mean of a new group: that of the mean and the random effects left out."""
        return pd.Series(self._se_effect()[1], index=self.linear.index, name="effect_se")

    @property
    def se_obs(self) -> pd.Series[float]:
        """Standard errors (n,) of new observations of a linear model.

        Raises
        ------
        AttributeError
            In generalised models, whose observations are not normal: ``conf_int(obs=True)`` has their limits.
        """
        return pd.Series(self._normal.se(self.se), index=self.linear.index, name="obs_se")

    @property
    def var_obs(self) -> Array:
        """Variance (n,) of new observations of a linear model beyond that of the mean; see :attr:`se_obs`."""
        return self._normal.variance

    @property
    def df_obs(self) -> Array:
        """Degrees of freedom (n,) of the limits for new observations of a linear model; see :attr:`se_obs`."""
        return self._normal.df

    @property
    def _normal(self) -> NormalObservations:
        if not isinstance(self.observations, NormalObservations):  # a choice of this file, not a kind of fit
            raise UnknownNameError(
                "observations of this model are not normal around their means: conf_int(obs=True) has their limits, by "
                "simulation"
            )
        return self.observations

    def conf_int(self, alpha: float = 0.05, *, obs: bool = False, which: str = "mean", seed: int = 0) -> pd.DataFrame:
        """Return the limits for the mean, for the true mean of a new group, or for a new observation.

        Parameters
        ----------
        alpha : float
            One minus the level.
        obs : bool
            Short for ``which="obs"``.
        which : str
            ``"mean"``; ``"linear"`` (predictor); ``"effect"``: where the mean of a group that is not known lies, the
            random effects that are not included being drawn from their distribution (the prediction interval of a
            meta-analysis); ``"obs"``: an observation, in a generalised model by quantiles of simulated responses.
        seed : int
            Of the simulation; all rows start from it, so that no row's limits depend on the others.

        Notes
        -----
        Limits for the mean are those of the linear predictor, transformed: by Satterthwaite's t distribution in rows of
        a linear model without random effects but smooths, by the normal one elsewhere. Where the mean is more than the
        inverse link (zero inflation, truncation, thresholds, an average over random effects), they are computed on the
        link of the mean; if that has an edge or another range, on the logarithm or logit of where the mean lies in its
        range. :func:`mixedfx.emmeans` has the same.
        """
        kind = "obs" if obs else which
        if kind not in (*WHICH, "obs"):
            raise SpecificationError(f"which is one of {', '.join(map(repr, (*WHICH, 'obs')))}; found {which!r}")
        alpha, index = checked_alpha(alpha), self.linear.index
        low, high = self._limits(alpha, kind, seed)
        return pd.DataFrame({"lower": low, "upper": high}, index=index)

    def _limits(self, alpha: float, kind: str, seed: int) -> tuple[Array, Array]:
        if kind == "obs":
            return self.observations.limits(self.mean(self._eta), self.se, alpha, seed)
        se_linear, se, df = self.se_linear, self.se, self.df
        if kind == "effect":
            se_linear, se = self._se_effect()
            df = np.full(len(df), np.inf)
        wide = quantile(1.0 - 0.5 * alpha, df)
        low, high = self._eta - wide * se_linear, self._eta + wide * se_linear
        if kind == "linear":
            return low, high
        if self.is_inverse_link:
            link = self.family.mean_link
            return image(link, link.domain(self.family.mean_range), low, high)
        return limits_of_mean(self.family, self.mean(self._eta), wide * se)

    def _se_effect(self) -> tuple[Array, Array]:
        """Standard errors (n,) of the linear predictor and of the mean of a new group."""
        if self.averaged:
            raise SpecificationError(
                "which='effect' is about one group, integrate=True about the average of all: leave one out"
            )
        variance = self.effects.variance
        se_linear = np.sqrt(self.se_linear**2 + variance)
        return se_linear, np.sqrt(self.se**2 + self.effects.slope**2 * variance)

    def summary_frame(self, alpha: float = 0.05, *, which: str = "mean") -> StatsTable:
        """Return a table: mean, its standard error, confidence limits of the mean and of a new observation.

        Parameters
        ----------
        alpha : float
            One minus the level.
        which : str
            ``"mean"``; ``"linear"`` for the linear predictor; ``"effect"`` for the true mean of a new group.

        Returns
        -------
        StatsTable
            Columns ``mean, mean_se, mean_ci_lower, mean_ci_upper, obs_ci_lower, obs_ci_upper``; with
            ``which="linear"`` ``linear, linear_se, linear_ci_lower, linear_ci_upper``, with ``which="effect"``
            ``mean, effect_se, effect_ci_lower, effect_ci_upper``. The limits for an observation are nan where a
            binomial response lacks its trials.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> predicted = fit.get_prediction({"Days": [9]}, random=False)
        >>> predicted.summary_frame(which="effect").round(1).to_frame().iloc[0].tolist()
        [345.6, 62.0, 224.2, 467.1]
        """
        if which not in WHICH:
            raise SpecificationError(f"which is one of {', '.join(map(repr, WHICH))}; found {which!r}")
        limits, notes = self.conf_int(alpha, which=which), self.notes
        errors = {"mean": self.se, "linear": self.se_linear}
        columns = {
            "linear" if which == "linear" else "mean": self.linear if which == "linear" else self.predicted_mean,
            f"{which}_se": self._se_effect()[1] if which == "effect" else errors[which],
            f"{which}_ci_lower": limits["lower"],
            f"{which}_ci_upper": limits["upper"],
        }
        if which == "mean":
            known = self.observations.are_at_hand
            obs = self.conf_int(alpha, which="obs" if known else "mean") * (1.0 if known else np.nan)
            columns |= {"obs_ci_lower": obs["lower"], "obs_ci_upper": obs["upper"]}
            notes += () if known else (TOO_MANY,)
        return StatsTable.from_frame(pd.DataFrame(columns, index=self.linear.index), notes=notes)

    def _shown(self) -> StatsTable:
        """The first rows, with a note on how many there are: a screenful."""
        at, count = slice(0, SHOWN), len(self.linear)
        few = replace(
            self,
            linear=self.linear.iloc[at],
            se_linear=self.se_linear[at],
            se=self.se[at],
            df=self.df[at],
            mean=replace(self.mean, further=self.mean.further[at], variance=self.mean.variance[at]),
            observations=self.observations.taken(at),
            effects=Effects(self.effects.variance[at], self.effects.slope[at]),
        )
        table = few.summary_frame()
        if count <= SHOWN:
            return table
        more = f"The first {SHOWN} of {count} rows; summary_frame() has them all."
        return StatsTable.from_frame(table.to_frame(), heading=table.heading, notes=(*table.notes, more))

    def __repr__(self) -> str:
        return str(self._shown())

    def _repr_html_(self) -> str:
        return self._shown()._repr_html_()


def prediction(
    fit: Fit, denominator: Denominator, rows: PredictedRows, data: Any, weights: Any, *, averaged: bool
) -> Prediction:
    """Return the prediction of some rows.

    Parameters
    ----------
    fit : Fit
    denominator : Denominator
        Whose degrees of freedom the means of rows without random effects have.
    rows : PredictedRows
    data : data frame or None
        From which they were made; None for the fitted rows.
    weights : str or array, optional
        Trials or precision weights of new observations.
    averaged : bool
        Whether the random effects that are not chosen are averaged over, rather than zero.
    """
    response, root = fit.response, fit.error_root
    linear = pd.Series(rows.predictor(fit.beta, fit.modes), index=rows.index, name="predicted")
    eta, errors, matrices = np.asarray(linear, dtype=np.float64), fit.predictor_errors(rows), response.columns(data)
    further = response.predictors(eta, matrices)[..., 1:] if matrices else np.zeros((eta.size, 0))
    variance, variance_slopes = _averaging(fit, rows, data, averaged=averaged)
    mean = MeanFunction(response, further, variance)
    slopes = MeanSlopes.of_identity(eta.size) if response.mean_is_linear else mean.slopes(eta)
    others = fit.component_slopes(matrices)
    by_parameter = errors.slopes @ root
    moved = _mean_slopes(fit, slopes, errors.slopes, others, variance_slopes) @ root
    with np.errstate(invalid="ignore"):  # rows with missing predictors
        se_linear = np.sqrt(np.einsum("ir,ir->i", by_parameter, by_parameter) + errors.conditional)
        se = np.sqrt(np.einsum("ir,ir->i", moved, moved) + slopes.eta**2 * errors.conditional)
    df, plain = np.full(eta.size, np.inf), ~rows.with_effects
    if plain.any():
        df[plain] = denominator.of_rows(rows.x[plain])
    if fit.normal_variances is not None and any(term.is_smooth for term in fit.design.random):
        bent = _with_smooths_alone(fit, rows)
        if bent.any():
            smooths = [rows.z[k] for k, term in enumerate(fit.design.random) if term.is_smooth]
            df[bent] = SmoothDenominator(denominator, fit).of_rows(np.hstack([rows.x, *smooths])[bent])
    if rows.lost is not None:
        se_linear, se, df = (np.where(rows.lost, np.nan, values) for values in (se_linear, se, df))
    observations: Observations
    residual = response.residual_variances(data, weights)
    if residual is not None:
        variance, notes = residual
        df_obs = np.full(eta.size, np.inf) if fit.design.random else df
        observations = NormalObservations(variance + errors.outside, df_obs)
    else:
        prior = response.prior(data, weights)
        notes = () if prior.note is None else (prior.note,)
        observations = SimulatedObservations(
            response,
            eta,
            further,
            np.stack([by_parameter, *(part @ root for part in others)], axis=1),
            fit.phi_slopes @ root,
            fit.phi_bounds,
            np.sqrt(errors.conditional + errors.outside),
            prior.values,
        )
    effects = Effects(errors.outside, slopes.eta)
    notes = (*rows.notes, *notes, *errors.notes)
    plain_mean = not averaged and is_inverse_link(fit.family.mean_link, eta, mean(eta))
    return Prediction(
        linear, se_linear, se, df, mean, fit.family, plain_mean, observations, effects, notes, averaged=averaged
    )


def _with_smooths_alone(fit: Fit, rows: PredictedRows) -> BoolArray:
    """Whether all smooths and no other random effects enter the prediction of each row (n,)."""
    smooth = [term.is_smooth for term in fit.design.random]
    if not all(mask.all() for mask, is_smooth in zip(rows.chosen, smooth, strict=True) if is_smooth):
        return np.zeros(len(rows.x), dtype=bool)
    others = [np.zeros_like(m) if is_smooth else m for m, is_smooth in zip(rows.chosen, smooth, strict=True)]
    return ~replace(rows, chosen=others).with_effects


def _averaging(fit: Fit, rows: PredictedRows, data: Any, *, averaged: bool) -> tuple[Array, Array]:
    """Return the variance (n,) of the random effects that are integrated out, and its slopes (n, k) in parameters."""
    left_out = [~used & averaged for used in rows.chosen]
    if fit.response.mean_is_linear or not any(columns.any() for columns in left_out):
        return np.zeros(len(rows.x)), np.zeros((len(rows.x), len(fit.error_root)))
    variance = fit.integrated_variance(left_out, data)
    return variance, fit.variance_slopes(left_out, data)


def _mean_slopes(fit: Fit, mean: MeanSlopes, eta: Array, others: list[Array], variance: Array) -> Array:
    """Derivatives (n, k) of the mean in all parameters, by the chain rule."""
    slopes = mean.eta[:, None] * eta + mean.variance[:, None] * variance
    for by_predictor, part in zip(mean.further.T, others, strict=True):
        slopes = slopes + by_predictor[:, None] * part
    return np.asarray(slopes + mean.phi @ fit.phi_slopes if mean.phi.shape[1] else slopes)
