"""What a test asks, and how tests that are made together are adjusted: p-values, and multipliers of intervals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import special

from mixedfx._arguments import checked_choice, checked_number
from mixedfx._suggestions import advised
from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.distributions import f_tail, quantile, two_sided
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.maxima import (
    largest_statistic_quantile,
    largest_statistic_tail,
    studentized_range_quantile,
    studentized_range_tail,
)

__all__ = [
    "PLAIN",
    "AdjustName",
    "Adjustment",
    "Question",
    "SideName",
    "TestsTogether",
    "adjustment_for",
    "of_families",
    "question_for",
]

INDEPENDENT = 1e-9  # eigenvalues of a correlation, relative to the largest, that count


# ---------------------------------------------------------------- what a test asks
SideName: TypeAlias = Literal["two-sided", "greater", "less"]
SIDES: dict[str, int] = {"two-sided": 0, "greater": 1, "less": -1}
ON_LINK = " on the scale of the linear predictor"


@dataclass(frozen=True)
class Question:
    """The hypothesis of a test.

    Attributes
    ----------
    null : float
        What the estimates are compared with, on the scale of the linear predictor.
    side : int
        0 for both, 1 for greater, -1 for less.
    delta : float
        Distance from ``null`` that does not matter; 0 for tests of a difference.
    """

    null: float = 0.0
    side: int = 0
    delta: float = 0.0

    @property
    def is_equivalence(self) -> bool:
        """Whether the alternative is that estimates lie within ``delta`` of ``null``."""
        return self.delta > 0.0 and self.side == 0

    @property
    def direction(self) -> int:
        """Which statistics are evidence against the null hypothesis: large ones (1), small ones (-1), or both (0)."""
        return -1 if self.is_equivalence else self.side

    def distance(self, estimates: Array) -> Array:
        """Return the distance (r,) of estimates from the nearest value under the null hypothesis."""
        difference = estimates - self.null
        if self.is_equivalence:
            return np.asarray(np.abs(difference) - self.delta)
        return np.asarray(difference + self.side * self.delta)

    @property
    def words(self) -> tuple[str, ...]:
        """Notes on the hypothesis; none for a two-sided test of zero."""
        side = "greater" if self.side > 0 else "less"
        if self.is_equivalence:
            return (f"Tests of equivalence: closer to {self.null:g} than {self.delta:g}.",)
        if self.delta > 0.0:
            word = "noninferiority" if self.side > 0 else "nonsuperiority"
            return (f"Tests of {word}: {side} than {self.null - self.side * self.delta:g}.",)
        if self.side:
            return (f"One-sided tests: {side} than {self.null:g}.",)
        return (f"Tested: the estimate is {self.null:g}.",) if self.null else ()


PLAIN = Question()


def question_for(null: Any, side: Any, delta: Any) -> Question:
    """Resolve ``null=``, ``side=`` and ``delta=``.

    Raises
    ------
    SpecificationError
        If ``side`` is another word, or a number is not finite, or ``delta`` is negative.
    TypeError
        If ``null`` or ``delta`` is no number.
    """
    direction = checked_choice("side", side, SIDES)
    margin = checked_number("delta", delta, ON_LINK)
    if margin < 0.0:
        raise SpecificationError(f"delta is a distance, not below zero; found {delta}")
    return Question(checked_number("null", null, ON_LINK), direction, margin)


# ---------------------------------------------------------------- tests that are made together
@dataclass(frozen=True, eq=False)
class TestsTogether:
    """A family of tests whose joint error rate is controlled.

    Attributes
    ----------
    statistic, df : (m,)
    correlation : (m, m)
        Of the estimates.
    n_means : int or None
        Number of means of which these are all pairwise differences; None for other families.
    rank : int
        Number of linearly independent estimates.
    side : int
        0 for two-sided tests, 1 where only large statistics count, -1 where only small ones do.
    folded : bool
        Whether the statistics are distances to the ends of an interval (tests of equivalence), so that they do not have
        the joint distribution of the estimates.
    """

    statistic: Array
    df: Array
    correlation: Array
    n_means: int | None
    rank: int
    side: int = 0
    folded: bool = False

    @staticmethod
    def of(functions: Functions, question: Question, *, are_pairs: bool) -> TestsTogether:
        """Return the tests of functions that can all be estimated, with standard errors above zero."""
        se = functions.se
        correlation = functions.covariance / np.outer(se, se)
        np.fill_diagonal(correlation, 1.0)
        sizes = np.linalg.eigvalsh(correlation)
        rank = int(np.sum(sizes > INDEPENDENT * sizes[-1]))
        n_means = round(0.5 + float(np.sqrt(0.25 + 2.0 * se.size))) if are_pairs else None  # k (k - 1) / 2 differences
        statistic = question.distance(functions.values) / se
        direction, folded = question.direction, question.is_equivalence
        return TestsTogether(statistic, functions.df, correlation, n_means, rank, direction, folded)

    @property
    def size(self) -> int:
        """Number of tests m."""
        return self.statistic.size

    @property
    def unadjusted(self) -> Array:
        """P-values (m,) of each test alone."""
        if self.side == 0:
            return two_sided(self.statistic, self.df)
        half = 0.5 * two_sided(self.statistic, self.df)
        return np.where(self.side * self.statistic > 0, half, 1.0 - half)


class Adjustment(ABC):
    """A method that controls the error rate of a family of tests."""

    #: Its name in notes.
    label: str

    @abstractmethod
    def pvalues(self, family: TestsTogether) -> Array:
        """Return adjusted p-values (m,)."""

    @abstractmethod
    def multipliers(self, family: TestsTogether, alpha: float) -> Array:
        """Return the multipliers (m,) of the standard errors for simultaneous intervals of level ``1 - alpha``."""

    def fitting(self, family: TestsTogether) -> Adjustment:
        """Return the adjustment for a family: this one, or another where this one does not apply."""
        return self


class Unadjusted(Adjustment):
    """Each test by itself."""

    label = ""

    def pvalues(self, family: TestsTogether) -> Array:
        """Return the p-values (m,)."""
        return family.unadjusted

    def multipliers(self, family: TestsTogether, alpha: float) -> Array:
        """Return the quantiles (m,)."""
        return quantile(1.0 - 0.5 * alpha, family.df)


class Bonferroni(Adjustment):
    """m times the p-value."""

    label = "Bonferroni"

    def pvalues(self, family: TestsTogether) -> Array:
        """Return the p-values (m,)."""
        return np.minimum(1.0, family.size * family.unadjusted)

    def multipliers(self, family: TestsTogether, alpha: float) -> Array:
        """Return the quantiles (m,) at ``alpha / m``."""
        return quantile(1.0 - 0.5 * alpha / family.size, family.df)


class Sidak(Bonferroni):
    """``1 - (1 - p)^m``: exact for independent tests."""

    label = "Šidák"

    def pvalues(self, family: TestsTogether) -> Array:
        """Return the p-values (m,)."""
        with np.errstate(divide="ignore"):  # a p-value of 1 stays 1
            return np.asarray(-np.expm1(family.size * np.log1p(-family.unadjusted)))

    def multipliers(self, family: TestsTogether, alpha: float) -> Array:
        """Return the quantiles (m,)."""
        each = -np.expm1(np.log1p(-alpha) / family.size)
        return quantile(1.0 - 0.5 * float(each), family.df)


class Holm(Bonferroni):
    """Step-down Bonferroni; intervals as Bonferroni's."""

    label = "Holm"

    def pvalues(self, family: TestsTogether) -> Array:
        """Return the p-values (m,)."""
        order = np.argsort(family.unadjusted)  # statsmodels' version collects garbage at each call, which takes longer
        out = np.empty(family.size)
        steps = (family.size - np.arange(family.size)) * family.unadjusted[order]
        out[order] = np.minimum(1.0, np.maximum.accumulate(steps))
        return out


