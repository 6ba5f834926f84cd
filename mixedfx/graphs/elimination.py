"""What the moral graph of the random effects says of the equations: fill, cost, and what falls apart given the data.

Two effects are neighbours if a row has both: that is the pattern of ``Z'WZ + G^-1``. Factorising it eliminates one
effect after the other and joins its neighbours. Factors that are nested in each other need no new edges; crossed ones
do. The order is that of :mod:`mixedfx.linalg.layout`, and the counts are made before there is any number.

References
----------
George & Liu (1981), Computer Solution of Large Sparse Positive Definite Systems; Lauritzen (1996), Graphical Models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._display import StatsTable, Summary
from mixedfx._typing import IntArray
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.criterion.problem import is_solved_by_iteration
from mixedfx.linalg.layout import Layout
from mixedfx.models.base import MixedModel, checked_control

if TYPE_CHECKING:
    from mixedfx.matrices import RandomEffects

__all__ = ["Elimination", "components_of", "elimination_of"]


@dataclass(frozen=True)
class Elimination:
    """How the equations of a model's random effects will be factorised; made by ``Graph.elimination``.

    Attributes
    ----------
    order : tuple of str
        Grouping factors that are eliminated level by level, the largest first: they are nested in each other.
    remainder : tuple of str
        The others, which are eliminated after them.
    effects : int
        Number of random effects.
    nonzeros : int
        Entries of the lower triangle of ``Z'WZ + G^-1``: effects, and pairs of them that some row has both of.
    factor : int
        Entries of its Cholesky factor in this order. What is left when eliminating in turn no longer pays is
        factorised as a whole, and counted so.
    multiplications : int
        That one factorisation takes.
    stored : int
        Numbers that the engine keeps of the factor; small blocks are kept whole, the zeros among them too.
    iterative : bool
        Whether the remainder will be solved by iteration, without a factor: ``factor`` is what it would have had.
    """

    order: tuple[str, ...]
    remainder: tuple[str, ...]
    effects: int
    nonzeros: int
    factor: int
    multiplications: int
    stored: int
    iterative: bool

    @property
    def fill(self) -> int:
        """Entries that the elimination adds."""
        return self.factor - self.nonzeros

    def to_frame(self) -> pd.DataFrame:
        """Return the counts, one row each."""
        names = ("effects", "nonzeros", "factor", "fill", "multiplications", "stored")
        return pd.DataFrame({"count": [getattr(self, name) for name in names]}, index=pd.Index(names, name="what"))

    def summary(self) -> Summary:
        """Return the counts with what they mean."""
        table = StatsTable.from_frame(self.to_frame().astype(str), heading="Equations of the random effects")
        return Summary(table.summary().blocks, title="Elimination", notes=tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        if self.order:
            yield f"Level by level: {', '.join(self.order)}" + (
                f"; then {', '.join(self.remainder)}" * bool(self.remainder)
            )
        if not self.fill:
            yield "Nothing fills in: the cost grows with the number of levels."
        if self.remainder:
            how = "is solved by iteration, without a factor" if self.iterative else "is factorised"
            yield f"What is crossed ({', '.join(self.remainder)}) {how}."

    def __str__(self) -> str:
        return self.summary().as_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def elimination_of(model: MixedModel[Any], control: Any = None) -> Elimination:
    """Return how the equations of a model will be factorised under the settings ``control``."""
    settings = checked_control(control)
    layout, names = _layout(model)
    iterative = is_solved_by_iteration(layout, settings.most_exact, independent=model.residual is None)
    degrees = list(_degrees(layout))
    effects = sum(levels * size for levels, size in zip(layout.levels, layout.sizes, strict=True))
    return Elimination(
        order=tuple(names[f] for f in layout.chain),
        remainder=tuple(names[f] for f in layout.remainder),
        effects=effects,
        nonzeros=_nonzeros(layout),
        factor=effects + sum(int(d.sum()) for d in degrees),
        multiplications=sum(int((d * (d + 1) // 2).sum()) for d in degrees),
        stored=_stored(layout),
        iterative=iterative,
    )


def _layout(model: MixedModel[Any]) -> tuple[Layout, list[str]]:
    """The order of elimination and the names of the factors in it."""
    random = model.design.random
    terms = [TermRows(t.group, t.codes, t.n_levels, t.matrix.T, t.covariance, t.loading) for t in random]
    assembly = assemble(terms, np.empty((len(model.design.index), 0)))
    names = [""] * assembly.rows.layout.n_factors
    for term, (factor, _) in zip(random, assembly.places, strict=True):
        names[factor] = term.group
    return assembly.rows.layout, names


# ------------------------------------------------------------------ counts
def _degrees(layout: Layout) -> Iterator[IntArray]:
    """For every effect, in parts, how many others are its neighbours when it is eliminated."""
    for f in layout.chain:
        later = sum(layout.sizes[g] for g in range(f + 1, layout.n_chain))
        meets = _crossings(layout, f) + later
        for a in range(layout.sizes[f]):
            yield meets + layout.sizes[f] - 1 - a
    if layout.plan is None:
        yield np.arange(layout.n_remainder)
        return
    for stage in layout.plan.rounds:
        yield np.diff(stage.starts)
    yield np.arange(layout.plan.core.size)


def _crossings(layout: Layout, f: int) -> IntArray:
    """Effects of the remainder (m,) that each level of a factor of the chain meets; those of correlated levels all."""
    total = np.zeros(layout.levels[f], dtype=np.intp)
    for r in layout.remainder:
        if layout.correlated[r]:
            total += layout.levels[r] * layout.sizes[r]
        else:
            pairs, _ = layout.meetings[f, r]
            total += np.diff(pairs.starts) * layout.sizes[r]
    return total


def _nonzeros(layout: Layout) -> int:
    """Entries of the lower triangle before anything is eliminated."""
    total = 0
    for f in range(layout.n_factors):
        size = layout.sizes[f]
        own = layout.levels[f] * size
        total += own * (own + 1) // 2 if layout.correlated[f] else own * (size + 1) // 2
    for f in layout.chain:
        total += sum(layout.levels[f] * layout.sizes[f] * layout.sizes[g] for g in range(f + 1, layout.n_chain))
        total += int(_crossings(layout, f).sum()) * layout.sizes[f]
    for i, r in enumerate(layout.remainder):
        for s in list(layout.remainder)[:i]:
            if layout.correlated[r] or layout.correlated[s]:
                pairs = layout.levels[r] * layout.levels[s]
            else:
                pairs = int(layout.meetings[s, r][0].starts[-1])
            total += pairs * layout.sizes[r] * layout.sizes[s]
    return total


def _stored(layout: Layout) -> int:
    """Numbers that the engine keeps."""
    total = 0
    for f in layout.chain:
        size, m = layout.sizes[f], layout.levels[f]
        total += size * size * m + sum(size * layout.sizes[g] * m for g in range(f + 1, layout.n_chain))
        if layout.n_remainder:
            dense = layout.dense_cross[f] or any(layout.correlated)
            total += size * (m * layout.n_remainder if dense else layout.patterns[f].rows.size)
    return total + (layout.square.n_cells if layout.n_remainder else 0)


# ------------------------------------------------------------------ components
def components_of(model: MixedModel[Any]) -> pd.DataFrame:
    """Return what is independent given the data and the parameters, one row a component."""
    from scipy.sparse.csgraph import connected_components

    design, n = model.design, len(model.design.index)
    groups = {term.group: term for term in design.random}
    residual = model.bound_residual
    codes = [term.codes for term in groups.values()]
    sizes = [term.n_levels for term in groups.values()]
    if residual is not None and residual.groups is not None:
        codes, sizes = [*codes, residual.groups], [*sizes, int(residual.groups.max()) + 1]
    starts = n + np.concatenate([[0], np.cumsum(sizes, dtype=np.intp)])
    tails = [np.arange(n)] * len(codes)
    heads = [own + start for own, start in zip(codes, starts)]
    for term, start in zip(groups.values(), starts):
        for one, other in _related(design.random, term.group):
            tails.append(one + start)
            heads.append(other + start)
    ends = (np.concatenate([*tails, []]).astype(np.intp), np.concatenate([*heads, []]).astype(np.intp))
    size = int(starts[-1])
    joined = sp.coo_array((np.ones(len(ends[0])), ends), shape=(size, size))
    _, label = connected_components(joined, directed=False)
    return _component_table(label.astype(np.intp), n, groups, starts, design.random)


def _related(random: tuple[RandomEffects, ...], group: str) -> Iterator[tuple[IntArray, IntArray]]:
    """Pairs of levels of a factor that are correlated a priori."""
    for term in random:
        if term.group == group and term.loading is not None:
            one, other = np.nonzero(term.loading @ term.loading.T)
            yield one, other


def _component_table(
    label: IntArray, n: int, groups: dict[str, RandomEffects], starts: IntArray, random: tuple[RandomEffects, ...]
) -> pd.DataFrame:
    _, first = np.unique(label, return_index=True)
    rank = np.argsort(np.argsort(first))
    number = rank[label]
    count = int(number.max(initial=-1)) + 1
    dimension = np.zeros(count, dtype=np.intp)
    columns: dict[str, Any] = {"rows": np.bincount(number[:n], minlength=count), "effects": dimension}
    for (name, term), start in zip(groups.items(), starts):
        own = number[start : start + term.n_levels]
        width = sum(t.n_columns for t in random if t.group == name)
        dimension += width * np.bincount(own, minlength=count)
        order = np.argsort(own, kind="stable")
        parts = np.split(np.asarray(term.levels)[order], np.searchsorted(own[order], np.arange(1, count)))
        columns[name] = [tuple(part) for part in parts]
    return pd.DataFrame(columns, index=pd.RangeIndex(1, count + 1, name="component"))
