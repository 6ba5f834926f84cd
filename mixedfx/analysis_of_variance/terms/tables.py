"""Tests of the terms of one model: what a table needs of a fit, whichever package it comes from, and the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.terms.coding import (
    frame_of,
    terms_of_design,
    terms_of_patsy,
)
from mixedfx.analysis_of_variance.terms.hypotheses import FixedPart, TermHypotheses, TermHypothesis
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.ddf import DdfName
from mixedfx.inference.denominator import Asymptotic, Denominator
from mixedfx.inference.estimable import CanonicalRows, EstimableFunctions, estimable_functions
from mixedfx.inference.hypothesis import Hypothesis
from mixedfx.inference.smooths import FittedSmooth
from mixedfx.inference.wald import JointTest, joint_test
from mixedfx.matrices import Frame
from mixedfx.matrices.frame import FrameRows
from mixedfx.results.adapted import AdaptedFit
from mixedfx.results.adapters import adapted
from mixedfx.results.base import MixedResults, results_of_ours
from mixedfx.results.tested import Calibrated, TestedCoefficients

__all__ = ["MEANING", "AnalysedFit", "analysed_fit", "chi_squared_table", "cohen_f", "f_table", "partial_eta_squared"]

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


SMOOTHS = (
    "Smooths: whether the whole smooth is zero, its straight line among it, beside all other terms; df are the "
    "reference degrees of freedom of Wood (2013), rows less effective degrees of freedom the denominator's."
)


@dataclass(frozen=True)
class AnalysedFit:
    """A fit with what calibrates its tests.

    Attributes
    ----------
    part : FixedPart
    beta : (p,)
    denominator : Denominator
    scale : float
        Residual variance, by which F becomes a mean square; nan if it does not.
    residual : (float, float) or None
        Residual degrees of freedom and sum of squares of an ordinary linear model.
    rows : callable or None
        Returns the rows in which hypotheses are written, where pooled degrees of freedom depend on them.
    notes : tuple of str
        Warnings about the tests, such as separation.
    smooths : tuple of FittedSmooth
    """

    part: FixedPart
    beta: Array
    denominator: Denominator
    scale: float
    residual: tuple[float, float] | None = None
    rows: Callable[[], CanonicalRows] | None = None
    notes: tuple[str, ...] = ()
    smooths: tuple[FittedSmooth, ...] = ()

    def hypotheses(self, kind: TermHypotheses) -> list[TermHypothesis]:
        """Return what is tested, a term each; smooths have a test of their own."""
        lines = {smooth.line for smooth in self.smooths}
        return [hypothesis for hypothesis in kind.of(self.part) if hypothesis.label not in lines]

    def labels(self, hypotheses: Sequence[TermHypothesis]) -> list[str]:
        """Return the names of the rows: of the hypotheses, then of the smooths."""
        return [*(hypothesis.label for hypothesis in hypotheses), *(smooth.label for smooth in self.smooths)]

    @property
    def is_asymptotic(self) -> bool:
        """Whether the tests are chi-squared tests."""
        return isinstance(self.denominator, Asymptotic)

    @property
    def margins_by_name(self) -> bool:
        """Whether a term is marginal to those that have its name in theirs, covariates among them."""
        return self.denominator.by_covariance or self.residual is not None


def analysed_fit(fit: Any, ddf: DdfName | None) -> AnalysedFit:
    """Return what is tested, from results of mixedfx or of a statsmodels linear model.

    Raises
    ------
    SpecificationError
        If a linear model was not fitted from a formula, or its columns are linearly dependent.
    TypeError
        If ``fit`` is neither.
    """
    ours = results_of_ours(fit)
    if ours is not None:
        return _of_mixed(ours, ddf)
    if isinstance(fit, TestedCoefficients):
        fit._calibrated.check_ddf(ddf)
        return _of_tested(np.asarray(fit.params, dtype=float), fit._calibrated)
    source = adapted(fit, ddf, asker="anova needs") if hasattr(fit, "ssr") else None
    if source is None or not hasattr(source.info, "term_codings"):
        several = ": to compare models write anova(a, b), one after the other" if isinstance(fit, list | tuple) else ""
        raise TypeError(
            "anova needs results of mixedfx or a linear model fitted by statsmodels' formulas, found "
            f"{type(fit).__name__}{several}"
        )
    return _of_least_squares(source)


def _of_mixed(fit: MixedResults, ddf: DdfName | None) -> AnalysedFit:
    denominator = fit.denominator(ddf)
    part = _fixed_part(fit, denominator, lambda: fit.solution.cross_product_root)
    return AnalysedFit(
        part,
        fit.solution.beta,
        denominator,
        fit.scale,
        rows=lambda: fit._canonical_rows,
        notes=fit.separation_notes,
        smooths=fit.fitted_smooths,
    )


def _of_tested(beta: Array, found: Calibrated) -> AnalysedFit:
    found.check_smooths("tests of all terms")
    fit, canonical = found.fit, found.canonical
    part = _fixed_part(fit, found.denominator, found.root)
    rows = None if canonical is None else lambda: canonical
    no_squares = np.nan  # F of such errors is no ratio of mean squares, and shares of variation mean nothing
    return AnalysedFit(part, beta, found.denominator, no_squares, rows=rows, notes=found.remarks)


def _fixed_part(fit: MixedResults, denominator: Denominator, cross_products: Callable[[], Array]) -> FixedPart:
    frame, fixed = frame_of(fit), fit.design.fixed
    if denominator.by_covariance:
        root = _root_of_inverse(denominator.covariance, fit.separation_notes)
    else:
        root = cross_products()
    return FixedPart(terms_of_design(fit.design, frame), fixed.kept, fixed.alias, root, _estimable(fit, frame))


def _root_of_inverse(covariance: Array, reasons: Sequence[str]) -> Array:
    """``R``, upper triangular, with ``R'R`` the inverse; eigenvalues below rounding are raised to it.

    Raises
    ------
    DataError
        If standard errors are missing.
    """
    if not np.isfinite(covariance).all():
        why = reasons or (
            "see print(fit.certificate), and fit.summary() for the coefficients without a standard error",
        )
        raise DataError(
            f"the covariance of the fixed effects is not known, so that they have no Wald test; {'; '.join(why)}"
        )
    se = np.sqrt(covariance.diagonal())
    values, vectors = np.linalg.eigh(covariance / np.outer(se, se))
    floor = np.finfo(float).eps * max(float(values.max(initial=0.0)), np.finfo(float).tiny)
    half = (vectors / np.sqrt(np.maximum(values, floor))).T / se
    root = np.linalg.qr(half)[1]
    return np.asarray(root * np.where(root.diagonal() < 0, -1.0, 1.0)[:, None])


def _estimable(fit: MixedResults, frame: Frame) -> Callable[[], EstimableFunctions] | None:
    """The estimable functions, if there are redundant columns."""
    return (
        partial(estimable_functions, fit.design, FrameRows(frame, fit.design.keep))
        if fit.design.fixed.dropped
        else None
    )


def _of_least_squares(source: AdaptedFit) -> AnalysedFit:
    if source.silent.shape[1]:
        raise SpecificationError(
            "the columns of the linear model are linearly dependent (empty cells?): leave out what cannot be estimated"
        )
    root = _root_of_inverse(source.denominator.covariance, ())
    part = FixedPart(terms_of_patsy(source.info), source.kept, np.eye(len(source.beta)), root)
    spread = None if source.spread is None else source.spread()
    scale = np.nan if spread is None else spread.sd**2
    return AnalysedFit(part, source.beta, source.denominator, scale, source.residual)


def partial_eta_squared(f: Array, df: Array, den_df: Array) -> Array:
    """Share of the variation that is not explained otherwise: ``F df / (F df + den_df)``."""
    return np.asarray(f * df / (f * df + den_df))


def partial_omega_squared(f: Array, df: Array, den_df: Array) -> Array:
    """The same, less what chance explains: ``(F - 1) df / (F df + den_df + 1)``; it can be negative.

    References
    ----------
    Olejnik & Algina (2003), Psychol. Methods 8, 434.
    """
    return np.asarray((f - 1.0) * df / (f * df + den_df + 1.0))


def cohen_f(f: Array, df: Array, den_df: Array) -> Array:
    """Cohen's f: the root of ``eta^2 / (1 - eta^2)`` with partial eta squared."""
    return np.sqrt(np.maximum(f * df / den_df, 0.0))


