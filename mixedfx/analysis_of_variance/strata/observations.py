"""The rows of a classical analysis of variance, and the mixed model with the same strata.

The response is centred, the terms are coded, and every term of ``Error(…)`` groups the rows; in the mixed model it is a
random intercept.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice
from mixedfx._typing import Array, IntArray
from mixedfx.analysis_of_variance.strata.projections import Grouping, grouping_of
from mixedfx.analysis_of_variance.terms.coding import CodedTerm, terms_of_design
from mixedfx.exceptions import RankDeficientWarning, SpecificationError
from mixedfx.formula import Expression, Formula, RandomTerm
from mixedfx.inference.estimable import EstimableFunctions, estimable_functions
from mixedfx.matrices import Design, Frame, as_frame, build_design
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.labels import combine, restarts
from mixedfx.models import lmer
from mixedfx.results.linear import LinearMixedResults

__all__ = ["AggregateName", "Observations", "StrataModel", "centred", "observe", "row_grouping"]

AggregateName: TypeAlias = Literal["mean", "median"]


@dataclass(frozen=True, eq=False)
class StrataModel:
    """What the mixed model of an analysis of variance is fitted to.

    Attributes
    ----------
    formula : Formula
        Of the analysis, with ``Error(…)``.
    name : str
        Of the response.
    data : DataFrame
        The columns it uses, in the rows (or cells) of the analysis.
    groupings : tuple of Grouping
        The partition of these rows by every term of ``Error(…)``.
    options : dict
        ``contrasts`` and ``functions``.
    """

    formula: Formula
    name: str
    data: pd.DataFrame
    groupings: tuple[Grouping, ...]
    options: Mapping[str, Any]

    @property
    def mixed(self) -> Formula:
        """The formula with bars in the place of ``Error(…)``.

        Units that are single rows have the residual variance, and units that were named before that of the first name.
        """
        random: dict[bytes, RandomTerm] = {}
        for term, grouping in zip(self.formula.error, self.groupings, strict=True):
            if 1 < grouping.size < len(grouping.codes):
                random.setdefault(grouping.key, RandomTerm("1", term, terms=((),)))
        formula = replace(self.formula, error=(), random=tuple(random.values()))
        return replace(formula, source=str(formula))

    def aggregated(self, first: IntArray, responses: Array, groupings: Mapping[str, Grouping]) -> StrataModel:
        """Return the model of cells: the rows ``first`` of each, with other responses."""
        data = self.data.iloc[first].reset_index(drop=True).assign(**{self.name: responses})
        formula = replace(self.formula, response=Expression.of_column(self.name))
        return replace(self, formula=formula, data=data, groupings=tuple(groupings.values()))

    def design(self) -> Design:
        """Return the design of the mixed model."""
        with warnings.catch_warnings():  # aov has said nothing of it either: it is normal in confounded designs
            warnings.simplefilter("ignore", RankDeficientWarning)
            return build_design(self.mixed, self.data, **self.options)

    def fit(self) -> LinearMixedResults:
        """Fit by REML.

        Raises
        ------
        SpecificationError
            If there is only one stratum.
        """
        formula = self.mixed
        if not formula.random:
            raise SpecificationError(
                "an analysis of variance with a single stratum is a linear model, not a mixed one: fit "
                f"{str(formula)!r} by smf.ols, or name the units in Error(…)"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RankDeficientWarning)
            return lmer(formula, self.data, **self.options)

    def __repr__(self) -> str:
        return f"<StrataModel: {self.formula}>"


def strata_model(
    design: Design, frame: Frame, groupings: Mapping[str, Grouping], options: Mapping[str, Any]
) -> StrataModel:
    """Return the mixed model of a design with error strata."""
    rows = FrameRows(frame, design.keep)
    data = pd.DataFrame({name: _values(rows, name) for name in design.formula.variables if name in frame})
    passed_on = {key: options[key] for key in ("contrasts", "functions")}
    return StrataModel(design.formula, design.response.name, data, tuple(groupings.values()), passed_on)


def _values(rows: FrameRows, name: str) -> pd.Series[Any]:
    labels = rows.labels(name)
    if rows.is_factor(name):
        return pd.Series(pd.Categorical.from_codes(labels.codes, categories=labels.levels))
    return pd.Series(labels.levels.take(labels.codes))


@dataclass(frozen=True)
class Observations:
    """The rows of an analysis of variance.

    Attributes
    ----------
    name : str
        Of the response.
    y : (n,)
        Response less its mean.
    X : (n, P)
        All columns of the fixed part, redundant ones included, less their means.
    terms : tuple of CodedTerm
        The terms of the fixed part.
    kept : (p,)
        Positions of the columns that are not redundant.
    estimable : callable or None
        Returns the estimable functions of the coefficients, if there are redundant columns.
    groupings : dict
        The partitions of the rows by the terms of ``Error(…)``, finer ones after coarser ones.
    error : tuple of tuple of str
        The columns of each of those terms.
    factors : dict
        The partition of the rows by each of those columns.
    notes : tuple of str
        What a reader should know.
    model : StrataModel
        The mixed model with the same strata.
    """

    name: str
    y: Array
    X: Array
    terms: tuple[CodedTerm, ...]
    kept: IntArray
    estimable: Callable[[], EstimableFunctions] | None
    groupings: dict[str, Grouping]
    error: tuple[tuple[str, ...], ...]
    factors: dict[str, Grouping]
    notes: tuple[str, ...]
    model: StrataModel

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def tested(self) -> list[CodedTerm]:
        """The terms but for the intercept."""
        return [term for term in self.terms if term.expressions]


def observe(formula: Any, data: Any, aggregate: AggregateName | None, options: Mapping[str, Any]) -> Observations:
    """Read a formula and data, and average the rows of a cell if asked.

    Raises
    ------
    SpecificationError, DataError
    """
    frame = as_frame(data)
    design = _design(formula, frame, options)
    fixed, rows = design.fixed, FrameRows(frame, design.keep)
    X = fixed.matrix if len(fixed.kept) == len(fixed.full_names) else fixed.matrix @ fixed.alias
    error = design.formula.error
    factors = {name: row_grouping(rows, [name]) for term in error for name in term}
    groupings = {":".join(term): row_grouping(rows, term) for term in error}
    observations = Observations(
        design.response.name,
        design.response.values,
        X,
        terms_of_design(design, frame),
        fixed.kept,
        partial(estimable_functions, design, rows) if fixed.dropped else None,
        groupings,
        error,
        factors,
        (*design.notes, *_labels_note(design, frame), *_restarting(design, frame)),
        strata_model(design, frame, groupings, options),
    )
    if aggregate is not None:
        observations = _aggregated(observations, checked_choice("aggregate", aggregate, REDUCERS, ", or None"))
    columns = observations.X - observations.X[0]
    return replace(observations, y=centred(observations.y), X=columns - columns.mean(axis=0))


def centred(y: Array) -> Array:
    """Return the deviations from the mean: an observed value near it is subtracted first, which is exact."""
    middle = y - y[np.argmin(np.abs(y - y.mean()))]
    return np.asarray(middle - math.fsum(middle) / len(y))


def row_grouping(rows: FrameRows, columns: Sequence[str]) -> Grouping:
    """Return the partition of the rows by the combinations of labels of some columns."""
    parts = [rows.labels(name) for name in columns]
    return grouping_of(parts[0].codes if len(parts) == 1 else combine(parts, columns).codes)


def _design(formula: Any, frame: Frame, options: Mapping[str, Any]) -> Design:
    """Build the design without the warning of redundant columns, which are normal in confounded designs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankDeficientWarning)
        design = build_design(formula, frame, **options)
    _check(design)
    return design


