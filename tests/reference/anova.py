"""Tests of fixed and random terms: anova tables, Kenward–Roger, likelihood ratios, profiles, fit measures."""

import math
import re
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx.analysis_of_variance.terms.coding import contains_by_name, contains_by_sas
from mixedfx.analysis_of_variance.terms.tables import analysed_fit
from tests.reference.cases import Case, canonical, group_of, match
from tests.reference.compare import fixed_names, vcov_against
from tests.reference.frames import as_frame, column_of, rows_of
from tests.reference.measures import Measures, column, judged, measure, nan_for_null, relative
from tests.reference.translate import Outcome, bars, fit_with

SATTERTHWAITE = re.compile(r"type([123])_satterthwaite")
KENWARD_ROGER = re.compile(r"type([123])_kr")
CAR_WALD = re.compile(r"car_type([23])_chisq")
CAR_F = re.compile(r"car_type([23])_F_kr")


def same_hypotheses_as_car(case: Case, kind: str) -> bool:
    """car's type III depends on the coding: ours only with sum-to-zero coding or without interactions."""
    contrasts = case.get("contrasts") or {}
    sum_to_zero = set(contrasts.values()) <= {"contr.sum", "contr.helmert"} and bool(contrasts)
    fixed = case["formula"].partition("~")[2]
    for bar in bars(case["formula"]):
        fixed = fixed.replace(bar.text, "")
    return kind == "2" or sum_to_zero or not re.search(r"[*:]", fixed)


def same_terms_as_car(outcome: Outcome, names: list[str], levels: dict[str, list[str]]) -> list[str]:
    """Terms whose type II F test is the same by SAS's rule, lmerTest's and ours, and by car's rule of marginality.

    They differ where a factor interacts with a covariate: by SAS's rule that interaction does not contain the factor.
    The Wald tests follow car there, and are compared.
    """
    terms = analysed_fit(outcome.fit, None).part.terms
    other = {
        canonical(own.label, levels)
        for own in terms
        if any(contains_by_name(term, own) and not contains_by_sas(term, own) for term in terms)
    }
    return [name for name in names if canonical(name, levels) not in other]


def _f_table(case: Case, label: str, ours: Any, theirs: dict[str, Any]) -> Measures:
    """F always; denominator df and p only where the fit is not singular (there R's df mean nothing)."""
    names = [name for name in theirs if name not in ("(Intercept)", "Residuals")]
    frame = rows_of(as_frame(ours), names, case.levels)
    num = "num_df" if "num_df" in theirs[names[0]] else "df"
    yield measure("counts", f"{label} num df", column_of(frame, "num_df"), column(theirs, num, names), names=names)
    yield relative("F", f"{label} F", column_of(frame, "F"), column(theirs, "F", names), names=names)
    if case.singular:
        return
    yield measure("p", f"{label} p", column_of(frame, "p"), column(theirs, "p", names), names=names)
    yield relative("df", f"{label} den df", column_of(frame, "den_df"), column(theirs, "den_df", names), names=names)


def anova_satterthwaite(case: Case, outcome: Outcome) -> Measures:
    for key, table in case["anova"].items():
        if found := SATTERTHWAITE.fullmatch(key):
            ours = as_frame(mfx.anova(outcome.fit, type=int(found[1]), ddf="satterthwaite"))
            yield from _f_table(case, f"anova {key}", ours, table)
            yield from _squares(case, f"anova {key}", ours, table)
    if "sequential_lme4" in case["anova"]:
        yield from _sequential(case, outcome)


def _sequential(case: Case, outcome: Outcome) -> Measures:
    """lme4's own table: sums of squares at the estimated variances, as our Wald tests have them."""
    table, ours = case["anova"]["sequential_lme4"], as_frame(mfx.anova(outcome.fit, type=1, ddf="z"))
    names = list(table)
    frame = rows_of(ours, names, case.levels)
    f = column_of(frame, "chisq") / column_of(frame, "df")
    yield relative("F", "anova sequential_lme4", f, column(table, "F", names), names=names)


def _squares(case: Case, label: str, ours: Any, theirs: dict[str, Any]) -> Measures:
    names = list(theirs)
    frame = rows_of(ours, names, case.levels)
    for key in ("sum_sq", "mean_sq"):
        yield relative("F", f"{label} {key}", column_of(frame, key), column(theirs, key, names), names=names)