def f_table(tested: AnalysedFit, kind: TermHypotheses) -> StatsTable:
    """Return F tests, a term a row."""
    hypotheses = tested.hypotheses(kind)
    tests = [_test(tested, hypothesis) for hypothesis in hypotheses]
    smooths = tested.smooths
    f = np.array([*(test.fvalue for test in tests), *(smooth.fvalue for smooth in smooths)], dtype=float)
    df = np.array([*(test.df_num for test in tests), *(smooth.ref_df for smooth in smooths)], dtype=float)
    den_df = np.array([*(test.df_denom for test in tests), *(smooth.df_denom for smooth in smooths)], dtype=float)
    frame = pd.DataFrame(
        {
            "sum_sq": f * df * tested.scale,
            "mean_sq": f * tested.scale,
            "df": df,
            "den_df": den_df,
            "F": f,
            "PR(>F)": [*(test.pvalue for test in tests), *(smooth.pvalue for smooth in smooths)],
            "partial_eta_sq": partial_eta_squared(f, df, den_df),
            "partial_omega_sq": partial_omega_squared(f, df, den_df),
            "cohen_f": cohen_f(f, df, den_df),
        },
        index=tested.labels(hypotheses),
    )
    if tested.residual is not None:
        residual_df, ssr = tested.residual
        frame.loc["Residual", ["sum_sq", "mean_sq", "df"]] = [ssr, ssr / residual_df, residual_df]
    has_squares = not np.isnan(tested.scale)
    if not has_squares:
        frame = frame[["df", "den_df", "F", "PR(>F)"]]
    notes = [
        f"{MEANING[kind.numeral]}; denominator degrees of freedom by {tested.denominator.labels}.",
        *tested.notes,
        *_missing(hypotheses),
        *kind.remarks(tested.part, hypotheses),
        *([SMOOTHS] if tested.smooths else []),
        *([EFFECT_SIZES] if has_squares else []),
    ]
    return StatsTable.from_frame(frame, heading="Analysis of variance", notes=notes, headers=SHORT)


