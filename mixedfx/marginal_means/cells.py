"""The cells of a table of means, and the contrasts of them that are main effects and interactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.nesting import Nesting, crowds

__all__ = ["Cells"]


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a table that has them all, but for those that nesting rules out.

    Attributes
    ----------
    codes : dict of (m,)
        Level of each cell, by factor, of the factors with more than one.
    nesting : dict of tuple of str
        Those of them that contain each nested one.
    """

    codes: Mapping[str, IntArray]
    nesting: Nesting

    @staticmethod
    def of(labels: pd.DataFrame, names: Sequence[str], nesting: Nesting) -> Cells:
        """Return the cells of a table with the columns ``names``.

        Raises
        ------
        SpecificationError
            If rows are missing or occur twice.
        """
        codes = {name: pd.factorize(labels[name])[0].astype(np.intp) for name in names}
        codes = {name: own for name, own in codes.items() if own.max(initial=0) > 0}
        active = {name: tuple(outer for outer in nesting.get(name, ()) if outer in codes) for name in codes}
        cells = Cells(codes, {name: outers for name, outers in active.items() if outers})
        whole = np.column_stack([np.zeros(len(labels), dtype=np.intp), *codes.values()])
        if len(np.unique(whole, axis=0)) < len(labels) or not np.isclose(cells.weights(()).sum(), 1.0):
            raise SpecificationError(
                f"the rows are not all combinations of the levels of {', '.join(names)}: ask for contrasts of single "
                "rows, or hold a factor with by="
            )
        return cells

    def terms(self) -> list[tuple[str, ...]]:
        """Return the sets of factors that have effects: with a nested factor always those that contain it."""
        names = list(self.codes)
        every = [term for size in range(1, len(names) + 1) for term in combinations(names, size)]
        return [term for term in every if all(set(self.nesting.get(name, ())) <= set(term) for name in term)]

    def weights(self, term: Sequence[str]) -> Array:
        """Return the weight (m,) of each cell in means over the factors outside of ``term``."""
        out = np.ones(len(next(iter(self.codes.values()), np.zeros(1))))
        for name, own in self.codes.items():
            if name not in term:
                outers = [self.codes[outer] for outer in self.nesting.get(name, ())]
                out /= crowds(own, outers or [np.zeros_like(own)])
        return out

    def effects(self, term: Sequence[str]) -> Array:
        """Return a basis (r, m) of the effects of a term: differences within the levels of factors that contain others.

        Each level is compared with the first one that there is beside it.
        """
        around = {outer for name in term for outer in self.nesting.get(name, ())}
        levels = np.unique(np.column_stack([self.codes[name] for name in term]), axis=0)
        base = levels.copy()
        for j, name in enumerate(term):
            if name not in around:
                base[:, j] = _first(levels, j, [term.index(outer) for outer in self.nesting.get(name, ())])
        compared = [j for j, name in enumerate(term) if name not in around]
        rows = np.flatnonzero((levels[:, compared] != base[:, compared]).all(axis=1))
        out = np.broadcast_to(self.weights(term), (len(rows), len(self.codes[term[0]]))).copy()
        for j, name in enumerate(term):
            own = self.codes[name]
            out *= (own == levels[rows, j][:, None]).astype(float) - (
                (own == base[rows, j][:, None]) if j in compared else 0.0
            )
        return out


def _first(levels: IntArray, column: int, outer: Sequence[int]) -> IntArray:
    """Return for each row the first level in ``column`` among the rows with the same levels in ``outer``."""
    _, home = np.unique(levels[:, list(outer)], axis=0, return_inverse=True)
    first = np.full(int(home.max()) + 1, levels[:, column].max())
    np.minimum.at(first, home.ravel(), levels[:, column])
    return np.asarray(first[home.ravel()])
