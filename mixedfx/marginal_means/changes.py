"""Changes of predictors, and comparisons of the predictions before and after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.contrasts import bracketed, contrasts_for
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.model import MeansModel
from mixedfx.marginal_means.predictions import Predictions
from mixedfx.matrices.columns import column_from_pandas
from mixedfx.results.adapted import Predictor

__all__ = ["COMPARISONS", "Change", "Comparison", "ComparisonName", "changes", "comparison_for", "level_changes"]


@dataclass(frozen=True, eq=False)
class Change:
    """Predictions of every row before and after a change of a predictor; for a slope only the slope itself.

    Attributes
    ----------
    term, contrast : str
        The predictor that changes, and the change.
    high : Functions
    low : Functions or None
    """

    term: str
    contrast: str
    high: Functions
    low: Functions | None = None

    def combined(self, shares: Array) -> Change:
        """Return weighted averages; ``shares`` (groups, n) are the weights."""
        low = None if self.low is None else self.low.combined(shares)
        return replace(self, high=self.high.combined(shares), low=low)


def _difference(high: Functions, low: Functions) -> Functions:
    return Functions(high.of, high.values - low.values, high.rows - low.rows)


def _ratio(high: Functions, low: Functions) -> Functions:
    with np.errstate(divide="ignore", invalid="ignore"):  # a ratio to zero has no value
        value = high.values / low.values
        return Functions(high.of, value, (high.rows - value[:, None] * low.rows) / low.values[:, None])


def _log_ratio(high: Functions, low: Functions) -> Functions:
    with np.errstate(divide="ignore", invalid="ignore"):  # nor has its logarithm, or one of different signs
        rows = high.rows / high.values[:, None] - low.rows / low.values[:, None]
        return Functions(high.of, np.log(high.values / low.values), rows)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A way to compare two predictions.

    Attributes
    ----------
    of : callable
        Maps the predictions after and before a change to their comparison.
    null : float
        Its value if nothing changes.
    words : str
        Its name, with ``{high}`` and ``{low}`` for the values.
    is_difference : bool
    """

    of: Callable[[Functions, Functions], Functions]
    null: float
    words: str
    is_difference: bool = False

    def named(self, high: str, low: str) -> str:
        """Return the name of the comparison of two values."""
        return self.words.format(high=high, low=low)


ComparisonName: TypeAlias = Literal["difference", "ratio", "lnratio"]
COMPARISONS: dict[str, Comparison] = {
    "difference": Comparison(_difference, 0.0, "{high} - {low}", is_difference=True),
    "ratio": Comparison(_ratio, 1.0, "{high} / {low}"),
    "lnratio": Comparison(_log_ratio, 0.0, "ln({high} / {low})"),
}


def comparison_for(word: str) -> Comparison:
    """Resolve ``comparison=``."""
    return checked_choice("comparison", word, COMPARISONS)


# ---------------------------------------------------------------- changes
LEVELS = {"reference": "treatment", "pairwise": "revpairwise", "sequential": "sequential"}


def changes(
    model: MeansModel, rows: pd.DataFrame, predictor: Predictor, how: Any, predict: Predictions, compare: Comparison
) -> list[Change]:
    """Return the comparisons of a predictor: of levels, or of two values of a number.

    Parameters
    ----------
    model : MeansModel
    rows : DataFrame
        Each is predicted before and after the change.
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
    x = column_from_pandas(predictor.name, rows[predictor.name]).numbers
    low, high, name = _two_values(predictor.name, how, x, compare)
    before, after = (predict.of(model, rows.assign(**{predictor.name: value})) for value in (low, high))
    return [Change(predictor.name, name, last, first) for first, last in zip(before, after, strict=True)]


def level_changes(
    model: MeansModel, rows: pd.DataFrame, predictor: Predictor, how: Any, predict: Predictions, compare: Comparison
) -> list[Change]:
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
                level = pd.Series([predictor.levels[j]] * len(rows), index=rows.index)
                at[j] = predict.of(model, rows.assign(**{predictor.name: level}))
        name = compare.named(names[high], names[low])
        out += [Change(predictor.name, name, *pair) for pair in zip(at[high], at[low], strict=True)]
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


def _two_values(name: str, how: Any, x: Array, compare: Comparison) -> tuple[Array, Array, str]:
    """Return the lower and the higher values (n,) of a number, and what their comparison is called."""
    if isinstance(how, str) and how in SPANS:
        return SPANS[how](name, x, compare)
    if np.ndim(how) == 0 and isinstance(how, int | float | np.number) and np.isfinite(how):
        if compare.is_difference:
            return x, x + float(how), f"{how:+g}"
        return x, x + float(how), compare.named(f"({name} {'-' if how < 0 else '+'} {abs(how):g})", name)
    try:
        low, high = (float(value) for value in how) if np.shape(how) == (2,) else (np.nan, np.nan)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite(low) and np.isfinite(high)):
        raise SpecificationError(
            f"{name!r} is numeric: its comparison is a number to add, a pair of values, 'sd', 'iqr' or 'minmax'; "
            f"found {how!r}"
        )
    return np.full(x.size, low), np.full(x.size, high), compare.named(f"{high:g}", f"{low:g}")


def _standard_deviation(name: str, x: Array, compare: Comparison) -> tuple[Array, Array, str]:
    half = 0.5 * float(np.std(x, ddof=1))
    named = "sd, centred" if compare.is_difference else compare.named(f"({name} + sd/2)", f"({name} - sd/2)")
    return x - half, x + half, named


def _quartiles(name: str, x: Array, compare: Comparison) -> tuple[Array, Array, str]:
    low, high = np.percentile(x, (25.0, 75.0))
    return np.full(x.size, low), np.full(x.size, high), compare.named("Q3", "Q1")


def _extremes(name: str, x: Array, compare: Comparison) -> tuple[Array, Array, str]:
    return np.full(x.size, x.min()), np.full(x.size, x.max()), compare.named("max", "min")


SPANS: dict[str, Callable[[str, Array, Comparison], tuple[Array, Array, str]]] = {
    "sd": _standard_deviation,
    "iqr": _quartiles,
    "minmax": _extremes,
}
