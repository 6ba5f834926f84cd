"""Functions of coefficients, tested by the delta method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.distributions import quantile, two_sided
from mixedfx.inference.expressions import Claim, parse_claim
from mixedfx.marginal_means.combine import row_names
from mixedfx.marginal_means.compared import SHORT
from mixedfx.marginal_means.denominators import OfFunctions
from mixedfx.marginal_means.fits import fitted_model
from mixedfx.marginal_means.means import MarginalMeans

__all__ = ["hypotheses"]


def hypotheses(
    fit: Any,
    hypothesis: str | Sequence[str] | Mapping[str, str],
    *,
    ddf: str | float | None = None,
    alpha: float = 0.05,
) -> StatsTable:
    """Estimate and test functions of coefficients, linear or not, by the delta method.

    Parameters
    ----------
    fit : results, MarginalMeans
        Of mixedfx, or of a statsmodels model that was fitted from a formula: functions of the fixed effects. Of
        marginal means or contrasts: functions of their rows, on the scale of the linear predictor.
    hypothesis : str, list of str or dict
        ``"Days / Intercept"``, ``"b1 / b2 = 1"`` (coefficients by position, from 1), ``"exp(x) = 2"``; several between
        commas or in a list; ``{"name": "…"}``. Names are written as they are printed, or between back-quotes. There are
        numbers, ``+ - * / ^ ( )``, and exp, log, log2, log10, log1p, expm1, sqrt, abs, logit (qlogis), expit (plogis).
    ddf : str or number, optional
        As for :func:`mixedfx.emmeans`.
    alpha : float
        One minus the level of the intervals.

    Returns
    -------
    StatsTable
        One row a hypothesis: ``estimate`` of the left side (less the right one, if coefficients stand there too),
        ``null``, what it is compared with, ``std_error, statistic, p_value, conf_low, conf_high``, and ``df`` where it
        is finite.

    Raises
    ------
    SpecificationError
        If a hypothesis has no meaning, names no coefficient, or has no finite value at the estimates.

    Notes
    -----
    The standard error is ``sqrt(g V g')`` with the exact gradient g. A quotient whose denominator may be zero has no
    normal distribution: a profile or a bootstrap is then to be preferred.

    References
    ----------
    Oehlert (1992), Am. Stat. 46, 27.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.hypotheses(fit, "Days / Intercept = 0.03")[["estimate", "std_error"]].round(5).values.tolist()
    [[0.04164, 0.0064]]
    """
    level = checked_alpha(alpha)
    names, beta, denominator, worth = _estimates(fit, ddf)
    claims = {name: parse_claim(text, names, beta) for name, text in _texts(hypothesis).items()}
    frame = _tested(list(claims.values()), denominator, level)
    frame.index = pd.Index(list(claims))
    notes = [*worth, "Standard errors by the delta method."]
    if "df" in frame:
        notes.append(f"Degrees of freedom by {denominator.label}.")
    return StatsTable.from_frame(frame, heading="Functions of coefficients", notes=notes, headers=SHORT)


def _estimates(fit: Any, ddf: str | float | None) -> tuple[list[str], Array, Denominator, tuple[str, ...]]:
    """Names, estimates, their errors, and what these are worth where that must be said."""
    if isinstance(fit, MarginalMeans):
        if ddf is not None:
            raise SpecificationError("ddf= is that of the marginal means: emmeans(fit, …, ddf=…)")
        return row_names(fit.labels), fit.functions.estimates, OfFunctions(fit.functions), fit.functions.model.notes
    model = fitted_model(fit, ddf)
    return list(map(str, model.names)), model.beta, model.denominator, model.notes


def _texts(hypothesis: Any) -> dict[str, str]:
    """Return the hypotheses by name."""
    if isinstance(hypothesis, str):
        parts = [part.strip() for part in hypothesis.split(",")]
        found = dict(zip(parts, parts, strict=True))
    elif isinstance(hypothesis, Mapping):
        found = {str(name): text for name, text in hypothesis.items()}
    elif isinstance(hypothesis, Sequence):
        found = {str(text): text for text in hypothesis}
    else:
        raise TypeError(
            f"hypothesis is a text such as 'b1 / b2 = 1', a list or a dict; found {type(hypothesis).__name__}"
        )
    if not found:
        raise SpecificationError("hypothesis is empty: write for example 'b1 / b2 = 1'")
    for text in found.values():
        if not isinstance(text, str):
            raise TypeError(f"a hypothesis is a text such as 'b1 / b2 = 1'; found {type(text).__name__}")
    return found


def _tested(claims: Sequence[Claim], denominator: Denominator, alpha: float) -> pd.DataFrame:
    rows = np.stack([claim.gradient for claim in claims])
    estimate, null = np.array([claim.value for claim in claims]), np.array([claim.null for claim in claims])
    se = np.sqrt(np.maximum(np.einsum("rp,pq,rq->r", rows, denominator.covariance, rows), 0.0))
    df = np.full(len(se), np.nan)
    if (se > 0).any():
        df[se > 0] = denominator.of_rows(rows[se > 0])
    statistic = np.full(len(se), np.nan)
    np.divide(estimate - null, se, out=statistic, where=se > 0)
    half = quantile(1.0 - 0.5 * alpha, df) * se
    frame = pd.DataFrame(
        {
            "estimate": estimate,
            "null": null,
            "std_error": se,
            "statistic": statistic,
            "p_value": two_sided(statistic, df),
            "conf_low": estimate - half,
            "conf_high": estimate + half,
            "df": df,
        }
    )
    return frame if np.isfinite(df).any() else frame.drop(columns="df")
