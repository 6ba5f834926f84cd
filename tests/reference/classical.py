"""Classical analysis of variance: error strata, repeated measures, expected mean squares, linear models."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import statsmodels.formula.api as smf

import mixedfx as mfx
from tests.reference.cases import Case
from tests.reference.frames import as_frame, column_of, rows_of
from tests.reference.measures import Measures, column, measure, relative
from tests.reference.translate import Outcome, contrasts_of, run


@cache
def aov(case: Case) -> Outcome:
    return run(mfx.aov, formula=case["formula"], data=case.frame, contrasts=contrasts_of(case))


@cache
def repeated_measures(case: Case) -> Outcome:
    """afex's ``aov_ez``: cells aggregated by their mean, sum contrasts."""
    between, within = " * ".join(case["between"]), " * ".join(case["within"])
    fixed = " * ".join(part for part in (between, within) if part)
    observed = re.findall(r"(\w+) observed", case["title"])
    formula = f"{case['dv']} ~ {fixed} + Error({case['id']}/({within}))"
    return run(mfx.aov, formula=formula, data=case.frame, type=case["ss_type"], aggregate="mean", observed=observed)


@cache
def mixed_model(case: Case) -> Outcome:
    """The model of the marginal means: ``aov`` itself; afex's means are multivariate."""
    if case.engine == "aov":
        return aov(case)
    within = case["within"]
    data = case.frame.assign(cell=case.frame[within].astype(str).agg("-".join, axis="columns"))
    residual = mfx.Unstructured("cell", group=case["id"])
    return run(mfx.lmer, formula=f"{case['dv']} ~ {' * '.join(within)}", data=data, residual=residual)


ROUNDING = 1e-6  # of the largest sum of squares of a stratum: R's 6e-30 is a zero


def _square_table(case: Case, label: str, frame: Any, theirs: Mapping[str, Any]) -> Measures:
    names = list(theirs)
    rows = rows_of(frame, ["Residual" if n == "Residuals" and n not in frame.index else n for n in names], case.levels)
    yield measure("counts", f"{label} df", column_of(rows, "df"), column(theirs, "df", names), names=names)
    floor = ROUNDING * np.nanmax(column(theirs, "sum_sq", names))
    for key in ("sum_sq", "mean_sq"):
        yield relative(
            "sum of squares", f"{label} {key}", column_of(rows, key), column(theirs, key, names), floor, names=names
        )
    tested = [name for name in names if theirs[name].get("F") is not None]
    if tested:
        rows = rows_of(frame, tested, case.levels)
        ours, f = column_of(rows, "F"), column(theirs, "F", tested)
        yield relative("sum of squares", f"{label} F", ours, f, ROUNDING, names=tested)
        yield measure("p", f"{label} p", column_of(rows, "p"), column(theirs, "p", tested), names=tested)


def strata(case: Case, outcome: Outcome) -> Measures:
    for name, theirs in case["strata"].items():
        yield from _square_table(case, f"stratum {name}", as_frame(outcome.fit.strata[name]), theirs)


def table(case: Case, outcome: Outcome) -> Measures:
    yield from _square_table(case, "table", as_frame(outcome.fit), case["table"])


CORRECTED = {"num_df": "df", "den_df": "df", "F": "F", "ges": "fit measure", "pes": "fit measure"}


def corrected_tables(case: Case, outcome: Outcome) -> Measures:
    """Without, with Greenhouse–Geisser's and with Huynh–Feldt's correction; effect sizes."""
    for correction, theirs in case["anova"].items():
        names = list(theirs)
        frame = rows_of(as_frame(outcome.fit.table(correction=correction)), names, case.levels)
        for key, quantity in CORRECTED.items():
            ours = column_of(frame, key)
            yield relative(quantity, f"{correction} {key}", ours, column(theirs, key, names), names=names)
        yield measure("p", f"{correction} p", column_of(frame, "p"), column(theirs, "p", names), names=names)


def sphericity(case: Case, outcome: Outcome) -> Measures:
    frame = as_frame(outcome.fit.sphericity())
    for key, columns in (("mauchly", ("W", "p")), ("epsilon", ("GG", "HF"))):
        theirs = case[key]
        names = list(theirs)
        for name in columns:
            ours = column_of(rows_of(frame, names, case.levels), name)
            yield relative("fit measure", f"{key} {name}", ours, column(theirs, name, names), 1e-3, names)


@cache
def mean_squares(case: Case) -> Outcome:
    """All factors random but those that the case tests against an interaction (Machine)."""
    fixed = [name for name in (case.get("p") or {}) if ":" not in name]
    return run(mfx.mean_squares, formula=case["formula"], data=case.frame, fixed=fixed)


def variance_components(case: Case, outcome: Outcome) -> Measures:
    theirs = case["variance_components"]
    names = list(theirs)
    ours = outcome.fit.components
    yield measure(
        "variance component", "components", [ours[name] for name in names], list(theirs.values()), theirs["Residual"]
    )


def poly(x: Any, degree: int) -> Any:
    """R's ``poly`` up to the sign and size of its columns: patsy finds it by name in the formula."""
    return np.linalg.qr(np.vander(np.asarray(x, dtype=float) - np.mean(x), degree + 1, increasing=True))[0][:, 1:]


@cache
def linear_model(case: Case) -> Outcome:
    """A statsmodels OLS or WLS fit, for the functions that accept one."""
    formula = case["formula"]
    for name, kind in (case.get("contrasts") or {}).items():
        coding = {"contr.sum": "Sum", "contr.helmert": "Helmert"}[kind]
        formula = formula.replace(name, f"C({name}, {coding})")
    if case.get("weights"):
        return run(lambda: smf.wls(formula, case.frame, weights=case.frame[case["weights"]]).fit())
    return run(lambda: smf.ols(formula, case.frame).fit())


def linear_model_anova(case: Case, outcome: Outcome) -> Measures:
    """car's and R's tables of a linear model; car's type III as given with sum contrasts."""
    for key, theirs in case["anova"].items():
        kind = int(key[-1])
        if kind == 3 and not case.get("contrasts"):
            continue
        names = [name for name in theirs if name not in ("(Intercept)", "Residuals")]
        frame = rows_of(as_frame(mfx.anova(outcome.fit, type=kind)), names, case.levels)
        for column_name in ("sum_sq", "F"):
            ours = column_of(frame, column_name)
            yield relative(
                "sum of squares", f"{key} {column_name}", ours, column(theirs, column_name, names), names=names
            )
        yield measure("p", f"{key} p", column_of(frame, "p"), column(theirs, "p", names), names=names)
