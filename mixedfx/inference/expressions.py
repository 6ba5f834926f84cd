"""The grammar of functions of coefficients, ``"Days / Intercept = 0.05"``, with exact derivatives.

Names of coefficients are recognised as they are printed (``f[T.b]:x``), the longest first, and as ``b1``, ``b2``, … by
position. Beside them there are numbers, ``+ - * / ^ ( )`` and a few functions: nothing else is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.hypothesis import NUMBER, continues, spellings_of

__all__ = ["Claim", "listed_claims", "parse_claim"]

LONGEST, DEEPEST = 5000, 100  # characters and brackets of an expression
LN2, LN10 = float(np.log(2.0)), float(np.log(10.0))

FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1.0 / x),
    "log2": (np.log2, lambda x: 1.0 / (x * LN2)),
    "log10": (np.log10, lambda x: 1.0 / (x * LN10)),
    "log1p": (np.log1p, lambda x: 1.0 / (1.0 + x)),
    "expm1": (np.expm1, np.exp),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "abs": (abs, np.sign),
    "logit": (special.logit, lambda x: 1.0 / (x * (1.0 - x))),
    "expit": (special.expit, lambda x: special.expit(x) * special.expit(-x)),
}
FUNCTIONS |= {"qlogis": FUNCTIONS["logit"], "plogis": FUNCTIONS["expit"]}


@dataclass(frozen=True)
class Claim:
    """``value(beta) = null``: the value at the estimates and its gradient (p,)."""

    text: str
    value: float
    gradient: Array
    null: float


@dataclass(frozen=True)
class _Dual:
    """A number with its derivatives in the coefficients."""

    value: float
    slope: Array

    def composed(self, value: float, factor: float) -> _Dual:
        """Return a function of it, with that derivative; a derivative of zero stays zero."""
        moved = np.multiply(factor, self.slope, out=np.zeros_like(self.slope), where=self.slope != 0.0)
        return _Dual(float(value), moved)

    def __add__(self, other: _Dual) -> _Dual:
        return _Dual(self.value + other.value, self.slope + other.slope)

    def __neg__(self) -> _Dual:
        return self.composed(-self.value, -1.0)

    def __mul__(self, other: _Dual) -> _Dual:
        return _Dual(self.value * other.value, self.value * other.slope + other.value * self.slope)

    def inverse(self) -> _Dual:
        return self.composed(np.divide(1.0, self.value), -(np.divide(1.0, self.value) ** 2))

    def power(self, other: _Dual) -> _Dual:
        value = np.power(self.value, other.value)
        with_base = self.composed(value, other.value * np.power(self.value, other.value - 1.0))
        with_exponent = other.composed(value, value * np.log(self.value)) if other.slope.any() else other
        return _Dual(float(value), with_base.slope + with_exponent.slope)


def parse_claim(text: str, names: Sequence[str], beta: Array) -> Claim:
    """Evaluate a function of coefficients, or ``function = value``, at the estimates.

    If coefficients stand on both sides of ``=``, the difference of the sides is compared with zero.

    Raises
    ------
    SpecificationError
        If it has no meaning, names no coefficient, or has no finite value at the estimates.

    Examples
    --------
    >>> import numpy as np
    >>> claim = parse_claim("a / b = 1", ["a", "b"], np.array([3.0, 2.0]))
    >>> claim.value, claim.gradient, claim.null
    (1.5, array([ 0.5 , -0.75]), 1.0)
    """
    if len(text) > LONGEST:
        raise SpecificationError(f"a hypothesis has at most {LONGEST} characters; found {len(text)}")
    parser = _ClaimParser(text, names, np.asarray(beta, dtype=float))
    with np.errstate(all="ignore"):  # what is not finite is refused below
        left = parser.sum()
        right = parser.other_side()
    parser.finish()
    if not left.slope.any() and not right.slope.any() and not parser.named:
        raise parser.fail("names no coefficient")
    if parser.named_right:
        left, right = left + -right, parser.number(0.0)
    if not (np.isfinite(left.value) and np.isfinite(left.slope).all() and np.isfinite(right.value)):
        raise parser.fail("has no finite value or slope at the estimates")
    return Claim(text.strip(), left.value, left.slope, right.value)


def listed_claims(text: str, names: Sequence[str]) -> list[str]:
    """Split a list of hypotheses at the commas that stand in no name.

    Examples
    --------
    >>> listed_claims("exp(poly(x, 2)[1]) = 1, f[T.a,b]=0", ["poly(x, 2)[1]", "f[T.a,b]"])
    ['exp(poly(x, 2)[1]) = 1', 'f[T.a,b]=0']
    """
    spelled = sorted((name for name in spellings_of(names) if "," in name), key=len, reverse=True)
    whole = "|".join(["`[^`]*`", *map(re.escape, spelled)])
    kept = re.compile(f"(?:{whole}|[^,])*")
    parts, at = [], 0
    while at <= len(text):
        found = kept.match(text, at)
        end = len(text) if found is None else found.end()
        parts.append(text[at:end].strip())
        at = end + 1
    return parts


class _ClaimParser:
    """Recursive descent; every rule returns a number with its derivatives."""

    def __init__(self, text: str, names: Sequence[str], beta: Array) -> None:
        self.text, self.beta, self.at, self.depth = text, beta, 0, 0
        self.named = self.named_right = False
        self.spellings = {spelled: list(names).index(name) for spelled, name in spellings_of(names).items()}
        for j in range(len(names)):
            self.spellings.setdefault(f"b{j + 1}", j)
        self.longest_first = sorted(self.spellings, key=len, reverse=True)
        self.names = names

    def number(self, value: float) -> _Dual:
        return _Dual(value, np.zeros(self.beta.size))

    def fail(self, problem: str) -> SpecificationError:
        known = ", ".join(self.names)
        return SpecificationError(
            f"the hypothesis {self.text!r} {problem}; write for example 'b1 / b2 = 1' or 'exp(b2) = 2' with the "
            f"coefficients {known}, numbers, + - * / ^ ( ) and {', '.join(FUNCTIONS)}"
        )

    def taken(self, *symbols: str) -> str:
        """Return the one of ``symbols`` that stands here, and pass it; nothing if none does."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        for symbol in symbols:
            if self.text.startswith(symbol, self.at):
                self.at += len(symbol)
                return symbol
        return ""

    def finish(self) -> None:
        """Refuse what is left."""
        self.taken()
        if self.at < len(self.text):
            raise self.fail(f"goes wrong at {self.text[self.at : self.at + 40]!r}")

    def other_side(self) -> _Dual:
        """Return what stands right of ``=``; zero if nothing does."""
        if not self.taken("==", "="):
            return self.number(0.0)
        before, self.named = self.named, False
        right = self.sum()
        self.named, self.named_right = before or self.named, self.named
        return right

    def sum(self) -> _Dual:
        value = self.product()
        while sign := self.taken("+", "-"):
            other = self.product()
            value = value + (other if sign == "+" else -other)
        return value

    def product(self) -> _Dual:
        value = self.signed()
        while not self.text.startswith("**", self.at) and (sign := self.taken("*", "/")):
            other = self.signed()
            value = value * (other if sign == "*" else other.inverse())
        return value

    def signed(self) -> _Dual:
        """Return a power behind any signs: ``-a^2`` is ``-(a^2)``."""
        negative = False
        while sign := self.taken("-", "+"):
            negative ^= sign == "-"
        value = self.power()
        return -value if negative else value

    def power(self) -> _Dual:
        """Powers, from the right."""
        base = self.atom()
        if not self.taken("^", "**"):
            return base
        self.deeper()
        value = base.power(self.signed())
        self.depth -= 1
        return value

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail(f"has more than {DEEPEST} levels of brackets")

    def atom(self) -> _Dual:
        """Return a coefficient, a number, a function of something, or brackets."""
        if self.taken("`"):
            return self.quoted()
        for name in self.longest_first:
            if self.text.startswith(name, self.at) and not continues(self.text, self.at + len(name), name):
                self.at += len(name)
                return self.coefficient(self.spellings[name])
        number = NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            return self.number(float(number.group()))
        word = re.compile(r"\w+").match(self.text, self.at)
        if word and word.group() in FUNCTIONS:
            self.at = word.end()
            value, slope = FUNCTIONS[word.group()]
            inner = self.brackets()
            return inner.composed(value(inner.value), slope(inner.value))
        if self.text.startswith("(", self.at):
            return self.brackets()
        if self.at >= len(self.text):
            raise self.fail("ends too early")
        if word:
            raise self.fail(f"speaks of {word.group()!r}, which is no coefficient")
        raise self.fail(f"goes wrong at {self.text[self.at : self.at + 40]!r}")

    def brackets(self) -> _Dual:
        if not self.taken("("):
            raise self.fail("has a function without brackets")
        self.deeper()
        value = self.sum()
        if not self.taken(")"):
            raise self.fail("has a bracket that is not closed")
        self.depth -= 1
        return value

    def quoted(self) -> _Dual:
        """Return a coefficient whose name stands between back-quotes."""
        end = self.text.find("`", self.at)
        name = self.text[self.at : end]
        if end < 0 or name not in self.spellings:
            raise self.fail(f"speaks of {name!r}, which is no coefficient")
        self.at = end + 1
        return self.coefficient(self.spellings[name])

    def coefficient(self, place: int) -> _Dual:
        self.named = True
        slope = np.zeros(self.beta.size)
        slope[place] = 1.0
        return _Dual(float(self.beta[place]), slope)
