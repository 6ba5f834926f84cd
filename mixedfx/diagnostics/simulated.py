"""Simulated quantile residuals: where every response lies among draws from the fitted model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_choice
from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.diagnostics.residuals import drawn_predictor
from mixedfx.exceptions import SpecificationError
from mixedfx.results.base import MixedResults
from mixedfx.results.simulate import checked_count, generator

__all__ = ["QuantileResiduals", "quantile_residuals", "sampled_residuals"]

CHUNK_CELLS = 2_000_000  # draws at a time
MOST_CELLS = 3e7  # draws in all
SideName: TypeAlias = Literal["two-sided", "greater", "less"]
#: Which values count as more extreme: the p-value from the shares of draws at least, and at most, as large.
SIDES: dict[str, Callable[[float, float], float]] = {
    "two-sided": lambda above, below: min(1.0, 2.0 * min(above, below)),
    "greater": lambda above, below: above,
    "less": lambda above, below: below,
}


@hinting_methods
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
        Number of zeros; none are counted of a response that is zero with probability zero.
    distance, drawn_distances : float, (n_draws,)
        Largest distance of the residuals' distribution from the uniform one: of the data, of every draw taken for data.
    drawn_outside : (n_draws,)
        Number of rows of every draw that lie beyond all other draws and the data.
    sampled : str
        ``" sampled"`` if the rows are a random sample of those of the fit.
    """

    values: pd.Series[float]
    n_draws: int
    outside: BoolArray
    spread: float
    drawn_spread: Array
    zeros: int
    drawn_zeros: Array
    distance: float
    drawn_distances: Array
    drawn_outside: Array
    sampled: str = ""

    @property
    def normal(self) -> pd.Series[float]:
        """The residuals as normal scores."""
        scores = special.ndtri(self.values.to_numpy())
        return pd.Series(scores, index=self.values.index, name="normal")

    def uniformity(self) -> pd.Series[float]:
        """Test whether the residuals are uniform: ``statistic`` (largest distance, as Kolmogorov's), ``pvalue``.

        Notes
        -----
        The residuals of a group hang together if random effects are drawn afresh, so that Kolmogorov's table does not
        hold: the p-value is the rank among the distances of the draws, each taken for the data. That the parameters
        were estimated makes it careful.
        """
        pvalue = _rank_pvalue(self.distance, self.drawn_distances, "greater")
        return pd.Series({"statistic": self.distance, "pvalue": pvalue}, name="uniformity")

    def dispersion(self, alternative: SideName = "two-sided") -> pd.Series[float]:
        """Test whether the data spread more or less than the draws do.

        Returns
        -------
        Series
            ``statistic`` (ratio of the spread of the data to the mean of the draws': above 1, overdispersion),
            ``pvalue`` from the ranks among the draws.
        """
        usual = float(self.drawn_spread.mean())
        ratio = self.spread / usual if usual > 0.0 else np.nan
        return pd.Series(
            {"statistic": ratio, "pvalue": _rank_pvalue(self.spread, self.drawn_spread, alternative)}, name="dispersion"
        )

    def zero_counts(self, alternative: SideName = "two-sided") -> pd.Series[float]:
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

        The p-value is the rank among the draws, each taken for the data.
        """
        count = int(self.outside.sum())
        pvalue = _rank_pvalue(float(count), self.drawn_outside, "greater")
        return pd.Series({"statistic": count / self.outside.size, "pvalue": pvalue}, name="outliers")

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
            notes=[f"{self.n_draws} draws of {len(self.values)}{self.sampled} responses."],
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the residuals against the quantiles of their distribution; see :func:`mixedfx.plots.quantiles`."""
        return higher("quantiles")(self, ax=ax)

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
    side = checked_choice("alternative", alternative, SIDES)
    above = (1.0 + np.sum(draws >= value)) / (1.0 + draws.size)
    below = (1.0 + np.sum(draws <= value)) / (1.0 + draws.size)
    return float(side(above, below))


