"""The mixed model that error strata imply: every term of ``Error(…)`` a random intercept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mixedfx._typing import Array, IntArray
from mixedfx.analysis_of_variance.groupings import Grouping
from mixedfx.exceptions import RankDeficientWarning, SpecificationError
from mixedfx.formula import Formula, RandomTerm, identifier
from mixedfx.matrices import Design, Frame, build_design
from mixedfx.matrices.rows import Rows
from mixedfx.models import lmer
from mixedfx.results.linear import LinearMixedResults

__all__ = ["StrataModel", "strata_model"]

ONE = "a row's variance"


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
        for term, own in zip(self.formula.error, self.groupings, strict=True):
            if 1 < own.size < len(own.codes):
                random.setdefault(own.key, RandomTerm("1", term, terms=((),)))
        formula = replace(self.formula, error=(), random=tuple(random.values()))
        return replace(formula, source=str(formula))

    def aggregated(self, first: IntArray, responses: Array, groupings: Mapping[str, Grouping]) -> StrataModel:
        """Return the model of cells: the rows ``first`` of each, with other responses."""
        data = self.data.iloc[first].reset_index(drop=True).assign(**{self.name: responses})
        formula = replace(self.formula, response=identifier(self.name))
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
    rows = Rows(frame, design.keep)
    data = pd.DataFrame({name: _values(rows, name) for name in design.formula.variables if name in frame})
    kept = {key: options[key] for key in ("contrasts", "functions")}
    return StrataModel(design.formula, design.response.name, data, tuple(groupings.values()), kept)


def _values(rows: Rows, name: str) -> pd.Series[Any]:
    labels = rows.labels(name)
    if rows.is_factor(name):
        return pd.Series(pd.Categorical.from_codes(labels.codes, categories=labels.levels))
    return pd.Series(labels.levels.take(labels.codes))