class FalseDiscoveryRate(Bonferroni):
    """Benjamini and Hochberg's false discovery rate; intervals as Bonferroni's."""

    label = "Benjamini and Hochberg (false discovery rate)"

    def pvalues(self, family: TestsTogether) -> Array:
        """Return the p-values (m,)."""
        from statsmodels.stats.multitest import multipletests  # takes a second to import

        return np.asarray(multipletests(family.unadjusted, method="fdr_bh")[1], dtype=float)


class Tukey(Adjustment):
    """The studentized range, for all pairwise differences of some means; Šidák for anything else."""

    label = "Tukey"

    def fitting(self, family: TestsTogether) -> Adjustment:
        """Return Šidák for what are not all pairwise differences."""
        return self if family.n_means is not None and family.side == 0 else Sidak()

    def pvalues(self, family: TestsTogether) -> Array:
        """Return the p-values (m,)."""
        q = np.sqrt(2.0) * np.abs(family.statistic)
        k = family.n_means or family.size
        return _by_df(family.df, lambda df, which: studentized_range_tail(q[which], k, df))

    def multipliers(self, family: TestsTogether, alpha: float) -> Array:
        """Return the quantiles (m,)."""
        k = family.n_means or family.size
        ranges = _by_df(family.df, lambda df, which: np.full(which.sum(), studentized_range_quantile(alpha, k, df)))
        return np.asarray(ranges / np.sqrt(2.0))


