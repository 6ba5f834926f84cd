"""The syntax tree of an expression: which columns it needs, and where it looks at other rows."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from mixedfx.exceptions import SpecificationError
from mixedfx.formula import CONSTANTS, display
from mixedfx.formula.names import column

__all__ = ["functions_in", "names_in", "syntax_tree", "variables_in"]


@lru_cache(maxsize=512)
def syntax_tree(expression: str) -> ast.expr:
    """Return the syntax tree of evaluable text."""
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise SpecificationError(f"{display(expression)} is not an expression: {error.msg}") from error


@lru_cache(maxsize=512)
def names_in(expression: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the identifiers whose values an expression needs row by row, and its ``lag(…)`` calls.

    Examples
    --------
    >>> names_in("log(x) + lag(y, 1)")
    (('x',), ('lag(y, 1)',))
    """
    names: dict[str, None] = {}
    lags: dict[str, None] = {}

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "lag":
                lags[ast.unparse(node)] = None
                return
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                visit(argument)
        elif isinstance(node, ast.Name):
            names[node.id] = None
        elif not isinstance(node, ast.Attribute):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(syntax_tree(expression))
    return tuple(names), tuple(lags)


def functions_in(expressions: Iterable[str], functions: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the user's ``functions`` that ``expressions`` name."""
    used = {node.id for text in expressions for node in ast.walk(syntax_tree(text)) if isinstance(node, ast.Name)}
    return {name: function for name, function in functions.items() if name in used}


def variables_in(expressions: Iterable[str], functions: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the columns that occur anywhere in ``expressions``."""
    found: dict[str, None] = {}
    for expression in expressions:
        names, lags = names_in(expression)
        for inner in lags:
            call = syntax_tree(inner)
            names += tuple(node.id for node in ast.walk(call) if isinstance(node, ast.Name) and node.id != "lag")
        found |= dict.fromkeys(column(name) for name in names if name not in functions and name not in CONSTANTS)
    return tuple(found)
