"""Fitted models as tables: one row a parameter, a model or an observation; several models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx._display import StatsTable, format_number
from mixedfx._suggestions import wrong_fit
from mixedfx._typing import Array, BoolArray
from mixedfx.analysis_of_variance.comparison import (
    Candidate,
    candidate,
    integration_note,
    labels_of,
    unlike_criteria,
    unlike_rows,
)
from mixedfx.diagnostics import icc, r2
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.likelihood_ratio import likelihood_ratio
from mixedfx.matrices import Design
from mixedfx.matrices.columns import TimeColumn
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.frame import Frame, FrameRows, as_frame, plain_frame
from mixedfx.matrices.new_rows import NewLevelsName
from mixedfx.matrices.response import is_cbind, read_response
from mixedfx.matrices.rows import complete_rows, missing_of
from mixedfx.matrices.values import Factor
from mixedfx.results.base import MixedResults, results_of_ours
from mixedfx.results.foreign import ForeignFit, foreign_fit, is_foreign
from mixedfx.results.tested import TestedCoefficients

__all__ = ["augment", "compare", "glance", "summary_col", "tidy"]

# ------------------------------------------------------------------ parameters and models
COLUMNS = [
    *("effect", "component", "group", "term", "estimate", "std_error", "statistic", "df", "p_value"),
    *("conf_low", "conf_high"),
]


def _checked(fit: Any) -> MixedResults:
    results = results_of_ours(fit)
    if results is None:
        raise wrong_fit("a fitted mixed model", "is needed", fit)
    return results


def tidy(fit: Any, *, alpha: float = 0.05, exponentiate: bool = False) -> pd.DataFrame:
    """Return the parameters of a fit, one row each.

    Parameters
    ----------
    fit : fitted mixed model, Pooled, Robust
        What :func:`mixedfx.pool` and ``fit.robust()`` return is laid out alike, as far as it goes.
    alpha : float
        One minus the level of the confidence limits.
    exponentiate : bool
        Whether coefficients and their limits are exponentiated (odds ratios, rate ratios), and standard errors
        multiplied by the result; tests are those of the coefficients themselves.

    Returns
    -------
    DataFrame
        ``effect`` ("fixed" or "random"), ``component``, ``group``, ``term``, ``estimate`` (for random effects standard
        deviations and correlations), ``std_error, statistic, df, p_value, conf_low, conf_high``. The component is
        "conditional" for the model of the mean, and else "zero_inflation", "dispersion", "thresholds", another
        parameter of the family ("df", "power"; on its natural scale, named twice), or "residual" for the parameters of
        a residual structure.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.tidy(fit)[["effect", "group", "term", "estimate"]].round(2)
       effect     group                  term  estimate
    0   fixed                       Intercept    251.41
    1   fixed                            Days     10.47
    2  random   Subject         sd__Intercept     24.74
    3  random   Subject              sd__Days      5.92
    4  random   Subject  cor__Intercept__Days      0.07
    5  random  Residual       sd__Observation     25.59
    """
    results: Any = fit if isinstance(fit, TestedCoefficients) else _checked(fit)
    alpha = checked_alpha(alpha)
    rows = [_fixed_rows(results, alpha), _further_rows(results, alpha)]
    rows.append(pd.DataFrame(_random_rows(results), columns=["effect", "group", "term", "estimate"]))
    rows[-1].insert(1, "component", "conditional")
    table = pd.concat([rows[0], *(part for part in rows[1:] if len(part))], ignore_index=True)[COLUMNS]
    return _exponentiated(table) if checked_flag("exponentiate", exponentiate) else table


def _fixed_rows(results: MixedResults | TestedCoefficients, alpha: float) -> pd.DataFrame:
    limits = results.conf_int(alpha=alpha)
    return pd.DataFrame(
        {
            "effect": "fixed",
            "component": "conditional",
            "group": "",
            "term": list(results.params.index),
            "estimate": np.asarray(results.params, dtype=float),
            "std_error": np.asarray(results.bse, dtype=float),
            "statistic": np.asarray(results.tvalues, dtype=float),
            "df": np.asarray(results.df, dtype=float),
            "p_value": np.asarray(results.pvalues, dtype=float),
            "conf_low": np.asarray(limits["lower"], dtype=float),
            "conf_high": np.asarray(limits["upper"], dtype=float),
        }
    )


def _further_rows(results: MixedResults | TestedCoefficients, alpha: float) -> pd.DataFrame:
    further = results._further_table(alpha)
    is_residual = further["component"] == "residual"
    tested = further["statistic"].notna()
    return further.assign(
        effect=np.where(is_residual, "random", "fixed"),
        group=np.where(is_residual, "Residual", ""),
        df=further["df"] if "df" in further else np.where(tested, np.inf, np.nan),
    )


def _exponentiated(table: pd.DataFrame) -> pd.DataFrame:
    """The table with coefficients as ratios; what is no coefficient of a linear predictor stays."""
    is_natural = (table["component"] == table["term"]) | (table["component"] == "thresholds")
    at = (table["effect"] == "fixed") & ~is_natural
    out = table.copy()
    with np.errstate(over="ignore"):  # a separated coefficient has an infinite ratio
        for name in ("estimate", "conf_low", "conf_high"):
            out.loc[at, name] = np.exp(table.loc[at, name])
        out.loc[at, "std_error"] = out.loc[at, "estimate"] * table.loc[at, "std_error"]
    return out


def _random_rows(results: MixedResults | TestedCoefficients) -> list[tuple[str, str, str, float]]:
    rows = []
    for term in results.varcorr.terms:
        rows += [("random", term.group, f"sd__{name}", float(sd)) for name, sd in zip(term.names, term.sd, strict=True)]
        if term.correlated:
            rows += [
                ("random", term.group, f"cor__{term.names[j]}__{term.names[i]}", float(term.correlation[i, j]))
                for j in range(len(term.names))
                for i in range(j + 1, len(term.names))
            ]
    residual = results.varcorr.residual
    if residual is not None:
        rows.append(("random", "Residual", "sd__Observation", float(np.sqrt(residual))))
    return rows


def glance(fit: Any) -> pd.DataFrame:
    """Return a fit in one row: ``nobs, sigma, llf, aic, bic, deviance, df_resid, converged, singular``.

    Parameters
    ----------
    fit : fitted mixed model

    Returns
    -------
    DataFrame
        One row.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.glance(fit)[["nobs", "llf", "df_resid", "converged"]].round(2)
       nobs     llf  df_resid  converged
    0   180 -871.81       174       True
    """
    results = _checked(fit)
    residual = results.varcorr.residual
    row = {
        "nobs": results.nobs,
        "sigma": np.nan if residual is None else float(np.sqrt(residual)),
        "llf": results.llf,
        "aic": results.aic,
        "bic": results.bic,
        "deviance": results.deviance,
        "df_resid": results.df_resid,
        "converged": results.converged,
        "singular": results.is_singular,
    }
    return pd.DataFrame([row])


# ------------------------------------------------------------------ observations
def augment(fit: Any, data: Any = None, *, new_levels: NewLevelsName = "error", offset: Any = None) -> pd.DataFrame:
    """Return rows with fitted values and residuals beside them.

    Parameters
    ----------
    fit : fitted mixed model
    data : data frame or dict of arrays, optional
        The data that were fitted: its used rows are put before the new columns. Or other rows, which are predicted.
    new_levels : str
        As for ``fit.predict``, for other rows: ``"error"``, ``"population"`` or ``"nan"``.
    offset : str or array, optional
        As for ``fit.predict``, for other rows.

    Returns
    -------
    DataFrame
        ``.fitted`` (conditional), ``.fixed`` (population), ``.resid``; indexed as the rows. The residuals of other rows
        are nan where they lack the response.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> sleep = mfx.load_dataset("sleepstudy")
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> mfx.augment(fit, sleep).head(2).round(1)
       Reaction  Days Subject  .fitted  .fixed  .resid
    0     249.6     0     308    253.7   251.4    -4.1
    1     258.7     1     308    273.3   261.9   -14.6
    >>> mfx.augment(fit, {"Days": [12], "Subject": ["308"]}).round(1)
       Days Subject  .fitted  .fixed  .resid
    0    12     308    489.7   377.0     NaN
    """
    results = _checked(fit)
    fitted_columns = pd.DataFrame(
        {".fitted": results.fittedvalues, ".fixed": results.predict(random=False), ".resid": results.resid}
    )
    if data is None:
        return fitted_columns
    frame = as_frame(data)
    if _is_fitted(results, frame):
        keep = results.design.keep
        rows = plain_frame(data)
        used: pd.DataFrame = rows if keep is None else rows.loc[keep]
        return pd.concat([used, fitted_columns.set_axis(used.index)], axis=1)
    fitted = results.predict(data, new_levels=new_levels, offset=offset)
    beside = pd.DataFrame(
        {
            ".fitted": fitted,
            ".fixed": results.predict(data, random=False, offset=offset),
            ".resid": _new_response(results, frame) - fitted.to_numpy(),
        }
    )
    return pd.concat([plain_frame(data), beside], axis=1)


def _is_fitted(results: Any, frame: Frame) -> bool:
    """Whether the rows are those that were fitted: as many, with the same labels and the same values."""
    design, inputs = results.design, results.model.inputs
    n = design.n_rows if design.keep is None else design.keep.size
    if len(frame) != n:
        return False
    if inputs is None:
        return True
    known = inputs.frame
    shared = [name for name in known.names if name in frame]
    if not shared:
        return bool(frame.index.equals(known.index))
    return all(_same(known, frame, name) for name in shared)


def _same(first: Frame, second: Frame, name: str) -> bool:
    one, two = first.column(name), second.column(name)
    if one.is_factor or two.is_factor or isinstance(one, TimeColumn) or isinstance(two, TimeColumn):
        codes = two.labels.recode(one.labels.levels)
        return bool(np.array_equal(codes, one.labels.codes))
    return bool(np.array_equal(one.numbers, two.numbers, equal_nan=True))


def _new_response(results: Any, frame: Frame) -> Array:
    """Return the response (n,) of other rows as the fit has it; nan where they lack it."""
    design: Design = results.design
    expression, functions = design.formula.response, design.fixed.encoder.functions
    out = np.full(len(frame), np.nan)
    if not all(name in frame for name in expression.columns):
        return out
    keep: BoolArray | None = complete_rows(len(frame), missing_of(frame, (expression,), functions)).keep
    rows = FrameRows(frame, keep)
    if not rows.size:
        return out
    value = Evaluator(rows, functions, {})
    at = slice(None) if keep is None else keep
    if is_cbind(expression):
        response = read_response(expression, value, "binomial", None)
        out[at] = response.values if response.trials is None else np.where(response.trials > 0, response.values, np.nan)
        return out
    values = value.unchecked(expression)
    categories = design.response.categories
    if categories is None:
        out[at] = np.nan if isinstance(values, Factor) else values
        return out
    labels = [values.levels[code] for code in values.labels.codes] if isinstance(values, Factor) else values
    first = 0 if results.solution.family.proportions else 1  # failure and success, or the first category
    places = {category: float(place) for place, category in enumerate(categories, first)}
    out[at] = [places.get(label, np.nan) for label in labels]
    return out


# ------------------------------------------------------------------ several models
LARGEST_ERROR = 0.2  # of a difference of AIC: a tenth of a weight
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
SHORT = {
    "n_params": "npar",
    "delta_aic": "Δaic",
    "delta_error": "mc err",
    "r2_marginal": "R²m",
    "r2_conditional": "R²c",
}
LAST = ["observations", "log-likelihood", "AIC", "BIC"]


def _is_fit(given: Any) -> bool:
    return results_of_ours(given) is not None or is_foreign(given)


def _named(fits: Any, names: Any, function: str) -> dict[str, Any]:
    """Return the fits by label, those of statsmodels read."""
    if _is_fit(fits):
        raise SpecificationError(f"give the fits as a list: mfx.{function}([a, b]), with names=[…] for their labels")
    try:
        models = list(fits)
    except TypeError:
        raise SpecificationError(f"fits is a list of fitted models, found {type(fits).__name__}") from None
    if isinstance(fits, dict):
        names, models = (list(fits) if names is None else names), list(fits.values())
    for fit in models:
        if not _is_fit(fit):
            raise wrong_fit("fitted models", "are needed, of mixedfx or statsmodels", fit)
    if not models:
        raise SpecificationError("give at least one fitted model")
    if names is not None and (isinstance(names, str) or not all(isinstance(name, str) for name in names)):
        raise SpecificationError(f"names must be {len(models)} different labels, found {names!r}")
    labels = [f"model {i + 1}" for i in range(len(models))] if names is None else list(names)
    if len(labels) != len(models) or len(set(labels)) != len(labels):
        raise SpecificationError(f"names must be {len(models)} different labels, found {labels}")
    return dict(zip(labels, models, strict=True))


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
    fits_by_label = _named(fits, names, "compare")
    models = [candidate(fit) for fit in fits_by_label.values()]
    _check_comparable(models)
    rows = [_criteria(model) | _explained(fit) for model, fit in zip(models, fits_by_label.values(), strict=True)]
    frame = pd.DataFrame(rows, index=list(fits_by_label)).sort_values("aic", kind="stable")
    relative = np.exp(-0.5 * (frame["aic"] - frame["aic"].min()))
    frame.insert(3, "delta_aic", frame["aic"] - frame["aic"].min())
    frame.insert(4, "weight", relative / relative.sum())
    frame = frame.drop(columns=[name for name in ("r2_marginal", "r2_conditional", "icc") if frame[name].isna().all()])
    notes = [f"{name}: {label}" for name, label in zip(fits_by_label, labels_of(models), strict=True)]
    notes += integration_note(models) + _sampled(frame, dict(zip(fits_by_label, models, strict=True)))
    return StatsTable.from_frame(
        frame, heading="Models compared", notes=notes, formats={"n_params": "count"}, headers=SHORT
    )


def _sampled(frame: pd.DataFrame, models: Mapping[str, Candidate]) -> list[str]:
    """Enter the Monte Carlo errors of the differences; take weights away that they leave open. Return what to say."""
    best, *others = (models[name] for name in frame.index)
    ratios = [likelihood_ratio((best.llf, best.llfs), (one.llf, one.llfs)) for one in (best, *others)]
    errors = np.array([ratio.error for ratio in ratios])
    if not errors.any():
        return []
    frame.insert(list(frame).index("delta_aic") + 1, "delta_error", errors)
    note = "delta_error is the Monte Carlo standard deviation of delta_aic: likelihoods were estimated by random probes"
    if errors.max() <= LARGEST_ERROR:
        return [f"{note}."]
    frame["weight"] = np.nan
    return [f"{note}; there are no weights before all models are fitted with more, control=mfx.Control(probes=…)."]


def _criteria(model: Candidate) -> dict[str, float]:
    deviance = -2.0 * model.llf
    bic = deviance + float(np.log(model.nobs)) * model.n_params
    return {"n_params": model.n_params, "llf": model.llf, "aic": deviance + 2.0 * model.n_params, "bic": bic}


def _explained(fit: Any) -> dict[str, float]:
    """R squared and intraclass correlation; nan where they are not defined."""
    theirs = foreign_fit(fit)
    if theirs is not None:
        return {"r2_marginal": theirs.r_squared, "r2_conditional": theirs.r_squared, "icc": np.nan}
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
    reason = unlike_criteria(models)
    if reason is not None:
        raise SpecificationError(f"{reason}: fit all models with reml=False")


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
        residual structure; criteria, with a note where they do not compare (:func:`compare` refuses such models).

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
    models = _named(fits, names, "summary_col")
    columns = {name: _column(fit, stars, exp) for name, fit in models.items()}
    index = _index([list(column) for column in columns.values()])
    frame = pd.DataFrame(
        {name: [column.get(key, "") for key in index] for name, column in columns.items()}, index=index
    )
    notes = ["Standard errors in parentheses."]
    if exp:
        notes.append("Coefficients are exponentiated, standard errors by the delta method; the tests are unchanged.")
    if stars:
        notes.append("* p < 0.05, ** p < 0.01, *** p < 0.001.")
    notes += _doubts(list(models.values()))
    return StatsTable.from_frame(frame, heading="Models side by side", notes=notes)


def _doubts(fits: Sequence[Any]) -> list[str]:
    """Return a note if the criteria of models do not compare, for the reasons for which :func:`compare` refuses."""
    try:
        models = [candidate(fit) for fit in fits]
        _check_comparable(models)
    except SpecificationError as error:
        return [f"Do not compare the criteria: {str(error).rstrip('.')}."]
    return integration_note(models)


def _index(columns: Sequence[Sequence[str]]) -> list[str]:
    """Rows in the order of their first appearance: coefficients, further parameters, random effects, criteria."""
    keys = dict.fromkeys(key for column in columns for key in column if key not in LAST)
    return [*sorted(keys, key=lambda key: 2 if " | " in key else int(": " in key)), *LAST]


def _column(fit: Any, stars: bool, exp: bool) -> dict[str, str]:
    theirs = foreign_fit(fit)
    model = fit if theirs is None else theirs
    table = tidy(fit, exponentiate=exp) if theirs is None else _foreign_table(theirs, exp)
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