def _check(design: Design) -> None:
    formula = design.formula
    if formula.random:
        term = formula.random[0]
        if term.is_smooth:
            raise SpecificationError(f"aov has no smooths such as {term}: fit with lmer, and mfx.anova of the fit")
        raise SpecificationError(
            f"aov has error strata instead of bars: write Error({term.label}) instead of {term}, or fit with lmer"
        )
    if not formula.has_intercept:
        raise SpecificationError("an analysis of variance needs the intercept: leave out '0 +' or '- 1'")
    if design.offset is not None:
        raise SpecificationError("aov has no offsets: subtract it from the response")


def _labels_note(design: Design, frame: Frame) -> list[str]:
    """Notes on columns that are numbers in the fixed part but labels in ``Error(…)``."""
    in_fixed_part = set(design.fixed.encoder.variables)
    errors = dict.fromkeys(name for term in design.formula.error for name in term)
    numeric = [name for name in errors if name in in_fixed_part and not frame.column(name).is_factor]
    return [
        f"{name} is a number: a slope in the fixed part, though a label in Error(…). Make it categorical for a factor."
        for name in numeric
    ]


def _restarting(design: Design, frame: Frame) -> list[str]:
    """Notes on units whose labels seem to begin again in every level of a factor."""
    errors = list(dict.fromkeys(name for term in design.formula.error for name in term))
    between = [
        name for name in design.variables if name in frame and name not in errors and frame.column(name).is_factor
    ]
    return [
        f"{factor} varies within every level of {unit}, whose labels count up, and is not in Error(…): if {unit} "
        f"begins again in every {factor} and they are different units, give them labels of their own ({factor}:{unit})"
        for unit in errors
        for factor in between
        if restarts(frame.column(unit).labels.take(design.keep), frame.column(factor).labels.take(design.keep))
    ]


# --------------------------------------------------------------------------- several rows a cell
def _mean(order: IntArray, cells: Grouping, y: Array) -> Array:
    return np.asarray(np.bincount(cells.codes, weights=y) / cells.counts)


def _median(order: IntArray, cells: Grouping, y: Array) -> Array:
    low, high = (cells.counts - 1) // 2, cells.counts // 2
    start = np.cumsum(cells.counts) - cells.counts
    ordered = y[order]
    return np.asarray(0.5 * (ordered[start + low] + ordered[start + high]))


Reducer = Callable[[IntArray, Grouping, Array], Array]
REDUCERS: dict[str, Reducer] = {"mean": _mean, "median": _median}


def _aggregated(full: Observations, reduce: Reducer) -> Observations:
    """Return one row for every combination of error strata and values of the fixed part."""
    strata = [grouping.codes for grouping in full.groupings.values()]
    _, kinds = np.unique(full.X, axis=0, return_inverse=True)
    _, labels = np.unique(np.column_stack([*strata, kinds]), axis=0, return_inverse=True)
    cells = grouping_of(labels.ravel())
    if cells.size == full.n:
        return full
    order = np.lexsort((full.y, cells.codes))
    first = np.unique(cells.codes, return_index=True)[1]
    y = reduce(order, cells, full.y - full.y[0]) + full.y[0]
    note = f"{full.n} rows were aggregated to {cells.size} cells."
    groupings = {label: grouping_of(grouping.codes[first]) for label, grouping in full.groupings.items()}
    return replace(
        full,
        y=y,
        X=full.X[first],
        groupings=groupings,
        factors={name: grouping_of(grouping.codes[first]) for name, grouping in full.factors.items()},
        notes=(*full.notes, note),
        model=full.model.aggregated(first, y, groupings),
    )
