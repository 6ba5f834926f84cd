"""Predictions of a linear mixed model with the uncertainty of its fixed and random effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._display import StatsTable
from mixedfx._typing import Array, IntArray
from mixedfx.fitting import LinearFit
from mixedfx.inference.distributions import quantile
from mixedfx.inference.satterthwaite import satterthwaite_df
from mixedfx.inference.variance_parameters import VarianceParameters

__all__ = ["PredictedRows", "Prediction", "predict_rows"]

CHUNK_CELLS = 4_000_000  # numbers in one block of right-hand sides


@dataclass(frozen=True)
class PredictedRows:
    """Rows at which to predict, on the user's scale.

    Attributes
    ----------
    x : (n, p)
        Fixed-effects rows.
    codes : sequence of (n,)
        Level of every random-effects term; -1 where it is unknown.
    z : sequence of (n, q)
        Columns of every random-effects term.
    chosen : sequence of bool
        Terms whose conditional modes enter the prediction.
    """

    x: Array
    codes: Sequence[IntArray]
    z: Sequence[Array]
    chosen: Sequence[bool]


@dataclass(frozen=True)
class Prediction:
    """Predicted means with their standard errors; made by ``fit.get_prediction``.

    Attributes
    ----------
    predicted_mean : Series
    se_mean : Series
        Root of the mean squared error of the prediction of the mean: uncertainty of the fixed effects, and of the
        random effects that are included.
    var_obs : (n,) array
        Variance of a new observation beyond that of the mean: residual, and random effects that are not included.
    df : (n,) array
        Degrees of freedom of the intervals; inf for the normal distribution.
    """

    predicted_mean: pd.Series[float]
    se_mean: pd.Series[float]
    var_obs: Array
    df: Array

    def conf_int(self, alpha: float = 0.05, *, obs: bool = False) -> pd.DataFrame:
        """Return the limits for the mean, or for a new observation.

        Parameters
        ----------
        alpha : float
            One minus the level.
        obs : bool
        """
        se = np.asarray(self.se_mean, dtype=float)
        half = quantile(1.0 - 0.5 * checked_alpha(alpha), self.df) * (np.sqrt(se**2 + self.var_obs) if obs else se)
        mean = np.asarray(self.predicted_mean, dtype=float)
        return pd.DataFrame({"lower": mean - half, "upper": mean + half}, index=self.predicted_mean.index)

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


def predict_rows(fit: LinearFit, rows: PredictedRows, residual: Array) -> tuple[Array, Array, Array]:
    """Return the mean squared errors (n,) of the means, the further variance of an observation, and degrees of freedom.

    Parameters
    ----------
    fit : LinearFit
    rows : PredictedRows
    residual : (n,)
        Residual variances.

    Notes
    -----
    With ``K = Sigma - Sigma Z' V^-1 Z Sigma`` and ``B = Sigma Z' V^-1 X``, the error of ``x beta + z b`` has variance
    ``sigma^2 (z K z' + (x - z B) (X' V^-1 X)^-1 (x - z B)')`` (Henderson 1975, Biometrics
    31, 423). Degrees of freedom are Satterthwaite's where no random effects are included, else infinite.
    """
    problem, at = fit.problem, fit.at
    scale = problem.fixed.scale**2 * at.sigma2
    z = _inner_rows(fit, rows)
    x = rows.x @ problem.fixed.matrix
    quadratic = np.zeros(len(x))
    if any(part.any() for part in z):
        quadratic, predicted = _conditional(fit, rows, z)
        x = x - predicted
    variance = scale * (quadratic + np.einsum("ip,pq,iq->i", x, at.unscaled_cov, x))
    others = np.zeros(len(x))
    for k, (codes, own, used) in enumerate(zip(rows.codes, rows.z, rows.chosen, strict=True)):
        sigma = problem.relative_covariances(fit.theta)[k] * scale
        outside = np.ones(len(codes), dtype=bool) if not used else codes < 0
        others += np.where(outside, np.einsum("iq,qr,ir->i", own, sigma, own), 0.0)
    if any(rows.chosen):
        return variance, residual + others, np.full(len(x), np.inf)
    return variance, residual + others, satterthwaite_df(VarianceParameters(fit), x * problem.fixed.scale)


def _inner_rows(fit: LinearFit, rows: PredictedRows) -> list[Array]:
    """Columns (Q, n) of every factor on the inner scale, zero where a term is left out or its level unknown."""
    problem = fit.problem
    out = [np.zeros((size, len(rows.x))) for size in problem.assembly.rows.layout.sizes]
    for k, (factor, coefficients) in enumerate(problem.assembly.places):
        if rows.chosen[k]:
            own = (rows.z[k] @ problem.terms[k].matrix).T
            out[factor][coefficients] = np.where(rows.codes[k] >= 0, own, 0.0)
    return out


def _codes_by_factor(fit: LinearFit, rows: PredictedRows) -> list[IntArray]:
    out = [np.zeros(len(rows.x), dtype=np.intp) for _ in fit.problem.assembly.rows.layout.sizes]
    for k, (factor, _) in enumerate(fit.problem.assembly.places):
        out[factor] = np.maximum(rows.codes[k], 0)
    return out


def _conditional(fit: LinearFit, rows: PredictedRows, z: list[Array]) -> tuple[Array, Array]:
    """Return ``z K z'`` (n,) and ``z B`` (n, p)."""
    layout, at = fit.problem.assembly.rows.layout, fit.at
    codes = _codes_by_factor(fit, rows)
    loadings = fit.problem.assembly.rows.loadings
    predicted = np.zeros((len(rows.x), rows.x.shape[1]))
    for f, effects in enumerate(at.column_effects):
        own = effects[:, :, :-1] if f not in loadings else np.einsum("lm,qmp->qlp", loadings[f], effects[:, :, :-1])
        predicted += np.einsum("qi,qip->ip", z[f], own[:, codes[f]])
    if layout.n_factors == 1 and layout.n_chain == 1:
        return np.einsum("ai,abi,bi->i", z[0], at.factor.inverse.diagonal[0][:, :, codes[0]], z[0]), predicted
    step = max(1, CHUNK_CELLS // max(1, sum(m * q for m, q in zip(layout.levels, layout.sizes, strict=True))))
    starts = range(0, len(rows.x), step)
    parts = [_solved(fit, [c[i : i + step] for c in codes], [part[:, i : i + step] for part in z]) for i in starts]
    return np.concatenate(parts) if parts else np.zeros(0), predicted


def _solved(fit: LinearFit, codes: list[IntArray], z: list[Array]) -> Array:
    """``z K z'`` (c,) for a few rows, by one solve with as many right-hand sides."""
    layout, at, loadings = fit.problem.assembly.rows.layout, fit.at, fit.problem.assembly.rows.loadings
    count = len(codes[0])
    sides = []
    for f in range(layout.n_factors):
        side = np.zeros((layout.sizes[f], layout.levels[f], count))
        if f in loadings:
            side[:] = z[f][:, None] * loadings[f][codes[f]].T
        else:
            side[:, codes[f], np.arange(count)] = z[f]
        sides.append(side)
    flat = [side.reshape(-1, count) for side in sides[layout.n_chain :]]
    rest = np.concatenate(flat) if flat else np.zeros((0, count))
    solved = at.by_factor(at.factor.solve(sides[: layout.n_chain], rest)[0])
    return np.asarray(sum(np.einsum("qmc,qmc->c", side, b) for side, b in zip(sides, solved, strict=True)))
