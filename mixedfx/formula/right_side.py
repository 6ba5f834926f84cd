"""The right side of a formula: terms expanded, and bars, ``offset(…)`` and ``Error(…)`` peeled off.

``a*b``, ``a/b``, ``a:b``, ``b %in% a`` and ``(a + b)^2`` become lists of interactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from mixedfx.exceptions import SpecificationError
from mixedfx.formula.expression import Scope, read_expression
from mixedfx.formula.grammar import Bar, Call, Chain, Dot, ErrorStrata, Leaf, Name, Node, Number, Power, Sum, mistake
from mixedfx.formula.membership import check_member_term, read_members
from mixedfx.formula.names import display
from mixedfx.formula.terms import Expression, Formula, RandomTerm, Term, columns_in, is_smooth, sum_text

MAX_TERMS = 1_000
"""Terms that one expansion may give."""

MAX_ORDER = 50
"""Factors that one interaction may join."""

MAX_FIXED = 5_000
MAX_RANDOM = 200
MAX_OFFSETS = 200
_REPEATS = 100  # products of a power that may repeat one another, for each term that may come out

Factor = TypeVar("Factor", bound=str)
"""An `Expression` in terms of predictors, the name of a column in groups."""

Terms: TypeAlias = dict[frozenset[str], tuple[Factor, ...]]
"""Terms by their set of factors: ``a:b`` and ``b:a`` are one, the first spelling stays."""

Resolve: TypeAlias = Callable[[Leaf], Iterable[tuple[Factor, ...]]]
Dots: TypeAlias = Callable[[int], Iterable[Term]]
INTERCEPT: Terms[Expression] = {frozenset(): ()}


def expand(node: Node, resolve: Resolve[Factor], text: str) -> Terms[Factor]:
    """Return the terms for which ``node`` stands.

    Parameters
    ----------
    node : Node
        A part of the tree in which only terms may stand.
    resolve : callable
        Gives the terms of a name, of a call or of the dot.
    text : str
        The formula, for messages.

    Returns
    -------
    dict
        Terms by their set of factors.

    Raises
    ------
    SpecificationError
        Something else than a term, or more than ``MAX_TERMS`` terms.
    """
    match node:
        case Name() | Call() | Dot():
            return keyed(resolve(node))
        case Sum(items):
            total: Terms[Factor] = {}
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


def keyed(terms: Iterable[tuple[Factor, ...]]) -> Terms[Factor]:
    """Index terms by their set of factors; a repeated factor counts once."""
    total: Terms[Factor] = {}
    for term in terms:
        total.setdefault(frozenset(term), tuple(dict.fromkeys(term)))
    return total


def combine(total: Terms[Factor], sign: int, change: Terms[Factor], text: str, start: int) -> None:
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


def _cross(left: Terms[Factor], right: Terms[Factor]) -> Terms[Factor]:
    return keyed((*a, *b) for a in left.values() for b in right.values())


def _star(left: Terms[Factor], right: Terms[Factor]) -> Terms[Factor]:
    return keyed([*left.values(), *right.values(), *_cross(left, right).values()])


def _nest(left: Terms[Factor], right: Terms[Factor]) -> Terms[Factor]:
    """``(a + b)/c`` is ``a + b + a:b:c``, as in R."""
    parents = tuple(factor for term in left.values() for factor in term)
    return keyed([*left.values(), *((*parents, *term) for term in right.values())])


_OPERATORS: dict[str, Callable[[Terms[Any], Terms[Any]], Terms[Any]]] = {
    ":": _cross,
    "%in%": _cross,
    "*": _star,
    "/": _nest,
}


def _power(base: Terms[Factor], exponent: int, text: str, start: int) -> Terms[Factor]:
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


def _check_order(terms: Terms[Any], text: str, start: int) -> None:
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


def random_terms(bar: Bar, left: Terms[Expression], scope: Scope) -> tuple[RandomTerm, ...]:
    """Return the random terms of ``bar``, one for each group after expansion.

    Parameters
    ----------
    bar : Bar
        The term in the tree.
    left : Terms
        The terms left of the bar.
    scope : Scope
        What names may mean.

    Returns
    -------
    tuple of RandomTerm

    Raises
    ------
    SpecificationError
        Nothing to vary, a group that is not made of columns, a variable on both sides, an unknown matrix.
    """
    if not left:
        raise scope.error("nothing is left to vary on the left of the bar; write (1 | g) or (0 + x | g)", bar.start)
    if bar.argument is not None and bar.argument not in scope.functions:
        message = f"the matrix of known(…) must be given: functions={{{bar.argument!r}: …}}"
        raise scope.error(message, bar.start)
    terms = tuple(sorted(left.values(), key=len))
    factors = [factor for term in terms for factor in term]
    if any(is_smooth(factor) for factor in factors):
        message = "a smooth cannot stand left of a bar; s(x, by=g) has a smooth for every level of g"
        raise scope.error(message, bar.start)
    variables = columns_in(factors)
    if isinstance(bar.group, Call) and bar.group.name == "mm":
        check_member_term(bar, terms, scope)
        members = read_members(bar.group, scope)
        return (RandomTerm(sum_text(terms), (), "us", None, terms, variables, members),)
    groups = group_terms(bar.group, scope)
    varying = tuple(dict.fromkeys(name for factor in factors for name in factor.summands[0]))
    _check_sides(bar, varying, groups, scope)
    text = sum_text(terms)
    return tuple(RandomTerm(text, group, bar.covariance, bar.argument, terms, variables) for group in groups)


def group_terms(node: Node, scope: Scope) -> tuple[tuple[str, ...], ...]:
    """Return the groups for which the right side of a bar stands, as column names: ``a/b`` is ``(a,), (a, b)``."""

    def resolve(leaf: Leaf) -> Iterable[tuple[str, ...]]:
        return [(_group_column(leaf, scope),)]

    return tuple(sorted(expand(node, resolve, scope.text).values(), key=len))


def same(first: RandomTerm, second: RandomTerm) -> bool:
    """Whether two terms are the same effects with the same covariance."""
    return _key(first) == _key(second)


def _key(term: RandomTerm) -> tuple[object, ...]:
    single = term.terms == ((),) and term.covariance in ("us", "diag", "homdiag")
    covariance = "us" if single else term.covariance
    members = frozenset() if term.members is None else frozenset(term.members.columns)
    return frozenset(keyed(term.terms)), frozenset(term.group), members, covariance, term.argument


def _group_column(leaf: Leaf, scope: Scope) -> str:
    match leaf:
        case Name(text, quoted, start):
            return scope.column(text, start, quoted)
        case Call(name="Q", tokens=tokens) if len(tokens) == 4 and tokens[2].kind == "string":
            return scope.column(tokens[2].text[1:-1], tokens[2].start, True)
        case Call(name="mm", start=start):
            message = "mm(…) is a group of its own: write (1 | mm(a, b))"
            raise scope.error(message, start)
        case Call(name, _, start):
            message = f"a group is a column or a:b, a/b, a*b of columns; make a column of {name}(…) first"
            raise scope.error(message, start)
    raise scope.error("'.' cannot stand for a group; name the grouping column", leaf.start)


def _check_sides(bar: Bar, variables: tuple[str, ...], groups: tuple[tuple[str, ...], ...], scope: Scope) -> None:
    both = [name for group in groups for name in group if name in variables]
    cells = bar.covariance in ("diag", "homdiag") and all(len(group) > 1 for group in groups)
    if both and not cells:
        message = f"{both[0]!r} stands on both sides of the bar '|': it cannot vary within its own levels"
        raise scope.error(message, bar.start)


@dataclass
class RightSide:
    """The right side while it is read from left to right."""

    fixed: Terms[Expression] = field(default_factory=lambda: dict(INTERCEPT))
    random: list[RandomTerm] = field(default_factory=list)
    offsets: list[Expression] = field(default_factory=list)
    error: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Splitter:
    """Reads sums of terms in a ``scope``: ``dots`` gives the terms of ``.``, ``old`` is the formula that is updated."""

    scope: Scope
    dots: Dots
    old: Formula | None = None

    def split(self, right: Sum) -> RightSide:
        """Return the parts of the right side of a formula."""
        parts = RightSide()
        self._add_sum(right, 1, parts)
        return parts

    def resolve(self, leaf: Leaf) -> Iterable[Term]:
        """Return the terms of a name, of a function call or of the dot."""
        match leaf:
            case Name(text, quoted, start):
                return [(Expression.of_column(self.scope.column(text, start, quoted), self.scope.taken),)]
            case Call(_, tokens, _):
                return [(read_expression(tokens, self.scope),)]
        return self.dots(leaf.start)

    def _add_sum(self, node: Sum, sign: int, parts: RightSide) -> None:
        for inner, item in node.items:
            self._add(item, sign * inner, parts)
            if len(parts.fixed) > MAX_FIXED:
                message = (
                    f"the formula has {len(parts.fixed):,} terms up to here, the limit is {MAX_FIXED:,}; leave some "
                    "out, lower the order of interactions, or describe many columns by a few that sum them up"
                )
                raise self.scope.error(message, item.start)

    def _add(self, node: Node, sign: int, parts: RightSide) -> None:
        match node:
            case Sum():
                self._add_sum(node, sign, parts)
            case Number():
                self._add_number(node, sign, parts)
            case Bar():
                self._add_bar(node, sign, parts)
            case Call(name="offset"):
                self._add_offset(node, sign, parts)
            case ErrorStrata():
                self._add_error(node, sign, parts)
            case Dot() if self.old is not None and sign > 0:
                self._add_old(self.old, parts)
            case Chain() if sign > 0 and (rest := _without_intercept(node)) != node:
                self._add(rest, sign, parts)
                parts.fixed.pop(frozenset(), None)  # (f + 0) / x is 0 + f + f:x, as in R
            case _:
                change = expand(node, self.resolve, self.scope.text)
                combine(parts.fixed, sign, change, self.scope.text, node.start)

    def _add_number(self, node: Number, sign: int, parts: RightSide) -> None:
        if node.text not in ("0", "1"):
            message = f"the number {node.text} is not a term (only 1 and 0 for the intercept); write I({node.text} * x)"
            raise self.scope.error(message, node.start)
        if (node.text == "1") == (sign > 0):
            parts.fixed.update(INTERCEPT)
        else:
            parts.fixed.pop(frozenset(), None)

    def _add_bar(self, bar: Bar, sign: int, parts: RightSide) -> None:
        for term in random_terms(bar, self._left(bar.left), self.scope):
            present = [other for other in parts.random if same(other, term)]
            if sign > 0 and present:
                raise self.scope.error(f"the random term {term} stands in the formula twice", bar.start)
            if sign < 0 and not present:
                raise self.scope.error(f"there is no random term {term} to take away", bar.start)
            if sign > 0 and len(parts.random) >= MAX_RANDOM:
                message = (
                    f"this is random term {MAX_RANDOM + 1} of the formula: more than {MAX_RANDOM} random terms cannot "
                    "be fitted; leave some out, or join groups as a:b"
                )
                raise self.scope.error(message, bar.start)
            if sign > 0:
                parts.random.append(term)
            else:
                parts.random = [other for other in parts.random if not same(other, term)]

    def _left(self, left: Sum) -> Terms[Expression]:
        parts = replace(self, old=None).split(left)
        if parts.random or parts.offsets or parts.error:
            message = "only terms may stand left of a bar, no other bar, offset or Error"
            raise self.scope.error(message, left.start)
        return parts.fixed

    def _add_offset(self, node: Call, sign: int, parts: RightSide) -> None:
        inner = node.tokens[2:-1]
        if not inner:
            raise self.scope.error("offset(…) needs an expression: offset(log(n))", node.start)
        text = read_expression(inner, self.scope)
        if sign > 0 and len(parts.offsets) >= MAX_OFFSETS:
            message = (
                f"this is offset {MAX_OFFSETS + 1} of the formula, the limit is {MAX_OFFSETS}; add them up in a column"
            )
            raise self.scope.error(message, node.start)
        if sign > 0:
            parts.offsets.append(text)
        elif text in parts.offsets:
            parts.offsets.remove(text)
        else:
            raise self.scope.error(f"there is no offset({display(text)}) to take away", node.start)

    def _add_error(self, node: ErrorStrata, sign: int, parts: RightSide) -> None:
        strata = keyed(term for inner, item in node.inner.items for term in self._strata(inner, item))
        if sign > 0 and parts.error:
            raise self.scope.error("a formula has only one Error(…)", node.start)
        if sign < 0 and frozenset(strata) != frozenset(keyed(parts.error)):
            raise self.scope.error("there is no such Error(…) to take away", node.start)
        parts.error = tuple(sorted(strata.values(), key=len)) if sign > 0 else ()

    def _strata(self, sign: int, node: Node) -> tuple[tuple[str, ...], ...]:
        if sign < 0 or isinstance(node, Number):
            message = "Error(…) holds the columns of the strata only: Error(block/plot)"
            raise self.scope.error(message, node.start)
        return group_terms(node, self.scope)

    def _add_old(self, old: Formula, parts: RightSide) -> None:
        combine(parts.fixed, 1, keyed(old.fixed_terms), self.scope.text, 0)
        if not old.has_intercept:
            parts.fixed.pop(frozenset(), None)
        bars = [term for term in old.random if not term.is_smooth]
        parts.random += [term for term in bars if not any(same(term, other) for other in parts.random)]
        parts.offsets += old.offsets
        parts.error = parts.error or old.error


def _without_intercept(node: Node) -> Node:
    """Return a product of sums less the ``+ 0`` and ``- 1`` that stand in them."""
    match node:
        case Chain(first, rest):
            others = tuple((operator, _without_intercept(operand)) for operator, operand in rest)
            return replace(node, first=_without_intercept(first), rest=others)
        case Sum(items):
            left = tuple(
                (sign, item)
                for sign, item in items
                if not (isinstance(item, Number) and (item.text, sign) in (("0", 1), ("1", -1)))
            )
            return replace(node, items=left) if left and len(left) < len(items) else node
    return node
