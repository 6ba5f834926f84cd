"""From a design, or a formula that patsy read, to the terms as functions on cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.analysis_of_variance.terms import CodedTerm
from mixedfx.design import Design, FixedEffects, Frame
from mixedfx.design.encoder import FormulaicEncoder, term_label
from mixedfx.design.evaluate import Evaluator
from mixedfx.design.labels import Labels
from mixedfx.design.materialize import materialize
from mixedfx.design.rows import Rows
from mixedfx.design.values import Basis, Factor, Value

__all__ = ["terms_of_design", "terms_of_patsy"]


def terms_of_design(design: Design, frame: Frame) -> tuple[CodedTerm, ...]:
    """Return the terms of a design's fixed part; ``frame`` holds the data that it was made of."""
    fixed = design.fixed
    expressions = {term_label(term): term for term in design.formula.fixed_terms}
    labels = [label for label in fixed.full_terms if label in expressions]
    if not isinstance(fixed.encoder, FormulaicEncoder):
        return tuple(_numeric_term(label, expressions[label], fixed) for label in labels)
    values = _example_values(fixed.encoder, design, frame)
    return tuple(_coded_term(label, expressions[label], fixed, fixed.encoder, values) for label in labels)


def _numeric_term(label: str, expressions: tuple[str, ...], fixed: FixedEffects) -> CodedTerm:
    return CodedTerm(label, fixed.full_terms[label], (), frozenset(expressions), np.ones((1, 1)))


def _example_values(encoder: FormulaicEncoder, design: Design, frame: Frame) -> dict[str, Value]:
    """The value of every expression in one row: what kind it is, and its levels and contrasts."""
    used = np.ones(len(frame), dtype=bool) if design.keep is None else design.keep
    one = np.zeros(len(frame), dtype=bool)
    one[np.argmax(used)] = True
    learnt = (encoder.transforms, encoder.levels)
    evaluate = Evaluator(Rows(frame, one), encoder.functions, encoder.settings.codings, learnt)
    return {text: evaluate(text) for text in encoder.expressions}


def _coded_term(
    label: str,
    expressions: tuple[str, ...],
    fixed: FixedEffects,
    encoder: FormulaicEncoder,
    examples: Mapping[str, Value],
) -> CodedTerm:
    """Evaluate the columns of a term on all combinations of levels and of unit columns of its covariates."""
    factors = tuple(text for text in expressions if isinstance(examples[text], Factor))
    covariates = tuple(text for text in expressions if text not in factors)
    shape = tuple(_n_cells(examples[text]) for text in (*factors, *covariates))
    grid = np.indices(shape).reshape(len(shape), -1) if shape else np.zeros((0, 1), dtype=np.intp)
    places = dict(zip((*factors, *covariates), grid, strict=True))
    size = grid.shape[1]
    values = {
        text: _at_cells(example, places.get(text, np.zeros(size, dtype=np.intp))) for text, example in examples.items()
    }
    columns = fixed.full_terms[label]
    block = materialize(encoder.spec, values, size)[0][:, list(columns)]
    return CodedTerm(
        label, columns, factors, frozenset(covariates), block.reshape(*shape[: len(factors)], -1, len(columns))
    )


def _n_cells(value: Value) -> int:
    if isinstance(value, Factor):
        return len(value.labels.levels)
    return len(value.columns) if isinstance(value, Basis) else 1


def _at_cells(value: Value, cells: IntArray) -> Value:
    """The value with the levels, or the unit columns, that ``cells`` (n,) number."""
    if isinstance(value, Factor):
        return Factor(Labels(cells, value.labels.levels), value.coding)
    if isinstance(value, Basis):
        return Basis(np.eye(len(value.columns))[cells], value.columns, value.spans_constant)
    return np.ones(len(cells))


# --------------------------------------------------------------------------- patsy
def terms_of_patsy(info: Any) -> tuple[CodedTerm, ...]:
    """Return the terms of a patsy ``DesignInfo``, as statsmodels keeps it."""
    out = []
    for term, subterms in info.term_codings.items():
        span = info.term_slices[term]
        kinds = {factor: info.factor_infos[factor] for factor in term.factors}
        factors = [factor for factor in term.factors if kinds[factor].type == "categorical"]
        covariates = [factor for factor in term.factors if kinds[factor].type != "categorical"]
        levels = [len(kinds[factor].categories) for factor in factors]
        widths = [kinds[factor].num_columns for factor in covariates]
        blocks = [_patsy_block(subterm, factors, covariates, levels, widths) for subterm in subterms]
        out.append(
            CodedTerm(
                term.name(),
                tuple(range(span.start, span.stop)),
                tuple(factor.name() for factor in factors),
                frozenset(factor.name() for factor in covariates),
                np.concatenate(blocks, axis=-1),
            )
        )
    return tuple(out)


def _patsy_block(
    subterm: Any, factors: Sequence[Any], covariates: Sequence[Any], levels: Sequence[int], widths: Sequence[int]
) -> Array:
    """Columns of one subterm on the cells: products in which the last factor's columns vary slowest."""
    shape = (*levels, *widths)
    block = np.ones((*shape, 1))
    for factor in subterm.factors:
        axis = [*factors, *covariates].index(factor)
        columns = subterm.contrast_matrices[factor].matrix if factor in factors else np.eye(shape[axis])
        spread = columns.reshape([1] * axis + [shape[axis]] + [1] * (len(shape) - axis - 1) + [columns.shape[1], 1])
        block = (spread * block[..., None, :]).reshape(*shape, -1)
    return block.reshape(*levels, -1, block.shape[-1])
