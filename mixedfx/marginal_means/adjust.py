"""Adjustments for testing several hypotheses at once: p-values of a family, and multipliers of its intervals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.distributions import f_tail, quantile, two_sided
from mixedfx.marginal_means.multivariate_t import largest_statistic_quantile, largest_statistic_tail
from mixedfx.marginal_means.studentized_range import studentized_range_quantile, studentized_range_tail

__all__ = ["Adjustment", "Family", "adjustment_for"]


@dataclass(frozen=True, eq=False)
class Family:
    """Tests that are made together.

    Attributes
    ----------
    statistic, df : (m,)
    correlation : (m, m)
        Of the estimates.
    n_means : int or None
        Of how many means these are all the pairwise differences; None if they are something else.
    rank : int
        Number of independent ones.
    side : int
        0 for two-sided tests, 1 where only large statistics count, -1 where only small ones do.
    folded : bool
        Whether the statistics are distances from both ends of an interval (tests of equivalence), which have not the
        joint distribution of the estimates.
    """

    statistic: Array
    df: Array
    correlation: Array
    n_means: int | None
    rank: int
    side: int = 0
    folded: bool = False

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
    """A way to keep the error rate of a family."""

    #: What notes call it.
    label: str

    @abstractmethod
    def pvalues(self, family: Family) -> Array:
        """Return adjusted p-values (m,)."""

    @abstractmethod
    def multipliers(self, family: Family, alpha: float) -> Array:
        """Return by what the standard errors (m,) are multiplied for simultaneous intervals."""

    def fitting(self, family: Family) -> Adjustment:
        """Return this, or what takes its place for a family that it is not made for."""
        return self


class Unadjusted(Adjustment):
    """Each test by itself."""

    label = ""

    def pvalues(self, family: Family) -> Array:
        """Return the p-values (m,)."""
        return family.unadjusted

    def multipliers(self, family: Family, alpha: float) -> Array:
        """Return the quantiles (m,)."""
        return quantile(1.0 - 0.5 * alpha, family.df)


class Bonferroni(Adjustment):
    """m times the p-value."""

    label = "Bonferroni"

    def pvalues(self, family: Family) -> Array:
        """Return the p-values (m,)."""
        return np.minimum(1.0, family.size * family.unadjusted)

    def multipliers(self, family: Family, alpha: float) -> Array:
        """Return the quantiles (m,) at ``alpha / m``."""
        return quantile(1.0 - 0.5 * alpha / family.size, family.df)


class Sidak(Bonferroni):
    """``1 - (1 - p)^m``: exact for independent tests."""

    label = "Šidák"

    def pvalues(self, family: Family) -> Array:
        """Return the p-values (m,)."""
        with np.errstate(divide="ignore"):  # a p-value of 1 stays 1
            return np.asarray(-np.expm1(family.size * np.log1p(-family.unadjusted)))

    def multipliers(self, family: Family, alpha: float) -> Array:
        """Return the quantiles (m,)."""
        own = -np.expm1(np.log1p(-alpha) / family.size)
        return quantile(1.0 - 0.5 * float(own), family.df)


class Holm(Bonferroni):
    """Step-down Bonferroni; intervals as Bonferroni's."""

    label = "Holm"

    def pvalues(self, family: Family) -> Array:
        """Return the p-values (m,)."""
        order = np.argsort(family.unadjusted)
        steps = (family.size - np.arange(family.size)) * family.unadjusted[order]
        return _back(np.minimum(1.0, np.maximum.accumulate(steps)), order)


class FalseDiscoveryRate(Bonferroni):
    """Benjamini and Hochberg's false discovery rate; intervals as Bonferroni's."""

    label = "Benjamini and Hochberg (false discovery rate)"

    def pvalues(self, family: Family) -> Array:
        """Return the p-values (m,)."""
        order = np.argsort(family.unadjusted)[::-1]
        steps = family.size / (family.size - np.arange(family.size)) * family.unadjusted[order]
        return _back(np.minimum(1.0, np.minimum.accumulate(steps)), order)


def _back(values: Array, order: IntArray) -> Array:
    out = np.empty_like(values)
    out[order] = values
    return out


class Tukey(Adjustment):
    """The studentized range, for all pairwise differences of some means; Šidák for anything else."""

    label = "Tukey"

    def fitting(self, family: Family) -> Adjustment:
        """Return Šidák for what are not all pairwise differences."""
        return self if family.n_means is not None and family.side == 0 else Sidak()

    def pvalues(self, family: Family) -> Array:
        """Return the p-values (m,)."""
        q = np.sqrt(2.0) * np.abs(family.statistic)
        k = family.n_means or family.size
        return _by_df(family.df, lambda df, own: studentized_range_tail(q[own], k, df))

    def multipliers(self, family: Family, alpha: float) -> Array:
        """Return the quantiles (m,)."""
        k = family.n_means or family.size
        found = _by_df(family.df, lambda df, own: np.full(own.sum(), studentized_range_quantile(alpha, k, df)))
        return np.asarray(found / np.sqrt(2.0))


class Dunnett(Adjustment):
    """The exact distribution of the largest of correlated t statistics, whatever they are."""

    label = "the multivariate t distribution (Dunnett)"

    def fitting(self, family: Family) -> Adjustment:
        """Return Šidák for tests of equivalence."""
        return Sidak() if family.folded else self

    def pvalues(self, family: Family) -> Array:
        """Return the p-values (m,)."""
        signed = family.side * family.statistic if family.side else np.abs(family.statistic)
        tails = [
            largest_statistic_tail(t, family.correlation, df, two_sided=family.side == 0)
            for t, df in zip(signed.tolist(), family.df.tolist(), strict=True)
        ]
        return np.maximum(tails, family.unadjusted)

    def multipliers(self, family: Family, alpha: float) -> Array:
        """Return the quantiles (m,)."""
        if family.size == 1:
            return Unadjusted().multipliers(family, alpha)
        return _by_df(
            family.df,
            lambda df, own: np.full(own.sum(), largest_statistic_quantile(alpha, family.correlation, df)),
        )


class Scheffe(Adjustment):
    """Scheffé's protection of all contrasts of the same space."""

    label = "Scheffé"

    def pvalues(self, family: Family) -> Array:
        """Return the p-values (m,): 1 in the direction that a one-sided test does not look for.

        With every contrast its negative is in the space as well, so that the other direction has the same tail.
        """
        tails = f_tail(family.statistic**2 / family.rank, family.rank, family.df)
        return np.where(family.side * family.statistic < 0, 1.0, tails)

    def multipliers(self, family: Family, alpha: float) -> Array:
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
        own = rounded == value
        out[own] = function(float(value), own)
    return out


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
        raise SpecificationError(f"unknown adjust {word!r}; choose from {', '.join(map(repr, ADJUSTMENTS))}")
    return ADJUSTMENTS[key]()
