"""Expected mean squares: what every mean square estimates, and the variance components that solve the equations.

With ``P_a`` the projection onto what term a adds to those before it,

    ``E MS_a = sigma^2 + sum over b of sigma_b^2 tr(P_a Z_b Z_b') / df_a + what fixed effects contribute``.

Fixed terms come first, so that the mean squares of random terms are free of fixed effects (Henderson's method 3; in
balanced designs the rules of Cornfield and Tukey).

References
----------
Searle, Casella & McCulloch (1992), Variance Components, ch. 4 and 5; Cornfield & Tukey (1956), Ann. Math. Stat.
27, 907.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from mixedfx._typing import Array
from mixedfx.analysis_of_variance.components.layout import VarianceLayout, VarianceTerm
from mixedfx.analysis_of_variance.strata.analysis import RESIDUAL
from mixedfx.analysis_of_variance.strata.projections import Averages, Grouping, Projector, increments
from mixedfx.exceptions import DataError, SpecificationError

__all__ = ["CONVENTIONS", "Convention", "ConventionName", "Expected", "MeanSquareSum", "expected_mean_squares"]

ConventionName: TypeAlias = Literal["unrestricted", "restricted"]
NEGLIGIBLE = 1e-9  # a coefficient below this fraction of the largest is zero


@dataclass(frozen=True)
class MeanSquareSum:
    """``sum of c_k MS_k`` with independent mean squares.

    Attributes
    ----------
    c, mean_sq, df : (K,)
    """

    c: Array
    mean_sq: Array
    df: Array

    @property
    def parts(self) -> Array:
        """``c_k MS_k`` (K,)."""
        return self.c * self.mean_sq

    @property
    def value(self) -> float:
        """The sum."""
        return float(self.parts.sum())

    def variance(self, *, unbiased: bool = True) -> float:
        """Variance of the sum, estimated: unbiased, or with the mean squares in the place of their expectations."""
        return float(np.sum(2.0 * self.parts**2 / (self.df + 2.0 * unbiased)))

    @property
    def satterthwaite_df(self) -> float:
        """Degrees of freedom of a multiple of chi-squared with the same mean and variance (Satterthwaite 1946)."""
        spread = float(np.sum(self.parts**2 / self.df))
        return self.value**2 / spread if spread > 0 else np.nan

    @property
    def is_single(self) -> bool:
        """Whether it is a multiple of one mean square."""
        return int(np.sum(self.c != 0)) == 1


@dataclass(frozen=True)
class Expected:
    """Mean squares and their expectations.

    Attributes
    ----------
    labels : tuple of str
        The terms and the residual.
    random : (K,)
        Which of them are variance components; the residual is.
    df, sum_sq : (K,)
    coefficients : (K, R)
        Of the variance components in every expectation; the residual's is last.
    fixed : tuple of tuple of str
        Fixed terms that contribute to each expectation.
    is_balanced : bool
        Whether every mean square is made of whole strata, so that REML and mean squares give the same equations.
    """

    labels: tuple[str, ...]
    random: Array
    df: Array
    sum_sq: Array
    coefficients: Array
    fixed: tuple[tuple[str, ...], ...]
    is_balanced: bool

    @property
    def mean_sq(self) -> Array:
        """Mean squares (K,)."""
        return self.sum_sq / self.df

    @property
    def components(self) -> tuple[str, ...]:
        """Names (R,) of the variance components."""
        return tuple(label for label, random in zip(self.labels, self.random) if random)

    @cached_property
    def weights(self) -> Array:
        """Weights (R, K) of the mean squares in the estimate of every component."""
        out = np.zeros((len(self.components), len(self.labels)))
        out[:, self.random.astype(bool)] = np.linalg.inv(self.coefficients[self.random.astype(bool)])
        return out

    def combination(self, weights: Array) -> MeanSquareSum:
        """Return the sum of mean squares that estimates a combination (R,) of the components."""
        total = weights @ self.weights
        total[np.abs(total) < NEGLIGIBLE * np.abs(total).max(initial=0.0)] = 0.0
        return MeanSquareSum(total, self.mean_sq, self.df)

    def denominator(self, row: int) -> MeanSquareSum:
        """Return what estimates the expectation of a mean square if its own effects are zero.

        A single mean square where there is one with that expectation; else it is synthesised (Satterthwaite's quasi-F).
        """
        target = self.coefficients[row].copy()
        if self.random[row]:
            target[self.components.index(self.labels[row])] = 0.0
        return self.combination(target)


def _unrestricted(layout: VarianceLayout, balanced: bool) -> Array:
    """Every component stays."""
    return np.ones((len(layout.terms), len(layout.random)))


def _restriction(layout: VarianceLayout, balanced: bool) -> Array:
    """Which components (K, R) stay in which expectation if effects sum to zero over the levels of fixed factors.

    That of b stays in the expectation of a if all that b has beyond a is random.
    """
    if not balanced:
        raise SpecificationError("the restricted convention is defined for balanced designs only: take 'unrestricted'")
    fixed = {factor for term in layout.terms if not term.random for factor in term.factors}

    def stays(a: VarianceTerm, b: VarianceTerm) -> bool:
        return a is b or not (b.factors - a.factors) & fixed

    return np.array([[stays(a, b) for b in layout.random] for a in layout.terms], dtype=float)


@dataclass(frozen=True)
class Convention:
    """What the variance of a random interaction with a fixed factor means.

    Attributes
    ----------
    stays : callable
        Of the layout, and whether it is balanced: which components (K, R) stay in which expectation.
    differences : tuple of str
        Why variances of REML are others.
    """

    stays: Callable[[VarianceLayout, bool], Array]
    differences: tuple[str, ...] = ()


CONVENTIONS: dict[str, Convention] = {
    "unrestricted": Convention(_unrestricted),
    "restricted": Convention(
        _restriction,
        (
            "The restricted convention gives the variance of a random factor another meaning: its effects averaged "
            "over the levels of the fixed factor. REML has the unrestricted one.",
        ),
    ),
}


def expected_mean_squares(layout: VarianceLayout, convention: Convention) -> Expected:
    """Return mean squares and expectations.

    Raises
    ------
    SpecificationError, DataError
        If a term cannot be separated from those before it, if nothing is left for the residual, or if the restricted
        convention is asked for a design that is not balanced.
    """
    projectors = increments([term.space for term in layout.terms], layout.n)
    _check_ranks(layout, projectors)
    df = np.array([projector.rank for projector in projectors], dtype=float)
    residual_df = layout.n - 1 - df.sum()
    random = layout.partitions
    overlaps = np.array([[projector.overlap(grouping) for grouping in random] for projector in projectors])
    C = np.vstack([np.column_stack([overlaps / df[:, None], np.ones(len(df))]), np.append(np.zeros(len(random)), 1.0)])
    C[np.abs(C) < NEGLIGIBLE * np.abs(C).max()] = 0.0
    balanced = _is_balanced(layout, projectors, overlaps, df)
    C[:-1, :-1] *= convention.stays(layout, balanced)
    return Expected(
        (*(term.label for term in layout.terms), RESIDUAL),
        np.array([*(term.random for term in layout.terms), True], dtype=float),
        np.append(df, residual_df),
        _sums_of_squares(layout, projectors),
        C,
        (*(_contributing(layout, place, projector) for place, projector in enumerate(projectors)), ()),
        balanced,
    )


def _check_ranks(layout: VarianceLayout, projectors: list[Projector]) -> None:
    for term, projector in zip(layout.terms, projectors):
        if projector.rank == 0:
            raise DataError(
                f"the term {term.label} adds nothing to those before it: its variance cannot be separated from theirs; "
                "leave it out"
            )
    if layout.n - 1 <= sum(projector.rank for projector in projectors):
        raise DataError(
            f"the term {layout.terms[-1].label} takes up all degrees of freedom: without replication it is the "
            "residual; leave it out"
        )


def _sums_of_squares(layout: VarianceLayout, projectors: list[Projector]) -> Array:
    residual, out = layout.y[:, None], []
    for projector in projectors:
        part = projector.apply(residual)
        out.append(float(np.sum(part**2)))
        residual = residual - part
    return np.array([*out, float(np.sum(residual**2))])


def _is_balanced(layout: VarianceLayout, projectors: list[Projector], overlaps: Array, df: Array) -> bool:
    """Say whether every increment is an eigenspace of every ``Z_b Z_b'``."""
    if not all(isinstance(projector, Averages) for projector in projectors):
        return False
    if not all(grouping.is_balanced for grouping in layout.partitions):
        return False
    sizes = np.array([grouping.counts[0] for grouping in layout.partitions])
    share = overlaps / (sizes * df[:, None])
    return bool(np.all((np.abs(share) < NEGLIGIBLE) | (np.abs(share - 1.0) < NEGLIGIBLE)))


def _contributing(layout: VarianceLayout, place: int, projector: Projector) -> tuple[str, ...]:
    """Labels of the fixed terms whose effects are in the space of an increment."""
    out = []
    for term in layout.terms[place:]:
        if term.random:
            break
        space = term.space
        inside = projector.overlap(space) if isinstance(space, Grouping) else float(np.sum(projector.apply(space) ** 2))
        total = float(len(layout.y)) if isinstance(space, Grouping) else float(np.sum(space**2))
        if inside > NEGLIGIBLE * total:
            out.append(term.label)
    return tuple(out)
