"""Classical analysis of variance, with error strata: the function and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_choice, checked_names
from mixedfx._display import StatsTable, Summary
from mixedfx._suggestions import hinting_methods
from mixedfx.analysis_of_variance.strata.analysis import (
    StrataEstimates,
    Stratum,
    StratumEffect,
    analysed,
    incomplete_units,
    strata_estimates,
)
from mixedfx.analysis_of_variance.strata.observations import AggregateName, Observations, StrataModel, observe
from mixedfx.analysis_of_variance.strata.sphericity import (
    CORRECTIONS,
    CorrectionName,
    RepeatedMeasures,
    Sphericity,
    repeated_measures,
)
from mixedfx.analysis_of_variance.terms.coding import contains_by_name
from mixedfx.analysis_of_variance.terms.hypotheses import TypeName, type_for
from mixedfx.analysis_of_variance.terms.tables import MEANING
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.inference.ddf import DdfName
from mixedfx.inference.denominator import Asymptotic, Denominator
from mixedfx.inference.distributions import f_tail
from mixedfx.matrices.rows import MissingName
from mixedfx.results.adapted import AdaptedFit, fixed_df, given_df
from mixedfx.results.adapters import least_squares_fit, linear_fit
from mixedfx.results.linear import LinearMixedResults

__all__ = ["AovResults", "aov"]


def aov(
    formula: str,
    data: Any,
    *,
    type: TypeName = 1,
    aggregate: AggregateName | None = None,
    observed: Sequence[str] | str = (),
    contrasts: Mapping[str, Any] | None = None,
    missing: MissingName = "drop",
    functions: Mapping[str, Any] | None = None,
) -> AovResults:
    """Analyse the variance of a designed experiment, every term in the stratum where it varies.

    Parameters
    ----------
    formula : str
        ``"y ~ A * B"``, or with the units that were randomised, or measured repeatedly, in ``Error(…)``:
        ``"y ~ A * B + Error(block/plot)"``, ``"y ~ A * B + Error(subject/B)"``, ``"y ~ A + Error(row + column)"``.
    data : data frame or dict of arrays
    type : {1, 2, 3}
        Which other terms of the stratum a term is adjusted for: 1 (default): those above it; 2: all that do not contain
        it; 3: all, cells weighted equally. They are the same in balanced designs.
    aggregate : {"mean", "median"}, optional
        First replace the rows of a cell (of the units and the terms) by one.
    observed : str or sequence of str
        Factors that were observed rather than manipulated: their variation counts in generalised eta squared.
    contrasts, missing, functions
        As for :func:`mixedfx.lmer`. The tables do not depend on the contrasts.

    Returns
    -------
    AovResults

    Raises
    ------
    SpecificationError, DataError

    Examples
    --------
    A split plot: varieties on plots, nitrogen on parts of plots.

    >>> import mixedfx as mfx
    >>> oats = mfx.load_dataset("oats").astype({"nitro": "category"})
    >>> result = mfx.aov("yield ~ Variety * nitro + Error(Block/Variety)", oats)
    >>> list(result.strata)
    ['Block', 'Block:Variety', 'Within']
    >>> result.strata["Block:Variety"].to_frame().round(3)
               df    sum_sq  mean_sq      F  PR(>F)
    Variety   2.0  1786.361  893.181  1.485   0.272
    Residual 10.0  6013.306  601.331    NaN     NaN
    """
    kind = type_for(type, contains_by_name)
    options = {"contrasts": contrasts, "missing": missing, "functions": functions}
    observations = observe(formula, data, aggregate, options)
    strata = tuple(analysed(observations, kind))
    return AovResults(
        observations.name,
        strata,
        {term.label: term.expressions for term in observations.tested},
        kind.numeral,
        _observed(observed, observations),
        repeated_measures(observations.error, observations.groupings, observations.factors),
        bool(observations.error),
        (*observations.notes, *incomplete_units(observations, strata)),
        observations.model,
    )


def _observed(names: Sequence[str] | str, data: Observations) -> frozenset[str]:
    factors_named = checked_names("observed", names)
    factors = {text for term in data.tested for text in term.expressions}
    unknown = [name for name in factors_named if name not in factors]
    if unknown:
        raise SpecificationError(
            f"observed names {unknown[0]!r}, which is not in the formula; choose from {sorted(factors)}"
        )
    return frozenset(factors_named)


@hinting_methods
@dataclass(frozen=True, eq=False)
class AovResults:
    """Tables of an analysis of variance.

    Made by :func:`mixedfx.aov`. Printing it shows all strata.

    Parameters
    ----------
    name : str
        Of the response.
    analysis : tuple of Stratum
    expressions : dict
        The factors and covariates of every term.
    numeral : str
        Type of the sums of squares.
    observed : frozenset of str
        Factors that were not manipulated.
    repeated : RepeatedMeasures or None
        The layout, if every unit is measured once in each cell.
    has_error : bool
        Whether the formula has ``Error(…)``.
    notes : tuple of str
    model : StrataModel
        Of :meth:`mixed_model`.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> md = mfx.load_dataset("md_12.1")
    >>> result = mfx.aov("rt ~ angle * noise + Error(id/(angle * noise))", md)
    >>> result.table(correction="GG").to_frame()[["num_df", "den_df", "F", "PR(>F)", "ges"]].round(3)
                 num_df  den_df       F  PR(>F)    ges
    angle         1.923  17.309  40.719     0.0  0.390
    noise         1.000   9.000  33.766     0.0  0.387
    angle:noise   1.808  16.272  45.310     0.0  0.188
    """

    name: str
    analysis: tuple[Stratum, ...]
    expressions: dict[str, frozenset[str]]
    numeral: str
    observed: frozenset[str]
    repeated: RepeatedMeasures | None
    has_error: bool
    notes: tuple[str, ...]
    model: StrataModel = field(repr=False)

    @cached_property
    def strata(self) -> dict[str, StatsTable]:
        """The table of every stratum: ``df, sum_sq, mean_sq, F, PR(>F)``, and ``efficiency`` if some term is split."""
        split = any(stratum.is_split for stratum in self.analysis)
        return {stratum.name: stratum.table(split=split) for stratum in self.analysis}

    def to_frame(self) -> pd.DataFrame:
        """Return all rows, indexed by stratum and term; by term alone without ``Error(…)``.

        Returns
        -------
        DataFrame
            The columns of :attr:`strata`, and of the terms ``den_df, mse, pes, ges`` as :meth:`table` has them.
        """
        tables = {stratum.name: self._with_sizes(stratum) for stratum in self.analysis}
        if not self.has_error:
            return next(iter(tables.values()))
        return pd.concat(tables, names=["stratum", "term"])

    def _with_sizes(self, stratum: Stratum) -> pd.DataFrame:
        """The table of a stratum with denominators and effect sizes of its terms."""
        frame = self.strata[stratum.name].to_frame()
        rows = {effect.label: self._row(stratum, effect, 1.0) for effect in stratum.effects}
        for name in ("den_df", "mse", "pes", "ges"):
            frame[name] = [rows[label][name] if label in rows else np.nan for label in frame.index]
        return frame

    def efficiency(self) -> StatsTable:
        """Return the share of the information on every term that each stratum holds.

        Returns
        -------
        StatsTable
            A term a row, a stratum a column; every row sums to 1.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> result = mfx.aov("yield ~ N * P * K + Error(block)", mfx.load_dataset("npk"))
        >>> result.efficiency().to_frame().loc[["N", "N:P:K"]]
               block  Within
        N        0.0     1.0
        N:P:K    1.0     0.0
        """
        frame = pd.DataFrame(0.0, index=list(self.expressions), columns=[stratum.name for stratum in self.analysis])
        for stratum in self.analysis:
            for effect in stratum.effects:
                frame.loc[effect.label, stratum.name] = round(effect.efficiency, 12)
        notes = ["1: the term varies in this stratum only. Between 0 and 1: it is partly confounded with the units."]
        return StatsTable.from_frame(frame, heading="Efficiency of the strata", notes=notes)

    # ---------------------------------------------------------------- marginal means
    def mixed_model(self) -> LinearMixedResults:
        """Return the mixed model with the same strata, fitted by REML.

        Every term of ``Error(…)`` becomes a random intercept, but for units that are single rows: their variance is the
        residual one. In a balanced design its tests are those of the strata, unless a variance would be negative: then
        it is zero, and strata are pooled.

        Returns
        -------
        LinearMixedResults

        Raises
        ------
        SpecificationError
            If there is only one stratum: marginal means then have the residual degrees of freedom of the linear model.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> oats = mfx.load_dataset("oats").astype({"nitro": "category"})
        >>> result = mfx.aov("yield ~ Variety * nitro + Error(Block/Variety)", oats)
        >>> result.mixed_model().varcorr.to_frame()[["group", "variance"]].round(2)
                   group  variance
        0          Block    214.48
        1  Block:Variety    106.06
        2       Residual    177.08
        """
        return self._mixed_model

    def strata_estimates(self) -> StrataEstimates | None:
        """Return the coefficients with errors from the mean squares of the strata, as the tables test them.

        Marginal means and their contrasts rest on them, also where a component of variance is negative. None where
        strata have no single variance (units of different size, groupings that are not orthogonal) or no residual
        degrees of freedom: then they rest on :meth:`mixed_model`.
        """
        return strata_estimates(self.model.design(), self.model.groupings, self.analysis)

    def _adapted(self, ddf: DdfName | float | None, *, random: bool, further: bool) -> AdaptedFit:
        """Return the estimates of the strata; of one stratum those of least squares, else those of a mixed model."""
        formula = self.model.mixed
        if not formula.random:
            return least_squares_fit(self.model.design(), ddf)
        df = given_df(ddf)
        found = self.strata_estimates() if ddf in (None, "z") or df is not None else None
        is_transformed = bool(formula.response.function)
        if found is None or (random and is_transformed):  # such averages over random effects need the variances
            note = f"From the mixed model with the strata of aov: {formula}."
            return replace(self.mixed_model()._adapted(ddf, random=random, further=further), notes=(note,))
        denominator: Denominator = found.denominator
        if ddf == "z":
            denominator = Asymptotic(denominator.covariance)
        elif df is not None:
            denominator = fixed_df(denominator.covariance, df, "the user")
        return linear_fit(found.design, found.beta, denominator, notes=("From the error strata of aov.",))

    @cached_property
    def _mixed_model(self) -> LinearMixedResults:
        return self.model.fit()

    # ---------------------------------------------------------------- repeated measures
    def table(self, *, correction: CorrectionName = "none") -> StatsTable:
        """Return one row a term, with effect sizes, the degrees of freedom corrected for lack of sphericity if asked.

        Parameters
        ----------
        correction : {"none", "GG", "HF"}
            ``"none"``, ``"GG"`` (Greenhouse and Geisser) or ``"HF"`` (Huynh and Feldt); for designs in which every unit
            is measured once in each cell: ``Error(unit/(a * b))``.

        Returns
        -------
        StatsTable
            ``stratum, num_df, den_df, mse, F, PR(>F), pes, ges``: ``pes`` is partial, ``ges`` generalised eta squared
            (Olejnik and Algina 2003; Bakeman 2005).
        """
        applied = checked_choice("correction", correction, CORRECTIONS)
        sphericities = self._sphericities if applied.estimate else {}
        rows = {}
        for stratum in self.analysis:
            epsilon = applied.epsilon(sphericities.get(stratum.name))
            for effect in stratum.effects:
                rows[(stratum.name, effect.label)] = self._row(stratum, effect, epsilon)
        order = {label: place for place, label in enumerate(self.expressions)}
        keys = sorted(rows, key=lambda key: order[key[1]])
        frame = pd.DataFrame([rows[key] for key in keys], index=[label for _, label in keys])
        notes = [f"{MEANING[self.numeral]}.", applied.note, *self.notes]
        return StatsTable.from_frame(
            frame,
            heading=f"Analysis of variance of {self.name}",
            notes=notes,
            formats={"pes": "statistic", "ges": "statistic"},
        )

    def _row(self, stratum: Stratum, effect: StratumEffect, epsilon: float) -> dict[str, Any]:
        f, df, den_df = stratum.f_value(effect), effect.df * epsilon, stratum.df * epsilon
        total = effect.sum_sq + stratum.error
        return {
            "stratum": stratum.name,
            "num_df": df,
            "den_df": den_df,
            "mse": stratum.mean_sq / epsilon,
            "F": f,
            "PR(>F)": float(f_tail(f, df, den_df)),
            "pes": effect.sum_sq / total if total > 0 else np.nan,
            "ges": self._generalised(effect),
        }

    def _generalised(self, effect: StratumEffect) -> float:
        """Share of an effect in what varies between units as they are met: errors, observed factors, itself."""
        effects = [other for stratum in self.analysis for other in stratum.effects]
        of_observed = sum(other.sum_sq for other in effects if self._is_observed(other))
        of_itself = 0.0 if self._is_observed(effect) else effect.sum_sq
        total = of_itself + of_observed + sum(stratum.error for stratum in self.analysis)
        return effect.sum_sq / total if total > 0 else np.nan

    def _is_observed(self, effect: StratumEffect) -> bool:
        return bool(self.expressions[effect.label] & self.observed)

    def sphericity(self) -> StatsTable:
        """Return Mauchly's test and the estimates of epsilon, for every term with repeated measures.

        Returns
        -------
        StatsTable
            ``W, p``: Mauchly's; ``GG, HF``: the factors of the degrees of freedom by Greenhouse and Geisser and by
            Huynh and Feldt (which can exceed 1; the tables use at most 1).

        Raises
        ------
        DataError
            If the design is not one of repeated measures, each unit once in each cell.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> result = mfx.aov("rt ~ angle * noise + Error(id/(angle * noise))", mfx.load_dataset("md_12.1"))
        >>> result.sphericity().to_frame().round(3)
                         W      p     GG     HF
        angle        0.960  0.850  0.962  1.218
        angle:noise  0.894  0.638  0.904  1.118
        """
        rows: dict[str, dict[str, float]] = {}
        for stratum in self.analysis:
            estimate = self._sphericities.get(stratum.name)
            if estimate is None or estimate.size < 2:
                continue
            w, p = estimate.mauchly
            row = {"W": w, "p": p, "GG": estimate.greenhouse_geisser, "HF": estimate.huynh_feldt}
            rows |= {effect.label: row for effect in stratum.effects}
        frame = pd.DataFrame(list(rows.values()), index=list(rows), columns=["W", "p", "GG", "HF"], dtype=float)
        notes = [
            "W and p: Mauchly's test of sphericity. GG, HF: epsilons of Greenhouse and Geisser and of Huynh and Feldt.",
            "Terms with one degree of freedom within units need no correction.",
        ]
        formats = {"W": "statistic", "GG": "statistic", "HF": "statistic"}
        return StatsTable.from_frame(frame, heading="Sphericity", notes=notes, formats=formats)

    @cached_property
    def _sphericities(self) -> dict[str, Sphericity]:
        design = self.repeated
        if design is None:
            raise DataError(
                "sphericity is for repeated measures: Error(unit/(a * b)) with one row for each unit and combination "
                "of the factors within units. Several rows a cell: aggregate='mean'. Missing cells: drop the unit, or "
                "fit with lmer"
            )
        by_stratum = {stratum.name: design.sphericity(stratum) for stratum in self.analysis}
        return {name: sphericity for name, sphericity in by_stratum.items() if sphericity is not None}

    # ---------------------------------------------------------------- display
    def summary(self) -> Summary:
        """Return the tables of all strata, ready to be written."""
        title = f"Analysis of variance of {self.name}"
        blocks = [
            replace(block, title=table.heading if self.has_error else "")
            for table in self.strata.values()
            for block in table.summary().blocks
        ]
        of_tables = (note for table in self.strata.values() for note in table.notes)
        notes = dict.fromkeys([f"{MEANING[self.numeral]}.", *self.notes, *of_tables])
        return Summary(tuple(blocks), title, tuple(notes))

    def __str__(self) -> str:
        return self.summary().as_text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.summary().as_html()
