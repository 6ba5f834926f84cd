"""False and missed alarms of the bends and the spread on the page of :func:`mixedfx.check`.

``python -m tests.diagnostics.pattern_sizes 400`` prints the tables of the guide (about ten minutes).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

import mixedfx as mfx
from mixedfx.diagnostics.findings import LOOK
from mixedfx.diagnostics.patterns import patterns

LEVEL, TOPICS = 0.05, ("bends", "equal spread")


@dataclass(frozen=True)
class Study:
    """``m`` groups of ``k`` rows, with a number ``x`` and a factor ``a``; all coefficients are ``effect``.

    Attributes
    ----------
    skewed : bool
        ``x`` is lognormal, and the largest groups have four times as many rows as the smallest.
    slope : float
        Standard deviation of random slopes.
    kinds, rare : int
        Levels of ``a``; rows of one more.
    bend : float
        Of ``x**2`` (standardised) on the scale of the linear predictor.
    spread, trend : float
        Ratio of the residual standard deviations of the last level of ``a`` to the first; of the highest third of
        ``x`` to the lowest, about.
    """

    m: int
    k: int
    family: str = "gaussian"
    skewed: bool = False
    slope: float = 0.0
    kinds: int = 2
    rare: int = 0
    effect: float = 0.5
    sd: float = 1.0
    df: float = np.inf
    bend: float = 0.0
    spread: float = 1.0
    trend: float = 1.0

    def data(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw rows."""
        n = self.m * self.k
        shares = np.linspace(1.0, 4.0, self.m) if self.skewed else np.ones(self.m)
        g = np.sort(np.r_[np.arange(self.m), rng.choice(self.m, n - self.m, p=shares / shares.sum())])
        g = g if self.skewed else np.repeat(np.arange(self.m), self.k)
        x = np.exp(rng.normal(size=n)) if self.skewed else rng.normal(size=n)
        x = (x - x.mean()) / x.std()
        a = rng.integers(self.kinds, size=n)
        a[: self.rare] = self.kinds
        curve = (x**2 - 1.0) / (x**2).std()
        eta = 0.5 + self.effect * (x + (a == 1)) + self.bend * curve
        eta = eta + (self.sd * rng.normal(size=self.m))[g] + (self.slope * rng.normal(size=self.m))[g] * x
        errors = rng.normal(size=n) if np.isinf(self.df) else rng.standard_t(self.df, size=n)
        size = np.where(a == self.kinds - 1, self.spread, 1.0) * self.trend ** (x / 2.2)  # 2.2 sd between the thirds
        drawn = {
            "gaussian": lambda: eta + size * errors,
            "poisson": lambda: rng.poisson(np.exp(eta)),
            "nbinom2": lambda: rng.poisson(rng.gamma(1.5, np.exp(eta) / 1.5)),
            "gamma": lambda: rng.gamma(2.0 / size**2, np.exp(eta) * size**2 / 2.0),
            "beta": lambda: np.clip(rng.beta(5 / (1 + np.exp(-eta)), 5 / (1 + np.exp(eta))), 1e-9, 1 - 1e-9),
            "binomial": lambda: rng.binomial(8, 1 / (1 + np.exp(-eta))),
        }[self.family]()
        return {"y": drawn, "x": x, "a": a.astype(str), "g": g}

    def fit(self, rng: np.random.Generator) -> Any:
        """Fit rows with all but the bend and the spread."""
        data = self.data(rng)
        right = f"x + a + ({'x' if self.slope else '1'} | g)"
        if self.family == "gaussian":
            return mfx.lmer(f"y ~ {right}", data)
        left = "cbind(y, 8 - y)" if self.family == "binomial" else "y"
        link = {"link": "log"} if self.family == "gamma" else {}
        return mfx.glmer(f"{left} ~ {right}", data, family=self.family, **link)


TRUE = {
    "linear, 6 groups of 6": Study(6, 6),
    "linear, 6 unequal groups, skewed x": Study(6, 10, skewed=True),
    "linear, 8 groups of 50": Study(8, 50),
    "linear, 20 unequal groups, skewed x, slopes": Study(20, 15, skewed=True, slope=0.5),
    "linear, 30 groups of 8, six kinds": Study(30, 8, kinds=6),
    "linear, 30 groups of 8, a kind of two rows": Study(30, 8, rare=2),
    "linear, 200 groups of 3": Study(200, 3),
    "linear, 30 groups of 8, t errors (5 df)": Study(30, 8, df=5.0),
    "Poisson, 10 groups of 8": Study(10, 8, "poisson", sd=0.5),
    "Poisson, 40 unequal groups, skewed x": Study(40, 10, "poisson", skewed=True, effect=0.3, sd=0.5),
    "negative binomial, 30 groups of 8": Study(30, 8, "nbinom2", sd=0.5),
    "binomial, 40 groups of 6, 8 trials": Study(40, 6, "binomial", sd=0.7),
    "gamma, 30 unequal groups, skewed x": Study(30, 10, "gamma", skewed=True, sd=0.5),
    "beta, 30 groups of 8, slopes": Study(30, 8, "beta", slope=0.3, sd=0.5),
}
BASES = {
    "linear, 12 groups of 8": Study(12, 8),
    "linear, 30 groups of 8": Study(30, 8),
    "linear, 30 unequal groups, skewed x": Study(30, 20, skewed=True),
    "Poisson, 30 groups of 8": Study(30, 8, "poisson", effect=0.3, sd=0.5),
    "gamma, 30 groups of 8": Study(30, 8, "gamma", effect=0.3, sd=0.5),
}
WORDS = {"bend": "a bend", "spread": "a factor", "trend": "a number"}
BENDS, RATIOS = (0.15, 0.3, 0.45), (1.3, 1.6, 2.0)


def told(study: Study, n: int, seed: int = 1) -> dict[str, np.ndarray]:
    """p-values (n,) of bends and of the spread, and whether the page says "look" (n,)."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {"bends": [], "bends look": [], "equal spread": [], "equal spread look": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n):
            seen = patterns(study.fit(rng), rng)
            for each, all_of in ((seen.bend(), seen.bends), (seen.spread(), seen.spreads)):
                for finding in each:
                    found[finding.topic].append(all_of[0].pvalue)
                    found[f"{finding.topic} look"].append(finding.verdict == LOOK)
    return {name: np.array(values) for name, values in found.items()}


def false_alarms(count: int) -> Iterator[str]:
    """Yield rows of p < 0.05 and "look" of both topics."""
    for name, study in TRUE.items():
        one = told(study, count)
        shares = [share for topic in TOPICS for share in (np.mean(one[topic] < LEVEL), np.mean(one[f"{topic} look"]))]
        yield f"| {name} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |"


def missed_alarms(count: int) -> Iterator[str]:
    """Yield rows of what is not said "look" to: bends, spreads by a factor, spreads along a number."""
    for name, study in BASES.items():
        bends = [told(replace(study, bend=b), count)["bends look"].mean() for b in BENDS]
        rows = {"bend": bends}
        if study.family != "poisson":
            for field in ("spread", "trend"):
                rows[field] = [told(replace(study, **{field: r}), count)["equal spread look"].mean() for r in RATIOS]
        for what, shares in rows.items():
            yield f"| {name} | {WORDS[what]} | {' | '.join(f'{100 * (1 - share):.0f} %' for share in shares)} |"


if __name__ == "__main__":
    count = int(sys.argv[1])
    for line in chain(false_alarms(count), missed_alarms(count // 5)):
        print(line, flush=True)
