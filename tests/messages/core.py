"""The doors of the package: formulas, data, arguments of the fit, first things asked of a result."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from tests.messages.helpers import MODEL, Case, data, fitted, glmer, holes, lmer


def from_formula(formula: str = "y ~ x", **options: Any) -> Callable[[], Any]:
    return lambda: mfx.LinearMixedModel.from_formula(formula, data(), **options)


CASES: dict[str, Case] = {
    # formulas
    "empty": (lmer(""), SpecificationError, ("formula",)),
    "no response": (lmer("~ x + (1 | g)"), SpecificationError, ("response",)),
    "bar without parentheses": (lmer("y ~ x + 1 | g"), SpecificationError, ("parenthes",)),
    "unbalanced": (lmer("y ~ (x + (1 | g)"), SpecificationError, ("(",)),
    "no group": (lmer("y ~ x + (1 | )"), SpecificationError, ("|",)),
    "not a name": (lmer("y ~ x.__class__ + (1 | g)"), DataError, ("x.__class__", "not allowed")),
    "import": (lmer("y ~ __import__('os') + (1 | g)"), SpecificationError, ("__import__",)),
    "lambda": (lmer("y ~ (lambda: 1) + (1 | g)"), DataError, ("lambda",)),
    "unknown function": (lmer("y ~ frobnicate(x) + (1 | g)"), SpecificationError, ("frobnicate", "functions")),
    "Error in lmer": (lmer("y ~ x + Error(g)"), SpecificationError, ("Error", "aov", "(1 | g)")),
    "bars in aov": (lambda: mfx.aov("y ~ f + (1 | g)", data()), SpecificationError, ("Error(g)", "lmer")),
    "no intercept in aov": (lambda: mfx.aov("y ~ 0 + f + Error(g)", data()), SpecificationError, ("intercept",)),
    "two responses": (lmer("cbind(s, t) ~ x + (1 | g)"), SpecificationError, ("cbind(s, t)", "binomial")),
    "degree": (lmer("y ~ poly(x, 0) + (1 | g)"), SpecificationError, ("degree", "at least 1")),
    "degree too high": (lmer("y ~ poly(h, 9) + (1 | g)"), DataError, ("poly(h, 9)", "different values")),
    "few df": (lmer("y ~ bs(x, df=1) + (1 | g)"), SpecificationError, ("bs", "at least 3")),
    "constant spline": (lmer("y ~ bs(t, df=4) + (1 | g)"), DataError, ("bs(t, df=4)", "constant")),
    "infinite spline": (lmer("y ~ bs(x) + (1 | g)", data=data(x=np.inf)), DataError, ("bs(x)", "finite")),
    "constant scale": (lmer("y ~ scale(t) + (1 | g)"), DataError, ("scale(t)", "constant")),
    "log of a label": (lmer("y ~ log(f) + (1 | g)"), DataError, ("f", "numbers")),
    "log of a negative": (lmer("y ~ log(x) + (1 | g)"), DataError, ("log(x)",)),
    # data
    "missing column": (lmer("y ~ nope + (1 | g)"), DataError, ("nope",)),
    "missing group": (lmer("y ~ x + (1 | nope)"), DataError, ("nope",)),
    "not data": (lmer(data=3), TypeError, ("int", "data")),
    "columns twice": (lmer(data=pd.concat([data(), data()[["x"]]], axis=1)), DataError, ("'x'", "rename")),
    "lengths": (lmer(data={"y": [1.0, 2.0], "x": [1.0], "g": ["a", "b"]}), DataError, ("length", "x")),
    "no rows": (lmer(data=data().iloc[:0]), DataError, ("rows",)),
    "all missing": (lmer(data=holes("x", slice(None))), DataError, ("x", "missing")),
    "missing, raise": (lmer(data=holes("g", [3]), missing="raise"), DataError, ("g", "missing='drop'")),
    "unknown missing": (lmer(missing="fill"), SpecificationError, ("fill", "'drop'", "'raise'")),
    "text response": (lmer("f ~ x + (1 | g)"), DataError, ("'f'", "ordinal")),
    "constant response": (lmer("t ~ x + (1 | g)"), DataError, ("'t'", "constant")),
    "infinite": (lmer(data=data(x=[np.inf] + [0.0, 1.0] * 23 + [2.0])), DataError, ("x", "infinite")),
    "next to zero": (lmer(data=data(x=np.arange(48) * 1e-200)), DataError, ("x", "too small to be squared", "47 rows")),
    "huge": (lmer(data=data(x=np.arange(48) * 1e200)), DataError, ("x", "too large to be squared", "47 rows")),
    "dates": (lmer("y ~ when + (1 | g)"), DataError, ("when", "date")),
    "complex": (lmer(data=data(x=1j)), (DataError, TypeError), ("x", "complex")),
    "row identifier": (lmer("y ~ x + (1 | id)"), DataError, ("'id'", "row identifier", "sigma=")),
    "one level": (lmer("y ~ x + (1 | t)"), DataError, ("t", "level")),
    "too few rows": (lmer(data=data().iloc[:2]), DataError, ("2",)),
    "too many parameters": (lmer("y ~ 1 + (poly(x, 9) | g)", data=data().iloc[:30]), SpecificationError, ("||",)),
    # statsmodels' way to say what is random
    "re_formula alone": (from_formula(re_formula="~ x"), SpecificationError, ("re_formula", "groups=")),
    "groups twice": (from_formula(MODEL, groups="g"), SpecificationError, ("(1 | g)", "leave out groups=")),
    "groups of another order": (
        from_formula(groups=data()["g"].iloc[:-1]),
        SpecificationError,
        ("'g'", "is not the data's column", "a name of its own"),
    ),
    "groups are no text": (from_formula(groups=np.arange(48)), TypeError, ("ndarray", "put the groups into the data")),
    "re_formula with a response": (
        from_formula(groups="g", re_formula="y ~ x"),
        SpecificationError,
        ("re_formula", "'y ~ x'", "'~ x'"),
    ),
    "re_formula is no text": (from_formula(groups="g", re_formula=3), TypeError, ("re_formula", "int", "'~ x'")),
    "vc_formula": (
        from_formula(groups="g", vc_formula={"r": "C(f)"}),
        SpecificationError,
        ("vc_formula['r']", "start it with 0 +"),
    ),
    # names
    "a name of R": (fitted(lambda fit: fit.ranef), AttributeError, ("'ranef'", "fit.random_effects")),
    "a function among methods": (fitted(lambda fit: fit.ranova), AttributeError, ("'ranova'", "mfx.ranova(fit)")),
    "a name of another package": (lambda: mfx.emtrends, AttributeError, ("'emtrends'", "mfx.trends")),
    "another spelling": (lmer(REML=False), TypeError, ("'REML'", "reml=")),
    "an argument of another function": (lmer(family="poisson"), TypeError, ("'family'", "mfx.glmer")),
    "family left out": (lambda: mfx.glmer(MODEL, data()), TypeError, ("family=", "'binomial'")),
    "fits one after the other": (
        fitted(lambda fit: mfx.pool(fit, fit)),
        TypeError,
        ("pool takes the fits as one list", "[a, b]"),
    ),
    "too many without a name": (lambda: mfx.lmer(MODEL, data(), False), TypeError, ("without a name", "reml=")),
    "formula and data exchanged": (lambda: mfx.lmer(data(), MODEL), TypeError, ("formula comes first",)),
    "what is meant by a family": (
        glmer("s ~ x + (1 | g)", "logistic"),
        SpecificationError,
        ("'logistic'", "'binomial'"),
    ),
    # arguments
    "weights column": (lmer(weights="nope"), DataError, ("nope",)),
    "negative weights": (lmer(weights=-np.ones(48)), DataError, ("weights",)),
    "short weights": (lmer(weights=np.ones(3)), DataError, ("weights", "3", "48")),
    "short offset": (lmer(offset=np.ones(3)), DataError, ("offset", "3", "48")),
    "unknown contrasts": (lmer("y ~ f + (1 | g)", contrasts={"f": "nope"}), SpecificationError, ("nope", "'f'", "sum")),
    "contrast matrix": (lmer("y ~ f + (1 | g)", contrasts={"f": np.eye(2)}), SpecificationError, ("'f'", "rows")),
    "contrasts type": (lmer("y ~ f + (1 | g)", contrasts={"f": 3}), TypeError, ("'f'", "int")),
    "formula type": (lmer(3), TypeError, ("formula", "int")),
    "reml type": (lmer(reml="yes"), TypeError, ("reml",)),
    "control type": (lmer(control={"tol": 1}), TypeError, ("Control",)),
    "start": (lmer(control=mfx.Control(start=[1.0, 2.0, 3.0])), SpecificationError, ("start", "3")),
    "residual type": (lmer(residual="ar1"), TypeError, ("residual",)),
    "no family": (glmer("s ~ x + (1 | g)", "nope"), SpecificationError, ("nope", "poisson")),
    "no link": (glmer("s ~ x + (1 | g)", link="nope"), SpecificationError, ("nope", "log")),
    "negative counts": (glmer("y ~ x + (1 | g)"), DataError, ("y",)),
    "not binary": (glmer("s ~ x + (1 | g)", "binomial"), DataError, ("s",)),
    "gamma of zero": (glmer("s ~ x + (1 | g)", "gamma"), DataError, ("s",)),
    "trials twice": (
        glmer("cbind(s, t) ~ x + (1 | g)", "binomial", weights="w"),
        SpecificationError,
        ("cbind", "weights"),
    ),
    "nodes": (glmer("s ~ x + (1 | g)", nagq=-1), SpecificationError, ("nagq", "-1")),
    "nodes word": (glmer("s ~ x + (1 | g)", nagq="many"), SpecificationError, ("nagq", "'auto'")),
    "nodes, crossed": (glmer("s ~ x + (1 | g) + (1 | h)", nagq=5), SpecificationError, ("nagq=1", "2")),
    "many nodes": (glmer("s ~ x + (x | g)", nagq=400), SpecificationError, ("nagq=400",)),
    "information": (glmer("s ~ x + (1 | g)", information="nope"), SpecificationError, ("nope", "'observed'")),
    "penalty": (glmer("s ~ x + (1 | g)", penalty=-1.0), SpecificationError, ("penalty", "-1")),
    "penalty type": (glmer("s ~ x + (1 | g)", penalty="weak"), TypeError, ("penalty", "str")),
    "dispersion formula": (
        glmer("s ~ x + (1 | g)", "nbinom2", dispersion="~ (1 | h)"),
        SpecificationError,
        ("dispersion",),
    ),
    "dataset": (lambda: mfx.load_dataset("nope"), SpecificationError, ("nope", "list_datasets()")),
    "file for a dataset": (lambda: mfx.load_dataset("mine.csv"), SpecificationError, ("mine.csv", "pandas.read_csv")),
    "outside the link": (glmer("p ~ 0 + (0 + x | g)", "gamma"), DataError, ("'p'", "intercept", "link='log'")),
    # results
    "new level": (fitted(lambda fit: fit.predict(data(g="new"))), DataError, ("new", "g", "population")),
    "prediction lacks a column": (fitted(lambda fit: fit.predict(data().drop(columns="x"))), DataError, ("x",)),
    "unknown level": (
        fitted(lambda fit: fit.predict(data(f="z")), "y ~ f + (1 | g)"),
        DataError,
        ("f", "z"),
    ),
    "interval method": (fitted(lambda fit: fit.conf_int(method="nope")), SpecificationError, ("nope", "wald")),
    "alpha": (fitted(lambda fit: fit.conf_int(alpha=2.0)), SpecificationError, ("alpha", "2")),
    "anova type": (fitted(lambda fit: mfx.anova(fit, type=4)), SpecificationError, ("type", "4")),
    "anova ddf": (fitted(lambda fit: mfx.anova(fit, ddf="nope")), SpecificationError, ("nope", "satterthwaite")),
    "anova of other rows": (
        lambda: mfx.anova(mfx.lmer(MODEL, data()), mfx.lmer("y ~ 1 + (1 | g)", data().iloc[:40])),
        DataError,
        ("rows",),
    ),
    "test of nothing": (fitted(lambda fit: fit.t_test("nope = 0")), SpecificationError, ("nope",)),
    "emmeans of nothing": (fitted(lambda fit: mfx.emmeans(fit, "nope")), SpecificationError, ("nope",)),
    "no such option": (lambda: setattr(mfx.options, "nope", True), SpecificationError, ("'nope'", "'next_steps'")),
    "no random effects": (lmer("y ~ x"), SpecificationError, ("(1 | group)", "glmer", "ols")),
}
