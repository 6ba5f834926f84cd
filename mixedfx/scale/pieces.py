"""The rows of a source as pieces of a generalised model: read, encoded and forgotten, as often as they are needed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray, IntArray
from mixedfx.criterion.assembly import Assembly
from mixedfx.criterion.marginal import Auxiliary, FamilyLikelihood, Information, MarginalModel, RidgePenalty
from mixedfx.criterion.partitioned import PartitionedModel, PartitionedProblem, Pieces, Sums, Work, added
from mixedfx.criterion.problem import assembled
from mixedfx.exceptions import DataError
from mixedfx.families import Family
from mixedfx.families.observed import Observed
from mixedfx.linalg.rowwise import RowMap
from mixedfx.matrices import Design, RandomEffects, Response
from mixedfx.matrices.basis import FixedBasis, RowWeights, TermBasis, fixed_basis
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.frame import Frame, FrameRows
from mixedfx.matrices.response import is_cbind, read_response, without_trials
from mixedfx.matrices.rows import Completeness, MissingName
from mixedfx.scale.recipe import Recipe
from mixedfx.scale.sources import Source

__all__ = ["ROWS_OF_A_PIECE", "GeneralizedRecipe", "Kept", "NoPieces", "SourcePieces", "partitioned_problem"]

ROWS_OF_A_PIECE = 1 << 17  # that are encoded at a time
SHOWN = 3  # levels that a message names
MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9)  # odd multipliers that spread the bits of a number


@dataclass(frozen=True)
class GeneralizedRecipe(Recipe):
    """How the rows of a generalised model are summed and read: weights and offset belong to its likelihood.

    Attributes
    ----------
    kind : str
        Of the response: "numeric" or "binomial".
    missing : {"drop", "raise"}
    """

    kind: str = "numeric"
    missing: MissingName = "drop"

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Numeric columns of the fixed part and of the offset, whose means and ranges are kept."""
        shifts = [name for expression in self.formula.offsets for name in expression.columns]
        shifts += [] if self.offset is None else [self.offset]
        known = super().variables
        return tuple(dict.fromkeys((*known, *(name for name in shifts if self.kinds.get(name) != "factor"))))

    @classmethod
    def of(cls, recipe: Recipe, kind: str, missing: MissingName) -> GeneralizedRecipe:
        """Return the recipe of the same formula."""
        given = {field.name: getattr(recipe, field.name) for field in fields(Recipe)}
        return cls(**given, kind=kind, missing=missing)

    def complete(self, frame: Frame) -> Completeness:
        """Return which rows of a frame are used."""
        complete = super().complete(frame)
        if self.missing == "raise" and complete.n_missing:
            complete.enforce("raise")
        if self.kind == "binomial" and is_cbind(self.formula.response):
            value = self.evaluator(FrameRows(frame, complete.keep))
            complete = complete.without(without_trials(self.formula.response, value), "they have no trials")
        return complete

    def weights_of(self, frame: Frame, keep: BoolArray | None) -> Array | None:
        """Return None: the rows stand for themselves."""
        return None

    def response_of(self, frame: Frame, rows: FrameRows, value: Evaluator) -> Array:
        """Return the response (n,)."""
        return self.response(frame, rows, value).values

    def response(self, frame: Frame, rows: FrameRows, value: Evaluator) -> Response:
        """Return the response with its trials."""
        return read_response(self.formula.response, value, self.kind, super().weights_of(frame, rows.keep))

    def precisions(self, frame: Frame, keep: BoolArray | None) -> Array | None:
        """Return the weights of the likelihood."""
        return super().weights_of(frame, keep)

    def fingerprint(self, frame: Frame, rows: FrameRows) -> int:
        """Return the sum over the rows, modulo 2**64, of a mixture of all their values: order and pieces do not count.

        Numbers count by their bits, labels by a hash of what they are.
        """
        total = np.zeros(rows.size, dtype=np.uint64)
        with np.errstate(over="ignore"):
            for k, name in enumerate(self.needed):
                column = frame.column(name)
                if column.is_factor or name in self.keys:
                    labels = rows.labels(name)
                    values = _hashed(labels.levels)[labels.codes]
                else:
                    values = np.ascontiguousarray(rows.numbers(name)).view(np.uint64)
                total += _mixed(values + np.uint64(2 * k + 1) * np.uint64(MIX[0]))
            return int(_mixed(total).sum(dtype=np.uint64))


def _hashed(levels: pd.Index[Any]) -> Any:
    """A number (m,) for every label: the same wherever it occurs."""
    values = np.asarray(levels)
    if values.dtype.kind in "iuf":
        return values.astype(float).view(np.uint64)
    return pd.util.hash_array(values.astype(str).astype(object))


