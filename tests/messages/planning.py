"""Designs and power."""

from functools import cache
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from tests.messages.helpers import Case, data

S = SpecificationError
SLOPES = "y ~ x + (1 | g)"
FACTOR = {"Intercept": 0.0, "f[T.b]": 0.5, "f[T.c]": 0.0, "sd_Intercept|g": 1.0, "sigma": 1.0}
VALUES = {"Intercept": 0.0, "x": 0.5, "sd_Intercept|g": 1.0, "sigma": 1.0}


@cache
def fit() -> Any:
    return mfx.lmer(SLOPES, data())


def power(formula: Any = SLOPES, **changes: Any) -> Any:
    return mfx.power(formula, **{"data": data(), "params": VALUES, "effect": "x", "n_sim": 10, "seed": 1, **changes})


def of_fit(model: Any, **changes: Any) -> Any:
    return mfx.power(model, **{"effect": "x", "n_sim": 10, "seed": 1, **changes})


@cache
def curve() -> Any:
    return power(along="g", sizes=[3, 4])


def gap() -> Any:
    return data(g=[None, *["a"] * (len(data()) - 1)])


def gamma_effects() -> Any:
    return mfx.hglm("s ~ x + (1 | g)", data(), family="poisson", random={"g": "gamma"})


def weighted() -> Any:
    return mfx.lmer(SLOPES, data(), weights=np.ones(len(data())))


def trials() -> Any:
    return mfx.glmer("cbind(k, m - k) ~ x + (1 | g)", data(k=1, m=3), family="binomial")


def crossed() -> Any:
    return mfx.design(subjects=6, within={"f": 2, "h": 2}).rename(columns={"subject": "g"})


CROSSED = {"Intercept": 0, "f[T.f2]": 1, "h[T.h2]": 0, "f[T.f2]:h[T.h2]": 0, "sd_Intercept|g": 1, "sigma": 1}


def nested() -> Any:
    return mfx.design(9, between={"f": ["a", "b", "c"]}, replicates=2).rename(columns={"subject": "g"})


def levels() -> Any:
    plan = mfx.design(6, visits=3).rename(columns={"subject": "g"})
    return plan.assign(u=np.repeat([0, 1, 2, 3, 4, 5], 3), v=np.repeat([0, 2, 4, 1, 7, 0], 3))


LEVELS = {"Intercept": 0, "u": 1, "v": 1, "sd_Intercept|g": 1, "sigma": 1}


