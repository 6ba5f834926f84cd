"""How a coefficient is read: as a difference, as a ratio of odds, of means or of hazards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfx._display import format_number, format_p
from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.success import success_of

__all__ = ["Reading", "number", "reading_of"]


def number(value: float) -> str:
    """Return a number as sentences have it."""
    return format_number(float(value), 3)


def p_value(p: float) -> str:
    """Return a p-value as sentences have it; nothing where there is none."""
    shown = format_p(float(p))
    return "" if not np.isfinite(p) else f", p {shown}" if shown.startswith("<") else f", p = {shown}"


@dataclass(frozen=True)
class Reading:
    """What a linear predictor says of the response.

    Attributes
    ----------
    quantity : str
        What is changed or multiplied: ``"expected distance"``, ``"odds of use = 'Y'"``.
    ratio : bool
        Whether coefficients are logarithms of ratios.
    ratio_name : str
        ``"odds ratio"``, ``"ratio of rates"``, …; empty for differences.
    """

    quantity: str
    ratio: bool = False
    ratio_name: str = ""

    def value(self, x: float) -> str:
        """Return a coefficient as it is read."""
        with np.errstate(over="ignore"):  # a separated coefficient has an infinite ratio
            return number(np.exp(x) if self.ratio else x)

    def effect(self, x: float) -> str:
        """Return what one coefficient does: "multiplies the odds of success by 2.1", "changes … by 0.6"."""
        if self.ratio:
            return f"multiplies the {self.quantity} by {self.value(x)}"
        return f"changes the {self.quantity} by {self.value(x)}"

    def certainty(self, low: float, high: float, p: float) -> str:
        """Return the interval and the p-value, in parentheses."""
        name = f"{self.ratio_name}; " if self.ratio_name else ""
        if not (np.isfinite(low) or np.isfinite(high)):
            return f"({name}no finite interval)" if name else "(no finite interval)"
        return f"({name}95 % interval {self.value(low)} to {self.value(high)}{p_value(p)})"


def reading_of(fit: MixedResults) -> Reading:
    """Return how the fixed effects of a fit are read."""
    name = fit.design.response.name
    if isinstance(fit, LinearMixedResults):
        return Reading(f"expected {name}")
    family: Any = fit.model.family
    link = str(family.link.name)
    if not family.has_intercept:
        return _ordinal(name, link)
    if family.proportions:
        return _proportion(success_of(fit), link)
    what = _mean_of(fit, family)
    if link == "identity":
        return Reading(what)
    if link == "log":
        return Reading(what, True, "ratio of rates" if fit.design.offset is not None else "ratio of means")
    if link == "logit":
        return Reading(f"odds of the {what}", True, "odds ratio")
    return Reading(f"{what} on the {link} scale")


def _ordinal(name: str, link: str) -> Reading:
    if link == "logit":
        return Reading(f"odds of a higher category of {name}", True, "odds ratio")
    return Reading(f"place of {name} on the {link} scale of its thresholds")


def _proportion(success: str, link: str) -> Reading:
    if link == "logit":
        return Reading(f"odds of {success}", True, "odds ratio")
    if link == "log":
        return Reading(f"probability of {success}", True, "ratio of probabilities")
    if link == "cloglog":
        return Reading(f"hazard of {success}", True, "hazard ratio")
    return Reading(f"probability of {success}" + ("" if link == "identity" else f" on the {link} scale"))


def _mean_of(fit: MixedResults, family: Any) -> str:
    name = fit.design.response.name
    if "zero_inflation" in family.predictors:
        hurdle = str(family.name).startswith("hurdle")
        return f"mean of the untruncated counts of {name}" if hurdle else f"expected {name} apart from extra zeros"
    if str(family.name).startswith("truncated"):
        return f"mean of the untruncated counts of {name}"
    return f"expected {name}"
