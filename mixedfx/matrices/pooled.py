"""Random effects that no single level of a row tells: of smooths, and of rows in several levels at once.

Both are one level with many columns, independent and of one variance a block. A smooth's columns are functions of its
variable; those of ``mm(a, b)`` are the weights of the labels of all its columns together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray
from mixedfx.covariance.pooled import PooledDiagonalCovariance
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import Expression, Members, RandomTerm, coefficient_name, display, smooth_by, smooth_label
from mixedfx.matrices.encoder import Encoder, Settings, learn_encoder
from mixedfx.matrices.evaluate import Evaluator, by_key
from mixedfx.matrices.frame import FrameRows, as_frame
from mixedfx.matrices.labels import Labels, factorize
from mixedfx.matrices.limits import check_basis

if TYPE_CHECKING:
    from mixedfx.matrices.smooths import LearntSmooth, SmoothInputs

__all__ = ["MemberEncoder", "Pooled", "SmoothEncoder", "member_parts", "memberless", "smooth_encoder", "smooth_parts"]


SMOOTH = "smooth"  # what varies in a smooth without a factor


@dataclass(frozen=True)
class Pooled:
    """What the columns of a term are whose effects share a variance a block.

    Attributes
    ----------
    names : tuple of str
        Of the blocks, which have a variance each: ``smooth``, ``f[a]``, ``Intercept``.
    firsts : tuple of int
        First column of every block.
    labels : Index or None
        The level of each column of ``mm(a, b)``; None for a smooth.
    """

    names: tuple[str, ...]
    firsts: tuple[int, ...]
    labels: pd.Index[Any] | None = None

    @property
    def is_smooth(self) -> bool:
        """Whether the columns are those of a smooth."""
        return self.labels is None


# ---------------------------------------------------------------- smooths
@dataclass(frozen=True)
class SmoothEncoder(Encoder):
    """The random columns of a smooth ``s(x, by=f)``, f a factor or a number."""

    smooth: Expression
    learnt: tuple[dict[str, Any], dict[str, pd.Index[Any]]]
    settings: Settings
    names: tuple[str, ...]
    terms: dict[str, tuple[int, ...]]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The smooth."""
        return (self.smooth,)

    @property
    def functions(self) -> Mapping[str, Any]:
        """The user's own functions."""
        return self.settings.functions

    @property
    def transform(self) -> LearntSmooth:
        """What the smooth learnt of the data of the fit."""
        found: LearntSmooth = self.learnt[0][self.smooth.text]
        return found

    @property
    def by(self) -> str | None:
        """Column of the factor whose levels have a smooth each; None without."""
        return self._by_column if by_key(self.smooth.text) in self.learnt[1] else None

    @property
    def times(self) -> str | None:
        """Column of the number that the smooth multiplies; None without."""
        return None if self.by else self._by_column

    @property
    def _by_column(self) -> str | None:
        identifier = smooth_by(self.smooth)
        return self.smooth.columns[self.smooth.identifiers.index(identifier)] if identifier else None

    @property
    def levels(self) -> list[Any]:
        """Levels of the factor."""
        return self.learnt[1][by_key(self.smooth.text)].tolist() if self.by else []

    def inputs(self, rows: FrameRows) -> SmoothInputs:
        """Return what the smooth is a function of."""
        value = Evaluator(rows, self.settings.functions, self.settings.codings, self.learnt)
        return value.smooth_inputs(self.smooth)

    @property
    def line_names(self) -> tuple[tuple[str, ...], ...]:
        """Names of the fixed effects that are the straight line of the smooth, for each level."""
        label = coefficient_name(self.smooth.text)
        parts = [(level,) for level in self.levels] if self.by else [self.transform.parts]
        return tuple(tuple(f"{label}[{part}]" for part in own) for own in parts)

    @property
    def straight(self) -> str:
        """What to write in a formula if there is nothing but the straight lines."""
        x, by = display(self.smooth.arguments[0]), display(smooth_by(self.smooth))
        return f"{by} + {by}:{x}" if self.times else f"{by}:{x}" if self.by else x

    @property
    def labels(self) -> tuple[str, ...]:
        """What the smooths are called, a level each: ``s(x)``, ``s(x):z``, ``s(x):f[a]``."""
        label = smooth_label(self.smooth)
        return tuple(f"{label}[{level}]" for level in self.levels) if self.by else (label,)

    def columns(self, rows: FrameRows) -> Array:
        """Return the columns (n, q)."""
        return self.transform.wiggle(self.inputs(rows))


