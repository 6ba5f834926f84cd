"""Predictions of a linear mixed model with the uncertainty of its fixed and random effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._display import StatsTable
from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting import LinearFit
from mixedfx.inference.distributions import quantile
from mixedfx.inference.satterthwaite import VarianceParameters, satterthwaite_df
from mixedfx.matrices.new_rows import PredictedRows

__all__ = ["SHOWN", "Prediction", "predict_rows", "short_table"]

CHUNK_CELLS = 4_000_000  # numbers in one block of right-hand sides


@dataclass(frozen=True, repr=False)
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
        Degrees of freedom of the limits for the mean; inf for the normal distribution.
    var_effect : (n,) array
        Variance of the random effects that are not included.
    df_obs : float
        Degrees of freedom of the limits for an observation: those of the mean in a model without random effects.
    notes : tuple of str
        What is unknown or assumed, in words.
    """

    predicted_mean: pd.Series[float]
    se_mean: pd.Series[float]
    var_obs: Array
    df: Array
    var_effect: Array
    df_obs: Array
    notes: tuple[str, ...] = ()

    @property
    def se_effect(self) -> pd.Series[float]:
        """Standard errors of the true mean of a new group: that of the mean and the random effects left out."""
        se = np.sqrt(np.asarray(self.se_mean, dtype=float) ** 2 + self.var_effect)
        return pd.Series(se, index=self.predicted_mean.index, name="effect_se")

    @property
    def se_obs(self) -> pd.Series[float]:
        """Standard errors of a new observation."""
        se = np.sqrt(np.asarray(self.se_mean, dtype=float) ** 2 + self.var_obs)
        return pd.Series(se, index=self.predicted_mean.index, name="obs_se")

    def conf_int(self, alpha: float = 0.05, *, obs: bool = False, which: str = "mean") -> pd.DataFrame:
        """Return the limits for the mean, for the true mean of a new group, or for a new observation.

        Parameters
        ----------
        alpha : float
            One minus the level.
        obs : bool
            Short for ``which="obs"``.
        which : str
            ``"mean"``; ``"effect"``: where the mean of a group that is not known lies, the random effects that are not
            included being drawn from their distribution (the prediction interval of a meta-analysis); ``"obs"``: an
            observation, which adds its own residual.

        Notes
        -----
        The mean of rows without random effects has Satterthwaite's t distribution; all else the normal one, the
        variances counting as known.
        """
        alpha, kind = checked_alpha(alpha), "obs" if obs else which
        choices = {
            "mean": (self.se_mean, self.df),
            "effect": (self.se_effect, np.full(len(self.df), np.inf)),
            "obs": (self.se_obs, self.df_obs),
        }
        if kind not in choices:
            raise SpecificationError(f"which is one of {', '.join(map(repr, choices))}; found {which!r}")
        se, df = choices[kind]
        half = quantile(1.0 - 0.5 * alpha, df) * np.asarray(se, dtype=float)
        mean = np.asarray(self.predicted_mean, dtype=float)
        return pd.DataFrame({"lower": mean - half, "upper": mean + half}, index=self.predicted_mean.index)

    def summary_frame(self, alpha: float = 0.05, *, which: str = "mean") -> StatsTable:
        """Return a table: mean, its standard error, confidence limits of the mean and of a new observation.

        Parameters
        ----------
        alpha : float
            One minus the level.
        which : str
            ``"mean"``, or ``"effect"`` for the true mean of a new group.

        Returns
        -------
        StatsTable
            Columns ``mean, mean_se, mean_ci_lower, mean_ci_upper, obs_ci_lower, obs_ci_upper``; with
            ``which="effect"`` ``mean, effect_se, effect_ci_lower, effect_ci_upper``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> found = fit.get_prediction({"Days": [9]}, random=False)
        >>> found.summary_frame(which="effect").round(1).to_frame().iloc[0].tolist()
        [345.6, 62.0, 224.2, 467.1]
        """
        if which not in ("mean", "effect"):
            raise SpecificationError(f"which is 'mean' or 'effect'; found {which!r}")
        own = self.conf_int(alpha, which=which)
        columns = {
            "mean": self.predicted_mean,
            f"{which}_se": self.se_mean if which == "mean" else self.se_effect,
            f"{which}_ci_lower": own["lower"],
            f"{which}_ci_upper": own["upper"],
        }
        if which == "mean":
            obs = self.conf_int(alpha, which="obs")
            columns |= {"obs_ci_lower": obs["lower"], "obs_ci_upper": obs["upper"]}
        return StatsTable.from_frame(pd.DataFrame(columns), notes=self.notes)

    def __repr__(self) -> str:
        return str(short_table(self.summary_frame(), len(self.df)))

    def _repr_html_(self) -> str:
        return short_table(self.summary_frame(), len(self.df))._repr_html_()


SHOWN = 20  # rows of a prediction that fill a screen


def short_table(table: StatsTable, count: int) -> StatsTable:
    """Return the first rows of a table, with a note on how many, ``count``, there are: a screenful."""
    if count <= SHOWN:
        return table
    more = f"The first {SHOWN} of {count} rows; summary_frame() has them all."
    return StatsTable.from_frame(table.to_frame().iloc[:SHOWN], heading=table.heading, notes=(*table.notes, more))


def predict_rows(fit: LinearFit, rows: PredictedRows) -> tuple[Array, Array, Array]:
    """Return the mean squared errors (n,) of the means, the variance of effects left out, and degrees of freedom.

    Parameters
    ----------
    fit : LinearFit
    rows : PredictedRows

    Notes
    -----
    With ``K = Sigma - Sigma Z' V^-1 Z Sigma`` and ``B = Sigma Z' V^-1 X``, the error of ``x beta + z b`` has variance
    ``sigma^2 (z K z' + (x - z B) (X' V^-1 X)^-1 (x - z B)')`` (Henderson 1975, Biometrics
    31, 423). Degrees of freedom are Satterthwaite's in rows where no random effect enters, else infinite.
    """
    problem, at = fit.problem, fit.at
    scale = problem.basis.scale**2 * at.sigma2
    z = _inner_rows(fit, rows)
    x = rows.x @ problem.basis.matrix
    quadratic = np.zeros(len(x))
    if any(part.any() for part in z):
        quadratic, predicted = _conditional(fit, rows, z)
        x = x - predicted
    variance = scale * (quadratic + np.einsum("ip,pq,iq->i", x, at.unscaled_cov, x))
    covariances = [scale * sigma for sigma in problem.relative_covariances(fit.theta)]
    others = rows.outside(problem.design.random, covariances)
    df, plain = np.full(len(x), np.inf), ~rows.with_effects
    if plain.any():
        df[plain] = satterthwaite_df(VarianceParameters(fit), x[plain] * problem.basis.scale)
    return variance, others, df


def _inner_rows(fit: LinearFit, rows: PredictedRows) -> list[Array]:
    """Columns (Q, n) of every factor on the inner scale, zero where a term is left out or its level unknown."""
    problem = fit.problem
    out = [np.zeros((size, len(rows.x))) for size in problem.assembly.rows.layout.sizes]
    for k, (factor, coefficients) in enumerate(problem.assembly.places):
        own = rows.included(k)
        if own is not None:
            out[factor][coefficients] = (own @ problem.terms[k].matrix).T
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
