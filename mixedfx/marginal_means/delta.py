"""Functions of coefficients and of means by the delta method: those that the user writes, and effect sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_positive
from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.ddf import DdfName
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.expressions import Claim, listed_claims, parse_claim
from mixedfx.marginal_means.functions import (
    SHORT_HEADERS,
    Functions,
    FunctionsDenominator,
    WiderDenominator,
    wald_columns,
)
from mixedfx.marginal_means.labels import row_names
from mixedfx.marginal_means.means import MarginalMeans
from mixedfx.marginal_means.scales import IDENTITY
from mixedfx.results.adapted import ObservationSpread
from mixedfx.results.adapters import adapted

__all__ = ["eff_size", "hypotheses"]


def hypotheses(
    fit: Any,
    hypothesis: str | Sequence[str] | Mapping[str, str],
    *,
    ddf: DdfName | float | None = None,
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
    names, beta, denominator, remarks = _estimates(fit, ddf)
    claims = {name: parse_claim(text, names, beta) for name, text in _texts(hypothesis, names).items()}
    frame = _tested(list(claims.values()), denominator, level)
    frame.index = pd.Index(list(claims))
    notes = [*remarks, "Standard errors by the delta method."]
    if "df" in frame:
        notes.append(f"Degrees of freedom by {denominator.label}.")
    return StatsTable.from_frame(frame, heading="Functions of coefficients", notes=notes, headers=SHORT_HEADERS)


def _estimates(fit: Any, ddf: DdfName | float | None) -> tuple[list[str], Array, Denominator, Sequence[str]]:
    """Names, estimates, their errors, and notes on what these are worth."""
    if isinstance(fit, MarginalMeans):
        if ddf is not None:
            raise SpecificationError("ddf= is that of the marginal means: emmeans(fit, …, ddf=…)")
        functions = fit.functions
        return row_names(fit.labels), functions.estimates, FunctionsDenominator(functions), functions.of.notes
    source = adapted(fit, ddf)
    return list(map(str, source.names)), source.beta, source.denominator, source.notes


def _texts(hypothesis: Any, names: Sequence[str]) -> dict[str, str]:
    """Return the hypotheses by name."""
    if isinstance(hypothesis, str):
        hypothesis = listed_claims(hypothesis, names)
    if isinstance(hypothesis, Mapping):
        texts = {str(name): text for name, text in hypothesis.items()}
    elif isinstance(hypothesis, Sequence):
        texts = {str(text): text for text in hypothesis}
    else:
        raise TypeError(
            f"hypothesis is a text such as 'b1 / b2 = 1', a list or a dict; found {type(hypothesis).__name__}"
        )
    if not texts:
        raise SpecificationError("hypothesis is empty: write for example 'b1 / b2 = 1'")
    for text in texts.values():
        if not isinstance(text, str):
            raise TypeError(f"a hypothesis is a text such as 'b1 / b2 = 1'; found {type(text).__name__}")
    return texts


def _tested(claims: Sequence[Claim], denominator: Denominator, alpha: float) -> pd.DataFrame:
    rows = np.stack([claim.gradient for claim in claims])
    estimate, null = np.array([claim.value for claim in claims]), np.array([claim.null for claim in claims])
    se = np.sqrt(np.maximum(np.einsum("rp,pq,rq->r", rows, denominator.covariance, rows), 0.0))
    df = np.full(len(se), np.nan)
    if (se > 0).any():
        df[se > 0] = denominator.of_rows(rows[se > 0])
    columns = wald_columns(estimate, se, df, null=null, alpha=alpha)
    frame = pd.DataFrame(columns)
    frame.insert(1, "null", null)
    return frame if np.isfinite(df).any() else frame.drop(columns="df")


# ---------------------------------------------------------------- effect sizes
def eff_size(means: MarginalMeans, sigma: float | None = None, df: float | None = None) -> MarginalMeans:
    """Return Cohen's d of contrasts: differences over the standard deviation of an observation, with intervals.

    Parameters
    ----------
    means : MarginalMeans
        Contrasts; of means all pairwise differences are taken.
    sigma : float, optional
        The standard deviation. By default that of an observation around its mean: of a linear model the residual's, of
        a linear mixed model that of random effects and residual together, averaged over the rows (Westfall, Judd and
        Kenny 2014). ``sigma=fit.sigma`` measures in units of the residual alone.
    df : float, optional
        Degrees of freedom with which ``sigma`` is known; infinite (a fixed number) if ``sigma`` is given without them.

    Returns
    -------
    MarginalMeans
        Estimates ``d`` with standard errors ``sqrt(se^2 / sigma^2 + d^2 / (2 df))``, as R's ``eff_size``; intervals and
        tests have the degrees of freedom of each contrast (R's: the fewest of the means).

    Raises
    ------
    SpecificationError
        If ``sigma`` or ``df`` is not positive, or the model has no such standard deviation and none is given.

    References
    ----------
    Cohen (1988), Statistical Power Analysis; Westfall, Judd & Kenny (2014), J. Exp. Psychol. Gen. 143, 2020.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
    >>> sizes = mfx.eff_size(mfx.emmeans(fit, "Type"), sigma=fit.sigma, df=24)
    >>> sizes.to_frame()[["contrast", "effect_size", "se"]].round(3).head(2)
      contrast  effect_size     se
    0  T1 - T2       -3.534  0.695
    1  T1 - T3       -2.020  0.554
    """
    if not isinstance(means, MarginalMeans):
        raise TypeError(f"means are those of emmeans(fit, …), or contrasts of them; found {type(means).__name__}")
    contrasts = means if means.is_comparison else means.pairs(adjust="none")
    spread = _spread(means, sigma, df)
    functions, source = contrasts.functions, contrasts.functions.of
    d = functions.values / spread.sd
    with_spread = replace(  # the logarithm of a standard deviation has variance 1 / (2 df)
        source,
        beta=np.append(source.beta, np.log(spread.sd)),
        denominator=WiderDenominator(source.denominator, np.array([[0.5 / spread.df]])),
        kept=np.append(source.kept, functions.rows.shape[1]).astype(np.intp),
        silent=np.vstack([source.silent, np.zeros((1, source.silent.shape[1]))]),
        usual_rows=None,
    )
    known = "" if np.isinf(spread.df) else f", {spread.df:.4g} degrees of freedom"
    return contrasts.changed(
        functions=Functions(with_spread, d, np.column_stack([functions.rows / spread.sd, -d])),
        kind=contrasts.kind.sizes(),
        scale=IDENTITY,
        response=None,
        remarks=(*contrasts.remarks, f"In units of {spread.sd:.4g} ({spread.words}{known})."),
        scale_remarks=contrasts.scale_remarks if contrasts.scale.is_identity else (),  # sizes are never ratios
    )


def _spread(means: MarginalMeans, sigma: Any, df: Any) -> ObservationSpread:
    if sigma is not None:
        return ObservationSpread(
            checked_positive("sigma", sigma),
            np.inf if df is None else checked_positive("df", df, may_be_infinite=True),
            "sigma as given",
        )
    spread = None if means.model.fit.spread is None else means.model.fit.spread()
    if spread is None:
        raise SpecificationError(
            "this model has no single standard deviation of an observation: say in which unit effects are measured, "
            "eff_size(…, sigma=…, df=…)"
        )
    return spread if df is None else replace(spread, df=checked_positive("df", df, may_be_infinite=True))
