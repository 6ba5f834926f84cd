"""The grammar of constraints, statsmodels': ``"a = b, 2 * c + d = 1"``.

Names of coefficients are recognised as they are printed (``f[T.b]:x``, ``poly(x, 3)[1]``), the longest first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import factors_of

__all__ = ["NUMBER", "Constraint", "continues", "parse_constraints", "spellings_of"]

NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
SYMBOLS = "+-*/()=,"
MOST_REORDERED = 5  # factors of an interaction that may be written in any order


@dataclass(frozen=True)
class Constraint:
    """``coefficients @ beta = value``, and how it was written."""

    coefficients: Array
    value: float
    text: str


@dataclass(frozen=True)
class _Token:
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
    return _Parser(text, _tokens(text, spellings, names), spellings, list(names)).constraints()


def spellings_of(names: Sequence[str]) -> dict[str, str]:
    """Return what may be written for every coefficient: an interaction in any order, names without back-quotes."""
    found = {name: name for name in names}
    for name in names:
        factors = factors_of(name)
        orders = permutations(factors) if len(factors) <= MOST_REORDERED else [factors]
        for order in orders:
            spelled = ":".join(order)
            found.setdefault(spelled, name)
            found.setdefault(spelled.replace("`", ""), name)
    return found


def _tokens(text: str, spellings: dict[str, str], names: Sequence[str]) -> list[_Token]:
    longest_first = sorted(spellings, key=len, reverse=True)
    out, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token = _token(text, at, longest_first, names)
        out.append(token)
        at += len(token.text)
    return [*out, _Token("end", "", len(text))]


def _token(text: str, at: int, longest_first: Sequence[str], names: Sequence[str]) -> _Token:
    for name in longest_first:
        if text.startswith(name, at) and not continues(text, at + len(name), name):
            return _Token("name", name, at)
    number = NUMBER.match(text, at)
    if number:
        return _Token("number", number.group(), at)
    if text[at] in SYMBOLS:
        return _Token(text[at], text[at], at)
    word = re.match(r"[^\s+\-*/=,]+", text[at:])
    unknown = word.group() if word else text[at]
    raise SpecificationError(f"the constraint {text!r} speaks of {unknown!r}; the coefficients are {', '.join(names)}")


def continues(text: str, end: int, name: str) -> bool:
    """Whether the word goes on behind the name, so that it is not this name."""
    if end >= len(text):
        return False
    after = text[end]
    return after in "[:." or ((name[-1].isalnum() or name[-1] == "_") and (after.isalnum() or after == "_"))


class _Parser:
    """Recursive descent over sums, products and brackets; what it returns is linear in the coefficients."""

    def __init__(self, text: str, tokens: list[_Token], spellings: dict[str, str], names: list[str]) -> None:
        self.text, self.tokens, self.spellings, self.names, self.at = text, tokens, spellings, names, 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
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
