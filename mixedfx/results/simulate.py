"""Draw responses: the random effects of the fitted rows or of new ones, drawn afresh or as they were estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice, checked_seed
from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.matrices import Design, RandomEffects
from mixedfx.matrices.frame import Frame, as_frame
from mixedfx.matrices.labels import combine
from mixedfx.matrices.new_rows import (
    NEW_LEVELS,
    UnknownLevels,
    chosen_columns,
    fixed_part,
    new_fixed_part,
    refuse_offset,
    unknown_levels,
)

__all__ = [
    "DrawnTerm",
    "SimulatedRows",
    "checked_count",
    "conditional_columns",
    "drawn_terms",
    "generator",
    "random_parts",
    "simulated_rows",
]

SourceName: TypeAlias = Literal["new", "fitted"]
EffectSource: TypeAlias = Callable[[int, int, int, np.random.Generator], Array]  # term, levels, draws, generator
SOURCES = {"new": False, "fitted": True}
DrawnLevelsName: TypeAlias = Literal["error", "population", "nan", "draw"]
DRAWN_LEVELS: dict[str, UnknownLevels] = {**NEW_LEVELS, "draw": UnknownLevels(drawn=True)}


def generator(seed: Any) -> np.random.Generator:
    """Return numpy's generator for a seed, a SeedSequence or a generator."""
    return np.random.default_rng(checked_seed(seed))


