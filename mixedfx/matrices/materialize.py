"""The one place that talks to formulaic: it decides which columns the terms need, multiplies them and names them.

formulaic is handed finished values of the factors and nothing else: no data, no functions, no text to evaluate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product
from operator import mul as multiply
from typing import Any

import numpy as np
from formulaic import ModelSpec, SimpleFormula
from formulaic.materializers import PandasMaterializer
from formulaic.materializers.types import FactorValues
from formulaic.parser.types import Factor as FormulaicFactor
from formulaic.parser.types import Term as FormulaicTerm
from formulaic.utils.layered_mapping import LayeredMapping
from interface_meta import override

from mixedfx._typing import Array
from mixedfx.formula import Expression, Term
from mixedfx.matrices.values import Basis, Factor, TreatmentCoding, Value

__all__ = ["materialize", "minimal_columns", "new_spec"]


def new_spec(terms: Sequence[Term]) -> Any:
    """Return formulaic's specification of ``terms``, before it has seen data."""
    return ModelSpec(formula=SimpleFormula([_term(term) for term in terms]), output="numpy", na_action="ignore")


def _term(term: Term) -> Any:
    if not term:
        return FormulaicTerm([FormulaicFactor("1", eval_method="literal")])
    return FormulaicTerm([FormulaicFactor(factor.text, eval_method="lookup") for factor in term])


def materialize(spec: Any, values: Mapping[Expression, Value], n_rows: int) -> tuple[Array, Any]:
    """Return the columns (n, p) in Fortran order and the specification with its structure filled in."""
    finished = {expression.text: _factor_values(value) for expression, value in values.items()}
    model_matrix = _Materializer(finished, n_rows).get_model_matrix(spec)
    return model_matrix.__wrapped__, model_matrix.model_spec


def minimal_columns(values: Sequence[Value]) -> int:
    """Return the least number of columns that the product of ``values`` can have."""
    widths = [
        max(len(value.labels.levels) - 1, 1) if isinstance(value, Factor) else len(value.columns)
        for value in values
        if isinstance(value, (Factor, Basis))
    ]
    return int(np.prod(widths, dtype=object)) if widths else 1


def _factor_values(value: Value) -> Any:
    """Wrap a value as formulaic wants it."""
    if isinstance(value, Factor):
        return FactorValues(value.labels.codes, kind="categorical", spans_intercept=True, encoder=_FactorColumns(value))
    if isinstance(value, Basis):
        columns = {name: value.matrix[:, j] for j, name in enumerate(value.columns)}
        drop = value.columns[0] if value.spans_constant else None
        return FactorValues(columns, kind="numerical", spans_intercept=value.spans_constant, drop_field=drop)
    return FactorValues(value, kind="numerical", spans_intercept=False)


class _FactorColumns:
    """The columns of a factor: its contrasts beside an intercept, otherwise one indicator a level."""

    def __init__(self, factor: Factor) -> None:
        self.factor = factor

    def __call__(self, values: Any, reduced_rank: bool, **_: Any) -> Any:
        codes, levels, coding = self.factor.labels.codes, self.factor.levels, self.factor.coding
        names = coding.columns(levels) if reduced_rank else levels
        if reduced_rank and not isinstance(coding, TreatmentCoding):
            matrix = coding.matrix(levels)
            columns = {name: matrix[codes, j] for j, name in enumerate(names)}
        else:
            wanted = set(names)
            columns = {level: (codes == j).astype(float) for j, level in enumerate(levels) if level in wanted}
        return FactorValues(
            columns,
            kind="categorical",
            column_names=names,
            spans_intercept=not reduced_rank,
            drop_field=None,
            format=f"{{name}}[{coding.prefix if reduced_rank else ''}{{field}}]",
            encoded=True,
        )


class _Materializer(PandasMaterializer):  # type: ignore[misc]
    """formulaic's materializer on finished values."""

    def __init__(self, values: Mapping[str, Any], n_rows: int) -> None:
        self._n_rows = n_rows
        super().__init__(values)
        self.layered_context = LayeredMapping(LayeredMapping(values, name="data"))

    @override
    def _init(self) -> None:
        """There is nothing to convert."""

    @property
    @override
    def nrows(self) -> int:
        """Number of rows."""
        return self._n_rows

    @override
    def _get_columns_for_term(self, factors: list[dict[str, Any]], spec: Any, scale: float = 1) -> dict[str, Any]:
        """Return the products of one column of each factor, the first factor's columns varying fastest."""
        columns = {}
        for reversed_product in product(*(factor.items() for factor in reversed(factors))):
            names, values = zip(*reversed(reversed_product))
            columns[":".join(names)] = reduce(multiply, values)
        return columns

    @override
    def _combine_columns(self, cols: Sequence[tuple[str, Any]], spec: Any, drop_rows: Sequence[int]) -> Array:
        matrix = np.empty((self._n_rows, len(cols)), order="F")
        for j, (_, values) in enumerate(cols):
            matrix[:, j] = values
        return matrix
