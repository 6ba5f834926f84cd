"""Peel bars, ``offset(…)`` and ``Error(…)`` off the right side; what is left are the fixed terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from mixedfx.formula.expand import Terms, combine, expand, keyed
from mixedfx.formula.expression import Scope, expression
from mixedfx.formula.grammar import Bar, Call, Chain, Dot, ErrorStrata, Leaf, Name, Node, Number, Sum
from mixedfx.formula.names import display, identifier
from mixedfx.formula.random import group_terms, random_terms, same
from mixedfx.formula.terms import Formula, RandomTerm, Term

Dots = Callable[[int], Iterable[Term]]
MAX_FIXED = 5_000
MAX_RANDOM = 200
MAX_OFFSETS = 200
INTERCEPT: Terms = {frozenset(): ()}


@dataclass
class Parts:
    """The right side while it is read from left to right."""

    fixed: Terms = field(default_factory=lambda: dict(INTERCEPT))
    random: list[RandomTerm] = field(default_factory=list)
    offsets: list[str] = field(default_factory=list)
    error: tuple[Term, ...] = ()


@dataclass(frozen=True)
class Splitter:
    """Reads sums of terms in a ``scope``; ``dots`` gives the terms of ``.``, ``old`` the formula that is updated."""

    scope: Scope
    dots: Dots
    old: Formula | None = None

    def split(self, right: Sum) -> Parts:
        """Return the parts of the right side of a formula."""
        parts = Parts()
        self._add_sum(right, 1, parts)
        return parts

    def resolve(self, leaf: Leaf) -> Iterable[Term]:
        """Return the terms of a name, of a function call or of the dot."""
        match leaf:
            case Name(text, quoted, start):
                return [(identifier(self.scope.column(text, start, quoted), self.scope.taken),)]
            case Call(_, tokens, _):
                return [(expression(tokens, self.scope),)]
        return self.dots(leaf.start)

    def _add_sum(self, node: Sum, sign: int, parts: Parts) -> None:
        for inner, item in node.items:
            self._add(item, sign * inner, parts)
            if len(parts.fixed) > MAX_FIXED:
                message = (
                    f"the formula has {len(parts.fixed):,} terms up to here, the limit is {MAX_FIXED:,}; leave some "
                    "out, lower the order of interactions, or describe many columns by a few that sum them up"
                )
                raise self.scope.error(message, item.start)

    def _add(self, node: Node, sign: int, parts: Parts) -> None:
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

    def _add_number(self, node: Number, sign: int, parts: Parts) -> None:
        if node.text not in ("0", "1"):
            message = f"the number {node.text} is not a term (only 1 and 0 for the intercept); write I({node.text} * x)"
            raise self.scope.error(message, node.start)
        if (node.text == "1") == (sign > 0):
            parts.fixed.update(INTERCEPT)
        else:
            parts.fixed.pop(frozenset(), None)

    def _add_bar(self, bar: Bar, sign: int, parts: Parts) -> None:
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

    def _left(self, left: Sum) -> Terms:
        parts = replace(self, old=None).split(left)
        if parts.random or parts.offsets or parts.error:
            message = "only terms may stand left of a bar, no other bar, offset or Error"
            raise self.scope.error(message, left.start)
        return parts.fixed

    def _add_offset(self, node: Call, sign: int, parts: Parts) -> None:
        inner = node.tokens[2:-1]
        if not inner:
            raise self.scope.error("offset(…) needs an expression: offset(log(n))", node.start)
        text = expression(inner, self.scope)
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

    def _add_error(self, node: ErrorStrata, sign: int, parts: Parts) -> None:
        strata = keyed(term for inner, item in node.inner.items for term in self._strata(inner, item))
        if sign > 0 and parts.error:
            raise self.scope.error("a formula has only one Error(…)", node.start)
        if sign < 0 and frozenset(strata) != frozenset(keyed(parts.error)):
            raise self.scope.error("there is no such Error(…) to take away", node.start)
        parts.error = tuple(sorted(strata.values(), key=len)) if sign > 0 else ()

    def _strata(self, sign: int, node: Node) -> tuple[Term, ...]:
        if sign < 0 or isinstance(node, Number):
            message = "Error(…) holds the columns of the strata only: Error(block/plot)"
            raise self.scope.error(message, node.start)
        return group_terms(node, self.scope)

    def _add_old(self, old: Formula, parts: Parts) -> None:
        combine(parts.fixed, 1, keyed(old.fixed_terms), self.scope.text, 0)
        if not old.has_intercept:
            parts.fixed.pop(frozenset(), None)
        parts.random += [term for term in old.random if not any(same(term, other) for other in parts.random)]
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
