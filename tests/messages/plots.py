"""Pictures. No picture is drawn: the arguments are wrong."""

from functools import cache
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx import SpecificationError
from tests.messages.helpers import Case, data, glmer, lmer


def plots() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from mixedfx import plots as room

    return room


@cache
def fit() -> Any:
    return mfx.lmer("y ~ x + (x | g)", data())


@cache
def three() -> Any:
    return mfx.lmer("y ~ x * f + b + (1 | g)", data())


@cache
def replicates(n: int = 12) -> Any:
    return mfx.bootstrap(fit(), n, seed=1)


@cache
def profile() -> Any:
    return mfx.profile(mfx.lmer("y ~ x + (1 | g)", data(), reml=False))


@cache
def without_groups() -> Any:
    return mfx.lmer("y ~ x", data(), residual=mfx.VarIdent("f"))


@cache
def wide() -> Any:
    rows = np.arange(2004)
    frame = {"y": np.random.default_rng(1).normal(size=2004) + rows % 4, "g": rows % 4}
    return mfx.lmer("y ~ 1 + (1 | g)", frame)


@cache
def many() -> Any:
    rng, g = np.random.default_rng(2), np.repeat(np.arange(20), 12)
    frame = {"y": rng.normal(size=240), "g": g} | {f"x{k}": rng.normal(size=240) for k in range(8)}
    frame["y"] += sum(rng.normal(size=20)[g] * frame[f"x{k}"] for k in range(8)) + rng.normal(size=20)[g]
    return mfx.lmer("y ~ 1 + (x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 || g)", frame)


