"""The algebra of terms: ``a*b``, ``a/b``, ``a:b``, ``b %in% a`` and ``(a + b)^2`` become lists of interactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from mixedfx.exceptions import SpecificationError
from mixedfx.formula.grammar import Call, Chain, Dot, ErrorStrata, Leaf, Name, Node, Number, Power, Sum
from mixedfx.formula.names import display
from mixedfx.formula.terms import Term
from mixedfx.formula.tokens import mistake

MAX_TERMS = 1_000
"""Terms that one expansion may give."""

MAX_ORDER = 50
"""Factors that one interaction may join."""

_REPEATS = 100  # products of a power that may repeat one another, for each term that may come out

Terms: TypeAlias = dict[frozenset[str], Term]
"""Terms by their set of factors: ``a:b`` and ``b:a`` are one, the first spelling stays."""

Resolve: TypeAlias = Callable[[Leaf], Iterable[Term]]


def expand(node: Node, resolve: Resolve, text: str) -> Terms:
    """Return the terms for which ``node`` stands.

    Parameters
    ----------
    node : Node
        A part of the tree in which only terms may stand.
    resolve : callable
        Gives the terms of a name, of a call or of the dot.
    text : str
        The formula, for messages.

    Raises
    ------
    SpecificationError
        Something else than a term, or more than ``MAX_TERMS`` terms.
    """
    match node:
        case Name() | Call() | Dot():
            return keyed(resolve(node))
        case Sum(items):
            total: Terms = {}
            for sign, item in items:
                combine(total, sign, expand(item, resolve, text), text, item.start)
            return total
        case Chain(first, rest):
            total = expand(first, resolve, text)
            for operator, operand in rest:
                right = expand(operand, resolve, text)
                _check_size(len(total) * len(right), text, operand.start)
                total = _OPERATORS[operator](total, right)
                _check_size(len(total), text, operand.start)
                _check_order(total, text, operand.start)
            return total
        case Power(base, exponent, start):
            return _power(expand(base, resolve, text), exponent, text, start)
    raise _misplaced(node, text)


def keyed(terms: Iterable[Term]) -> Terms:
    """Index terms by their set of factors; a repeated factor counts once."""
    total: Terms = {}
    for term in terms:
        total.setdefault(frozenset(term), tuple(dict.fromkeys(term)))
    return total


def combine(total: Terms, sign: int, change: Terms, text: str, start: int) -> None:
    """Add ``change`` to ``total``, or take it away, in place; taking away only what is not there is an error."""
    if sign > 0:
        for key, term in change.items():
            total.setdefault(key, term)
        return
    if not any(key in total for key in change):
        names = display(" + ".join(":".join(term) for term in change.values()))
        raise mistake(f"there is no term {names} to take away", text, start)
    for key in change:
        total.pop(key, None)


def _cross(left: Terms, right: Terms) -> Terms:
    return keyed((*a, *b) for a in left.values() for b in right.values())


def _star(left: Terms, right: Terms) -> Terms:
    return keyed([*left.values(), *right.values(), *_cross(left, right).values()])


def _nest(left: Terms, right: Terms) -> Terms:
    """``(a + b)/c`` is ``a + b + a:b:c``, as in R."""
    parents = tuple(factor for term in left.values() for factor in term)
    return keyed([*left.values(), *((*parents, *term) for term in right.values())])


_OPERATORS: dict[str, Callable[[Terms, Terms], Terms]] = {":": _cross, "%in%": _cross, "*": _star, "/": _nest}


def _power(base: Terms, exponent: int, text: str, start: int) -> Terms:
    if len(base) == 1 and exponent > 1:
        name = display(":".join(next(iter(base.values()))))
        message = (
            f"between terms '^' is an order of interaction and a power of one term is that term; write I({name}^2)"
        )
        raise mistake(message, text, start)
    total = base
    for _ in range(exponent - 1):
        _check_size(len(total) * len(base), text, start, MAX_TERMS * _REPEATS)
        larger = keyed([*total.values(), *_cross(total, base).values()])
        if len(larger) == len(total):
            break
        total = larger
        _check_size(len(total), text, start)
    return total


def _check_size(n_terms: int, text: str, start: int, limit: int = MAX_TERMS) -> None:
    if n_terms > limit:
        message = (
            f"the formula expands to too many terms ({n_terms:,} products, the limit is {limit:,}); lower the order of "
            "the interactions"
        )
        raise mistake(message, text, start)


def _check_order(terms: Terms, text: str, start: int) -> None:
    order = max(map(len, terms), default=0)
    if order > MAX_ORDER:
        message = f"an interaction of more than {MAX_ORDER} factors ({order} here); write '+' between those apart"
        raise mistake(message, text, start)


def _misplaced(node: Node, text: str) -> SpecificationError:
    match node:
        case Number(number):
            message = f"the number {number} is not a term; write arithmetic inside I(…), as in I(2 * x)"
        case ErrorStrata():
            message = "Error(…) can only be added to the other terms"
        case _:
            message = "a random term can only be added to the other terms: y ~ x + (1 | g)"
    return mistake(message, text, node.start)
