"""What is summed: the columns, by products of numbers within cells of labels, that a formula needs of every row.

Within a cell - the rows with the same levels of all grouping factors and of all factors of the formula - the columns of
a model are linear functions of the products of its numeric expressions. So these are summed: contrasts, the order of
levels and the constants of ``scale``, ``center`` and ``poly`` may come later, when all rows have been seen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from mixedfx._typing import Array, BoolArray
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.formula import Expression, Formula, Term, display
from mixedfx.matrices.build import check_names, parsed_for, used_rows
from mixedfx.matrices.columns import TimeColumn
from mixedfx.matrices.encoder import Settings
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.frame import Frame, FrameRows
from mixedfx.matrices.response import read_response
from mixedfx.matrices.rows import Completeness, RowArgument, read_argument, sum_of
from mixedfx.matrices.transforms import whole
from mixedfx.matrices.values import Basis, Factor, codings_for

__all__ = ["Monomial", "Numeric", "Recipe", "learnt_from", "make_recipe", "monomial"]

#: Functions that learn constants from all rows, which sums of powers give: degree of the polynomial that they are.
POLYNOMIALS = ("scale", "center", "poly")
#: Options without which a spline takes its knots from the data.
KNOTS = ("knots", "lower_bound", "upper_bound")
SPLINES = ("bs", "ns", "cr", "cs")

Monomial = tuple[tuple[str, int], ...]  # (expression, number of its raw column from 1), sorted; () is the constant


@dataclass(frozen=True)
class Numeric:
    """A numeric expression of the formula by its raw columns.

    Attributes
    ----------
    expression : Expression
    columns : tuple or None
        Names of the columns of a basis; None for a single column.
    spans_constant : bool
    degree : int
        Of the polynomial of :attr:`inner` that the expression is; 0 where the raw columns are its values.
    inner : Expression
        What ``scale``, ``center`` and ``poly`` learn from.
    shift, unit : float
        The powers are those of ``(inner - shift) / unit``.
    """

    expression: Expression
    columns: tuple[Any, ...] | None = None
    spans_constant: bool = False
    degree: int = 0
    inner: Expression = field(default_factory=Expression)
    shift: float = 0.0
    unit: float = 1.0

    @property
    def n_raw(self) -> int:
        """Number of raw columns, the constant not counted."""
        return self.degree or (1 if self.columns is None else len(self.columns))

    @property
    def choices(self) -> range:
        """Numbers of the raw columns that a product may take: 0 is the constant."""
        return range(0 if self.degree else 1, self.n_raw + 1)

    def raw(self, value: Evaluator) -> Array:
        """Return the raw columns (n, :attr:`n_raw`)."""
        if self.degree:
            powers = (value.numbers(self.inner) - self.shift) / self.unit
            return np.asarray(powers[:, None] ** np.arange(1, self.degree + 1))
        content = value(self.expression)
        return np.asarray(content.matrix if isinstance(content, Basis) else np.asarray(content)[:, None])


@dataclass(frozen=True)
class Recipe:
    """How the rows of any frame become sums that can be added.

    Attributes
    ----------
    formula : Formula
    settings : Settings
        The user's functions and contrasts.
    contrasts : dict
        The contrasts as they were given.
    weights, offset : str or None
        Columns.
    kinds : dict
        What each column holds, by name: factor, number or time.
    logical : frozenset of str
        Columns of True and False.
    numerics : dict
        Numeric expressions of the terms.
    coded : tuple of str
        Columns that are factors of terms.
    """

    formula: Formula
    settings: Settings
    contrasts: Mapping[str, Any]
    weights: str | None
    offset: str | None
    kinds: Mapping[str, str]
    logical: frozenset[str]
    numerics: Mapping[str, Numeric]
    coded: tuple[str, ...]

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Columns whose levels make the cells: those of terms, then the grouping ones."""
        return tuple(dict.fromkeys((*self.coded, *self.formula.groups)))

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Numeric columns of the fixed part, whose means and ranges are kept."""
        names = dict.fromkeys(name for term in self.formula.fixed_terms for factor in term for name in factor.columns)
        return tuple(name for name in names if self.kinds[name] != "factor" and name not in self.coded)

    @cached_property
    def slopes(self) -> tuple[Monomial, ...]:
        """Products that random effects multiply, without the constant."""
        return self._products(term for random in self.formula.random for term in random.terms)

    @cached_property
    def monomials(self) -> tuple[Monomial, ...]:
        """All products that are summed: :attr:`slopes` first."""
        return tuple(dict.fromkeys((*self.slopes, *self._products(self.formula.fixed_terms))))

    def _products(self, terms: Iterable[Term]) -> tuple[Monomial, ...]:
        found: dict[Monomial, None] = {}
        for term in terms:
            found |= dict.fromkeys(self.products_of(term))
        return tuple(one for one in found if one)

    def numerics_of(self, term: Term) -> list[Numeric]:
        """Return the numeric factors of a term."""
        return [self.numerics[factor] for factor in term if factor in self.numerics]

    def products_of(self, term: Term) -> Iterator[Monomial]:
        """Yield the products of raw columns that the columns of a term are made of."""
        numerics = self.numerics_of(term)
        for chosen in product(*(numeric.choices for numeric in numerics)):
            yield monomial((str(n.expression), i) for n, i in zip(numerics, chosen, strict=True))

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns of the data that are read."""
        arguments = [name for name in (self.weights, self.offset) if name is not None]
        return tuple(dict.fromkeys((*self.formula.variables, *self.formula.groups, *arguments)))

    def argument(self, name: str, frame: Frame) -> RowArgument | None:
        """Return the weights or the offset of a frame."""
        return read_argument(name, self.weights if name == "weights" else self.offset, frame)

    def complete(self, frame: Frame) -> Completeness:
        """Return which rows of a frame are used."""
        prior, shift = self.argument("weights", frame), self.argument("offset", frame)
        return used_rows(self.formula, frame, self.settings, prior, shift)

    def weights_of(self, frame: Frame, keep: BoolArray | None) -> Array | None:
        """Return the weights of the rows in the sums; None if all are one."""
        prior = self.argument("weights", frame)
        return None if prior is None else prior.used(keep)

    def response_of(self, frame: Frame, rows: FrameRows, value: Evaluator) -> Array:
        """Return the response (n,) that is summed: less its offset."""
        y = np.array(read_response(self.formula.response, value, "numeric", None).values)
        shift = self.argument("offset", frame)
        if shift is not None:
            y -= shift.used(rows.keep)
        return y - sum_of(self.formula.offsets, value) if self.formula.offsets else y

    def fingerprint(self, frame: Frame, rows: FrameRows) -> int:
        """Return a number that tells these rows from others; 0 where nobody asks for it."""
        return 0

    def evaluator(self, rows: FrameRows) -> Evaluator:
        """Return the values of expressions on some rows."""
        return Evaluator(rows, self.settings.functions, {})

    def check(self, frame: Frame) -> None:
        """Refuse a frame that lacks a column, or whose columns are not what they were.

        Raises
        ------
        DataError
        """
        frame.require(self.needed)
        for name, kind in self.kinds.items():
            column = frame.column(name)
            found, absent = kind_of(frame, name), column.missing
            if found != kind and not (absent is not None and absent.all()):
                raise DataError(
                    f"column {name!r} holds {WORDS[found]} (dtype {column.dtype}) in one part of the data and "
                    f"{WORDS[kind]} in those before: make it one type in all of them"
                )


