"""What becomes of two predictions that are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.functions import Functions

__all__ = ["Comparison", "Effect", "comparison_for"]


@dataclass(frozen=True, eq=False)
class Effect:
    """Predictions of every row before and after a change; a slope comes from nothing.

    Attributes
    ----------
    term, contrast : str
        Which predictor changes, and how.
    high : Functions
    low : Functions or None
    """

    term: str
    contrast: str
    high: Functions
    low: Functions | None = None

    def combined(self, shares: Array) -> Effect:
        """Return the averages with the weights ``shares`` (groups, n)."""
        low = None if self.low is None else self.low.combined(shares)
        return Effect(self.term, self.contrast, self.high.combined(shares), low)


def _difference(high: Functions, low: Functions) -> Functions:
    return Functions(high.model, high.values - low.values, high.rows - low.rows)


def _ratio(high: Functions, low: Functions) -> Functions:
    value = high.values / low.values
    return Functions(high.model, value, (high.rows - value[:, None] * low.rows) / low.values[:, None])


def _log_ratio(high: Functions, low: Functions) -> Functions:
    rows = high.rows / high.values[:, None] - low.rows / low.values[:, None]
    return Functions(high.model, np.log(high.values / low.values), rows)


Comparison = Callable[[Functions, Functions], Functions]

COMPARISONS: dict[str, Comparison] = {"difference": _difference, "ratio": _ratio, "lnratio": _log_ratio}


def comparison_for(word: str) -> Comparison:
    """Resolve ``comparison=``."""
    if word not in COMPARISONS:
        raise SpecificationError(f"comparison is one of {', '.join(map(repr, COMPARISONS))}; found {word!r}")
    return COMPARISONS[word]