def anova_kenward_roger(case: Case, outcome: Outcome) -> Measures:
    for key, table in case["anova"].items():
        found = KENWARD_ROGER.fullmatch(key) or CAR_F.fullmatch(key)
        if not found or case.get("weights"):
            continue
        if key.startswith("car") and not same_hypotheses_as_car(case, found[1]):
            continue
        ours = mfx.anova(outcome.fit, type=int(found[1]), ddf="kenward-roger")
        if key.startswith("car_type2"):
            table = {name: table[name] for name in same_terms_as_car(outcome, list(table), case.levels)}
        yield from _f_table(case, f"anova {key}", ours, table)


def _chisq(case: Case) -> str:
    """What limits a Wald statistic: the standard errors that it is made of."""
    return "chisq (joint Hessian)" if case["family"] == "gaussian" else judged("chisq", case.name)


def anova_wald(case: Case, outcome: Outcome) -> Measures:
    """car's chi-squares: F times its degrees of freedom in an LMM, the table itself in a GLMM."""
    for key, table in case["anova"].items():
        found = CAR_WALD.fullmatch(key)
        if not found or not same_hypotheses_as_car(case, found[1]):
            continue
        names = [name for name in table if name != "(Intercept)"]
        ours = mfx.anova(outcome.fit, type=int(found[1]), ddf="z")
        frame = rows_of(as_frame(ours), names, case.levels)
        chisq, p = ("F", "p") if case.engine == "lmer" else (_chisq(case), judged("p", case.name))
        floor = 0.0 if case.engine == "lmer" else 1.0
        yield relative(chisq, f"anova {key}", column_of(frame, "chisq"), column(table, "chisq", names), floor, names)
        yield measure(p, f"anova {key} p", column_of(frame, "p"), column(table, "p", names), names=names)


def ranova(case: Case, outcome: Outcome) -> Measures:
    """Rows: the full model, then each random term dropped, in the order of the formula."""
    table = case["anova"].get("ranova")
    if table is None:
        return
    frame = as_frame(mfx.ranova(outcome.fit))
    for key, quantity, scale in (("lrt", "objective", 1.0), ("df", "counts", 1.0)):
        theirs = sorted(value for row in table.values() if (value := row.get(key)) is not None)
        ours = np.sort(column_of(frame, key).dropna().to_numpy(dtype=float))
        yield measure(quantity, f"ranova {key}", ours, theirs, scale)


def drop1(case: Case, outcome: Outcome) -> Measures:
    table = case["anova"].get("drop1_satterthwaite")
    if table is not None:
        yield from _f_table(case, "drop1", mfx.drop1(outcome.fit), table)


def kenward_roger(case: Case, outcome: Outcome) -> Measures:
    """Adjusted covariance and t tests; pbkrtest ignores weights, and has no meaning in a singular fit."""
    if case.get("weights") or case.singular:
        return
    table, names = case["fixef"], fixed_names(case, outcome.fit)
    order = [names[name] for name in names]
    yield vcov_against(case, outcome.fit.cov_params(ddf="kenward-roger"), case["vcov_kr"], "vcov_kr")
    frame = outcome.fit.t_test(np.eye(len(names)), ddf="kenward-roger").to_frame()
    tests = frame.set_axis(outcome.fit.params.index).loc[order]
    wanted = (("std_error_kr", "SE", "se"), ("df_kr", "df", "df"), ("t_kr", "t.ratio", "statistic"))
    for key, meaning, quantity in wanted:
        yield relative(quantity, key, column_of(tests, meaning), column(table, key, names), names=list(names))
    yield measure("p", "p_kr", column_of(tests, "p.value"), column(table, "p_kr", names), names=list(names))


def kr_modcomp(case: Case, outcome: Outcome) -> Measures:
    """pbkrtest's comparisons: the terms of the fixed part by name."""
    frame = as_frame(mfx.anova(outcome.fit, type=2, ddf="kenward-roger"))
    for name, theirs in case["kr_modcomp"].items():
        row = rows_of(frame, [name], case.levels)
        yield relative("F", f"KRmodcomp {name} F", column_of(row, "F"), [theirs["F"]])
        yield relative("df", f"KRmodcomp {name} df", column_of(row, "den_df"), [theirs["den_df"]])
        yield measure("p", f"KRmodcomp {name} p", column_of(row, "p"), [theirs["p"]])