def smooth_encoder(term: Any) -> SmoothEncoder:
    """Return the encoder of the random term of a smooth."""
    encoder: SmoothEncoder = term.encoder
    return encoder


def smooth_parts(
    term: RandomTerm, rows: FrameRows, settings: Settings
) -> tuple[SmoothEncoder, Array, PooledDiagonalCovariance, Pooled]:
    """Return encoder, columns (n, q), covariance and blocks of the random part of a smooth."""
    smooth = term.terms[0][0]
    value = Evaluator(rows, settings.functions, settings.codings)
    value(smooth)
    learnt = value.transforms, value.levels
    encoder = SmoothEncoder(smooth, learnt, settings.named_in((smooth,)), (), {})
    size, levels = encoder.transform.size, encoder.levels
    blocks = tuple(f"{encoder.by}[{level}]" for level in levels) if levels else (SMOOTH,)
    names = tuple(f"{block}.{j + 1}" for block in blocks for j in range(size))
    encoder = replace(encoder, names=names, terms={term.label: tuple(range(len(names)))})
    covariance = PooledDiagonalCovariance(len(names), (size,) * len(blocks))
    return encoder, encoder.columns(rows), covariance, Pooled(blocks, covariance.firsts)


# ---------------------------------------------------------------- memberships
@dataclass(frozen=True)
class _Memberships:
    """The memberships of some rows: label and weight of each.

    Attributes
    ----------
    labels : tuple of Labels
    weights : (n, k)
        Zero where the label is missing, nan where the weight of a label is.
    """

    labels: tuple[Labels, ...]
    weights: Array

    @property
    def present(self) -> BoolArray:
        """Which memberships (n, k) have a label."""
        return np.column_stack([part.codes >= 0 for part in self.labels])

    def columns(self, levels: pd.Index[Any]) -> Array:
        """Return the weight (n, m) of every level in every row; unknown levels are left out."""
        n = len(self.weights)
        out = np.zeros((n, len(levels)), order="F")
        for part, weight in zip(self.labels, self.weights.T, strict=True):
            codes = part.recode(levels)
            known = np.flatnonzero(codes >= 0)
            out[known, codes[known]] += weight[known]  # a row has one label in a column, so that no cell comes twice
        return out

    def unknown(self, levels: pd.Index[Any]) -> BoolArray:
        """Return which memberships (n, k) have a label that is not among the levels, and a weight."""
        unknown = np.column_stack([part.recode(levels) < 0 for part in self.labels])
        return np.asarray(unknown & self.present & (self.weights != 0))


def _memberships(members: Members, rows: FrameRows) -> _Memberships:
    labels = tuple(rows.labels(name) for name in members.columns)
    present = np.column_stack([part.codes >= 0 for part in labels])
    if members.weights is None:
        weights = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
    else:
        given = [
            rows.numbers(weight) if isinstance(weight, str) else np.full(rows.size, weight)
            for weight in members.weights
        ]
        weights = np.where(present, np.column_stack(given), 0.0)
    return _Memberships(labels, np.asarray(weights, dtype=float))


def memberless(members: Members, data: Any) -> dict[str, BoolArray]:
    """Return the rows (n,) without any membership, and those in which the weight of one is missing, by their source."""
    frame = as_frame(data)
    for name in members.weight_columns:
        if frame.column(name).is_factor:
            raise DataError(f"the weights {name!r} of {members.label} are no numbers")
    found = _memberships(members, FrameRows(frame))
    places: dict[str, Any] = {
        members.label: ~found.present.any(axis=1),
        f"the weights of {members.label}": np.isnan(found.weights).any(axis=1),
    }
    return {name: rows for name, rows in places.items() if rows.any()}


def _union(members: Members, labels: Sequence[Labels]) -> pd.Index[Any]:
    """Return the labels of all columns in one order: they are matched across columns."""
    first = labels[0].levels
    if all(part.levels.equals(first) for part in labels[1:]):
        renamed: pd.Index[Any] = first.rename(members.label)
        return renamed
    every = [label for part in labels for label in part.levels.tolist()]
    kinds = {isinstance(label, str) for label in every}
    if len(kinds) > 1:
        raise DataError(
            f"some columns of {members.label} hold text and others numbers: labels that are the same level must be "
            "written alike in all columns"
        )
    union: pd.Index[Any] = factorize(members.label, np.array(every, dtype=object)).levels.rename(members.label)
    return union


