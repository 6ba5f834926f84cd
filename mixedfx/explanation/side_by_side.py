"""Several models beside each other: coefficients in columns, criteria in rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable, format_number
from mixedfx.diagnostics import icc, r2
from mixedfx.exceptions import SpecificationError
from mixedfx.explanation.tidy import tidy
from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["compare", "summary_col"]

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


def _named(fits: Sequence[Any], names: Sequence[str] | None) -> dict[str, MixedResults]:
    for fit in fits:
        if not isinstance(fit, MixedResults):
            raise TypeError(f"fitted mixed models are needed, found {type(fit).__name__}")
    if not fits:
        raise SpecificationError("give at least one fitted model")
    labels = [f"model {i + 1}" for i in range(len(fits))] if names is None else list(names)
    if len(labels) != len(fits) or len(set(labels)) != len(labels):
        raise SpecificationError(f"names must be {len(fits)} different labels, found {labels}")
    return dict(zip(labels, fits, strict=True))


def compare(fits: Sequence[Any], names: Sequence[str] | None = None) -> StatsTable:
    """Return models side by side by AIC, BIC, Akaike weights, R squared and intraclass correlation.

    Parameters
    ----------
    fits : sequence of fitted mixed models
        Fits of the same rows; REML fits only beside REML fits with the same fixed effects.
    names : sequence of str, optional
        Labels of the rows.

    Returns
    -------
    StatsTable
        One row a model, the smallest AIC first; ``weight`` is the share of the evidence by AIC.

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
    models = _named(fits, names)
    _check_comparable(list(models.values()))
    rows = [_row(model) for model in models.values()]
    frame = pd.DataFrame(rows, index=list(models)).sort_values("aic")
    relative = np.exp(-0.5 * (frame["aic"] - frame["aic"].min()))
    frame.insert(3, "delta_aic", frame["aic"] - frame["aic"].min())
    frame.insert(4, "weight", relative / relative.sum())
    notes = [f"{name}: {model.design.formula}" for name, model in models.items()]
    return StatsTable.from_frame(frame, heading="Models compared", notes=notes, formats={"n_params": "count"})


def _row(model: MixedResults) -> dict[str, float]:
    row = {"n_params": model.n_parameters, "llf": model.llf, "aic": model.aic, "bic": model.bic}
    if isinstance(model, LinearMixedResults):
        explained = r2(model)
        row |= {"r2_marginal": float(explained["marginal"]), "r2_conditional": float(explained["conditional"])}
        row["icc"] = float(icc(model)["adjusted"])
    return row


def _check_comparable(models: Sequence[MixedResults]) -> None:
    if len({model.nobs for model in models}) > 1:
        counts = ", ".join(str(model.nobs) for model in models)
        raise SpecificationError(f"the models use different numbers of rows ({counts}); fit them to the same rows")
    restricted = [model for model in models if isinstance(model, LinearMixedResults) and model.reml]
    if restricted and (len(restricted) < len(models) or len({tuple(m.design.fixed.names) for m in restricted}) > 1):
        raise SpecificationError(
            "restricted likelihoods compare models with the same fixed effects only; fit all models with reml=False"
        )


def summary_col(fits: Sequence[Any], names: Sequence[str] | None = None, *, stars: bool = False) -> StatsTable:
    """Return the parameters of several models in columns, as papers print them.

    Parameters
    ----------
    fits : sequence of fitted mixed models
    names : sequence of str, optional
        Labels of the columns.
    stars : bool
        Mark p-values below 0.05, 0.01 and 0.001.

    Returns
    -------
    StatsTable
        Text: estimates with standard errors in parentheses, standard deviations of the random effects, criteria.

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
    models = _named(fits, names)
    columns = {name: _column(model, stars) for name, model in models.items()}
    index = list(dict.fromkeys(key for column in columns.values() for key in column))
    last = ["observations", "log-likelihood", "AIC", "BIC"]
    index = [key for key in index if key not in last] + last
    frame = pd.DataFrame(
        {name: [column.get(key, "") for key in index] for name, column in columns.items()}, index=index
    )
    notes = ["Standard errors in parentheses."]
    if stars:
        notes.append("* p < 0.05, ** p < 0.01, *** p < 0.001.")
    return StatsTable.from_frame(frame, heading="Models side by side", notes=notes)


def _column(model: MixedResults, stars: bool) -> dict[str, str]:
    table = tidy(model)
    out = {}
    for row in table.to_dict("records"):
        estimate = format_number(row["estimate"], 3)
        if row["effect"] == "fixed":
            mark = next((s for p, s in STARS if stars and row["p_value"] < p), "")
            out[str(row["term"])] = f"{estimate}{mark} ({format_number(row['std_error'], 3)})"
        else:
            out[f"{row['term'].replace('__', ' ')} | {row['group']}"] = estimate
    out |= {"observations": str(model.nobs), "log-likelihood": format_number(model.llf, 3)}
    return out | {"AIC": format_number(model.aic, 3), "BIC": format_number(model.bic, 3)}
