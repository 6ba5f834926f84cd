"""How often the test of normality of ``fit.deconvolve`` rejects: under normal laws, and under three others.

``python -m tests.deconvolution.sizes 150`` prints the shares that the guide speaks of (half an hour).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

import mixedfx as mfx

GROUPS, ROWS, REPLICATES = 40, 5, 99
LEVELS = (0.05, 0.10, 0.20)


def single(law: Callable[[np.random.Generator], np.ndarray], errors: Callable[[np.random.Generator], np.ndarray]):
    """Observations with known errors."""

    def pvalue(rng: np.random.Generator) -> float:
        sd = errors(rng)
        return mfx.deconvolve(law(rng) + sd * rng.normal(size=GROUPS), sd=sd).normality_test(REPLICATES, seed=1).pvalue

    return pvalue


def mixed(rng: np.random.Generator) -> float:
    """A mixed model whose fixed effects and variances are estimated."""
    group, x = np.repeat(np.arange(GROUPS), ROWS), rng.normal(size=GROUPS * ROWS)
    y = 1 + x + rng.normal(size=GROUPS)[group] + rng.normal(size=group.size)
    fit = mfx.lmer("y ~ x + (1 | group)", {"y": y, "x": x, "group": group})
    return fit.deconvolve("group").normality_test(REPLICATES, seed=1).pvalue


def normal(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=GROUPS)


def two_kinds(rng: np.random.Generator) -> np.ndarray:
    return rng.choice([-1.0, 1.0], GROUPS)


def exponential(rng: np.random.Generator) -> np.ndarray:
    return rng.exponential(size=GROUPS)


def heavy(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_t(3, size=GROUPS) / 3**0.5


def equal(size: float) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: np.full(GROUPS, size)


CASES = {
    "normal, equal errors": single(normal, equal(1.0)),
    "normal, unequal errors": single(normal, lambda rng: rng.uniform(0.3, 1.5, GROUPS)),
    "mixed model, plug-in": mixed,
    "two kinds": single(two_kinds, equal(0.5)),
    "exponential": single(exponential, equal(0.5)),
    "t with 3 df": single(heavy, equal(0.5)),
}


def table(count: int) -> pd.DataFrame:
    """Shares of rejections by case and level."""
    shares = {}
    for name, pvalue in CASES.items():
        rng = np.random.default_rng(1)
        pvalues = np.array([pvalue(rng) for _ in range(count)])
        shares[name] = {f"{level:.0%}": (pvalues <= level).mean() for level in LEVELS}
    return pd.DataFrame(shares).T


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(table(int(sys.argv[1])).map("{:.1%}".format).to_string())
