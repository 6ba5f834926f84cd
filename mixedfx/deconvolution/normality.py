"""Is the law of theta normal? Twice the gain of the best law over the best normal one, by parametric bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx._workers import Workers
from mixedfx.deconvolution.kernels import Kernel
from mixedfx.deconvolution.laws import NormalLaw
from mixedfx.deconvolution.normal import normal_law
from mixedfx.deconvolution.npmle import npmle

__all__ = ["NormalityTest", "gain_over_normal", "normality_test"]

NOISE = 1e-8  # statistics that differ by less are equal
AT_ONCE = 10  # replicates of a task


@hinting_methods
@dataclass(frozen=True, eq=False)
class NormalityTest:
    """A test of the normality of theta; made by :meth:`mixedfx.deconvolution.Deconvolution.normality_test`.

    Attributes
    ----------
    statistic : float
        Twice the gain in log-likelihood of the nonparametric estimate over the normal law of best likelihood.
    replicates : (R,)
        The same in data drawn from that normal law.
    notes : tuple of str
    """

    statistic: float
    replicates: Array
    notes: tuple[str, ...] = ()

    @property
    def pvalue(self) -> float:
        """Share of statistics at least as large, the observed one counted among them (Davison and Hinkley 1997)."""
        above = int(np.sum(self.replicates >= self.statistic - NOISE))
        return (above + 1.0) / (self.replicates.size + 1.0)

    @property
    def pvalue_se(self) -> float:
        """Monte Carlo error of :attr:`pvalue`: its standard deviation if everything were drawn again."""
        p = self.pvalue
        return float(np.sqrt(p * (1.0 - p) / self.replicates.size))

    def to_frame(self) -> pd.DataFrame:
        """Return one row: ``statistic, pvalue, pvalue_se``."""
        return pd.DataFrame([{"statistic": self.statistic, "pvalue": self.pvalue, "pvalue_se": self.pvalue_se}])

    def summary(self) -> StatsTable:
        """Return the table with its notes."""
        first = (
            "statistic: twice the gain in log-likelihood of the best law of any shape over the best normal law. It has "
            f"no chi-squared distribution; pvalue: from {self.replicates.size} data sets drawn from that normal law."
        )
        frame = self.to_frame().set_axis(["normal law"])
        return StatsTable.from_frame(frame, heading="Test of normality", notes=[first, *self.notes])

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def gain_over_normal(kernel: Kernel, weights: Array, near: NormalLaw) -> float:
    """Return twice the gain of the best law over the best normal one, which is looked for near ``near``."""
    best = npmle(kernel, weights).llf
    normal = float(weights @ normal_law(kernel, weights, near).posterior(kernel).log_f)
    return max(2.0 * (best - normal), 0.0)


def normality_test(
    kernel: Kernel, weights: Array, law: NormalLaw, count: int, seed: np.random.SeedSequence, workers: Workers
) -> Array:
    """Return the statistic in ``count`` data sets drawn from a normal law.

    Parameters
    ----------
    kernel : Kernel
        Single observations (n,).
    weights : (n,)
        Whole numbers: how often each was observed.
    law : NormalLaw
    count : int
    seed : SeedSequence
    workers : Workers
    """
    rows = np.repeat(np.arange(kernel.size), weights.astype(int))
    seeds = seed.spawn(count)
    tasks = [(seeds[i : i + AT_ONCE],) for i in range(0, count, AT_ONCE)]
    amounts = [len(own) for (own,) in tasks]
    parts = workers.run(_replicates, (kernel.take(rows), law), tasks, "test of normality", amounts)
    return np.concatenate(parts)


def _replicates(kernel: Kernel, law: NormalLaw, seeds: Sequence[np.random.SeedSequence]) -> Array:
    return np.array([_replicate(kernel, law, np.random.default_rng(seed)) for seed in seeds])


def _replicate(kernel: Kernel, law: NormalLaw, rng: np.random.Generator) -> float:
    drawn = kernel.drawn(law.draw(kernel.size, rng), rng)
    distinct, inverse = drawn.distinct()
    return gain_over_normal(distinct, np.bincount(inverse).astype(float), law)
