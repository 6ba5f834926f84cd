"""The Schur complement of the remainder in the making: what is left of it when the chain's factors are eliminated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixedfx._typing import Array
from mixedfx.linalg.cross import Cross
from mixedfx.linalg.gram import Gram
from mixedfx.linalg.iterative import IterativeRemainder
from mixedfx.linalg.operator import OperatorCross, OperatorSquare, as_operator
from mixedfx.linalg.probes import Nearby
from mixedfx.linalg.remainder import Remainder, factorize_remainder

__all__ = ["CellSchur", "OperatorSchur", "Schur", "schur_of"]


class Schur(ABC):
    """``S = Z_R' Z_R - sum over the eliminated factors of C' K C``, as far as it has come."""

    @abstractmethod
    def minus(self, cross: Cross, k: Array) -> Schur:
        """Return it less ``C' blockdiag(k) C``, for symmetric ``k`` (Q, Q, m) of the factor that is eliminated."""

    @abstractmethod
    def factorised(self, factors: Sequence[Array]) -> Remainder:
        """Return the remainder with this Schur complement, at the covariance factors (Q, Q) of all factors."""


@dataclass(frozen=True)
class CellSchur(Schur):
    """All its cells, dense or on a pattern; None as long as there are the remainder's own cross-products alone."""

    gram: Gram
    cells: Array | None = None

    def minus(self, cross: Cross, k: Array) -> CellSchur:
        """Return it less the products of one factor."""
        update = cross.schur(k)
        if self.cells is None:
            return CellSchur(self.gram, self._with_own(np.negative(update, out=update)))
        return CellSchur(self.gram, np.subtract(self.cells, update, out=update))

    def _with_own(self, cells: Array) -> Array:
        """Add the remainder's own cross-products in place."""
        places, values = self.gram.remainder_cells
        cells[places] += values
        return cells

    def factorised(self, factors: Sequence[Array]) -> Remainder:
        """Return the remainder, factorised."""
        layout = self.gram.layout
        cells = self._with_own(np.zeros(layout.square.n_cells)) if self.cells is None else self.cells
        return factorize_remainder(layout, factors, cells)


@dataclass(frozen=True)
class OperatorSchur(Schur):
    """Never formed: the products that it is made of, ``eliminated`` (C, K) of every factor."""

    gram: Gram
    square: OperatorSquare
    near: Nearby | None
    eliminated: tuple[tuple[OperatorCross, Array], ...] = ()

    def minus(self, cross: Cross, k: Array) -> OperatorSchur:
        """Return it less the products of one factor."""
        return replace(self, eliminated=(*self.eliminated, (as_operator(cross), k)))

    def factorised(self, factors: Sequence[Array]) -> Remainder:
        """Return the remainder, to be solved."""
        layout = self.gram.layout
        own = tuple(factors[r] for r in layout.remainder)
        return IterativeRemainder(layout, self.square, self.eliminated, own, self.gram.solver, self.near)


def schur_of(gram: Gram, near: Nearby | None = None) -> Schur:
    """Return the remainder's own cross-products, from which the eliminated factors are taken off one by one.

    ``near`` is what the remainder at other covariance factors knows, whose solutions are where to start.
    """
    if isinstance(gram.remainder, OperatorSquare):
        return OperatorSchur(gram, gram.remainder, near)
    return CellSchur(gram)
