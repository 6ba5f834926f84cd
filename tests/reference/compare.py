"""What every fit has: estimates, variances, modes, fitted values, predictions. One comparer a key of the JSON file."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import mixedfx as mfx
from tests.reference.cases import Case, canonical, group_of, match
from tests.reference.measures import Measure, Measures, column, exactly, excess, judged, measure, nan_for_null, relative
from tests.reference.translate import Outcome, theta_blocks, unidentified

Comparer = Callable[[Case, Outcome], Measures]


# --------------------------------------------------------------------------- fixed effects
def fixed_names(case: Case, fit: Any) -> dict[str, str]:
    """R name -> our name of each fixed effect."""
    return match(fit.params.index, case["fixef"], case.levels)


def fixef(case: Case, outcome: Outcome) -> Measures:
    fit, table = outcome.fit, case["fixef"]
    names = fixed_names(case, fit)
    theirs = list(names)
    ours = [names[name] for name in theirs]
    se = np.array(column(table, "std_error", theirs))
    yield exactly("number of fixed effects", len(fit.params), len(theirs))
    yield measure("fixef", "fixef", fit.params[ours], column(table, "estimate", theirs), se, theirs)
    yield relative("se", "std_error", fit.bse[ours], se, names=theirs)
    yield relative("statistic", "statistic", fit.tvalues[ours], column(table, "statistic", theirs), 1.0, theirs)
    if case.engine == "lmer" and not case.singular and not unidentified(case):
        yield relative("df", "df_satterthwaite", fit.df[ours], column(table, "df_satterthwaite", theirs), names=theirs)
        yield measure("p", "p_satterthwaite", fit.pvalues[ours], column(table, "p_satterthwaite", theirs), names=theirs)


def vcov_fixef(case: Case, outcome: Outcome) -> Measures:
    yield vcov_against(case, outcome.fit.cov_params(), case["vcov_fixef"], "vcov_fixef")


def vcov_against(
    case: Case, ours: pd.DataFrame, reference: dict[str, Any], label: str, quantity: str = "vcov"
) -> Measure:
    names = match(ours.index, reference["names"], case.levels)
    order = [names[name] for name in reference["names"]]
    theirs = nan_for_null(reference["matrix"])
    se = np.sqrt(np.diag(theirs))
    return measure(quantity, label, ours.loc[order, order], theirs, np.outer(se, se), reference["names"])


def dropped_columns(case: Case, outcome: Outcome) -> Measures:
    fit = outcome.fit
    kept = {canonical(name, case.levels) for name in fit.params.index}
    gone = {canonical(name, case.levels) for name in case["dropped_columns"]}
    yield exactly("dropped columns are not among the estimates", kept & gone, set(), "flags")
    yield exactly("RankDeficientWarning", outcome.warned(mfx.RankDeficientWarning), True, "flags")


def model_matrix_head(case: Case, outcome: Outcome) -> Measures:
    model = outcome.fit.model
    names = match(model.exog_names, case["model_matrix_head"]["names"], case.levels)
    columns = [list(model.exog_names).index(names[name]) for name in case["model_matrix_head"]["names"]]
    theirs = nan_for_null(case["model_matrix_head"]["rows"])
    ours = np.asarray(model.exog)[: len(theirs), columns]
    yield measure("matrix", "model matrix", ours, theirs, np.maximum(np.abs(theirs).max(axis=0), 1e-300))


# --------------------------------------------------------------------------- criterion
def optimisation(case: Case, outcome: Outcome) -> Measures:
    yield excess("objective", -2 * outcome.fit.llf, case["optimisation"]["objective"])
    yield exactly("converged", bool(outcome.fit.converged), True, "flags")
    yield exactly("ConvergenceWarning", outcome.warned(mfx.ConvergenceWarning), False, "flags")


def criterion_value(case: Case, outcome: Outcome) -> Measures:
    """``deviance`` is -2 llf, the REML criterion under REML."""
    key = "REML_criterion" if "REML_criterion" in case else "deviance"
    yield excess(key, outcome.fit.deviance, case[key])
    yield measure("loglik", "deviance = -2 llf", outcome.fit.deviance, -2 * outcome.fit.llf)


def loglik(case: Case, outcome: Outcome) -> Measures:
    yield excess("loglik", -outcome.fit.llf, -case["loglik"])


def objective_at(case: Case, outcome: Outcome) -> Measures:
    """The criterion at given theta: no optimiser involved, both sides."""
    blocks = theta_blocks(case)
    for index, point in enumerate(case["objective_at"]):
        theta = np.concatenate([point["theta"][start : start + size] for start, size in blocks])
        ours, _ = outcome.fit.model.objective(theta, reml=case["REML"])
        yield measure("objective_at", f"objective at point {index}", ours, point["value"])


def information_criteria(case: Case, outcome: Outcome) -> Measures:
    better = max(0.0, case["optimisation"]["objective"] + 2 * outcome.fit.llf)
    for key in ("AIC", "BIC"):
        yield measure("criteria", key, getattr(outcome.fit, key.lower()) + better, case[key])


def df_resid(case: Case, outcome: Outcome) -> Measures:
    yield exactly("df_resid", float(outcome.fit.df_resid), float(case["df_resid"]))


def is_singular(case: Case, outcome: Outcome) -> Measures:
    yield exactly("is_singular", bool(outcome.fit.is_singular), case.singular, "flags")


def n_obs(case: Case, outcome: Outcome) -> Measures:
    yield exactly("nobs", int(outcome.fit.nobs), case["n_obs"])


def n_groups(case: Case, outcome: Outcome) -> Measures:
    ours = {group_of(name): int(count) for name, count in dict(outcome.fit.n_groups).items()}
    yield exactly("n_groups", ours, {group_of(name): count for name, count in case["n_groups"].items()})


# --------------------------------------------------------------------------- variances
def theta(case: Case, outcome: Outcome) -> Measures:
    blocks = theta_blocks(case)
    theirs = np.concatenate([case["theta"][start : start + size] for start, size in blocks])
    scales = np.concatenate([_row_norms(case["theta"][start : start + size]) for start, size in blocks])
    yield measure("theta", "theta", np.asarray(outcome.fit.theta), theirs, scales)


def _row_norms(lower: list[float]) -> NDArray[np.float64]:
    """Relative sd of the coefficient that each element of a lower triangle (column-wise) belongs to."""
    q = int((math.sqrt(8 * len(lower) + 1) - 1) / 2)
    columns, rows = np.triu_indices(q)
    T = np.zeros((q, q))
    T[rows, columns] = lower
    return np.linalg.norm(T, axis=1)[rows]


def sigma(case: Case, outcome: Outcome) -> Measures:
    yield relative("sigma", "sigma", outcome.fit.sigma, case["sigma"])
    yield relative("sigma", "scale = sigma**2", outcome.fit.scale, outcome.fit.sigma**2)


def covariance_table(
    case: Case, fit: Any
) -> dict[tuple[frozenset[str], frozenset[frozenset[str]]], tuple[float, float]]:
    """(group, the two coefficients) -> (sd or NaN, correlation or NaN) from ``varcorr.to_frame()``."""
    out = {}
    for row in fit.varcorr.to_frame().to_dict("records"):
        first, second = (_term(case, row[name]) for name in ("term1", "term2"))
        key = (group_of(str(row["group"])), frozenset([first, second or first]))
        out[key] = (_number(row["sd"]), _number(row["corr"]))
    return out


def _term(case: Case, name: Any) -> frozenset[str] | None:
    return None if name is None or name != name or name == "" else canonical(str(name), case.levels)


def _number(value: Any) -> float:
    return math.nan if value is None or value == "" else float(value)


def varcorr(case: Case, outcome: Outcome) -> Measures:
    ours = covariance_table(case, outcome.fit)
    floor = _boundary_scale(case)
    for label, term in case["varcorr"].items():
        group, names = group_of(label), [canonical(name, case.levels) for name in term["names"]]
        sds = [ours.get((group, frozenset([name])), (math.nan, math.nan))[0] for name in names]
        yield relative("sd", f"sd {label}", sds, nan_for_null(term["sd"]), floor, term["names"])
        if len(names) > 1:
            yield _correlations(label, ours, group, names, term, floor)


def _boundary_scale(case: Case) -> float:
    """0, or in a singular fit what its standard deviations are measured in: sigma, 1 for a generalised model.

    glmmTMB, on its log scale, only comes near the boundary.
    """
    if case.engine != "glmmTMB":
        return float(case.get("sigma", 1.0)) if case.singular else 0.0
    small = any(sd < 1e-4 for term in case["varcorr"].values() for sd in term["sd"])
    near = any(0.998 < abs(r) < 1 for term in case["varcorr"].values() for row in term["corr"] for r in row)
    return 1.0 if small or near else 0.0


def _correlations(label: str, ours: Any, group: Any, names: list[Any], term: dict[str, Any], floor: float) -> Any:
    """Correlations (zero where the model has none); in a singular fit they count as much as the sds that they join."""
    rows, columns = np.tril_indices(len(names), -1)
    theirs = nan_for_null(term["corr"])[rows, columns]
    values = [ours.get((group, frozenset([names[i], names[j]])), (0.0, 0.0))[1] for i, j in zip(rows, columns)]
    if not floor:
        return measure("corr", f"corr {label}", values, theirs)
    sd = nan_for_null(term["sd"])
    products = sd[rows] * sd[columns]
    return measure("corr", f"cov {label}", np.nan_to_num(values) * products, np.nan_to_num(theirs) * products, floor**2)


# --------------------------------------------------------------------------- random effects
def level_labels(index: pd.Index, group: str, theirs: str) -> list[str]:
    """Our levels written as R writes them: parts joined by ``:`` in the order of R's group name."""
    if not isinstance(index, pd.MultiIndex):
        return [str(level) for level in index]
    order = [group.split(":").index(name) for name in theirs.split(":")]
    return [":".join(str(level[position]) for position in order) for level in index]