def _mixed(values: Any) -> Any:
    values = values ^ (values >> np.uint64(30))
    values = values * np.uint64(MIX[1])
    return values ^ (values >> np.uint64(31))


@dataclass(frozen=True)
class Kept(Observed):
    """A response that nobody kept: whatever asks for it is refused in words."""

    design: Design | None = None

    @classmethod
    def nowhere(cls, design: Design) -> Kept:
        """Return that of a model fitted to ``design``."""
        return cls(np.zeros(0), np.zeros(0), np.zeros(0), design=design)

    def __getattribute__(self, name: str) -> Any:
        if name in REFUSED:
            object.__getattribute__(self, "design").need_rows("what takes the response of every row")
        return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        return "<Kept: nowhere>"


REFUSED = ("y", "trials", "constant", "outcome", "take", "n")


@dataclass(frozen=True)
class Encoding:
    """How the rows of any frame become a piece of the model.

    Attributes
    ----------
    recipe : GeneralizedRecipe
    design : Design
        Of rows that stand for all: the encoders of its parts.
    family : Family
    information : Information
    assembly : Assembly
    basis : FixedBasis
    terms : tuple of TermBasis
    auxiliaries : tuple of Auxiliary
    penalty : RidgePenalty
    """

    recipe: GeneralizedRecipe
    design: Design
    family: Family
    information: Information
    assembly: Assembly
    basis: FixedBasis
    terms: tuple[TermBasis, ...]
    auxiliaries: tuple[Auxiliary, ...]
    penalty: RidgePenalty

    def rows(self, frame: Frame) -> tuple[MarginalModel | None, int]:
        """Return the piece, None without rows that count, and the fingerprint of its rows.

        Raises
        ------
        DataError
            If the rows are not those of which the first pass has told.
        """
        recipe, design = self.recipe, self.design
        recipe.check(frame)
        complete = recipe.complete(frame)
        rows = FrameRows(frame, complete.keep)
        if rows.size == 0:
            return None, 0
        chosen = slice(None) if complete.keep is None else complete.keep
        response = recipe.response(frame, rows, recipe.evaluator(rows))
        weights = recipe.precisions(frame, complete.keep) if response.trials is None else None
        observed = self.family.observe(response.values, trials=response.trials, weights=weights)
        X = design.fixed.encode(frame)[chosen] @ self.basis.matrix
        codes, z = [], []
        for term, basis in zip(design.random, self.terms, strict=True):
            codes.append(_levels(term, frame, chosen))
            z.append(np.ascontiguousarray((term.encoder.encode(frame)[chosen] @ basis.matrix).T))
        shift = design.offsets.encode(frame)
        try:
            of_rows = self.assembly.for_rows(codes, z)
        except KeyError:
            raise DataError("levels meet in a row that did not meet before") from None
        piece = MarginalModel(
            RowMap(of_rows),
            self.assembly.covariance,
            np.asarray(X),
            np.zeros(rows.size) if shift is None else shift[chosen],
            FamilyLikelihood(self.family, observed, self.information),
            self.auxiliaries,
            self.penalty,
        )
        return piece, recipe.fingerprint(frame, rows)


def _levels(term: RandomEffects, frame: Frame, chosen: BoolArray | slice) -> IntArray:
    codes = term.encode_codes(frame)[chosen]
    unknown = np.flatnonzero(codes < 0)
    if unknown.size:
        rows = np.arange(len(frame))[chosen][unknown]
        labels = [frame.column(name).labels for name in term.factors]
        found = dict.fromkeys(":".join(str(part.levels[part.codes[row]]) for part in labels) for row in rows)
        listed = ", ".join(map(repr, list(found)[:SHOWN])) + (", …" if len(found) > SHOWN else "")
        raise DataError(f"the grouping factor {term.group!r} has a level that was not there before ({listed})")
    return codes


@dataclass(frozen=True)
class _Share:
    """What is done with one frame: sums of the piece, and which rows they were."""

    encoding: Encoding
    work: Work

    def __call__(self, frame: Frame) -> tuple[Sums, int, int] | None:
        piece, fingerprint = self.encoding.rows(frame)
        return None if piece is None else (self.work(piece), len(piece.X), fingerprint)


def _both(first: tuple[Sums, int, int], second: tuple[Sums, int, int]) -> tuple[Sums, int, int]:
    return added(first[0], second[0]), first[1] + second[1], (first[2] + second[2]) % (1 << 64)


