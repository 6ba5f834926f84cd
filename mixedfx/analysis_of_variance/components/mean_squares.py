"""Analysis of variance with random factors: variance components, quasi-F tests, and REML beside them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_choice, checked_mapping
from mixedfx._display import StatsTable, Summary
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.analysis_of_variance.components.expected import (
    CONVENTIONS,
    Convention,
    ConventionName,
    Expected,
    MeanSquareSum,
    expected_mean_squares,
)
from mixedfx.analysis_of_variance.components.intervals import INTERVALS, IntervalMethod, IntervalName, one_way_table
from mixedfx.analysis_of_variance.components.layout import VarianceLayout, read_layout
from mixedfx.analysis_of_variance.strata.analysis import RESIDUAL
from mixedfx.exceptions import SingularFitWarning, SpecificationError
from mixedfx.inference.distributions import f_tail
from mixedfx.matrices.rows import MissingName
from mixedfx.models import lmer

__all__ = ["MeanSquares", "mean_squares"]

AGREE = 1e-4  # of the residual variance, below which a difference counts as none


def mean_squares(
    formula: str,
    data: Any,
    *,
    fixed: Sequence[str] | str = (),
    convention: ConventionName = "unrestricted",
    missing: MissingName = "drop",
    functions: Mapping[str, Any] | None = None,
) -> MeanSquares:
    """Estimate variance components from mean squares and their expectations, in any design.

    Parameters
    ----------
    formula : str
        ``"y ~ part * operator"``: every factor is random unless named in ``fixed``; or the formula of a mixed model
        whose bars are intercepts, ``"y ~ Machine + (1 | Worker) + (1 | Machine:Worker)"``. Nested factors:
        ``"y ~ batch/cask"``.
    data : data frame or dict of arrays
    fixed : str or sequence of str
        Fixed factors and covariates. A term is random as soon as one of its factors is.
    convention : {"unrestricted", "restricted"}
        ``"unrestricted"``: the effects of a mixed interaction are independent (as in mixed models). ``"restricted"``:
        they sum to zero over the levels of the fixed factor (balanced designs).
    missing, functions
        As for :func:`mixedfx.lmer`.

    Returns
    -------
    MeanSquares

    Raises
    ------
    SpecificationError, DataError

    Examples
    --------
    A gauge study: 20 parts measured twice by each of 3 operators.

    >>> import mixedfx as mfx
    >>> gage = mfx.mean_squares("y ~ part * operator", mfx.load_dataset("gage"))
    >>> gage.components.round(4)
    part             10.2798
    operator          0.0149
    part:operator    -0.1399
    Residual          0.9917
    Name: components, dtype: float64
    """
    layout = read_layout(formula, data, fixed, {"missing": missing, "functions": functions})
    meaning = checked_choice("convention", convention, CONVENTIONS)
    return MeanSquares(layout, expected_mean_squares(layout, meaning), convention)


@hinting_methods
@dataclass(frozen=True, eq=False)
class MeanSquares:
    """Mean squares, what they estimate, and what follows.

    Made by :func:`mixedfx.mean_squares`. Printing it shows the table and the variance components.

    Parameters
    ----------
    layout : VarianceLayout
    analysis : Expected
    convention : str

    Examples
    --------
    >>> import mixedfx as mfx
    >>> machines = mfx.mean_squares("score ~ Machine * Worker", mfx.load_dataset("machines"), fixed="Machine")
    >>> machines.table.to_frame()[["df", "mean_sq", "F", "denominator"]].round(3)
                      df  mean_sq       F     denominator
    Machine          2.0  877.632  20.576  Machine:Worker
    Worker           5.0  248.379   5.823  Machine:Worker
    Machine:Worker  10.0   42.653  46.130        Residual
    Residual        36.0    0.925     NaN
    """

    layout: VarianceLayout
    analysis: Expected
    convention: ConventionName

    # ---------------------------------------------------------------- table
    @cached_property
    def table(self) -> StatsTable:
        """Sums of squares, expectations and tests: one row a term.

        Columns ``df, sum_sq, mean_sq, F, den_df, PR(>F), denominator, expected``. Where no single mean square has the
        expectation that a test needs, the denominator is synthesised from several (quasi-F).
        """
        a = self.analysis
        last = len(a.labels) - 1
        rows = [self._test(place) for place in range(last)]
        frame = pd.DataFrame({"df": a.df, "sum_sq": a.sum_sq, "mean_sq": a.mean_sq}, index=list(a.labels))
        tests = pd.DataFrame(rows, index=list(a.labels[:-1]), columns=["F", "den_df", "PR(>F)", "denominator"])
        frame = frame.join(tests)
        frame["denominator"] = frame["denominator"].fillna("")
        frame["expected"] = [self._expectation(place) for place in range(last + 1)]
        return StatsTable.from_frame(frame, heading=f"Mean squares of {self.layout.name}", notes=self._notes())

    def _test(self, place: int) -> dict[str, Any]:
        below = self.analysis.denominator(place)
        text = _sum_text(below.c, self.analysis.labels)
        if below.value <= 0:
            return {"F": np.nan, "den_df": np.nan, "PR(>F)": np.nan, "denominator": text}
        f, df = float(self.analysis.mean_sq[place]) / below.value, float(self.analysis.df[place])
        den_df = below.satterthwaite_df
        return {"F": f, "den_df": den_df, "PR(>F)": float(f_tail(f, df, den_df)), "denominator": text}

    def _expectation(self, place: int) -> str:
        a = self.analysis
        pairs = [
            (weight, f"σ²({name})") for weight, name in zip(a.coefficients[place, :-1], a.components) if weight != 0
        ]
        parts = ["σ²", *(f"{_number(weight)} {name}" for weight, name in reversed(pairs))]
        if a.fixed[place]:
            parts.append(f"Q({', '.join(a.fixed[place])})")
        return " + ".join(parts)

    def _notes(self) -> list[str]:
        notes = [f"Expectations in the {self.convention} convention."]
        if any(self.analysis.fixed):
            notes.append("Q(…): a quadratic form of fixed effects, zero if they are.")
        if not self.analysis.is_balanced:
            notes.append("The design is not balanced: each term is adjusted for those above it, and F is approximate.")
        if any(not self.analysis.denominator(place).is_single for place in range(len(self.analysis.labels) - 1)):
            notes.append("Denominators of several mean squares are synthesised (quasi-F), with Satterthwaite's df.")
        return [*notes, *self.layout.notes]

    @property
    def expected(self) -> pd.DataFrame:
        """Coefficients of the variance components (columns) in the expectation of every mean square (rows)."""
        a = self.analysis
        return pd.DataFrame(a.coefficients, index=list(a.labels), columns=list(a.components))

    # ---------------------------------------------------------------- components
    @cached_property
    def components(self) -> pd.Series[float]:
        """Variance components by the method of moments, negative ones as they are."""
        a = self.analysis
        return pd.Series(a.weights @ a.mean_sq, index=list(a.components), name="components", dtype=float)

    def variance_components(self, *, alpha: float = 0.05, method: IntervalName = "mls") -> StatsTable:
        """Return the components with standard errors, degrees of freedom and intervals.

        Parameters
        ----------
        alpha : float
            One minus the level of the intervals.
        method : {"mls", "satterthwaite"}
            ``"mls"``: modified large-sample intervals, which hold their level with few degrees of freedom and negative
            estimates too; ``"satterthwaite"``: by chi-squared, for positive estimates.

        Returns
        -------
        StatsTable
            ``estimate``; ``truncated`` at zero and its ``share`` of their sum; ``se`` from unbiased estimates of the
            variances of the mean squares, ``se_plugin`` from plain ones; Satterthwaite's ``df``; ``lower, upper``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> turnip = mfx.mean_squares("ca ~ plant/leaf", mfx.load_dataset("turnip"))
        >>> turnip.variance_components(method="satterthwaite").to_frame()[["estimate", "se", "df", "lower"]].round(4)
                    estimate      se       df   lower
        plant         0.3652  0.2668   2.2539  0.1042
        plant:leaf    0.1611  0.0735   7.6774  0.0725
        Residual      0.0067  0.0025  12.0000  0.0034
        """
        a, intervals = self.analysis, checked_choice("method", method, INTERVALS)
        sums = [a.combination(unit) for unit in np.eye(len(a.components))]
        frame = _sums_frame(sums, list(a.components), checked_alpha(alpha), intervals)
        truncated = frame["estimate"].clip(lower=0.0)
        frame.insert(1, "truncated", truncated)
        frame.insert(2, "share", truncated / truncated.sum())
        notes = [intervals.note, *self._negative_note()]
        heading = f"Variance components of {self.layout.name}"
        return StatsTable.from_frame(frame, heading=heading, notes=notes, formats={"share": "percent"})

    def combination(
        self, weights: Mapping[str, float], *, alpha: float = 0.05, method: IntervalName = "mls"
    ) -> StatsTable:
        """Return a weighted sum of components, such as the reproducibility of a gauge, with its interval.

        Parameters
        ----------
        weights : mapping of str to float
            Weight of each component; the others have none.
        alpha, method
            As for :meth:`variance_components`.

        Returns
        -------
        StatsTable
            One row: ``estimate, se, se_plugin, df, lower, upper``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> gage = mfx.mean_squares("y ~ part * operator", mfx.load_dataset("gage"))
        >>> total = gage.combination({"operator": 1, "part:operator": 1, "Residual": 1}, method="satterthwaite")
        >>> total.to_frame()[["estimate", "df", "lower", "upper"]].round(3)
                                              estimate      df  lower  upper
        operator + part:operator + Residual     0.867  98.299  0.668  1.171
        """
        weights = checked_mapping("weights", weights, '{"part": 1, "Residual": 1}')
        unknown = set(weights) - set(self.analysis.components)
        if unknown:
            raise SpecificationError(
                f"there is no component {sorted(unknown)[0]!r}; choose from {', '.join(self.analysis.components)}"
            )
        intervals = checked_choice("method", method, INTERVALS)
        vector = np.array([float(weights.get(name, 0.0)) for name in self.analysis.components])
        total, name = self.analysis.combination(vector), _sum_text(vector, self.analysis.components)
        frame = _sums_frame([total], [name], checked_alpha(alpha), intervals)
        return StatsTable.from_frame(frame, heading="Sum of variance components", notes=[intervals.note])

    def one_way(self, *, alpha: float = 0.05) -> StatsTable:
        """Return exact intervals for a single random factor: ratio of variances and intraclass correlation.

        Parameters
        ----------
        alpha : float
            One minus the level of the intervals.

        Returns
        -------
        StatsTable
            Rows: both variances, their ``ratio`` and ``icc``; columns ``estimate, lower, upper``.

        Raises
        ------
        SpecificationError
            If the design has more than one factor.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> dyes = mfx.mean_squares("Yield ~ Batch", mfx.load_dataset("dyestuff"))
        >>> dyes.one_way().to_frame().round(4)
                   estimate      lower       upper
        Batch     1764.0500   275.7262  13090.5915
        Residual  2451.2500  1494.5098   4743.9148
        ratio        0.7197     0.0915      5.5736
        icc          0.4185     0.0838      0.8479
        """
        return one_way_table(self.layout, self.analysis, checked_alpha(alpha))

    def against_reml(self) -> StatsTable:
        """Fit the mixed model with the same terms by REML and show its variances beside these, with the reason.

        Returns
        -------
        StatsTable
            ``df, mean_sq``; the estimates ``mean_squares, truncated, reml``; ``difference``. The notes say whether the
            two agree, and why or why not.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> dyes = mfx.mean_squares("Yield ~ Batch", mfx.load_dataset("dyestuff"))
        >>> dyes.against_reml().to_frame()[["mean_squares", "reml"]].round(2)
                  mean_squares     reml
        Batch          1764.05  1764.05
        Residual       2451.25  2451.25
        """
        return _reml_table(self.layout, self.analysis, self.components, CONVENTIONS[self.convention])

    def _negative_note(self) -> list[str]:
        negative = [name for name, value in self.components.items() if value < 0]
        if not negative:
            return []
        return [
            f"A negative estimate ({', '.join(map(str, negative))}) is chance around a small variance, or a sign that "
            "rows of one group resemble each other less than those of different groups."
        ]

    # ---------------------------------------------------------------- display
    def summary(self) -> Summary:
        """Return both tables, ready to be written."""
        components = self.variance_components()
        shown = (self.table.drop(columns="sum_sq"), components.drop(columns="se_plugin"))
        blocks = tuple(block for table in shown for block in table.summary().blocks)
        return Summary(blocks, self.table.heading, (*self.table.notes, *components.notes))

    def __str__(self) -> str:
        return self.summary().as_text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def _sums_frame(
    sums: Sequence[MeanSquareSum], names: Sequence[str], alpha: float, method: IntervalMethod
) -> pd.DataFrame:
    bounds = [method.limits(total, alpha) for total in sums]
    return pd.DataFrame(
        {
            "estimate": [total.value for total in sums],
            "se": [np.sqrt(total.variance()) for total in sums],
            "se_plugin": [np.sqrt(total.variance(unbiased=False)) for total in sums],
            "df": [total.satterthwaite_df for total in sums],
            "lower": [low for low, _ in bounds],
            "upper": [high for _, high in bounds],
        },
        index=list(names),
        dtype=float,
    )


def _number(value: float) -> str:
    return f"{value:.4g}"


def _sum_text(weights: Array, names: Sequence[str]) -> str:
    """Write ``a + 2 b - c``."""
    out = ""
    for weight, name in zip(weights, names):
        if abs(weight) > 0:
            sign = (" - " if weight < 0 else " + ") if out else ("-" if weight < 0 else "")
            size = "" if abs(abs(weight) - 1.0) < 1e-9 else f"{_number(abs(weight))} "
            out += f"{sign}{size}{name}"
    return out


# --------------------------------------------------------------------------- beside REML
def _reml_table(
    layout: VarianceLayout, expected: Expected, components: pd.Series[float], convention: Convention
) -> StatsTable:
    """Return the estimates by mean squares and by REML, and the reason in the notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = lmer(layout.mixed, layout.frame)
    variances = fit.varcorr.to_frame().set_index("group")["variance"]
    by_reml: Array = np.array([float(variances[name]) for name in components.index])
    by_moments: Array = np.asarray(components, dtype=float)
    rows = [expected.labels.index(name) for name in expected.components]
    frame = pd.DataFrame(
        {
            "df": expected.df[rows],
            "mean_sq": expected.mean_sq[rows],
            "mean_squares": by_moments,
            "truncated": np.maximum(by_moments, 0.0),
            "reml": by_reml,
            "difference": by_reml - by_moments,
        },
        index=components.index,
    )
    agree = bool(np.all(np.abs(by_reml - by_moments) <= AGREE * float(by_moments[-1])))
    notes = [f"REML: {layout.mixed}.", *_reasons(expected, by_moments, convention, agree=agree)]
    return StatsTable.from_frame(frame, heading=f"Variance components of {layout.name}", notes=notes)


def _reasons(expected: Expected, by_moments: Array, convention: Convention, *, agree: bool) -> list[str]:
    negative = [name for name, value in zip(expected.components, by_moments) if value < 0 and name != RESIDUAL]
    if agree:
        return [_why_same(expected)]
    out = ["They differ.", *convention.differences]
    if negative:
        out.append(
            f"The mean squares estimate a negative variance ({', '.join(negative)}). REML cannot: it sets the variance "
            "to zero and pools that mean square with others, so that the other estimates move too."
        )
    if not expected.is_balanced:
        out.append(
            "The design is not balanced: mean squares weight the rows by a fixed rule that depends on the order of the "
            "terms, REML by the information that the estimated variances give them. REML is more precise."
        )
    return out


def _why_same(expected: Expected) -> str:
    if expected.is_balanced:
        return (
            "They agree, as they must: the design is balanced and no estimate is negative, so the mean squares hold "
            "all information on the variances and both methods solve the same equations."
        )
    return "They agree to 1e-4 of the residual variance, though the design is not balanced and nothing forces them to."
