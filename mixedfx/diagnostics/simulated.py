"""Simulated quantile residuals: where every response lies among draws from the fitted model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from mixedfx._display import StatsTable
from mixedfx._typing import Array, BoolArray
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.results.simulate import checked_count, generator

__all__ = ["QuantileResiduals", "quantile_residuals"]

CHUNK_CELLS = 2_000_000  # draws at a time
TIE = 1e-9  # draws this close to the response, relative to its size, are equal to it (proportions are quotients)
SIDES = ("two-sided", "greater", "less")


@dataclass(frozen=True)
class QuantileResiduals:
    """Quantile residuals with what the draws say about spread and zeros; made by :func:`quantile_residuals`.

    Attributes
    ----------
    values : Series (n,)
        Between 0 and 1, uniform if the model holds.
    n_draws : int
    outside : (n,)
        Rows whose response lies beyond all draws.
    spread, drawn_spread : float, (n_draws,)
        Mean squared distance from the mean of the draws, each row by its own variance: of the data, of every draw.
    zeros, drawn_zeros : int, (n_draws,)
        Number of zeros.
    """

    values: pd.Series[float]
    n_draws: int
    outside: BoolArray
    spread: float
    drawn_spread: Array
    zeros: int
    drawn_zeros: Array

    @property
    def normal(self) -> pd.Series[float]:
        """The residuals as normal scores."""
        scores = special.ndtri(self.values.to_numpy())
        return pd.Series(scores, index=self.values.index, name="normal")

    def uniformity(self) -> pd.Series[float]:
        """Test the residuals against the uniform distribution (Kolmogorov and Smirnov): ``statistic, pvalue``."""
        found = stats.kstest(self.values.to_numpy(), "uniform")
        return pd.Series({"statistic": found.statistic, "pvalue": found.pvalue}, name="uniformity")

    def dispersion(self, alternative: str = "two-sided") -> pd.Series[float]:
        """Test whether the data spread more or less than the draws do.

        Returns
        -------
        Series
            ``statistic`` (ratio of the spread of the data to the mean of the draws': above 1, overdispersion),
            ``pvalue`` from the ranks among the draws.
        """
        ratio = self.spread / float(self.drawn_spread.mean())
        return pd.Series(
            {"statistic": ratio, "pvalue": _rank_pvalue(self.spread, self.drawn_spread, alternative)}, name="dispersion"
        )

    def zero_counts(self, alternative: str = "two-sided") -> pd.Series[float]:
        """Test whether the data have more or fewer zeros than the draws.

        Returns
        -------
        Series
            ``statistic`` (zeros over the mean of the draws' zeros; nan if nothing was ever zero), ``pvalue``.
        """
        mean = float(self.drawn_zeros.mean())
        ratio = self.zeros / mean if mean > 0 else (np.inf if self.zeros else np.nan)
        return pd.Series(
            {"statistic": ratio, "pvalue": _rank_pvalue(float(self.zeros), self.drawn_zeros, alternative)}, name="zeros"
        )

    def outliers(self) -> pd.Series[float]:
        """Test whether too many responses lie beyond all draws: ``statistic`` (their share), ``pvalue``.

        Notes
        -----
        A continuous response lies outside with probability ``2 / (n_draws + 1)``; a discrete one more rarely, so that
        the test is careful.
        """
        count, n = int(self.outside.sum()), self.outside.size
        pvalue = stats.binomtest(count, n, 2.0 / (self.n_draws + 1), alternative="greater").pvalue
        return pd.Series({"statistic": count / n, "pvalue": float(pvalue)}, name="outliers")

    def tests(self) -> StatsTable:
        """Return all tests: uniformity, dispersion, outliers and, where there can be any, zeros."""
        rows = [self.uniformity(), self.dispersion(), self.outliers()]
        if self.zeros or self.drawn_zeros.any():
            rows.append(self.zero_counts())
        frame = pd.DataFrame(rows)
        frame.insert(0, "what", [MEANINGS[name] for name in frame.index])
        return StatsTable.from_frame(
            frame,
            heading="Simulated quantile residuals",
            notes=[f"{self.n_draws} draws of {len(self.values)} responses."],
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the residuals against the quantiles of their distribution; see :func:`mixedfx.plots.quantiles`."""
        from mixedfx.plots.quantiles import quantiles

        return quantiles(self, ax=ax)

    def __str__(self) -> str:
        return str(self.tests())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.tests()._repr_html_()


MEANINGS = {
    "uniformity": "largest distance from uniform",
    "dispersion": "spread, data over draws",
    "outliers": "share beyond all draws",
    "zeros": "zeros, data over draws",
}


def _rank_pvalue(value: float, draws: Array, alternative: str) -> float:
    """p-value of a Monte Carlo test, the data counted among the draws."""
    if alternative not in SIDES:
        raise SpecificationError(f"alternative is one of {', '.join(map(repr, SIDES))}; found {alternative!r}")
    above = (1.0 + np.sum(draws >= value)) / (1.0 + draws.size)
    below = (1.0 + np.sum(draws <= value)) / (1.0 + draws.size)
    return float({"greater": above, "less": below, "two-sided": min(1.0, 2.0 * min(above, below))}[alternative])


def quantile_residuals(fit: Any, n: int = 250, *, seed: Any = None, random: str = "new") -> QuantileResiduals:
    """Return where every response lies among draws from the model: uniform residuals for any family.

    Parameters
    ----------
    fit : MixedResults
    n : int
        Number of draws.
    seed : int, SeedSequence or Generator, optional
        The same seed gives the same residuals.
    random : str
        ``"new"``: every draw has random effects of its own, so that the residuals test the whole model, but those of
        one group hang together; ``"fitted"``: draws about the fitted group means.

    Returns
    -------
    QuantileResiduals
        ``values`` between 0 and 1, ``normal`` scores, ``uniformity()``, ``dispersion()``, ``outliers()``,
        ``zero_counts()``, ``tests()``, ``plot()``.

    References
    ----------
    Dunn & Smyth (1996), J. Comput. Graph. Stat. 5, 236; Gelman & Hill (2006), section 8.3; Hartig, the DHARMa package.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
    >>> found = mfx.quantile_residuals(fit, 500, seed=1)
    >>> found.tests().index.tolist()
    ['uniformity', 'dispersion', 'outliers', 'zeros']
    >>> bool(found.uniformity()["pvalue"] > 0.05)
    True
    """
    results = mixed_results(fit, "quantile_residuals")
    draws, rng = checked_count(n), generator(seed)
    y = np.asarray(results.design.response.values, dtype=float)
    totals = _Totals.of(y)
    chunk = max(1, CHUNK_CELLS // max(y.size, 1))
    for start in range(0, draws, chunk):
        drawn = fit.simulate(min(chunk, draws - start), seed=rng, random=random).to_numpy()
        totals.add(drawn)
    return totals.residuals(results.design.index, draws, rng)


@dataclass
class _Totals:
    """What is kept of the draws while they come in pieces."""

    y: Array
    tie: Array
    less: Array
    ties: Array
    sums: Array
    squares: Array
    pieces: list[Array]

    @classmethod
    def of(cls, y: Array) -> _Totals:
        less, ties, sums, squares = np.zeros((4, y.size))
        return cls(y, TIE * np.maximum(1.0, np.abs(y)), less, ties, sums, squares, [])

    def add(self, drawn: Array) -> None:
        """Take in some draws (n, k)."""
        below = np.count_nonzero(drawn < (self.y - self.tie)[:, None], axis=1)
        self.ties += np.count_nonzero(drawn <= (self.y + self.tie)[:, None], axis=1) - below
        self.less += below
        centred = drawn - self.y[:, None]
        self.sums += centred.sum(axis=1)
        self.squares += np.einsum("ik,ik->i", centred, centred)
        self.pieces.append(drawn)

    def residuals(self, index: pd.Index[Any], draws: int, rng: np.random.Generator) -> QuantileResiduals:
        mean = self.sums / draws  # of the draws, less the response
        variance = np.maximum(self.squares / draws - mean**2, 0.0)
        weight = np.zeros(variance.size)
        np.divide(1.0, variance, out=weight, where=variance > 0)
        weight /= max(float(np.count_nonzero(weight)), 1.0)
        centre = self.y + mean
        spreads = [weight @ np.square(piece - centre[:, None]) for piece in self.pieces]
        values = (self.less + rng.uniform(size=self.y.size) * (self.ties + 1.0)) / (draws + 1.0)
        return QuantileResiduals(
            pd.Series(values, index=index, name="quantile"),
            draws,
            (self.ties == 0) & ((self.less == 0) | (self.less == draws)),
            float(weight @ mean**2),
            np.concatenate(spreads),
            int(np.count_nonzero(self.y == 0)),
            np.concatenate([np.count_nonzero(piece == 0, axis=0) for piece in self.pieces]).astype(float),
        )
