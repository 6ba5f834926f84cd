"""Smooths, and rows in several levels at once."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from tests.messages.helpers import Case, data, lmer

S, D = SpecificationError, DataError


@cache
def members() -> Any:
    return mfx.lmer("y ~ x + (1 | mm(g, k))", shared())


def shared(**changes: Any) -> pd.DataFrame:
    """The labels of ``g`` in another order as ``k``."""
    return data(k=np.roll(data()["g"].to_numpy(), 5), **changes)


def predicted(**options: Any) -> Callable[[], Any]:
    new = shared().head(2).assign(k=["g1", "other"])
    return lambda: members().predict(new, **options)


def smooth(formula: str, action: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: action(mfx.lmer(formula, data()))


def by_clusters(fit: Any) -> Any:
    return mfx.bootstrap(fit, 10, method="cluster", seed=1)


def drawn_on_one_ax(fit: Any) -> Any:
    from matplotlib import pyplot as plt

    return mfx.plots.smooth(fit, ax=plt.subplots()[1])


CASES: dict[str, Case] = {
    "smooth of two variables": (lmer("y ~ s(x, p)"), S, ("one variable", "s(x) + s(z)")),
    "smooth of an unknown option": (lmer("y ~ s(x, m=2)"), S, ("'m'", "k, bs, by")),
    "smooth of an unknown basis": (lmer("y ~ s(x, bs='cc')"), S, ("'cr', 'tp', 'ps'",)),
    "smooth in an interaction": (lmer("y ~ s(x):f"), S, ("s(x):f", "s(x, by=f)")),
    "smooth left of a bar": (lmer("y ~ x + (s(x) | g)"), S, ("left of a bar", "s(x, by=g)")),
    "smooth twice": (lmer("y ~ s(x) + s(x, k=5)"), S, ("two smooths", "s(x, k=5)")),
    "smooth as response": (lmer("s(y) ~ x + (1 | g)"), S, ("no response", "right of")),
    "smooth by an expression": (lmer("y ~ s(x, by=3)"), S, ("name of a column",)),
    "smooth by a constant": (lambda: mfx.lmer("y ~ s(x, by=p)", data(p=2.0)), D, ("by=p", "leave it out")),
    "smooth of few values": (lmer("y ~ s(h)"), D, ("k=10", "4 different values", "k=4")),
    "smooth of two values": (lmer("y ~ s(b)"), D, ("2 different values", "a line")),
    "smooth of a small basis": (lmer("y ~ s(x, k=2)"), S, ("at least 3", "bs='cr'")),
    "smooths of none": (smooth("y ~ x + (1 | g)", mfx.plots.smooth), S, ("no smooths", "s(x)")),
    "linearity of none": (smooth("y ~ x + (1 | g)", mfx.linearity_test), S, ("no smooths", "s(x)")),
    "smooth of another name": (smooth("y ~ s(x)", lambda f: mfx.plots.smooth(f, "s(z)")), S, ("'s(z)'", "'s(x)'")),
    "smooths on one ax": (smooth("y ~ s(x) + s(p)", drawn_on_one_ax), S, ("s(x), s(p)", "leave out ax")),
    "smooths of sums": (lambda: mfx.cross_products(data(), "y ~ s(x) + (1 | g)"), S, ("s(x)", "knots")),
    "smooths of an analysis of variance": (lambda: mfx.aov("y ~ s(x)", data()), S, ("s(x)", "lmer")),
    "smooths of batches": (smooth("y ~ s(x) + (1 | g)", mfx.batches), S, ("s(…)", "levels")),
    "smooths by Kenward and Roger": (
        smooth("y ~ f + s(x) + (1 | g)", lambda f: mfx.emmeans(f, "f", ddf="kenward-roger")),
        S,
        ("Kenward and Roger", 'ddf="satterthwaite"'),
    ),
    "clusters of smooths": (smooth("y ~ s(x)", by_clusters), S, ("no grouping factor", "parametric")),
    "clusters of members": (lambda: by_clusters(members()), S, ("mm(…)", "parametric")),
    "containment of members": (lambda: members().denominator("containment"), S, ("mm(…)", "satterthwaite")),
    "members of sums": (lambda: mfx.cross_products(data(), "y ~ x + (1 | mm(g, f))"), S, ("mm(g, f)", "rows")),
    "members of one column": (lmer("y ~ (1 | mm(g))"), S, ("two or more columns", "(1 | a)")),
    "members that are no columns": (lmer("y ~ (1 | mm(g, log(x)))"), S, ("column of labels", "weights=(w1, w2)")),
    "members with an unknown option": (lmer("y ~ (1 | mm(g, f, scale=1))"), S, ("'scale'", "weights=")),
    "members with weights twice": (lmer("y ~ (1 | mm(g, f, weights=(1, 1), weights=(1, 1)))"), S, ("twice",)),
    "members with too few weights": (lmer("y ~ (1 | mm(g, f, weights=(1, 1, 1)))"), S, ("2 columns", "3 weights")),
    "members with weights that are no tuple": (lmer("y ~ (1 | mm(g, f, weights=x))"), S, ("tuple", "(w1, w2)")),
    "members with a weight of words": (lmer("y ~ (1 | mm(g, f, weights=(log(x), 1)))"), S, ("column or a number",)),
    "members with a covariance": (lmer("y ~ ar1(1 | mm(g, f))"), S, ("independent", "ar1")),
    "members with two terms": (lmer("y ~ (1 + x | mm(g, f))"), S, ("one term", "(0 + x | mm(a, b))")),
    "members within a product": (lmer("y ~ (1 | mm(g, f):h)"), S, ("group of its own", "(1 | mm(a, b))")),
    "members of a factor": (lmer("y ~ (0 + f | mm(g, k))", data=shared()), S, ("one column", "f[a]")),
    "members with weights of text": (lmer("y ~ (1 | mm(g, k, weights=(f, x)))", data=shared()), D, ("'f'", "mm(g, k)")),
    "members with infinite weights": (
        lmer("y ~ (1 | mm(g, k, weights=(p, x)))", data=shared(p=np.r_[np.inf, np.ones(47)])),
        D,
        ("mm(g, k)", "finite"),
    ),
    "members of two kinds": (lmer("y ~ (1 | mm(g, h))"), D, ("mm(g, h)", "written alike")),
    "members of one level": (lmer("y ~ (1 | mm(t, k))", data=data(k=3)), D, ("only one level", "mm(t, k)")),
    "members that are unknown": (predicted(), D, ("'other'", 'new_levels="population"')),
}
