"""From the rows of one frame to their sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.matrices.columns import FactorColumn
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.frame import Frame, FrameRows
from mixedfx.matrices.labels import Labels
from mixedfx.matrices.rows import Completeness
from mixedfx.scale.recipe import Recipe
from mixedfx.scale.sums import Cells, KeyLevels, Moments, Sums, Tally, added, collapsed, combo_codes

__all__ = ["Accumulator", "Repeated", "sums_of"]

CELLS_AT_ONCE = 1_000_000  # cells of new sums that are kept before they are added


@dataclass(frozen=True)
class Repeated:
    """What a database says of rows that it has put together, all alike but for the response.

    Attributes
    ----------
    counts : (n,)
        How many rows each is; the response is their mean.
    squares : (n,)
        Squares of the deviations of their responses from it.
    tally : Tally
        Of all rows.
    """

    counts: Array
    squares: Array
    tally: Tally


def sums_of(recipe: Recipe, frame: Frame, repeated: Repeated | None = None) -> Sums | None:
    """Return the sums over the rows of a frame, each of which may be several; None if there are none.

    Raises
    ------
    DataError
        If a column is missing or is not what it was, or a value is not finite.
    """
    recipe.check(frame)
    if len(frame) == 0:
        return None
    complete = recipe.complete(frame)
    rows = FrameRows(frame, complete.keep)
    value = recipe.evaluator(rows)
    prior = recipe.weights_of(frame, complete.keep)
    counts = np.ones(rows.size) if repeated is None else repeated.counts
    weights = counts if prior is None else prior
    labels = [rows.labels(name) for name in recipe.keys]
    codes = np.stack([one.codes for one in labels], axis=1) if labels else np.zeros((rows.size, 0), dtype=np.intp)
    log_weights = 0.0 if prior is None else float(np.log(weights).sum())
    raw = {text: numeric.raw(value) for text, numeric in recipe.numerics.items()}
    columns = _columns(recipe, frame, rows, value, raw)
    nothing = np.broadcast_to(0.0, (rows.size, len(recipe.slopes), columns.shape[1]))
    single, n_coded = Cells(codes, counts, weights, columns, nothing), len(recipe.coded)
    cells, combos, within = collapsed(single, n_coded)
    keys = tuple(_levels(frame, name, one) for name, one in zip(recipe.keys, labels, strict=True))
    moments = _moments(recipe, rows, value, None if repeated is None else counts)
    if repeated is None:
        tally = _tally(complete, log_weights, recipe.fingerprint(frame, rows))
        return Sums(keys, n_coded, cells, combos, within, moments, tally)
    np.add.at(within[:, -1, -1], combo_codes(codes[:, :n_coded], combos), repeated.squares)
    return Sums(keys, n_coded, cells, combos, within, moments, repeated.tally)


def _levels(frame: Frame, name: str, labels: Labels) -> KeyLevels:
    column = frame.column(name)
    return KeyLevels(labels.levels, column.categories if isinstance(column, FactorColumn) else None)


def _columns(recipe: Recipe, frame: Frame, rows: FrameRows, value: Evaluator, raw: Mapping[str, Array]) -> Array:
    """The products of numbers (n, k), the response last."""
    out = np.empty((rows.size, len(recipe.monomials) + 1), order="F")
    for j, factors in enumerate(recipe.monomials):
        (text, i), *others = factors
        out[:, j] = raw[text][:, i - 1]
        for text, i in others:
            out[:, j] *= raw[text][:, i - 1]
    out[:, -1] = recipe.response_of(frame, rows, value)
    return out


def _moments(recipe: Recipe, rows: FrameRows, value: Evaluator, counts: Array | None) -> dict[str, Moments]:
    out = {f"variable {name}": Moments.of(rows.numbers(name), 1, 0.0, 1.0, counts) for name in recipe.variables}
    for text, numeric in recipe.numerics.items():
        if numeric.degree:
            x = value.numbers(numeric.inner)
            out[text] = Moments.of(x, numeric.degree, numeric.shift, numeric.unit, counts)
    return out


def _tally(complete: Completeness, log_weights: float, fingerprint: int) -> Tally:
    used = complete.n_rows - complete.n_dropped
    return Tally(complete.n_rows, used, complete.n_missing, complete.counts, complete.silent, log_weights, fingerprint)


class Accumulator:
    """Adds sums as they come: many small ones at once, so that the large sum is moved a few times only."""

    def __init__(self) -> None:
        self._total: Sums | None = None
        self._new: list[Sums] = []
        self._cells = 0

    def add(self, part: Sums | None) -> None:
        """Add one more."""
        if part is None:
            return
        self._new.append(part)
        self._cells += len(part.cells)
        if self._cells >= max(CELLS_AT_ONCE, 0 if self._total is None else len(self._total.cells)):
            self.total()

    def total(self) -> Sums | None:
        """Return the sum of all; None if there was nothing."""
        parts = self._new if self._total is None else [self._total, *self._new]
        if self._new:
            self._new, self._cells, self._total = [], 0, None
            self._total = added(parts)
        return self._total
