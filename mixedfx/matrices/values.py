"""What an expression of a formula can evaluate to, besides a number and a column of numbers: a factor or a basis."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._typing import Array, BoolArray
from mixedfx.matrices.codings import Coding, TreatmentCoding
from mixedfx.matrices.labels import Labels

__all__ = ["Basis", "Factor", "Value"]


@dataclass(frozen=True)
class Factor:
    """A categorical value: the label of each row and the contrasts of the levels.

    Parameters
    ----------
    labels : Labels
        Codes (n,) and levels (m,).
    coding : Coding
        How the levels become columns.
    """

    labels: Labels
    coding: Coding = field(default_factory=TreatmentCoding)

    @property
    def levels(self) -> tuple[Hashable, ...]:
        """The levels as plain Python values."""
        return tuple(self.labels.levels.tolist())

    def categorical(self) -> pd.Categorical:
        """Return the values as pandas has them (for functions of the user)."""
        return pd.Categorical.from_codes(self.labels.codes, categories=self.labels.levels)

    def equals(self, other: Any) -> BoolArray:
        """Return where the label is ``other`` (n,)."""
        position = self.labels.levels.get_indexer(pd.Index([other], dtype=object))[0]
        return np.asarray((self.labels.codes == position) & (position >= 0))


@dataclass(frozen=True)
class Basis:
    """Several columns of one expression, such as a spline.

    Parameters
    ----------
    matrix : numpy.ndarray
        The columns (n, k).
    columns : tuple
        Their names (k), which stand in brackets behind the expression.
    spans_constant : bool
        Whether some combination of them is constant, so that one is left out beside an intercept.
    """

    matrix: Array
    columns: tuple[Hashable, ...]
    spans_constant: bool = False


Value: TypeAlias = "float | str | Array | Factor | Basis"
