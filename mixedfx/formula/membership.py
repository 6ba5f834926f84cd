"""The group ``mm(a, b, weights=(w1, w2))``: columns of labels and what each membership weighs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from mixedfx.formula.expression import Scope
from mixedfx.formula.grammar import OPENERS, Bar, Call, Token
from mixedfx.formula.terms import Members, Term

__all__ = ["check_member_term", "read_members"]

_CLOSERS = frozenset(OPENERS.values())


def read_members(call: Call, scope: Scope) -> Members:
    """Return the memberships of a group ``mm(…)``.

    Raises
    ------
    SpecificationError
        Fewer than two columns, anything else than columns, or weights that are not one column or number for each.
    """
    columns: list[str] = []
    weights: tuple[str | float, ...] | None = None
    for part in _parts(call.tokens[2:-1]):
        if len(part) > 1 and part[0].text == "weights" and part[1].text == "=":
            if weights is not None:
                raise scope.error("weights= of mm(…) is given twice", part[0].start)
            weights = _weights(part[2:], scope, part[0].start)
            continue
        if len(part) > 1 and part[1].text == "=":
            raise scope.error(f"mm(…) has no argument {part[0].text!r}; it takes columns and weights=", part[0].start)
        if len(part) != 1 or part[0].kind not in ("name", "quoted"):
            place = part[0].start if part else call.start
            raise scope.error("a membership of mm(…) is a column of labels: mm(a, b, weights=(w1, w2))", place)
        columns.append(scope.column(part[0].text, part[0].start, part[0].kind == "quoted"))
    if len(columns) < 2:
        raise scope.error("mm(…) takes two or more columns of labels; for one write (1 | a)", call.start)
    if weights is not None and len(weights) != len(columns):
        message = f"mm(…) has {len(columns)} columns of labels and {len(weights)} weights; give one weight for each"
        raise scope.error(message, call.start)
    return Members(tuple(columns), weights)


def check_member_term(bar: Bar, terms: Sequence[Term], scope: Scope) -> None:
    """Refuse what a term of several memberships cannot have.

    Raises
    ------
    SpecificationError
        Several terms left of the bar, or a covariance between levels or columns.
    """
    if bar.covariance not in ("us", "diag", "homdiag"):
        raise scope.error(f"the levels of mm(…) are independent: {bar.covariance}(… | mm(…)) has no meaning", bar.start)
    if len(terms) != 1:
        message = (
            "left of mm(…) stands one term, 1 or 0 + x: write (1 | mm(a, b)) + (0 + x | mm(a, b)) for independent "
            "intercepts and slopes"
        )
        raise scope.error(message, bar.start)


def _parts(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield what stands between the commas that are in no inner parentheses."""
    depth, start = 0, 0
    for place, token in enumerate(tokens):
        operator = token.kind == "operator"
        depth += (token.text in OPENERS) - (token.text in _CLOSERS) if operator else 0
        if operator and token.text == "," and depth == 0:
            yield tokens[start:place]
            start = place + 1
    if tokens:
        yield tokens[start:]


def _weights(tokens: Sequence[Token], scope: Scope, start: int) -> tuple[str | float, ...]:
    inner = tokens[1:] if tokens and tokens[0].text in ("c", "cbind") and len(tokens) > 1 else tokens
    if len(inner) < 2 or inner[0].text not in ("(", "[") or inner[-1].text not in (")", "]"):
        raise scope.error("weights= of mm(…) is a tuple of columns or numbers: weights=(w1, w2)", start)
    return tuple(_weight(part, scope, start) for part in _parts(inner[1:-1]))


def _weight(tokens: Sequence[Token], scope: Scope, start: int) -> str | float:
    """A column, a number, or a quotient of two numbers such as ``1/2``."""
    if len(tokens) == 1 and tokens[0].kind in ("name", "quoted"):
        return scope.column(tokens[0].text, tokens[0].start, tokens[0].kind == "quoted")
    numbers = [float(token.text) for token in tokens if token.kind == "number"]
    if len(tokens) == 1 and len(numbers) == 1 and isfinite(numbers[0]):
        return numbers[0]
    quotient = [token.text for token in tokens if token.kind == "operator"] == ["/"] and len(tokens) == 3
    if quotient and len(numbers) == 2 and numbers[1] != 0:
        return numbers[0] / numbers[1]
    place = tokens[0].start if tokens else start
    raise scope.error("a weight of mm(…) is a column or a number: weights=(w1, w2), weights=(0.5, 0.5)", place)