def lrt(case: Case, outcome: Outcome) -> Measures:
    """``anova(reduced, full)``: REML fits are refitted by ML."""
    for label, theirs in case["lrt"].items():
        reduced = fit_with(case, theirs["reduced_formula"])
        frame = as_frame(mfx.anova(reduced.fit, outcome.fit)).iloc[-1:]
        yield measure("objective", f"lrt {label} chisq", column_of(frame, "chisq"), [theirs["chisq"]], 2.0)
        yield measure("counts", f"lrt {label} df", column_of(frame, "df"), [theirs["df"]])


def confint_profile(case: Case, outcome: Outcome) -> Measures:
    """Ends to 1e-3 of the width (open ends: of the finite end).

    In a singular fit lme4's interpolation puts the lower end for sigma at 0, where the likelihood is zero; that end is
    left out (ours is where the likelihood ratio says, see tests/results/test_profile.py).
    """
    table = profile_table(case, outcome.fit)
    for label, ends in case["confint_profile"].items():
        theirs = nan_for_null(ends)
        if label == "sigma" and theirs[0] == 0.0:
            yield measure("interval", "profile sigma upper", table["sigma"][1:], theirs[1:], theirs[1:])
            continue
        width = theirs[1] - theirs[0] if not np.isnan(theirs).any() else max(1e-12, float(np.nanmax(np.abs(theirs))))
        yield measure("interval", f"profile {label}", table[profile_key(case, label)], theirs, width)


Key = tuple[str, frozenset[str], frozenset[Any]]


def profile_key(case: Case, label: str) -> Key | str:
    """``sd_x|g``, ``cor_x.y|g``, ``sigma`` or a coefficient, without the accidents of naming."""
    found = re.fullmatch(r"(sd|cor)_(.*)\|(.*)", label)
    if not found:
        return label
    kind, coefficients, group = found.groups()
    return kind, group_of(group), frozenset(re.findall(r"\(Intercept\)|[^.()]+", coefficients))


def profile_table(case: Case, fit: Any) -> dict[Any, np.ndarray]:
    """Our profile intervals by the same keys."""
    intervals = mfx.profile(fit).conf_int()
    out: dict[Any, np.ndarray] = {}
    for label, row in intervals.iterrows():
        out[profile_key(case, re.sub(r"(?<![A-Za-z(])Intercept(?![A-Za-z)])", "(Intercept)", str(label)))] = (
            row.to_numpy(dtype=float)
        )
    for theirs, ours in match(fit.params.index, list(case["fixef"]), case.levels).items():
        out[theirs] = intervals.loc[ours].to_numpy(dtype=float)
    return out


def performance_sees_all_slopes(case: Case) -> bool:
    """R's performance 0.10 finds a random slope only beside its intercept, in one term, and as a fixed effect too.

    Its numbers for ``(x || g)``, ``(0 + f | g)`` and ``poly(x, 3) + (x | g)`` leave variance out: they differ between
    parametrisations of one model (machines_factorslopes and machines_slopes), which ours do not.
    """
    groups = [term["group"] for term in case["random_terms"]]
    if len(set(groups)) < len(groups):
        return False
    for bar, term in zip(bars(case["formula"]), case["random_terms"]):
        slopes = [name for name in term["coefficients"] if name != "(Intercept)"]
        if bar.double or (len(slopes) > 1 and not bar.has_intercept) or not set(slopes) <= set(case["fixef"]):
            return False
    return True


def performance_sees_the_family(case: Case) -> bool:
    """R's performance 0.10 gives Poisson models no distribution-specific variance at all.

    Without a random effect a row its conditional R2 is exactly 1; tests/diagnostics has the published formula.
    """
    return case.get("family") != "poisson"


def r2_nakagawa(case: Case, outcome: Outcome) -> Measures:
    if not (performance_sees_all_slopes(case) and performance_sees_the_family(case)):
        return
    ours = mfx.r2(outcome.fit)
    for key, theirs in case["r2_nakagawa"].items():
        if theirs is not None and not case.singular:
            yield relative("fit measure", f"R2 {key}", float(ours[key]), theirs)


def icc(case: Case, outcome: Outcome) -> Measures:
    if not (performance_sees_all_slopes(case) and performance_sees_the_family(case)):
        return
    ours = mfx.icc(outcome.fit)
    for key, theirs in case["icc"].items():
        if theirs is not None and not math.isnan(theirs) and not case.singular:
            yield relative("fit measure", f"ICC {key}", float(ours[key]), theirs)
