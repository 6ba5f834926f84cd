"""Tables of tests of the terms of one model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.analysed import AnalysedFit
from mixedfx.analysis_of_variance.effect_sizes import cohen_f, partial_eta_squared, partial_omega_squared
from mixedfx.analysis_of_variance.hypotheses import FixedPart, TermHypotheses, TermHypothesis
from mixedfx.analysis_of_variance.terms import carries_others, contains_by_name, contains_by_sas
from mixedfx.inference.estimable import CanonicalRows
from mixedfx.inference.hypothesis import Hypothesis
from mixedfx.inference.wald import JointTest, joint_test

__all__ = ["chi_squared_table", "f_table"]

MEANING = {
    "I": "Type I: each term after those above it",
    "II": "Type II: each term after all others that do not contain it",
    "III": "Type III: each term after all others, all cells of the factors weighted equally",
}

SHORT = {"partial_eta_sq": "eta²", "partial_omega_sq": "omega²", "cohen_f": "f"}
EFFECT_SIZES = (
    "eta² (partial_eta_sq) is F df / (F df + den_df), omega² (partial_omega_sq) (F - 1) df / (F df + den_df + 1), f "
    "(cohen_f) the root of F df / den_df: shares of the variation against which a term is tested."
)


def f_table(tested: AnalysedFit, kind: TermHypotheses) -> StatsTable:
    """Return F tests, a term a row."""
    hypotheses = kind.of(tested.part)
    tests = [_test(tested, hypothesis) for hypothesis in hypotheses]
    f, df, den_df = (
        np.array([getattr(test, name) for test in tests], dtype=float) for name in ("fvalue", "df_num", "df_denom")
    )
    frame = pd.DataFrame(
        {
            "sum_sq": f * df * tested.scale,
            "mean_sq": f * tested.scale,
            "df": df,
            "den_df": den_df,
            "F": f,
            "PR(>F)": [test.pvalue for test in tests],
            "partial_eta_sq": partial_eta_squared(f, df, den_df),
            "partial_omega_sq": partial_omega_squared(f, df, den_df),
            "cohen_f": cohen_f(f, df, den_df),
        },
        index=[hypothesis.label for hypothesis in hypotheses],
    )
    if tested.residual is not None:
        residual_df, ssr = tested.residual
        frame.loc["Residual", ["sum_sq", "mean_sq", "df"]] = [ssr, ssr / residual_df, residual_df]
    notes = [
        f"{MEANING[kind.numeral]}; denominator degrees of freedom by {tested.denominator.label}.",
        *_notes(tested, kind, hypotheses),
        EFFECT_SIZES,
    ]
    return StatsTable.from_frame(frame, heading="Analysis of variance", notes=notes, headers=SHORT)


def chi_squared_table(tested: AnalysedFit, kind: TermHypotheses) -> StatsTable:
    """Return Wald chi-squared tests, a term a row."""
    hypotheses = kind.of(tested.part)
    tests = [_test(tested, hypothesis) for hypothesis in hypotheses]
    frame = pd.DataFrame(
        {
            "chi2": [test.wald for test in tests],
            "df": [float(test.df_num) for test in tests],
            "PR(>chi2)": [test.pvalue for test in tests],
        },
        index=[hypothesis.label for hypothesis in hypotheses],
    )
    notes = [f"{MEANING[kind.numeral]}; Wald tests.", *tested.notes, *_notes(tested, kind, hypotheses)]
    return StatsTable.from_frame(frame, heading="Analysis of deviance", notes=notes)


def _test(tested: AnalysedFit, hypothesis: TermHypothesis) -> JointTest:
    L = hypothesis.L
    rows = Hypothesis(L, np.zeros(len(L)), (hypothesis.label,) * len(L))
    if tested.rows is None:
        return joint_test(rows, tested.beta, tested.denominator)
    write = partial(_written, tested.rows, hypothesis.sequential)
    return joint_test(rows, tested.beta, tested.denominator, write)


def _written(rows: Callable[[], CanonicalRows], sequential: bool, L: Array) -> Array:
    return rows().sequential(L) if sequential else rows().usual(L)


def _notes(tested: AnalysedFit, kind: TermHypotheses, hypotheses: Sequence[TermHypothesis]) -> list[str]:
    missing = [
        f"{h.label}: {len(h.L)} of {h.wanted} degrees of freedom can be estimated (empty cells, nested factors or "
        "redundant columns)."
        for h in hypotheses
        if len(h.L) < h.wanted
    ]
    if kind.numeral == "II" and not tested.is_asymptotic:
        return [*missing, *_covariate_notes(tested.part)]
    if kind.numeral != "III":
        return missing
    part = tested.part
    factors = {t.label for t in part.terms if len(t.factors) == 1 and not t.covariates and not part.above(t)}
    nothing = [
        f"The other terms tell {h.label} completely: if a factor is nested in it, write {h.label} / that factor."
        for h in hypotheses
        if not len(h.L) and h.label in factors
    ]
    return [*missing, *nothing, *_estimable_notes(part), *_carried_notes(part), *_origin_notes(part)]


def _estimable_notes(part: FixedPart) -> list[str]:
    """Say how terms are tested whose hypotheses depend on which cells are empty."""
    contained = [own.label for own in map(part.terms.__getitem__, part.tested) if part.above(own)]
    if part.estimable is None or not contained:
        return []
    return [
        f"Cells are empty, so that of {', '.join(contained)} those functions are tested that can be estimated and are "
        "orthogonal to those of the terms that contain them, as in SAS."
    ]


def _carried_notes(part: FixedPart) -> list[str]:
    """Say which terms have the general mean (or slope) among their effects."""
    own = [part.terms[i].label for i in part.tested if part.terms[i].factors and carries_others(i, part.terms)]
    if not own:
        return []
    return [
        f"{', '.join(own)}: effects of lower order that no other term of the model has (as the general mean, without "
        "an intercept) are among those that are tested; joint_tests compares means only."
    ]


def _origin_notes(part: FixedPart) -> list[str]:
    """Say of which terms the test depends on the origin of a covariate, and what joint_tests does."""
    found: dict[frozenset[str], list[str]] = {}
    for i in part.tested:
        own = part.terms[i]
        at = frozenset().union(*(t.covariates - own.covariates for t in part.terms if contains_by_name(t, own)))
        if at:
            found.setdefault(at, []).append(own.label)
    return [
        f"{', '.join(labels)}: tested where {' and '.join(sorted(at))} {'is' if len(at) == 1 else 'are'} 0, because of "
        "the interaction (centre it for a test at its mean; joint_tests compares at the means of covariates)."
        for at, labels in found.items()
    ]


def _covariate_notes(part: FixedPart) -> list[str]:
    """Say which tests hold at the origin of a covariate, because an interaction with it does not contain the factor."""
    out = []
    for i in part.tested:
        own = part.terms[i]
        above = [t for t in part.terms if contains_by_name(t, own) and not contains_by_sas(t, own)]
        if not above:
            continue
        several = any(t.cells.shape[-2] > 1 for t in above)
        theirs = (
            "as in SAS (R's lmerTest takes several columns for a factor)" if several else "as in SAS and R's lmerTest"
        )
        out.append(
            f"{own.label} is adjusted for {', '.join(t.label for t in above)}, {theirs}: the test holds where the "
            "covariate is zero (centre it, or take ddf='z' for the rule of marginality)."
        )
    return out
