"""Marginal means, slopes, comparisons, contrasts."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from tests.messages.helpers import Case, data


@cache
def fit() -> Any:
    return mfx.lmer("y ~ x + f + b + (1 | g)", data())


@cache
def ordinal() -> Any:
    return mfx.glmer("s ~ x + (1 | g)", data(), family="ordinal")


def zeros() -> Any:
    counts = data().assign(k=lambda d: (10 * d["x"].abs()).round())
    return mfx.glmer("k ~ x + (1 | g)", counts, family="zero_inflated_poisson", zero_inflation="~ f")


def with_offset() -> Any:
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    frame = data()
    return smf.glm("y ~ x", frame, family=sm.families.Gaussian(), offset=frame["w"]).fit()


def ols(formula: str = "") -> Any:
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    frame = data()
    return smf.ols(formula, frame).fit() if formula else sm.OLS(frame["y"], frame[["x", "w"]]).fit()


def several() -> Any:
    import statsmodels.formula.api as smf

    thirds = data().assign(third=np.arange(len(data())) % 3)
    return smf.mnlogit("third ~ x", thirds).fit(disp=0)


def means(specs: Any = "f", **options: Any) -> Any:
    return mfx.emmeans(fit(), specs, **options)


def hypothesis(text: Any) -> Any:
    return lambda: mfx.hypotheses(fit(), text)


S = SpecificationError
CASES: dict[str, Case] = {
    "several predictors": (lambda: mfx.emmeans(several(), "x"), S, ("several linear predictors", "MNLogit")),
    "adjust": (lambda: means().test(adjust="nope"), S, ("adjust", "'nope'", "tukey")),
    "single mean": (lambda: means(None).pairs(), S, ("only one mean", "nothing to compare")),
    "incomplete cells": (
        lambda: replace(
            m := means(["f", "b"], at={"b": [0, 1]}),
            labels=m.labels.iloc[1:].reset_index(drop=True),
            functions=m.functions.taken(np.arange(1, len(m))),
        ).contrast(interaction=True),
        S,
        ("combinations of the levels", "f, b"),
    ),
    "joint tests of incomplete cells": (
        lambda: replace(
            m := means(["f", "b"], at={"b": [0, 1]}),
            labels=m.labels.iloc[1:].reset_index(drop=True),
            functions=m.functions.taken(np.arange(1, len(m))),
        ).joint_tests(),
        S,
        ("combinations of the levels", "f, b"),
    ),
    "nesting of nothing": (
        lambda: means(nesting={"f": "nope"}),
        S,
        ("nesting=", "'nope'", "no factor of the model", "'f', 'b'"),
    ),
    "nesting of a number": (lambda: mfx.trends(fit(), "x", nesting={"x": "f"}), S, ("nesting=", "'x'", "'f', 'b'")),
    "nesting in itself": (
        lambda: mfx.joint_tests(fit(), nesting={"f": "b", "b": "f"}),
        S,
        ("nesting=", "'f' within itself", "{'inner factor': 'outer factor'}"),
    ),
    "number of interaction methods": (
        lambda: means(["f", "b"], at={"b": [0, 1]}).contrast(interaction=["pairwise"]),
        S,
        ("interaction=", "2 methods", "f, b"),
    ),
    "interaction methods": (
        lambda: means(["f", "b"], at={"b": [0, 1]}).contrast(interaction=3),
        S,
        ("interaction=", "f, b", "3"),
    ),
    "methods by factor": (
        lambda: means(["f", "b"], at={"b": [0, 1]}).contrast(interaction={"f": "pairwise"}),
        S,
        ("a method for each", "f, b"),
    ),
    "coefficients of a mapping": (
        lambda: means().contrast({"u": ["u", 1, 2]}),
        S,
        ("coefficients of contrasts", "numbers"),
    ),
    "comparison": (lambda: mfx.comparisons(fit(), "f", comparison="nope"), S, ("comparison", "'nope'", "'difference'")),
    "reference": (
        lambda: means().contrast("treatment", reference="z"),
        S,
        ("reference='z'", "a"),
    ),
    "coefficients": (lambda: means().contrast([1, -1]), S, ("3 finite coefficients", "a, b, c")),
    "reference of others": (lambda: means().contrast("pairwise", reference="a"), S, ("reference='a'", "'treatment'")),
    "contrasts": (lambda: means().contrast("nope"), S, ("'nope'", "pairwise", "coefficients")),
    "no numbers": (lambda: means().contrast([["u", 1, 2]]), S, ("coefficients of contrasts", "numbers")),
    "comparison of a number": (lambda: mfx.comparisons(fit(), {"x": "nope"}), S, ("'x' is numeric", "'sd'", "'nope'")),
    "columns of data=": (
        lambda: mfx.marginal_effects(fit(), "x", data=data().drop(columns="f")),
        DataError,
        ("data=", "'f'"),
    ),
    "missing in data=": (
        lambda: mfx.marginal_effects(fit(), "x", data=data(x=float("nan"))),
        DataError,
        ("data=", "missing", "drop"),
    ),
    "effects in rows of text": (
        lambda: mfx.marginal_effects(fit(), "x", data=data(x="text")),
        DataError,
        ("'x'", "is not numeric", "'text'"),
    ),
    "comparisons in rows of text": (
        lambda: mfx.comparisons(fit(), "x", data=data(x="text")),
        DataError,
        ("'x'", "is not numeric", "'text'"),
    ),
    "alpha of effects": (lambda: mfx.marginal_effects(fit(), "x", alpha=5), S, ("alpha", "0.05", "5")),
    "comparison of a factor": (lambda: mfx.comparisons(fit(), {"f": "nope"}), S, ("'f' is a factor", "'pairwise'")),
    "effect of nothing": (lambda: mfx.marginal_effects(fit(), "nope"), S, ("'nope'", "predictor", "x")),
    "by twice": (lambda: means("f | b", by="b"), S, ("by=", "twice")),
    "scale": (lambda: means(scale="nope"), S, ("'link', 'response', 'mean_class'", "'nope'")),
    "scale of categories": (lambda: means(scale="mean_class"), S, ("'mean_class'", "ordinal", "'response'")),
    "pairwise in specs": (lambda: means("pairwise ~ f"), S, ("'pairwise ~ f'", "contrast('pairwise')")),
    "ddf number": (lambda: means(ddf=-1), S, ("ddf", "positive number", "-1")),
    "no formula": (lambda: mfx.emmeans(ols(), "x"), S, ("formula", "smf.ols")),
    "ddf of statsmodels": (
        lambda: mfx.emmeans(ols("y ~ x"), "x", ddf="satterthwaite"),
        S,
        ("'satterthwaite'", "'residual'"),
    ),
    "at without values": (lambda: means(at={"x": []}), S, ("'x'", "no values")),
    "negative weights": (lambda: means(weights=[-1.0, 2.0]), S, ("weights", "not negative")),
    "at of nothing": (lambda: means(at={"nope": 1}), S, ("'nope'", "predictor", "x")),
    "at of no level": (lambda: means("x", at={"f": ["z"]}), S, ("'f'", "'z'", "level")),
    "at of text": (lambda: means(at={"x": "abc"}), S, ("'x'", "numbers", "'abc'")),
    "at beyond numbers": (lambda: means(at={"x": [0, np.inf]}), S, ("'x'", "finite", "inf")),
    "large grid": (
        lambda: means(["x", "b"], at={"x": range(3000), "b": range(3000)}),
        S,
        ("reference grid", "at={"),
    ),
    "number of weights": (lambda: means("x", weights=[1.0, 2.0]), S, ("6 numbers", "f", "2")),
    "weights": (lambda: means("x", weights="nope"), S, ("'nope'", "'equal'")),
    "alpha of means": (lambda: means().to_frame(alpha=2), S, ("alpha", "0.05", "2")),
    "side": (lambda: means().test(side="nope"), S, ("side", "'nope'", "'two-sided'")),
    "by of no column": (lambda: means().pairs(by="nope"), S, ("by='nope'", "f")),
    "mean of categories": (
        lambda: mfx.emmeans(ordinal(), "x", integrate=True),
        S,
        ("ordinal", "scale='link'", "scale='response'", "scale='mean_class'"),
    ),
    "scale of effects": (lambda: mfx.marginal_effects(fit(), "x", scale="nope"), S, ("scale", "'nope'", "'response'")),
    "averages of the link": (
        lambda: mfx.marginal_effects(fit(), "x", scale="link", integrate=True),
        S,
        ("integrate=True", "scale='response'"),
    ),
    "slope of nothing": (lambda: mfx.trends(fit(), "nope", "f"), S, ("'nope'", "predictor", "x")),
    "slope of a factor": (lambda: mfx.trends(fit(), "f"), S, ("'f' is a factor", "emmeans(fit, 'f')")),
    "null of no number": (lambda: means().test(null="a"), TypeError, ("null", "str")),
    "null at infinity": (lambda: means().test(null=np.inf), S, ("null", "finite", "inf")),
    "negative delta": (lambda: means().test(delta=-1), S, ("delta", "-1")),
    "joint test with a side": (lambda: means().test(joint=True, side="less"), S, ("joint test", "side")),
    "joint test adjusted": (lambda: means().test(joint=True, adjust="holm"), S, ("joint test", "adjust='holm'")),
    "offset of no number": (lambda: means(offset="x"), TypeError, ("offset", "one number", "str")),
    "offset at infinity": (lambda: means(offset=np.inf), S, ("offset", "finite", "inf")),
    "offset of the fit's rows": (lambda: mfx.comparisons(fit(), offset="x"), S, ("offset=", "data=")),
    "offset of statsmodels": (
        lambda: mfx.comparisons(with_offset(), data=data().head(3)),
        S,
        ("has an offset", "offset="),
    ),
    "predictor of the zeros": (lambda: mfx.emmeans(zeros(), "f"), S, ("'f'", "zero_inflation=", "scale='response'")),
    "effects of an intercept": (
        lambda: mfx.comparisons(mfx.lmer("y ~ 1 + (1 | g)", data())),
        S,
        ("no predictor", "intercept only"),
    ),
    "effects in no rows": (lambda: mfx.comparisons(fit(), data=data().head(0)), mfx.DataError, ("data=", "no rows")),
    "mean class of a number": (
        lambda: mfx.comparisons(fit(), scale="mean_class"),
        S,
        ("'mean_class'", "ordinal", "'response'"),
    ),
    "hypothesis of an unknown name": (
        hypothesis("foo = 1"),
        S,
        ("'foo'", "no coefficient", "b1 / b2 = 1"),
    ),
    "hypothesis with an unknown sign": (hypothesis("x ? 1"), S, ("goes wrong", "'? 1'")),
    "hypothesis that begins with a sign": (hypothesis("? x"), S, ("goes wrong", "'? x'")),
    "hypothesis without an end": (hypothesis("x *"), S, ("'x *'", "ends too early")),
    "hypothesis of numbers": (hypothesis("1 = 1"), S, ("'1 = 1'", "names no coefficient")),
    "hypothesis at a pole": (hypothesis("x / 0"), S, ("'x / 0'", "no finite value")),
    "hypothesis with an open bracket": (hypothesis("(x"), S, ("'(x'", "not closed")),
    "hypothesis with a bare function": (hypothesis("exp x"), S, ("'exp x'", "without brackets")),
    "hypothesis with brackets": (hypothesis("(" * 200 + "x"), S, ("levels of brackets", "100")),
    "hypothesis in back-quotes": (hypothesis("`foo` = 1"), S, ("'foo'", "no coefficient")),
    "hypothesis too long": (hypothesis("x" * 6000), S, ("5000", "6000")),
    "hypothesis that is empty": (hypothesis([]), S, ("hypothesis is empty", "b1 / b2 = 1")),
    "hypothesis of numbers in a list": (hypothesis([1]), TypeError, ("is a text", "int")),
    "hypothesis of a number": (hypothesis(1), TypeError, ("is a text", "int")),
    "hypothesis on means": (lambda: mfx.hypotheses(means(), "b1 = 1", ddf="z"), S, ("ddf=", "emmeans(fit")),
    "effect size of a fit": (lambda: mfx.eff_size(fit()), TypeError, ("emmeans(fit", "LinearMixedResults")),
    "effect size without a unit": (
        lambda: mfx.eff_size(mfx.emmeans(zeros(), "x", at={"x": [0, 1]})),
        S,
        ("sigma=", "standard deviation"),
    ),
    "effect size in units of nothing": (lambda: mfx.eff_size(means(), sigma=0), S, ("sigma", "positive", "0")),
    "effect size in units of text": (lambda: mfx.eff_size(means(), sigma="x"), TypeError, ("sigma", "positive", "str")),
    "picture of an interaction of contrasts": (
        lambda: mfx.plots.interaction(means().pairs()),
        S,
        ("interaction", "emmeans(fit, ['a', 'b'])"),
    ),
    "picture along nothing": (lambda: mfx.plots.interaction(means(), "nope"), S, ("x='nope'", "'f'")),
    "picture of p-values of contrasts": (
        lambda: mfx.plots.pairwise_pvalues(means().pairs()),
        S,
        ("p-values", "emmeans(fit, …)", "contrasts"),
    ),
    "slope in a logarithm": (lambda: mfx.trends(fit(), "log(x)", at={"x": -1}), S, ("log(x)", "no value", "at=")),
    "picture of an interaction of a fit": (lambda: mfx.plots.interaction(fit()), S, ("interaction", "emmeans(fit")),
    "slope in a number": (lambda: mfx.trends(fit(), 3), TypeError, ("variable", "name of a predictor", "int")),
}
