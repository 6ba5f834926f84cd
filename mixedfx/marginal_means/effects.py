"""Average marginal effects and comparisons: slopes and differences of predictions, averaged over observed rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_names
from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.distributions import quantile, two_sided
from mixedfx.marginal_means.changes import changes, level_changes, slope
from mixedfx.marginal_means.compared import SHORT, Comparison, Effect, comparison_for
from mixedfx.marginal_means.families import split_by
from mixedfx.marginal_means.fits import fitted_model
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import FittedModel, unknown_predictor
from mixedfx.marginal_means.predictions import Predictions, predictions_for
from mixedfx.matrices import as_frame
from mixedfx.matrices.columns import DataColumn
from mixedfx.matrices.rows import check_weights, read_argument

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
    offset: Any = None,
    weights: Any = None,
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
        Predictors; all of them if omitted. Numeric ones get slopes ("dY/dX"), factors and logical ones differences from
        their first level.
    by : str or list of str, optional
        Predictors within whose values to average.
    data : DataFrame, optional
        Rows to average over, instead of the observed ones.
    scale : str
        ``"response"`` (of an ordinal response: the probability of every category), ``"link"``, or ``"mean_class"``: the
        mean of the category numbers 1, 2, ….
    integrate : bool
        Predict averages over the distribution of the random effects; otherwise the random effects are at zero. What is
        not known of the variances counts in the standard errors.
    average : bool
        False for one effect a row.
    offset : str or array, optional
        Offset of the rows of ``data``; needed if the model was fitted with an array. Rows of the fit keep their own.
    weights : str or array, optional
        How much each row counts in the averages: survey weights, or sizes of cells. A column of ``data``, or one number
        for each of its rows; of the data of the fit a number for each row (a column only if the model uses it). All
        alike if omitted.
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
    model = fitted_model(fit, ddf, population=integrate, response=scale != "link")
    model, rows, counts = _rows(model, data, offset, weights)
    predict, compare = predictions_for(model, scale, integrate=integrate), comparison_for("difference")
    effects: list[Effect] = []
    for name in _chosen(model, variables):
        predictor = model.predictors[name]
        if np.isnan(predictor.mean):
            effects += level_changes(model, rows, predictor, "reference", predict, compare)
        else:
            effects += slope(model, rows, name, predict)
    within = _chosen(model, by) if by else ()
    frame = _frame(_labelled(effects, predict), compare, rows, _Averages(within, counts, average), checked_alpha(alpha))
    return StatsTable.from_frame(
        frame, heading="Marginal effects", notes=_notes(model, scale, predict, average, weights), headers=SHORT
    )


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
    offset: Any = None,
    weights: Any = None,
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
        ``{"x": "minmax"}`` the extremes; for factors ``"reference"`` (the default), ``"pairwise"``, ``"sequential"`` or
        a pair of levels. Without a dict numeric predictors are raised by 1, those with two values only (0 and 1) from
        one to the other, and logical ones from False to True.
    comparison : str
        ``"difference"``, ``"ratio"`` (of the averages; tested against 1), or ``"lnratio"``.
    by, data, scale, integrate, average, offset, weights, ddf, alpha
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
    model = fitted_model(fit, ddf, population=integrate, response=scale != "link")
    model, rows, counts = _rows(model, data, offset, weights)
    predict = predictions_for(model, scale, integrate=integrate)
    wanted = dict(variables) if isinstance(variables, Mapping) else {}
    effects: list[Effect] = []
    for name in _chosen(model, tuple(wanted) if isinstance(variables, Mapping) else variables):
        effects += changes(model, rows, model.predictors[name], wanted.get(name), predict, compare)
    within = _chosen(model, by) if by else ()
    frame = _frame(_labelled(effects, predict), compare, rows, _Averages(within, counts, average), checked_alpha(alpha))
    notes = _notes(model, scale, predict, average, weights)
    return StatsTable.from_frame(frame, heading="Comparisons", notes=notes, headers=SHORT)


# ---------------------------------------------------------------- arguments
def _chosen(model: FittedModel, names: Names) -> tuple[str, ...]:
    fixed = tuple(name for name, predictor in model.predictors.items() if predictor.is_fixed)
    chosen = fixed if names is None else checked_names("variables", names)
    for name in chosen:
        if name not in model.predictors:
            raise unknown_predictor(model, name)
    if not chosen:
        raise SpecificationError("the model has no predictor whose effect could be asked for: it is intercept only")
    return chosen


def _rows(model: FittedModel, data: Any, offset: Any, weights: Any) -> tuple[FittedModel, pd.DataFrame, Array]:
    """Return the model for the rows to average over, these rows, and how much each counts."""
    if data is None:
        if offset is not None:
            raise SpecificationError("offset= is that of the rows of data=: the rows of the fit have their own")
        return model.in_its_rows(), model.observed, _own_counts(model, weights)
    frame = as_frame(data)
    absent = [name for name in model.predictors if name not in frame]
    if absent:
        raise DataError(f"data= has no column {', '.join(map(repr, absent))}, which the model needs")
    used = pd.DataFrame({name: _values(frame.column(name)) for name in model.predictors}, index=range(len(frame)))
    if used.isna().any(axis=None):
        raise DataError("data= has missing values: drop those rows first")
    if not len(used):
        raise DataError("data= has no rows")
    argument = read_argument("offset", offset, frame)
    given = None if argument is None else argument.used(None)
    return model.in_new_rows(given), used, _counts(weights, data)


def _values(column: DataColumn) -> Any:
    if not column.is_factor:
        numbers = column.numbers
        return numbers.astype(bool) if column.is_logical and column.missing is None else numbers
    return pd.Categorical.from_codes(column.labels.codes, categories=column.labels.levels)


def _own_counts(model: FittedModel, weights: Any) -> Array:
    """Resolve ``weights=`` for the rows of the fit: a column that the model uses, or a number for each row."""
    n = len(model.observed)
    if weights is None or model.rows is None or (not isinstance(weights, str) and np.shape(weights) == (n,)):
        return _counts(weights, model.observed)
    rows = model.rows()
    argument = read_argument("weights", weights, rows.frame)
    return np.ones(n) if argument is None else check_weights(argument, argument.used(rows.keep))


def _counts(weights: Any, data: Any) -> Array:
    """Resolve ``weights=``: one number a row."""
    frame = as_frame(data)
    argument = read_argument("weights", weights, frame)
    return np.ones(len(frame)) if argument is None else check_weights(argument, argument.used(None))


def _notes(model: FittedModel, scale: str, predict: Predictions, average: bool, weights: Any) -> list[str]:
    weighted = "" if weights is None else ", weighted"
    out = [f"Averaged over the rows of the data{weighted}."] if average else []
    if scale == "mean_class":
        return [*out, *predict.notes]
    if not model.scale.is_identity:
        out.append("On the response scale." if scale == "response" else f"On the {model.scale.name} scale.")
    return [*out, *predict.notes]


# ---------------------------------------------------------------- tables
@dataclass(frozen=True, eq=False)
class _Averages:
    """Over which rows effects are averaged: those of each combination of ``by``; none if not asked for."""

    by: tuple[str, ...]
    counts: Array
    wanted: bool

    def of(self, rows: pd.DataFrame) -> tuple[Array, pd.DataFrame]:
        """Return the shares (groups, n) of the rows, and what the groups are."""
        ordered = split_by(rows, self.by)
        shares = np.zeros((len(ordered), len(rows)))
        for g, own in enumerate(ordered):
            shares[g, own] = self.counts[own]
        total = shares.sum(axis=1, keepdims=True)
        shares = np.divide(shares, total, out=np.full_like(shares, np.nan), where=total > 0)
        labels = rows[list(self.by)].iloc[[own[0] for own in ordered]].reset_index(drop=True)
        if not self.by:
            return shares, labels
        order = labels.sort_values(list(self.by)).index.to_numpy()
        return shares[order], labels.iloc[order].reset_index(drop=True)


def _labelled(effects: Sequence[Effect], predict: Predictions) -> list[Effect]:
    """Say of each effect which of the predicted quantities it is of."""
    return [replace(effect, labels=own) for effect, own in zip(effects, cycle(predict.labels))]


def _frame(
    effects: Sequence[Effect], compare: Comparison, rows: pd.DataFrame, averages: _Averages, alpha: float
) -> pd.DataFrame:
    shares, labels = averages.of(rows) if averages.wanted else (None, rows)
    tables = []
    for effect in effects:
        averaged = effect if shares is None else effect.combined(shares)
        functions = averaged.high if averaged.low is None else compare.of(averaged.high, averaged.low)
        table = _columns(functions, compare.null, alpha)
        named = labels.assign(term=effect.term, contrast=effect.contrast, **effect.labels)
        first = ["term", "contrast", *effect.labels, *labels.columns]
        tables.append(pd.concat([named[first], table], axis=1))
    frame = pd.concat(tables, ignore_index=True)
    return frame if np.isfinite(frame["df"]).any() else frame.drop(columns="df")


def _columns(functions: Functions, null: float, alpha: float) -> pd.DataFrame:
    estimate, se, df = functions.estimates, functions.se, functions.df
    statistic = np.full(estimate.size, np.nan)
    np.divide(estimate - null, se, out=statistic, where=se > 0)
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
