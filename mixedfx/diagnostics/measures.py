"""Measures of fit: shares of variance, R squared, information criteria, variance inflation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.diagnostics.checks import linear_results, mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.information import effective_parameters, trace_of_hat
from mixedfx.results.base import MixedResults

if TYPE_CHECKING:
    from mixedfx.fitting import LinearFit

__all__ = ["aicc", "conditional_aic", "icc", "r2", "vif"]


@dataclass(frozen=True)
class _Shares:
    """Components of the variance of the response, on the scale of the linear predictor."""

    fixed: float
    random: dict[str, float]
    residual: float

    @property
    def all_random(self) -> float:
        return sum(self.random.values())

    @property
    def total(self) -> float:
        return self.fixed + self.all_random + self.residual


def icc(fit: Any, *, by_group: bool = False) -> Any:
    """Return the intraclass correlation: the share of the variance that lies between groups.

    Parameters
    ----------
    fit : MixedResults
        For a generalised model the shares are those of the linear predictor, and the family has its own variance there:
        pi²/3 for a logit, 1 for a probit, ``log(1 + Var/mean²)`` for a log link at the average mean, else by the delta
        method. A term with one level a row counts as overdispersion. With ``weights=`` the shares are those of a row of
        weight 1, as in R: other units of the weights are other shares.
    by_group : bool
        Whether to return one row for each grouping factor.

    Returns
    -------
    Series or StatsTable
        ``adjusted``: of the variance that the fixed effects leave; ``unadjusted`` (also called conditional): of all of
        it. By group: a row a grouping factor with its variance, averaged over the rows where slopes are random.

    Raises
    ------
    SpecificationError
        If the family or the latent variable behind the link has no finite variance (link ``cauchit``; ``student_t`` of
        two degrees of freedom or fewer).

    References
    ----------
    Nakagawa, Johnson & Schielzeth (2017), J. R. Soc. Interface 14, 20170213; Johnson (2014), Methods Ecol. Evol. 5,
    944, for random slopes.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.icc(fit).round(3)
    adjusted      0.722
    unadjusted    0.521
    Name: icc, dtype: float64
    """
    shares = _shares(fit)
    below = shares.all_random + shares.residual
    if not by_group:
        values = {"adjusted": shares.all_random / below, "unadjusted": shares.all_random / shares.total}
        return pd.Series(values, name="icc")
    variances = pd.Series(shares.random, dtype=float)
    frame = pd.DataFrame({"variance": variances, "adjusted": variances / below, "unadjusted": variances / shares.total})
    return StatsTable.from_frame(
        frame,
        heading="Intraclass correlations",
        notes=["adjusted: share of the variance that the fixed effects leave; unadjusted: share of all variance."],
    )


def r2(fit: Any) -> pd.Series[float]:
    """Return Nakagawa and Schielzeth's R squared.

    Parameters
    ----------
    fit : MixedResults
        A generalised model is measured on the scale of the linear predictor, as by :func:`icc`.

    Returns
    -------
    Series
        ``marginal``: share of the variance explained by the fixed effects; ``conditional``: by fixed and random ones.

    Raises
    ------
    SpecificationError
        If the family or the latent variable behind the link has no finite variance (link ``cauchit``; ``student_t`` of
        two degrees of freedom or fewer).

    References
    ----------
    Nakagawa & Schielzeth (2013), Methods Ecol. Evol. 4, 133; Johnson (2014), Methods Ecol. Evol. 5, 944; Nakagawa,
    Johnson & Schielzeth (2017), J. R. Soc. Interface 14, 20170213.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.r2(fit).round(3)
    marginal       0.279
    conditional    0.799
    Name: r2, dtype: float64
    """
    shares = _shares(fit)
    explained = shares.fixed + shares.all_random
    return pd.Series({"marginal": shares.fixed / shares.total, "conditional": explained / shares.total}, name="r2")


def aicc(fit: Any) -> float:
    """Return Akaike's criterion corrected for small samples: ``aic + 2 k (k + 1) / (n - k - 1)``.

    Parameters
    ----------
    fit : MixedResults

    References
    ----------
    Hurvich & Tsai (1989), Biometrika 76, 297.
    """
    results = mixed_results(fit, "aicc")
    k, n = results.n_parameters, results.nobs
    if n - k - 1 <= 0:
        raise SpecificationError(f"AICc needs more than {k + 1} observations for {k} parameters, found {n}")
    return float(results.aic + 2.0 * k * (k + 1) / (n - k - 1))


def conditional_aic(fit: Any, *, corrected: bool = True) -> pd.Series[float]:
    """Return the conditional Akaike criterion, for predictions about the groups at hand rather than new ones.

    Parameters
    ----------
    fit : LinearMixedResults
    corrected : bool
        Whether the degrees of freedom count that the variances were estimated (Greven and Kneib); otherwise they are
        the trace of the hat matrix at the estimates (Vaida and Blanchard), which prefers larger models.

    Returns
    -------
    Series
        ``caic``, ``llf`` (the log-likelihood given the random effects) and ``df``, sigma included.

    References
    ----------
    Vaida & Blanchard (2005), Biometrika 92, 351; Greven & Kneib (2010), Biometrika 97, 773.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.conditional_aic(fit).round(2)
    caic    1711.52
    llf     -824.51
    df        31.25
    Name: conditional_aic, dtype: float64
    """
    solution = linear_results(fit, "conditional_aic", "is for linear mixed models").solution
    if solution.residual is not None:
        raise SpecificationError(
            "conditional_aic is for models without a residual structure: fit without residual=, or see fit.aic"
        )
    at = cast("LinearFit", solution).at  # the others have been refused
    df = (effective_parameters(at) if corrected else trace_of_hat(at)) + solution.has_sigma
    variances = fit.residual_variances
    used = np.isfinite(variances)
    residual = np.asarray(fit.resid)[used]
    llf = -0.5 * float(np.sum(np.log(2.0 * np.pi * variances[used]) + residual**2 / variances[used]))
    return pd.Series({"caic": -2.0 * llf + 2.0 * df, "llf": llf, "df": df}, name="conditional_aic")


def _shares(fit: Any) -> _Shares:
    results = mixed_results(fit, "this measure", "takes results of lmer or glmer")
    if not results.solution.response.has_normal_residuals:
        return _generalized_shares(results)
    return _Shares(_fixed_variance(results), random_variances(results), _residual_variance(results))


def _generalized_shares(fit: MixedResults) -> _Shares:
    """A term with a level for every row is overdispersion, which belongs to the residual."""
    random = random_variances(fit)
    extra = {t.group for t in fit.design.grouped if len(t.levels) == len(t.codes)}
    residual = _distribution_variance(fit) + sum(random[group] for group in extra)
    return _Shares(_fixed_variance(fit), {g: v for g, v in random.items() if g not in extra}, residual)


def _distribution_variance(fit: MixedResults) -> float:
    """Variance of the family on the scale of the linear predictor at the average mean, averaged over the rows.

    It differs between rows only if the dispersion has a formula.
    """
    family, link, eta = fit.solution.family, fit.solution.family.mean_link, fit.linear_predictors
    middle = link(np.array([link.mean(eta[:, 0]).mean()]))
    points = middle if eta.shape[1] == 1 else np.column_stack([np.repeat(middle, len(eta)), eta[:, 1:]])
    variance = float(np.mean(family.link_variance(points, fit.solution.response.phi)))
    if not np.isfinite(variance):
        raise SpecificationError(
            f"shares of variance are not defined: {_without_variance(fit)}; compare the standard deviations of the "
            "random effects with the spread of the fitted linear predictor instead"
        )
    return variance


def _without_variance(fit: MixedResults) -> str:
    family = fit.solution.family
    if family.latent:
        return f"the latent variable behind the link {family.link.name!r} has no finite variance"
    natural, _ = family.natural(fit.solution.response.phi)
    named = ", ".join(f"{name} = {value:.3g}" for name, value in natural.items())
    return f"the family {family.name!r} has no finite variance at {named}"


def _fixed_variance(fit: MixedResults) -> float:
    """Variance of the fixed part and the smooths over the rows: exactly zero if it is constant."""
    eta = fit.design.fixed.matrix @ np.asarray(fit.params, dtype=float)
    for term, mode in zip(fit.design.random, fit.solution.modes, strict=True):
        if term.is_smooth:
            eta = eta + term.matrix @ mode[:, 0]
    if not np.ptp(eta) > 0:
        return 0.0
    n, mean = fit.nobs, fit.design.mean_over_rows(eta)
    return fit.design.mean_over_rows(np.square(eta - mean)) * n / (n - 1)


def random_variances(fit: MixedResults) -> dict[str, float]:
    """Return the variance of ``z' b``, averaged over the rows, by grouping factor."""
    out: dict[str, float] = {}
    pairs = zip(fit.design.random, fit.varcorr.terms, fit.solution.covariances, strict=True)
    for term, covariance, full in pairs:
        if term.is_smooth:  # part of the mean
            continue
        if term.pooled is None:
            share = np.einsum("ia,ab,ib->i", term.matrix, covariance.matrix, term.matrix, optimize=True)
        else:
            share = term.row_variances(term.matrix, full)
        if term.loading is not None:
            share = share * np.einsum("lk,lk->l", term.loading, term.loading)[term.codes]
        out[term.group] = out.get(term.group, 0.0) + fit.design.mean_over_rows(share)
    return out