WORDS = {"factor": "labels", "number": "numbers", "time": "times"}


def kind_of(frame: Frame, name: str) -> str:
    """Return what a column holds: factor, number, or time."""
    column = frame.column(name)
    return "factor" if column.is_factor else "time" if isinstance(column, TimeColumn) else "number"


def monomial(factors: Iterable[tuple[str, int]]) -> Monomial:
    """Return the product of raw columns; those with number 0 are the constant."""
    return tuple(sorted((text, i) for text, i in factors if i))


def make_recipe(
    formula: str | Formula,
    frame: Frame,
    *,
    weights: str | None = None,
    offset: str | None = None,
    contrasts: Mapping[str, Any] | None = None,
    functions: Mapping[str, Any] | None = None,
) -> Recipe | None:
    """Return what a formula needs of the rows, from the first frame of the data, which says what its columns are.

    None if no row of the frame is complete.

    Raises
    ------
    SpecificationError
        If the formula cannot be streamed: it names the function that needs all rows at once.
    DataError
        If a column is missing.
    """
    settings = Settings(dict(functions or {}), codings_for(contrasts))
    parsed = parsed_for(formula, frame, settings.functions)
    if not parsed.response:
        raise SpecificationError(f"the formula {parsed.source!r} has no response: write it left of the '~'")
    check_names(parsed, frame, settings, ())
    fixed = [factor for term in parsed.fixed_terms for factor in term]
    inside = [factor for random in parsed.random for term in random.terms for factor in term]
    for expression in (parsed.response, *parsed.offsets, *fixed, *inside):
        _refuse_learners(expression, outermost=expression in fixed or expression in inside)
    for term in parsed.random:
        if term.members is not None:
            raise SpecificationError(
                f"sums over rows know one level of each row, and {term} has several: fit the rows themselves"
            )
    used = dict.fromkeys((*parsed.variables, *parsed.groups))
    frame.require([*used, *(name for name in (weights, offset) if name is not None)])
    kinds = {name: kind_of(frame, name) for name in used}
    logical = frozenset(name for name in used if frame.column(name).is_logical)
    bare = Recipe(parsed, settings, dict(contrasts or {}), weights, offset, kinds, logical, {}, ())
    complete = bare.complete(frame)
    if complete.n_dropped == complete.n_rows:
        return None
    value = bare.evaluator(FrameRows(frame, complete.keep))
    numerics: dict[str, Numeric] = {}
    coded: dict[str, None] = {}
    for expression in dict.fromkeys((*fixed, *inside)):
        if expression.is_column and expression.columns[0] in settings.codings:
            Evaluator(value.rows, settings.functions, settings.codings)(expression)  # refuses those of numbers
        numeric = _numeric(expression, value)
        if numeric is None:
            coded[_column_of(expression)] = None
        else:
            numerics[expression] = numeric
    return replace(bare, numerics=numerics, coded=tuple(coded))


