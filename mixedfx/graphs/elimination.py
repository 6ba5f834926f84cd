"""What the moral graph of the random effects says of the equations: fill, cost, and what falls apart given the data.

Two effects are neighbours if a row has both: that is the pattern of ``Z'WZ + G^-1``. Factorising it eliminates one
effect after the other and joins its neighbours. Factors that are nested in each other need no new edges; crossed ones
do. The order is that of :mod:`mixedfx.linalg.layout`, and the counts are made before there is any number.

References
----------
George & Liu (1981), Computer Solution of Large Sparse Positive Definite Systems; Lauritzen (1996), Graphical Models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._display import StatsTable, Summary
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import AnyArray, IntArray
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.criterion.problem import is_solved_by_iteration
from mixedfx.linalg.layout import Layout
from mixedfx.models.base import MixedModel, checked_control

__all__ = ["Elimination", "components_of", "elimination_of"]


@hinting_methods
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
        nonzeros=_nonzeros(layout) if len(model.design.grouped) == len(model.design.random) else _pattern(model),
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


def _pattern(model: MixedModel[Any]) -> int:
    """The same by the pattern of ``Z'Z``, where a row has a part of several levels."""
    blocks = []
    for term in model.design.random:
        n, q = term.matrix.shape
        there = term.matrix != 0.0 if term.pooled is not None else np.ones((n, q), dtype=bool)
        rows, columns = np.nonzero(there)
        at = (rows, term.codes[rows] * q + columns)
        blocks.append(sp.csr_array((np.ones(rows.size), at), shape=(n, term.n_levels * q)))
    z = sp.csr_array(sp.hstack(blocks))
    return (int(sp.csr_array(z.T @ z + sp.eye_array(z.shape[1])).nnz) + z.shape[1]) // 2


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
@dataclass(frozen=True)
class _Levels:
    """Levels that are alike: which row has which, how many effects each has, and which are correlated a priori."""

    name: str
    levels: AnyArray
    rows: IntArray
    codes: IntArray
    width: int
    related: tuple[IntArray, IntArray]


def components_of(model: MixedModel[Any]) -> pd.DataFrame:
    """Return what is independent given the data and the parameters, one row a component."""
    from scipy.sparse.csgraph import connected_components

    n, every = len(model.design.index), list(_levels(model))
    residual = model.bound_residual
    joint = None if residual is None else residual.groups
    starts = n + np.concatenate([[0], np.cumsum([len(one.levels) for one in every], dtype=np.intp)])
    tails = [one.rows for one in every] + [one.related[0] + start for one, start in zip(every, starts)]
    heads = [one.codes + start for one, start in zip(every, starts)]
    heads += [one.related[1] + start for one, start in zip(every, starts)]
    if joint is not None:  # rows of a group with the first of them
        first = np.unique(joint, return_index=True)[1]
        tails, heads = [*tails, np.arange(n)], [*heads, first[joint]]
    ends = (np.concatenate([*tails, []]).astype(np.intp), np.concatenate([*heads, []]).astype(np.intp))
    size = int(starts[-1])
    joined = sp.coo_array((np.ones(len(ends[0])), ends), shape=(size, size))
    label = connected_components(joined, directed=False)[1].astype(np.intp)
    return _component_table(label, n, every, starts)


def _levels(model: MixedModel[Any]) -> Iterator[_Levels]:
    """The levels of every grouping factor; a smooth is one, and rows of ``mm(a, b)`` have several."""
    random = model.design.random
    for group in dict.fromkeys(term.group for term in random):
        terms = [term for term in random if term.group == group]
        one, width = terms[0], sum(term.n_columns for term in terms)
        rows, codes = np.arange(len(one.codes)), one.codes
        levels = one.levels
        if one.pooled is not None and not one.is_smooth:
            rows, codes = np.nonzero(one.matrix)
            levels, width = one.shown_levels, 1
        pairs = [np.nonzero(t.loading @ t.loading.T) for t in terms if t.loading is not None]
        related = np.concatenate([np.empty((2, 0), dtype=np.intp), *map(np.asarray, pairs)], axis=1)
        yield _Levels(group, np.asarray(levels), rows, codes, width, (related[0], related[1]))


def _component_table(label: IntArray, n: int, every: Sequence[_Levels], starts: IntArray) -> pd.DataFrame:
    _, first = np.unique(label, return_index=True)
    number = np.argsort(np.argsort(first))[label]
    count = int(number.max(initial=-1)) + 1
    dimension = np.zeros(count, dtype=np.intp)
    columns: dict[str, Any] = {"rows": np.bincount(number[:n], minlength=count), "effects": dimension}
    for one, start in zip(every, starts):
        own = number[start : start + len(one.levels)]
        dimension += one.width * np.bincount(own, minlength=count)
        order = np.argsort(own, kind="stable")
        parts = np.split(one.levels[order], np.searchsorted(own[order], np.arange(1, count)))
        columns[one.name] = [tuple(part) for part in parts]
    return pd.DataFrame(columns, index=pd.RangeIndex(1, count + 1, name="component"))
