"""nlme's lme and gls: residual correlation and variance structures."""

from typing import Any

import numpy as np
import pandas as pd

from tests.reference import compare
from tests.reference.cases import Case, group_of
from tests.reference.compare import fixed_names
from tests.reference.measures import Measures, column, exactly, measure, nan_for_null, relative
from tests.reference.translate import Outcome, form, nested_labels


def fixef(case: Case, outcome: Outcome) -> Measures:
    """Estimates; nlme's std_error under ML carries n / (n - p), hence ``vcov_fixef`` for the errors."""
    names = fixed_names(case, outcome.fit)
    theirs, ours = list(names), list(names.values())
    se = np.array(column(case["fixef"], "std_error", theirs))
    yield measure(
        "fixef (nlme)", "fixef", outcome.fit.params[ours], column(case["fixef"], "estimate", theirs), se, theirs
    )


def containment(case: Case, outcome: Outcome) -> Measures:
    """Denominator df of ``lme``: exact counts."""
    names = fixed_names(case, outcome.fit)
    if case.engine != "lme":
        return
    tests = outcome.fit.t_test(np.eye(len(names)), ddf="containment").to_frame().set_axis(outcome.fit.params.index)
    theirs = column(case["fixef"], "df_containment", names)
    yield measure("counts", "df_containment", tests["df"][list(names.values())], theirs, names=list(names))


def n_groups(case: Case, outcome: Outcome) -> Measures:
    labels = nested_labels(case, list(case["n_groups"]))
    ours = {group_of(name): int(count) for name, count in dict(outcome.fit.n_groups).items()}
    yield exactly("n_groups", ours, {group_of(labels[name]): count for name, count in case["n_groups"].items()})


def varcorr(case: Case, outcome: Outcome) -> Measures:
    labels = nested_labels(case, list(case["varcorr"]))
    renamed = {labels[name]: term for name, term in case["varcorr"].items()}
    yield from compare.varcorr(Case(case.name, case.folder, {**case.content, "varcorr": renamed}), outcome)


def ranef(case: Case, outcome: Outcome) -> Measures:
    labels = nested_labels(case, list(case["ranef"]))
    content = {**case.content, "varcorr": {labels[k]: v for k, v in case["varcorr"].items()}}
    renamed = Case(case.name, case.folder, content)
    for name, term in case["ranef"].items():
        _, modes = compare.aligned(case, outcome.fit.random_effects, labels[name], term)
        levels = [level.replace("/", ":") for level in term["levels"]]
        scale = compare.effect_scale(renamed, labels[name], term["names"])
        yield measure("modes", f"modes {name}", modes.loc[levels], nan_for_null(term["values"]), scale, levels)


def fitted_head(case: Case, outcome: Outcome) -> Measures:
    values = case["fitted_head"]
    if not isinstance(values, dict):
        yield from compare.fitted_head(case, outcome)
        return
    theirs = nan_for_null(values["innermost"])
    ours = np.asarray(outcome.fit.fittedvalues)[: len(theirs)]
    yield relative("fitted", "fitted", ours, theirs, compare.row_scale(case))


def vcov_fixef(case: Case, outcome: Outcome) -> Measures:
    """nlme's gls multiplies the covariance of an ML fit by n / (n - p); its lme does not (checked by hand)."""
    reference = case["vcov_fixef"]
    if case["engine"] == "gls" and not case["REML"]:
        n, p = case["n_obs"], len(reference["names"])
        reference = {**reference, "matrix": (np.array(reference["matrix"]) * (n - p) / n).tolist()}
    yield compare.vcov_against(case, outcome.fit.cov_params(), reference, "vcov_fixef")


def information_criteria(case: Case, outcome: Outcome) -> Measures:
    """Under REML nlme takes log(n - p) for BIC where lme4 and we take log(n)."""
    fit = outcome.fit
    n, p = case["n_obs"], len(fit.params)
    rows = n - p if case["REML"] else n
    yield measure("criteria", "AIC", fit.aic, case["AIC"])
    yield measure("criteria", "BIC", fit.bic + (np.log(rows) - np.log(n)) * fit.n_parameters, case["BIC"])


def residuals_head(case: Case, outcome: Outcome) -> Measures:
    """A root of a covariance is not unique: under compound symmetry nlme takes another, of equal norm by group."""
    if "corCompSymm" not in (case.get("correlation") or ""):
        yield from compare.residuals_head(case, outcome)
        return
    plain = {kind: values for kind, values in case["residuals_head"].items() if kind != "normalized"}
    yield from compare.residuals_head(Case(case.name, case.folder, {**case.content, "residuals_head": plain}), outcome)
    theirs = nan_for_null(case["residuals_head"]["normalized"])
    ours = np.asarray(outcome.fit.residuals(kind="normalized"))[: len(theirs)]
    norms = [_norms_by_group(case, values) for values in (ours, theirs)]
    yield relative("residuals", "norms of normalized residuals", *norms)


def _norms_by_group(case: Case, head: Any) -> pd.Series:
    """Root sums of squares of the groups that lie within the first rows."""
    groups = case.frame[form(case["correlation"])[1]].astype(str)
    within = groups.iloc[: len(head)]
    whole = within.isin(set(within) - set(groups.iloc[len(head) :]))
    return pd.Series(np.square(head), index=within.index)[whole].groupby(within[whole], sort=False).sum() ** 0.5
