"""The terms of a fixed part as functions on the cells of their factors, whatever the coding.

They are read from a design, or from a formula that patsy read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import Design, Frame
from mixedfx.matrices.encoder import FormulaicEncoder, term_label
from mixedfx.matrices.evaluate import Evaluator
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.values import Basis, Factor, Value
from mixedfx.results.base import MixedResults

__all__ = [
    "CodedTerm",
    "carries_others",
    "contains_by_name",
    "contains_by_sas",
    "frame_of",
    "terms_of_design",
    "terms_of_patsy",
    "type_three_rows",
]


@dataclass(frozen=True)
class CodedTerm:
    """One term, such as ``f:g:x``.

    Attributes
    ----------
    label : str
    columns : tuple of int
        Positions of its columns among all columns, redundant ones included.
    factors : tuple of str
        Its categorical expressions.
    covariates : frozenset of str
        Its numeric expressions.
    coding : callable
        Returns the cells of all terms by label; only type III needs them.
    """

    label: str
    columns: tuple[int, ...]
    factors: tuple[str, ...]
    covariates: frozenset[str]
    coding: Callable[[], Mapping[str, Array]] = field(repr=False, compare=False)

    @property
    def cells(self) -> Array:
        """Its columns for each combination of levels and each of the k products of numeric columns: (*levels, k, q)."""
        return self.coding()[self.label]

    @property
    def expressions(self) -> frozenset[str]:
        """All factors and covariates."""
        return self.covariates | set(self.factors)


def contains_by_name(outer: CodedTerm, inner: CodedTerm) -> bool:
    """Say whether ``inner`` is marginal to ``outer``: everything in it is in the other, which has more.

    The principle of marginality (Nelder 1977, J. R. Stat. Soc. A 140, 48), as in R's car and statsmodels.
    """
    return inner.expressions < outer.expressions


def contains_by_sas(outer: CodedTerm, inner: CodedTerm) -> bool:
    """Say whether ``outer`` has the same covariates as ``inner`` and more factors, as in SAS and R's lmerTest."""
    return inner.covariates == outer.covariates and set(inner.factors) < set(outer.factors)


def _effects_of(position: int, terms: Sequence[CodedTerm]) -> list[tuple[str, ...]]:
    """The sets of factors whose effects a term adds to those of the terms before it."""
    term = terms[position]
    before = [set(t.factors) for t in terms[:position] if t.covariates == term.covariates]
    subsets = [s for size in range(len(term.factors) + 1) for s in combinations(term.factors, size)]
    return [s for s in subsets if not any(set(s) <= other for other in before)]


def carries_others(position: int, terms: Sequence[CodedTerm]) -> bool:
    """Say whether a term adds lower-order effects that are also effects of terms which do not contain it.

    In ``0 + f + h`` the term ``f`` adds the general mean, so that its coefficients depend on the coding of ``h``.
    """
    term = terms[position]
    others = [t for t in terms if t is not term and t.covariates == term.covariates and not contains_by_sas(t, term)]
    return any(set(effect) <= set(other.factors) for effect in _effects_of(position, terms) for other in others)


def type_three_rows(position: int, terms: Sequence[CodedTerm], n_columns: int) -> Array:
    """Return the hypothesis (r, n_columns) that a term's effects vanish, cells weighted equally.

    Parameters
    ----------
    position : int
        Of the term among the ``terms``.
    terms : sequence of CodedTerm
        In the order in which formulas sort them.
    n_columns : int
        Number of all columns.

    Notes
    -----
    The mean of a model is a function on the cells of its factors; a term's effect is what remains of it after averaging
    over all other factors with equal weights and subtracting the effects of lower order. This does not depend on the
    coding. Where a term's lower-order relatives are missing from the model, their effects are part of it.
    """
    term = terms[position]
    relatives = [t for t in terms if t.covariates == term.covariates]
    return np.vstack([_effect_rows(effect, relatives, n_columns) for effect in _effects_of(position, terms)])


def _effect_rows(effect: tuple[str, ...], relatives: Sequence[CodedTerm], n_columns: int) -> Array:
    blocks = [(t, _projected(effect, t)) for t in relatives if set(effect) <= set(t.factors)]
    out = np.zeros((blocks[0][1].shape[0], n_columns))
    for term, block in blocks:
        out[:, list(term.columns)] = block
    return out


def _projected(effect: tuple[str, ...], term: CodedTerm) -> Array:
    """Contrasts over the factors of ``effect``, means over the other factors of ``term``: (rows, columns)."""
    values = term.cells
    for axis, factor in reversed(list(enumerate(term.factors))):
        if factor not in effect:
            values = values.mean(axis=axis)
    kept = [factor for factor in term.factors if factor in effect]
    values = np.transpose(values, [*(kept.index(factor) for factor in effect), len(kept), len(kept) + 1])
    for axis in range(len(effect)):
        values = np.moveaxis(np.tensordot(_contrasts(values.shape[axis]), values, axes=(1, axis)), 0, axis)
    return values.reshape(-1, values.shape[-1])


def _contrasts(n_levels: int) -> Array:
    """Each level but the last against the mean of all: (n_levels - 1, n_levels)."""
    return (np.eye(n_levels) - 1.0 / n_levels)[:-1]


def frame_of(fit: MixedResults) -> Frame:
    """Return the data of a fit."""
    if fit.model.inputs is None:
        raise SpecificationError("a refit to another response has no data of its own: fit the model to a data frame")
    frame: Frame = fit.model.inputs.frame
    return frame


def terms_of_design(design: Design, frame: Frame) -> tuple[CodedTerm, ...]:
    """Return the terms of a design's fixed part; ``frame`` holds the data that it was made of."""
    expressions, columns = _expressions(design), design.fixed.full_terms
    encoder = design.fixed.encoder
    if not isinstance(encoder, FormulaicEncoder):
        ones = {label: np.ones((1, 1)) for label in expressions}
        return tuple(
            CodedTerm(key, columns[key], (), frozenset(texts), lambda: ones) for key, texts in expressions.items()
        )
    examples = _example_values(encoder, design, frame)
    cells = cache(lambda: _cells_of_design(encoder, expressions, examples))
    out = []
    for label, texts in expressions.items():
        factors = tuple(text for text in texts if isinstance(examples[text], Factor))
        out.append(CodedTerm(label, columns[label], factors, frozenset(texts) - set(factors), cells))
    return tuple(out)


def _cells_of_design(
    encoder: FormulaicEncoder, labels: Iterable[str], examples: Mapping[str, Value]
) -> dict[str, Array]:
    """The columns of every term on the cells of its factors, from the structure of the encoded terms."""
    out = {}
    for label, structure in zip(labels, encoder.structure, strict=True):
        parts, texts = structure.parts, structure.factors
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
    """The value of every expression in one row, for its kind, levels and contrasts."""
    used = np.ones(len(frame), dtype=bool) if design.keep is None else design.keep
    one = np.zeros(len(frame), dtype=bool)
    one[np.argmax(used)] = True
    learnt = (encoder.transforms, encoder.levels)
    evaluate = Evaluator(FrameRows(frame, one), encoder.functions, encoder.settings.codings, learnt)
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
