"""The fixed and random terms of an analysis by mean squares, read from a formula and data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixedfx._arguments import checked_names
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.strata.observations import centred, row_grouping
from mixedfx.analysis_of_variance.strata.projections import Grouping, Space
from mixedfx.exceptions import RankDeficientWarning, SpecificationError
from mixedfx.formula import Formula, RandomTerm, Term, columns_in, display, parse
from mixedfx.formula.terms import sum_text
from mixedfx.matrices import Design, Frame, as_frame, build_design
from mixedfx.matrices.encoder import term_label
from mixedfx.matrices.frame import FrameRows

__all__ = ["VarianceLayout", "VarianceTerm", "factor_columns", "read_layout"]


@dataclass(frozen=True)
class VarianceTerm:
    """One source of variation.

    Attributes
    ----------
    label : str
    factors : frozenset of str
        Its columns or expressions.
    random : bool
    space : Grouping or (n, c)
        The partition of the rows by its factors; columns, less their means, if there is a covariate.
    """

    label: str
    factors: frozenset[str]
    random: bool
    space: Space


@dataclass(frozen=True)
class VarianceLayout:
    """The rows of an analysis by mean squares.

    Attributes
    ----------
    name : str
        Of the response.
    y : (n,)
        Response less its mean.
    mean : float
        That mean.
    terms : tuple of VarianceTerm
        Fixed terms first, then random ones; in each, lower-order terms first.
    partitions : tuple of Grouping
        The partition of the rows by every random term.
    mixed : str
        The formula of the mixed model with the same terms.
    frame : Frame
    notes : tuple of str
    """

    name: str
    y: Array
    mean: float
    terms: tuple[VarianceTerm, ...]
    partitions: tuple[Grouping, ...]
    mixed: str
    frame: Frame
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def random(self) -> list[VarianceTerm]:
        """The random terms."""
        return [term for term in self.terms if term.random]


def read_layout(formula: Any, data: Any, fixed: Sequence[str] | str, options: Mapping[str, Any]) -> VarianceLayout:
    """Sort the terms of a formula into fixed and random ones.

    A term is fixed if all its factors are named in ``fixed`` (or if they stand beside bars); any other is random.

    Raises
    ------
    SpecificationError, DataError
    """
    frame = as_frame(data)
    parsed = parse(formula, columns=frame.names, functions=options.get("functions") or {})
    _check(parsed)
    fixed_names: Sequence[str] = checked_names("fixed", fixed)
    terms = [term for term in parsed.fixed_terms if term]
    unknown = set(fixed_names) - {display(factor) for term in terms for factor in term}
    if unknown:
        raise SpecificationError(
            f"fixed names {sorted(unknown)[0]!r}, which is not a factor of the formula {parsed.source!r}"
        )
    if parsed.random:
        fixed_names = [display(factor) for term in terms for factor in term]
    of_fixed = [term for term in terms if {display(factor) for factor in term} <= set(fixed_names)]
    of_random = [_columns(term, frame) for term in terms if term not in of_fixed]
    of_random += [_bar_columns(term) for term in parsed.random]
    if not of_random:
        raise SpecificationError("every factor is fixed: there are no variance components; aov has the table")
    return _variance_layout(parsed, frame, of_fixed, sorted(of_random, key=len), options)


def _check(parsed: Formula) -> None:
    if not parsed.response:
        raise SpecificationError(f"the formula {parsed.source!r} has no response: write it left of the '~'")
    if parsed.error or parsed.offsets:
        raise SpecificationError("mean_squares has neither Error(…) nor offset(…): write the random factors as terms")
    if not parsed.has_intercept:
        raise SpecificationError("an analysis by mean squares needs the intercept: leave out '0 +' or '- 1'")


def _columns(term: Sequence[str], frame: Frame) -> tuple[str, ...]:
    names = tuple(factor.removeprefix("`").removesuffix("`") for factor in map(display, term))
    for name in names:
        if name not in frame:
            raise SpecificationError(
                f"the random factor {name!r} must be a column of the data; name it in fixed=[…] if its levels are fixed"
            )
    return names


def _bar_columns(term: RandomTerm) -> tuple[str, ...]:
    if term.terms != ((),) or term.covariance != "us":
        raise SpecificationError(f"mean squares are for factors: {term} has a slope or a structure; fit it with lmer")
    return term.group


def _variance_layout(
    parsed: Formula,
    frame: Frame,
    of_fixed: Sequence[Term],
    of_random: Sequence[tuple[str, ...]],
    options: Mapping[str, Any],
) -> VarianceLayout:
    kept = ((), *of_fixed)
    fixed_part = replace(parsed, fixed_terms=kept, fixed=sum_text(kept), random=())
    design = _built(fixed_part, frame, [name for names in of_random for name in names], options)
    rows = FrameRows(frame, design.keep)
    terms = [_fixed_term(term, design, rows) for term in sorted(of_fixed, key=len)]
    partitions = tuple(row_grouping(rows, names) for names in of_random)
    terms += [
        VarianceTerm(":".join(names), frozenset(names), True, partition)
        for names, partition in zip(of_random, partitions, strict=True)
    ]
    bars = tuple(RandomTerm("1", names, terms=((),)) for names in of_random)
    y = design.response.values
    return VarianceLayout(
        design.response.name,
        centred(y),
        float(y.mean()),
        tuple(terms),
        partitions,
        str(replace(fixed_part, random=bars)),
        frame,
        design.notes,
    )


def _built(formula: Formula, frame: Frame, needed: Sequence[str], options: Mapping[str, Any]) -> Design:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankDeficientWarning)
        return build_design(formula, frame, extra=needed, **options)


def _fixed_term(term: tuple[str, ...], design: Design, rows: FrameRows) -> VarianceTerm:
    label, factors = term_label(term), frozenset(map(display, term))
    names = factor_columns(term, design)
    if names is not None:
        return VarianceTerm(label, factors, False, row_grouping(rows, names))
    fixed = design.fixed
    columns = (fixed.matrix @ fixed.alias)[:, list(fixed.full_terms[label])]
    shifted = columns - columns[0]
    return VarianceTerm(label, factors, False, np.asarray(shifted - shifted.mean(axis=0)))


def factor_columns(expressions: Sequence[str], design: Design) -> tuple[str, ...] | None:
    """Return the columns of which a term's factors are made; None if there is a covariate among them."""
    names = columns_in(expressions)
    is_plain = len(names) == len(expressions) and all(design.variables[name].is_factor for name in names)
    return names if is_plain else None
