"""A look at the data with the formula in mind, before anything is fitted."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable, Summary
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array, IntArray
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.diagnostics.layers import layer_remarks, layer_table, layers_of, single_outcomes, spare_rows
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.families import Family, FamilyName, family_for
from mixedfx.formula import Expression, quote
from mixedfx.linalg.layout import parents_of
from mixedfx.matrices import Design, Frame, RandomEffects, as_frame, build_design, build_predictors, identified_twin
from mixedfx.matrices.frame import missing_column, plain_frame, used_columns
from mixedfx.matrices.labels import Labels, restarts
from mixedfx.models.identifiable import (
    generalized_noise,
    has_residual,
    linear_noise,
    residual_problem,
    transformed,
)
from mixedfx.models.linear import checked_sigma, columns_of_residual

__all__ = ["DesignCheck", "check_design"]

FEW_LEVELS = 5  # a variance from fewer levels is hardly known
CODES = 3, 6  # so many whole numbers from 1 may be codes of categories; with two the slope is the difference
RESPONSE = "the response"  # of a study that is planned
PREDICTING = ("weights", "offset", "contrasts", "functions")
CONSTANT = 1e-10  # share of a column's sum of squares below which it does not vary


@hinting_methods
@dataclass(frozen=True)
class DesignCheck:
    """What a design can and cannot tell; made by :func:`check_design`.

    Attributes
    ----------
    rows : dict
        Rows of the data, rows used.
    factors : StatsTable
        Levels and rows per level of every grouping factor.
    relations : StatsTable
        How every pair of grouping factors is arranged.
    layers : StatsTable
        For every factor that lies within others, how many of its levels the next coarser one holds, how many of those
        hold several, and the degrees of freedom between levels that share a parent, beside the fixed effects.
    predictors : StatsTable
        For every column of the fixed effects and every grouping factor, the share of its variance between levels.
    problems : tuple of str
        What keeps the model from being fitted or understood.
    remarks : tuple of str
        What is worth knowing.
    """

    formula: str
    rows: dict[str, int]
    factors: StatsTable
    relations: StatsTable
    layers: StatsTable
    predictors: StatsTable
    problems: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def summary(self) -> Summary:
        """Return tables and sentences, ready to be written."""
        tables = [t for t in (self.factors, self.relations, self.layers, self.predictors) if len(t)]
        verdict = [f"Problem: {problem}" for problem in self.problems] or ["No problem found."]
        used = f"{self.rows['used']} of {self.rows['total']} rows are used."
        return Summary(
            tuple(block for table in tables for block in table.summary().blocks),
            title=f"Design of {self.formula}",
            notes=(*verdict, used, *self.remarks),
        )

    def __str__(self) -> str:
        return self.summary().as_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def check_design(formula: str, data: Any, *, family: FamilyName | Any = None, **options: Any) -> DesignCheck:
    """Say what a formula asks of the data and whether they can answer, before fitting.

    Parameters
    ----------
    formula : str
        That of the model; ``"~ x + (1 | g)"`` where the responses are still to be collected: nothing is said of them.
    data : data frame
    family : str or Family, optional
        That of :func:`mixedfx.glmer`; without one (or ``"gaussian"``) the model is that of :func:`mixedfx.lmer`.
    **options
        ``weights``, ``offset``, ``contrasts``, ``functions``, ``missing`` and, of a linear model, ``residual`` and
        ``sigma``, as for the fit.

    Returns
    -------
    DesignCheck
        Prints in plain words; ``problems, remarks, factors, relations, predictors, ok``.

    Raises
    ------
    SpecificationError, DataError
        If the formula cannot be read with these data at all.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> found = mfx.check_design("strength ~ 1 + (1 | batch/cask)", mfx.load_dataset("pastes"))
    >>> found.ok
    True
    >>> found.relations["relation"].tolist()
    ['batch:cask is nested in batch']

    A study that is planned:

    >>> plan = mfx.design(subjects=12, within={"dose": ["low", "high"]})
    >>> print(mfx.check_design("~ dose + (dose | subject)", plan).problems[0].split(": ")[1])
    there are 24 random effects for 24 rows
    """
    given = _checked(options)
    planned = str(formula).lstrip().startswith("~")
    frame = as_frame(_with_responses(data) if planned else data)
    residual, sigma = given.pop("residual", None), checked_sigma(given.pop("sigma", None))
    linear = family is None or family == "gaussian"
    if not linear and (residual is not None or sigma is not None):
        raise SpecificationError(
            f"residual= and sigma= belong to linear models, and the family is {family!r}; write the one or the other"
        )
    chosen = None if linear else family_for(family)
    extra = columns_of_residual(residual)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is among the remarks
        if planned:
            build_predictors(formula, data, **{name: given.get(name) for name in PREDICTING})  # errors in these words
            design = build_design(f"`{RESPONSE}` {formula}", frame, extra=extra, **given)
        else:
            _check_response(formula, frame)
            design = build_design(formula, frame, response_kind=_kind(chosen), extra=extra, **given)
    bound = None if residual is None else residual.bind(used_columns(frame, extra, design.keep))
    problems = (
        _linear_problems(design, sigma, bound) if chosen is None else _generalized_problems(design, chosen, planned)
    )
    factors = {term.group: term for term in design.grouped}
    relations = [_relation(a, b) for a, b in combinations(factors.values(), 2)]
    layers = layers_of(design)
    return DesignCheck(
        str(replace(design.formula, response=Expression()) if planned else design.formula),
        {"total": design.n_rows + design.n_dropped, "used": design.n_rows},
        _factor_table(factors),
        _relation_table(relations),
        layer_table(layers),
        _predictor_table(design, factors),
        (*_confounded(relations), *problems, *_unvarying(design)),
        (
            *design.notes,
            *_few_levels(factors),
            *layer_remarks(layers),
            *(spare_rows(design) if linear and residual is None else ()),
            *_between(design),
            *_restarting(design, frame),
            *_coded(design, frame),
            *_lost(design, frame),
            *_both(design, problems),
        ),
    )


def _check_response(formula: str, frame: Frame) -> None:
    """Refuse a response that is no column, and say how a study is written that has none yet."""
    left, _, right = str(formula).partition("~")
    name = left.strip()
    if name.isidentifier() and name not in frame:
        reason = missing_column([name], frame.names, frame.unnamed)
        raise DataError(f"{reason}; where responses are still to be collected the left side is left out: '~{right}'")


def _with_responses(data: Any) -> pd.DataFrame:
    """The data with responses that suit every family and leave a residual wherever one could."""
    frame = plain_frame(data)
    return frame.assign(**{RESPONSE: np.random.default_rng(0).uniform(size=len(frame))})


def _kind(family: Family | None) -> str:
    if family is None or family.has_intercept:
        return "binomial" if family is not None and family.proportions else "numeric"
    return "ordinal"


def _linear_problems(design: Design, sigma: float | None, residual: BoundResidual | None) -> list[str]:
    """What a linear model would say of this design and response."""
    noise = linear_noise(design, sigma, residual)
    twin = identified_twin(design, noise)
    return [*_sentences(twin), *filter(None, [residual_problem(twin)] if noise.diagonals else [])]


def _generalized_problems(design: Design, family: Family, planned: bool) -> list[str]:
    """What a generalised model would say of this design and response."""
    noise = generalized_noise(family, design, {})
    twin = identified_twin(design, noise)
    reason = ""
    if noise.diagonals:
        reason = residual_problem(transformed(twin, family))
    elif has_residual(family):
        reason = residual_problem(twin, fixed=False)
    return [*_sentences(twin), *filter(None, [reason]), *_of_single_outcomes(twin, family, planned)]


def _of_single_outcomes(design: Design, family: Family, planned: bool) -> list[str]:
    """A single 0/1 or a single category has no variance that its mean does not say; a plan has no trials yet."""
    trials = design.response.trials
    binary = family.name == "binomial" and not planned and (trials is None or bool(np.all(trials == 1)))
    return single_outcomes(design) if binary or not family.has_intercept else []


def _sentences(twin: Design) -> list[str]:
    written = [f"{finding}; leave it out" if finding.column else str(finding) for finding in twin.undetermined]
    return list(dict.fromkeys(written))


OPTIONS = ("weights", "offset", "contrasts", "functions", "missing", "residual", "sigma")


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise TypeError(f"check_design has no argument {unknown[0]!r}; it has {', '.join(OPTIONS)}")
    return dict(options)


# ------------------------------------------------------------------ tables
def _factor_table(factors: Mapping[str, RandomEffects]) -> StatsTable:
    rows = {}
    for name, term in factors.items():
        counts = np.bincount(term.codes, minlength=term.n_levels)
        rows[name] = (term.n_levels, counts.min(), float(np.median(counts)), counts.max(), int(np.sum(counts == 1)))
    columns = ["levels", "fewest rows", "median", "most rows", "single rows"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("grouping factor")
    return StatsTable.from_frame(frame, heading="Grouping factors")


@dataclass(frozen=True)
class _Relation:
    first: str
    second: str
    kind: str
    filled: float

    @property
    def words(self) -> str:
        return {
            "same": f"{self.first} and {self.second} are the same grouping",
            "inside": f"{self.first} is nested in {self.second}",
            "holds": f"{self.second} is nested in {self.first}",
            "full": f"{self.first} and {self.second} are fully crossed",
            "partly": f"{self.first} and {self.second} are partly crossed",
        }[self.kind]


def _relation(a: RandomEffects, b: RandomEffects) -> _Relation:
    inside = parents_of(a.codes, b.codes, a.n_levels) is not None
    holds = parents_of(b.codes, a.codes, b.n_levels) is not None
    cells = np.unique(a.codes * b.n_levels + b.codes).size
    filled = cells / (a.n_levels * b.n_levels)
    crossed = "full" if filled == 1.0 else "partly"
    kind = "same" if inside and holds else "inside" if inside else "holds" if holds else crossed
    return _Relation(a.group, b.group, kind, filled)


def _relation_table(relations: list[_Relation]) -> StatsTable:
    index = pd.MultiIndex.from_tuples([(r.first, r.second) for r in relations], names=["factor", "other"])
    words, filled = [r.words for r in relations], [r.filled for r in relations]
    frame = pd.DataFrame({"relation": words, "cells filled": filled}, index=index)
    return StatsTable.from_frame(frame, heading="How they are arranged", formats={"cells filled": "percent"})


def _predictor_table(design: Design, factors: Mapping[str, RandomEffects]) -> StatsTable:
    X, names = design.fixed.matrix, design.fixed.names
    rows = {
        name: [_share_between(column, term.codes) for term in factors.values()]
        for name, column in zip(names, X.T, strict=True)
        if np.ptp(column) > 0
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=[f"between {g}" for g in factors], dtype=float)
    return StatsTable.from_frame(
        frame.rename_axis("predictor"),
        heading="Where the predictors vary",
        formats=dict.fromkeys(frame.columns, "percent"),
    )


def _share_between(column: Array, codes: IntArray) -> float:
    """Share of the variance of a column that lies between levels."""
    counts = np.bincount(codes)
    means = np.bincount(codes, weights=column) / np.maximum(counts, 1)
    total = float(np.var(column))
    return float(np.average(np.square(means - column.mean()), weights=counts)) / total if total > 0 else np.nan


# ------------------------------------------------------------------ sentences
def _confounded(relations: list[_Relation]) -> list[str]:
    return [
        f"{r.first} and {r.second} group the rows in the same way: their variances cannot be told apart; keep one"
        for r in relations
        if r.kind == "same"
    ]


def _unvarying(design: Design) -> list[str]:
    return [
        f"{term.term}: {name} does not vary within any level of {term.group}, so that its slope cannot differ from "
        "level to level; write it as a fixed effect only"
        for term in design.grouped
        for name, column in zip(term.names, term.matrix.T, strict=True)
        if np.ptp(column) > 0 and not _varies_within(column, term.codes)
    ]


def _restarting(design: Design, frame: Frame) -> list[str]:
    """Hints at ids that look as if they began again in every level of a predictor."""
    out = []
    used = {name for term in design.grouped for name in term.factors}
    for group in dict.fromkeys(term.factors[0] for term in design.grouped if len(term.factors) == 1):
        ids = _labels(frame, group, design)
        for name in design.variables:
            column = frame.column(name) if name in frame else None
            if column is None or not column.is_factor or name in used:
                continue
            if restarts(ids, _labels(frame, name, design)):
                out.append(
                    f"{name} varies within every level of {group}, whose labels count from {ids.levels[0]}: if {group} "
                    f"begins again in every {name} and they are different units, write {name}:{group}"
                )
    return out


def _coded(design: Design, frame: Frame) -> list[str]:
    """Predictors 1, 2, … k that enter as numbers: perhaps they are codes of categories."""
    out = []
    for name in design.fixed.encoder.variables:
        if name not in frame or name not in design.fixed.names or frame.column(name).is_factor:
            continue
        values = np.unique(used_columns(frame, [name], design.keep)[name])
        k = values.size
        if CODES[0] <= k <= CODES[1] and np.array_equal(values, np.arange(1, k + 1)):
            out.append(
                f"{name} has the values 1 to {k} and enters as a number, with one slope: if they are codes of "
                f"categories, write C({quote(name)})"
            )
    return out


def _labels(frame: Frame, name: str, design: Design) -> Labels:
    return frame.column(name).labels.take(design.keep)


def _lost(design: Design, frame: Frame) -> list[str]:
    """Levels of which no row is used."""
    out = []
    for name in dict.fromkeys(name for term in design.grouped for name in term.factors):
        labels = frame.column(name).labels
        used = labels.codes if design.keep is None else labels.codes[design.keep]
        lost = np.setdiff1d(labels.codes, used)
        lost = lost[lost >= 0]
        if lost.size:
            shown = ", ".join(str(labels.levels[code]) for code in lost[:5]) + (", …" if lost.size > 5 else "")
            out.append(f"no row of {lost.size} level{'s' * (lost.size > 1)} of {name} is used: {shown}")
    return out


def _varies_within(column: Array, codes: IntArray) -> bool:
    means = np.bincount(codes, weights=column) / np.maximum(np.bincount(codes), 1)
    return bool(np.sum(np.square(column - means[codes])) > CONSTANT * np.sum(np.square(column)))


def _few_levels(factors: Mapping[str, RandomEffects]) -> list[str]:
    return [
        f"{name} has only {term.n_levels} levels: the variance between them will be hardly known; a fixed effect may "
        "serve better"
        for name, term in factors.items()
        if term.n_levels < FEW_LEVELS
    ]


def _between(design: Design) -> list[str]:
    """Predictors that are constant within the levels of a factor: their tests have few degrees of freedom."""
    X, names, out = design.fixed.matrix, design.fixed.names, []
    for term in {term.group: term for term in design.grouped}.values():
        found = [
            name
            for name, column in zip(names, X.T, strict=True)
            if np.ptp(column) > 0 and not _varies_within(column, term.codes) and term.n_levels < design.n_rows
        ]
        if found:
            verb = "differs" if len(found) == 1 else "differ"
            out.append(
                f"{', '.join(found)} {verb} only between levels of {term.group}: the {term.n_levels} levels, not the "
                f"{design.n_rows} rows, are what its test counts"
            )
    return out


def _both(design: Design, problems: Sequence[str]) -> list[str]:
    return [
        f"{term.group} is both a fixed effect and a grouping factor: the fixed effect takes all of its variance"
        for term in {term.group: term for term in design.grouped}.values()
        if term.group in design.variables and any("fixed effects take all" in p and term.group in p for p in problems)
    ]
