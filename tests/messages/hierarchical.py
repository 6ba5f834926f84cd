"""Hierarchical generalised linear models: laws, methods, and what is not for them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx import SpecificationError
from tests.messages.helpers import Case, data

S = SpecificationError
COUNTS = "s ~ x + (1 | g)"


def hglm(formula: str = COUNTS, **options: Any) -> Callable[[], Any]:
    frame = options.pop("data", None)
    options = {"family": "poisson"} | options
    return lambda: mfx.hglm(formula, data() if frame is None else frame, **options)


def after(action: Callable[[Any], Any], **options: Any) -> Callable[[], Any]:
    return lambda: action(hglm(**options)())


def related() -> pd.DataFrame:
    """A covariance between the levels of g."""
    levels = [f"g{i}" for i in range(8)]
    return pd.DataFrame(0.5 * np.eye(8) + 0.5, index=levels, columns=levels)


def many() -> pd.DataFrame:
    """As many levels of two crossed factors as rows are too many for."""
    rng = np.random.default_rng(0)
    n = 4200
    return pd.DataFrame({"s": rng.poisson(2.0, n), "x": rng.normal(size=n), "g": np.arange(n), "h": np.arange(n) % 7})


GAMMA = {"random": {"g": "gamma"}}
CASES: dict[str, Case] = {
    "laws not a dict": (hglm(random="gamma"), TypeError, ("dict", "str")),
    "no such group": (hglm(random={"nope": "gamma"}), S, ("'nope'", "'g'")),
    "no such law": (hglm(random={"g": "cauchy"}), S, ("random['g']", "'gamma'", "'beta'")),
    "law of slopes": (hglm("s ~ x + (x | g)", **GAMMA), S, ("(1 + x | g)", "intercept", "'normal'")),
    "law beside slopes": (
        hglm("s ~ x + (1 | g) + (0 + x | g)", **GAMMA),
        S,
        ("'gamma'", "'g' has (1 | g) and (0 + x | g)", "'normal'"),
    ),
    "law of memberships": (
        hglm("s ~ x + (1 | mm(g, h))", random={"mm(g, h)": "gamma"}, data=data().assign(h=list(data().g[::-1]))),
        S,
        ("mm(g, h)", "share their rows", "'normal'"),
    ),
    "law of correlated levels": (
        hglm("s ~ x + known(1 | g, K)", functions={"K": related()}, **GAMMA),
        S,
        ("'g'", "a priori", "'normal'"),
    ),
    "no closed form": (hglm(method="exact"), S, ("not known", "'poisson'", "normal", '"laplace"')),
    "beta-binomial asked for": (
        hglm("b ~ x + (1 | g)", family="binomial", random={"g": "beta"}, method="exact"),
        S,
        ("beta_binomial", "glmer"),
    ),
    "no such method": (hglm(method="pql"), S, ("method", "'eql'")),
    "no such criterion": (hglm(criterion="map"), S, ("criterion", "'reml'")),
    "eql, family": (hglm(family="nbinom2", method="eql"), S, ("'nbinom2'", "poisson", '"laplace"')),
    "eql, slopes": (hglm("s ~ x + (x | g)", method="eql"), S, ("(1 + x | g)", '"laplace"')),
    "eql, many levels": (hglm(data=many(), method="eql"), S, ("4202", "4000", '"laplace"')),
    "second order, many pairs": (
        hglm("s ~ x + (1 | g) + (1 | h)", data=many(), method="laplace2"),
        S,
        ("4000", "'laplace'"),
    ),
    "eql compared": (after(lambda fit: mfx.anova(fit, fit), method="eql"), S, ("eql", '"laplace"')),
    "eql profiled": (after(mfx.profile, method="eql"), S, ("eql", '"laplace"')),
    "averaged over a law": (
        after(
            lambda fit: fit.predict(random=False, integrate=True),
            formula="b ~ x + (1 | g)",
            family="binomial",
            random={"g": "beta"},
        ),
        S,
        ("'g'", "beta", "simulate"),
    ),
    "for normal effects": (after(lambda fit: fit.joint_map_path(), **GAMMA), S, ("joint_map_path", "'g'", "gamma")),
    "normality": (after(mfx.random_effects_normality, **GAMMA), S, ("random_effects_normality", "'g'", "gamma")),
    "explained": (after(mfx.explain, **GAMMA), S, ("explain", "'g'", "gamma")),
    "deconvolved": (after(lambda fit: fit.deconvolve("g"), **GAMMA), S, ("deconvolve", "'g'", "gamma")),
    "influence": (after(mfx.influence, **GAMMA), S, ("out of reach",)),
}