@cache
def flat() -> Any:
    rows = np.arange(40)
    return lmer("y ~ 1 + (1 | g)", data={"y": np.where(rows % 2 == 0, 1.0, -1.0) * (1 + rows // 4), "g": rows // 4})()


def axes(count: int = 1) -> Any:
    plots()
    import matplotlib.pyplot as plt

    found = plt.figure().subplots(1, count)
    plt.close("all")
    return found


S = SpecificationError
CASES: dict[str, Case] = {
    "no folder": (
        lambda: plots().save_figure(axes(), "/no/such/folder/picture.png"),
        S,
        ("'/no/such/folder/picture.png'", "no folder"),
    ),
    "two figures": (lambda: plots().save_figure([axes(), axes()], "x.png"), S, ("2 figures", "on its own")),
    "no picture": (lambda: plots().save_figure(3, "x.png"), TypeError, ("int", "mixedfx.plots")),
    "kind of batches": (lambda: mfx.batches(fit(), draws=50).plot(kind="nope"), S, ("kind", "'nope'", "'finite'")),
    "few replicates": (
        lambda: plots().plot_bootstrap(mfx.bootstrap(fit(), 2, seed=1)),
        S,
        ("2 replicates", "at least"),
    ),
    "nothing to draw": (lambda: plots().caterpillar(without_groups()), S, ("no random effects",)),
    "caterpillar of nothing": (lambda: plots().caterpillar(fit(), "nope"), S, ("'nope'", "'g'")),
    "one axes": (lambda: plots().caterpillar(fit(), ax=axes()), S, ("ax=", "2", "leave ax= out")),
    "effect of nothing": (lambda: plots().effect(fit(), "nope"), S, ("'nope'", "x")),
    "file name": (lambda: plots().save_figure(axes(), "picture.nope"), S, ("'picture.nope'", "png")),
    "only an intercept": (lambda: plots().forest(mfx.lmer("y ~ 1 + (1 | g)", data())), S, ("intercept=True",)),
    "no fits in a forest": (lambda: plots().forest([]), S, ("at least one",)),
    "forest of no fit": (lambda: plots().forest(3), TypeError, ("forest", "int")),
    "matrix": (lambda: plots().matrix_image(fit(), "nope"), S, ("which", "'nope'", "'Z'")),
    "large matrix": (
        lambda: plots().matrix_frame(wide(), "V"),
        S,
        ("V has 2004 columns", "2000"),
    ),
    "no such parameter": (
        lambda: plots().plot_bootstrap(replicates(), parameters="nope"),
        S,
        ("'nope'", "'Intercept'"),
    ),
    "no parameter": (lambda: plots().plot_bootstrap(replicates(), parameters=[]), S, ("no parameter",)),
    "number of axes": (lambda: plots().plot_bootstrap(replicates(), axes=axes(2)), S, ("as many Axes", "2")),
    "pooling of no group": (lambda: plots().shrinkage(fit(), "nope"), S, ("'nope'", "'g'")),
    "no levels of panels": (lambda: plots().group_panels(fit(), "x", levels=[]), S, ("levels", "g", "[]")),
    "no terms of shrinkage": (lambda: plots().shrinkage(fit(), terms=[]), S, ("one or two", "Intercept", "[]")),
    "no random effect": (lambda: plots().shrinkage(fit(), terms=["nope", "x"]), S, ("g", "'nope'", "x")),
    "panels against nothing": (lambda: plots().group_panels(fit(), "nope"), S, ("'nope'", "x")),
    "panels of no level": (lambda: plots().group_panels(fit(), "x", levels=["nope"]), S, ("g", "'nope'")),
    "number of panels": (lambda: plots().group_panels(fit(), "x", ax=[axes()]), S, ("8 levels", "Axes", "1")),
    "kind of profile": (lambda: plots().plot_profile(profile(), "nope"), S, ("kind", "'nope'", "'zeta'")),
    "levels of a profile": (
        lambda: plots().plot_profile(profile(), levels=[2.0]),
        S,
        ("levels", "between 0 and 1", "2"),
    ),
    "a picture of what": (lambda: plots().plot_bootstrap(fit()), S, ("plot_bootstrap(mfx.bootstrap(fit))",)),
    "quantiles of no group": (lambda: plots().qq(fit(), "nope"), S, ("'nope'", "'g'")),
    "quantiles of no term": (lambda: plots().qq(fit(), "g", "nope"), S, ("g", "'nope'", "'x'")),
    "surface of no parameter": (lambda: plots().likelihood_surface(fit(), (0, 9)), S, ("0 to 2", "9")),
    "surface without a likelihood": (
        lambda: plots().likelihood_surface(glmer("s ~ x + (1 | g)", "poisson", nagq=0)()),
        S,
        ("likelihood_surface", "nagq=1"),
    ),
    "surface of another likelihood": (
        lambda: plots().likelihood_surface(glmer("s ~ me(x, sd=0.3) + (1 | g)", errors_in_variables="ml")()),
        S,
        ("likelihood_surface", "errors of measurement"),
    ),
    "start of a surface": (
        lambda: plots().likelihood_surface(glmer("s ~ x + (1 | g)", "poisson")(), start=[1.0]),
        S,
        ("start", "linear mixed models"),
    ),
    "picture of a fit": (lambda: fit().plot("nope"), S, ("kind", "'nope'", "'effect'")),
    "panels of an effect in Axes": (lambda: plots().effect(three(), "x", panels="f", ax=axes()), S, ("panels=", "ax")),
    "one variable twice": (lambda: plots().effect(three(), "x", "f", panels="f"), S, ("'f'", "panels")),
    "ridge of no fit": (lambda: plots().ridge(3), TypeError, ("ridge", "mfx.bootstrap", "int")),
    "ridge of no effect": (lambda: plots().ridge(fit(), term="nope"), S, ("g", "'nope'", "'x'")),
    "ridge of no group": (lambda: plots().ridge(fit(), "nope"), S, ("'nope'", "'g'")),
    "ridge without a variance": (lambda: plots().ridge(flat()), S, ("g", "no variance", "Intercept", "caterpillar")),
    "draws of a fit": (lambda: plots().ridge(fit(), parameters="x"), S, ("parameters=", "mfx.bootstrap", "term=")),
    "effects of draws": (lambda: plots().ridge(replicates(), "g"), S, ("group", "parameters=")),
    "ridge of few replicates": (
        lambda: plots().ridge(mfx.bootstrap(fit(), 2, seed=1)),
        S,
        ("2 replicates", "at least"),
    ),
    "ridge of draws that are the same": (
        lambda: plots().ridge(mfx.bootstrap(fit(), 12, statistic=lambda fit: {"one": 1.0}, seed=1)),
        S,
        ("one", "same in all replicates", "parameters="),
    ),
    "scatter of one effect": (
        lambda: plots().scatter_matrix(three()),
        S,
        ("two terms", "'Intercept' alone", "caterpillar"),
    ),
    "scatter of one parameter": (
        lambda: plots().scatter_matrix(replicates(), parameters=["x"]),
        S,
        ("two parameters", "'x' alone", "plot_bootstrap"),
    ),
    "scatter of no effect": (lambda: plots().scatter_matrix(fit(), terms=["nope", "x"]), S, ("'nope'", "'x'")),
    "scatter of draws of a fit": (
        lambda: plots().scatter_matrix(fit(), parameters=["x"]),
        S,
        ("parameters=", "terms="),
    ),
    "scatter of effects of draws": (lambda: plots().scatter_matrix(replicates(), "g"), S, ("group", "parameters=")),
    "scatter of a profile": (lambda: plots().scatter_matrix(profile()), S, ("joint draws", "mfx.bootstrap(fit)")),
    "scatter of many": (lambda: plots().scatter_matrix(many()), S, ("8 terms", "9", "terms=")),
    "panels of an ordinal response": (
        lambda: plots().group_panels(glmer("s ~ x + (1 | g)", "ordinal", data=data(s=data()["s"] + 1))(), "x"),
        S,
        ("group_panels", "ordinal", "plots.effect"),
    ),
    "surface of structured residuals": (
        lambda: plots().likelihood_surface(lmer("y ~ x + (1 | g)", residual=mfx.VarIdent("f"))()),
        S,
        ("likelihood_surface", "residual="),
    ),
    "shrinkage with errors of measurement": (
        lambda: plots().shrinkage(lmer("y ~ me(x, sd=0.3) + (1 | g)", errors_in_variables="ml")()),
        S,
        ("shrinkage", "errors of measurements", "fit.naive"),
    ),
}
