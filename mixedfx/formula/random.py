"""Bar terms to random terms: ``a/b`` and ``a*b`` right of the bar expanded, the left side spelled out."""

from __future__ import annotations

from collections.abc import Iterable

from mixedfx.formula.expand import Terms, expand, keyed
from mixedfx.formula.expression import Scope, columns_of, varying_in
from mixedfx.formula.grammar import Bar, Call, Leaf, Name, Node
from mixedfx.formula.names import column
from mixedfx.formula.terms import RandomTerm, Term, sum_text


def random_terms(bar: Bar, left: Terms, scope: Scope) -> tuple[RandomTerm, ...]:
    """Return the random terms of ``bar``, one for each group after expansion.

    Parameters
    ----------
    bar : Bar
        The term in the tree.
    left : Terms
        The terms left of the bar.
    scope : Scope
        What names may mean.

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
    used = dict.fromkeys(name for factor in factors for name in columns_of(factor, scope.functions))
    variables = tuple(map(column, used))
    groups = group_terms(bar.group, scope)
    varying = tuple(column(name) for factor in factors for name in varying_in(factor, scope.functions))
    _check_sides(bar, varying, groups, scope)
    text = sum_text(terms)
    return tuple(RandomTerm(text, group, bar.covariance, bar.argument, terms, variables) for group in groups)


def group_terms(node: Node, scope: Scope) -> tuple[Term, ...]:
    """Return the groups for which the right side of a bar stands, as column names: ``a/b`` is ``(a,), (a, b)``."""

    def resolve(leaf: Leaf) -> Iterable[Term]:
        return [(_group_column(leaf, scope),)]

    return tuple(sorted(expand(node, resolve, scope.text).values(), key=len))


def same(first: RandomTerm, second: RandomTerm) -> bool:
    """Whether two terms are the same effects with the same covariance."""
    return _key(first) == _key(second)


def _key(term: RandomTerm) -> tuple[object, ...]:
    single = term.terms == ((),) and term.covariance in ("us", "diag", "homdiag")
    covariance = "us" if single else term.covariance
    return frozenset(keyed(term.terms)), frozenset(term.group), covariance, term.argument


def _group_column(leaf: Leaf, scope: Scope) -> str:
    match leaf:
        case Name(text, quoted, start):
            return scope.column(text, start, quoted)
        case Call(name="Q", tokens=tokens) if len(tokens) == 4 and tokens[2].kind == "string":
            return scope.column(tokens[2].text[1:-1], tokens[2].start, True)
        case Call(name, _, start):
            message = f"a group is a column or a:b, a/b, a*b of columns; make a column of {name}(…) first"
            raise scope.error(message, start)
    raise scope.error("'.' cannot stand for a group; name the grouping column", leaf.start)


def _check_sides(bar: Bar, variables: tuple[str, ...], groups: tuple[Term, ...], scope: Scope) -> None:
    both = [name for group in groups for name in group if name in variables]
    cells = bar.covariance in ("diag", "homdiag") and all(len(group) > 1 for group in groups)
    if both and not cells:
        message = f"{both[0]!r} stands on both sides of the bar '|': it cannot vary within its own levels"
        raise scope.error(message, bar.start)
