"""Several models beside each other: coefficients in columns, criteria in rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_flag
from mixedfx._display import StatsTable, format_number
from mixedfx.analysis_of_variance.comparison import Candidate, candidate, integration_note, labels_of, unlike_rows
from mixedfx.diagnostics import icc, r2
from mixedfx.exceptions import SpecificationError
from mixedfx.explanation.tidy import tidy
from mixedfx.results.base import MixedResults
from mixedfx.results.foreign import ForeignFit, foreign_fit, is_foreign

__all__ = ["compare", "summary_col"]

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
SHORT = {"n_params": "npar", "delta_aic": "Δaic", "r2_marginal": "R²m", "r2_conditional": "R²c"}
LAST = ["observations", "log-likelihood", "AIC", "BIC"]


def _named(fits: Any, names: Any, function: str) -> dict[str, Any]:
    """Return the fits by label, those of statsmodels read."""
    if isinstance(fits, MixedResults) or is_foreign(fits):
        raise SpecificationError(f"give the fits as a list: mfx.{function}([a, b]), with names=[…] for their labels")
    try:
        found = list(fits)
    except TypeError:
        raise SpecificationError(f"fits is a list of fitted models, found {type(fits).__name__}") from None
    if isinstance(fits, dict):
        names, found = (list(fits) if names is None else names), list(fits.values())
    for fit in found:
        if not isinstance(fit, MixedResults) and not is_foreign(fit):
            raise TypeError(f"fitted models are needed, of mixedfx or statsmodels; found {type(fit).__name__}")
    if not found:
        raise SpecificationError("give at least one fitted model")
    if names is not None and (isinstance(names, str) or not all(isinstance(name, str) for name in names)):
        raise SpecificationError(f"names must be {len(found)} different labels, found {names!r}")
    labels = [f"model {i + 1}" for i in range(len(found))] if names is None else list(names)
    if len(labels) != len(found) or len(set(labels)) != len(labels):
        raise SpecificationError(f"names must be {len(found)} different labels, found {labels}")
    return dict(zip(labels, found, strict=True))


def compare(fits: Sequence[Any], names: Sequence[str] | None = None) -> StatsTable:
    """Return models side by side by AIC, BIC, Akaike weights, R squared and intraclass correlation.

    Parameters
    ----------
    fits : list of fitted models, or dict of them by label
        Fits of the same rows and the same response, of mixedfx or of statsmodels (OLS, GLM, discrete models, MixedLM);
        REML fits only beside REML fits with the same fixed effects.
    names : sequence of str, optional
        Labels of the rows.

    Returns
    -------
    StatsTable
        One row a model, the smallest AIC first: ``n_params, llf, aic, delta_aic, weight, bic``, and
        ``r2_marginal, r2_conditional, icc`` where they are defined. ``weight`` is the share of the evidence by AIC. An
        estimated scale counts as a parameter, in models of statsmodels too.

    Raises
    ------
    SpecificationError
        If the fits are not comparable.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> sleep = mfx.load_dataset("sleepstudy")
    >>> fits = [mfx.lmer(f"Reaction ~ Days + ({x} | Subject)", sleep, reml=False) for x in ("1", "Days")]
    >>> mfx.compare(fits, ["intercepts", "slopes"]).to_frame()[["n_params", "aic", "weight"]].round(3)
                n_params       aic  weight
    slopes             6  1763.939     1.0
    intercepts         4  1802.079     0.0
    """
    found = _named(fits, names, "compare")
    models = [candidate(fit) for fit in found.values()]
    _check_comparable(models)
    rows = [_criteria(model) | _explained(fit) for model, fit in zip(models, found.values(), strict=True)]
    frame = pd.DataFrame(rows, index=list(found)).sort_values("aic", kind="stable")
    relative = np.exp(-0.5 * (frame["aic"] - frame["aic"].min()))
    frame.insert(3, "delta_aic", frame["aic"] - frame["aic"].min())
    frame.insert(4, "weight", relative / relative.sum())
    frame = frame.drop(columns=[name for name in ("r2_marginal", "r2_conditional", "icc") if frame[name].isna().all()])
    notes = [f"{name}: {label}" for name, label in zip(found, labels_of(models), strict=True)]
    notes += integration_note(models)
    return StatsTable.from_frame(
        frame, heading="Models compared", notes=notes, formats={"n_params": "count"}, headers=SHORT
    )


def _criteria(model: Candidate) -> dict[str, float]:
    deviance = -2.0 * model.llf
    bic = deviance + float(np.log(model.nobs)) * model.n_params
    return {"n_params": model.n_params, "llf": model.llf, "aic": deviance + 2.0 * model.n_params, "bic": bic}


def _explained(fit: Any) -> dict[str, float]:
    """R squared and intraclass correlation; nan where they are not defined."""
    if not isinstance(fit, MixedResults):
        r_squared = foreign_fit(fit).r_squared
        return {"r2_marginal": r_squared, "r2_conditional": r_squared, "icc": np.nan}
    out = dict.fromkeys(("r2_marginal", "r2_conditional", "icc"), np.nan)
    try:
        explained = r2(fit)
        out |= {"r2_marginal": float(explained["marginal"]), "r2_conditional": float(explained["conditional"])}
        out["icc"] = float(icc(fit)["adjusted"])
    except SpecificationError:
        return out
    return out


def _check_comparable(models: Sequence[Candidate]) -> None:
    reason = unlike_rows(models)
    if reason is not None:
        raise SpecificationError(reason)
    restricted = [model for model in models if model.reml]
    if restricted and len(restricted) < len(models):
        raise SpecificationError(
            "some of the models have restricted likelihoods (REML) and some full ones, which do not compare: "
            "fit all models with reml=False"
        )
    if len({frozenset(model.columns) for model in restricted}) > 1:
        raise SpecificationError(
            "restricted likelihoods compare models with the same fixed effects only; fit all models with reml=False"
        )


def summary_col(
    fits: Sequence[Any], names: Sequence[str] | None = None, *, stars: bool = False, exp: bool = False
) -> StatsTable:
    """Return the parameters of several models in columns, as papers print them.

    Parameters
    ----------
    fits : list of fitted models, or dict of them by label
        Of mixedfx or of statsmodels (OLS, GLM, discrete models, MixedLM).
    names : sequence of str, optional
        Labels of the columns.
    stars : bool
        Mark p-values below 0.05, 0.01 and 0.001.
    exp : bool
        Exponentiate the coefficients: odds ratios, rate ratios.

    Returns
    -------
    StatsTable
        Text: estimates with standard errors in parentheses, also of zero inflation, dispersion, thresholds and other
        parameters of the family; standard deviations and correlations of the random effects and parameters of the
        residual structure; criteria.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> sleep = mfx.load_dataset("sleepstudy")
    >>> fits = [mfx.lmer(f"Reaction ~ Days + ({x} | Subject)", sleep) for x in ("1", "Days")]
    >>> mfx.summary_col(fits, ["intercepts", "slopes"]).to_frame().loc[["Intercept", "Days"]]
                   intercepts          slopes
    Intercept  251.405 (9.747)  251.405 (6.825)
    Days        10.467 (0.804)   10.467 (1.546)
    """
    stars, exp = checked_flag("stars", stars), checked_flag("exp", exp)
    columns = {name: _column(fit, stars, exp) for name, fit in _named(fits, names, "summary_col").items()}
    index = _index([list(column) for column in columns.values()])
    frame = pd.DataFrame(
        {name: [column.get(key, "") for key in index] for name, column in columns.items()}, index=index
    )
    notes = ["Standard errors in parentheses."]
    if exp:
        notes.append("Coefficients are exponentiated, standard errors by the delta method; the tests are unchanged.")
    if stars:
        notes.append("* p < 0.05, ** p < 0.01, *** p < 0.001.")
    return StatsTable.from_frame(frame, heading="Models side by side", notes=notes)


def _index(columns: Sequence[Sequence[str]]) -> list[str]:
    """Rows in the order of their first appearance: coefficients, further parameters, random effects, criteria."""
    found = dict.fromkeys(key for column in columns for key in column if key not in LAST)
    return [*sorted(found, key=lambda key: 2 if " | " in key else int(": " in key)), *LAST]


def _column(fit: Any, stars: bool, exp: bool) -> dict[str, str]:
    model = fit if isinstance(fit, MixedResults) else foreign_fit(fit)
    table = _foreign_table(model, exp) if isinstance(model, ForeignFit) else tidy(model, exponentiate=exp)
    out = {_label(row): _cell(row, stars) for row in table.to_dict("records")}
    criteria = (str(model.nobs), *(format_number(value, 3) for value in (model.llf, model.aic, model.bic)))
    return out | dict(zip(LAST, criteria, strict=True))


def _label(row: dict[Any, Any]) -> str:
    if row["effect"] == "random":
        return f"{row['term'].replace('__', ' ')} | {row['group']}"
    if row["component"] in ("conditional", row["term"]):
        return str(row["term"]) if row["component"] == "conditional" else f"family: {row['term']}"
    return f"{row['component'].replace('_', ' ')}: {row['term']}"


def _cell(row: dict[Any, Any], stars: bool) -> str:
    mark = next((s for p, s in STARS if stars and row["p_value"] < p), "")
    error = "" if np.isnan(row["std_error"]) else f" ({format_number(row['std_error'], 3)})"
    return f"{format_number(row['estimate'], 3)}{mark}{error}"


def _foreign_table(model: ForeignFit, exp: bool) -> pd.DataFrame:
    """The parameters of a model of statsmodels, as :func:`tidy` has them."""
    fixed = model.coefficients.assign(effect="fixed", component="conditional", group="")
    if exp:
        ratio = np.exp(fixed["estimate"])
        fixed = fixed.assign(estimate=ratio, std_error=ratio * fixed["std_error"])
    random = pd.DataFrame(list(model.random), columns=["group", "term", "estimate"]).assign(effect="random")
    random = random.assign(component="conditional", std_error=np.nan, p_value=np.nan)
    return pd.concat([fixed, random], ignore_index=True) if len(random) else fixed
