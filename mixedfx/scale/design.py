"""From sums over rows to the design of a model, whose weighted rows stand for those of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.covariance import covariance_for
from mixedfx.covariance.known import relationship_matrix
from mixedfx.formula import RandomTerm, display
from mixedfx.matrices import Design, OffsetEncoder, RandomEffects, Represented, Response, Variable
from mixedfx.matrices.build import double_bar
from mixedfx.matrices.fixed import independent_effects
from mixedfx.matrices.frame import Frame, FrameRows, as_frame
from mixedfx.matrices.labels import Labels
from mixedfx.matrices.limits import check_parameters
from mixedfx.matrices.random import level_labels
from mixedfx.matrices.rows import left_out
from mixedfx.scale.columns import TermColumns
from mixedfx.scale.recipe import Recipe
from mixedfx.scale.standins import counts_of, stand_ins
from mixedfx.scale.sums import Moments, Sums

__all__ = ["Building"]


@dataclass(frozen=True)
class SummedVariable(Variable):
    """A numeric variable of which sums are left."""

    moments: Moments = field(default_factory=lambda: Moments(np.ones(3), 1.0, 1.0))

    @property
    def is_summed(self) -> bool:
        """True."""
        return True

    @property
    def mean(self) -> float:
        """The mean over the rows."""
        return float(self.moments.powers[1] / self.moments.powers[0])

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return self.moments.low, self.moments.high

    @property
    def levels(self) -> tuple[Any, ...]:
        """The distinct values if there are few; else the smallest, the mean and the largest."""
        if self.moments.distinct is None:
            return self.moments.low, self.mean, self.moments.high
        return tuple(self.moments.distinct.tolist())


@dataclass(frozen=True)
class Building:
    """The parts of the design of the model whose rows have the sums ``sums``."""

    recipe: Recipe
    sums: Sums

    @cached_property
    def _stand_ins(self) -> Any:
        return stand_ins(self.sums)

    @cached_property
    def _labels(self) -> dict[str, Labels]:
        """Labels of every key in the rows, levels in the order of the model."""
        codes = self.sums.cells.codes[self._stand_ins.cell]
        out = {}
        for j, (name, key) in enumerate(zip(self.recipe.keys, self.sums.keys, strict=True)):
            levels, place = key.ordered()
            out[name] = Labels(place[codes[:, j]].astype(np.intp), levels)
        return out

    @cached_property
    def frame(self) -> Frame:
        """What is a factor, as data; numbers are the means of their columns, there for their kind only."""
        n, kinds = len(self._stand_ins.cell), self.recipe.kinds
        columns: dict[str, Any] = {}
        for name in dict.fromkeys((*self.recipe.formula.variables, *self.recipe.variables)):
            labels = self._labels.get(name)
            if labels is None:
                moments = self.sums.moments.get(f"variable {name}")
                columns[name] = np.full(n, 1.0 if moments is None else moments.powers[1] / moments.powers[0])
            elif kinds[name] == "factor":
                columns[name] = pd.Categorical.from_codes(labels.codes, categories=labels.levels)
            else:
                columns[name] = labels.levels.take(labels.codes)
        return as_frame(pd.DataFrame(columns, index=pd.RangeIndex(n)))

    @cached_property
    def _columns(self) -> TermColumns:
        return TermColumns(self.recipe, FrameRows(self.frame), self._stand_ins.columns, self.sums.moments)

    def design(self) -> Design:
        """Return the design.

        Raises
        ------
        SpecificationError, DataError
            As for a design of rows.
        """
        recipe, tally, formula = self.recipe, self.sums.tally, self.recipe.formula
        missing = {name: tally.missing[name] for name in (*recipe.needed, *tally.missing) if name in tally.missing}
        encoder, matrix = self._columns.learn(formula.fixed_terms, "the fixed part")
        fixed, redundant = independent_effects(encoder, matrix, tally.used)
        random = tuple(self._random(term) for term in formula.random)
        notes = (
            *left_out(tally.read, tally.n_missing, missing, tally.silent),
            redundant,
            *map(double_bar, random),
        )
        products = self._columns.products_by_term(formula.fixed_terms)
        counts = counts_of(self._stand_ins, self.sums)
        offsets = OffsetEncoder(
            formula.offsets, recipe.offset, False, recipe.settings.named_in(formula.offsets).functions, ({}, {})
        )
        return Design(
            formula,
            Response(self._stand_ins.columns[:, -1], display(formula.response)),
            fixed,
            random,
            self._stand_ins.weights,
            None,
            pd.RangeIndex(len(matrix)),
            tally.read - tally.used,
            tuple(note for note in notes if note is not None),
            offsets,
            None,
            recipe.weights,
            {name: self._variable(name) for name in fixed.encoder.variables},
            represented=Represented(tally.used, tally.log_weights, counts, products),
        )

    def _variable(self, name: str) -> Variable:
        if name in self._labels:
            return Variable(name, None, self._labels[name])
        places = {factors: j for j, factors in enumerate(self.recipe.monomials)}
        j = places.get(((name, 1),))
        numbers = self._stand_ins.columns[:, j] if j is not None else np.ones(len(self._stand_ins.cell))
        moments = self.sums.moments[f"variable {name}"]
        return SummedVariable(name, numbers, None, name in self.recipe.logical, moments)

    def _random(self, term: RandomTerm) -> RandomEffects:
        labels = level_labels(term.group, [self._labels[name] for name in term.group], self.sums.tally.used)
        encoder, matrix = self._columns.learn(term.terms, f"the left side of {term}")
        covariance = covariance_for(term.covariance, len(encoder.names))
        check_parameters(str(term), covariance, self.sums.tally.used)
        loading = None
        if term.argument is not None:
            given = self.recipe.settings.functions[term.argument]
            loading = relationship_matrix(term.argument, given).factor(labels.levels)
        return RandomEffects(
            term.label,
            term.group,
            labels.codes,
            labels.levels,
            matrix,
            encoder.names,
            covariance,
            encoder,
            str(term),
            loading,
        )