@dataclass(frozen=True)
class MemberEncoder(Encoder):
    """The columns of ``(1 | mm(a, b))``: what each level weighs, times the variable of a slope."""

    members: Members
    levels: pd.Index[Any]
    left: Encoder
    names: tuple[str, ...]
    terms: dict[str, tuple[int, ...]]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """What stands left of the bar."""
        return self.left.expressions

    @property
    def functions(self) -> Mapping[str, Any]:
        """The user's own functions."""
        return self.left.functions

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the data's columns: of the left side, the memberships and their weights."""
        return tuple(dict.fromkeys((*self.left.variables, *self.members.variables)))

    def columns(self, rows: FrameRows) -> Array:
        """Return the columns (n, m)."""
        return np.asfortranarray(_memberships(self.members, rows).columns(self.levels) * self.left.columns(rows))

    def encode(self, data: Any) -> Array:
        """Return the columns (n, m) for new data: nothing for unknown labels, nan where a weight is missing."""
        frame = as_frame(data)
        frame.require(self.variables)
        found = _memberships(self.members, FrameRows(frame))
        return np.asfortranarray(found.columns(self.levels) * self.left.encode(frame))

    def unknown_rows(self, data: Any) -> BoolArray:
        """Return which rows (n,) of new data have a label that the fit does not know, or no label at all."""
        frame = as_frame(data)
        frame.require(self.members.variables)
        found = _memberships(self.members, FrameRows(frame))
        return np.asarray(found.unknown(self.levels).any(axis=1) | ~found.present.any(axis=1))

    def unknown_labels(self, data: Any) -> list[Any]:
        """Return the labels of new data that the fit does not know."""
        found = _memberships(self.members, FrameRows(as_frame(data)))
        unknown = found.unknown(self.levels)
        every = [part.levels[part.codes[rows]].tolist() for part, rows in zip(found.labels, unknown.T, strict=True)]
        return list(dict.fromkeys(label for labels in every for label in labels))

    def unknown_squares(self, data: Any) -> Array:
        """Return the sum (n,) of the squared columns that unknown labels would have."""
        frame = as_frame(data)
        found = _memberships(self.members, FrameRows(frame))
        weights = np.where(found.unknown(self.levels), found.weights, 0.0)
        own = _Memberships(found.labels, weights).columns(_union(self.members, found.labels))
        return np.asarray(np.einsum("ij,ij->i", own, own) * self.left.encode(frame)[:, 0] ** 2)


def member_parts(
    term: RandomTerm, rows: FrameRows, settings: Settings
) -> tuple[MemberEncoder, Array, PooledDiagonalCovariance, Pooled]:
    """Return encoder, columns (n, m), covariance and block of a term of several memberships.

    Raises
    ------
    DataError
        If there is one label only, weights are infinite, or labels are text in some columns only.
    SpecificationError
        If the left side has several columns, or the columns would take too much memory.
    """
    members: Any = term.members
    left, matrix = learn_encoder(term.terms, rows, settings, f"the left side of {term}", within_only=True)
    if matrix.shape[1] != 1:
        listed = ", ".join(left.names)
        raise SpecificationError(
            f"left of {members.label} stands one column, found {listed}: write a term for each column, of numbers"
        )
    found = _memberships(members, rows)
    if not np.isfinite(found.weights).all():
        raise DataError(f"the weights of {members.label} must be finite")
    levels = _union(members, found.labels)
    if len(levels) < 2:
        raise DataError(
            f"the memberships {members.label} have only one level ({levels[0]!r}); the variance between levels needs "
            "at least two"
        )
    check_basis(members.label, len(levels), rows.size)
    effect = left.names[0]
    names = tuple(f"{effect}[{level}]" for level in levels)
    encoder = MemberEncoder(members, levels, left, names, {effect: tuple(range(len(names)))})
    covariance = PooledDiagonalCovariance(len(names), (len(names),))
    columns = np.asfortranarray(found.columns(levels) * matrix)
    return encoder, columns, covariance, Pooled((effect,), (0,), levels)
