"""Linear hypotheses ``L beta = rhs``: from matrices, from text, from pairs of names and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.constraints import parse_constraints

__all__ = ["Hypothesis", "hypothesis_from"]

DEPENDENT = 1e-9  # a row nearer than this, relative to its length, to the span of the rows above adds nothing


@dataclass(frozen=True)
class Hypothesis:
    """``L @ beta = rhs``.

    Attributes
    ----------
    L : (r, p)
    rhs : (r,)
    names : tuple of r str
        What the rows are called in tables.

    Examples
    --------
    >>> hypothesis_from("b = 2 * a, c = 1", ["a", "b", "c"])
    Hypothesis(L=array([[-2.,  1.,  0.],
           [ 0.,  0.,  1.]]), rhs=array([0., 1.]), names=('b = 2 * a', 'c = 1'))
    """

    L: Array
    rhs: Array
    names: tuple[str, ...]

    def independent(self) -> Hypothesis:
        """Return the hypothesis without rows that follow from the rows above them.

        Raises
        ------
        SpecificationError
            If rows contradict each other.
        """
        kept = independent_rows(self.L)
        if len(kept) == len(self.L):
            return self
        combination, *_ = np.linalg.lstsq(self.L[kept].T, self.L.T, rcond=None)
        implied = combination.T @ self.rhs[kept]
        if not np.allclose(implied, self.rhs, rtol=1e-8, atol=1e-10):
            raise SpecificationError(f"the constraints contradict each other: {', '.join(self.names)}")
        return Hypothesis(self.L[kept], self.rhs[kept], tuple(self.names[i] for i in kept))


def independent_rows(L: Array) -> list[int]:
    """Return the positions of the rows of ``L`` (r, p) that are not combinations of the rows above them."""
    kept: list[int] = []
    basis = np.zeros((0, L.shape[1]))
    for i, row in enumerate(L):
        length = float(np.linalg.norm(row))
        if length == 0:
            continue
        rest = row / length
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            rest = rest - basis.T @ (basis @ rest)
        size = float(np.linalg.norm(rest))
        if size > DEPENDENT:
            kept.append(i)
            basis = np.vstack([basis, rest / size])
    return kept


def hypothesis_from(constraints: Any, names: Sequence[str]) -> Hypothesis:
    """Turn what the user gave into a hypothesis on the coefficients ``names`` (p,).

    Parameters
    ----------
    constraints : Hypothesis, str, list of str, dict, array, DataFrame or tuple
        Text as in statsmodels (``"a = b, c = 0"``); ``{"a": 0, "b": 1}``; rows (r, p) of a matrix, each against zero;
        or ``(matrix, rhs)``.
    names : sequence of str

    Raises
    ------
    SpecificationError
        If the constraints do not fit the coefficients.
    TypeError
        If they are nothing of the above.
    """
    if isinstance(constraints, Hypothesis):
        return constraints
    if not len(names):
        raise SpecificationError("the model has no fixed effects: there is nothing to test")
    if isinstance(constraints, str):
        return _from_text([constraints], names)
    if isinstance(constraints, Mapping):
        return _from_text([f"{key} = {float(value)!r}" for key, value in constraints.items()], names)
    if isinstance(constraints, Sequence) and constraints and all(isinstance(text, str) for text in constraints):
        return _from_text(list(constraints), names)
    if isinstance(constraints, tuple) and len(constraints) == 2 and np.ndim(constraints[0]) in (1, 2):
        matrix, rhs = constraints
        if np.ndim(matrix) == 2 or np.ndim(rhs) == 0:
            return _from_matrix(matrix, rhs, names)
    return _from_matrix(constraints, 0.0, names)


def _from_text(texts: Sequence[str], names: Sequence[str]) -> Hypothesis:
    parsed = [row for text in texts for row in parse_constraints(text, names)]
    L = np.stack([row.coefficients for row in parsed])
    return Hypothesis(L, np.array([row.value for row in parsed]), tuple(row.text for row in parsed))


def _from_matrix(matrix: Any, rhs: Any, names: Sequence[str]) -> Hypothesis:
    labels = list(map(str, matrix.index)) if isinstance(matrix, pd.DataFrame) else None
    if isinstance(matrix, pd.DataFrame | pd.Series):
        matrix = _aligned(matrix, names)
    try:
        L = np.atleast_2d(np.asarray(matrix, dtype=float))
        value = np.atleast_1d(np.asarray(rhs, dtype=float)).ravel()
    except (TypeError, ValueError) as error:
        raise TypeError(
            "constraints are text such as 'x = 0', a matrix with one column a coefficient, or (matrix, values); "
            f"found {type(matrix).__name__}"
        ) from error
    if L.ndim != 2 or L.shape[1] != len(names) or len(L) == 0:
        raise SpecificationError(
            f"a matrix of constraints needs {len(names)} columns, one for each of {', '.join(names)}; "
            f"found shape {np.shape(matrix)}"
        )
    if value.size not in (1, len(L)):
        raise SpecificationError(f"{len(L)} constraints need {len(L)} values on the right, found {value.size}")
    if not (np.isfinite(L).all() and np.isfinite(value).all()):
        raise SpecificationError("constraints must be finite numbers; found nan or inf")
    return Hypothesis(L, np.broadcast_to(value, (len(L),)).copy(), tuple(labels or _labels(L, names)))


def _aligned(matrix: pd.DataFrame | pd.Series[Any], names: Sequence[str]) -> Any:
    """Put labelled columns in the order of the coefficients; positions where the labels are not their names."""
    labels = list(matrix.index if isinstance(matrix, pd.Series) else matrix.columns)
    if set(labels) == set(names) and len(labels) == len(names):
        return matrix[list(names)].to_numpy()
    return matrix.to_numpy()


def _labels(L: Array, names: Sequence[str]) -> list[str]:
    """Name a row after its coefficient if it picks one out, and ``c0, c1, …`` otherwise."""
    single = (np.count_nonzero(L, axis=1) == 1) & (L.max(axis=1) == 1)
    return [names[int(np.argmax(row))] if alone else f"c{i}" for i, (row, alone) in enumerate(zip(L, single))]
