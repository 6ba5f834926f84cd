"""The one place that talks to formulaic: it decides which columns the terms need, multiplies them and names them.

formulaic is handed finished values of the factors and nothing else: no data, no functions, no text to evaluate. The
materializer fills in the methods that ``FormulaMaterializer`` declares for those of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import mul as multiply
from typing import Any, TypeVar

import numpy as np
from formulaic import ModelSpec, SimpleFormula
from formulaic.materializers import FactorValues, FormulaMaterializer
from formulaic.parser.types import Factor as FormulaicFactor
from formulaic.parser.types import Term as FormulaicTerm

from mixedfx._typing import Array
from mixedfx.formula import Expression, Term
from mixedfx.matrices.values import Basis, Factor, TreatmentCoding, Value

__all__ = ["materialize", "minimal_columns", "new_spec"]

Method = TypeVar("Method", bound=Callable[..., Any])


def override(method: Method) -> Method:
    """Mark a method that takes the place of formulaic's, which refuses to be overridden unawares."""
    marked: Method = FormulaMaterializer.override(method)
    return marked


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
    model_matrix = _Materializer(_Finished(finished, n_rows)).get_model_matrix(spec)
    return np.asarray(model_matrix), model_matrix.model_spec


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
        return FactorValues(value, kind="categorical", spans_intercept=True)
    if isinstance(value, Basis):
        columns = {name: value.matrix[:, j] for j, name in enumerate(value.columns)}
        drop = value.columns[0] if value.spans_constant else None
        return FactorValues(columns, kind="numerical", spans_intercept=value.spans_constant, drop_field=drop)
    return FactorValues(value, kind="numerical", spans_intercept=False)


@dataclass(frozen=True)
class _Finished:
    """The data of the materializer: finished values of the factors in n rows."""

    values: Mapping[str, Any]
    n_rows: int

    def __len__(self) -> int:
        return self.n_rows


class _Materializer(FormulaMaterializer):  # type: ignore[misc]
    """formulaic's materializer on finished values; nothing is missing in them."""

    REGISTER_OUTPUTS = ("numpy",)

    @property
    @override
    def data_context(self) -> Mapping[str, Any]:
        """Values of the factors by their text."""
        values: Mapping[str, Any] = self.data.values
        return values

    @override
    def _encode_constant(
        self, value: Any, metadata: Any, encoder_state: Any, spec: Any, drop_rows: Sequence[int]
    ) -> Array:
        return np.full(self.nrows, float(value))

    @override
    def _encode_numerical(
        self, values: Any, metadata: Any, encoder_state: Any, spec: Any, drop_rows: Sequence[int]
    ) -> Any:
        return values

    @override
    def _encode_categorical(
        self,
        values: Any,
        metadata: Any,
        encoder_state: Any,
        spec: Any,
        drop_rows: Sequence[int],
        reduced_rank: bool = False,
    ) -> Any:
        """Return the contrasts of a factor beside an intercept, otherwise one indicator a level."""
        factor: Factor = values.__wrapped__
        codes, levels, coding = factor.labels.codes, factor.levels, factor.coding
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
        matrix = np.empty((self.nrows, len(cols)), order="F")
        for j, (_, values) in enumerate(cols):
            matrix[:, j] = values
        return matrix
