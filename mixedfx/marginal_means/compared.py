"""What becomes of two predictions that are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.functions import Functions

__all__ = ["SHORT", "Comparison", "Effect", "comparison_for"]

SHORT = {
    "std_error": "se",
    "conf_low": "lower",
    "conf_high": "upper",
    "p_value": "pvalue",
}  # headings that fit the page


@dataclass(frozen=True, eq=False)
class Effect:
    """Predictions of every row before and after a change; a slope comes from nothing.

    Attributes
    ----------
    term, contrast : str
        Which predictor changes, and how.
    high : Functions
    low : Functions or None
    labels : dict
        Which of several quantities: the category of an ordinal response.
    """

    term: str
    contrast: str
    high: Functions
    low: Functions | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)

    def combined(self, shares: Array) -> Effect:
        """Return the averages with the weights ``shares`` (groups, n)."""
        low = None if self.low is None else self.low.combined(shares)
        return replace(self, high=self.high.combined(shares), low=low)


def _difference(high: Functions, low: Functions) -> Functions:
    return Functions(high.model, high.values - low.values, high.rows - low.rows)


def _ratio(high: Functions, low: Functions) -> Functions:
    with np.errstate(divide="ignore", invalid="ignore"):  # a ratio to zero has no value
        value = high.values / low.values
        return Functions(high.model, value, (high.rows - value[:, None] * low.rows) / low.values[:, None])


def _log_ratio(high: Functions, low: Functions) -> Functions:
    with np.errstate(divide="ignore", invalid="ignore"):  # nor has its logarithm, or one of different signs
        rows = high.rows / high.values[:, None] - low.rows / low.values[:, None]
        return Functions(high.model, np.log(high.values / low.values), rows)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A way to compare two predictions.

    Attributes
    ----------
    of : callable
        From the predictions after and before a change to what is estimated.
    null : float
        What that is if nothing changes.
    words : str
        What is compared, with ``{high}`` and ``{low}``.
    is_difference : bool
    """

    of: Callable[[Functions, Functions], Functions]
    null: float
    words: str
    is_difference: bool = False

    def named(self, high: str, low: str) -> str:
        """Return the name of the comparison of two values."""
        return self.words.format(high=high, low=low)


COMPARISONS = {
    "difference": Comparison(_difference, 0.0, "{high} - {low}", is_difference=True),
    "ratio": Comparison(_ratio, 1.0, "{high} / {low}"),
    "lnratio": Comparison(_log_ratio, 0.0, "ln({high} / {low})"),
}


def comparison_for(word: str) -> Comparison:
    """Resolve ``comparison=``."""
    if word not in COMPARISONS:
        raise SpecificationError(f"comparison is one of {', '.join(map(repr, COMPARISONS))}; found {word!r}")
    return COMPARISONS[word]
