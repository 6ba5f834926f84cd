"""Evaluate an expression of a formula: a walk over its syntax tree, where only columns and known functions exist.

Nothing is handed to Python's ``eval``. What the tree may contain is checked by :mod:`mixedfx.formula`; whatever this
walk does not know is refused too.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import plain_numbers, written
from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import CONSTANTS, Expression, display
from mixedfx.formula.names import column
from mixedfx.matrices.columns import column_from_pandas
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.labels import Labels, combine, factorize, ordered_levels, recoded
from mixedfx.matrices.row_by_row import check_row_by_row
from mixedfx.matrices.transforms import (
    ELEMENTWISE,
    LEARN_SPLINE,
    FittedTransform,
    lag,
    learn_center,
    learn_cut,
    learn_means,
    learn_poly,
    learn_scale,
)
from mixedfx.matrices.values import Basis, Coding, Factor, PolynomialCoding, TreatmentCoding, Value, coding_for

if TYPE_CHECKING:
    from mixedfx.matrices.smooths import SmoothInputs

__all__ = [
    "BINARY",
    "Evaluator",
    "by_key",
    "compared",
    "contrast",
    "contrast_name",
    "elementwise",
    "number",
    "with_options",
]

#: Numbers beyond this overflow when they are squared and summed.
LARGEST, SMALLEST = 1e140, 1e-140

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


_LEARN: dict[str, Callable[..., FittedTransform]] = {
    "scale": learn_scale,
    "center": learn_center,
    "poly": learn_poly,
    "cut": learn_cut,
    **LEARN_SPLINE,
}


def by_key(smooth: str) -> str:
    """Return under what the levels of the factor of a smooth are remembered: the smooth itself is no factor."""
    return f"by of {smooth}"


class Evaluator:
    """Values of expressions on some rows: learning from them, or replaying what was learnt on others.

    Parameters
    ----------
    rows : FrameRows
        The data.
    functions : mapping
        The user's own functions and constants.
    codings : mapping
        Contrasts by column.
    learnt : tuple of dict, optional
        ``(transforms, levels)`` of the evaluator that learnt; None to learn from these rows.
    within_only : bool
        Whether ``wb(x, g)`` learns to give the deviations only.
    new_rows : bool
        Whether the values will be made of other rows, too: all but those of a response.
    """

    def __init__(
        self,
        rows: FrameRows,
        functions: Mapping[str, Any],
        codings: Mapping[str, Coding],
        learnt: tuple[dict[str, FittedTransform], dict[str, pd.Index[Any]]] | None = None,
        *,
        within_only: bool = False,
        new_rows: bool = True,
    ) -> None:
        self.rows, self.functions, self.codings = rows, functions, codings
        self.learning, self.within_only, self.new_rows = learnt is None, within_only, new_rows
        self.transforms, self.levels = ({}, {}) if learnt is None else learnt

    def __call__(self, expression: Expression) -> Value:
        """Return the value of an expression.

        Raises
        ------
        DataError
            If a column is not what the expression needs, or the result is infinite or not a number somewhere.
        """
        return self._checked(expression, self.unchecked(expression))

    def numbers(self, expression: Expression) -> Array:
        """Return the value of an expression that is one column of numbers.

        Raises
        ------
        DataError
            If it is something else.
        """
        value = self(expression)
        if isinstance(value, np.ndarray):
            return value
        found = "a factor" if isinstance(value, Factor) else "several columns"
        raise DataError(f"{display(expression)} must be one column of numbers; it is {found}")

    def unchecked(self, expression: Expression) -> Any:
        """Return the value of an expression as it comes, missing values included."""
        tree = expression.tree
        if isinstance(tree, ast.Name):
            return self._name(tree)
        try:
            with np.errstate(all="ignore"):  # infinities and NaNs are found, and reported by name, in the result
                return self._visit(tree)
        except DataError as error:
            raise DataError(f"{display(expression)}: {error}") from error

    def _checked(self, expression: Expression, value: Any) -> Value:
        """Return ``value``, a full column of finite numbers or a factor."""
        if isinstance(value, Factor):
            self._refuse(expression, value.labels.codes < 0, "missing (outside of the intervals, if it is cut)")
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

    def check_finite(self, expression: Expression, numbers: Array) -> None:
        """Refuse what cannot be computed with in the value (n,) of an expression, with a row for an example."""
        with np.errstate(over="ignore", invalid="ignore"):
            square = np.dot(numbers, numbers)  # one pass without a temporary array
        if SMALLEST**2 <= square <= LARGEST**2:
            return
        if square <= LARGEST**2:
            too_small = (numbers != 0) & (self.learning and np.abs(numbers).max(initial=0.0) < SMALLEST)
            self._refuse(expression, too_small, f"at most {SMALLEST:g} in size, too small to be squared")
            return
        self._refuse(expression, np.isinf(numbers), "infinite (inf)")
        self._refuse(expression, np.abs(numbers) > LARGEST, f"beyond {LARGEST:g} in size, too large to be squared")
        self._refuse(expression, np.isnan(numbers), "not a number (NaN)")

    def _refuse(self, expression: Expression, places: BoolArray, what: str) -> None:
        """Raise a DataError that says in how many rows an expression is ``what``, with the first for an example."""
        bad = np.flatnonzero(places)
        if not bad.size:
            return
        shown, first = display(expression), bad[0]
        names = [name for name in expression.row_columns if name in self.rows.frame]
        where = ", ".join(
            f"{name} = {written(self.rows.numbers(name)[first])}"
            for name in names
            if not self._is_factor(name) and name != shown
        )
        raise DataError(
            f"{shown} is {what} in {bad.size} row{'s' * (bad.size > 1)}; the first is row {self.rows.index[first]}"
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
                return BINARY[type(node.op)](number(left, node.left), number(right, node.right))
            case ast.Compare():
                return self._compare(node)
            case ast.List():
                return [self._visit(item) for item in node.elts]
            case ast.Attribute() if (name := contrast_name(node)) is not None:
                return contrast(name, [], {})
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
            if name in self.codings:
                raise SpecificationError(
                    f"contrasts are given for the numeric column {name!r}: write C({name}) to make it a factor"
                )
            return self.rows.numbers(name)
        labels = self.rows.labels(name)
        return self._factor(name, name, labels, self.codings.get(name, TreatmentCoding()))

    def _factor(self, key: str, shown: str, labels: Labels, coding: Coding, levels: Any = None) -> Factor:
        """Return a factor; its levels are remembered under ``key``, or those remembered are enforced."""
        if self.learning:
            self.levels[key] = ordered_levels(shown, labels, levels)
            coding.check(shown, self.levels[key].tolist())
        return Factor(recoded(shown, labels, self.levels[key]), coding)

    def _unary(self, node: ast.UnaryOp) -> Any:
        value = number(self._visit(node.operand), node.operand)
        return -value if isinstance(node.op, ast.USub) else value

    def _compare(self, node: ast.Compare) -> Any:
        values = [self._visit(item) for item in (node.left, *node.comparators)]
        result: Any = True
        for sign, left, right in zip(node.ops, values, values[1:]):
            result = np.logical_and(result, compared(sign, left, right, node))
        return np.asarray(result, dtype=np.float64)

    def _call(self, node: ast.Call) -> Any:
        coding = contrast_name(node.func)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "lag":
            return self._lag(node)
        if name == "C":
            return self._categorical(node)
        if name in self.functions:
            return self._user(name, node)
        if name == "wb":
            return self._within_between(node)
        if name == "s":
            return self._smooth(node)
        values = [self._visit(argument) for argument in node.args]
        options = {str(keyword.arg): self._visit(keyword.value) for keyword in node.keywords}
        if coding is not None:
            return contrast(coding, values, options)
        if name in _LEARN:
            return self._stateful(name, node, values, options)
        if name in ELEMENTWISE:
            return elementwise(name, node, values, options)
        raise SpecificationError(f"{display(ast.unparse(node.func))}(…) is not a function that a formula may use")

    def _lag(self, node: ast.Call) -> Value:
        """Shift the rows of the whole frame, before rows with missing values are left out."""
        whole = Evaluator(self.rows.all(), self.functions, self.codings)
        values = [whole._visit(argument) for argument in node.args]
        options = {str(keyword.arg): whole._visit(keyword.value) for keyword in node.keywords}
        shown = display(ast.unparse(node))
        if whole.transforms:
            raise SpecificationError(f"{shown}: a function that learns from the data must stand outside of lag(…)")
        shifted = with_options("lag", node, lag, values, options)
        keep = slice(None) if self.rows.keep is None else self.rows.keep
        if isinstance(shifted, Factor):
            labels = Labels(shifted.labels.codes[keep], shifted.labels.levels).without_unused()
            return self._factor(ast.unparse(node), shown, labels, shifted.coding)
        return np.asarray(shifted[keep])

    def _stateful(self, name: str, node: ast.Call, values: list[Any], options: dict[str, Any]) -> Value:
        key = ast.unparse(node)
        x = np.asarray(number(values[0] if values else options.pop("x", None), node), dtype=np.float64)
        if self.learning:
            self.transforms[key] = with_options(name, node, _LEARN[name], [x, *values[1:]], options)
        value: Value = self.transforms[key](x)
        return value

    def _within_between(self, node: ast.Call) -> Value:
        """``wb(x, g)``, ``wb(x, a, b)``: deviations from the means of the groups (cells), and these means."""
        key, (first, *others) = ast.unparse(node), node.args
        x = np.asarray(number(self._visit(first), first), dtype=np.float64)
        names = [column(other.id) for other in others if isinstance(other, ast.Name)]
        parts = [self.rows.labels(name) for name in names]
        groups = combine(parts, names) if len(parts) > 1 else parts[0]
        if self.learning:
            self.transforms[key] = learn_means(x, groups, within_only=self.within_only)
        return self.transforms[key]((x, groups))

    def _smooth(self, node: ast.Call) -> Basis:
        """``s(x)``, ``s(x, by=f)``: its straight line, one for each level; the rest is random."""
        from mixedfx.matrices.smooths import learn_smooth

        key, options = ast.unparse(node), {str(keyword.arg): keyword.value for keyword in node.keywords}
        by = options.pop("by", None)
        if self.learning and isinstance(by, ast.Name) and self.rows.is_factor(name := column(by.id)):
            self.levels[by_key(key)] = ordered_levels(display(by.id), self.rows.labels(name), None)
        at, levels = self._smoothed(node), self.levels.get(by_key(key))
        if self.learning:
            given = {name: self._visit(value) for name, value in options.items()}
            learnt: Any = learn_smooth(at, 1 if levels is None else len(levels), **given)
            self.transforms[key] = learnt
        smooth: Any = self.transforms[key]
        return Basis(smooth.line(at), smooth.parts if levels is None else tuple(levels.tolist()))

    def smooth_inputs(self, smooth: Expression) -> SmoothInputs:
        """Return what a smooth that is learnt is a function of.

        Raises
        ------
        DataError
            If the factor has a level that was unknown when the smooth was learnt.
        """
        return self._smoothed(smooth.tree)

    def _smoothed(self, node: Any) -> SmoothInputs:
        from mixedfx.matrices.smooths import SmoothInputs

        x = np.asarray(number(self._visit(node.args[0]), node), dtype=np.float64)
        self.check_finite(Expression(ast.unparse(node.args[0]), node.args[0], frozenset(self.functions)), x)
        by = next((keyword.value for keyword in node.keywords if keyword.arg == "by"), None)
        if not isinstance(by, ast.Name):
            return SmoothInputs(x)
        name, levels = column(by.id), self.levels.get(by_key(ast.unparse(node)))
        if levels is not None:
            return SmoothInputs(x, codes=recoded(name, self.rows.labels(name), levels).codes)
        times = np.asarray(number(self._visit(by), by), dtype=np.float64)
        self.check_finite(Expression(by.id, by, frozenset(self.functions)), times)
        if self.learning and np.all(times == times[:1]):
            raise DataError(f"by={name} has the same value in every row: nothing varies, leave it out")
        return SmoothInputs(x, times=times)

    def _categorical(self, node: ast.Call) -> Factor:
        """``C(f)``, ``C(f, contr.sum)``, ``C(f, levels=[…])``: a factor with given contrasts and levels."""
        argument = node.args[0]
        shown = display(ast.unparse(argument))
        labels, coding = self._labels_of(argument)
        options = {str(keyword.arg): self._visit(keyword.value) for keyword in node.keywords}
        choice = self._visit(node.args[1]) if len(node.args) > 1 else options.get("contrasts")
        levels = self._visit(node.args[2]) if len(node.args) > 2 else options.get("levels")
        if choice is not None:
            coding = coding_for(shown, choice)
        return self._factor(ast.unparse(node), shown, labels, coding, levels)

    def _labels_of(self, argument: ast.expr) -> tuple[Labels, Coding]:
        """Return the labels of any expression; those of a column are its own values, not converted to floats."""
        if isinstance(argument, ast.Name) and column(argument.id) in self.rows.frame:
            name = column(argument.id)
            return self.rows.labels(name), self.codings.get(name, TreatmentCoding())
        value = self._visit(argument)
        if isinstance(value, Factor):
            return value.labels, value.coding
        numbers = np.asarray(number(value, argument), dtype=np.float64)
        return factorize(display(ast.unparse(argument)), numbers), TreatmentCoding()

    def _user(self, name: str, node: ast.Call) -> Value:
        """Call a function of the user with arrays (factors as pandas Categoricals)."""
        values = [_for_user(self._visit(argument)) for argument in node.args]
        options = {str(keyword.arg): _for_user(self._visit(keyword.value)) for keyword in node.keywords}
        value = self._made(name, node, self.functions[name](*values, **options))
        if self.learning and self.new_rows:
            arguments, shown = [*values, *options.values()], display(ast.unparse(node))
            check_row_by_row(name, shown, value, arguments, self.rows.size, lambda some: self._on_some(node, some))
        return value

    def _made(self, name: str, node: ast.Call, result: Any) -> Value:
        """Return what a function of the user gave as a number, a column, a factor or several columns."""
        shown = display(ast.unparse(node))
        try:
            dimensions = np.ndim(result)
        except ValueError as error:
            raise DataError(f"the rows of {shown} are not of one length: give one value a row, or a table") from error
        if dimensions > 2:
            raise DataError(f"{shown} has {dimensions} dimensions: give one value a row, or a table")
        if dimensions == 0:
            return float(plain_numbers(f"the result of {shown}", result))
        if np.shape(result)[0] != self.rows.size:
            raise DataError(f"{name} returned {np.shape(result)[0]} values for {self.rows.size} rows")
        if dimensions == 2:
            columns = tuple(result.columns) if isinstance(result, pd.DataFrame) else tuple(range(np.shape(result)[1]))
            return Basis(plain_numbers(f"the columns of {shown}", result), columns)
        converted = column_from_pandas(shown, pd.Series(result))
        if not converted.is_factor:
            return converted.numbers
        return self._factor(shown, shown, converted.labels, TreatmentCoding())

    def _on_some(self, node: ast.Call, some: BoolArray) -> Value:
        """Return the value of a call for some of the rows, as for new data."""
        learnt = self.transforms, self.levels
        value: Value = Evaluator(self.rows.some(some), self.functions, self.codings, learnt)._visit(node)
        return value


def _for_user(value: Any) -> Any:
    if isinstance(value, Factor):
        return value.categorical()
    return value.matrix if isinstance(value, Basis) else value