def aligned(case: Case, frames: dict[str, pd.DataFrame], label: str, term: dict[str, Any]) -> tuple[Any, pd.DataFrame]:
    """Our frame for R's group with rows and columns named as R does, and the group's name of ours."""
    group = next(name for name in frames if group_of(name) == group_of(label))
    frame = frames[group].copy()
    columns = match(frame.columns, term["names"], case.levels)
    frame = frame[[columns[name] for name in term["names"]]]
    frame.index = pd.Index(level_labels(frame.index, group, label))
    return group, frame


def ranef(case: Case, outcome: Outcome) -> Measures:
    quantity = "modes" if case.engine == "lmer" else judged("modes", case.name)
    for label, term in case["ranef"].items():
        _, modes = aligned(case, outcome.fit.random_effects, label, term)
        scale, shown = effect_scale(case, label, term["names"]), term["levels"]
        yield exactly(f"levels of {label}", len(modes), term["n_levels"])
        yield measure(quantity, f"modes {label}", modes.loc[shown], nan_for_null(term["values"]), scale, shown)
        norms, theirs = np.sqrt((modes**2).sum()), np.sqrt(term["sum_of_squares"])
        yield measure(quantity, f"norm of modes {label}", norms, theirs, scale * len(modes) ** 0.5)
        if "cond_sd" in term and case.engine != "glmmTMB":  # whose sds include the uncertainty of the estimates
            _, spread = aligned(case, outcome.fit.random_effects_sd, label, term)
            theirs = nan_for_null(term["cond_sd"])
            yield measure("modes_sd", f"sd of modes {label}", spread.loc[shown], theirs, scale, shown)


