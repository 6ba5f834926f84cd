"""Fits of every kind that programs are written for, of small made-up data, and points to compare densities at."""

import warnings
from functools import cache

import numpy as np
import pandas as pd

import mixedfx as mfx

N, GROUPS = 60, 6
WEIRD = ("weird name", "lambda", "größe", "x'y\"z", "β", "real", "a\\b", "2nd")


@cache
def data():
    rng = np.random.default_rng(3)
    g, x = rng.integers(0, GROUPS, N), rng.normal(size=N)
    u = 0.5 * rng.normal(size=GROUPS)[g]
    trials = rng.integers(3, 6, N)
    mean = np.exp(1.0 + 0.3 * x + u)
    columns = {
        "y": 1.0 + 0.5 * x + u + rng.normal(size=N),
        "x": x,
        "g": g,
        "h": rng.integers(0, 4, N),
        "f": list("abc") * (N // 3),
        "w": rng.uniform(0.5, 2.0, N),
        "o": 0.1 * rng.normal(size=N),
        "b": rng.binomial(1, 1.0 / (1.0 + np.exp(-x - u))),
        "t": trials,
        "s": rng.binomial(trials, rng.beta(2.0, 3.0, N)),
        "c": rng.poisson(mean),
        "d": rng.negative_binomial(1.5, 1.5 / (1.5 + mean)),
        "z": rng.negative_binomial(3.0, 3.0 / (3.0 + mean)) * rng.binomial(1, 0.6, N),
        "p": rng.gamma(4.0, mean / 4.0),
        "q": rng.beta(2.0, 3.0, N),
        "k": rng.integers(1, 5, N),
    }
    return pd.DataFrame(columns | {name: rng.normal(size=N) for name in WEIRD})


def lmer(formula, **options):
    return lambda: mfx.lmer(formula, data(), **options)


def glmer(formula, family, **options):
    return lambda: mfx.glmer(formula, data(), family=family, **options)


K = pd.DataFrame(0.6 * np.eye(GROUPS) + 0.4, index=range(GROUPS), columns=range(GROUPS))
COUNTED = "cbind(s, t - s) ~ x + (1 | g)"
FITS = {
    "slopes": lmer("y ~ x + (x | g)"),
    "weights, offset, crossed": lmer("y ~ x + offset(o) + (1 | g) + (1 | h)", weights="w"),
    "three effects": lmer("y ~ 0 + f + (f | g)"),
    "independent": lmer("y ~ I(x**2) + (x || g)"),
    "one deviation": lmer("y ~ C(f, contr.sum) + homdiag(0 + f | g)"),
    "no coefficients": lmer("y ~ 0 + (1 | g)"),
    "slope alone": lmer("y ~ x + (0 + x | g)"),
    "relationship": lmer("y ~ x + known(1 | g, K)", functions={"K": K}),
    "smooth": lmer("y ~ s(x, k=6) + (1 | g)"),
    "smooths of a factor": lmer("y ~ f + s(x, by=f, k=4) + (1 | g)"),
    "memberships": lmer("y ~ x + (1 | mm(g, h))"),
    "no bars": lambda: mfx.LinearMixedModel("y ~ x + f", data()).fit(),
    "known sigma": lmer("y ~ x + (1 | g)", sigma=0.7),
    "interaction of groups": lmer("y ~ x + (1 | g:h)"),
    "known variances": lambda: mfx.lmer(
        "y ~ 1 + (1 | school)",
        mfx.load_dataset("eight_schools").assign(v=lambda d: d["se"] ** 2),
        residual=mfx.KnownVariance("v"),
    ),
    "bernoulli": glmer("b ~ x + (1 | g)", "binomial"),
    "binomial": glmer(COUNTED, "binomial"),
    "probit": glmer(COUNTED, "binomial", link="probit"),
    "cloglog": glmer("b ~ x + (1 | g)", "binomial", link="cloglog"),
    "cauchit": glmer("b ~ x + (1 | g)", "binomial", link="cauchit"),
    "poisson": glmer("c ~ x + (x | g)", "poisson", offset="o"),
    "square root": glmer("c ~ x + (1 | g)", "poisson", link="sqrt"),
    "nbinom2": glmer("d ~ x + (1 | g)", "nbinom2"),
    "nbinom2, dispersion": glmer("d ~ x + (1 | g)", "nbinom2", dispersion="~ x"),
    "nbinom1": glmer("d ~ x + (1 | g)", "nbinom1"),
    "nbinom1, dispersion": glmer("d ~ x + (1 | g)", "nbinom1", dispersion="~ x"),
    "gamma": glmer("p ~ x + (1 | g)", "gamma", link="log"),
    "gamma, weights": glmer("p ~ x + (1 | g)", "gamma", link="log", weights="w"),
    "gamma, inverse": glmer("p ~ f + (1 | g)", "gamma"),
    "gamma, dispersion": glmer("p ~ x + (1 | g)", "gamma", link="log", dispersion="~ f"),
    "inverse gaussian": glmer("p ~ x + (1 | g)", "inverse_gaussian", link="log"),
    "beta": glmer("q ~ x + (1 | g)", "beta"),
    "beta, dispersion": glmer("q ~ x + (1 | g)", "beta", dispersion="~ x"),
    "beta-binomial": glmer(COUNTED, "beta_binomial"),
    "t": glmer("y ~ x + (1 | g)", "student_t"),
    "t, weights": glmer("y ~ x + (1 | g)", "student_t", weights="w"),
    "lognormal": glmer("p ~ x + (1 | g)", "lognormal"),
    "lognormal, weights": glmer("p ~ x + (1 | g)", "lognormal", weights="w"),
    "zero-inflated poisson": glmer("z ~ x + (1 | g)", "zero_inflated_poisson"),
    "zero-inflated nbinom2": glmer("z ~ x + (1 | g)", "nbinom2", zero_inflation="~ x"),
    "normal, log link": glmer("p ~ x + (1 | g)", "gaussian", link="log"),
    "normal, dispersion": glmer("p ~ x + (1 | g)", "gaussian", link="log", dispersion="~ x"),
    "ordinal": glmer("k ~ x + (1 | g)", "ordinal"),
    "ordinal, probit": glmer("k ~ x + (1 | g)", "ordinal", link="probit"),
    "names": lmer("y ~ " + " + ".join(f"`{name}`" for name in WEIRD) + " + (`größe` + `lambda` | g)"),
}


@cache
def fitted(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)  # that a fit is singular is no matter here
        return FITS[name]()


def point(program, seed=1):
    """Values near the start of a program, in the range of every parameter."""
    rng = np.random.default_rng(seed)
    values = {}
    for name, start in program.start.items():
        held = name.startswith(("L_", "partial_")) or name == "thresholds"
        values[name] = np.asarray(start, float) * (1.0 if held else np.exp(0.1 * rng.normal(size=np.shape(start))))
        if name.startswith("partial_"):
            values[name] = 0.5 + 0.8 * (np.asarray(start) - 0.5)
    return values


# Of a coefficient, and of a standard deviation.
PRIORS = {
    "x": ("student_t(3, 0, 2)", "cauchy(0, 2)", "uniform(-5, 5)", "lognormal(0, 1)", "exponential(0.5)", "flat"),
    "sd_x|g": ("half_normal(2)", "half_cauchy(2)", "gamma(2, 0.5)", "inverse_gamma(3, 2)", "uniform(0, 9)", "flat"),
}
