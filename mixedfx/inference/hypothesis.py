"""Linear hypotheses ``L beta = rhs``: from matrices, from text, from pairs of names and values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import factors_of

__all__ = [
    "NUMBER",
    "Constraint",
    "Hypothesis",
    "continues",
    "hypothesis_from",
    "joint_hypothesis",
    "parse_constraints",
    "spellings_of",
]

NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
SYMBOLS = "+-*/()=,"
MOST_REORDERED = 5  # factors of an interaction that may be written in any order
DEPENDENT = 1e-9  # a row nearer than this, relative to its length, to the span of the rows above adds nothing


@dataclass(frozen=True)
class Constraint:
    """``coefficients @ beta = value``, and how it was written."""

    coefficients: Array
    value: float
    text: str


@dataclass(frozen=True)
class _ConstraintToken:
    kind: str  # "name", "number", or the symbol itself; "end"
    text: str
    position: int


@dataclass(frozen=True)
class _Linear:
    """``coefficients @ beta + constant``."""

    coefficients: Array
    constant: float

    def times(self, factor: float) -> _Linear:
        return _Linear(factor * self.coefficients, factor * self.constant)

    def plus(self, other: _Linear, sign: float) -> _Linear:
        return _Linear(self.coefficients + sign * other.coefficients, self.constant + sign * other.constant)

    @property
    def is_number(self) -> bool:
        return not self.coefficients.any()


def parse_constraints(text: str, names: Sequence[str]) -> list[Constraint]:
    """Parse comma-separated constraints on the coefficients ``names`` (p,).

    Raises
    ------
    SpecificationError
        If the text names no coefficient, or is not linear in them.

    Examples
    --------
    >>> [row] = parse_constraints("(a + b) / 2 = c", ["a", "b", "c"])
    >>> row.coefficients, row.value
    (array([ 0.5,  0.5, -1. ]), 0.0)
    """
    bare = {name.replace("`", "") for name in names}
    if len(bare) == len(names):  # back-quotes tell nothing apart
        text = text.replace("`", "")
    spellings = spellings_of(names)
    return _ConstraintParser(text, _tokens(text, spellings, names), spellings, list(names)).constraints()


def spellings_of(names: Sequence[str]) -> dict[str, str]:
    """Return what may be written for every coefficient: an interaction in any order, names without back-quotes."""
    spellings = {name: name for name in names}
    for name in names:
        factors = factors_of(name)
        orders = permutations(factors) if len(factors) <= MOST_REORDERED else [factors]
        for order in orders:
            spelled = ":".join(order)
            spellings.setdefault(spelled, name)
            spellings.setdefault(spelled.replace("`", ""), name)
    return spellings


def _tokens(text: str, spellings: dict[str, str], names: Sequence[str]) -> list[_ConstraintToken]:
    longest_first = sorted(spellings, key=len, reverse=True)
    out, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token = _token(text, at, longest_first, names)
        out.append(token)
        at += len(token.text)
    return [*out, _ConstraintToken("end", "", len(text))]


def _token(text: str, at: int, longest_first: Sequence[str], names: Sequence[str]) -> _ConstraintToken:
    for name in longest_first:
        if text.startswith(name, at) and not continues(text, at + len(name), name):
            return _ConstraintToken("name", name, at)
    number = NUMBER.match(text, at)
    if number:
        return _ConstraintToken("number", number.group(), at)
    if text[at] in SYMBOLS:
        return _ConstraintToken(text[at], text[at], at)
    word = re.match(r"[^\s+\-*/=,]+", text[at:])
    unknown = word.group() if word else text[at]
    raise SpecificationError(f"the constraint {text!r} speaks of {unknown!r}; the coefficients are {', '.join(names)}")


def continues(text: str, end: int, name: str) -> bool:
    """Whether the word goes on behind the name, so that it is not this name."""
    if end >= len(text):
        return False
    after = text[end]
    return after in "[:." or ((name[-1].isalnum() or name[-1] == "_") and (after.isalnum() or after == "_"))


class _ConstraintParser:
    """Recursive descent over sums, products and brackets; what it returns is linear in the coefficients."""

    def __init__(self, text: str, tokens: list[_ConstraintToken], spellings: dict[str, str], names: list[str]) -> None:
        self.text, self.tokens, self.spellings, self.names, self.at = text, tokens, spellings, names, 0

    @property
    def next(self) -> _ConstraintToken:
        return self.tokens[self.at]

    def take(self) -> _ConstraintToken:
        token = self.next
        self.at += 1
        return token

    def fail(self, problem: str) -> SpecificationError:
        return SpecificationError(
            f"the constraint {self.text!r} {problem}; write for example 'a = 0' or 'a = b, c = 1'"
        )

    def constraints(self) -> list[Constraint]:
        out = self.equations()
        while self.next.kind == ",":
            self.take()
            out += self.equations()
        if self.next.kind != "end":
            raise self.fail(f"goes wrong at {self.text[self.next.position :]!r}")
        return out

    def equations(self) -> list[Constraint]:
        """``a = b = 0``: each side against the next; a lone expression is compared with zero."""
        start = self.next.position
        sides = [self.sum()]
        while self.next.kind == "=":
            self.take()
            sides.append(self.sum())
        text = self.text[start : self.next.position].strip()
        if len(sides) == 1:
            sides.append(_Linear(np.zeros(len(self.names)), 0.0))
            text += " = 0"
        out = []
        for left, right in pairwise(sides):
            difference = left.plus(right, -1.0)
            if difference.is_number:
                raise self.fail("involves no coefficient")
            out.append(Constraint(difference.coefficients, 0.0 - difference.constant, text))
        return out

    def sum(self) -> _Linear:
        value = self.product()
        while self.next.kind in ("+", "-"):
            sign = 1.0 if self.take().kind == "+" else -1.0
            value = value.plus(self.product(), sign)
        return value

    def product(self) -> _Linear:
        value = self.atom()
        while self.next.kind in ("*", "/"):
            operator, right = self.take().kind, self.atom()
            if operator == "*" and value.is_number:
                value = right.times(value.constant)
            elif not right.is_number or (operator == "/" and right.constant == 0):
                raise self.fail("is not linear in the coefficients")
            else:
                value = value.times(right.constant if operator == "*" else 1.0 / right.constant)
        return value

    def atom(self) -> _Linear:
        token = self.take()
        if token.kind == "name":
            return _Linear(np.eye(len(self.names))[self.names.index(self.spellings[token.text])], 0.0)
        if token.kind == "number":
            return _Linear(np.zeros(len(self.names)), float(token.text))
        if token.kind in ("+", "-"):
            return self.atom().times(1.0 if token.kind == "+" else -1.0)
        if token.kind == "(":
            value = self.sum()
            if self.take().kind != ")":
                raise self.fail("has a bracket that is not closed")
            return value
        raise self.fail(f"goes wrong at {self.text[token.position :]!r}" if token.text else "ends too early")


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


def joint_hypothesis(constraints: Any, names: Sequence[str]) -> Hypothesis:
    """Return the hypothesis of a joint test: as :func:`hypothesis_from`, and it says something.

    Raises
    ------
    SpecificationError
        If all rows are zero, too.
    """
    hypothesis = hypothesis_from(constraints, names)
    if not hypothesis.L.any():
        raise SpecificationError(
            "the constraints are zero in every coefficient, and test nothing: give a row with a number that is not "
            "zero, or text such as 'x = 0'"
        )
    return hypothesis


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
