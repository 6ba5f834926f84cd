"""Average marginal effects and comparisons: slopes and differences of predictions, averaged over observed rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.distributions import quantile, two_sided
from mixedfx.marginal_means.compared import Comparison, Effect, comparison_for
from mixedfx.marginal_means.contrasts import contrasts_for
from mixedfx.marginal_means.families import split_by
from mixedfx.marginal_means.fits import fitted_model
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import FittedModel, Predictor
from mixedfx.marginal_means.predictions import Predictions, predictions_for
from mixedfx.marginal_means.slopes import step_of

__all__ = ["comparisons", "marginal_effects"]

Names = str | Sequence[str] | None


def marginal_effects(
    fit: Any,
    variables: Names = None,
    by: Names = None,
    *,
    data: Any = None,
    scale: str = "response",
    integrate: bool = False,
    average: bool = True,
    ddf: str | float | None = None,
    alpha: float = 0.05,
) -> StatsTable:
    """Average marginal effects: slopes of the predictions, and differences between the levels of factors.

    Each row of the data gets its own effect, at its own values of all predictors; these are averaged. In contrast to
    :func:`mixedfx.trends` nothing is held at its mean.

    Parameters
    ----------
    fit : results
        Of mixedfx, or of a statsmodels model that was fitted from a formula.
    variables : str or list of str, optional
        Predictors; all of them if omitted. Numeric ones get slopes ("dY/dX"), factors differences from their first
        level.
    by : str or list of str, optional
        Predictors within whose values to average.
    data : DataFrame, optional
        Rows to average over, instead of the observed ones.
    scale : str
        ``"response"`` or ``"link"``.
    integrate : bool
        Predict averages over the distribution of the random effects; otherwise the random effects are at zero.
    average : bool
        False for one effect a row.
    ddf : str or number, optional
        As for :func:`mixedfx.emmeans`.
    alpha : float
        One minus the level of the intervals.

    Returns
    -------
    StatsTable
        Columns ``term, contrast, (by), estimate, std_error, statistic, p_value, conf_low, conf_high``, and ``df`` where
        it is finite; standard errors by the delta method.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
    >>> table = mfx.marginal_effects(fit)
    >>> dict(zip(table["contrast"], table["estimate"].round(4).tolist()))
    {'2 - 1': -0.1142, '3 - 1': -0.1241, '4 - 1': -0.1497}
    """
    model = fitted_model(fit, ddf, population=integrate, response=scale == "response")
    rows = _rows(model, data)
    predict = predictions_for(scale, integrate=integrate)
    effects: list[Effect] = []
    for name in _chosen(model, variables):
        predictor = model.predictors[name]
        if np.isnan(predictor.mean):
            effects += _levels(model, rows, predictor, "reference", predict)
        else:
            effects.append(Effect(name, "dY/dX", predict.slopes(model, rows, name, step_of(model, name))))
    within = _chosen(model, by) if by else ()
    frame = _frame(effects, comparison_for("difference"), rows, within, average=average, alpha=checked_alpha(alpha))
    return StatsTable.from_frame(frame, heading="Marginal effects", notes=_notes(model, scale, predict, average))


def comparisons(
    fit: Any,
    variables: Names | Mapping[str, Any] = None,
    by: Names = None,
    *,
    comparison: str = "difference",
    data: Any = None,
    scale: str = "response",
    integrate: bool = False,
    average: bool = True,
    ddf: str | float | None = None,
    alpha: float = 0.05,
) -> StatsTable:
    """Average comparisons: how predictions change when one predictor changes and the others stay as they are.

    Parameters
    ----------
    fit : results
    variables : str, list of str or dict, optional
        Predictors; all of them if omitted. ``{"x": 5}`` compares x + 5 with x, ``{"x": (1, 3)}`` two values,
        ``{"x": "sd"}`` half a standard deviation above with half below, ``{"x": "iqr"}`` the quartiles and
        ``{"x": "minmax"}`` the extremes; for factors ``"reference"`` (the default), ``"pairwise"`` or ``"sequential"``.
        Without a dict numeric predictors are raised by 1.
    comparison : str
        ``"difference"``, ``"ratio"`` (of the averages), or ``"lnratio"``.
    by, data, scale, integrate, average, ddf, alpha
        As for :func:`marginal_effects`.

    Returns
    -------
    StatsTable
        As of :func:`marginal_effects`.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.comparisons(fit, {"Days": 5})[["estimate", "std_error"]].round(3).values.tolist()
    [[52.336, 7.729]]
    """
    compare = comparison_for(comparison)
    model = fitted_model(fit, ddf, population=integrate, response=scale == "response")
    rows = _rows(model, data)
    predict = predictions_for(scale, integrate=integrate)
    wanted = dict(variables) if isinstance(variables, Mapping) else {}
    effects: list[Effect] = []
    for name in _chosen(model, tuple(wanted) if isinstance(variables, Mapping) else variables):
        predictor = model.predictors[name]
        if np.isnan(predictor.mean):
            effects += _levels(model, rows, predictor, wanted.get(name, "reference"), predict)
        else:
            effects.append(_change(model, rows, predictor, wanted.get(name, 1), predict))
    within = _chosen(model, by) if by else ()
    frame = _frame(effects, compare, rows, within, average=average, alpha=checked_alpha(alpha))
    return StatsTable.from_frame(frame, heading="Comparisons", notes=_notes(model, scale, predict, average))


# ---------------------------------------------------------------- arguments
def _chosen(model: FittedModel, names: Names) -> tuple[str, ...]:
    fixed = tuple(name for name, predictor in model.predictors.items() if predictor.is_fixed)
    chosen = fixed if names is None else (names,) if isinstance(names, str) else tuple(names)
    for name in chosen:
        if name not in model.predictors:
            known = ", ".join(map(repr, model.predictors)) or "none"
            raise SpecificationError(f"{name!r} is no predictor of the model; they are {known}")
    return chosen


def _rows(model: FittedModel, data: Any) -> pd.DataFrame:
    if data is None:
        return model.observed
    frame = pd.DataFrame(data)
    missing = [name for name in model.predictors if name not in frame.columns]
    if missing:
        raise DataError(f"data= has no column {', '.join(map(repr, missing))}, which the model needs")
    used = frame[list(model.predictors)]
    if used.isna().any(axis=None):
        raise DataError("data= has missing values: drop those rows first")
    return used.reset_index(drop=True)


def _notes(model: FittedModel, scale: str, predict: Predictions, average: bool) -> list[str]:
    out = ["Averaged over the rows of the data."] if average else []
    if not model.scale.is_identity:
        out.append("On the response scale." if scale == "response" else f"On the {model.scale.name} scale.")
    return [*out, *predict.notes]


# ---------------------------------------------------------------- changes of a predictor
def _levels(
    model: FittedModel, rows: pd.DataFrame, predictor: Predictor, how: Any, predict: Predictions
) -> list[Effect]:
    """Return the comparisons of the levels of a factor, each predicted for all rows."""
    names = [str(level) for level in predictor.levels]
    method = {"reference": "treatment", "pairwise": "revpairwise"}.get(how, how)
    if method not in ("treatment", "revpairwise", "sequential"):
        raise SpecificationError(
            f"{predictor.name!r} is a factor: its comparison is 'reference', 'pairwise' or 'sequential'; found {how!r}"
        )
    contrasts = contrasts_for(method, names)
    at = [predict.of(model, _with_level(rows, predictor.name, level)) for level in predictor.levels]
    return [
        Effect(predictor.name, name.format("-"), at[int(np.argmax(row))], at[int(np.argmin(row))])
        for row, name in zip(contrasts.coefficients, contrasts.names, strict=True)
    ]


def _with_level(rows: pd.DataFrame, name: str, level: Hashable) -> pd.DataFrame:
    return rows.assign(**{name: pd.Series([level] * len(rows), index=rows.index)})


def _change(model: FittedModel, rows: pd.DataFrame, predictor: Predictor, how: Any, predict: Predictions) -> Effect:
    """Return the comparison of two values of a numeric predictor."""
    x = rows[predictor.name].to_numpy(dtype=float)
    low, high, name = _two_values(predictor.name, how, x)
    first, second = (predict.of(model, rows.assign(**{predictor.name: value})) for value in (low, high))
    return Effect(predictor.name, name, second, first)


def _two_values(name: str, how: Any, x: Array) -> tuple[Array, Array, str]:
    if isinstance(how, str):
        if how == "sd":
            half = 0.5 * float(np.std(x, ddof=1))
            return x - half, x + half, "sd, centred"
        ends = {"iqr": (25.0, 75.0, "Q3 - Q1"), "minmax": (0.0, 100.0, "max - min")}
        if how in ends:
            low, high = np.percentile(x, ends[how][:2])
            return np.full(x.size, low), np.full(x.size, high), ends[how][2]
    elif np.ndim(how) == 0 and isinstance(how, int | float | np.number):
        return x, x + float(how), f"{how:+g}"
    elif np.shape(how) == (2,):
        low, high = (float(value) for value in how)
        return np.full(x.size, low), np.full(x.size, high), f"{high:g} - {low:g}"
    raise SpecificationError(
        f"{name!r} is numeric: its comparison is a number to add, a pair of values, 'sd', 'iqr' or 'minmax'; "
        f"found {how!r}"
    )


# ---------------------------------------------------------------- tables
def _frame(
    effects: Sequence[Effect],
    compare: Comparison,
    rows: pd.DataFrame,
    by: tuple[str, ...],
    *,
    average: bool,
    alpha: float,
) -> pd.DataFrame:
    shares, labels = _shares(rows, by) if average else (None, rows)
    tables = []
    for effect in effects:
        averaged = effect if shares is None else effect.combined(shares)
        functions = averaged.high if averaged.low is None else compare(averaged.high, averaged.low)
        table = _columns(functions, alpha)
        named = labels.assign(term=effect.term, contrast=effect.contrast)
        first = ["term", "contrast", *labels.columns]
        tables.append(pd.concat([named[first], table], axis=1))
    frame = pd.concat(tables, ignore_index=True)
    return frame if np.isfinite(frame["df"]).any() else frame.drop(columns="df")


def _shares(rows: pd.DataFrame, by: tuple[str, ...]) -> tuple[Array, pd.DataFrame]:
    """Return the weights (groups, n) of the rows in the averages, and what the groups are."""
    ordered = split_by(rows, by)
    shares = np.zeros((len(ordered), len(rows)))
    for g, own in enumerate(ordered):
        shares[g, own] = 1.0 / len(own)
    labels = rows[list(by)].iloc[[own[0] for own in ordered]].reset_index(drop=True)
    if not by:
        return shares, labels
    order = labels.sort_values(list(by)).index.to_numpy()
    return shares[order], labels.iloc[order].reset_index(drop=True)


def _columns(functions: Functions, alpha: float) -> pd.DataFrame:
    estimate, se, df = functions.estimates, functions.se, functions.df
    statistic = np.full(estimate.size, np.nan)
    np.divide(estimate, se, out=statistic, where=se > 0)
    half = quantile(1.0 - 0.5 * alpha, df) * se
    return pd.DataFrame(
        {
            "estimate": estimate,
            "std_error": se,
            "statistic": statistic,
            "p_value": two_sided(statistic, df),
            "conf_low": estimate - half,
            "conf_high": estimate + half,
            "df": df,
        }
    )
