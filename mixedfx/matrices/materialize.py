"""The one place that talks to formulaic: it decides which columns terms need that lack some of their margins.

formulaic is handed one row of finished values of the factors and nothing else: no data, no functions, no text to
evaluate. The materializer fills in the methods that ``FormulaMaterializer`` declares for those of one's own; columns
are made in ``products``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from formulaic import ModelSpec, SimpleFormula
from formulaic.materializers import FactorValues, FormulaMaterializer
from formulaic.parser.types import Factor as FormulaicFactor
from formulaic.parser.types import Term as FormulaicTerm

from mixedfx._typing import Array
from mixedfx.formula import Expression, Term
from mixedfx.matrices.products import TermStructure
from mixedfx.matrices.values import Basis, Factor, Value

__all__ = ["structure_by_formulaic"]

Method = TypeVar("Method", bound=Callable[..., Any])


def override(method: Method) -> Method:
    """Mark a method that takes the place of formulaic's, which refuses to be overridden unawares."""
    marked: Method = FormulaMaterializer.override(method)
    return marked


def _term(term: Term) -> Any:
    if not term:
        return FormulaicTerm([FormulaicFactor("1", eval_method="literal")])
    return FormulaicTerm([FormulaicFactor(factor.text, eval_method="lookup") for factor in term])


def structure_by_formulaic(terms: Sequence[Term], values: Mapping[Expression, Value]) -> tuple[TermStructure, ...]:
    """Return what formulaic makes of ``terms``, whose factors have these ``values``; one row of them is enough."""
    finished = {expression.text: _factor_values(_first_row(value)) for expression, value in values.items()}
    spec = ModelSpec(formula=SimpleFormula([_term(term) for term in terms]), output="numpy", na_action="ignore")
    found = _Materializer(_Finished(finished, 1)).get_model_matrix(spec).model_spec.structure
    own = {expression.text: expression for expression in values}
    return tuple(
        TermStructure(
            tuple(own[factor.expr] for factor in entry.term.factors if factor.expr in own),
            tuple(
                tuple((own[scoped.factor.expr], scoped.reduced) for scoped in part.factors)
                for part in entry.scoped_terms
            ),
        )
        for entry in found
    )


def _first_row(value: Value) -> Value:
    if isinstance(value, Factor):
        return replace(value, labels=replace(value.labels, codes=value.labels.codes[:1]))
    if isinstance(value, Basis):
        return replace(value, matrix=value.matrix[:1])
    return value[:1] if isinstance(value, np.ndarray) else value


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
        return FactorValues({}, kind="categorical", spans_intercept=not reduced_rank, drop_field=None, encoded=True)

    @override
    def _get_columns_for_term(self, factors: list[dict[str, Any]], spec: Any, scale: float = 1) -> dict[str, Any]:
        return {}

    @override
    def _combine_columns(self, cols: Sequence[tuple[str, Any]], spec: Any, drop_rows: Sequence[int]) -> Array:
        return np.empty((self.nrows, len(cols)))
