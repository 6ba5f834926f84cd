"""Sums over rows as users have them: made from any source, added, updated, saved, and fitted without the rows."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_whole
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import Formula
from mixedfx.matrices import Design
from mixedfx.matrices.frame import Frame
from mixedfx.scale.design import Building
from mixedfx.scale.recipe import Recipe, make_recipe
from mixedfx.scale.sources import Source, as_source
from mixedfx.scale.sums import Sums, in_units_of

__all__ = ["CrossProducts", "cross_products", "recipe_of"]

SHOWN = 3  # small cells that a message names


@hinting_methods
class CrossProducts:
    """Sums over rows, of everything that a linear mixed model needs: cross-products by cells of labels.

    Made by :func:`mixedfx.cross_products`; ``a + b`` are the sums over the rows of both, ``lmer(None, stats)`` fits.

    Attributes
    ----------
    recipe : Recipe
        What is summed.
    sums : Sums
        The sums.
    min_cell : int or None
        Fewest rows that a cell may have.
    """

    are_sums_over_rows = True

    def __init__(self, recipe: Recipe, sums: Sums, min_cell: int | None = None) -> None:
        self.recipe, self.sums, self.min_cell = recipe, sums, min_cell
        _check_cells(recipe, sums, min_cell)

    # ---------------------------------------------------------------- what they are
    @property
    def formula(self) -> Formula:
        """The formula whose sums these are."""
        return self.recipe.formula

    @property
    def n_rows(self) -> int:
        """Number of rows that were used."""
        return self.sums.tally.used

    @property
    def n_dropped(self) -> int:
        """Number of rows left out: with missing values, or of weight zero."""
        return self.sums.tally.read - self.sums.tally.used

    @property
    def n_cells(self) -> int:
        """Number of cells: combinations of levels that occur."""
        return len(self.sums.cells)

    @property
    def levels(self) -> dict[str, pd.Index[Any]]:
        """Levels of every grouping column and factor, in the order of a model."""
        return {name: key.ordered()[0] for name, key in zip(self.recipe.keys, self.sums.keys, strict=True)}

    @property
    def cells(self) -> pd.DataFrame:
        """The cells with their numbers of rows: what the sums reveal of single ones."""
        columns: dict[str, Any] = {}
        for j, (name, key) in enumerate(zip(self.recipe.keys, self.sums.keys, strict=True)):
            columns[name] = key.levels.take(self.sums.cells.codes[:, j])
        return pd.DataFrame({**columns, "n_rows": self.sums.cells.count.astype(np.int64)})

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the data that were read."""
        return self.recipe.needed

    @property
    def functions(self) -> Mapping[str, Any]:
        """The user's functions."""
        return self.recipe.settings.functions

    @property
    def frame(self) -> Frame:
        """The factors of the rows of :meth:`design` as data; numbers are means, for their kind only."""
        return self._building.frame

    @cached_property
    def _building(self) -> Building:
        return Building(self.recipe, self.sums)

    def design(self) -> Design:
        """Return the design of the model, whose weighted rows stand for those of the data."""
        return self._building.design()

    # ---------------------------------------------------------------- more rows
    def __add__(self, other: Any) -> CrossProducts:
        if not isinstance(other, CrossProducts):
            return NotImplemented
        _check_same(self, other)
        sums = in_units_of(self.recipe, other.recipe, other.sums)
        smallest = max((one for one in (self.min_cell, other.min_cell) if one is not None), default=None)
        return CrossProducts(self.recipe, self.sums + sums, smallest)

    def __radd__(self, other: Any) -> CrossProducts:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum([a, b, c]) begins with 0

    def update(self, rows: Any, *, connection: Any = None) -> CrossProducts:
        """Add more rows to these sums.

        Parameters
        ----------
        rows : source
            As of :func:`mixedfx.cross_products`.
        connection : optional
            DuckDB connection of SQL text.

        Returns
        -------
        CrossProducts
            These sums themselves, with the rows in them.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> data = mfx.load_dataset("sleepstudy")
        >>> stats = mfx.cross_products(data[:90], "Reaction ~ Days + (Days | Subject)")
        >>> stats.update(data[90:]).n_rows
        180
        """
        new = as_source(rows, connection).sums(self.recipe)
        if new is not None:
            total = self.sums + new
            _check_cells(self.recipe, total, self.min_cell)
            self.sums = total
            self.__dict__.pop("_building", None)
        return self

    # ---------------------------------------------------------------- storage
    def save(self, path: str | Path) -> None:
        """Write the sums to a file, which :func:`mixedfx.load_cross_products` reads.

        Raises
        ------
        SpecificationError
            If the formula names functions of the user, which cannot be saved without saving code.
        DataError
            If the file cannot be written.
        """
        higher("write_sums")(path, self)

    def __repr__(self) -> str:
        levels = ", ".join(f"{name} ({len(key.levels)})" for name, key in zip(self.recipe.keys, self.sums.keys))
        return f"<CrossProducts: {self.formula}, {self.n_rows:,} rows in {self.n_cells:,} cells of {levels}>"


