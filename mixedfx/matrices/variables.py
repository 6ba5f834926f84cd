"""The variables behind the columns: what a reference grid, a plot or a check needs to know of them."""

from __future__ import annotations

import ast
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfx._typing import Array
from mixedfx.formula.names import column
from mixedfx.matrices.encoder import Encoder
from mixedfx.matrices.expressions import syntax_tree, variables_in
from mixedfx.matrices.labels import Labels
from mixedfx.matrices.rows import Rows

__all__ = ["Variable", "read_variable", "read_variables"]


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
    is_logical : bool
        Whether its numbers stand for True and False.
    """

    name: str
    numbers: Array | None
    labels: Labels | None
    is_logical: bool = False

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

    def __repr__(self) -> str:
        if self.is_factor:
            return f"<Variable: {self.name}, a factor of {len(self.levels)} levels>"
        return f"<Variable: {self.name}, numbers from {self.range[0]:g} to {self.range[1]:g}>"


def read_variables(encoder: Encoder, rows: Rows) -> dict[str, Variable]:
    """Return the variables that an encoder uses.

    A numeric column that occurs only as ``C(k)`` is a factor. Numbers are copied, so that the caller may change the
    data later.
    """
    return {
        name: read_variable(name, rows, as_factor=_is_only_marked(name, encoder.expressions))
        for name in encoder.variables
    }


def read_variable(name: str, rows: Rows, *, as_factor: bool = False) -> Variable:
    """Return a column as formulas read it; as a factor anyhow if ``as_factor``."""
    if as_factor or rows.is_factor(name):
        return Variable(name, None, rows.labels(name))
    return Variable(name, np.array(rows.numbers(name)), None, rows.is_logical(name))


def _is_only_marked(name: str, expressions: Sequence[str]) -> bool:
    """Say whether every expression that uses the column is ``C(column, …)``."""
    using = [text for text in expressions if name in variables_in([text], {})]
    return all(_marked(text) == name for text in using)


def _marked(expression: str) -> str | None:
    tree = syntax_tree(expression)
    is_call = isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "C"
    argument = tree.args[0] if isinstance(tree, ast.Call) and is_call else None
    return column(argument.id) if isinstance(argument, ast.Name) else None