def _calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]


def _refuse_learners(expression: Expression, *, outermost: bool) -> None:
    """Refuse functions that need all rows at once."""
    for node in _calls(expression.tree):
        name, shown = node.func.id, display(ast.unparse(node))  # type: ignore[attr-defined]
        options = {keyword.arg for keyword in node.keywords}
        if name in POLYNOMIALS and not (outermost and node is expression.tree) and not _is_raw(node):
            raise SpecificationError(
                f"{shown} learns from all rows and stands inside another expression, where sums over rows cannot "
                f"follow: write it as a term of its own, or make {display(expression)} a column of the data"
            )
        if name in SPLINES and not options.issuperset(KNOTS):
            raise SpecificationError(
                f"{shown} takes its knots from all rows at once, which sums over rows do not see: give "
                f"{name}(…, knots=[…], lower_bound=…, upper_bound=…)"
            )
        if name == "s":
            raise SpecificationError(
                f"{shown} takes its knots from all rows at once, which sums over rows do not see: fit the rows "
                "themselves, or write bs(…, knots=[…], lower_bound=…, upper_bound=…)"
            )
        if name in ("lag", "wb", "cut"):
            raise SpecificationError(
                f"{shown} looks at other rows, which sums over rows cannot: make it a column of the data"
            )


def _numeric(expression: Expression, value: Evaluator) -> Numeric | None:
    """Return the raw columns of an expression; None if it is a factor."""
    tree, name = expression.tree, expression.function
    if name in POLYNOMIALS and isinstance(tree, ast.Call) and not _is_raw(tree):
        inner = learnt_from(expression)
        x = value.numbers(inner)
        degree = _degree(tree) if name == "poly" else 1
        columns = tuple(range(1, degree + 1)) if name == "poly" else None
        return Numeric(expression, columns, False, degree, inner, float(np.mean(x)), float(np.std(x)) or 1.0)
    if expression.function == "C" or (expression.is_column and value.rows.is_factor(expression.columns[0])):
        return None
    content = value(expression)
    if isinstance(content, Factor):
        return None
    if isinstance(content, Basis):
        return Numeric(expression, tuple(content.columns), content.spans_constant)
    return Numeric(expression)


def learnt_from(expression: Expression) -> Expression:
    """Return the argument of ``scale``, ``center`` and ``poly`` from which they learn."""
    tree: Any = expression.tree
    return expression.arguments[0] if expression.arguments else expression.part(_options(tree, "x", 0)[0])


def _options(tree: ast.Call, name: str, position: int) -> list[ast.expr]:
    """Return the argument of this name or position, if it is given."""
    return [keyword.value for keyword in tree.keywords if keyword.arg == name] + tree.args[position : position + 1]


def _is_raw(tree: ast.Call) -> bool:
    given = _options(tree, "raw", 2)
    return bool(given) and isinstance(given[0], ast.Constant) and bool(given[0].value)


def _degree(tree: ast.Call) -> int:
    given = _options(tree, "degree", 1)
    return whole("the degree of a polynomial", ast.literal_eval(given[0]), 1) if given else 1


def _column_of(expression: Expression) -> str:
    """Return the column that a factor of a term is: ``f`` or ``C(f, …)``."""
    if expression.is_column:
        return expression.columns[0]
    if expression.function == "C" and expression.arguments[0].is_column:
        return expression.arguments[0].columns[0]
    raise SpecificationError(
        f"{display(expression)} is a factor that is computed row by row: make it a column of the data to sum over rows"
    )
