"""Do residuals bend or spread along something: the fitted values, a column of the fixed effects, a grouping factor?

The residuals are those about a draw of the linear predictor given the data: independent of each other and of the draw
if the model holds, so that the tests of a regression hold for them, and Bonferroni's bound for all columns together.
What the draw adds to the residuals is averaged out over several. Their p-values, as normal scores z, have the variance
1 before the data are seen and s2 given the data, so that the mean of K of them has the variance 1 - s2 (1 - 1 / K).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from mixedfx._typing import Array, IntArray
from mixedfx.diagnostics.findings import LOOK, SUSPICIOUS, WELL, Finding, p_words
from mixedfx.diagnostics.residuals import independent_residuals
from mixedfx.formula import quote
from mixedfx.results.base import MixedResults
from mixedfx.results.simulate import generator

__all__ = ["Pattern", "Patterns", "can_spread", "patterns"]

UNEVEN = 1.25  # times as large: a ratio of spreads below is too small to matter
BENT = 0.1  # correlation with a parabola: below, a bend is too small to matter
FEWEST_ROWS = 30  # fewer show little
FEWEST_A_LEVEL = 10  # rows of a level, on average: one odd row makes the others of a smaller group look odd, too
MOST_LEVELS = 10  # with a variance each
DRAWS = 10
MOST_DRAWN = 2000  # rows that are drawn so often; of more, one draw tells enough
LEAST_PVALUE, MOST_PVALUE = 1e-300, 1.0 - float(np.finfo(float).eps)  # whose normal scores are finite
LEAST_KNOWN = 0.5  # of the variance of a score: what the data are taken to tell at the least
SAME = 1e-6  # share of a parabola that the fixed effects do not hold; below, there is none
FITTED = "the fitted values"


@dataclass(frozen=True)
class Column:
    """Something along which residuals are looked at.

    Attributes
    ----------
    name : str
    numbers : (n,) or None
    codes : (n,) or None
        Levels of the rows, of a factor.
    levels : tuple of str
    """

    name: str
    numbers: Array | None = None
    codes: IntArray | None = None
    levels: tuple[str, ...] = ()

    def take(self, rows: Any) -> Column:
        """Return the column in some of the rows."""
        if self.codes is not None:
            return replace(self, codes=self.codes[rows])
        return replace(self, numbers=None if self.numbers is None else self.numbers[rows])


@dataclass(frozen=True)
class Pattern:
    """What residuals do along a column.

    Attributes
    ----------
    column : Column
    pvalue : float
        Bonferroni's, for all columns that were looked at.
    size : float
        Ratio of the largest root mean square of a level to the smallest, or of the highest third of a number to the
        lowest; correlation with a parabola.
    low, high : str
        The levels with the smallest and the largest residuals.
    """

    column: Column
    pvalue: float
    size: float
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class Patterns:
    """Spreads and bends along all columns, the clearest first; made by :func:`patterns`."""

    fit: MixedResults
    n: int
    spreads: tuple[Pattern, ...]
    bends: tuple[Pattern, ...]

    def bend(self) -> Iterator[Finding]:
        """Yield what is said of the means."""
        if not self.bends:
            return
        named = [found for found in self.bends if found.column.name != FITTED and found.pvalue < SUSPICIOUS]
        clearest = [*named, *self.bends][0]
        name, p = clearest.column.name, p_words(clearest.pvalue)
        if clearest.pvalue >= SUSPICIOUS:
            yield Finding("bends", WELL, f"no bend is seen along {_listed(self.bends)} ({p}){self._few()}")
        elif abs(clearest.size) < BENT:
            yield Finding("bends", WELL, f"residuals bend along {name}, too little to matter ({p})")
        else:
            yield Finding("bends", LOOK, f"residuals bend along {name} ({p})", self._straighten(clearest.column))

    def spread(self) -> Iterator[Finding]:
        """Yield what is said of the spread."""
        if not self.spreads:
            return
        clearest = self.spreads[0]
        p = p_words(clearest.pvalue)
        if clearest.pvalue >= SUSPICIOUS:
            words = f"no difference of the spread is seen along {_listed(self.spreads)} ({p}){self._few()}"
            yield Finding("equal spread", WELL, words)
        elif max(clearest.size, 1.0 / clearest.size) < UNEVEN:
            words = f"the spread differs along {clearest.column.name}, too little to matter ({p})"
            yield Finding("equal spread", WELL, words)
        else:
            yield Finding("equal spread", LOOK, f"{_compared(clearest)} ({p})", self._even(clearest))

    def _few(self) -> str:
        return f"; {self.n} rows show little" if self.n < FEWEST_ROWS else ""

    def _straighten(self, column: Column) -> str:
        if column.name == FITTED:
            return "draw residuals against each predictor: a curve or an interaction may be missing"
        return f"try a curve, ns({quote(column.name)}, 3), in its place"

    def _even(self, found: Pattern) -> str:
        column, solution = found.column, self.fit.solution
        if column.name == FITTED:
            return self._rescale(found.size > 1.0)
        if column.codes is not None and len(column.levels) > MOST_LEVELS:
            return f"look at the {column.name} with the largest residuals one by one"
        if solution.response.has_normal_residuals:
            call = f'mfx.{"VarExp" if column.codes is None else "VarIdent"}("{column.name}")'
            return f"try residual={call}" if solution.residual is None else f"multiply residual= by {call}"
        return _dispersed(self.fit, quote(column.name))

    def _rescale(self, grows: bool) -> str:
        response = self.fit.design.response
        if not self.fit.solution.response.has_normal_residuals:
            return "try another family: its variance changes otherwise with the mean"
        if grows and np.all(response.values > 0) and "(" not in response.name:
            return f"try log({response.name}) as the response"
        return "try another scale of the response"


def _dispersed(fit: MixedResults, name: str) -> str:
    family = fit.solution.family
    if "dispersion" in family.predictors:
        return f"add {name} to dispersion="
    if any(parameter.name == "dispersion" for parameter in family.parameters):
        return f'try dispersion="~ {name}"'
    if family.name in DISPERSED:
        return f'try family="{DISPERSED[family.name]}", dispersion="~ {name}"'
    return f"the family has no parameter for it: see whether an interaction with {name} is missing"


ZEROS = ("", "zero_inflated_", "hurdle_", "truncated_")
DISPERSED = {f"{zeros}poisson": f"{zeros}nbinom2" for zeros in ZEROS} | {"binomial": "beta_binomial"}
"""Families with a dispersion, for those without one."""


def _listed(found: tuple[Pattern, ...]) -> str:
    names = sorted((pattern.column.name for pattern in found), key=lambda name: name != FITTED)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _compared(found: Pattern) -> str:
    name, ratio = found.column.name, max(found.size, 1.0 / found.size)
    if found.column.codes is not None:
        return f"residuals of {name} {found.high} are {ratio:.1f} times as large as those of {found.low}"
    grow, places = ("grow", "highest third … lowest") if found.size > 1.0 else ("shrink", "lowest third … highest")
    one, other = places.split(" … ")
    return f"residuals {grow} with {name}: {ratio:.1f} times as large in the {one} as in the {other}"


# ------------------------------------------------------------------ tests
def patterns(fit: MixedResults, seed: Any) -> Patterns:
    """Look at residuals along the fitted values, the columns of the fixed effects and the grouping factors.

    Spread: shares of the levels in the sum of Klotz's scores, the squares that normal residuals of the same ranks would
    have, beside the shares of rows that are chosen at random, so that neither long tails nor levels of a row or two
    alarm; along a number, the correlation of the scores with its ranks. Bends: the correlation of the residuals with
    the part of a square that the fixed effects do not hold.

    References
    ----------
    Klotz (1962), Ann. Math. Stat. 33, 498; Conover, Johnson & Johnson (1981), Technometrics 23, 351, for the spread;
    Pitman (1937), Suppl. J. R. Stat. Soc. 4, 119, for beta distributions of permutations; Liu & Xie (2020), J. Am.
    Stat. Assoc. 115, 393, for Cauchy's law; Ramsey (1969), J. R. Stat. Soc. B 31, 350, for squares.
    """
    rng, count = generator(seed), DRAWS if fit.nobs <= MOST_DRAWN else 1
    found = [_drawn(fit, rng) for _ in range(count)]
    spreads, bends = [spread for spread, _ in found], [bend for _, bend in found]
    rows = int(np.isfinite(fit.residuals().to_numpy()).sum())
    return Patterns(fit, rows, _together(spreads), _together(bends))


def _drawn(fit: MixedResults, rng: np.random.Generator) -> tuple[list[Pattern], list[Pattern]]:
    """Spreads and bends of the residuals about one draw."""
    predictor, residuals = independent_residuals(fit, rng)
    used = np.isfinite(residuals) & np.isfinite(predictor)
    values, X = residuals[used], fit.design.fixed.matrix[used]
    if values.size <= X.shape[1] + 2:
        return [], []
    columns = [column.take(used) for column in (Column(FITTED, predictor), *_columns(fit))]
    spreads = [_spread(values, column) for column in columns] if can_spread(fit) else []
    bends = [_bend(values, column, X) for column in columns if column.numbers is not None]
    return [found for found in spreads if found is not None], [found for found in bends if found is not None]


def _together(found: Sequence[list[Pattern]]) -> tuple[Pattern, ...]:
    """What the draws say together of every column, the clearest first."""
    columns: dict[str, list[Pattern]] = {}
    for pattern in chain.from_iterable(found):
        columns.setdefault(pattern.column.name, []).append(pattern)
    every = [_of_draws(patterns) for patterns in columns.values()]
    adjusted = [replace(pattern, pvalue=min(1.0, len(every) * pattern.pvalue)) for pattern in every]
    return tuple(sorted(adjusted, key=lambda pattern: pattern.pvalue))


def _of_draws(found: list[Pattern]) -> Pattern:
    scores = -special.ndtri(np.clip([pattern.pvalue for pattern in found], LEAST_PVALUE, MOST_PVALUE))
    added = float(np.var(scores, ddof=1)) * (1.0 - 1.0 / scores.size) if scores.size > 1 else 0.0
    score = float(scores.mean()) / np.sqrt(max(1.0 - added, LEAST_KNOWN))
    middle = sorted(found, key=lambda pattern: abs(np.log(abs(pattern.size))))[len(found) // 2]
    return replace(middle, pvalue=float(special.ndtr(-score)))


def can_spread(fit: MixedResults) -> bool:
    """Whether responses could spread more or less than they do: single zeros and ones could not."""
    family, trials = fit.solution.family, fit.design.response.trials
    single = family.proportions and family.support.atoms == "integers" and (trials is None or np.all(trials == 1))
    return not single


def _columns(fit: MixedResults) -> Iterator[Column]:
    """The columns of the data in the fixed effects, and the grouping factors that have rows enough."""
    variables = fit.design.variables
    for name, variable in variables.items():
        if variable.labels is not None:
            yield Column(name, None, variable.labels.codes, tuple(map(str, variable.labels.levels)))
        elif variable.numbers is not None:
            yield Column(name, variable.numbers)
    for term in {term.group: term for term in fit.design.grouped}.values():
        if term.group not in variables and fit.nobs >= FEWEST_A_LEVEL * term.n_levels:
            yield Column(term.group, None, term.codes, tuple(map(str, term.levels)))


def _spread(values: Array, column: Column) -> Pattern | None:
    ranks = stats.rankdata(np.abs(values))
    scores = np.square(special.ndtri(0.5 + 0.5 * ranks / (values.size + 1)))
    if column.codes is not None:
        return _spread_of_levels(values, scores, column)
    numbers = np.asarray(column.numbers)
    if not _varies(numbers):
        return None
    pvalue = _tested(float(np.corrcoef(scores, stats.rankdata(numbers))[0, 1] ** 2), 1, values.size)
    low, high = (_root_mean_square(values[rows]) for rows in _thirds(numbers))
    return Pattern(column, pvalue, high / low)


def _thirds(numbers: Array) -> tuple[Any, Any]:
    low, high = np.quantile(numbers, [1 / 3, 2 / 3])
    if low == high:
        return numbers <= np.median(numbers), numbers >= np.median(numbers)
    return numbers <= low, numbers >= high


def _spread_of_levels(values: Array, scores: Array, column: Column) -> Pattern | None:
    rows = pd.DataFrame({"score": scores, "square": np.square(values)}).groupby(np.asarray(column.codes))
    counts, means = rows.size().to_numpy(), rows.mean()
    if len(counts) < 2 or values.size < 2 * len(counts):
        return None
    pvalue = _unequal(scores, np.asarray(counts, dtype=np.int64), counts * means["score"].to_numpy() / scores.sum())
    seen, squares = np.asarray(means.index), means["square"].to_numpy()
    low, high = (column.levels[seen[place]] for place in (squares.argmin(), squares.argmax()))
    return Pattern(column, pvalue, float(np.sqrt(squares.max() / squares.min())), low, high)


def _unequal(scores: Array, counts: IntArray, shares: Array) -> float:
    """p-value of levels whose rows (k,) have such shares (k,) of the sum of positive scores (n,).

    A share of rows chosen at random has nearly the beta distribution with the mean and variance that it has over all
    permutations. As normal scores z, the shares tell of levels that differ all together, by the sum of
    ``(1 - n_k / n) z**2``, and of a single one, by the largest. Both p-values are combined as Cauchy's quantiles, whose
    mean has the same law however they depend on each other, nearly: draws can be averaged.
    """
    n, k = scores.size, len(counts)
    size = ((n - 1.0) / (scores.var() / scores.mean() ** 2) - 1.0) / n
    tails = [f(size * counts, size * (n - counts), shares) for f in (special.betainc, special.betaincc)]
    z = -special.ndtri(np.clip(np.minimum(*tails), LEAST_PVALUE, 0.5))
    together = float(special.chdtrc(k - 1, np.sum((1.0 - counts / n) * z**2)))
    single = float(-np.expm1(k * np.log1p(-2.0 * special.ndtr(-z.max()))))
    if k == 2:
        return together
    both = np.clip([together, single], LEAST_PVALUE, MOST_PVALUE)
    return float(np.arctan2(1.0, np.mean(1.0 / np.tan(np.pi * both))) / np.pi)


def _bend(values: Array, column: Column, X: Array) -> Pattern | None:
    numbers = np.asarray(column.numbers)
    if not _varies(numbers) or np.unique(numbers).size < 3:
        return None
    standard = (numbers - numbers.mean()) / numbers.std()
    held = np.column_stack([np.ones(numbers.size), standard, X])
    square = standard**2 / np.linalg.norm(standard**2)
    rest = square - held @ np.linalg.lstsq(held, square, rcond=None)[0]
    if np.linalg.norm(rest) < SAME:
        return None
    correlation = float(np.corrcoef(values, rest)[0, 1])
    return Pattern(column, _tested(correlation**2, 1, values.size), correlation)


def _varies(numbers: Array) -> bool:
    return bool(np.ptp(numbers) > SAME * np.abs(numbers).max())


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _tested(share: float, df: int, n: int) -> float:
    """p-value of the share of a sum of squares that ``df`` columns explain, by F."""
    rest = n - 1 - df
    return float(special.fdtrc(df, rest, share / df / ((1.0 - share) / rest))) if share < 1.0 else 0.0