def chi_squared_table(tested: AnalysedFit, kind: TermHypotheses) -> StatsTable:
    """Return Wald chi-squared tests, a term a row."""
    hypotheses = tested.hypotheses(kind)
    tests = [_test(tested, hypothesis) for hypothesis in hypotheses]
    frame = pd.DataFrame(
        {
            "chi2": [*(test.wald for test in tests), *(smooth.statistic for smooth in tested.smooths)],
            "df": [*(float(test.df_num) for test in tests), *(smooth.ref_df for smooth in tested.smooths)],
            "PR(>chi2)": [*(test.pvalue for test in tests), *(smooth.pvalue for smooth in tested.smooths)],
        },
        index=tested.labels(hypotheses),
    )
    notes = [
        f"{MEANING[kind.numeral]}; Wald tests.",
        *tested.notes,
        *_missing(hypotheses),
        *kind.remarks(tested.part, hypotheses),
        *([SMOOTHS] if tested.smooths else []),
    ]
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


def _missing(hypotheses: Sequence[TermHypothesis]) -> list[str]:
    """Notes on terms of which only a part can be estimated."""
    return [
        f"{h.label}: {len(h.L)} of {h.wanted} degrees of freedom can be estimated (empty cells, nested factors or "
        "redundant columns)."
        for h in hypotheses
        if len(h.L) < h.wanted
    ]