class Dunnett(Adjustment):
    """The exact distribution of the largest of any correlated t statistics."""

    label = "the multivariate t distribution (Dunnett)"

    def fitting(self, family: TestsTogether) -> Adjustment:
        """Return Šidák for tests of equivalence."""
        return Sidak() if family.folded else self

    def pvalues(self, family: TestsTogether) -> Array:
        """Return the p-values (m,)."""
        signed = family.side * family.statistic if family.side else np.abs(family.statistic)
        tails = [
            largest_statistic_tail(t, family.correlation, df, two_sided=family.side == 0)
            for t, df in zip(signed.tolist(), family.df.tolist(), strict=True)
        ]
        return np.maximum(tails, family.unadjusted)

    def multipliers(self, family: TestsTogether, alpha: float) -> Array:
        """Return the quantiles (m,)."""
        if family.size == 1:
            return Unadjusted().multipliers(family, alpha)
        return _by_df(
            family.df,
            lambda df, which: np.full(which.sum(), largest_statistic_quantile(alpha, family.correlation, df)),
        )


class Scheffe(Adjustment):
    """Scheffé's protection of all contrasts of the same space."""

    label = "Scheffé"

    def pvalues(self, family: TestsTogether) -> Array:
        """Return the p-values (m,): 1 in the direction against which a one-sided test is made.

        The space holds the negative of every contrast, so that both directions have the same tail probability.
        """
        tails = f_tail(family.statistic**2 / family.rank, family.rank, family.df)
        return np.where(family.side * family.statistic < 0, 1.0, tails)

    def multipliers(self, family: TestsTogether, alpha: float) -> Array:
        """Return the quantiles (m,)."""
        rank = float(family.rank)
        finite = np.where(np.isfinite(family.df), family.df, 1.0)
        f = np.where(
            np.isfinite(family.df), rank * special.fdtri(rank, finite, 1.0 - alpha), special.chdtri(rank, alpha)
        )
        return np.asarray(np.sqrt(f))


def _by_df(df: Array, function: Callable[[float, Array], Array]) -> Array:
    """Evaluate ``function(df, which)`` once for each different number of degrees of freedom."""
    out = np.full(df.size, np.nan)
    rounded = np.where(np.isfinite(df), np.round(df, 9), df)
    for value in np.unique(rounded):
        which = rounded == value
        out[which] = function(float(value), which)
    return out


AdjustName: TypeAlias = Literal[
    "none",
    "bonferroni",
    "sidak",
    "holm",
    "fdr",
    "tukey",
    "dunnett",
    "scheffe",
]
ADJUSTMENTS: dict[str, type[Adjustment]] = {
    "none": Unadjusted,
    "bonferroni": Bonferroni,
    "sidak": Sidak,
    "holm": Holm,
    "fdr": FalseDiscoveryRate,
    "tukey": Tukey,
    "dunnett": Dunnett,
    "scheffe": Scheffe,
}
ALIASES = {"mvt": "dunnett", "bh": "fdr", "šidák": "sidak", "scheffé": "scheffe", "dunnettx": "dunnett"}


def adjustment_for(word: str | None) -> Adjustment:
    """Resolve ``adjust=``.

    Raises
    ------
    SpecificationError
        If there is no such adjustment.
    """
    if word is None:
        return Unadjusted()
    if not isinstance(word, str):
        raise TypeError(f"adjust is the name of a method, such as 'tukey'; found {type(word).__name__}")
    key = ALIASES.get(word.lower(), word.lower())
    if key not in ADJUSTMENTS:
        raise SpecificationError(f"unknown adjust {word!r}; {advised('adjust', word, [*ADJUSTMENTS, 'mvt'])}")
    return ADJUSTMENTS[key]()


def of_families(
    functions: Functions,
    groups: Sequence[IntArray],
    adjustment: Adjustment,
    ask: Callable[[Adjustment, TestsTogether], Array],
    *,
    are_pairs: bool,
    question: Question = PLAIN,
) -> tuple[Array, tuple[str, ...]]:
    """Return one number for each row (r,) of a table, family by family, and notes on the adjustment.

    Parameters
    ----------
    functions : Functions
        The rows of the table.
    groups : list of int arrays
        Positions of the rows of each family.
    adjustment : Adjustment
    ask : callable
        Maps the adjustment and the tests (m,) of a family to numbers (m,).
    are_pairs : bool
        Whether each family has all pairwise differences of some means.
    question : Question
    """
    out = np.full(len(functions.values), np.nan)
    notes: dict[str, None] = {}
    for group in groups:
        rows = functions.taken(group)
        testable = rows.estimable & (rows.se > 0)
        if not testable.any():
            continue
        family = TestsTogether.of(rows.taken(testable), question, are_pairs=are_pairs)
        fitting = adjustment.fitting(family)
        out[group[testable]] = ask(fitting, family)
        if fitting.label and family.size > 1:
            notes[f"Adjusted for {family.size} tests by {fitting.label}."] = None
    return out, tuple(notes)
