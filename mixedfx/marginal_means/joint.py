"""Tests of several rows of a table at once: main effects and interactions of the factors that label them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._typing import Array, IntArray
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.wald import JointTest
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.grid import Nesting, crowds, nesting_notes
from mixedfx.marginal_means.labels import split_by

__all__ = ["joint_table", "term_table"]


@dataclass(frozen=True, eq=False)
class FactorialCells:
    """The cells of a table that has all combinations of levels, but for those that nesting rules out.

    Attributes
    ----------
    codes : dict of (m,)
        Level of each cell, by factor, of the factors with more than one.
    nesting : dict of tuple of str
        For each nested factor those of them that contain it.
    """

    codes: Mapping[str, IntArray]
    nesting: Nesting

    @staticmethod
    def of(labels: pd.DataFrame, names: Sequence[str], nesting: Nesting) -> FactorialCells:
        """Return the cells of a table with the columns ``names``.

        Raises
        ------
        SpecificationError
            If rows are missing or occur twice.
        """
        every = {name: pd.factorize(labels[name])[0].astype(np.intp) for name in names}
        codes = {name: levels for name, levels in every.items() if levels.max(initial=0) > 0}
        active = {name: tuple(outer for outer in nesting.get(name, ()) if outer in codes) for name in codes}
        cells = FactorialCells(codes, {name: outers for name, outers in active.items() if outers})
        whole = np.column_stack([np.zeros(len(labels), dtype=np.intp), *codes.values()])
        if len(np.unique(whole, axis=0)) < len(labels) or not np.isclose(cells.weights(()).sum(), 1.0):
            raise SpecificationError(
                f"the rows are not all combinations of the levels of {', '.join(names)}: ask for contrasts of single "
                "rows, or hold a factor with by="
            )
        return cells

    def terms(self) -> list[tuple[str, ...]]:
        """Return the sets of factors that have effects; a nested factor always comes with those that contain it."""
        names = list(self.codes)
        every = [term for size in range(1, len(names) + 1) for term in combinations(names, size)]
        return [term for term in every if all(set(self.nesting.get(name, ())) <= set(term) for name in term)]

    def weights(self, term: Sequence[str]) -> Array:
        """Return the weight (m,) of each cell in means over the factors outside of ``term``."""
        out = np.ones(len(next(iter(self.codes.values()), np.zeros(1))))
        for name, levels in self.codes.items():
            if name not in term:
                outers = [self.codes[outer] for outer in self.nesting.get(name, ())]
                out /= crowds(levels, outers or [np.zeros_like(levels)])
        return out

    def effects(self, term: Sequence[str]) -> Array:
        """Return a basis (r, m) of the effects of a term: differences within the levels of factors that contain others.

        Each level is compared with the first one in its combination of the containing factors.
        """
        around = {outer for name in term for outer in self.nesting.get(name, ())}
        compared = [j for j, name in enumerate(term) if name not in around]
        levels = np.unique(np.column_stack([self.codes[name] for name in term]), axis=0)
        base = levels.copy()
        for j in compared:
            base[:, j] = _first(levels, j, [term.index(outer) for outer in self.nesting.get(term[j], ())])
        rows = np.flatnonzero((levels[:, compared] != base[:, compared]).all(axis=1))
        out = np.broadcast_to(self.weights(term), (len(rows), len(self.codes[term[0]]))).copy()
        for j, name in enumerate(term):
            codes = self.codes[name]
            is_here = (codes == levels[rows, j][:, None]).astype(float)
            out *= is_here - (codes == base[rows, j][:, None]) if j in compared else is_here
        return out


def _first(levels: IntArray, column: int, outer: Sequence[int]) -> IntArray:
    """Return for each row the first level in ``column`` among rows with the same levels in the columns ``outer``."""
    _, home = np.unique(levels[:, list(outer)], axis=0, return_inverse=True)
    first = np.full(int(home.max()) + 1, levels[:, column].max())
    np.minimum.at(first, home.ravel(), levels[:, column])
    return np.asarray(first[home.ravel()])


def joint_table(functions: Functions, labels: pd.DataFrame, by: tuple[str, ...], null: float) -> StatsTable:
    """Return the test that all rows of each family, a combination of the columns ``by``, are ``null``."""
    groups = split_by(labels, by)
    tests = [functions.taken(group).joint(null) for group in groups]
    families = labels.iloc[[group[0] for group in groups]][list(by)].reset_index(drop=True)
    return _table(functions, tests, families, [f"Tested: all are {null:g}."] if null else [])


def term_table(functions: Functions, labels: pd.DataFrame, by: tuple[str, ...], nesting: Nesting) -> StatsTable:
    """Return the tests of all main effects and interactions within each combination of the columns ``by``.

    A nested factor has no effect of its own: it is tested together with, and within, the factors that contain it.
    """
    names = [name for name in labels.columns if name not in by]
    tests, terms, partial = [], [], []
    for group in split_by(labels, by):
        rows, family = labels.iloc[group].reset_index(drop=True), functions.taken(group)
        cells = FactorialCells.of(rows, names, nesting)
        size = np.abs(family.rows).max(axis=0)
        for term in cells.terms():
            effects = family.combined(cells.effects(term)).without_rounding(size)
            if not len(effects.values):  # the model has no such term
                continue
            test = effects.joint()
            tests.append(test)
            terms.append({"term": ":".join(term), **{name: rows[name].iloc[0] for name in by}})
            if test.df_num < np.linalg.matrix_rank(effects.rows):
                partial.append(":".join(term))
    part = f"Only a part can be estimated (empty cells) of: {', '.join(dict.fromkeys(partial))}."
    last = [*(nesting_notes(nesting) if terms else ()), *([part] if partial else [])]
    return _table(functions, tests, pd.DataFrame(terms), [], last)


def _table(
    functions: Functions,
    tests: Sequence[JointTest],
    labels: pd.DataFrame,
    first: Sequence[str],
    last: Sequence[str] = (),
) -> StatsTable:
    """Return a table with ``labels`` as its stubs, and notes before and after that on degrees of freedom."""
    columns: dict[str, list[Any]]
    if use_f := any(test.use_f and test.df_num for test in tests):
        columns = {
            "den_df": [test.df_denom for test in tests],
            "F": [test.fvalue for test in tests],
            "PR(>F)": [test.pvalue for test in tests],
        }
    else:
        columns = {"chi2": [test.wald for test in tests], "PR(>chi2)": [test.pvalue for test in tests]}
    stubs = labels.set_index(list(labels.columns)) if labels.shape[1] else labels
    frame = stubs.assign(df=[float(test.df_num) for test in tests], **columns)
    source = functions.of
    method = [f"Denominator degrees of freedom by {source.denominator.labels}."] if use_f else []
    return StatsTable.from_frame(frame, heading="Joint tests", notes=[*source.notes, *first, *method, *last])
