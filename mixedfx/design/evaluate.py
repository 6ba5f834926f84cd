"""Evaluate an expression of a formula: a walk over its syntax tree, where only columns and known functions exist.

Nothing is handed to Python's ``eval``. What the tree may contain is checked by :mod:`mixedfx.formula`; whatever this
walk does not know is refused too.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._typing import Array
from mixedfx.design.codings import CODINGS, Coding, PolynomialCoding, TreatmentCoding, coding_for
from mixedfx.design.columns import column_from_pandas
from mixedfx.design.labels import Labels, factorize
from mixedfx.design.rows import Rows
from mixedfx.design.splines import LEARN_SPLINE
from mixedfx.design.transforms import (
    ELEMENTWISE,
    FittedTransform,
    lag,
    learn_center,
    learn_cut,
    learn_poly,
    learn_scale,
)
from mixedfx.design.values import Basis, Factor, Value
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import CONSTANTS, display
from mixedfx.formula.names import column

__all__ = ["Evaluator", "names_in", "syntax_tree", "variables_in"]

_LEARN: dict[str, Callable[..., FittedTransform]] = {
    "scale": learn_scale,
    "center": learn_center,
    "poly": learn_poly,
    "cut": learn_cut,
    **LEARN_SPLINE,
}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


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
            for child in (*node.args, *(keyword.value for keyword in node.keywords)):
                visit(child)
        elif isinstance(node, ast.Name):
            names[node.id] = None
        elif not isinstance(node, ast.Attribute):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(syntax_tree(expression))
    return tuple(names), tuple(lags)


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


class Evaluator:
    """Values of expressions on some rows: learning from them, or replaying what was learnt on others.

    Parameters
    ----------
    rows : Rows
        The data.
    functions : mapping
        The user's own functions and constants.
    codings : mapping
        Contrasts by column.
    learnt : tuple of dict, optional
        ``(transforms, levels)`` of the evaluator that learnt; None to learn from these rows.
    """

    def __init__(
        self,
        rows: Rows,
        functions: Mapping[str, Any],
        codings: Mapping[str, Coding],
        learnt: tuple[dict[str, FittedTransform], dict[str, pd.Index[Any]]] | None = None,
    ) -> None:
        self.rows, self.functions, self.codings = rows, functions, codings
        self.learning = learnt is None
        self.transforms, self.levels = ({}, {}) if learnt is None else learnt

    def __call__(self, expression: str) -> Value:
        """Return the value of an expression.

        Raises
        ------
        DataError
            If a column is not what the expression needs, or the result is infinite or not a number somewhere.
        """
        return self._checked(expression, self.unchecked(expression))

    def unchecked(self, expression: str) -> Any:
        """Return the value of an expression as it comes, missing values included."""
        tree = syntax_tree(expression)
        if isinstance(tree, ast.Name):
            return self._name(tree)
        try:
            with np.errstate(all="ignore"):  # infinities and NaNs are found, and reported by name, in the result
                return self._visit(tree)
        except DataError as error:
            raise DataError(f"{display(expression)}: {error}") from error

    def _checked(self, expression: str, value: Any) -> Value:
        """Return ``value``, a full column of finite numbers or a factor."""
        if isinstance(value, Factor):
            return value
        if isinstance(value, Basis):
            if self.learning and not np.isfinite(value.matrix).all():
                self.check_finite(expression, value.matrix.sum(axis=1))
            return value
        if isinstance(value, str):
            raise SpecificationError(f"{display(expression)} is text, not a column")
        numbers = np.asarray(value, dtype=np.float64)
        if numbers.ndim == 0:
            numbers = np.full(self.rows.size, float(numbers))
        self.check_finite(expression, numbers)
        return numbers

    def check_finite(self, expression: str, numbers: Array) -> None:
        """Refuse infinities and NaNs in the value (n,) of an expression, with a row for an example."""
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(np.add.reduce(numbers)):  # one pass without a temporary array
                return
        bad = np.flatnonzero(~np.isfinite(numbers))
        if not bad.size:
            return
        first = bad[0]
        names = [column(name) for name in names_in(expression)[0] if column(name) in self.rows.frame]
        shown = display(expression)
        where = ", ".join(
            f"{name} = {self.rows.numbers(name)[first]:g}"
            for name in names
            if not self._is_factor(name) and name != shown
        )
        what = "infinite (inf)" if np.isinf(numbers[first]) else "not a number (NaN)"
        raise DataError(
            f"{shown} is {what} in {bad.size} row{'s' * (bad.size > 1)}; the first is row {self.rows.index[first]!r}"
            + (f", where {where}" if where else "")
        )

    def _is_factor(self, name: str) -> bool:
        return self.rows.is_factor(name) if self.learning else name in self.levels

    def _visit(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp():
                return self._unary(node)
            case ast.BinOp():
                left, right = self._visit(node.left), self._visit(node.right)
                return _BINARY[type(node.op)](_number(left, node.left), _number(right, node.right))
            case ast.Compare():
                return self._compare(node)
            case ast.List():
                return [self._visit(item) for item in node.elts]
            case ast.Attribute():
                return _attribute(node)
            case ast.Call():
                return self._call(node)
        raise SpecificationError(f"{display(ast.unparse(node))} is not allowed in a formula")

    def _name(self, node: ast.Name) -> Any:
        name = column(node.id)
        if name in self.rows.frame:
            return self._column(name)
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        if node.id in self.functions and not callable(self.functions[node.id]):
            return self.functions[node.id]
        return self.rows.frame.column(name)  # raises: there is no such column

    def _column(self, name: str) -> Array | Factor:
        if not self._is_factor(name):
            return self.rows.numbers(name)
        return Factor(self._labels(name), self.codings.get(name, TreatmentCoding()))

    def _labels(self, name: str) -> Labels:
        """Return the labels of a column, in the levels that were learnt."""
        labels = self.rows.labels(name)
        if self.learning:
            self.levels[name] = labels.levels
            return labels
        return _recoded(name, labels, self.levels[name])

    def _unary(self, node: ast.UnaryOp) -> Any:
        value = _number(self._visit(node.operand), node.operand)
        return -value if isinstance(node.op, ast.USub) else value

    def _compare(self, node: ast.Compare) -> Any:
        values = [self._visit(item) for item in (node.left, *node.comparators)]
        result: Any = True
        for sign, left, right in zip(node.ops, values, values[1:]):
            result = np.logical_and(result, _compared(sign, left, right, node))
        return np.asarray(result, dtype=np.float64)

    def _call(self, node: ast.Call) -> Any:
        name = _function_name(node.func)
        if name == "lag":
            return self._lag(node)
        if name == "C":
            return self._categorical(node)
        if name in self.functions:
            return self._user(name, node)
        values = [self._visit(argument) for argument in node.args]
        options = {str(keyword.arg): self._visit(keyword.value) for keyword in node.keywords}
        if name in _LEARN:
            return self._stateful(name, node, values, options)
        if name in ELEMENTWISE:
            return _elementwise(name, node, values, options)
        if name in CODINGS:
            return _coding(name, values, options)
        raise SpecificationError(f"unknown function {name!r} in {display(ast.unparse(node))}")

    def _lag(self, node: ast.Call) -> Value:
        """Shift the rows of the whole frame, before rows with missing values are left out."""
        whole = Evaluator(self.rows.all(), self.functions, self.codings)
        if not self.learning:
            whole = Evaluator(self.rows.all(), self.functions, self.codings, (self.transforms, self.levels))
        values = [whole._visit(argument) for argument in node.args]
        options = {str(keyword.arg): whole._visit(keyword.value) for keyword in node.keywords}
        shifted = _with_options("lag", node, lag, values, options)
        if isinstance(shifted, Factor):
            if self.rows.keep is None:
                return shifted
            return Factor(Labels(shifted.labels.codes[self.rows.keep], shifted.labels.levels), shifted.coding)
        return shifted if self.rows.keep is None else shifted[self.rows.keep]

    def _stateful(self, name: str, node: ast.Call, values: list[Any], options: dict[str, Any]) -> Value:
        key = ast.unparse(node)
        x = np.asarray(_number(values[0] if values else options.pop("x", None), node), dtype=np.float64)
        if self.learning:
            self.transforms[key] = _with_options(name, node, _LEARN[name], [x, *values[1:]], options)
        return self.transforms[key](x)

    def _categorical(self, node: ast.Call) -> Factor:
        """``C(f)``, ``C(f, contr.sum)``, ``C(f, levels=[…])``: the column as a factor with given contrasts and levels."""
        key = ast.unparse(node)
        argument = node.args[0]
        if isinstance(argument, ast.Name) and column(argument.id) in self.rows.frame:
            factor = self._factor_of_column(column(argument.id), key)
        else:
            factor = self._factor_of_value(self._visit(argument), key, argument)
        options = {str(keyword.arg): self._visit(keyword.value) for keyword in node.keywords}
        choice = self._visit(node.args[1]) if len(node.args) > 1 else options.get("contrasts")
        levels = options.get("levels")
        if levels is not None:
            factor = Factor(_relevelled(key, factor.labels, levels), factor.coding)
        if choice is None:
            return factor
        return Factor(factor.labels, coding_for(display(ast.unparse(argument)), choice))

    def _factor_of_column(self, name: str, key: str) -> Factor:
        labels = self.rows.labels(name)
        if self.learning:
            self.levels[key] = labels.levels
        else:
            labels = _recoded(name, labels, self.levels[key])
        return Factor(labels, self.codings.get(name, TreatmentCoding()))

    def _factor_of_value(self, value: Any, key: str, node: ast.AST) -> Factor:
        if isinstance(value, Factor):
            return value
        shown = display(ast.unparse(node))
        labels = factorize(shown, np.asarray(_number(value, node), dtype=np.float64))
        if self.learning:
            self.levels[key] = labels.levels
        else:
            labels = _recoded(shown, labels, self.levels[key])
        return Factor(labels)

    def _user(self, name: str, node: ast.Call) -> Value:
        """Call a function of the user with arrays (factors as pandas Categoricals)."""
        values = [_for_user(self._visit(argument)) for argument in node.args]
        options = {str(keyword.arg): _for_user(self._visit(keyword.value)) for keyword in node.keywords}
        result = self.functions[name](*values, **options)
        shown = display(ast.unparse(node))
        if np.ndim(result) == 0:
            return float(result)
        if np.shape(result)[0] != self.rows.size:
            raise DataError(f"{name} returned {np.shape(result)[0]} values for {self.rows.size} rows")
        if np.ndim(result) == 2:
            columns = tuple(result.columns) if isinstance(result, pd.DataFrame) else tuple(range(np.shape(result)[1]))
            return Basis(np.asarray(result, dtype=np.float64), columns)
        converted = column_from_pandas(shown, pd.Series(result))
        if not converted.is_factor:
            return converted.numbers
        labels = converted.labels
        if self.learning:
            self.levels[shown] = labels.levels
            return Factor(labels)
        return Factor(_recoded(shown, labels, self.levels[shown]))


def _number(value: Any, node: ast.AST) -> Any:
    """Return ``value`` if arithmetic can use it."""
    if isinstance(value, (Factor, Basis, str, list, Coding)) or value is None:
        shown = display(ast.unparse(node))
        kind = (
            "a factor"
            if isinstance(value, Factor)
            else "several columns"
            if isinstance(value, Basis)
            else "not a number"
        )
        raise DataError(f"{shown} is {kind}; arithmetic and functions need a column of numbers")
    return value


def _compared(sign: ast.cmpop, left: Any, right: Any, node: ast.AST) -> Any:
    """Compare numbers, or a factor with one of its labels for equality."""
    if isinstance(right, Factor) and not isinstance(left, Factor):
        left, right = right, left
    if isinstance(left, Factor) and isinstance(right, (str, int, float)) and isinstance(sign, (ast.Eq, ast.NotEq)):
        same = left.equals(right)
        return same if isinstance(sign, ast.Eq) else ~same
    return _COMPARE[type(sign)](_number(left, node), _number(right, node))


def _attribute(node: ast.Attribute) -> Coding:
    """``contr.sum`` and its like."""
    if isinstance(node.value, ast.Name) and node.value.id == "contr":
        return coding_for(node.attr, node.attr)
    raise SpecificationError(f"{ast.unparse(node)} is not allowed in a formula")


def _function_name(node: ast.AST) -> str:
    """Return the name of a function; ``np.log`` is ``log`` and ``contr.sum(…)`` is ``sum``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "contr"):
        return node.attr
    raise SpecificationError(f"{ast.unparse(node)} is not a function that a formula may use")


