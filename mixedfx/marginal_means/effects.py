"""Average marginal effects and comparisons: slopes and differences of predictions, averaged over observed rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_flag, checked_names
from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.ddf import DdfName
from mixedfx.marginal_means.changes import (
    COMPARISONS,
    Change,
    Comparison,
    ComparisonName,
    changes,
    comparison_for,
    level_changes,
)
from mixedfx.marginal_means.functions import SHORT_HEADERS, wald_columns
from mixedfx.marginal_means.labels import split_by
from mixedfx.marginal_means.model import MeansModel, means_model, unknown_predictor
from mixedfx.marginal_means.predictions import Predictions, ScaleName, scale_for
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
    scale: ScaleName = "response",
    integrate: bool = False,
    average: bool = True,
    offset: Any = None,
    weights: Any = None,
    ddf: DdfName | float | None = None,
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
    level = checked_alpha(alpha)
    setting, compare = _setting(fit, ddf, scale, integrate, data, offset, weights), COMPARISONS["difference"]
    model, predict, rows = setting.model, setting.predict, setting.rows
    effects: list[Change] = []
    for name in _chosen(model, variables):
        predictor = model.fit.predictors[name]
        if np.isnan(predictor.mean):
            effects += level_changes(model, rows, predictor, "reference", predict, compare)
        else:
            effects += [Change(name, "dY/dX", slope) for slope in predict.slopes(model, rows, name)]
    return _table("Marginal effects", setting, effects, compare, by, checked_flag("average", average), level)


def comparisons(
    fit: Any,
    variables: Names | Mapping[str, Any] = None,
    by: Names = None,
    *,
    comparison: ComparisonName = "difference",
    data: Any = None,
    scale: ScaleName = "response",
    integrate: bool = False,
    average: bool = True,
    offset: Any = None,
    weights: Any = None,
    ddf: DdfName | float | None = None,
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
    compare, level = comparison_for(comparison), checked_alpha(alpha)
    setting = _setting(fit, ddf, scale, integrate, data, offset, weights)
    model, predict, rows = setting.model, setting.predict, setting.rows
    how = dict(variables) if isinstance(variables, Mapping) else {}
    effects: list[Change] = []
    for name in _chosen(model, tuple(how) if isinstance(variables, Mapping) else variables):
        effects += changes(model, rows, model.fit.predictors[name], how.get(name), predict, compare)
    return _table("Comparisons", setting, effects, compare, by, checked_flag("average", average), level)


# ---------------------------------------------------------------- arguments
def _chosen(model: MeansModel, names: Names) -> tuple[str, ...]:
    fixed = tuple(name for name, predictor in model.fit.predictors.items() if predictor.is_fixed)
    chosen = fixed if names is None else checked_names("variables", names)
    for name in chosen:
        if name not in model.fit.predictors:
            raise unknown_predictor(model, name)
    if not chosen:
        raise SpecificationError("the model has no predictor whose effect could be asked for: it is intercept only")
    return chosen


@dataclass(frozen=True, eq=False)
class _Setting:
    """What effects are computed from: a model, rows with their weights in averages, and the kind of predictions."""

    model: MeansModel
    rows: pd.DataFrame
    counts: Array
    predict: Predictions
    notes: tuple[str, ...]
    is_weighted: bool


def _setting(
    fit: Any, ddf: DdfName | float | None, scale: str, integrate: bool, data: Any, offset: Any, weights: Any
) -> _Setting:
    shown, integrate = scale_for(scale), checked_flag("integrate", integrate)
    model = means_model(fit, ddf, population=integrate, response=shown.needs_response)
    if model.fit.silence and (integrate or shown.needs_response):
        raise SpecificationError(model.fit.silence)
    if data is None:
        if offset is not None:
            raise SpecificationError("offset= is that of the rows of data=: the rows of the fit have their own")
        model.fit.need_rows("averages over its rows (give data=)")
        model, rows, counts = model.in_its_rows(), model.fit.observed, _counts_in_fit(model, weights)
    else:
        rows = _new_rows(model, data)
        argument = read_argument("offset", offset, as_frame(data))
        model = model.in_new_rows(None if argument is None else argument.used(None))
        counts = _counts(weights, data)
    predict, notes = shown.predictions(model, integrate=integrate)
    return _Setting(model, rows, counts, predict, notes, weights is not None)


def _new_rows(model: MeansModel, data: Any) -> pd.DataFrame:
    """Return the predictors in the rows of ``data=``."""
    frame = as_frame(data)
    absent = [name for name in model.fit.predictors if name not in frame]
    if absent:
        raise DataError(f"data= has no column {', '.join(map(repr, absent))}, which the model needs")
    rows = pd.DataFrame({name: _values(frame.column(name)) for name in model.fit.predictors}, index=range(len(frame)))
    if rows.isna().any(axis=None):
        raise DataError("data= has missing values: drop those rows first")
    if not len(rows):
        raise DataError("data= has no rows")
    return rows


def _values(column: DataColumn) -> Any:
    if not column.is_factor:
        numbers = column.numbers
        return numbers.astype(bool) if column.is_logical and column.missing is None else numbers
    return pd.Categorical.from_codes(column.labels.codes, categories=column.labels.levels)


def _counts_in_fit(model: MeansModel, weights: Any) -> Array:
    """Resolve ``weights=`` for the rows of the fit: a column that the model uses, or a number for each row."""
    n = len(model.fit.observed)
    if weights is None or model.fit.rows is None or (not isinstance(weights, str) and np.shape(weights) == (n,)):
        return _counts(weights, model.fit.observed)
    rows = model.fit.rows()
    argument = read_argument("weights", weights, rows.frame)
    return np.ones(n) if argument is None else check_weights(argument, argument.used(rows.keep))


def _counts(weights: Any, data: Any) -> Array:
    """Resolve ``weights=``: one number a row."""
    frame = as_frame(data)
    argument = read_argument("weights", weights, frame)
    return np.ones(len(frame)) if argument is None else check_weights(argument, argument.used(None))


# ---------------------------------------------------------------- tables
def _table(
    heading: str,
    setting: _Setting,
    effects: Sequence[Change],
    compare: Comparison,
    by: Names,
    average: bool,
    alpha: float,
) -> StatsTable:
    """Return the table of effects, averaged within each combination of ``by``, or of each row."""
    predict, within = setting.predict, _chosen(setting.model, by) if by else ()
    shares, labels = _shares(setting.rows, within, setting.counts) if average else (None, setting.rows)
    tables = []
    for effect, quantity in zip(effects, cycle(predict.labels)):
        averaged = effect if shares is None else effect.combined(shares)
        functions = averaged.high if averaged.low is None else compare.of(averaged.high, averaged.low)
        columns = wald_columns(functions.estimates, functions.se, functions.df, null=compare.null, alpha=alpha)
        named = labels.assign(term=effect.term, contrast=effect.contrast, **quantity)
        first = ["term", "contrast", *quantity, *labels.columns]
        tables.append(pd.concat([named[first], pd.DataFrame(columns)], axis=1))
    frame = pd.concat(tables, ignore_index=True)
    if not np.isfinite(frame["df"]).any():
        frame = frame.drop(columns="df")
    weighted = ", weighted" if setting.is_weighted else ""
    notes = [f"Averaged over the rows of the data{weighted}."] if average else []
    return StatsTable.from_frame(frame, heading=heading, notes=[*notes, *setting.notes], headers=SHORT_HEADERS)


def _shares(rows: pd.DataFrame, by: tuple[str, ...], counts: Array) -> tuple[Array, pd.DataFrame]:
    """Return the weights (groups, n) of the rows in the average of each combination of ``by``, and their labels."""
    groups = split_by(rows, by)
    shares = np.zeros((len(groups), len(rows)))
    for g, group in enumerate(groups):
        shares[g, group] = counts[group]
    total = shares.sum(axis=1, keepdims=True)
    shares = np.divide(shares, total, out=np.full_like(shares, np.nan), where=total > 0)
    labels = rows[list(by)].iloc[[group[0] for group in groups]].reset_index(drop=True)
    order = labels.sort_values(list(by)).index.to_numpy() if by else np.arange(len(labels))
    return shares[order], labels.iloc[order].reset_index(drop=True)
