"""Parts to a `Formula`: text for formulaic, variables, and the check that the response stays on its side."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache

from mixedfx.formula.expression import Scope, columns_of
from mixedfx.formula.grammar import Tree
from mixedfx.formula.names import column, display
from mixedfx.formula.split import Parts
from mixedfx.formula.terms import Formula, Term, sum_text


def assemble(response: str, parts: Parts, scope: Scope, tree: Tree) -> Formula:
    """Return the formula made of ``response`` and ``parts``.

    Raises
    ------
    SpecificationError
        The response stands on the right side too, or bars and ``Error(…)`` are mixed.
    """
    fixed = tuple(sorted(parts.fixed.values(), key=len))
    if parts.error and parts.random:
        raise scope.error("Error(…) and bar terms cannot stand in one formula", tree.right.start)
    _check_response(response, fixed, parts, scope, tree)
    texts = [response] if response else []
    texts += [factor for term in fixed for factor in term]
    texts += [factor for bar in parts.random for term in bar.terms for factor in term] + parts.offsets
    identifiers = dict.fromkeys(name for text in texts for name in columns_of(text, scope.functions))
    groups = [name for group in (*(bar.group for bar in parts.random), *parts.error) for name in group]
    return Formula(
        response=response,
        fixed=sum_text(fixed),
        random=tuple(parts.random),
        offsets=tuple(parts.offsets),
        error=parts.error,
        source=tree.text,
        variables=tuple(dict.fromkeys([*map(column, identifiers), *groups])),
        fixed_terms=fixed,
        names=tuple((name, column(name)) for name in identifiers),
    )


def _check_response(response: str, fixed: tuple[Term, ...], parts: Parts, scope: Scope, tree: Tree) -> None:
    """Refuse the response among the predictors; ``lag(y)`` and parts of ``cbind`` inside expressions are meant."""
    if not response:
        return
    columns = columns_of(response, scope.functions)
    factors = [factor for term in fixed for factor in term] + parts.offsets
    factors += [factor for bar in parts.random for term in bar.terms for factor in term]
    groups = [name for group in (*(bar.group for bar in parts.random), *parts.error) for name in group]
    if len(columns) == 1:
        name = column(columns[0])
        found = name in groups or any(columns[0] in _outside_lag(factor) for factor in factors)
    else:
        both = [factor for factor in factors if factor in {response, *_joined(response)}]
        name, found = (display(both[0]), True) if both else ("", False)
    if found:
        message = f"the response {name!r} stands on the right side of '~' too; take it away there"
        place = max((token.start for token in tree.tokens if token.text == name), default=tree.right.start)
        raise scope.error(message, place)


@lru_cache(maxsize=1024)
def _outside_lag(text: str) -> frozenset[str]:
    return frozenset(_names(ast.parse(text, mode="eval").body))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lag"):
        for child in ast.iter_child_nodes(node):
            yield from _names(child)


def _joined(response: str) -> Iterable[str]:
    """Return the columns that ``cbind(…)`` joins as they are."""
    match ast.parse(response, mode="eval").body:
        case ast.Call(func=ast.Name(id="cbind"), args=arguments):
            return [argument.id for argument in arguments if isinstance(argument, ast.Name)]
    return []