def effect_scale(case: Case, label: str, names: list[str]) -> NDArray[np.float64]:
    """The sd of each effect (over all terms of the factor); sigma where it is zero."""
    sds: dict[frozenset[str], float] = {}
    for name, term in case["varcorr"].items():
        if group_of(name) == group_of(label):
            for coefficient, sd in zip(term["names"], term["sd"]):
                key = canonical(coefficient, case.levels)
                sds[key] = math.hypot(sds.get(key, 0.0), sd or 0.0)
    values = np.array([sds[canonical(name, case.levels)] for name in names])
    floor = float(case.get("sigma") or 1.0)
    return np.where(values < 1e-3 * floor, floor, values)


# --------------------------------------------------------------------------- rows
def row_scale(case: Case) -> float:
    return float(case.get("sigma") or 1.0)


def fitted_head(case: Case, outcome: Outcome) -> Measures:
    theirs = nan_for_null(case["fitted_head"])
    yield relative("fitted", "fitted", np.asarray(outcome.fit.fittedvalues)[: len(theirs)], theirs, row_scale(case))


def sum_fitted(case: Case, outcome: Outcome) -> Measures:
    values = np.asarray(outcome.fit.fittedvalues)
    yield measure("fitted", "sum of fitted", values.sum(), case["sum_fitted"], np.abs(values).sum())


def residuals_head(case: Case, outcome: Outcome) -> Measures:
    """Ours are in units of their standard deviation; what R leaves out of Pearson's is put in by ``pearson_unit``."""
    for kind, values in case["residuals_head"].items():
        unit = pearson_unit(case) if kind == "pearson" else 1.0
        if math.isnan(unit):
            continue
        theirs = nan_for_null(values) / unit
        ours = np.asarray(outcome.fit.residuals(kind=kind))[: len(theirs)]
        yield relative("residuals", f"{kind} residuals", ours, theirs, row_scale(case) / unit)


def pearson_unit(case: Case) -> float:
    """The dispersion that lme4's and glmmTMB 1.1.5's Pearson residuals leave out; NaN where it varies by row."""
    family = case.get("family")
    if case.engine == "lmer" or (case.engine == "glmmTMB" and family in ("gaussian", "Gamma")):
        return float(case["sigma"])
    if case.engine == "glmmTMB" and family == "beta_family" and case["dispformula"] == "~1":
        return float((1 + case["sigma"]) ** -0.5)
    varies = ("betabinomial", "beta_family", "truncated_poisson")
    return math.nan if case.engine == "glmmTMB" and family in varies else 1.0


def sum_sq_residuals_response(case: Case, outcome: Outcome) -> Measures:
    ours = float(np.sqrt(np.sum(np.asarray(outcome.fit.residuals(kind="response")) ** 2)))
    yield relative("residuals", "norm of residuals", ours, math.sqrt(case["sum_sq_residuals_response"]))


def newdata(case: Case) -> pd.DataFrame:
    return pd.DataFrame(case["predictions"]["newdata"])


def predictions(case: Case, outcome: Outcome) -> Measures:
    """``re_form_None`` is conditional (new levels count as zero), ``re_form_NA`` of the population."""
    data = newdata(case)
    for key, values in case["predictions"].items():
        if not key.startswith("re_form_") or key.endswith(("_se", "_zprob", "_conditional")):
            continue
        random = "None" in key
        which = "mean" if key.endswith("_response") else "linear"
        ours = outcome.fit.predict(data, random=random, new_levels="population", which=which)
        theirs = nan_for_null(values)
        yield relative("predictions", f"predictions {key}", np.asarray(ours), theirs, row_scale(case))
