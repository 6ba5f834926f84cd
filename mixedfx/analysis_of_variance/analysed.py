"""What a table needs of a fit, whichever package it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.analysis_of_variance.batch_terms import frame_of
from mixedfx.analysis_of_variance.coding import terms_of_design, terms_of_patsy
from mixedfx.analysis_of_variance.hypotheses import FixedPart
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.denominator import Asymptotic, ByCoefficient, Denominator
from mixedfx.inference.estimable import CanonicalRows, EstimableFunctions, estimable_functions
from mixedfx.matrices import Frame
from mixedfx.matrices.rows import Rows
from mixedfx.results.base import MixedResults
from mixedfx.results.linear import LinearMixedResults

__all__ = ["AnalysedFit", "analysed_fit"]


@dataclass(frozen=True)
class AnalysedFit:
    """A fit with what calibrates its tests.

    Attributes
    ----------
    part : FixedPart
    beta : (p,)
    denominator : Denominator
    scale : float
        Residual variance, by which F becomes a mean square; nan if there is none.
    residual : (float, float) or None
        Residual degrees of freedom and sum of squares of an ordinary linear model.
    rows : callable or None
        Gives the rows on which pooled degrees of freedom rest, where they depend on them.
    notes : tuple of str
        What the tests are worth, where that must be said.
    """

    part: FixedPart
    beta: Array
    denominator: Denominator
    scale: float
    residual: tuple[float, float] | None = None
    rows: Callable[[], CanonicalRows] | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_asymptotic(self) -> bool:
        """Whether the tests are chi-squared tests."""
        return isinstance(self.denominator, Asymptotic)


def analysed_fit(fit: Any, ddf: str | None) -> AnalysedFit:
    """Return what is tested, from results of mixedfx or of a statsmodels linear model.

    Raises
    ------
    TypeError
        If ``fit`` is neither.
    """
    if isinstance(fit, MixedResults):
        return _of_mixed(fit, ddf)
    if hasattr(fit, "normalized_cov_params") and hasattr(fit, "df_resid") and hasattr(fit, "ssr"):
        return _of_least_squares(fit, ddf)
    raise TypeError(
        f"anova needs results of mixedfx or a linear model fitted by statsmodels' formulas, found {type(fit).__name__}"
    )


def _of_mixed(fit: MixedResults, ddf: str | None) -> AnalysedFit:
    denominator = fit.denominator(ddf)
    frame = frame_of(fit)
    beta = np.asarray(fit.params, dtype=float)
    if isinstance(denominator, Asymptotic) or not isinstance(fit, LinearMixedResults):
        root = _root_of_inverse(denominator.covariance, fit.separation_notes)
    else:
        root = _cross_product_root(fit)
    part = FixedPart(
        terms_of_design(fit.design, frame), fit.design.fixed.kept, fit.design.fixed.alias, root, _estimable(fit, frame)
    )
    scale = fit.scale if isinstance(fit, LinearMixedResults) else np.nan
    return AnalysedFit(part, beta, denominator, scale, rows=lambda: fit._canonical_rows, notes=fit.separation_notes)


def _root_of_inverse(covariance: Array, reasons: Sequence[str]) -> Array:
    """``R``, upper triangular, with ``R'R`` the inverse; directions next to singular in rounding are as good as that.

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
    return partial(estimable_functions, fit.design, Rows(frame, fit.design.keep)) if fit.design.fixed.dropped else None


def _cross_product_root(fit: LinearMixedResults) -> Array:
    """``R`` with ``R'R = X'WX`` on the user's scale, from the cross-products of the fit."""
    p = len(fit.params)
    inner = np.linalg.cholesky(fit.fit.at.criterion.gram.total[:p, :p]).T
    return np.asarray(inner @ np.linalg.inv(fit.fit.problem.fixed.matrix))


def _of_least_squares(fit: Any, ddf: str | None) -> AnalysedFit:
    data = fit.model.data
    info = getattr(data, "model_spec", None) or getattr(data, "design_info", None)  # statsmodels before 0.15
    if info is None or not hasattr(info, "term_codings"):
        raise SpecificationError("the linear model must be fitted from a formula: smf.ols('y ~ a * b', data).fit()")
    if ddf is not None and ddf not in ("residual", "z"):
        raise SpecificationError(f"ddf={ddf!r} is for mixed models; the tests of a linear model have ddf='residual'")
    covariance = np.asarray(fit.normalized_cov_params) * fit.scale
    p = len(fit.params)
    if np.linalg.matrix_rank(np.asarray(fit.model.exog)) < p:
        raise SpecificationError(
            "the columns of the linear model are linearly dependent (empty cells?): leave out what cannot be estimated"
        )
    root = np.linalg.cholesky(np.linalg.inv(np.asarray(fit.normalized_cov_params))).T
    denominator: Denominator
    if ddf == "z":
        denominator = Asymptotic(covariance)
    else:
        denominator = ByCoefficient(covariance, np.full(p, float(fit.df_resid)), "the residual")
    part = FixedPart(terms_of_patsy(info), np.arange(p), np.eye(p), root)
    beta = np.asarray(fit.params, dtype=float)
    return AnalysedFit(part, beta, denominator, float(fit.scale), (float(fit.df_resid), float(fit.ssr)))