@dataclass(frozen=True)
class SourcePieces(Pieces):
    """Pieces of a source, which must be the same at every pass.

    Attributes
    ----------
    source : Source
    encoding : Encoding
    used, fingerprint : int
        What the first pass counted and saw.
    """

    source: Source
    encoding: Encoding
    used: int
    fingerprint: int

    def __reduce__(self) -> tuple[Any, ...]:
        return NoPieces, (self.encoding.design,)  # a pickle has no source: what is open here is not open elsewhere

    def reduce(self, work: Work) -> Sums:
        """Return the sums over all rows of what ``work`` gives for each piece.

        Raises
        ------
        DataError
            If the rows are not those of the first pass.
        """
        try:
            found = self.source.reduced(_Share(self.encoding, work), _both, self.encoding.recipe.needed)
        except DataError as error:
            raise DataError(f"{self.source.name} changed while it was read again and again: {error}") from error
        sums, used, fingerprint = found or ({}, 0, 0)
        if used != self.used:
            raise DataError(
                f"{self.source.name} changed while it was read again and again: it had {self.used} rows that count, "
                f"and has {used} now; fit a copy that stays as it is"
            )
        if fingerprint != self.fingerprint:
            raise DataError(
                f"{self.source.name} changed while it was read again and again: the number of its rows is the same, "
                "values in them are others; fit a copy that stays as it is"
            )
        return sums


@dataclass(frozen=True)
class NoPieces(Pieces):
    """Rows that are no longer at hand, as those of a saved fit."""

    design: Design

    def reduce(self, work: Work) -> Sums:
        """Refuse.

        Raises
        ------
        SpecificationError
        """
        self.design.need_rows("another evaluation of the likelihood")
        return {}


def partitioned_problem(
    design: Design,
    recipe: GeneralizedRecipe,
    family: Family,
    information: Information,
    source: Source | None,
    tally: Any,
) -> PartitionedProblem:
    """Return the problem of a design whose rows stand for those of a source, which is None where it is gone.

    Parameters
    ----------
    design : Design
    recipe : GeneralizedRecipe
    family : Family
        With one linear predictor.
    information : Information
    source : Source or None
    tally : Tally
        Of the first pass.
    """
    n = len(design.fixed.matrix)
    weights = RowWeights.of(design.weights, design.n_rows)
    basis, X, _ = fixed_basis(design.fixed.matrix, np.zeros(n), weights, scale_response=False)
    assembly, terms = assembled(design, np.zeros((n, 0)), weights)
    auxiliaries = tuple(Auxiliary(np.ones((1, 1))) for _ in family.phi_names)
    penalty = RidgePenalty(np.zeros((X.shape[1],) * 2))
    encoding = Encoding(recipe, design, family, information, assembly, basis, terms, auxiliaries, penalty)
    pieces: Pieces = NoPieces(design)
    if source is not None:
        pieces = SourcePieces(source, encoding, tally.used, tally.fingerprint)
    nowhere = Kept.nowhere(design)
    model = PartitionedModel(
        RowMap(assembly.rows),
        assembly.covariance,
        X,
        np.zeros(n),
        FamilyLikelihood(family, nowhere, information),
        auxiliaries,
        penalty,
        pieces=pieces,
    )
    phi, log_precision = _first_phi(source, encoding) if family.phi_names else (np.zeros(0), 0.0)
    return PartitionedProblem(
        design,
        assembly,
        (basis,),
        terms,
        family,
        nowhere,
        model,
        (),
        phi_start=phi,
        log_precision=log_precision,
        rebuilt=_Rebuilt(recipe, family, information, source, tally),
    )


@dataclass(frozen=True)
class _Rebuilt:
    """The problem of another design of the same rows; a pickle has no source."""

    recipe: GeneralizedRecipe
    family: Family
    information: Information
    source: Source | None
    tally: Any

    def __call__(self, design: Design) -> PartitionedProblem:
        return partitioned_problem(design, self.recipe, self.family, self.information, self.source, self.tally)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Rebuilt, (self.recipe, self.family, self.information, None, self.tally)


def _first_phi(source: Source | None, encoding: Encoding) -> tuple[Array, float]:
    """Family-wide parameters to begin with, and the mean logarithm of the precisions, of the first piece."""
    for frame in [] if source is None else source.heads():
        piece, _ = encoding.rows(frame)
        if piece is not None:
            observed = piece.likelihood.observed
            known = observed.log_precision
            finite = None if known is None else known[np.isfinite(known)]
            start = encoding.family.start_phi(observed)
            return start, 0.0 if finite is None else float(np.mean(finite))
    return np.zeros(len(encoding.family.phi_names)), 0.0