def cross_products(
    source: Any,
    formula: str | Formula,
    *,
    weights: str | None = None,
    offset: str | None = None,
    contrasts: Mapping[str, Any] | None = None,
    functions: Mapping[str, Any] | None = None,
    min_cell: int | None = None,
    connection: Any = None,
) -> CrossProducts:
    """Sum over the rows of a source what a linear mixed model needs of them, in one pass, a piece at a time.

    Parameters
    ----------
    source
        A data frame, or a list or an iterator of data frames; the path of a Parquet file, of a folder or a pattern of
        such files, or a pyarrow dataset; a DuckDB relation, or SQL text with its ``connection``; a polars LazyFrame; a
        Dask dataframe, which is summed partition by partition on the user's scheduler.
    formula : str
        As of :func:`mixedfx.lmer`. ``scale``, ``center`` and ``poly`` take their constants from all rows; knots and
        boundary knots of splines must be given; ``lag``, ``wb`` and ``cut`` look at other rows and are refused.
    weights, offset : str, optional
        Columns.
    contrasts : dict, optional
        As of :func:`mixedfx.lmer`.
    functions : dict, optional
        Extra names for the formula: functions of each row alone, matrices of ``known(…)``.
    min_cell : int, optional
        Refuse the sums if a cell - a combination of levels of all grouping factors and of all factors of the formula -
        has fewer rows. Sums that leave a site reveal, of every cell, the number of its rows and the means of its
        columns.
    connection : optional
        DuckDB connection of SQL text.

    Returns
    -------
    CrossProducts

    Raises
    ------
    SpecificationError
        If the formula needs all rows at once, or a cell is too small.
    DataError
        If the source is empty, lacks a column, or a column is not of one type in all of it.

    Notes
    -----
    A row is dropped if a value is missing, as in memory. Memory is needed for the cells, not for the rows.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("sleepstudy")
    >>> pieces = (data[k : k + 50] for k in range(0, 180, 50))
    >>> stats = mfx.cross_products(pieces, "Reaction ~ Days + (Days | Subject)")
    >>> stats
    <CrossProducts: Reaction ~ 1 + Days + (1 + Days | Subject), 180 rows in 18 cells of Subject (18)>
    >>> mfx.lmer(None, stats).params.round(3).tolist()
    [251.405, 10.467]
    """
    rows = as_source(source, connection)
    smallest = _checked_min_cell(min_cell)
    for name, given in (("weights", weights), ("offset", offset)):
        if given is not None and not isinstance(given, str):
            raise TypeError(f"{name} of cross_products is the name of a column, found {type(given).__name__}")
    said = {"weights": weights, "offset": offset, "contrasts": contrasts, "functions": functions}
    recipe = recipe_of(rows, formula, said)
    sums = rows.sums(recipe)
    if sums is None or sums.tally.used == 0:
        raise DataError(f"{rows.name} had complete rows when it was opened, and has none now: it changed meanwhile")
    return CrossProducts(recipe, sums, smallest)


def recipe_of(rows: Source, formula: str | Formula, said: Mapping[str, Any]) -> Recipe:
    """Return what is summed, as the first complete rows tell it."""
    read = 0
    for frame in rows.heads():
        read += len(frame)
        recipe = make_recipe(formula, frame, **said)
        if recipe is not None:
            return recipe
    if read == 0:
        raise DataError(f"{rows.name} is empty: there are no rows")
    raise DataError(f"no rows are left: each row of {rows.name} has a missing value or says nothing")


def _checked_min_cell(given: Any) -> int | None:
    if given is None:
        return None
    return checked_whole("min_cell", given, 1)


def _check_cells(recipe: Recipe, sums: Sums, smallest: int | None) -> None:
    """Refuse cells with too few rows, by name."""
    if smallest is None:
        return
    small = np.flatnonzero(sums.cells.count < smallest)
    if small.size == 0:
        return
    shown = "; ".join(_cell_name(recipe, sums, int(c)) for c in small[:SHOWN])
    raise SpecificationError(
        f"{small.size} cells have fewer than min_cell={smallest} rows, and sums reveal the means of a cell: {shown}"
        f"{'; …' if small.size > SHOWN else ''}. Leave these rows out, merge levels, or lower min_cell"
    )


def _cell_name(recipe: Recipe, sums: Sums, cell: int) -> str:
    levels = [key.levels[sums.cells.codes[cell, j]] for j, key in enumerate(sums.keys)]
    named = ", ".join(f"{name} = {level!r}" for name, level in zip(recipe.keys, levels, strict=True))
    return f"{named} ({int(sums.cells.count[cell])})"


def _check_same(first: CrossProducts, second: CrossProducts) -> None:
    """Refuse sums that do not belong together.

    Raises
    ------
    SpecificationError
        That says in what they differ.
    """
    a, b = first.recipe, second.recipe
    what = ""
    if a.formula != b.formula:
        what = f"formulas {a.formula} and {b.formula}"
    elif (a.weights, a.offset) != (b.weights, b.offset):
        what = f"weights and offsets {(a.weights, a.offset)} and {(b.weights, b.offset)}"
    elif pickle.dumps(dict(a.settings.codings)) != pickle.dumps(dict(b.settings.codings)):
        what = f"contrasts {dict(a.settings.codings)} and {dict(b.settings.codings)}"
    elif a.kinds != b.kinds:
        name = next(name for name in a.kinds if a.kinds[name] != b.kinds[name])
        what = f"column {name!r}: {a.kinds[name]} in one, {b.kinds[name]} in the other"
    for name, one, other in zip(a.keys, first.sums.keys, second.sums.keys, strict=False) if not what else ():
        known = [k.categories for k in (one, other)]
        if known[0] is not None and known[1] is not None and not known[0].equals(known[1]):
            what = f"categories of {name!r}: {known[0].tolist()} and {known[1].tolist()}"
            break
    if what:
        raise SpecificationError(f"these sums do not belong together: they have the {what}")
