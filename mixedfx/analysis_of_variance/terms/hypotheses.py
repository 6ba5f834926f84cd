"""The hypotheses of types I, II and III: the only thing in which the tables differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from mixedfx._typing import Array, IntArray
from mixedfx.analysis_of_variance.terms.coding import (
    CodedTerm,
    carries_others,
    contains_by_name,
    contains_by_sas,
    type_three_rows,
)
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.estimable import EstimableFunctions
from mixedfx.inference.hypothesis import independent_rows

__all__ = [
    "Droppable",
    "FixedPart",
    "Marginal",
    "Sequential",
    "TermHypotheses",
    "TermHypothesis",
    "TypeName",
    "TypeThree",
    "type_for",
]

TypeName: TypeAlias = Literal[1, 2, 3, "I", "II", "III"]
ESTIMABLE = 1e-8  # the part of a hypothesis outside the row space of X, relative to its size, that is rounding


@dataclass(frozen=True)
class FixedPart:
    """The fixed part of a model as far as hypotheses need it.

    Attributes
    ----------
    terms : tuple of CodedTerm
        In the order in which formulas sort them; the intercept among them, if there is one.
    kept : (p,)
        Positions of the estimated columns among all P columns.
    alias : (p, P)
        All columns are the estimated ones times this.
    root : (p, p)
        ``R`` with ``R'R`` the cross-products by which sequential and marginal hypotheses are orthogonalised.
    estimable : callable or None
        Gives the estimable functions, where columns are redundant in the whole data.
    """

    terms: tuple[CodedTerm, ...]
    kept: IntArray
    alias: Array
    root: Array
    estimable: Callable[[], EstimableFunctions] | None = field(default=None, repr=False)

    @property
    def tested(self) -> list[int]:
        """Positions of the terms that have a row in the table: all but the intercept."""
        return [i for i, term in enumerate(self.terms) if term.expressions]

    def above(self, own: CodedTerm) -> list[CodedTerm]:
        """The terms that contain a term, by SAS's rule."""
        return [term for term in self.terms if contains_by_sas(term, own)]

    def estimated_columns(self, term: CodedTerm) -> IntArray:
        """Positions of a term's columns among the estimated ones."""
        return np.flatnonzero(np.isin(self.kept, term.columns))


@dataclass(frozen=True)
class TermHypothesis:
    """``L beta = 0`` for one term.

    Attributes
    ----------
    label : str
    L : (r, p)
    wanted : int
        Number of independent rows if every cell had been observed.
    sequential : bool
        Whether pooled degrees of freedom use rows made orthogonal one after the other, as in types I and II.
    """

    label: str
    L: Array
    wanted: int
    sequential: bool = False


class TermHypotheses(ABC):
    """A type of analysis of variance."""

    #: ``"I"``, ``"II"`` or ``"III"``.
    numeral: str

    @abstractmethod
    def of(self, part: FixedPart) -> list[TermHypothesis]:
        """Return the hypothesis of every term."""

    def remarks(self, part: FixedPart, hypotheses: Sequence[TermHypothesis]) -> list[str]:
        """Return what a table should say of the hypotheses that :meth:`of` made."""
        return []


@dataclass(frozen=True)
class Sequential(TermHypotheses):
    """Type I: every term after those before it."""

    numeral = "I"

    def of(self, part: FixedPart) -> list[TermHypothesis]:
        """Return the hypothesis of every term."""
        return [_adjusted(part, part.terms[i], part.terms[:i]) for i in part.tested]


@dataclass(frozen=True)
class Marginal(TermHypotheses):
    """Type II: every term after all others but those that contain it."""

    contains: Callable[[CodedTerm, CodedTerm], bool]
    numeral = "II"

    def of(self, part: FixedPart) -> list[TermHypothesis]:
        """Return the hypothesis of every term."""
        if len(part.tested) == 1:
            return Sequential().of(part)
        out, effects = [], _effect_rows(part)
        for position in part.tested:
            tested = part.terms[position]
            others = [term for term in part.terms if term is not tested]
            before = [term for term in others if not self.contains(term, tested)]
            if before == others:
                out.append(_of_effects(part, position))
            else:
                out.append(
                    _adjusted(part, tested, before) if effects is None else _after(part, effects, tested, before)
                )
        return out

    def remarks(self, part: FixedPart, hypotheses: Sequence[TermHypothesis]) -> list[str]:
        """Say which tests hold at the origin of a covariate, as its interaction does not count as containing them."""
        out = []
        for term in map(part.terms.__getitem__, part.tested):
            above = [t for t in part.terms if contains_by_name(t, term) and not self.contains(t, term)]
            if above:
                several = any(t.cells.shape[-2] > 1 for t in above)
                others = "(R's lmerTest takes several columns for a factor)" if several else "and R's lmerTest"
                out.append(
                    f"{term.label} is adjusted for {', '.join(t.label for t in above)}, as in SAS {others}: the test "
                    "holds where the covariate is zero (centre it, or take ddf='z' for the rule of marginality)."
                )
        return out