def _coding(name: str, values: list[Any], options: dict[str, Any]) -> Coding:
    """``contr.treatment(base="b")`` and ``contr.poly(scores=[…])``."""
    argument = values[0] if values else next(iter(options.values()), None)
    if name == "treatment":
        return TreatmentCoding(argument)
    if name == "poly" and argument is not None:
        return PolynomialCoding(tuple(argument))
    return CODINGS[name]()


def _elementwise(name: str, node: ast.Call, values: list[Any], options: dict[str, Any]) -> Any:
    if name == "I":
        return values[0] if values else _number(None, node)
    checked = [_number(value, argument) for value, argument in zip(values, node.args)]
    return _with_options(name, node, ELEMENTWISE[name], checked, options)


def _with_options(
    name: str, node: ast.Call, function: Callable[..., Any], values: list[Any], options: dict[str, Any]
) -> Any:
    """Call ``function``; options that it does not have are the formula's fault."""
    try:
        return function(*values, **options)
    except TypeError as error:
        raise SpecificationError(
            f"{display(ast.unparse(node))}: {name} does not take these arguments ({error})"
        ) from error


def _recoded(name: str, labels: Labels, levels: pd.Index[Any]) -> Labels:
    """Return the labels in the levels that were learnt.

    Raises
    ------
    DataError
        If a label was unknown when the model was fitted.
    """
    codes = labels.recode(levels)
    unknown = (codes < 0) & (labels.codes >= 0)
    if unknown.any():
        found = labels.levels[np.unique(labels.codes[unknown])].tolist()
        known = levels.tolist()
        shown = ", ".join(map(repr, known[:20])) + (", …" if len(known) > 20 else "")
        raise DataError(
            f"{name!r} has {'levels' if len(found) > 1 else 'the level'} {', '.join(map(repr, found[:5]))}, unknown to the "
            f"fitted model; known levels: {shown}"
        )
    return Labels(codes, levels)


def _relevelled(key: str, labels: Labels, levels: Any) -> Labels:
    """Return the labels with the levels that the formula gives."""
    if isinstance(levels, (str, float, int)):
        levels = [levels]
    return _recoded(display(key), labels.without_unused(), pd.Index(list(levels)))


def _for_user(value: Any) -> Any:
    if isinstance(value, Factor):
        return value.categorical()
    return value.matrix if isinstance(value, Basis) else value