def checked_count(n: Any) -> int:
    """Return the number of draws."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"n is the number of draws, a whole number; found {n!r}")
    if n < 1:
        raise SpecificationError(f"n is the number of draws, at least 1; found {n}")
    return int(n)


@dataclass(frozen=True)
class DrawnTerm:
    """The rows of one random term, for which effects are drawn.

    Attributes
    ----------
    codes : (n,) array
        Level of each row among those that are drawn; -1 where it is missing.
    n_levels : int
    matrix : (n, q) array
    loading : (m, m) array or None
        Factor of a known covariance between the levels.
    fitted : (n,) array
        Level of each row among those of the fit; -1 where the fit does not know it.
    """

    codes: IntArray
    n_levels: int
    matrix: Array
    loading: Array | None
    fitted: IntArray

    def drawn(self, b: Array) -> Array:
        """Return new effects (q, levels, n) from independent ones."""
        return np.asarray(b if self.loading is None else np.einsum("lm,qmn->qln", self.loading, b))

    def of_drawn(self, b: Array) -> Array:
        """Return ``Z b`` (rows, n) of drawn effects; nan where the level is missing."""
        return self._rows(b, self.codes)

    def of_fitted(self, mode: Array) -> Array:
        """Return ``Z b`` (rows, 1) of the conditional modes (q, m); nan where the fit does not know the level."""
        return self._rows(mode[:, :, None], self.fitted)

    def _rows(self, b: Array, codes: IntArray) -> Array:
        if not b.shape[1]:  # all levels are missing
            return np.full((codes.size, b.shape[2]), np.nan)
        if b.shape[1] == 1:  # one level
            return np.where(codes[:, None] < 0, np.nan, self.matrix @ b[:, 0])
        out = np.zeros((codes.size, b.shape[2]))
        for column, part in zip(self.matrix.T, b, strict=True):
            out += column[:, None] * part[codes]
        out[codes < 0] = np.nan
        return out


@dataclass(frozen=True)
class SimulatedRows:
    """Rows for which responses are drawn.

    Attributes
    ----------
    fixed : (n,) array
        Fixed part of the linear predictor, offset included.
    terms : tuple of DrawnTerm
    index : Index
    unknown : UnknownLevels
        What becomes of levels that the fit does not know, where the estimated effects are asked for.
    """

    fixed: Array
    terms: tuple[DrawnTerm, ...]
    index: pd.Index[Any]
    unknown: UnknownLevels = NEW_LEVELS["error"]


def drawn_terms(terms: Sequence[RandomEffects]) -> tuple[DrawnTerm, ...]:
    """Return the terms in the rows of which they were made."""
    return tuple(DrawnTerm(t.codes, len(t.levels), t.matrix, t.loading, t.codes) for t in terms)


def conditional_columns(design: Design, random: Any) -> list[BoolArray]:
    """Resolve ``random=`` to a flag for every column (q,) of every term: whether its effects are the fitted ones."""
    if isinstance(random, str) and random in SOURCES:
        return chosen_columns(design, SOURCES[random])
    words = 'random is "new" (drawn afresh), "fitted" (conditional modes), or the groups whose effects are as fitted'
    if isinstance(random, bool | np.bool_) or random is None:
        raise SpecificationError(f"{words}; found {random!r}")
    try:
        return chosen_columns(design, random)
    except SpecificationError as error:
        raise SpecificationError(f"{words}; {error}") from None


def simulated_rows(
    design: Design,
    beta: Array,
    data: Any,
    chosen: Sequence[BoolArray],
    *,
    new_levels: DrawnLevelsName = "error",
    offset: Any = None,
) -> SimulatedRows:
    """Return the rows of a fit, or of new data.

    Raises
    ------
    DataError
        If fitted effects are asked for and there are levels that the fit does not know, or columns are missing.
    """
    rule = checked_choice("new_levels", new_levels, DRAWN_LEVELS)
    if data is None:
        refuse_offset(offset)
        return SimulatedRows(fixed_part(design, beta), drawn_terms(design.random), design.index)
    frame = as_frame(data)
    fixed = new_fixed_part(design, beta, frame, offset)
    terms = tuple(_new_term(term, frame) for term in design.random)
    for term, rows, mask in zip(design.random, terms, chosen, strict=True):
        if rule.refused and mask.any() and (rows.fitted < 0).any():
            raise unknown_levels(term, frame, rows.fitted < 0, 'write new_levels="draw" to draw their effects')
    return SimulatedRows(fixed, terms, frame.index, rule)


def _new_term(term: RandomEffects, frame: Frame) -> DrawnTerm:
    fitted, matrix = term.encode(frame)
    if term.pooled is not None:
        if (fitted < 0).any():
            raise unknown_levels(term, frame, fitted < 0, "responses are drawn for labels of the fit only")
        return DrawnTerm(fitted, 1, matrix, None, fitted)
    if term.loading is not None:
        if (fitted < 0).any():
            raise DataError(f"{term.group}: the known covariance has no row for some levels of the new data")
        return DrawnTerm(fitted, len(term.levels), matrix, term.loading, fitted)
    parts = [frame.column(name).labels for name in term.factors]
    labels = combine(parts, term.factors) if len(parts) > 1 else parts[0]
    return DrawnTerm(labels.codes, len(labels.levels), matrix, None, fitted)


def random_parts(
    rows: SimulatedRows,
    draw: EffectSource,
    modes: Sequence[Array],
    n: int,
    rng: np.random.Generator,
    chosen: Sequence[BoolArray],
) -> Array:
    """Return ``Z b`` (rows, n): of the chosen columns with the fitted effects, of the others with new draws."""
    out = np.zeros((rows.fixed.size, n))
    for k, (term, mode, mask) in enumerate(zip(rows.terms, modes, chosen, strict=True)):
        if not mask.any():
            out += term.of_drawn(term.drawn(draw(k, term.n_levels, n, rng)))
            continue
        part, unknown = term.of_fitted(mode * mask[:, None]), term.fitted[:, None] < 0
        redrawn = rows.unknown.drawn and unknown.any()
        part = np.where(unknown, rows.unknown.effect, part) if unknown.any() else part
        if redrawn or not mask.all():
            b = term.drawn(draw(k, term.n_levels, n, rng))
            part = part if mask.all() else part + term.of_drawn(b * ~mask[:, None, None])
            part = np.where(unknown, term.of_drawn(b), part) if redrawn else part
        out += part
    return out