@dataclass(frozen=True)
class Droppable(TermHypotheses):
    """The terms that no other term contains, each after all others."""

    numeral = "II"

    def of(self, part: FixedPart) -> list[TermHypothesis]:
        """Return the hypothesis of every such term."""
        contained = {inner.label for inner in part.terms if any(contains_by_name(t, inner) for t in part.terms)}
        return [hypothesis for hypothesis in Marginal(contains_by_name).of(part) if hypothesis.label not in contained]


@dataclass(frozen=True)
class TypeThree(TermHypotheses):
    """Type III: the effects of every term vanish, all cells weighted equally.

    Where cells are empty or columns redundant: SAS's functions, which are the same where there are none.
    """

    numeral = "III"

    def of(self, part: FixedPart) -> list[TermHypothesis]:
        """Return the hypothesis of every term; in a stratum where not all of it can be estimated, the part that can."""
        if part.estimable is not None:
            return _from_estimable(part, part.estimable())
        if len(part.tested) == 1:
            return Sequential().of(part)
        return [_of_effects(part, position) for position in part.tested]

    def remarks(self, part: FixedPart, hypotheses: Sequence[TermHypothesis]) -> list[str]:
        """Say which terms are tested in part only, with effects of others, or at the origin of a covariate."""
        factors = {t.label for t in part.terms if len(t.factors) == 1 and not t.covariates and not part.above(t)}
        nothing = [
            f"The other terms tell {h.label} completely: if a factor is nested in it, write {h.label} / that factor."
            for h in hypotheses
            if not len(h.L) and h.label in factors
        ]
        return [*nothing, *_estimable_notes(part), *_carried_notes(part), *_origin_notes(part)]


def _from_estimable(part: FixedPart, functions: EstimableFunctions) -> list[TermHypothesis]:
    """The hypotheses of type III by the general form of estimable functions.

    A covariate that was dropped as a combination of others counts as left out, as in R. Levels of a factor that are
    combinations of others are not tested, as they depend on which columns are dropped.
    """
    present = [t.label for t in part.terms if t.factors or not t.expressions or part.estimated_columns(t).size]
    out = []
    for position in part.tested:
        whole = _of_effects(part, position) if carries_others(position, part.terms) else None
        if whole is not None and len(whole.L) == whole.wanted:
            out.append(whole)
            continue
        own, usual = part.terms[position], _coefficients(part, part.terms[position])
        above = [term.label for term in part.above(own)]
        if not above and not own.factors:
            out.append(usual)
            continue
        L = functions.type_three(own.label, above, [label for label in present if label not in (own.label, *above)])
        is_usual = not above and len(L) == len(usual.L)  # then the same, whatever the basis
        out.append(usual if is_usual else TermHypothesis(own.label, L, len(own.columns)))
    return out


def _coefficients(part: FixedPart, own: CodedTerm) -> TermHypothesis:
    """The hypothesis that a term's estimated coefficients vanish: that of any type where no term contains it."""
    return TermHypothesis(own.label, np.eye(len(part.kept))[part.estimated_columns(own)], len(own.columns))


def _of_effects(part: FixedPart, position: int) -> TermHypothesis:
    """The hypothesis that the effects of a term vanish, cells weighted equally; only the part that can be estimated."""
    own = part.terms[position]
    if not part.above(own) and not carries_others(position, part.terms):
        return _coefficients(part, own)
    full = type_three_rows(position, part.terms, part.alias.shape[1])
    full = full[independent_rows(full)]
    return TermHypothesis(own.label, _estimable(full, part), len(full))


def _effect_rows(part: FixedPart) -> dict[str, Array] | None:
    """The effects of every term as rows, p in all; None where each term's columns add nothing but its own effects.

    Where a term carries effects of others (``0 + f + h``), the meaning of the other columns depends on their coding.
    Terms are then adjusted for effects, whose mean over the levels is zero.
    """
    if not any(carries_others(position, part.terms) for position in range(len(part.terms))):
        return None
    rows = {term.label: _of_effects(part, position).L for position, term in enumerate(part.terms)}
    stacked = np.vstack(list(rows.values()))
    return rows if len(stacked) == len(part.kept) == len(independent_rows(stacked)) else None


