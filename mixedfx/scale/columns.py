"""Columns of terms in rows that stand for others: linear in the summed products, whatever the coding."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebpts1

from mixedfx._typing import Array
from mixedfx.exceptions import DataError
from mixedfx.formula import Expression, Term, display
from mixedfx.matrices.encoder import Encoder, PlainEncoder, encoder_of_values, is_plain, term_label
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.products import TermStructure, term_columns
from mixedfx.matrices.transforms import FittedTransform, Polynomials, Scaled
from mixedfx.matrices.values import Basis, Value
from mixedfx.scale.recipe import Numeric, Recipe, monomial
from mixedfx.scale.sums import Moments

__all__ = ["TermColumns"]


@dataclass(frozen=True)
class TermColumns:
    """The columns of terms in stand-in rows.

    Attributes
    ----------
    recipe : Recipe
    rows : FrameRows
        The factors of the rows, as data.
    products : (r, k)
        The summed columns of the rows.
    moments : dict
    """

    recipe: Recipe
    rows: FrameRows
    products: Array
    moments: Mapping[str, Moments]

    def learn(self, terms: Sequence[Term], part: str) -> tuple[Encoder, Array]:
        """Return how the columns of ``terms`` are made of any data, and these columns (r, p) in the rows."""
        ordered = sorted(terms, key=len)
        settings = self.recipe.settings
        if not ordered:
            return PlainEncoder.of(ordered), np.zeros((self.rows.size, 0), order="F")
        if all(is_plain(factor, self.rows, settings) for term in ordered for factor in term):
            matrix = np.stack([self._product(term, [1] * len(term)) for term in ordered], axis=1)
            return PlainEncoder.of(ordered), np.asfortranarray(matrix)
        value = Evaluator(self.rows, settings.functions, settings.codings)
        expressions = dict.fromkeys(factor for term in ordered for factor in term)
        transforms = self._transforms(expressions)
        values: dict[Expression, Value] = {}
        for text in expressions:
            numeric = self.recipe.numerics.get(text)
            values[text] = value(text) if numeric is None else self._placeholder(numeric)
        value.transforms.update(transforms)
        learnt = (value.transforms, value.levels)
        encoder, matrix = encoder_of_values(ordered, values, learnt, settings, part, self.rows.size)
        for structure, at in zip(encoder.structure, encoder.terms.values(), strict=True):
            if self.recipe.numerics_of(structure.factors):
                matrix[:, list(at)] = self._columns_of(structure, values, transforms)
        return encoder, matrix

    def products_by_term(self, terms: Sequence[Term]) -> dict[str, Array]:
        """Return the products (r, k) of the numeric factors of every term that has some, factors in sorted order."""
        out = {}
        for term in terms:
            numerics = sorted(self.recipe.numerics_of(term), key=lambda numeric: numeric.expression)
            if numerics:
                transforms = self._transforms(dict.fromkeys(numeric.expression for numeric in numerics))
                weights = [self._linear(numeric, transforms) for numeric in numerics]
                widths = [range(1 if n.columns is None else len(n.columns)) for n in numerics]
                columns = [self._combined(numerics, weights, chosen) for chosen in product(*widths)]
                out[term_label(term)] = np.stack(columns, axis=1)
        return out

    def _placeholder(self, numeric: Numeric) -> Value:
        """A value of the right shape: what it is goes into the columns later."""
        n = self.rows.size
        if numeric.columns is None:
            return np.ones(n)
        return Basis(np.ones((n, len(numeric.columns))), numeric.columns, numeric.spans_constant)

    def _columns_of(
        self, structure: TermStructure, values: Mapping[Expression, Value], transforms: Mapping[str, FittedTransform]
    ) -> Array:
        """The columns of a term: for each choice of one column of every numeric factor, their summed product."""
        numerics = self.recipe.numerics_of(structure.factors)
        total: Array | float = 0.0
        widths = [1 if n.columns is None else len(n.columns) for n in numerics]
        weights = [self._linear(n, transforms) for n in numerics]
        for chosen in product(*map(range, widths)):
            given: dict[Expression, Any] = dict(values)
            for place, (numeric, j) in enumerate(zip(numerics, chosen, strict=True)):
                column = np.ones(self.rows.size) if place else self._combined(numerics, weights, chosen)
                given[numeric.expression] = _only(column, j, numeric)
            total = total + term_columns((structure,), given, self.rows.size)[0]
        return np.asarray(total)

    def _combined(self, numerics: Sequence[Numeric], weights: Sequence[Array], chosen: Sequence[int]) -> Array:
        """The product (r,) of the chosen final columns, of the raw products that were summed."""
        total = np.zeros(self.rows.size)
        for raw in product(*(numeric.choices for numeric in numerics)):
            factor = float(np.prod([w[j, i] for w, j, i in zip(weights, chosen, raw, strict=True)]))
            if factor != 0.0:
                total += factor * self._product([n.expression for n in numerics], raw)
        return total

    def _product(self, expressions: Sequence[Expression], raw: Sequence[int]) -> Array:
        """The summed column (r,) of a product of raw columns; ones for the constant."""
        key = monomial((str(text), i) for text, i in zip(expressions, raw, strict=True))
        return self.products[:, self.recipe.monomials.index(key)] if key else np.ones(self.rows.size)

    def _transforms(self, expressions: Sequence[Expression] | Mapping[Expression, None]) -> dict[str, FittedTransform]:
        """What functions learn from all rows, from the sums of powers."""
        out = {}
        for text in expressions:
            numeric = self.recipe.numerics.get(text)
            if numeric is not None and numeric.degree:
                out[ast.unparse(text.tree)] = _learnt(numeric, self.moments[text], self.recipe)
        return out | self._fixed_transforms(expressions)

    def _fixed_transforms(self, expressions: Sequence[Expression] | Mapping[Expression, None]) -> dict[str, Any]:
        """Splines with given knots and raw polynomials, which are the same whatever the rows."""
        value = Evaluator(_one_row(self.recipe, self.moments), self.recipe.settings.functions, {})
        for text in expressions:
            numeric = self.recipe.numerics.get(text)
            if numeric is not None and not numeric.degree:
                value.unchecked(text)
        return value.transforms

    def _linear(self, numeric: Numeric, transforms: Mapping[str, FittedTransform]) -> Array:
        """The final columns (d, 1 + raw) as combinations of the constant and the raw columns."""
        if not numeric.degree:
            return np.hstack([np.zeros((numeric.n_raw, 1)), np.eye(numeric.n_raw)])
        nodes = chebpts1(numeric.degree + 1)
        learnt = transforms[ast.unparse(numeric.expression.tree)](numeric.shift + numeric.unit * nodes)
        content = learnt.matrix if isinstance(learnt, Basis) else np.asarray(learnt)[:, None]
        return np.asarray(np.linalg.solve(np.vander(nodes, increasing=True), content).T)


def _only(column: Array, j: int, numeric: Numeric) -> Value:
    """A value of the shape of ``numeric`` that is zero but for its column j."""
    if numeric.columns is None:
        return column
    matrix = np.zeros((len(column), len(numeric.columns)))
    matrix[:, j] = column
    return Basis(matrix, numeric.columns, numeric.spans_constant)


def _one_row(recipe: Recipe, moments: Mapping[str, Moments]) -> FrameRows:
    """A row of values that the columns may have: splines refuse what lies outside their bounds."""
    from mixedfx.matrices.frame import as_frame

    numbers = [name for name, kind in recipe.kinds.items() if kind == "number"]
    known = {name: moments.get(f"variable {name}") for name in numbers}
    values: dict[str, list[Any]] = {name: [0.5 if one is None else one.low] for name, one in known.items()}
    values |= {name: ["a"] for name, kind in recipe.kinds.items() if kind != "number"}
    return FrameRows(as_frame(values))


def _learnt(numeric: Numeric, moments: Moments, recipe: Recipe) -> FittedTransform:
    """``scale``, ``center`` or ``poly`` from sums of powers of ``t = (x - shift) / unit``."""
    if numeric.expression.function == "poly":
        return _polynomials(numeric, moments)
    n, first, second = moments.powers[:3]
    mean = first / n
    if numeric.expression.function == "center":
        return Scaled(numeric.shift + numeric.unit * float(mean), 1.0)
    options = _scale_options(numeric.expression, recipe)
    location = numeric.shift + numeric.unit * float(mean) if options["center"] else 0.0
    around = (location - numeric.shift) / numeric.unit
    squares = numeric.unit**2 * float(second - 2.0 * around * first + n * around**2)
    spread = float(np.sqrt(squares / max(n - options["ddof"], 1))) if options["scale"] else 1.0
    if spread == 0.0 or not np.isfinite(spread) or moments.low == moments.high:
        raise DataError(f"{display(numeric.expression)}: the values are constant, so that they have no scale")
    return Scaled(location, spread)


def _scale_options(expression: Expression, recipe: Recipe) -> dict[str, Any]:
    tree: Any = expression.tree
    value = Evaluator(_one_row(recipe, {}), recipe.settings.functions, {})
    names = ("x", "center", "scale", "ddof")
    given = dict(zip(names, map(value._visit, tree.args), strict=False))
    given |= {str(keyword.arg): value._visit(keyword.value) for keyword in tree.keywords}
    return {"center": True, "scale": True, "ddof": 1} | given


def _polynomials(numeric: Numeric, moments: Moments) -> Polynomials:
    """The recurrence of the polynomials that are orthogonal over the rows.

    With ``R`` the Cholesky factor of the Gram matrix of the powers, the monic polynomials have the norms ``r_jj**2``,
    and ``alpha_j = r_(j,j+1) / r_jj - r_(j-1,j) / r_(j-1,j-1)``.
    """
    d, p, (s, h) = numeric.degree, moments.powers, (numeric.shift, numeric.unit)
    square = p[np.add.outer(np.arange(d + 1), np.arange(d + 1))]
    try:
        R = np.linalg.cholesky(square).T
    except np.linalg.LinAlgError:
        R = np.zeros((d + 1, d + 1))
    if np.any(R.diagonal() ** 2 <= 1e-13 * square.diagonal()):
        raise DataError(f"{display(numeric.expression)}: a polynomial of degree {d} needs more than {d} values")
    above = R[np.arange(d), np.arange(1, d + 1)] / R.diagonal()[:-1]
    alpha = s + h * np.diff(above, prepend=0.0)
    norms = R.diagonal() ** 2 * h ** (2.0 * np.arange(d + 1))
    return Polynomials(tuple(alpha.tolist()), tuple(norms.tolist()))
