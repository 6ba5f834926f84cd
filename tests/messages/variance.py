"""Analyses of variance, comparisons of models, diagnostics, tables side by side."""

import warnings
from functools import cache
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from tests.messages.helpers import Case, data, glmer, lmer
from tests.messages.marginal_means import ols

S, D = SpecificationError, DataError


@cache
def fit(formula: str = "y ~ x + (1 | g)", reml: bool = True) -> Any:
    return mfx.lmer(formula, data(), reml=reml)


@cache
def structured() -> Any:
    return lmer("y ~ x + (1 | g)", residual=mfx.VarIdent("f"))()


def aov(formula: str = "y ~ f + Error(g)", **options: Any) -> Any:
    return mfx.aov(formula, data(), **options)


def squares(formula: str = "y ~ g", **options: Any) -> Any:
    return mfx.mean_squares(formula, options.pop("data", None) if "data" in options else data(), **options)


def separated() -> Any:
    """Every response is 1 where x is 1; elsewhere both occur."""
    row = np.arange(48)
    return data(x=row % 2, b=np.where(row % 2 == 1, 1, row // 2 % 2))


def far_apart() -> Any:
    """A variance of groups 1e20 times that of the residuals."""
    return lmer(data=data(y=data()["y"] + 1e10 * (np.arange(48) // 6 - 3.5) ** 3))()


def linear(formula: str) -> Any:
    import statsmodels.formula.api as smf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dependent columns, of which newer versions of statsmodels warn
        return smf.ols(formula, data(x2=data()["x"] * 2)).fit()


CASES: dict[str, Case] = {
    "no formula": (lambda: mfx.anova(ols(), type=3), S, ("formula", "smf.ols")),
    "ddf of a linear model": (
        lambda: mfx.anova(ols("y ~ x"), type=3, ddf="satterthwaite"),
        S,
        ("satterthwaite", "'residual'"),
    ),
    "terms of a separated fit": (
        lambda: mfx.anova(glmer("b ~ x + (1 | g)", "binomial", data=separated())()),
        D,
        ("x", "no Wald test", "mfx.anova(smaller, larger)", "penalty=0.1"),
    ),
    "dependent columns": (lambda: mfx.anova(linear("y ~ x + x2"), type=3), S, ("linearly dependent", "leave out")),
    "type of several": (lambda: mfx.anova(fit(), fit("y ~ 1 + (1 | g)"), type=3), S, ("type", "several models")),
    "observed": (lambda: aov(observed="nope"), S, ("observed", "'nope'", "'f'")),
    "mixed model of one stratum": (lambda: aov("y ~ f").mixed_model(), S, ("single stratum", "smf.ols", "Error(…)")),
    "correction": (lambda: aov().table(correction="nope"), S, ("correction", "'nope'", "'none'")),
    "sphericity": (
        lambda: aov("y ~ f + Error(h)").sphericity(),
        D,
        ("Error(unit/(a * b))", "aggregate='mean'", "lmer"),
    ),
    "population": (lambda: mfx.batches(fit(), population="nope"), S, ("population", "'nope'", "'chi2'")),
    "batches of a refit": (lambda: mfx.batches(fit().refit(data()["y"] * 2)), S, ("refit", "data frame")),
    "batches lost in rounding": (lambda: mfx.batches(far_apart()), D, ("rounding", "varcorr", "simpler")),
    "alpha of batches": (lambda: mfx.batches(fit(), alpha=3), S, ("alpha", "0.05", "3")),
    "interval of mean squares": (
        lambda: squares().variance_components(method="nope"),
        S,
        ("method", "'nope'", "'mls'"),
    ),
    "other response": (lambda: mfx.anova(fit(), fit("p ~ 1 + (1 | g)")), D, ("different responses", "'y ~", "'p ~")),
    "REML and ML": (
        lambda: mfx.anova(fit(), fit(reml=False, formula="y ~ x + (x | g)"), refit=False),
        S,
        ("REML", "refit=True"),
    ),
    "REML of other effects": (
        lambda: mfx.anova(fit(), fit("y ~ 1 + (1 | g)"), refit=False),
        S,
        ("same fixed effects", "refit=True"),
    ),
    "no wb": (lambda: mfx.contextual_test(fit()), S, ("wb(x, g)", "in the place of x")),
    "convention": (lambda: squares(convention="nope"), S, ("convention", "'nope'", "'restricted'")),
    "no replication": (lambda: squares("y ~ g + id"), D, ("id", "degrees of freedom", "leave it out")),
    "restricted": (
        lambda: squares("y ~ f * g", fixed="f", data=data().iloc[:-3], convention="restricted"),
        S,
        ("restricted", "balanced", "'unrestricted'"),
    ),
    "same term": (
        lambda: mfx.mean_squares("y ~ g + k", data(k=data()["g"] + "x")),
        D,
        ("k", "separated", "leave it out"),
    ),
    "batches of structured residuals": (lambda: mfx.batches(structured()), S, ("batches", "residual=")),
    "alpha of mean squares": (lambda: squares().one_way(alpha=0), S, ("alpha", "0.05", "0")),
    "no component": (lambda: squares().combination({"nope": 1.0}), S, ("'nope'", "g")),
    "offset in aov": (lambda: aov("y ~ f + offset(x)"), S, ("offset", "subtract")),
    "aggregate": (lambda: aov(aggregate="nope"), S, ("aggregate", "'nope'", "'mean'")),
    "one way": (lambda: squares("y ~ g + h").one_way(), S, ("one_way", "'y ~ group'")),
    "one way without residual": (
        lambda: mfx.mean_squares("k ~ g", data(k=np.repeat(np.arange(8.0), 6))).one_way(),
        D,
        ("residual mean square is zero",),
    ),
    "fixed": (lambda: squares(fixed="nope"), S, ("fixed", "'nope'", "y ~ g")),
    "all fixed": (lambda: squares(fixed="g"), S, ("every factor is fixed", "aov")),
    "mean squares without response": (lambda: squares("~ g"), S, ("~ g", "response")),
    "mean squares with Error": (lambda: squares("y ~ f + Error(g)"), S, ("Error", "random factors as terms")),
    "mean squares without intercept": (lambda: squares("y ~ 0 + g"), S, ("intercept", "'0 +'")),
    "mean squares with slopes": (lambda: squares("y ~ x + (x | g)"), S, ("x | g", "lmer")),
    "random function": (lambda: squares("y ~ g + log(p)"), S, ("'log(p)'", "fixed=")),
    "structured residuals": (lambda: mfx.pooling(structured()), S, ("pooling", "residual=")),
    "no group": (lambda: mfx.influence(fit(), "nope"), S, ("'nope'", "'g'", "group=data['nope']")),
    "labels": (lambda: mfx.influence(fit(), [1, 2]), D, ("group", "2 labels", "48 rows")),
    "missing labels": (lambda: mfx.influence(fit(), [None] + ["a"] * 47), D, ("1 labels of group", "missing")),
    "vif of one": (lambda: mfx.vif(fit()), S, ("two terms",)),
    "dispersion of a family with its own": (
        lambda: mfx.overdispersion(glmer("p ~ x + (1 | g)", "gamma")()),
        S,
        ("'gamma'", "dispersion"),
    ),
    "dispersion of zeros and ones": (
        lambda: mfx.overdispersion(glmer("b ~ x + (1 | g)", "binomial")()),
        S,
        ("zeros and ones", "nothing to test"),
    ),
    "aicc": (lambda: mfx.aicc(mfx.lmer("y ~ x + (1 | g)", data().iloc[[0, 1, 6, 7, 13]])), S, ("AICc", "5")),
    "conditional aic": (lambda: mfx.conditional_aic(structured()), S, ("conditional_aic", "residual structure")),
    "shares without a variance": (
        lambda: mfx.icc(glmer("b ~ x + (1 | g)", "binomial", link="cauchit")()),
        S,
        ("'cauchit'", "standard deviations"),
    ),
    "a time twice": (lambda: mfx.acf(fit(), time="h"), D, ("time", "levels of g", "group=")),
    "lags of nothing": (lambda: mfx.acf(fit(), np.arange(48)), S, ("set", "apart")),
    "fractions of lags": (lambda: mfx.acf(fit(), time="x"), D, ("time", "whole numbers", "variogram")),
    "number of lags": (lambda: mfx.acf(fit(), lags=0), S, ("lags", "0")),
    "distances of words": (lambda: mfx.variogram(fit(), ["a", "b"] * 24), D, ("no column 'a'",)),
    "distances that are none": (lambda: mfx.variogram(fit(), np.array(["a"] * 48)), D, ("distance", "numbers")),
    "distances of other rows": (lambda: mfx.variogram(fit(), np.arange(3.0)), D, ("distance", "48 rows")),
    "distances of a refit": (lambda: mfx.variogram(fit().refit(data()["y"]), "x"), S, ("refit", "distance")),
    "distances of nothing": (lambda: mfx.variogram(fit(), "x", np.arange(48)), S, ("no pairs", "set")),
    "number of intervals": (lambda: mfx.variogram(fit(), "x", intervals=0), S, ("intervals", "0")),
    "alternative": (
        lambda: mfx.quantile_residuals(fit(), 20, seed=1).dispersion(alternative="nope"),
        S,
        ("alternative", "'nope'"),
    ),
    "no fits": (lambda: mfx.summary_col([]), S, ("at least one",)),
    "fits as arguments": (lambda: mfx.compare(fit(), fit()), S, ("list", "compare([a, b])")),
    "fits that are none": (lambda: mfx.compare(3), S, ("list", "int")),
    "a label for all": (lambda: mfx.summary_col([fit(), fit()], "a"), S, ("2 different labels", "'a'")),
    "labels of fits": (lambda: mfx.summary_col([fit(), fit()], ["a", "a"]), S, ("names", "2 different", "a")),
    "different rows": (
        lambda: mfx.compare([fit(reml=False), mfx.lmer("y ~ x + (1 | g)", data().iloc[:40], reml=False)]),
        S,
        ("48", "same rows"),
    ),
    "other rows": (
        lambda: mfx.compare([mfx.lmer("y ~ x + (1 | g)", own) for own in (data().iloc[:40], data().iloc[8:])]),
        S,
        ("different rows", "in common"),
    ),
    "REML beside ML": (
        lambda: mfx.compare([fit(), linear("y ~ x")]),
        S,
        ("some full ones", "reml=False"),
    ),
    "compared REML": (lambda: mfx.compare([fit(), fit("y ~ 1 + (1 | g)")]), S, ("restricted", "reml=False")),
    "pooling of nothing": (
        lambda: mfx.pooling(lmer("y ~ x", residual=mfx.VarIdent("f"))()),
        S,
        ("no random effects", "nothing to pool"),
    ),
    "pooling of no group": (lambda: mfx.pooling(fit(), "nope"), S, ("'nope'", "'g'")),
    "pooling along nothing": (lambda: mfx.pooling(fit()).lines("nope"), S, ("'nope'", "'x'")),
    "pooling of no level": (lambda: mfx.pooling(fit()).lines("x", ["nope"]), S, ("g", "'nope'")),
    "components of nothing": (
        lambda: mfx.random_effects_pca(lmer("y ~ x", residual=mfx.VarIdent("f"))()),
        S,
        ("random_effects_pca", "residual only"),
    ),
}