def _after(
    part: FixedPart, effects: Mapping[str, Array], own: CodedTerm, before: Sequence[CodedTerm]
) -> TermHypothesis:
    """The hypothesis of a term after the effects of those ``before``."""
    G = np.vstack(list(effects.values()))
    labels = np.repeat(list(effects), [len(rows) for rows in effects.values()])
    first = np.flatnonzero(np.isin(labels, [term.label for term in before]))
    L = _sequential_rows(part.root @ np.linalg.inv(G), first, np.flatnonzero(labels == own.label))
    return TermHypothesis(own.label, L @ G, len(own.columns), sequential=True)


def _adjusted(part: FixedPart, own: CodedTerm, before: Sequence[CodedTerm]) -> TermHypothesis:
    """The hypothesis of a term after the terms ``before``; all others come last and do not adjust it."""
    columns = part.estimated_columns(own)
    first = np.concatenate([np.zeros(0, dtype=np.intp), *(part.estimated_columns(term) for term in before)])
    L = _sequential_rows(part.root, np.sort(first).astype(np.intp), columns)
    return TermHypothesis(own.label, L, len(own.columns), sequential=True)


def _sequential_rows(root: Array, first: IntArray, columns: IntArray) -> Array:
    """Rows (r, p) of the hypothesis that ``columns`` add nothing after the columns ``first``; all others come last."""
    rest = np.setdiff1d(np.arange(len(root)), np.concatenate([first, columns]))
    order = np.concatenate([first, columns, rest]).astype(np.intp)
    upper = np.asarray(np.linalg.qr(root[:, order], mode="r"))
    at = slice(len(first), len(first) + len(columns))
    L = np.zeros((len(columns), len(root)))
    L[:, order] = upper[at] / upper.diagonal()[at, None]
    L[:, first] = 0.0
    return L


def _estimable(full: Array, part: FixedPart) -> Array:
    """Return the combinations (r, p) of the rows of ``full`` (R, P) that can be estimated, on the estimated columns."""
    rows = full[:, part.kept]
    if len(part.kept) == full.shape[1]:
        return rows
    outside = full - rows @ part.alias
    scale = float(np.abs(full).max(initial=1.0))
    left, sizes, _ = np.linalg.svd(outside)
    rank = int(np.sum(sizes > ESTIMABLE * scale))
    if rank == 0:
        return rows
    return np.asarray(left[:, rank:].T @ rows)


def _estimable_notes(part: FixedPart) -> list[str]:
    """Say how terms are tested whose hypotheses depend on which cells are empty."""
    contained = [term.label for term in map(part.terms.__getitem__, part.tested) if part.above(term)]
    if part.estimable is None or not contained:
        return []
    return [
        f"Cells are empty, so that of {', '.join(contained)} those functions are tested that can be estimated and are "
        "orthogonal to those of the terms that contain them, as in SAS."
    ]


def _carried_notes(part: FixedPart) -> list[str]:
    """Say which terms have the general mean (or slope) among their effects."""
    labels = [part.terms[i].label for i in part.tested if part.terms[i].factors and carries_others(i, part.terms)]
    if not labels:
        return []
    return [
        f"{', '.join(labels)}: effects of lower order that no other term of the model has (as the general mean, "
        "without an intercept) are among those that are tested; joint_tests compares means only."
    ]


def _origin_notes(part: FixedPart) -> list[str]:
    """Say of which terms the test depends on the origin of a covariate, and what joint_tests does."""
    by_covariates: dict[frozenset[str], list[str]] = {}
    for i in part.tested:
        term = part.terms[i]
        at = frozenset().union(*(t.covariates - term.covariates for t in part.terms if contains_by_name(t, term)))
        if at:
            by_covariates.setdefault(at, []).append(term.label)
    return [
        f"{', '.join(labels)}: tested where {' and '.join(sorted(at))} {'is' if len(at) == 1 else 'are'} 0, because of "
        "the interaction (centre it for a test at its mean; joint_tests compares at the means of covariates)."
        for at, labels in by_covariates.items()
    ]


def type_for(choice: object, contains: Callable[[CodedTerm, CodedTerm], bool]) -> TermHypotheses:
    """Resolve ``type=``: 1, 2, 3 or a Roman numeral.

    Raises
    ------
    SpecificationError
        If it is anything else.
    """
    types: dict[object, TermHypotheses] = {1: Sequential(), 2: Marginal(contains), 3: TypeThree()}
    types |= {made.numeral: made for made in types.values()}
    key = choice.upper() if isinstance(choice, str) else choice
    if isinstance(key, str) and key.isdigit():
        key = int(key)
    if isinstance(key, bool) or key not in types:
        raise SpecificationError(f"type is 1, 2 or 3; found {choice!r}")
    return types[key]
