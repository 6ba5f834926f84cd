"""The public functions: tests of the terms of one model, and comparisons of several."""

from __future__ import annotations

from typing import Any

from mixedfx._arguments import checked_flag
from mixedfx._display import StatsTable
from mixedfx.analysis_of_variance.comparison import likelihood_ratio_table
from mixedfx.analysis_of_variance.terms.coding import contains_by_name, contains_by_sas
from mixedfx.analysis_of_variance.terms.hypotheses import Droppable, TermHypotheses, TypeName, type_for
from mixedfx.analysis_of_variance.terms.tables import AnalysedFit, analysed_fit, chi_squared_table, f_table
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.ddf import DdfName

__all__ = ["anova", "drop1"]


def anova(
    fit: Any, *others: Any, type: TypeName | None = None, ddf: DdfName | None = None, refit: bool = True
) -> StatsTable:
    """Test the terms of a fitted model, or compare several fitted models.

    Parameters
    ----------
    fit : results
        Of mixedfx, of ``fit.robust()`` or :func:`mixedfx.pool`, or an ordinary linear model of statsmodels fitted from
        a formula.
    *others : results
        Further models of the same data: then likelihood-ratio tests of each model against the next smaller one.
    type : {1, 2, 3}
        1: each term after those above it; 2: after all others that do not contain it; 3 (default): after all others,
        all cells of the factors weighted equally, whatever the coding.
    ddf : {"satterthwaite", "kenward-roger", "containment", "residual", "z"}, optional
        Denominator degrees of freedom: ``"satterthwaite"`` (the default of linear mixed models), ``"kenward-roger"``,
        ``"containment"``, ``"residual"``, or ``"z"`` for Wald chi-squared tests (the default of generalised models).
    refit : bool
        Whether REML fits are refitted by maximum likelihood before they are compared.

    Returns
    -------
    StatsTable
        A DataFrame with notes. One model: ``sum_sq, mean_sq, df, den_df, F, PR(>F)`` and effect sizes, or ``chi2, df,
        PR(>chi2)``, a term a row. Several: ``n_params, aic, bic, llf, deviance, chi2, df, PR(>chi2)``, a model a row,
        and ``PR(boundary)`` where a variance, a zero inflation, or the spread of a larger family (negative binomial
        beside Poisson, beta-binomial beside binomial, Student's t beside normal) is tested: under the null hypothesis
        it lies at the end of its range. Models of which none contains the other (a column or a random term that only
        the smaller one has, other weights, link, family, or an offset that is no predictor) are listed without a test,
        and so are models of the same number of parameters; a note says why. What counts is what columns span, not how
        they are written: ``poly(x, 2)`` is ``x + I(x^2)``.

    Notes
    -----
    With denominator degrees of freedom, types 1 and 2 are the hypotheses of SAS and R's lmerTest, made of the
    cross-products of the design, so that they do not depend on the estimated variances; for type 2 an interaction with
    a covariate does not contain the factor. Two things differ from lmerTest: with weights the cross-products are
    weighted, ``X'WX``, as those of R's ``lm``, where lmerTest takes ``X'X``; and ``poly(x, 2)``, ``ns(x, 3)`` and other
    expressions of several columns are covariates here, where lmerTest takes them for factors. With ``ddf="z"`` they are
    those of R's car (and of lme4's own table): comparisons of nested models at the estimated variances, marginality by
    names.

    Satterthwaite's degrees of freedom of several rows (Fai and Cornelius) depend on the rows in which a hypothesis is
    written. All functions write it alike, in lmerTest's rows: those of treatment coding, with the first level in sorted
    order as the reference, so that neither the coding nor the order of the levels matters. Where the levels (or in type
    1 the factors of an interaction) are in another order, lmerTest's numbers are slightly different: its rows depend on
    it.

    Without an intercept, the first factor has the general mean among its effects: all its means are zero, averaged over
    the levels of the other factors with equal weights.

    Where cells are empty or a factor is nested in another (``region / state``), type 3 tests those estimable functions
    of a term that are orthogonal to those of the terms that contain it, as in SAS: regions are compared by the means of
    their states. Of crossed factors with empty cells the hypothesis depends on which cells are empty.

    References
    ----------
    Goodnight (1978), Tests of hypotheses in fixed effects linear models, SAS Technical Report R-101. Fai & Cornelius
    (1996), J. Stat. Comput. Simul. 54, 363.

    Raises
    ------
    SpecificationError
        If an argument makes no sense for the model.
    TypeError
        If something is not a fitted model.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("sleepstudy")
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> mfx.anova(fit).to_frame()[["df", "den_df", "F", "PR(>F)"]].round(4)
           df  den_df       F  PR(>F)
    Days  1.0    17.0  45.853     0.0
    >>> smaller = mfx.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> mfx.anova(smaller, fit).to_frame()[["n_params", "llf", "chi2", "df"]].round(3)
             n_params      llf    chi2   df
    model 1         4 -897.039     NaN  NaN
    model 2         6 -875.970  42.139  2.0
    """
    if others:
        if type is not None or ddf is not None:
            raise SpecificationError(
                "type and ddf are for the table of one model; several models are compared by likelihood"
            )
        return likelihood_ratio_table([fit, *others], refit=checked_flag("refit", refit))
    tested = analysed_fit(fit, ddf)
    return _table(tested, type_for(3 if type is None else type, _rule(tested)))


def drop1(fit: Any, *, ddf: DdfName | None = None) -> StatsTable:
    """Test every term that can be dropped without dropping another: those that no other term contains.

    Parameters
    ----------
    fit, ddf
        As for :func:`anova`.

    Returns
    -------
    StatsTable
        One row a term that can be dropped, with the columns of :func:`anova`; the tests are those of type II.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + I(Days**2) + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> list(mfx.drop1(fit).index)
    ['Days', 'I(Days ** 2)']
    """
    return _table(analysed_fit(fit, ddf), Droppable())


def _rule(tested: AnalysedFit) -> Any:
    return contains_by_name if tested.margins_by_name else contains_by_sas


def _table(tested: AnalysedFit, kind: TermHypotheses) -> StatsTable:
    return chi_squared_table(tested, kind) if tested.is_asymptotic else f_table(tested, kind)
