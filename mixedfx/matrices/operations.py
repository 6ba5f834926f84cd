"""Arithmetic, comparisons and function calls on the values of a formula, with errors that name the expression."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import display
from mixedfx.matrices.codings import Coding, PolynomialCoding, TreatmentCoding, coding_for
from mixedfx.matrices.transforms import ELEMENTWISE
from mixedfx.matrices.values import Basis, Factor

__all__ = [
    "BINARY",
    "compared",
    "contrast",
    "contrast_name",
    "elementwise",
    "number",
    "with_options",
]

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def number(value: Any, node: ast.AST) -> Any:
    """Return ``value`` if arithmetic can use it.

    Raises
    ------
    DataError
        If it is a factor, several columns, or no number at all.
    """
    if isinstance(value, Factor):
        kind = "a factor"
    elif isinstance(value, Basis):
        kind = "several columns"
    elif value is None or isinstance(value, (str, list, Coding)):
        kind = "not a number"
    else:
        return value
    raise DataError(f"{display(ast.unparse(node))} is {kind}; arithmetic and functions need a column of numbers")


def compared(sign: ast.cmpop, left: Any, right: Any, node: ast.AST) -> Any:
    """Compare numbers, or a factor with one of its labels for equality."""
    if isinstance(right, Factor) and not isinstance(left, Factor):
        left, right = right, left
    if isinstance(left, Factor) and isinstance(right, (str, int, float)) and isinstance(sign, (ast.Eq, ast.NotEq)):
        same = left.equals(right)
        return same if isinstance(sign, ast.Eq) else ~same
    return COMPARE[type(sign)](number(left, node), number(right, node))


def contrast_name(node: ast.AST) -> str | None:
    """Return ``"sum"`` for ``contr.sum``, None for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "contr":
        return node.attr
    return None


def contrast(name: str, values: list[Any], options: dict[str, Any]) -> Coding:
    """Return the coding of ``contr.sum``, ``contr.treatment(base="b")``, ``contr.poly(scores=[…])``."""
    argument = values[0] if values else next(iter(options.values()), None)
    if name == "treatment":
        return TreatmentCoding(argument)
    if name == "poly" and argument is not None:
        return PolynomialCoding(tuple(argument))
    return coding_for(name, name)


def elementwise(name: str, node: ast.Call, values: list[Any], options: dict[str, Any]) -> Any:
    """Apply a function of each row alone."""
    if name == "I":
        return values[0] if values else number(None, node)
    checked = [number(value, argument) for value, argument in zip(values, node.args)]
    return with_options(name, node, ELEMENTWISE[name], checked, options)


def with_options(
    name: str, node: ast.Call, function: Callable[..., Any], values: list[Any], options: dict[str, Any]
) -> Any:
    """Call ``function``; options that it does not have are the formula's fault."""
    try:
        return function(*values, **options)
    except TypeError as error:
        raise SpecificationError(
            f"{display(ast.unparse(node))}: {name} does not take these arguments ({error})"
        ) from error
