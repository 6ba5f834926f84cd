"""From a design, or a formula that patsy read, to the terms as functions on cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.analysis_of_variance.terms import CodedTerm
from mixedfx.matrices import Design, Frame
from mixedfx.matrices.encoder import FormulaicEncoder, term_label
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.rows import Rows
from mixedfx.matrices.values import Basis, Factor, Value

__all__ = ["terms_of_design", "terms_of_patsy"]


def terms_of_design(design: Design, frame: Frame) -> tuple[CodedTerm, ...]:
    """Return the terms of a design's fixed part; ``frame`` holds the data that it was made of."""
    expressions, columns = _expressions(design), design.fixed.full_terms
    encoder = design.fixed.encoder
    if not isinstance(encoder, FormulaicEncoder):
        ones = {label: np.ones((1, 1)) for label in expressions}
        return tuple(CodedTerm(key, columns[key], (), frozenset(own), lambda: ones) for key, own in expressions.items())
    examples = _example_values(encoder, design, frame)
    cells = cache(lambda: _cells_of_design(encoder, expressions, examples))
    out = []
    for label, own in expressions.items():
        factors = tuple(text for text in own if isinstance(examples[text], Factor))
        out.append(CodedTerm(label, columns[label], factors, frozenset(own) - set(factors), cells))
    return tuple(out)


def _cells_of_design(
    encoder: FormulaicEncoder, labels: Iterable[str], examples: Mapping[str, Value]
) -> dict[str, Array]:
    """The columns of every term on the cells of its factors, from the structure that formulaic found."""
    out = {}
    for label, structure in zip(labels, encoder.spec.structure, strict=True):
        parts = [[(factor.factor.expr, factor.reduced) for factor in part.factors] for part in structure.scoped_terms]
        texts = [factor.expr for factor in structure.term.factors if factor.expr in examples]
        ordered = sorted(texts, key=lambda text: not isinstance(examples[text], Factor))
        shape = [_n_cells(examples[text]) for text in ordered]
        n_factors = sum(isinstance(examples[text], Factor) for text in ordered)
        blocks = [
            _block(shape, {ordered.index(text): _coding(examples[text], reduced) for text, reduced in part})
            for part in parts
        ]
        whole = np.concatenate(blocks, axis=-1)
        out[label] = whole.reshape(*shape[:n_factors], -1, whole.shape[-1])
    return out


def _coding(value: Value, reduced: bool) -> Array:
    """Columns of a factor on its levels, or of a covariate's columns on unit vectors."""
    full = np.eye(_n_cells(value))
    if not reduced:
        return full
    return value.coding.matrix(value.levels) if isinstance(value, Factor) else full[:, 1:]


def _block(shape: Sequence[int], codings: Mapping[int, Array]) -> Array:
    """Products of columns along the axes of ``shape``, (*shape, columns); the first one's columns vary fastest."""
    block = np.ones((*shape, 1))
    for axis, coding in codings.items():
        spread = coding.reshape([1] * axis + [shape[axis]] + [1] * (len(shape) - axis - 1) + [coding.shape[1], 1])
        block = (spread * block[..., None, :]).reshape(*shape, -1)
    return block


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
        ordered, shape = [*factors, *covariates], [*levels, *widths]
        blocks = [
            _block(shape, {ordered.index(factor): _patsy_coding(subterm, factor, info) for factor in subterm.factors})
            for subterm in subterms
        ]
        whole = np.concatenate(blocks, axis=-1)
        out[term.name()] = whole.reshape(*levels, -1, whole.shape[-1])
    return out


def _patsy_kinds(info: Any, term: Any) -> tuple[list[Any], list[Any]]:
    kinds = [(factor, info.factor_infos[factor].type) for factor in term.factors]
    return [f for f, kind in kinds if kind == "categorical"], [f for f, kind in kinds if kind != "categorical"]


def _patsy_coding(subterm: Any, factor: Any, info: Any) -> Array:
    if factor in subterm.contrast_matrices:
        return np.asarray(subterm.contrast_matrices[factor].matrix, dtype=float)
    return np.eye(info.factor_infos[factor].num_columns)