def _residual_variance(fit: MixedResults) -> float:
    """Residual variance of a row of weight one; averaged over the rows if the residuals have a structure."""
    bound = fit.solution.residual
    return fit.scale if bound is None else float(fit.scale * np.mean(bound.relative_variances(fit.solution.rho)))


def vif(fit: Any) -> StatsTable:
    """Return generalised variance-inflation factors, one for each term of the fixed effects.

    Parameters
    ----------
    fit : MixedResults

    Returns
    -------
    StatsTable
        ``df`` (columns of the term), ``gvif``, and ``scaled = gvif ** (1 / (2 df))``: by how much the standard errors
        of the term are larger than if it were uncorrelated with the other terms. Above 3 or so it hurts.

    References
    ----------
    Fox & Monette (1992), J. Am. Stat. Assoc. 87, 178.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))
    >>> mfx.vif(fit).to_frame()["scaled"].round(2).to_dict()
    {'age': 1.3, 'Sex': 2.02, 'age:Sex': 2.18}
    """
    results = mixed_results(fit, "vif")
    names = list(results.params.index)
    keep = [i for i, name in enumerate(names) if name != "Intercept"]
    terms = {t: [i for i in columns if i in keep] for t, columns in results.design.fixed.terms.items()}
    terms = {t: columns for t, columns in terms.items() if columns}
    if len(terms) < 2:
        raise SpecificationError("variance inflation needs at least two terms of fixed effects beside the intercept")
    covariance = results.cov_params().to_numpy()
    sd = np.sqrt(covariance.diagonal())
    correlation = covariance / np.outer(sd, sd)
    whole = _logdet(correlation, keep)
    rows = {}
    for term, own in terms.items():
        others = [i for i in keep if i not in own]
        value = float(np.exp(_logdet(correlation, own) + _logdet(correlation, others) - whole))
        rows[term] = (len(own), value, value ** (0.5 / len(own)))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["df", "gvif", "scaled"])
    return StatsTable.from_frame(
        frame.rename_axis("term"),
        heading="Variance inflation",
        notes=["scaled: the factor by which correlation with the other terms lengthens the standard errors."],
    )


def _logdet(matrix: Array, chosen: list[int]) -> float:
    return float(np.linalg.slogdet(matrix[np.ix_(chosen, chosen)])[1])
