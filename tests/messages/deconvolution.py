"""Deconvolutions: of observations with error, and of random effects."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx import DataError, SpecificationError
from tests.messages.helpers import Case, data

S, D = SpecificationError, DataError
Y = [0.0, 1.0, 2.5]


@cache
def fit(formula: str = "y ~ x + (1 | g)", **options: Any) -> Any:
    return mfx.lmer(formula, data(), **options)


@cache
def known() -> Any:
    names = [f"g{i}" for i in range(8)]
    K = pd.DataFrame(np.eye(8) + 0.1, index=names, columns=names)
    return mfx.lmer("y ~ x + known(1 | g, K)", data(), functions={"K": K})


def law(*given: Any, **options: Any) -> Any:
    return lambda: mfx.deconvolve(*(given or (Y,)), **options)


def spline(**options: Any) -> Any:
    return law(sd=1.0, method="spline", **options)


def pictures() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from mixedfx import plots

    return plots


def picture(*given: Any, **options: Any) -> Any:
    return pictures().deconvolution(*given, **options)


def without() -> Any:
    return mfx.LinearMixedModel("y ~ x", data()).fit()


CASES: dict[str, Case] = {
    "text as observations": (law("y", sd=1.0), D, ("y", "'y'")),
    "a fit as observations": (lambda: mfx.deconvolve(fit(), sd=1.0), S, ("not a fit", "fit.deconvolve")),
    "no such group": (lambda: fit().deconvolve("nope"), S, ("'nope'", "'g'")),
    "slopes": (lambda: fit("y ~ x + (x | g)").deconvolve("g"), S, ("(1 | g)", "Intercept, x")),
    "crossed": (lambda: fit("y ~ x + (1 | g) + (1 | h)").deconvolve("g"), S, ("g", "h", "crossed", "fit without h")),
    "crossed in a generalised model": (
        lambda: mfx.glmer("s ~ x + (1 | g) + (1 | h)", data(), family="poisson").deconvolve("g"),
        S,
        ("h has random effects too",),
    ),
    "tied levels": (lambda: known().deconvolve("g"), S, ("known(1 | g, K)", "correlates")),
    "measurement errors": (lambda: fit("y ~ me(x, sd=0.1) + (1 | g)").deconvolve("g"), S, ("deconvolve", "fit.naive")),
    "modes with measurement errors": (
        lambda: pictures().modes_and_means(fit("y ~ me(x, sd=0.1) + (1 | g)")),
        S,
        ("modes_and_means", "fit.naive"),
    ),
    "sums over rows": (
        lambda: mfx.lmer(None, mfx.cross_products(data(), "y ~ x + (1 | g)")).deconvolve("g"),
        S,
        ("sums over rows", "deconvolution"),
    ),
    "no values": (law([], sd=1.0), D, ("y", "(0,)")),
    "missing values": (law([0.0, np.nan], sd=1.0), D, ("y", "1 missing", "position 1")),
    "no error": (law(), S, ("sd=", "family=")),
    "another family's": (law(sd=1.0, family="poisson"), S, ("sd=", "'poisson'", "exposure")),
    "another method's": (law(sd=1.0, df=3), S, ("df=", "'npmle'", "spline")),
    "length": (law(sd=[1.0, 2.0]), D, ("sd", "3 values", "(2,)")),
    "zero": (law(sd=[1.0, 0.0, 1.0]), D, ("sd", "above zero", "position 1")),
    "negative weights": (law(sd=1.0, weights=[1, -1, 1]), D, ("weights", "-1", "position 1")),
    "numbers beyond numbers": (law([0.0, 1e200], sd=1.0), D, ("1e+200", "unit")),
    "gaussian without sd": (law(family="gaussian"), S, ("sd=",)),
    "binomial without trials": (law(family="binomial"), S, ("trials=", "successes")),
    "fractions": (law(family="poisson"), D, ("whole numbers", "2.5", "position 2")),
    "more than trials": (law([5], family="binomial", trials=3), D, ("5 in 3 trials",)),
    "bins of several errors": (law(sd=[1.0, 2.0, 1.0], bins=[0, 3]), S, ("bins=", "one sd")),
    "bins": (law(sd=1.0, bins=[3, 0]), S, ("bins", "ascending")),
    "outside bins": (law(sd=1.0, bins=[0, 1]), D, ("2.5", "bins", "inf")),
    "support": (law([1], family="binomial", trials=3, support=[0.5, 2.0]), S, ("support", "between 0 and 1", "2.")),
    "impossible": (
        law([1], family="binomial", trials=3, support=[0.0, 1.0]),
        S,
        ("support", "possible", "add values"),
    ),
    "df and basis": (spline(df=3, basis=np.ones((100, 2))), S, ("df=", "basis=")),
    "basis": (spline(basis=np.ones((3, 2))), S, ("basis", "100", "(3, 2)")),
    "short grid": (spline(support=[0.0, 1.0, 2.0]), D, ("df=5", "7", "3", "support=")),
    "penalty": (spline(penalty=-1), S, ("penalty", "-1")),
    "expected information": (spline(information="expected"), S, ("'expected'", "one exposure", "'observed'")),
    "atoms of a normal law": (lambda: law(sd=1.0, method="normal")().support, S, ("'normal'", "support", ".mean")),
    "level": (lambda: law(sd=1.0)().posterior_interval(95), S, ("level", "95")),
    "fractional weights": (
        lambda: law(sd=1.0, weights=[1, 0.5, 1])().normality_test(5),
        S,
        ("weights", "whole numbers"),
    ),
    "scales": (lambda: fit().joint_map_path([1.0, -1.0]), S, ("scales", "positive", "-1")),
    "no effects": (lambda: pictures().modes_and_means(without()), S, ("no random effects", "modes")),
    "no effects on a path": (lambda: pictures().joint_and_marginal(without()), S, ("no random effects",)),
    "modes of nothing": (lambda: pictures().modes_and_means(fit(), "nope"), S, ("'nope'", "'g'")),
    "picture of a fit": (lambda: picture(fit()), TypeError, ("LinearMixedResults", "fit.deconvolve")),
    "picture on one panel": (lambda: picture(law(sd=1.0)(), ax=[None]), S, ("3 Axes", "1")),
}
