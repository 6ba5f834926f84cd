"""What is particular to generalised models: integrals, Hessian standard errors, dispersion and zero inflation."""

import math

import numpy as np

from tests.reference import translate
from tests.reference.cases import Case, match
from tests.reference.compare import fixed_names, vcov_against
from tests.reference.measures import Measures, column, exactly, excess, judged, measure, relative
from tests.reference.translate import Outcome, theta_blocks


def fixef(case: Case, outcome: Outcome) -> Measures:
    names = fixed_names(case, outcome.fit)
    theirs, ours = list(names), list(names.values())
    se = np.array(column(case["fixef"], "std_error", theirs))
    yield exactly("number of fixed effects", len(outcome.fit.params), len(theirs))
    yield measure(
        "fixef (GLMM)", "fixef", outcome.fit.params[ours], column(case["fixef"], "estimate", theirs), se, theirs
    )
    if case.engine == "glmmTMB":
        quantity = "se (joint Hessian)" if case["family"] == "gaussian" else judged("se", case.name)
        yield relative(quantity, "std_error", outcome.fit.bse[ours], se, names=theirs)


def vcov_accurate(case: Case, outcome: Outcome) -> Measures:
    yield vcov_against(
        case, outcome.fit.cov_params(), case["vcov_fixef_accurate"], "vcov_fixef_accurate", judged("vcov", case.name)
    )


def optimisation(case: Case, outcome: Outcome) -> Measures:
    """Laplace: never above R's optimum. With quadrature lme4 omits a constant: the exact integral is the reference."""
    if case.get("nAGQ", 1) > 1:
        finest = translate.glmer(case, nodes=51).fit
        yield measure("quadrature", "llf against the integral", finest.llf, case["loglik_exact_integral"])
    else:
        yield excess("objective", -2 * outcome.fit.llf, case["optimisation"]["objective"])
    yield exactly("converged", bool(outcome.fit.converged), True, "flags")


def conditional_sums(case: Case, outcome: Outcome) -> Measures:
    for key, kind in (("deviance_conditional", "deviance"), ("pearson_chisq", "pearson")):
        ours = float(np.sum(np.asarray(outcome.fit.residuals(kind=kind)) ** 2))
        yield relative("residuals", key, math.sqrt(ours), math.sqrt(case[key]))


def objective_at(case: Case, outcome: Outcome) -> Measures:
    """The Laplace deviance at given (theta, beta)."""
    names = fixed_names(case, outcome.fit)
    order = [list(names.values()).index(name) for name in outcome.fit.params.index]
    blocks = theta_blocks(case)
    for index, point in enumerate(case["objective_at"]):
        theta = np.concatenate([point["theta"][start : start + size] for start, size in blocks])
        beta = np.asarray(point["beta"])[order]
        value = outcome.fit.model.objective(np.concatenate([beta, theta]))
        ours = float(value[0] if isinstance(value, tuple) else value)
        yield measure(judged("objective_at", case.name), f"objective at point {index}", ours, point["value"])


def component(case: Case, outcome: Outcome, key: str, word: str) -> Measures:
    """Estimates of another linear predictor, by the (component, name) index of ``params_all``."""
    every = outcome.fit.params_all
    ours = every[[str(name).startswith(word) for name, _ in every.index]].droplevel(0)
    ours = -ours if key == "fixef_disp" and case["family"] == "Gamma" else ours  # betad is log shape, ours log 1/shape
    names = match(ours.index, case[key], case.levels)
    theirs = list(names)
    se = np.array(column(case[key], "std_error", theirs))
    scale = np.where(np.isnan(se), 1.0, se)
    yield measure(
        "fixef (GLMM)", key, ours[[names[n] for n in theirs]], column(case[key], "estimate", theirs), scale, theirs
    )


def fixef_zi(case: Case, outcome: Outcome) -> Measures:
    yield from component(case, outcome, "fixef_zi", "zero")


def fixef_disp(case: Case, outcome: Outcome) -> Measures:
    if case["family"] != "gaussian":  # there betad is the log of a variance, and sigma says it
        yield from component(case, outcome, "fixef_disp", "disp")
