"""Is a variance more than noise? Tests of variances, principal components, overdispersion, heterogeneity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._display import StatsTable
from mixedfx._typing import Array, BoolArray
from mixedfx.diagnostics.checks import generalized_results, linear_results, mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.variance_scales import variance_estimates
from mixedfx.results.base import MixedResults

__all__ = ["heterogeneity", "overdispersion", "random_effects_pca", "untestable", "variance_tests"]


def variance_tests(fit: Any) -> StatsTable:
    """Test every variance against zero by Wald's method, and every parameter of a residual structure.

    A likelihood-ratio test (:func:`mixedfx.ranova`) is better: the distribution of an estimated variance is skewed, and
    it cannot be negative. This is the test of SAS's and SPSS's tables.

    Parameters
    ----------
    fit : LinearMixedResults

    Returns
    -------
    StatsTable
        ``estimate, se, z, PR(>z)`` (one-sided for variances, two-sided for covariances), a parameter a row. Parameters
        of a residual structure (in the group "Residual") are compared with the value at which the residuals are
        independent with equal variances: correlations and powers with 0, ratios of standard deviations with 1.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.variance_tests(fit).to_frame()["se"].round(1).tolist()
    [288.8, 46.7, 14.8, 77.2]
    """
    results = linear_results(fit, "variance_tests", "is for linear mixed models")
    estimates = variance_estimates(results.solution, "variance")
    null, is_structure = _null_values(results, len(estimates.values))
    se = np.sqrt(np.maximum(estimates.covariance.diagonal(), 0.0))
    z = np.full(se.size, np.nan)
    np.divide(estimates.values - null, se, out=z, where=se > 0)
    single = np.array([not other for _, _, other in estimates.labels]) & ~is_structure
    frame = pd.DataFrame(
        {
            "estimate": estimates.values,
            "se": se,
            "z": z,
            "PR(>z)": np.where(single, special.ndtr(-z), 2.0 * special.ndtr(-np.abs(z))),
        },
        index=pd.MultiIndex.from_tuples(list(estimates.labels), names=["group", "term1", "term2"]),
    )
    notes = [
        "Wald tests, one-sided for variances. The distribution of an estimated variance is skewed: ranova has "
        "likelihood-ratio tests."
    ]
    if is_structure.any():
        notes.append(
            f"Residuals: {fit.model.residual}. Its parameters are compared with their values for independent residuals "
            "with equal variances, two-sided."
        )
    return StatsTable.from_frame(frame, heading="Tests of variances", notes=notes, formats={"PR(>z)": "p"})


def _null_values(fit: MixedResults, size: int) -> tuple[Array, BoolArray]:
    """Return what each parameter is compared with (r,), and whether it belongs to the residual structure (r,)."""
    bound, null, is_structure = fit.solution.residual, np.zeros(size), np.zeros(size, dtype=bool)
    if bound is not None and bound.n_rho:
        structure = slice(size - 1 - bound.n_rho, size - 1)
        is_structure[structure] = True
        of_variances = bound.natural(bound.start)[: sum(variance.parameters.n_rho for variance in bound.variances)]
        null[structure.start : structure.start + len(of_variances)] = of_variances
    return null, is_structure


def random_effects_pca(fit: Any) -> StatsTable:
    """Return the principal components of the random effects of every grouping factor.

    Components with a share near zero say that the random part has more dimensions than the data support.

    Parameters
    ----------
    fit : MixedResults

    Returns
    -------
    StatsTable
        A row a component: ``sd``, its ``share`` of the variance, and the ``cumulative`` share, by group.

    Raises
    ------
    SpecificationError
        If the model has no random effects.

    References
    ----------
    Bates, Kliegl, Vasishth & Baayen (2015), arXiv:1506.04967.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.random_effects_pca(fit).to_frame()["sd"].round(2).tolist()
    [24.74, 5.91]
    """
    covariances = mixed_results(fit, "random_effects_pca", "needs results of mixedfx").varcorr.covariances
    if not covariances:
        raise SpecificationError("random_effects_pca is for models with random effects; this one has a residual only")
    frames = []
    for group, covariance in covariances.items():
        values = np.maximum(np.linalg.eigvalsh(covariance.to_numpy())[::-1], 0.0)
        share = values / values.sum() if values.sum() > 0 else np.zeros(values.size)
        index = pd.MultiIndex.from_product([[group], [f"PC{i + 1}" for i in range(values.size)]])
        frames.append(pd.DataFrame({"sd": np.sqrt(values), "share": share, "cumulative": share.cumsum()}, index=index))
    table = pd.concat(frames).rename_axis(["group", "component"])
    return StatsTable.from_frame(
        table,
        heading="Principal components of the random effects",
        formats={"share": "percent", "cumulative": "percent"},
    )


def overdispersion(fit: Any) -> pd.Series[float]:
    """Compare the sum of squared Pearson residuals with its degrees of freedom: a quick look at overdispersion.

    Parameters
    ----------
    fit : GeneralizedLinearMixedResults

    Returns
    -------
    Series
        ``chi2, df, ratio, pvalue``: a ratio above 1 says that the data vary more than the family allows. The random
        effects count one degree of freedom a parameter, which makes the test careful:
        ``quantile_residuals(fit, random="posterior").dispersion()`` counts what they take. A row that counts as w rows
        (weights of counts) counts so here.

    Raises
    ------
    SpecificationError
        If the family estimates a dispersion of its own, or the responses are 0 and 1: single trials cannot be
        overdispersed.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
    >>> mfx.overdispersion(fit)["ratio"].round(2)
    np.float64(1.24)
    """
    results = generalized_results(fit, "overdispersion")
    reason = untestable(results)
    if reason is not None:
        raise SpecificationError(reason)
    residuals, counted = results.residuals("pearson").to_numpy(), results.solution.response.multiplier
    used = np.isfinite(residuals)
    rows = float(used.sum()) if counted is None else float(counted[used].sum())
    chi2, df = float(np.sum(residuals[used] ** 2)), rows - results.n_parameters
    if df <= 0:
        raise SpecificationError(f"{rows:g} rows and {results.n_parameters} parameters leave nothing to test")
    return pd.Series(
        {"chi2": chi2, "df": df, "ratio": chi2 / df, "pvalue": float(special.chdtrc(df, chi2))},
        name="overdispersion",
    )


def untestable(fit: MixedResults) -> str | None:
    """Return why the dispersion of a fit cannot be tested; None if it can."""
    if fit.solution.response.has_normal_residuals:
        return "the residual variance of a linear model is estimated: there is nothing to test"
    family, trials = fit.solution.family, fit.design.response.trials
    if "dispersion" in (*family.phi_names, *family.predictors):
        return f"the family {family.name!r} estimates its own dispersion: there is nothing to test"
    if family.has_categories:
        return "ordered categories cannot be overdispersed: there is nothing to test"
    if family.proportions and (trials is None or np.all(trials == 1)):
        return "a response of zeros and ones cannot be overdispersed: there is nothing to test"
    return None


def heterogeneity(fit: Any) -> StatsTable:
    """Return Cochran's Q, its test, I squared, H squared and the variance between studies of a meta-analysis.

    Parameters
    ----------
    fit : LinearMixedResults
        A linear model with known sampling variances: ``residual=KnownVariance("vi")``, or weights with ``sigma=``.

    Returns
    -------
    StatsTable
        One row: ``Q`` (weighted residual sum of squares of the fixed effects alone), ``df``, ``pvalue``
        (chi-squared), ``I2`` (per cent), ``H2`` and ``tau2`` (variance of the random effects; their mean over the rows
        where there are several, or slopes).

    Raises
    ------
    SpecificationError
        If the variances are estimated, or the residuals are correlated.

    Notes
    -----
    With ``w = 1 / v`` and ``P = W - W X (X'W X)^-1 X'W`` the typical sampling variance is ``(n - p) / tr P``; I squared
    is the share of ``tau2`` in the sum of both, H squared the ratio of the sum to it. Q does not depend on how tau2 was
    estimated, the other two do.

    References
    ----------
    Cochran (1954), Biometrics 10, 101-129. Higgins & Thompson (2002), Stat. Med. 21, 1539-1558.

    Examples
    --------
    >>> import pandas as pd, mixedfx as mfx
    >>> trials = pd.DataFrame({"y": [-0.9, -1.6, -0.2, -0.8, 0.0], "vi": [0.3, 0.2, 0.05, 0.01, 0.004],
    ...                        "trial": list("abcde")})
    >>> fit = mfx.lmer("y ~ 1 + (1 | trial)", trials, residual=mfx.KnownVariance("vi"))
    >>> found = mfx.heterogeneity(fit).iloc[0]
    >>> int(found["df"]), bool(found["pvalue"] < 1e-6)
    (4, True)
    """
    results = linear_results(fit, "heterogeneity", "takes a linear mixed model")
    used, variances = _known_variances(results)
    design, offset = fit.design, fit.design.offset
    X = design.fixed.matrix[used]
    y = (design.response.values if offset is None else design.response.values - offset)[used]
    root = 1.0 / np.sqrt(variances)
    basis = np.linalg.qr(X * root[:, None])[0]
    residual = y * root - basis @ (basis.T @ (y * root))
    statistic, df = float(residual @ residual), int(used.sum()) - X.shape[1]
    # tr P = sum w (1 - h)
    typical = df / float(np.sum(root**2 * (1.0 - np.square(basis).sum(axis=1))))
    tau2 = float(np.mean(_between(fit)[used]))
    row = {
        "Q": statistic,
        "df": df,
        "pvalue": float(special.chdtrc(df, statistic)),
        "I2": 100.0 * tau2 / (tau2 + typical),
        "H2": (tau2 + typical) / typical,
        "tau2": tau2,
    }
    notes = [
        "Q: the residual sum of squares without random effects, weighted by the known variances; chi-squared.",
        f"I2 and H2: against a typical sampling variance of {typical:.4g}, tau2 by {'REML' if fit.reml else 'ML'}; "
        "mfx.profile(fit) has an interval for tau.",
    ]
    frame = pd.DataFrame([row], index=["heterogeneity"])
    return StatsTable.from_frame(frame, heading="Heterogeneity", notes=notes)


def _known_variances(fit: MixedResults) -> tuple[Any, Array]:
    """Which rows count (n,), and their sampling variances."""
    design, residual = fit.design, fit.solution.residual
    if residual is not None and residual.groups is not None:
        raise SpecificationError(
            "heterogeneity is for independent estimates, and residual= correlates them: leave the correlation out"
        )
    if fit.solution.has_sigma or (residual is not None and residual.n_rho):
        raise SpecificationError(
            "heterogeneity is for known sampling variances, and these are estimated: write "
            'residual=mfx.KnownVariance("vi"), or weights with sigma=1'
        )
    weights = np.ones(design.n_rows) if design.weights is None else design.weights
    used = weights > 0
    relative = np.ones(design.n_rows) if residual is None else residual.relative_variances(fit.solution.rho)
    return used, np.asarray((fit.sigma**2 * relative)[used] / weights[used])


def _between(fit: MixedResults) -> Array:
    """Variance (n,) of the random part of every row."""
    total = np.zeros(fit.design.n_rows)
    for term, covariance in zip(fit.design.random, fit.solution.covariances, strict=True):
        total += term.row_variances(np.asarray(term.matrix, dtype=float), covariance)
    return total
