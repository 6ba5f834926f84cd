"""Results: hypotheses, intervals, bootstrap, profiles, prediction, simulation, updates, files."""

import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from tests.messages.helpers import MODEL, Case, data, glmer, lmer

S, D = SpecificationError, DataError


@cache
def fit(formula: str = "y ~ x + (1 | g)", reml: bool = True) -> Any:
    return mfx.lmer(formula, data(), reml=reml)


@cache
def counts(**options: Any) -> Any:
    return mfx.glmer("s ~ x + (1 | g)", data(), family="poisson", **options)


@cache
def structured() -> Any:
    return lmer("y ~ x + (1 | g)", residual=mfx.VarIdent("f"))()


@cache
def known() -> Any:
    names = [f"g{i}" for i in range(8)]
    return lmer("y ~ x + known(1 | g, K)", functions={"K": pd.DataFrame(np.eye(8), index=names, columns=names)})()


def holes(at: int) -> Any:
    """Data with a missing value."""
    return data(x=data()["x"].mask(np.arange(48) == at))


def grades() -> Any:
    grade = np.random.default_rng(3).integers(1, 4, 48)
    return mfx.glmer("grade ~ f + (1 | g)", data(grade=grade), family="ordinal")


def zeros() -> Any:
    rng = np.random.default_rng(3)
    s = rng.poisson(3, 48) * (rng.random(48) < 0.7)
    return mfx.glmer("s ~ f + (1 | g)", data(s=s), family="poisson", zero_inflation="~ 1")


def apart() -> Any:
    return mfx.glmer("s ~ f + (1 | g)", data(s=(np.array(data()["f"]) == "c") * 1), family="binomial")


def fewer() -> Any:
    return mfx.lmer("y ~ x + (1 | g)", data().iloc[:40])


def long() -> Any:
    """Two groups of 2001 rows."""
    y = np.random.default_rng(1).normal(size=4002)
    return mfx.lmer("y ~ 1 + (1 | g)", {"y": y, "g": np.arange(4002) % 2})


def crossed() -> Any:
    return fit("y ~ x + (1 | g) + (1 | h)")


def loaded(change: str = "", model: Any = None) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mfx"
        (model or fit()).save(path)
        if change:
            path.write_bytes(b"nothing")
        return mfx.load(path)


def folder_of_that_name() -> Path:
    path = Path(tempfile.gettempdir()) / "mixedfx-folder.parquet"
    path.mkdir(exist_ok=True)
    return path


def moved() -> Any:
    """Fits to many responses whose file is gone."""
    with tempfile.TemporaryDirectory() as folder:
        return fit().refit_many(data()[["y", "p"]], out=Path(folder) / "fits.parquet")


def simulated(formula: str = "y ~ x + (1 | g)", family: Any = None, **params: Any) -> Any:
    return lambda: mfx.simulate(formula, data(), params=params, family=family, seed=1)


GOOD = {"Intercept": 0.0, "x": 1.0, "sd_Intercept|g": 1.0, "sigma": 1.0}
SLOPES = GOOD | {"sd_x|g": 1.0, "cor_Intercept.x|g": 0.0}


def unequal_spreads():
    """Fits with residuals that are as unequal as the data are, and as they are not."""
    frame = data(y=np.random.default_rng(1).normal(size=48) * np.tile([1.0, 9.0, 81.0], 16))
    return [mfx.lmer("y ~ x", frame, residual=mfx.VarIdent(by)) for by in "fh"]


