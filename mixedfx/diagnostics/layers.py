"""Layers of nested factors: what the structure says of their variances, and whether the likelihood tells them apart.

A layer is a grouping factor within the next coarser one that is in the model. Its variance is seen in the differences
between levels that share a parent: without any, it adds to the covariance of the response what its parent adds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._typing import Array, IntArray
from mixedfx.inference.profiled import HeldProfile, profiles
from mixedfx.matrices import Design, RandomEffects, nested_in
from mixedfx.results.base import MixedResults

__all__ = ["Layer", "flat_layers", "layer_remarks", "layer_table", "layers_of", "single_outcomes", "spare_rows"]

FEW_CONTRASTS = 5  # degrees of freedom below which a variance is hardly known
RANK = 1e-9  # singular value, relative to the largest, of columns that depend on others
FLAT = 3.84  # rise of -2 log L that a 95 % interval allows
BETTER = 1e-3  # fall of -2 log L along a profile that only another maximum explains
UNDOUBTED = 12.0  # standard errors of a deviation from zero that need no profile, however curved
TOLD = 1.5  # standard errors of the sum of both variances from zero, below which there is nothing to exchange


@dataclass(frozen=True)
class Layer:
    """A grouping factor and the next coarser ones that it lies within.

    Attributes
    ----------
    child, parent : str
        Their names; ``parent`` is empty for a factor that lies within no other.
    children : (parents,)
        Levels of the child within each level of the parent.
    contrasts : int
        Degrees of freedom between children of one parent, beside the fixed effects that are constant within children.
    """

    child: str
    parent: str
    children: IntArray
    contrasts: int

    @property
    def several(self) -> int:
        """Number of parents with more than one child."""
        return int(np.sum(self.children > 1))


def layers_of(design: Design) -> list[Layer]:
    """Return the layers of a design, coarse ones first."""
    return [_layer(design, child, parent) for child, parent in _pairs(design)]


def _pairs(design: Design) -> Iterator[tuple[RandomEffects, RandomEffects | None]]:
    """Every grouping factor with each of the next coarser ones that it lies within, or with none."""
    groups = {term.group: term for term in design.grouped}
    terms = sorted(groups.values(), key=lambda term: term.n_levels)
    for i, term in enumerate(terms):
        around = [other for other in terms[:i] if nested_in(term.codes, other.codes)]
        nearest = [a for a in around if not any(b is not a and _is_between(a, b, terms) for b in around)]
        parents: list[RandomEffects | None] = [*nearest] or [None]
        yield from ((term, parent) for parent in parents)


def _is_between(outer: RandomEffects, inner: RandomEffects, terms: list[RandomEffects]) -> bool:
    """Whether ``inner`` lies within ``outer``; of equal groupings the later one does."""
    within = nested_in(inner.codes, outer.codes)
    return within and (not nested_in(outer.codes, inner.codes) or terms.index(inner) > terms.index(outer))


def _layer(design: Design, child: RandomEffects, parent: RandomEffects | None) -> Layer:
    home, count = np.zeros(child.n_levels, dtype=np.intp), 1
    if parent is not None:
        home[child.codes], count = parent.codes, parent.n_levels
    children = np.bincount(home, minlength=count)
    free = child.n_levels - (0 if parent is None else count)
    return Layer(
        child.group,
        "" if parent is None else parent.group,
        children,
        free - _rank(_between_children(design.fixed.matrix, child, home if parent is not None else None)),
    )


def _between_children(X: Array, child: RandomEffects, home: IntArray | None) -> Array:
    """The columns that are constant within children, one row a child, beside the means of their parents."""
    row = np.zeros(child.n_levels, dtype=np.intp)
    row[child.codes] = np.arange(len(child.codes))
    constant = np.array([np.array_equal(column[row][child.codes], column) for column in X.T], dtype=bool)
    values = X[np.ix_(row, constant)]
    if home is None:
        return np.asarray(values)
    counts = np.bincount(home)
    means = np.column_stack(
        [np.bincount(home, weights=column) / counts for column in values.T] or [np.zeros((len(counts), 0))]
    )
    return np.asarray(values - means[home])


def _rank(columns: Array) -> int:
    if columns.size == 0:
        return 0
    size = np.linalg.norm(columns, axis=0)
    values = np.linalg.svd(columns[:, size > 0] / size[size > 0], compute_uv=False)
    return int(np.sum(values > RANK * max(float(values.max(initial=0.0)), 1e-300)))


# ------------------------------------------------------------------ before a fit
def layer_table(layers: list[Layer]) -> StatsTable:
    """Return the layers that lie within others: children per parent, and what is left to compare."""
    nested = [layer for layer in layers if layer.parent]
    index = pd.MultiIndex.from_tuples([(x.child, x.parent) for x in nested], names=["layer", "within"])
    rows = [
        (int(x.children.min()), float(np.median(x.children)), int(x.children.max()), x.several, max(x.contrasts, 0))
        for x in nested
    ]
    columns = ["fewest levels", "median", "most", "with several", "df"]
    return StatsTable.from_frame(pd.DataFrame(rows, index=index, columns=columns), heading="Layers")


def layer_remarks(layers: list[Layer]) -> Iterator[str]:
    """Layers whose variance few comparisons tell from that of the layer above."""
    for layer in layers:
        if not layer.parent or layer.several == 0 or layer.contrasts >= FEW_CONTRASTS:
            continue
        if layer.contrasts > 0:
            some = f"{layer.several} of {layer.children.size} levels of {layer.parent} have several of {layer.child}"
            count = (
                "1 degree of freedom tells" if layer.contrasts == 1 else f"{layer.contrasts} degrees of freedom tell"
            )
            yield f"{some}: {count} the variance of {layer.child} from that of {layer.parent}"
        else:
            yield (
                f"the fixed effects take all differences between levels of {layer.child} within {layer.parent}: only "
                "unequal numbers of levels tell its variance"
            )


def spare_rows(design: Design) -> Iterator[str]:
    """Grouping factors whose levels are nearly the rows: little tells their variance from that of the residuals."""
    n = len(design.index)
    for group, count in {term.group: term.n_levels for term in design.grouped}.items():
        if 0 < n - count < FEW_CONTRASTS:
            yield (
                f"{group} has {count} levels for {n} rows: what the rows have beyond them ({n - count}) tells the "
                f"residual variance from that of {group}"
            )


def single_outcomes(design: Design) -> list[str]:
    """Layers of which every level has a single outcome of two, or of ordered categories, whose scale is the link's."""
    return [
        f"every level of {term.group} has a single row, and a single outcome has no variance beside its mean: the "
        f"variance by {term.group} only rescales the coefficients; leave {term.term} out"
        for term in design.grouped
        if term.n_levels == len(term.codes) and term.loading is None
    ]


