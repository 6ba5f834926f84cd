"""How predictors are changed to see what that does to predictions: levels of factors, values of numbers."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.compared import Comparison, Effect
from mixedfx.marginal_means.contrasts import bracketed, contrasts_for
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import FittedModel, Predictor
from mixedfx.marginal_means.predictions import Predictions
from mixedfx.marginal_means.slopes import step_of

__all__ = ["changes", "level_changes", "slope"]

LEVELS = {"reference": "treatment", "pairwise": "revpairwise", "sequential": "sequential"}


def changes(
    model: FittedModel, rows: pd.DataFrame, predictor: Predictor, how: Any, predict: Predictions, compare: Comparison
) -> list[Effect]:
    """Return the comparisons of a predictor: of levels, or of two values of a number.

    Parameters
    ----------
    model : FittedModel
    rows : DataFrame
        Rows of which each is predicted before and after the change.
    predictor : Predictor
    how : object
        As for :func:`mixedfx.comparisons`; None for the usual change.
    predict : Predictions
    compare : Comparison
    """
    if np.isnan(predictor.mean):
        return level_changes(model, rows, predictor, "reference" if how is None else how, predict, compare)
    if how is None:
        how = predictor.levels if len(predictor.levels) == 2 else 1
    x = rows[predictor.name].to_numpy(dtype=float)
    low, high, name = _two_values(predictor.name, how, x, compare)
    before, after = (predict.of(model, rows.assign(**{predictor.name: value})) for value in (low, high))
    return [Effect(predictor.name, name, last, first) for first, last in zip(before, after, strict=True)]


def slope(model: FittedModel, rows: pd.DataFrame, name: str, predict: Predictions) -> list[Effect]:
    """Return the slope of the predictions of every row in a numeric predictor."""
    return [Effect(name, "dY/dX", part) for part in predict.slopes(model, rows, name, step_of(model, name))]


def level_changes(
    model: FittedModel, rows: pd.DataFrame, predictor: Predictor, how: Any, predict: Predictions, compare: Comparison
) -> list[Effect]:
    """Return the comparisons of the levels of a factor, each predicted for all rows.

    Raises
    ------
    SpecificationError
        If ``how`` is no way to compare levels.
    """
    names = [bracketed(str(level)) for level in predictor.levels]
    at: dict[int, list[Functions]] = {}
    out = []
    for high, low in _level_pairs(predictor, how):
        for j in (high, low):
            if j not in at:
                at[j] = predict.of(model, _with_level(rows, predictor.name, predictor.levels[j]))
        name = compare.named(names[high], names[low])
        out += [Effect(predictor.name, name, *pair) for pair in zip(at[high], at[low], strict=True)]
    return out


def _level_pairs(predictor: Predictor, how: Any) -> list[tuple[int, int]]:
    """Return the positions of the levels that are compared: the higher and the lower one of each pair."""
    levels = list(predictor.levels)
    if isinstance(how, str) and how in LEVELS:
        rows = contrasts_for(LEVELS[how], list(map(str, levels))).coefficients
        return [(int(np.argmax(row)), int(np.argmin(row))) for row in rows]
    if isinstance(how, tuple | list) and len(how) == 2 and all(level in levels for level in how):
        return [(levels.index(how[1]), levels.index(how[0]))]
    raise SpecificationError(
        f"{predictor.name!r} is a factor: its comparison is 'reference', 'pairwise' or 'sequential', or a pair of its "
        f"levels; found {how!r}"
    )


def _with_level(rows: pd.DataFrame, name: str, level: Hashable) -> pd.DataFrame:
    return rows.assign(**{name: pd.Series([level] * len(rows), index=rows.index)})


def _two_values(name: str, how: Any, x: Array, compare: Comparison) -> tuple[Array, Array, str]:
    """Return the lower and the higher values (n,) of a number, and what their comparison is called."""
    if isinstance(how, str):
        if how == "sd":
            half = 0.5 * float(np.std(x, ddof=1))
            named = "sd, centred" if compare.is_difference else compare.named(f"({name} + sd/2)", f"({name} - sd/2)")
            return x - half, x + half, named
        ends = {"iqr": (25.0, 75.0, "Q3", "Q1"), "minmax": (0.0, 100.0, "max", "min")}
        if how in ends:
            low, high = np.percentile(x, ends[how][:2])
            return np.full(x.size, low), np.full(x.size, high), compare.named(*ends[how][2:])
    elif np.ndim(how) == 0 and isinstance(how, int | float | np.number) and np.isfinite(how):
        named = (
            f"{how:+g}"
            if compare.is_difference
            else compare.named(f"({name} {'-' if how < 0 else '+'} {abs(how):g})", name)
        )
        return x, x + float(how), named
    elif np.shape(how) == (2,):
        low, high = _numbers(name, how)
        return np.full(x.size, low), np.full(x.size, high), compare.named(f"{high:g}", f"{low:g}")
    raise _unknown(name, how)


def _numbers(name: str, how: Any) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in how)
    except (TypeError, ValueError) as error:
        raise _unknown(name, how) from error
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _unknown(name, how)
    return low, high


def _unknown(name: str, how: Any) -> SpecificationError:
    return SpecificationError(
        f"{name!r} is numeric: its comparison is a number to add, a pair of values, 'sd', 'iqr' or 'minmax'; "
        f"found {how!r}"
    )