CASES: dict[str, Case] = {
    "negative seed": (lambda: fit().simulate(1, seed=-1), S, ("seed", "at least 0", "-1")),
    "no width": (lambda: fit().summary().as_text(0), S, ("width", "at least 1", "0")),
    "kind of limits": (
        lambda: mfx.bootstrap(fit(), 12, seed=1).conf_int(kind="nope"),
        S,
        ("kind", "'nope'", "percentile"),
    ),
    "robust of nagq=0": (lambda: counts(nagq=0).robust(), S, ("lmer", "effects profiled", "mfx.bootstrap")),
    "robust CR2 of counts": (lambda: counts().robust(kind="CR2"), S, ("'CR2'", "CR0 and CR1", "kind='CR1'")),
    "robust of crossed factors": (lambda: crossed().robust(), S, ("levels of g and levels of h", "cluster=")),
    "robust by one of them": (lambda: crossed().robust("g"), S, ("'g'", "levels of h", "whole")),
    "robust of a smooth": (lambda: fit("y ~ s(x) + (1 | g)").robust(), S, ("s(x)", "mfx.bootstrap(fit)")),
    "robust of known levels": (lambda: known().robust(), S, ("known(1 | g, K)", "mfx.bootstrap(fit)")),
    "robust without groups": (
        lambda: mfx.LinearMixedModel("y ~ x", data()).fit().robust(),
        S,
        ("no groups", 'cluster="school"'),
    ),
    "robust by no column": (lambda: fit().robust("nope"), S, ("'nope'", "column of the data")),
    "robust of one cluster": (lambda: fit().robust([0] * 48), D, ("two clusters", "one level")),
    "robust of a table": (lambda: fit().robust(data()[["g", "x"]]), D, ("cluster", "(48, 2)", "one label")),
    "robust of few labels": (lambda: fit().robust([0, 1]), D, ("cluster has 2 labels", "48 rows")),
    "robust of large clusters": (lambda: long().robust(), D, ("'g' has 2001 rows", "2000", "smaller clusters")),
    "robust test of too much": (
        lambda: mfx.lmer("y ~ x + f + (1 | g)", data(k=np.arange(48) // 24)).robust("k", "CR0").anova(),
        S,
        ("2 coefficients", "clusters", "fewer"),
    ),
    "robust by a list of columns": (lambda: fit().robust(["g", "h"]), S, ("['g', 'h']", "cluster='g'", "label")),
    "robust by an empty list": (lambda: fit().robust([]), S, ("name of a column", "found none")),
    "robust of a separated fit": (lambda: apart().robust(), D, ("apart", "f[T.c]", "penalty=0.1")),
    "robust with ddf": (lambda: fit().robust().anova(ddf="z"), S, ("ddf=",)),
    "robust means over groups": (lambda: counts().robust().emmeans(integrate=True), S, ("integrate=", "robust")),
    "pool of one fit": (lambda: mfx.pool(fit()), S, ("pool", "list of fits", "one fit")),
    "pool of a number": (lambda: mfx.pool(3), S, ("list of fitted mixed models", "int")),
    "pool of texts": (lambda: mfx.pool(["a", "b"]), TypeError, ("pool", "str")),
    "pool of a list of one": (lambda: mfx.pool([fit()]), S, ("at least two", "1")),
    "pool of a table": (lambda: mfx.pool(data()), S, ("list of fits", "DataFrame", "for one in imputed")),
    "pool of pooled fits": (lambda: mfx.pool([mfx.pool([fit(), fit()])] * 2), TypeError, ("Pooled", "pooled.fits[0]")),
    "pool of robust and other fits": (
        lambda: mfx.pool([fit().robust(), fit()]),
        S,
        ("different standard errors", "fit 1 CR2", "fit 2 has its own"),
    ),
    "pool of robust fits with ddf": (lambda: mfx.pool([fit().robust()] * 2, ddf="z"), S, ("ddf=", "leave out")),
    "pool of other missing rows": (
        lambda: mfx.pool([mfx.lmer("y ~ x + (1 | g)", holes(at)) for at in (0, 5)]),
        D,
        ("fit 1 and fit 2", "different rows", "1 and 1"),
    ),
    "pool of redundant columns": (
        lambda: mfx.pool([mfx.lmer("y ~ x + p + (1 | g)", data(p=p)) for p in (np.arange(48.0) ** 2, 2 * data()["x"])]),
        D,
        ("fit 1 and fit 2", "('p')", "combination of others"),
    ),
    "pool of learnt numbers": (
        lambda: mfx.pool([mfx.lmer("y ~ scale(x) + (1 | g)", data(x=data()["x"] * k)) for k in (1, 2)]),
        S,
        ("scale(x)", "fit 1 and fit 2", "(x - 50) / 10"),
    ),
    "pool of contrasts": (
        lambda: mfx.pool([mfx.lmer("y ~ f + (1 | g)", data(), contrasts={"f": c}) for c in ("sum", "helmert")]),
        S,
        ("contrasts of f", "fit 1 and fit 2", "contrasts="),
    ),
    "pooled terms with ddf": (lambda: mfx.pool([fit()] * 2).anova(ddf="z"), S, ("ddf=", "mfx.pool(fits, ddf=")),
    "pooled terms of a smooth": (
        lambda: mfx.pool([fit("y ~ f + s(x) + (1 | g)")] * 2).anova(),
        S,
        ("smooths", "ns(x, 3)", "t_test"),
    ),
    "robust pooled means of grades": (
        lambda: mfx.pool([grades().robust()] * 2).emmeans("f"),
        S,
        ("thresholds", ".anova()"),
    ),
    "robust means of grades": (lambda: grades().robust().emmeans("f"), S, ("thresholds", ".anova()")),
    "robust means of many zeros": (
        lambda: zeros().robust().emmeans("f", scale="response"),
        S,
        ("beside those of the linear predictor", "scale='link'"),
    ),
    "pooled effects of many zeros": (
        lambda: mfx.marginal_effects(mfx.pool([zeros()] * 2), data=data()),
        S,
        ("pooled.emmeans", "scale='link'"),
    ),
    "pooled effects": (
        lambda: mfx.marginal_effects(mfx.pool([fit()] * 2)),
        S,
        ("imputed data sets", "emmeans", "every fit"),
    ),
    "pooled likelihoods": (
        lambda: mfx.anova(mfx.pool([fit()] * 2), mfx.pool([fit("y ~ 1 + (1 | g)")] * 2)),
        TypeError,
        ("Pooled", "not pooled", "wald_test"),
    ),
    "pooled fits side by side": (
        lambda: mfx.compare([mfx.pool([fit()] * 2), fit()]),
        TypeError,
        ("Pooled", "pooled.fits[0]", "pooled.summary()"),
    ),
    "aic of pooled fits": (lambda: mfx.pool([fit()] * 2).aic, AttributeError, ("'aic'", "pooled.fits[0].aic")),
    "predictions of robust tests": (
        lambda: fit().robust().predict(),
        AttributeError,
        ("'predict'", "robust.fit.predict"),
    ),
    "pool of two formulas": (
        lambda: mfx.pool([fit(), fit("y ~ 1 + (1 | g)")]),
        S,
        ("the formula", "fit 2", "y ~ 1 + x"),
    ),
    "pool of REML and ML": (lambda: mfx.pool([fit(), fit(reml=False)]), S, ("the method", "'REML'", "'ML'")),
    "pool of two families": (
        lambda: mfx.pool([counts(), mfx.glmer("s ~ x + (1 | g)", data(), family="nbinom2")]),
        S,
        ("the family", "fit 2", "'poisson'"),
    ),
    "pool of other rows": (lambda: mfx.pool([fit(), fit(), fewer()]), D, ("48, 40 rows", "the same rows")),
    "pool of other levels": (
        lambda: mfx.pool([mfx.lmer("y ~ f + (1 | g)", data(**other)) for other in ({}, {"f": list("abd") * 16})]),
        D,
        ("the levels of f", "['a', 'b', 'd'] in fit 2", "category"),
    ),
    "containment": (lambda: crossed().t_test("x = 0", ddf="containment"), S, ("nested", "'g'", "kenward-roger")),
    "ddf of counts": (lambda: counts().t_test("x = 0", ddf="satterthwaite"), S, ("satterthwaite", "ddf='z'")),
    "Kenward and Roger by ML": (lambda: fit(reml=False).t_test("x = 0", ddf="kenward-roger"), S, ("REML", "reml=True")),
    "columns of constraints": (lambda: fit().t_test(np.eye(3)), S, ("2 columns", "Intercept, x", "(3, 3)")),
    "values of constraints": (lambda: fit().f_test((np.eye(2), [1, 2, 3])), S, ("2 constraints", "2 values", "3")),
    "infinite constraints": (lambda: fit().f_test([[np.nan, 1.0]]), S, ("finite numbers",)),
    "contradiction": (lambda: fit().f_test("x = 0, x = 1"), S, ("contradict", "x")),
    "scale of variances": (lambda: fit().cov_varpar("nope"), S, ("scale", "'nope'", "'sd'")),
    "alpha of tests": (lambda: fit().t_test("x = 0").conf_int(alpha=9), S, ("alpha", "0.05", "9")),
    "alpha of a summary": (lambda: fit().summary(alpha=9), S, ("alpha", "0.05", "9")),
    "objective": (lambda: fit().model.objective([1.0, 2.0]), S, ("theta", "1 numbers", "(2,)")),
    "Lambda": (lambda: fit().model.Lambda([1.0, 2.0]), S, ("theta", "1 numbers", "(2,)")),
    "objective of text": (lambda: fit().model.objective("a"), S, ("theta", "1 numbers", "'a'")),
    "objective of nan": (lambda: fit().model.objective([float("nan")]), S, ("theta", "finite", "nan")),
    "objective beyond a correlation": (
        lambda: mfx.LinearMixedModel("y ~ 1 + ar1(0 + f | g)", data()).objective([1.0, 1.5]),
        S,
        ("ar1", "rho = 1.5", "between -1 and 1"),
    ),
    "objective that overflows": (lambda: fit().model.objective([1e300]), D, ("cannot be computed", "theta")),
    "objective of counts": (lambda: counts().model.objective([1.0]), S, ("parameters", "3 numbers", "(1,)")),
    "nodes of an objective": (lambda: counts().model.objective([0.1, 0.1, 0.5], nagq=0), S, ("nagq", "at least 1")),
    "saved functions": (
        lambda: loaded(model=lmer("y ~ half(x) + (1 | g)", functions={"half": lambda x: x / 2})()),
        S,
        ("half", "cannot be saved", "pickle"),
    ),
    "sigma": (lmer(sigma=-1.0), S, ("sigma", "positive", "-1")),
    "saved refit": (lambda: loaded(model=fit().refit(data()["y"] * 2)), S, ("refit", "fit the model")),
    "no file of ours": (lambda: loaded("spoil"), D, ("model.mfx", "not a fit saved by mixedfx")),
    "updated refit": (lambda: fit().refit(data()["y"] * 2).update("~ . - x"), S, ("refit", "update the fit")),
    "update of a loaded fit": (lambda: loaded().update("~ . + h"), S, ("'h'", "data=")),
    "update with an array": (
        lambda: lmer(weights=np.ones(48))().update(data=data()),
        S,
        ("weights", "array", "weights=None"),
    ),
    "ddf of chi squared": (
        lambda: fit().wald_test("x = 0", use_f=False, ddf="satterthwaite"),
        S,
        ("F tests", "use_f=False"),
    ),
    "bootstrap of what": (
        lambda: mfx.bootstrap(fit(), 12, seed=1).conf_int(which="nope"),
        S,
        ("which", "'nope'", "'all'"),
    ),
    "bootstrap of a statistic": (
        lambda: mfx.bootstrap(fit(), 12, seed=1, statistic=lambda f: f.sigma).conf_int(which="fixed"),
        S,
        ("statistic", 'which="all"'),
    ),
    "bca without clusters": (
        lambda: mfx.bootstrap(crossed(), 12, seed=1).conf_int(kind="bca"),
        S,
        ("bca", 'kind="percentile"'),
    ),
    "clusters under a structure": (
        lambda: mfx.bootstrap(structured(), 5, method="case"),
        S,
        ("residual structure", 'method="parametric"'),
    ),
    "clusters that are related": (
        lambda: mfx.bootstrap(known(), 5, method="case"),
        S,
        ("known covariance", "parametric"),
    ),
    "cluster": (
        lambda: mfx.bootstrap(fit(), 5, method="cluster", cluster="nope"),
        S,
        ("cluster", "'nope'", "'g'", "a column of the data"),
    ),
    "holes of a cluster": (
        lambda: mfx.bootstrap(
            mfx.lmer(MODEL, data(v=np.where(np.arange(48) < 3, None, "a"))), 5, method="cluster", cluster="v"
        ),
        D,
        ("cluster='v'", "3 of the 48 rows", "fill"),
    ),
    "one cluster": (lambda: mfx.bootstrap(fit(), 5, method="cluster", cluster="t"), D, ("cluster='t'", "one value")),
    "text as a statistic": (
        lambda: mfx.bootstrap(fit(), 5, statistic=lambda f: "a"),
        S,
        ("statistic", "'a'", "numbers"),
    ),
    "no statistic": (lambda: mfx.bootstrap(fit(), 5, statistic=lambda f: None), S, ("statistic", "None", "return")),
    "a statistic of rows": (
        lambda: mfx.bootstrap(
            mfx.lmer(MODEL, data().iloc[1:]), 5, seed=1, method="cluster", statistic=lambda f: f.fittedvalues.to_numpy()
        ),
        S,
        ("47 numbers for the fit", "for a replicate", "as many"),
    ),
    "crossed clusters": (lambda: mfx.bootstrap(crossed(), 5, method="case"), S, ("crossed", "cluster='g'")),
    "cluster of another method": (lambda: mfx.bootstrap(fit(), 5, cluster="g"), S, ("cluster=", 'method="cluster"')),
    "method of a bootstrap": (lambda: mfx.bootstrap(fit(), 5, method="nope"), S, ("method", "'nope'", "'parametric'")),
    "residuals of counts": (lambda: mfx.bootstrap(counts(), 5, method="residual"), S, ("residuals", "parametric")),
    "statistic": (lambda: mfx.bootstrap(fit(), 5, statistic=lambda f: np.eye(2)), S, ("statistic", "(2, 2)")),
    "unsendable statistic": (
        lambda: mfx.bootstrap(fit(), 3, statistic=lambda one, of=sys.stdout: one.llf, n_jobs=2),
        S,
        ("cannot be sent to other processes", "cannot pickle", "n_jobs=1"),
    ),
    "no processes": (lambda: mfx.bootstrap(fit(), 5, n_jobs=0), S, ("n_jobs", "-1", "0")),
    "kind of residuals": (lambda: fit().residuals("nope"), S, ("kind", "'nope'", "'pearson'")),
    "kind of residuals of counts": (lambda: counts().residuals("nope"), S, ("kind", "'nope'", "'pearson'")),
    "trials of new rows": (
        lambda: glmer("cbind(s, t) ~ x + (1 | g)", "binomial")().simulate(data=data().drop(columns=["s"])),
        S,
        ("trials", "weights="),
    ),
    "which prediction": (lambda: fit().predict(data(), which="nope"), S, ("which", "'nope'", "'mean'")),
    "which prediction of counts": (lambda: counts().predict(data(), which="nope"), S, ("which", "'nope'", "'mean'")),
    "which limits of counts": (
        lambda: counts().get_prediction().summary_frame(which="nope"),
        S,
        ("which", "'nope'", "'linear'"),
    ),
    "weights of fitted rows": (lambda: counts().get_prediction(weights=2.0), S, ("weights", "data=")),
    "offset of fitted rows": (lambda: counts().predict(offset="x"), S, ("offset", "data=")),
    "weights of new rows": (
        lambda: fit().get_prediction(data(), weights=np.full(48, -1.0)),
        D,
        ("weights", "positive numbers", "-1"),
    ),
    "scale of variances of counts": (lambda: counts().cov_varpar("nope"), S, ("scale", "'nope'", "'sd'")),
    "tests without coefficients": (
        lambda: fit("y ~ 0 + (1 | g)").t_test("x = 0"),
        S,
        ("no fixed effects", "nothing to test"),
    ),
    "rows without groups": (
        lambda: fit().predict(data().drop(columns="g")),
        mfx.DataError,
        ("'g'", "random=False"),
    ),
    "no random": (lambda: fit().predict(data(), random=None), S, ("random=None", "random=False")),
    "random of another type": (lambda: fit().predict(data(), random=3), TypeError, ("random", "a list", "3")),
    "random flag of a simulation": (lambda: fit().simulate(random=True), S, ("random", '"fitted"', "True")),
    "limits of which": (lambda: fit().get_prediction().conf_int(which="nope"), S, ("which", "'nope'", "'effect'")),
    "errors of counts": (lambda: counts().get_prediction().se_obs, AttributeError, ("not normal", "conf_int(obs")),
    "table of which": (lambda: fit().get_prediction().summary_frame(which="nope"), S, ("which", "'nope'", "'effect'")),
    "effect of an average": (
        lambda: counts().get_prediction(integrate=True).conf_int(which="effect"),
        S,
        ("which='effect'", "integrate=True", "leave one out"),
    ),
    "offset of a refit in a picture": (
        lambda: mfx.plots.effect(fit("y ~ x + offset(w) + (1 | g)").refit(data()["s"]), "x"),
        S,
        ("refit", "'w'", "new response"),
    ),
    "new levels": (lambda: fit().predict(data(), new_levels="nope"), S, ("new_levels", "'nope'", "'population'")),
    "random": (lambda: fit().predict(data(), random="nope"), S, ("'nope'", "g")),
    "constraints of zeros": (lambda: structured().f_test([[0.0, 0.0]]), S, ("zero", "test nothing")),
    "profile of what": (lambda: fit().conf_int(method="profile", which="nope"), S, ("which", "'nope'", "fixed")),
    "profile limits of what": (lambda: mfx.profile(fit(reml=False)).conf_int(which="nope"), S, ("which", "'nope'")),
    "few draws of integrals": (lambda: counts().compare_integrators(draws=3), S, ("draws=3", "at least 100")),
    "profile without likelihood": (lambda: mfx.profile(counts(nagq=0)), S, ("nagq=0", "nagq=1")),
    "linear and generalised": (lambda: mfx.bootstrap_test(fit(), counts(), 5), S, ("linear", "generalised")),
    "rows of tested models": (
        lambda: mfx.bootstrap_test(mfx.lmer("y ~ 1 + (1 | g)", data().iloc[:40]), fit(), 5),
        D,
        ("40", "48", "same rows"),
    ),
    "responses of tested models": (
        lambda: mfx.bootstrap_test(fit("p ~ 1 + (1 | g)"), fit(), 5),
        D,
        ("different responses",),
    ),
    "order of tested models": (lambda: mfx.bootstrap_test(fit(), fit("y ~ 1 + (1 | g)"), 5), S, ("smaller one first",)),
    "not nested": (
        lambda: mfx.bootstrap_test(fit("y ~ x + (1 | g)"), fit("y ~ p + w + b + f + (1 | h)"), 5),
        S,
        ("the first model has x", "the second lacks", "not nested", "AIC"),
    ),
    "other weights of tested models": (
        lambda: mfx.bootstrap_test(fit("y ~ 1 + (1 | g)"), mfx.lmer("y ~ x + (1 | g)", data(), weights="p"), 5),
        S,
        ("differ in their weights", "not nested"),
    ),
    "the larger model fits worse": (
        lambda: mfx.bootstrap_test(*unequal_spreads(), 5),
        S,
        ("smaller likelihood", "starts"),
    ),
    "length of a response": (lambda: fit().refit([1.0, 2.0]), D, ("48 rows", "(2, 1)")),
    "holes of a response": (
        lambda: fit().refit([np.nan] * 48),
        D,
        ("48 values", "missing or infinite", "row 0", "48 rows"),
    ),
    "text as a response": (lambda: fit().refit(["1.5"] * 47 + ["many"]), D, ("numbers", "'1.5'")),
    "responses of unequal length": (
        lambda: fit().refit_many([[1.0], [1.0, 2.0]]),
        D,
        ("one length", "differ"),
    ),
    "a response of two columns": (
        lambda: fit().refit(data()[["y", "p"]]),
        D,
        ("one response", "2 columns", "refit_many"),
    ),
    "names of responses": (
        lambda: fit().refit_many(np.eye(48)[:, :3], names=["a", "b"]),
        S,
        ("names", "3 responses", "2"),
    ),
    "responses of one name": (
        lambda: fit().refit_many(np.eye(48)[:, :3], names=["a", "b", "a"]),
        S,
        ("same name", "'a'", "names="),
    ),
    "no responses": (lambda: fit().refit_many(np.zeros((48, 0))), D, ("no response", "no columns")),
    "row of a response": (
        lambda: fit().refit_many(data()[["y", "p"]])["llf"],
        S,
        ("row of a response", "to_frame()['llf']"),
    ),
    "response that is not there": (
        lambda: fit().refit_many(data()[["y", "p"]])["q"],
        S,
        ("no response 'q'", "'y', 'p'"),
    ),
    "file of no known kind": (
        lambda: fit().refit_many(data()[["y", "p"]], out="fits.csv"),
        S,
        ("Parquet", "'fits.csv'", "to_frame()"),
    ),
    "folder for responses": (
        lambda: fit().refit_many(data()[["y", "p"]], out=folder_of_that_name()),
        S,
        ("folder", "name of a file"),
    ),
    "file that cannot be written": (
        lambda: fit().refit_many(data()[["y", "p"]], out="no/such/folder/fits.parquet"),
        D,
        ("cannot be written", "unchanged"),
    ),
    "file that was moved": (lambda: moved().params, D, ("fits.parquet", "cannot be read")),
    "estimates without known variances": (lambda: mfx.heterogeneity(fit()), S, ("known", "KnownVariance", "sigma=1")),
    "estimates that are correlated": (
        lambda: mfx.heterogeneity(lmer(residual=mfx.KnownVariance("p") * mfx.AR1(group="g"))()),
        S,
        ("independent", "residual=", "leave the correlation out"),
    ),
    "levels of random effects": (lambda: fit().random_effects_table("g", ["nope"]), S, ("g has no level", "'nope'")),
    "group of random effects": (lambda: fit().random_effects_table("nope"), S, ("'nope'", "choose from 'g'")),
    "too many draws": (lambda: mfx.quantile_residuals(fit(), 10**9), S, ("draws of 48", "at most n=")),
    "profile by iteration": (
        lambda: mfx.profile(lmer("y ~ x + (1 | g) + (1 | h)", control=mfx.Control(remainder="iterative", probes=4))()),
        S,
        ("profile", "random probes", '"wald"', "exact"),
    ),
    "number of draws": (lambda: fit().simulate(0), S, ("n is the number of draws", "0")),
    "levels of a simulation": (lambda: fit().simulate(data=data(), new_levels="nope"), S, ("new_levels", "'nope'")),
    "random of a simulation": (lambda: fit().simulate(random="nope"), S, ("random", "'nope'", '"fitted"')),
    "related new levels": (lambda: known().simulate(data=data(g="new")), D, ("g", "known covariance", "no row")),
    "no such parameter": (simulated(**GOOD, nope=1.0), S, ("params", "'nope'")),
    "missing parameter": (simulated(x=1.0), S, ("params", "'Intercept'")),
    "parameter out of range": (
        simulated(**(GOOD | {"sd_Intercept|g": -1.0})),
        S,
        ("'sd_Intercept|g'", "at least 0", "-1"),
    ),
    "number of thetas": (
        simulated(Intercept=0.0, x=1.0, theta=[1.0, 2.0], sigma=1.0),
        S,
        ("'theta'", "1 numbers", "(2,)"),
    ),
    "theta out of bounds": (simulated(Intercept=0.0, x=1.0, theta=[-1.0], sigma=1.0), S, ("'theta'", "bounds", "-1")),
    "impossible correlations": (
        simulated(
            "y ~ 1 + (x + p | g)",
            Intercept=0.0,
            sigma=1.0,
            **{f"sd_{k}|g": 1.0 for k in ("Intercept", "x", "p")},
            **{"cor_Intercept.x|g": 0.9, "cor_Intercept.p|g": 0.9, "cor_x.p|g": -0.9},
        ),
        S,
        ("(1 + x + p | g)", "correlations"),
    ),
    "family parameter": (
        simulated("s ~ 1 + (1 | g)", "nbinom2", **{"Intercept": 0.0, "sd_Intercept|g": 1.0, "dispersion": -1.0}),
        S,
        ("'dispersion'", "-1"),
    ),
}
