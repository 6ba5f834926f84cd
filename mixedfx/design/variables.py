"""The variables behind the columns: what a reference grid, a plot or a check needs to know of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.design.labels import Labels
from mixedfx.design.rows import Rows

__all__ = ["Variable", "read_variables"]


@dataclass(frozen=True)
class Variable:
    """A column of the data that the terms use, in the rows of the model.

    Parameters
    ----------
    name : str
        Its name.
    numbers : numpy.ndarray or None
        Its values (n,) if it is numeric.
    labels : Labels or None
        Its labels if it is a factor.
    """

    name: str
    numbers: Array | None
    labels: Labels | None

    @property
    def is_factor(self) -> bool:
        """Whether formulas read it as a factor."""
        return self.labels is not None

    @property
    def levels(self) -> tuple[Hashable, ...]:
        """The levels of a factor, or the distinct values of a numeric variable in increasing order."""
        if self.labels is not None:
            return tuple(self.labels.levels.tolist())
        return tuple(np.unique(np.asarray(self.numbers)).tolist())

    @property
    def mean(self) -> float:
        """The mean of a numeric variable; NaN for a factor."""
        return float("nan") if self.numbers is None else float(np.mean(self.numbers))

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of a numeric variable; NaN for a factor."""
        if self.numbers is None:
            return float("nan"), float("nan")
        return float(np.min(self.numbers)), float(np.max(self.numbers))


def read_variables(names: Iterable[str], rows: Rows) -> dict[str, Variable]:
    """Return the variables called ``names``; numbers are copied, so that the caller may change the data later."""
    found = {}
    for name in names:
        if rows.is_factor(name):
            found[name] = Variable(name, None, rows.labels(name))
        else:
            found[name] = Variable(name, np.array(rows.numbers(name)), None)
    return found