def quantile_residuals(fit: Any, n: int = 250, *, seed: Any = None, random: Any = "new") -> QuantileResiduals:
    """Return where every response lies among draws from the model: uniform residuals for any family.

    Parameters
    ----------
    fit : MixedResults
    n : int
        Number of draws.
    seed : int, SeedSequence or Generator, optional
        The same seed gives the same residuals.
    random : str or list of str
        ``"new"``: every draw has random effects of its own, so that the residuals test the whole model, but those of
        one group hang together, and what varies within groups is seen dimly beside what varies between them;
        ``"posterior"``: all draws about one draw of the coefficients and random effects given the data, about which the
        responses are independent if the model holds: the sharpest test of the family, its dispersion and zeros;
        ``"fitted"``: draws about the fitted group means, which have followed the data, so that a right model seems to
        vary too little where groups are small; groups or terms as in ``fit.simulate``: theirs as fitted, the others
        drawn afresh.

    Returns
    -------
    QuantileResiduals
        ``values`` between 0 and 1, ``normal`` scores, ``uniformity()``, ``dispersion()``, ``outliers()``,
        ``zero_counts()``, ``tests()``, ``plot()``.

    Raises
    ------
    SpecificationError
        If there are more than 30 million draws in all.

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
    if draws * results.nobs > MOST_CELLS:
        raise SpecificationError(
            f"{draws:,} draws of {results.nobs:,} responses are too many numbers to rank: take at most "
            f"n={max(1, int(MOST_CELLS // results.nobs)):,}; mfx.check looks at a sample of the rows"
        )
    return _residuals(results, draws, rng, random, None)


def sampled_residuals(
    results: MixedResults, draws: int, rng: np.random.Generator, random: str, most: int
) -> QuantileResiduals:
    """Return the residuals of ``most`` rows, a random sample if there are more: draws of all, kept where they are."""
    if results.nobs <= most:
        return _residuals(results, draws, rng, random, None)
    return _residuals(results, draws, rng, random, np.sort(rng.choice(results.nobs, most, replace=False)))


def _residuals(
    results: MixedResults, draws: int, rng: np.random.Generator, random: Any, rows: IntArray | None
) -> QuantileResiduals:
    kept = slice(None) if rows is None else rows
    y = np.asarray(results.design.response.values, dtype=float)
    draw = _source(results, random, rng)
    chunk = max(1, CHUNK_CELLS // max(y.size, 1))
    drawn = np.concatenate([draw(min(chunk, draws - start))[kept] for start in range(0, draws, chunk)], axis=1)
    atoms, lattice = _atoms(results)
    y, lattice = y[kept], None if lattice is None else lattice[kept]
    ranks = _ranked(y, drawn, atoms, lattice, rng)
    counted = atoms != "none"
    spread, drawn_spread = _spreads(y, drawn)
    return QuantileResiduals(
        pd.Series(ranks.values, index=results.design.index[kept], name="quantile"),
        draws,
        ranks.outside,
        spread,
        drawn_spread,
        int(np.count_nonzero(y == 0)) if counted else 0,
        np.count_nonzero(drawn == 0, axis=0).astype(float) if counted else np.zeros(draws),
        ranks.distances[0],
        ranks.distances[1:],
        ranks.counts[1:],
        "" if rows is None else " sampled",
    )


def _source(results: MixedResults, random: Any, rng: np.random.Generator) -> Callable[[int], Array]:
    """Return what makes ``k`` draws (n, k)."""
    if not (isinstance(random, str) and random == "posterior"):
        return lambda k: results.simulate(k, seed=rng, random=random).to_numpy()
    eta = drawn_predictor(results, rng)
    response = results.solution.response
    return lambda k: response.draw(np.repeat(eta[:, None], k, axis=1), None, None, rng)


def _atoms(results: MixedResults) -> tuple[str, Array | None]:
    """Values that several draws can share ("none", "zero", "integers"), and the distance (n,) of neighbouring ones.

    Proportions are quotients of whole numbers.
    """
    atoms, trials = results.solution.family.support.atoms, results.design.response.trials
    if atoms != "integers":
        return atoms, None
    return atoms, np.ones(results.nobs) if trials is None else 1.0 / trials


def _spreads(y: Array, drawn: Array) -> tuple[float, Array]:
    """Mean squared distances from the mean of the draws, each row by its variance: of the data, of the draws (k,)."""
    centred = drawn - y[:, None]
    mean, variance = centred.mean(axis=1), centred.var(axis=1)
    weight = np.zeros(variance.size)
    np.divide(1.0, variance, out=weight, where=variance > 0)
    weight /= max(float(np.count_nonzero(weight)), 1.0)
    return float(weight @ mean**2), np.asarray(weight @ np.square(centred - mean[:, None]))


@dataclass(frozen=True)
class _Ranks:
    """Where each row's response stands among its draws, and every draw among the others and the response.

    Attributes
    ----------
    values : (n,)
        Randomised ranks of the responses, between 0 and 1.
    outside : (n,)
    counts, distances : (k + 1,)
        Of the data and of every draw: values beyond all others, largest distance from the uniform distribution.
    """

    values: Array
    outside: BoolArray
    counts: Array
    distances: Array


def _ranked(y: Array, drawn: Array, atoms: str, lattice: Array | None, rng: np.random.Generator) -> _Ranks:
    """Rank the response and the draws of every row; equal values of a discrete response come in random order."""
    n, size = y.size, drawn.shape[1] + 1
    values, outside = np.zeros(n), np.zeros(n, dtype=bool)
    counts, table = np.zeros(size), np.zeros((size, size))
    for start in range(0, n, max(1, CHUNK_CELLS // size)):
        at = slice(start, start + max(1, CHUNK_CELLS // size))
        pool = np.column_stack([y[at], drawn[at]])
        if lattice is not None:
            pool = np.rint(pool / lattice[at, None])
        order = np.argsort(_untied(pool, atoms, rng), axis=1)
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(size)[None], axis=1)
        values[at] = (ranks[:, 0] + rng.uniform(size=len(ranks))) / size
        for extreme in (_lonely(pool, order[:, 0], order[:, 1]), _lonely(pool, order[:, -1], order[:, -2])):
            outside[at] |= extreme == 0
            counts += np.bincount(extreme[extreme >= 0], minlength=size)
        table += np.bincount((ranks + size * np.arange(size)).ravel(), minlength=size * size).reshape(size, size)
    below = np.cumsum(table, axis=1) / n
    return _Ranks(values, outside, counts, np.abs(below - np.arange(1, size + 1) / size).max(axis=1))


def _untied(pool: Array, atoms: str, rng: np.random.Generator) -> Array:
    """Values in whose order those that are equal come at random."""
    if atoms == "none":
        return pool
    jitter = rng.uniform(size=pool.shape)
    return pool + jitter if atoms == "integers" else np.where(pool == 0.0, -jitter, pool)


def _lonely(pool: Array, first: IntArray, second: IntArray) -> IntArray:
    """Positions (c,) of the extreme values where no other is equal to them; -1 elsewhere."""
    rows = np.arange(len(pool))
    return np.where(pool[rows, first] == pool[rows, second], -1, first)
