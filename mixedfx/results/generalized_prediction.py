"""Predictions of a generalised mixed model with their uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.design import Design
from mixedfx.design.frame import as_frame
from mixedfx.fitting.generalized import GeneralizedFit
from mixedfx.results.predict import encoded_term
from mixedfx.results.prediction import PredictedRows

__all__ = ["GeneralizedPrediction", "predicted_rows", "predictor_variance"]

CHUNK_CELLS = 4_000_000  # numbers in one block of right-hand sides
SLOPE_STEP = 1e-4  # of the central difference of the mean, in linear predictor units
DRAWS = 2000  # simulated responses behind an interval for a new observation


@dataclass(frozen=True)
class GeneralizedPrediction:
    """Predicted means with intervals that never leave the range of the mean; made by ``fit.get_prediction``.

    Attributes
    ----------
    linear : Series
        Linear predictors.
    se_linear : (n,) array
        Their standard errors, variances counting as known.
    further_variance : (n,) array
        Variance of the random effects that are not included, which a new observation adds.
    mean : callable
        From linear predictors (…, n) to means.
    draw : callable
        From linear predictors (draws, n) and a generator to responses.
    """

    linear: pd.Series[float]
    se_linear: Array
    further_variance: Array
    mean: Callable[[Array], Array]
    draw: Callable[[Array, np.random.Generator], Array]

    @property
    def predicted_mean(self) -> pd.Series[float]:
        """Means (n,)."""
        return pd.Series(self.mean(self._eta), index=self.linear.index, name="mean")

    @property
    def _eta(self) -> Array:
        return np.asarray(self.linear, dtype=np.float64)

    @property
    def se_mean(self) -> pd.Series[float]:
        """Standard errors of the means (n,), by the delta method."""
        rise = self.mean(self._eta + SLOPE_STEP) - self.mean(self._eta - SLOPE_STEP)
        slope = np.abs(rise) / (2.0 * SLOPE_STEP)
        return pd.Series(slope * self.se_linear, index=self.linear.index, name="mean_se")

    def conf_int(self, alpha: float = 0.05, *, obs: bool = False, seed: int = 0) -> pd.DataFrame:
        """Return the limits for the mean, or for a new observation.

        Parameters
        ----------
        alpha : float
            One minus the level.
        obs : bool
            For a new observation: quantiles of simulated responses.
        seed : int
            Of the simulation.
        """
        if obs:
            rng = np.random.default_rng(seed)
            spread = np.sqrt(self.se_linear**2 + self.further_variance)
            drawn = self.draw(self._eta + spread * rng.standard_normal((DRAWS, self._eta.size)), rng)
            low, high = np.quantile(drawn, [0.5 * alpha, 1.0 - 0.5 * alpha], axis=0)
        else:
            half = special.ndtri(1.0 - 0.5 * alpha) * self.se_linear
            ends = np.stack([self.mean(self._eta - half), self.mean(self._eta + half)])
            low, high = ends.min(axis=0), ends.max(axis=0)
        return pd.DataFrame({"lower": low, "upper": high}, index=self.linear.index)

    def summary_frame(self, alpha: float = 0.05) -> StatsTable:
        """Return a table: mean, its standard error, confidence limits of the mean and of a new observation.

        Parameters
        ----------
        alpha : float
            One minus the level.

        Returns
        -------
        StatsTable
            Columns ``mean, mean_se, mean_ci_lower, mean_ci_upper, obs_ci_lower, obs_ci_upper``.
        """
        mean, obs = self.conf_int(alpha), self.conf_int(alpha, obs=True)
        columns = {
            "mean": self.predicted_mean,
            "mean_se": self.se_mean,
            "mean_ci_lower": mean["lower"],
            "mean_ci_upper": mean["upper"],
            "obs_ci_lower": obs["lower"],
            "obs_ci_upper": obs["upper"],
        }
        return StatsTable(pd.DataFrame(columns))


def predicted_rows(design: Design, data: Any, chosen: Sequence[bool]) -> PredictedRows:
    """Return the fitted rows, or those of new data."""
    if data is None:
        terms = design.random
        return PredictedRows(design.fixed.matrix, [t.codes for t in terms], [t.matrix for t in terms], chosen)
    frame = as_frame(data)
    pairs = [encoded_term(t, frame, used) for t, used in zip(design.random, chosen, strict=True)]
    return PredictedRows(design.fixed.encode(frame), [codes for codes, _ in pairs], [z for _, z in pairs], chosen)


def predictor_variance(fit: GeneralizedFit, rows: PredictedRows) -> tuple[Array, Array]:
    """Return the mean squared errors (n,) of linear predictors, and the variance of the random effects left out.

    Notes
    -----
    The error of ``x beta + z b`` has variance ``z K z' + (x + z B) Var(beta) (x + z B)'`` with K the conditional
    covariance of the random effects and B the derivative of their mode in beta.
    """
    n, p = len(rows.x), fit.problem.model.n_fixed
    basis = fit.problem.bases[0].matrix
    inverse = np.linalg.inv(basis)
    covariance = inverse @ fit.covariance[:p, :p] @ inverse.T
    variance, others = np.zeros(n), np.zeros(n)
    size = max(1, CHUNK_CELLS // max(fit.problem.model.space.n_effects, 1))
    for start in range(0, n, size):
        at = slice(start, start + size)
        side = _sides(fit, rows, at)
        inside, _ = fit.problem.model.space.solve(fit.at.state.factor, side)
        x = rows.x[at] @ basis + side.T @ fit.at.state.movement[0][:, :p]
        variance[at] = np.einsum("qi,qi->i", side, inside) + np.einsum("ip,pr,ir->i", x, covariance, x)
    for k, sigma in enumerate(fit.problem.covariances(fit.x)):
        outside = rows.codes[k] < 0 if rows.chosen[k] else np.ones(n, dtype=bool)
        others += np.where(outside, np.einsum("ia,ab,ib->i", rows.z[k], sigma, rows.z[k]), 0.0)
    return np.maximum(variance, 0.0), others


def _sides(fit: GeneralizedFit, rows: PredictedRows, at: slice) -> Array:
    """Coefficients (q, c) of the inner effects in the linear predictors of some rows."""
    problem, space = fit.problem, fit.problem.model.space
    count = len(rows.x[at])
    out = np.zeros((space.n_effects, count))
    parts = space.split(out)
    for k, (factor, coefficients) in enumerate(problem.assembly.places):
        if not rows.chosen[k]:
            continue
        codes = rows.codes[k][at]
        known = np.flatnonzero(codes >= 0)
        inner = (rows.z[k][at] @ problem.terms[k].matrix)[known]
        loading = problem.assembly.rows.loadings.get(factor)
        for a, values in zip(range(coefficients.start, coefficients.stop), inner.T, strict=True):
            if loading is None:
                parts[factor][a, codes[known], known] += values
            else:
                parts[factor][a][:, known] += loading[codes[known]].T * values
    return out
