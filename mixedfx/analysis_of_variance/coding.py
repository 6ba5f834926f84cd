"""From a design, or a formula that patsy read, to the terms as functions on cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.analysis_of_variance.terms import CodedTerm
from mixedfx.design import Design, Frame
from mixedfx.design.encoder import FormulaicEncoder, term_label
from mixedfx.design.evaluate import Evaluator
from mixedfx.design.labels import Labels
from mixedfx.design.materialize import materialize
from mixedfx.design.rows import Rows
from mixedfx.design.values import Basis, Factor, Value

__all__ = ["terms_of_design", "terms_of_patsy"]


def terms_of_design(design: Design, frame: Frame) -> tuple[CodedTerm, ...]:
    """Return the terms of a design's fixed part; ``frame`` holds the data that it was made of."""
    expressions, columns = _expressions(design), design.fixed.full_terms
    encoder = design.fixed.encoder
    if not isinstance(encoder, FormulaicEncoder):
        ones = {label: np.ones((1, 1)) for label in expressions}
        return tuple(CodedTerm(key, columns[key], (), frozenset(own), lambda: ones) for key, own in expressions.items())
    examples = _example_values(encoder, design, frame)
    cells = cache(lambda: _cells_of_design(encoder, expressions, columns, examples))
    out = []
    for label, own in expressions.items():
        factors = tuple(text for text in own if isinstance(examples[text], Factor))
        out.append(CodedTerm(label, columns[label], factors, frozenset(own) - set(factors), cells))
    return tuple(out)


def _cells_of_design(
    encoder: FormulaicEncoder,
    expressions: Mapping[str, tuple[str, ...]],
    columns: Mapping[str, tuple[int, ...]],
    examples: Mapping[str, Value],
) -> dict[str, Array]:
    """The columns of every term on the cells of its factors, (*levels, k, columns), by evaluating them there."""
    ordered = {
        key: sorted(own, key=lambda text: not isinstance(examples[text], Factor)) for key, own in expressions.items()
    }
    shapes = {label: tuple(_n_cells(examples[text]) for text in own) for label, own in ordered.items()}
    starts = np.cumsum([0, *(math.prod(shape) for shape in shapes.values())])
    spans = {label: slice(*pair) for label, pair in zip(shapes, pairwise(starts), strict=True)}
    places = {text: np.zeros(starts[-1], dtype=np.intp) for text in examples}
    for label, own in ordered.items():
        for text, grid in zip(own, np.indices(shapes[label]), strict=True):
            places[text][spans[label]] = grid.ravel()
    values = {text: _at_cells(example, places[text]) for text, example in examples.items()}
    whole = materialize(encoder.spec, values, int(starts[-1]))[0]
    out = {}
    for label, own in ordered.items():
        block = whole[spans[label], list(columns[label])]
        levels = [n for text, n in zip(own, shapes[label], strict=True) if isinstance(examples[text], Factor)]
        out[label] = block.reshape(*levels, -1, block.shape[1])
    return out


def _expressions(design: Design) -> dict[str, tuple[str, ...]]:
    """Label to expressions of every term, in the order of the columns."""
    expressions = {term_label(term): term for term in design.formula.fixed_terms}
    return {label: expressions[label] for label in design.fixed.full_terms if label in expressions}


def _example_values(encoder: FormulaicEncoder, design: Design, frame: Frame) -> dict[str, Value]:
    """The value of every expression in one row: what kind it is, and its levels and contrasts."""
    used = np.ones(len(frame), dtype=bool) if design.keep is None else design.keep
    one = np.zeros(len(frame), dtype=bool)
    one[np.argmax(used)] = True
    learnt = (encoder.transforms, encoder.levels)
    evaluate = Evaluator(Rows(frame, one), encoder.functions, encoder.settings.codings, learnt)
    return {text: evaluate(text) for text in encoder.expressions}


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
    cells = cache(lambda: _cells_of_patsy(info))
    out = []
    for term in info.terms:
        span = info.term_slices[term]
        factors, covariates = _patsy_kinds(info, term)
        names = tuple(factor.name() for factor in factors), frozenset(factor.name() for factor in covariates)
        out.append(CodedTerm(term.name(), tuple(range(span.start, span.stop)), *names, cells))
    return tuple(out)


def _cells_of_patsy(info: Any) -> dict[str, Array]:
    out = {}
    for term, subterms in info.term_codings.items():
        factors, covariates = _patsy_kinds(info, term)
        levels = [len(info.factor_infos[factor].categories) for factor in factors]
        widths = [info.factor_infos[factor].num_columns for factor in covariates]
        blocks = [_patsy_block(subterm, factors, covariates, levels, widths) for subterm in subterms]
        out[term.name()] = np.concatenate(blocks, axis=-1)
    return out


def _patsy_kinds(info: Any, term: Any) -> tuple[list[Any], list[Any]]:
    kinds = [(factor, info.factor_infos[factor].type) for factor in term.factors]
    return [f for f, kind in kinds if kind == "categorical"], [f for f, kind in kinds if kind != "categorical"]


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