# ------------------------------------------------------------------ after a fit
@dataclass(frozen=True)
class Exchange:
    """Two neighbouring layers, in words, whose variances can be exchanged for each other.

    Attributes
    ----------
    one, other : str
    rise, fall : float
        By how much -2 log L rises at the most when either has nothing, and falls: more than a little if the fit is not
        the highest maximum.
    """

    one: str
    other: str
    rise: float
    fall: float

    @property
    def is_better(self) -> bool:
        """Whether there is a better fit along the profile."""
        return self.fall > BETTER


def flat_layers(fit: MixedResults) -> Iterator[Exchange]:
    """Yield the layers whose profile is flat, or leads to a better fit.

    The profiles of two neighbours are followed to where one of them has nothing and to where the other has. They are
    flat if all that is within a 95 % interval. The sum of both must be told from zero, or there is nothing to exchange.
    """
    solution = fit.solution
    pairs = [] if solution.unprofilable else list(_neighbours(fit))
    if not pairs:
        return
    found, best = profiles(solution), solution.likelihood.value
    for one, other in pairs:
        if one in found and other in found and _is_told(fit, one, other):
            ends = [value - best for value in _ends(found[one], found[other])]
            exchange = Exchange(_words(one), _words(other), max(0.0, *ends), max(0.0, *(-end for end in ends)))
            if exchange.rise < FLAT or exchange.is_better:
                yield exchange


def _neighbours(fit: MixedResults) -> Iterator[tuple[str, str]]:
    """Names of the deviations of the same coefficient in neighbouring layers."""
    terms = [term for term in fit.design.random if term.loading is None]
    for child, parent in _pairs(fit.design) if len(terms) > 1 else ():
        inner = [name for term in terms if term.group == child.group for name in term.names]
        outer = [name for term in terms if parent is not None and term.group == parent.group for name in term.names]
        for name in inner:
            if parent is not None and name in outer:
                yield f"sd_{name}|{child.group}", f"sd_{name}|{parent.group}"


def _is_told(fit: MixedResults, one: str, other: str) -> bool:
    """Whether the sum of two variances is clearly more than zero."""
    around = fit.solution.likelihood
    total, slope = 0.0, np.zeros(around.phi.size)
    for number in fit.solution.reported:
        if number.name in (one, other) and number.quantity is not None:
            value = number.quantity.value(around.phi)
            total += value**2
            slope = slope + 2.0 * value * number.quantity.gradient(around.phi)
    used = slope != 0.0
    error = float(slope[used] @ around.covariance[np.ix_(used, used)] @ slope[used])
    return bool(np.isfinite(error) and total > TOLD * np.sqrt(max(error, 0.0)))


def _ends(one: HeldProfile, other: HeldProfile) -> Iterator[float]:
    """Minima of -2 log L where one has nothing, all that both have, and where the other has nothing.

    Infinite where it need not be computed, as a deviation is many standard errors from zero, or cannot be.
    """
    both = min(one.estimate, other.estimate) > 0.0  # beside a variance of zero, standard errors are those of the sum
    if both and max(one.estimate / one.se, other.estimate / other.se) > UNDOUBTED:
        yield np.inf
        return
    for profile, value in ((one, 0.0), (other, 0.0), (one, float(np.hypot(one.estimate, other.estimate)))):
        held = profile.hold(value, profile.start)
        yield held.value if held.converged else np.inf
        if not held.converged:
            return


def _words(name: str) -> str:
    column, _, group = name.removeprefix("sd_").partition("|")
    return f"the variance of {column} by {group}"
