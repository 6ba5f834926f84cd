"""Size and power of the tests on the page of :func:`mixedfx.check`, over models that are true and one that is not.

``python -m tests.diagnostics.sizes 400`` prints the table of the guide (about ten minutes).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx.diagnostics.residuals import anderson_darling, standardized_residuals

LEVEL = 0.05


def plan(m: int, k: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """m groups of k rows, and a predictor."""
    return np.repeat(np.arange(m), k), rng.normal(size=m * k)


def linear(m: int, k: int, sd: float, slope: float = 0.0) -> Callable[[np.random.Generator], Any]:
    def fitted(rng: np.random.Generator) -> Any:
        g, x = plan(m, k, rng)
        y = 1 + x + (sd * rng.normal(size=m))[g] + (slope * rng.normal(size=m))[g] * x + rng.normal(size=g.size)
        return mfx.lmer("y ~ x + (x | g)" if slope else "y ~ x + (1 | g)", {"y": y, "x": x, "g": g})

    return fitted


def generalised(
    family: str, m: int, k: int, sd: float, mean: float = 0.5, extra: float = 0.0
) -> Callable[[np.random.Generator], Any]:
    def fitted(rng: np.random.Generator) -> Any:
        g, x = plan(m, k, rng)
        eta = mean + 0.4 * x + (sd * rng.normal(size=m))[g] + extra * rng.normal(size=g.size)
        p = 1 / (1 + np.exp(-eta))
        data: dict[str, Any] = {"x": x, "g": g}
        if family == "binomial":
            data["s"] = rng.binomial(8, p)
            return mfx.glmer("cbind(s, 8 - s) ~ x + (1 | g)", data, family=family)
        if family == "gamma":
            data["y"] = rng.gamma(2.0, np.exp(eta) / 2.0)
            return mfx.glmer("y ~ x + (1 | g)", data, family=family, link="log")
        data["y"] = {
            "poisson": lambda: rng.poisson(np.exp(eta)),
            "nbinom2": lambda: rng.poisson(rng.gamma(1.5, np.exp(eta) / 1.5)),
            "bernoulli": lambda: rng.binomial(1, p),
        }[family]()
        return mfx.glmer("y ~ x + (1 | g)", data, family="binomial" if family == "bernoulli" else family)

    return fitted


TRUE: dict[str, Callable[[np.random.Generator], Any]] = {
    "linear, 5 groups of 96, sd 2": linear(5, 96, 2.0),
    "linear, 10 groups of 40, sd 1": linear(10, 40, 1.0),
    "linear, 60 groups of 8, random slopes": linear(60, 8, 1.0, 0.7),
    "linear, 300 groups of 5, sd 1": linear(300, 5, 1.0),
    "Poisson, 5 groups of 60, sd 0.7": generalised("poisson", 5, 60, 0.7),
    "Poisson, 20 groups of 20, mean 0.25": generalised("poisson", 20, 20, 0.5, -1.5),
    "Poisson, 300 groups of 5, sd 0.7": generalised("poisson", 300, 5, 0.7),
    "binomial, 40 groups of 6, 8 trials": generalised("binomial", 40, 6, 0.7),
    "0 or 1, 50 groups of 8, sd 1": generalised("bernoulli", 50, 8, 1.0),
    "gamma, 40 groups of 10": generalised("gamma", 40, 10, 0.5),
}
FALSE: dict[str, Callable[[np.random.Generator], Any]] = {
    "Poisson, 20 groups of 20, extra sd 0.5": generalised("poisson", 20, 20, 0.5, 0.5, 0.5),
}
EITHER = TRUE | FALSE


def rejected(name: str, n: int, seed: int = 1) -> tuple[float, float]:
    """Shares of ``n`` data sets with p < 0.05 in the tests of the distribution and of the dispersion (nan without)."""
    rng, found = np.random.default_rng(seed), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.SingularFitWarning)
        for _ in range(n):
            fit = EITHER[name](rng)
            distribution = anderson_darling(standardized_residuals(fit, seed=rng))[1]
            testable = name.startswith(("Poisson", "binomial"))
            drawn = mfx.quantile_residuals(fit, 250, seed=rng, random="posterior") if testable else None
            found.append((distribution, np.nan if drawn is None else drawn.dispersion()["pvalue"]))
    shares = np.mean(np.array(found) < LEVEL, axis=0)
    return float(shares[0]), float(shares[1]) if testable else np.nan


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    for name in EITHER:
        one, two = rejected(name, count)
        print(f"| {name} | {100 * one:.1f} % | {'' if np.isnan(two) else f'{100 * two:.1f} %'} |", flush=True)