CASES: dict[str, Case] = {
    "square and more": (lambda: mfx.design(square=4, subjects=3), S, ("square=", "leave the others out")),
    "half a split plot": (lambda: mfx.design(blocks=4), S, ("blocks=", "whole_plots=")),
    "between no clusters": (lambda: mfx.design(4, between_clusters={"m": 2}), S, ("between_clusters=", "clusters=")),
    "between no items": (lambda: mfx.design(4, between_items={"m": 2}), S, ("between_items=", "items=")),
    "between no subjects": (lambda: mfx.design(between={"m": 2}), S, ("between=", "subjects=")),
    "nothing laid out": (lambda: mfx.design(), S, ("nothing to lay out", "subjects=")),
    "a design's name twice": (lambda: mfx.design(4, between={"subject": 2}), S, ("'subject'", "rename")),
    "units of one name": (lambda: mfx.design(2, clusters={"subject": 3}), S, ("'subject'", "rename")),
    "conditions of one name": (lambda: mfx.design(2, 3, within={"item": 2}), S, ("'item'", "rename")),
    "levels as text": (lambda: mfx.design(4, within={"c": "ab"}), S, ("within", "'c'", "'ab'")),
    "levels of two sorts": (
        lambda: mfx.design(4, within={"c": ["a", 1]}),
        S,
        ("within", "'c'", "all texts or all numbers"),
    ),
    "levels that are missing": (lambda: mfx.design(4, visits=[0, None]), S, ("visits", "texts or finite numbers")),
    "shares of levels": (
        lambda: mfx.design(4, between={"c": {"a": 0, "b": 1}}),
        S,
        ("between", "'c'", "share of 'a'", "at least 1"),
    ),
    "levels that nobody has": (lambda: mfx.design(2, between={"c": 4}), S, ("'c'", "4 combinations", "'subject'", "2")),
    "treatments of one name": (
        lambda: mfx.design(8, wedge=3, between={"treatment": 2}),
        S,
        ("'treatment'", "rename"),
    ),
    "one level": (lambda: mfx.design(4, within={"c": ["a"]}), S, ("within", "'c'", "two or more levels")),
    "wedge of nothing": (
        lambda: mfx.design(blocks=2, whole_plots={"v": 2}, wedge=3),
        S,
        ("wedge=", "clusters="),
    ),
    "wedge of few": (lambda: mfx.design(clusters={"k": 2}, wedge=5), S, ("4 steps", "k", "found 2")),
    "dropout": (lambda: mfx.design(4, visits=3, dropout=1.5), S, ("dropout", "1.5")),
    "dropout of no visits": (lambda: mfx.design(4, dropout=0.5), S, ("dropout=", "visits=")),
    "visits of nobody": (lambda: mfx.design(clusters={"k": 2}, visits=3), S, ("visits=", "subjects=")),
    "balance of nothing": (lambda: mfx.design(4, counterbalance="latin"), S, ("latin", "within=", "items=")),
    "subjects of a split plot": (
        lambda: mfx.design(4, blocks=3, whole_plots={"v": 2}),
        S,
        ("subjects=", "plots", "replicates="),
    ),
    "a name of nothing": (lambda: mfx.design(4, within={"": 2}), S, ("a name in within", "empty")),
    "copies of two columns": (
        lambda: mfx.extend(data().rename(columns={"x": "g"}), "g", 4),
        DataError,
        ("several columns", "'g'", "rename"),
    ),
    "copies of infinity": (
        lambda: mfx.extend(data(g=np.where(np.arange(len(data())) < 3, np.inf, 1.0)), "g", 4),
        DataError,
        ("'g'", "infinite", "text"),
    ),
    "power without a residual": (lambda: power(params={**VALUES, "sigma": 0}), S, ("sigma", "above 0")),
    "studies without events": (
        lambda: power(family="poisson", params={"Intercept": -30, "x": 0, "sd_Intercept|g": 0.1}),
        DataError,
        ("none of 50 simulated studies", "constant", "more rows"),
    ),
    "studies without a category": (
        lambda: power(family="ordinal", params={"x": 0, "sd_Intercept|g": 0.1, "thresholds": [0, 20, 30]}),
        DataError,
        ("none of 500 simulated studies", "4 categories", "thresholds"),
    ),
    "copies of nothing": (lambda: mfx.extend(data().head(0), "g", 4), DataError, ("no rows",)),
    "copies of missing": (
        lambda: mfx.extend(data(g=[None] + ["a"] * (len(data()) - 1)), "g", 4),
        DataError,
        ("'g'", "missing"),
    ),
    "power without a design": (lambda: power(data=None), S, ("data=", "mfx.design")),
    "power without parameters": (lambda: power(params=None), S, ("params=", "mfx.simulate")),
    "power of what": (lambda: power(3), TypeError, ("formula", "fitted", "int")),
    "power of no effect": (lambda: power(effect="nope"), S, ("'nope'", "'x'")),
    "power of a contrast of nothing": (lambda: power(effect="x - nope"), S, ("'x - nope'", "contrast", "'Intercept'")),
    "power of a redundant column": (
        lambda: power("y ~ x + z + (1 | g)", data=data(z=2 * data()["x"]), params={**VALUES, "z": 0.0}, effect="z"),
        S,
        ("'z'", "no coefficient"),
    ),
    "ratio of a term that others replace": (
        lambda: power("y ~ f * h + (1 | g)", data=crossed(), params=CROSSED, effect="f", test="lrt"),
        S,
        ("'f'", "the model is the same", "satterthwaite"),
    ),
    "negative factor": (lambda: power(along="effect", sizes=[-1]), S, ("factor of the effect", "-1")),
    "target beyond one": (lambda: curve().smallest(80), S, ("target", "between 0 and 1", "80")),
    "too few levels": (
        lambda: power("y ~ f + (1 | g)", params=FACTOR, effect="f", along="g", sizes=[2], data=nested()),
        S,
        ("with 2 levels of 'g'", "f[T.c]"),
    ),
    "coefficient of larger designs": (
        lambda: power(
            "y ~ u + v + (1 | g)", params=LEVELS, effect="v", along="g", sizes=[3], data=levels(), method="simulate"
        ),
        S,
        ("with 3 levels of 'g'", "no coefficient 'v'"),
    ),
    "power of nothing": (lambda: power(effect=[]), S, ("effect=", "names nothing")),
    "value of an effect": (lambda: power(effect={"x": "big"}), S, ("'x'", "'big'")),
    "family of a fit's power": (lambda: of_fit(fit(), family="poisson"), S, ("family=", "formula")),
    "along without sizes": (lambda: power(along="g"), S, ("along=", "sizes=")),
    "no sizes": (lambda: power(along="g", sizes=[]), S, ("sizes=", "empty")),
    "along nothing": (lambda: power(along="nope", sizes=[3]), S, ("'nope'", "'g'")),
    "smallest of one": (lambda: power().smallest(), S, ("along=", "sizes=")),
    "smallest for no effect": (lambda: curve().smallest(0.8, "nope"), S, ("effect", "'x'", "'nope'")),
    "smallest of too few": (lambda: curve().smallest(0.9999), S, ("0.9999", "larger")),
    "ratio of no term": (
        lambda: power("y ~ f + (1 | g)", params=FACTOR, effect="f[T.b]", test="lrt"),
        S,
        ("'f[T.b]'", "'f'"),
    ),
    "power of weights in an array": (lambda: of_fit(weighted()), S, ("weights=", "refit_many")),
    "power of a refit": (lambda: of_fit(fit().refit(fit().fittedvalues)), S, ("no data of its own", "data=")),
    "power of hglm": (lambda: of_fit(gamma_effects()), S, ("hglm", "fit.simulate(n)", "fit.refit")),
    "power of a structure by its deviations": (
        lambda: power(
            "y ~ x + ar1(0 + f | g)",
            params={"Intercept": 0.0, "x": 0.5, "sigma": 1.5, **{f"sd_f[{level}]|g": 2.0 for level in "abc"}},
            test="z",
        ),
        S,
        ("'theta'", "ar1(0 + f | g)", "method='simulate'"),
    ),
    "power of trials": (lambda: of_fit(trials(), data=data()), S, ("'trials'",)),
}
