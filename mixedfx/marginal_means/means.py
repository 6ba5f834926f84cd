"""A table of marginal means, slopes or contrasts of them, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx._display import StatsTable, Summary
from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.adjust import (
    PLAIN,
    Adjustment,
    AdjustName,
    Question,
    SideName,
    TestsTogether,
    Unadjusted,
    adjustment_for,
    of_families,
    question_for,
)
from mixedfx.marginal_means.contrasts import ContrastsOfRows, MethodName, contrasted, interactions
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.grid import Nesting
from mixedfx.marginal_means.joint import joint_table, term_table
from mixedfx.marginal_means.labels import RowKind, compact_letters, row_names, shown_levels, split_by
from mixedfx.marginal_means.model import MeansModel
from mixedfx.marginal_means.scales import IDENTITY, MeanScale, Ratio, RatioScale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MarginalMeans"]

UNADJUSTED = Unadjusted()


# Of a table of means: fields and helpers that other rooms ask for.
MADE_OF = frozenset(
    {"adjustment", "changed", "column", "functions", "is_comparison", "kind", "measured", "model", "nesting"}
    | {"pairs_of", "remarks", "response", "scale", "scale_remarks"}
)


@hinting_methods
@dataclass(frozen=True, eq=False)
class MarginalMeans:
    """Estimated marginal means, slopes, or contrasts of them: made by :func:`mixedfx.emmeans` and its methods.

    Attributes
    ----------
    labels : DataFrame
        Of the rows: levels of factors, or the name of a contrast.
    functions : Functions
        Estimates on the scale of the linear predictor, with their gradients.
    by : tuple of str
        Columns of ``labels``: rows are compared, and tests adjusted, within each combination of their values.
    kind : RowKind
        Means, slopes or contrasts; the names of the column of estimates and of the table.
    scale : MeanScale
        On which rows are shown: the identity, or the transformation back to the response.
    remarks, scale_remarks : tuple of str
        Notes on the rows, and on the scale of the response if they are shown on it.
    adjustment : Adjustment
        For tests and intervals of the rows of one family.
    pairs_of : int or None
        Number of means of which the rows of one family are all pairwise differences.
    response : MeanScale or None
        The scale of the response, if contrasts are to be shown on it.
    nesting : dict of tuple of str
        For each nested factor those that contain it.
    model : MeansModel
        The model behind the means.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("score ~ Machine + (1 | Worker/Machine)", mfx.load_dataset("machines"))
    >>> means = mfx.emmeans(fit, "Machine")
    >>> means.to_frame()[["Machine", "mean", "se", "df"]].round(3)
      Machine    mean     se     df
    0       A  52.356  2.486  8.522
    1       B  60.322  2.486  8.522
    2       C  66.272  2.486  8.522
    """

    labels: pd.DataFrame
    functions: Functions
    by: tuple[str, ...]
    kind: RowKind
    scale: MeanScale
    remarks: tuple[str, ...] = ()
    scale_remarks: tuple[str, ...] = ()
    adjustment: Adjustment = UNADJUSTED
    pairs_of: int | None = None
    response: MeanScale | None = None
    nesting: Nesting = field(default_factory=dict)
    model: MeansModel = field(kw_only=True, repr=False)

    def __dir__(self) -> list[str]:
        """Show what is of use to somebody who presses Tab, not what the table is made of."""
        return sorted(set(super().__dir__()) - MADE_OF)

    # ---------------------------------------------------------------- estimates
    @property
    def specs(self) -> tuple[str, ...]:
        """Columns of ``labels`` that are compared."""
        return tuple(name for name in self.labels.columns if name not in self.by)

    @property
    def estimate(self) -> str:
        """Name of the column of estimates."""
        return self.kind.estimate

    @property
    def heading(self) -> str:
        """Heading of the table."""
        return self.kind.heading

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes below the table."""
        return (*self.remarks, *self.scale_remarks)

    @property
    def is_comparison(self) -> bool:
        """Whether the rows are compared with zero (or one): differences, ratios, slopes."""
        return self.kind.is_comparison

    @property
    def estimates(self) -> Array:
        """Estimates (r,) on the scale that is shown; nan where they cannot be estimated."""
        return self.scale.inverse(self.functions.estimates)[0]

    @property
    def se(self) -> Array:
        """Standard errors (r,), by the delta method on a transformed scale."""
        return np.abs(self.scale.inverse(self.functions.estimates)[1]) * self.functions.se

    @property
    def df(self) -> Array:
        """Degrees of freedom (r,); infinite for z tests."""
        return self.functions.df

    def cov(self) -> pd.DataFrame:
        """Return the covariance (r, r) of the estimates on the scale of the linear predictor."""
        names = row_names(self.labels)
        return pd.DataFrame(self.functions.covariance, index=names, columns=names)

    @cached_property
    def _missing(self) -> tuple[str, ...]:
        count = int((~self.functions.estimable).sum())
        cells = "One row is" if count == 1 else f"{count} rows are"
        return (f"{cells} not estimable: the data have no information on them (empty cells).",) if count else ()

    def _of_families(
        self,
        adjustment: Adjustment,
        ask: Callable[[Adjustment, TestsTogether], Array],
        question: Question = PLAIN,
    ) -> tuple[Array, tuple[str, ...]]:
        groups, are_pairs = split_by(self.labels, self.by), self.pairs_of is not None
        return of_families(self.functions, groups, adjustment, ask, are_pairs=are_pairs, question=question)

    def _limits(self, alpha: float, adjustment: Adjustment) -> tuple[Array, tuple[str, ...]]:
        multipliers, notes = self._of_families(adjustment, lambda chosen, tests: chosen.multipliers(tests, alpha))
        if self.kind.limits is not None:
            return np.stack(self.kind.limits(self.estimates, multipliers * self.se), axis=1), notes
        link, half = self.functions.estimates, multipliers * self.functions.se
        return np.stack(self.scale.between(link - half, link + half), axis=1), notes

    def conf_int(self, alpha: float = 0.05, adjust: AdjustName | None = None) -> pd.DataFrame:
        """Return confidence limits.

        Parameters
        ----------
        alpha : float
            One minus the level.
        adjust : str, optional
            As for :meth:`contrast`; that of the table if omitted.

        Returns
        -------
        DataFrame
            Labels, and columns ``lower``, ``upper``.
        """
        limits, _ = self._limits(checked_alpha(alpha), self._adjustment(adjust))
        return self._beside_labels(pd.DataFrame(limits, columns=["lower", "upper"]))

    def _adjustment(self, adjust: str | None) -> Adjustment:
        return self.adjustment if adjust is None else adjustment_for(adjust)

    # ---------------------------------------------------------------- tests
    def test(
        self,
        null: float = 0.0,
        *,
        side: SideName = "two-sided",
        delta: float = 0.0,
        adjust: AdjustName | None = None,
        joint: bool = False,
    ) -> StatsTable:
        """Test every row, or all rows of a family together.

        Parameters
        ----------
        null : float
            What the estimates are compared with, on the scale of the linear predictor.
        side : str
            ``"two-sided"``, ``"greater"`` or ``"less"``.
        delta : float
            A distance that does not matter. Two-sided tests are then those of equivalence (the estimate is closer to
            ``null`` than ``delta``: two one-sided tests), ``"greater"`` those of noninferiority (greater than
            ``null - delta``), ``"less"`` those of nonsuperiority (less than ``null + delta``).
        adjust : str, optional
            As for :meth:`contrast`; that of the table if omitted.
        joint : bool
            One F (or chi-squared) test that all rows of a family are ``null``. It has no side, no ``delta`` and nothing
            to adjust for.

        Returns
        -------
        StatsTable

        References
        ----------
        Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657 (two one-sided tests).

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("score ~ Machine + (1 | Worker/Machine)", mfx.load_dataset("machines"))
        >>> table = mfx.emmeans(fit, "Machine").pairs().test(side="less", adjust="none")
        >>> table["pvalue"].round(4).tolist()
        [0.0022, 0.0, 0.0105]
        """
        question, joint = question_for(null, side, delta), checked_flag("joint", joint)
        if joint and (question.side or question.delta):
            raise SpecificationError("a joint test has no side and no delta: leave them out, or leave joint=True out")
        if joint and adjust not in (None, "none"):
            raise SpecificationError(f"a joint test is one test a family: there is nothing for adjust={adjust!r} to do")
        if joint:
            return joint_table(self.functions, self.labels, self.by, question.null)
        frame, notes = self._tested(question, self._adjustment(adjust))
        return self._shown(self._beside_labels(frame), "Tests", (*notes, *question.words))

    def _tested(self, question: Question, adjustment: Adjustment) -> tuple[pd.DataFrame, tuple[str, ...]]:
        pvalues, notes = self._of_families(adjustment, lambda chosen, tests: chosen.pvalues(tests), question)
        f = self.functions
        statistic = np.full(len(f.values), np.nan)
        np.divide(question.distance(f.estimates), f.se, out=statistic, where=f.se > 0)
        columns = {self.estimate: self.estimates, "se": self.se, "df": self.df}
        return pd.DataFrame({**columns, self._letter: statistic, "pvalue": pvalues}), notes

    @property
    def _letter(self) -> str:
        finite = self.df[~np.isnan(self.df)]
        return "t" if np.isfinite(finite).any() else "z"

    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return labels, estimates, standard errors, degrees of freedom, limits, statistics and p-values.

        Parameters
        ----------
        alpha : float
            One minus the level of the limits.

        Returns
        -------
        DataFrame
            One row for each mean or contrast (r): the labels; the estimate (``mean``, ``estimate``, ``odds_ratio``, …),
            ``se, lower, upper`` on the scale that is shown; ``df``; ``t`` or ``z`` and ``pvalue`` of tests on the scale
            of the linear predictor.
        """
        return self._whole(alpha)[0]

    def _whole(self, alpha: float) -> tuple[pd.DataFrame, tuple[str, ...]]:
        tests, notes = self._tested(PLAIN, self.adjustment)
        limits, others = self._limits(checked_alpha(alpha), self.adjustment)
        frame = tests.assign(lower=limits[:, 0], upper=limits[:, 1])
        frame = frame[[self.estimate, "se", "df", "lower", "upper", self._letter, "pvalue"]]
        return self._beside_labels(frame), tuple(dict.fromkeys((*notes, *others)))

    def _beside_labels(self, numbers: pd.DataFrame) -> pd.DataFrame:
        return self.labels.join(numbers.rename(columns=self.column))

    def column(self, name: str) -> str:
        """Return the name of a column of numbers: ``lower``, or ``lower value`` if a predictor has that name."""
        return f"{name} value" if name in self.labels else name

    # ---------------------------------------------------------------- comparisons
    def contrast(
        self,
        method: MethodName | Mapping[str, Sequence[float]] | ArrayLike = "pairwise",
        *,
        adjust: AdjustName | None = None,
        by: str | Sequence[str] | None = None,
        reference: Hashable | None = None,
        interaction: Any = None,
    ) -> MarginalMeans:
        """Compare the rows with each other.

        Parameters
        ----------
        method : str, dict or array
            ``"pairwise"``, ``"revpairwise"``, ``"treatment"`` (each with the reference; Dunnett), ``"sequential"``
            (each with the one before), ``"polynomial"``, ``"helmert"`` (each with the mean of those before),
            ``"effects"`` (each with the mean of all), ``"identity"``; ``{"name": coefficients}``; or a matrix.
        adjust : str, optional
            ``"tukey"``, ``"dunnett"`` (exact, for any contrasts), ``"sidak"``, ``"holm"``, ``"bonferroni"``,
            ``"fdr"``, ``"scheffe"`` or ``"none"``. By default what suits the method: Tukey for pairs, Dunnett for
            treatments, sequences and Helmert's, the false discovery rate for effects, else none.
        by : str or list of str, optional
            Columns within which to compare; those of the table if omitted, ``[]`` to compare across.
        reference : str or int, optional
            Level (or position) with which treatment contrasts compare; the first if omitted.
        interaction : str, list or dict, optional
            A method for each factor (or one for all): contrasts of contrasts.

        Returns
        -------
        MarginalMeans
            On the response scale the contrasts of logarithms are ratios, those of logits odds ratios.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("score ~ Machine + (1 | Worker/Machine)", mfx.load_dataset("machines"))
        >>> mfx.emmeans(fit, "Machine").contrast("treatment").to_frame()[["contrast", "estimate", "pvalue"]].round(3)
          contrast  estimate  pvalue
        0    B - A     7.967   0.008
        1    C - A    13.917   0.000
        """
        within = self.by if by is None else self._columns(by)
        sign = "-" if self._ratio is None else "/"
        if interaction is not None:
            contrasts = interactions(self.labels, interaction, within, sign=sign)
        else:
            contrasts = contrasted(self.labels, method, within, sign=sign, reference=reference)
        return self._compared(contrasts, within, contrasts.adjust if adjust is None else adjust)

    @property
    def _ratio(self) -> Ratio | None:
        """What differences of the rows are on the response; None if they are not shown on it or have no meaning."""
        return None if self.response is None else self.response.ratio

    def _compared(self, contrasts: ContrastsOfRows, by: tuple[str, ...], adjust: str) -> MarginalMeans:
        ratio = self._ratio if np.allclose(contrasts.coefficients.sum(axis=1), 0.0) else None
        scale_remarks = self.scale_remarks
        if ratio is None and self.response is not None:
            name = self.response.name
            scale_remarks = (f"Contrasts are on the {name} scale: they have no counterpart on the response.",)
        return self.changed(
            labels=contrasts.labels,
            functions=self.functions.combined(contrasts.coefficients),
            by=by,
            kind=self.kind.contrasts(None if ratio is None else ratio.name),
            scale=IDENTITY if ratio is None else RatioScale(ratio.name, ratio),
            scale_remarks=scale_remarks,
            adjustment=adjustment_for(adjust),
            pairs_of=contrasts.pairs_of,
            response=None if ratio is None else self.response,
        )

    def pairs(self, *, adjust: AdjustName | None = None, by: str | Sequence[str] | None = None) -> MarginalMeans:
        """Return all pairwise differences: ``contrast("pairwise")``."""
        return self.contrast("pairwise", adjust=adjust, by=by)

    def joint_tests(self, by: str | Sequence[str] | None = None) -> StatsTable:
        """Test the main effects and interactions of the factors that label the rows.

        Parameters
        ----------
        by : str or list of str, optional
            Columns within whose levels to test (simple effects); those of the table if omitted.

        Returns
        -------
        StatsTable
            One row for each term (and combination of ``by``): ``df, den_df, F, PR(>F)``, or ``df, chi2, PR(>chi2)``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("yield ~ Variety * nitro + (1 | Block/Variety)", mfx.load_dataset("oats"))
        >>> mfx.emmeans(fit, ["Variety", "nitro"], at={"nitro": [0, 0.6]}).joint_tests().round(3)["F"].tolist()
        [1.485, 115.771, 0.499]
        """
        return term_table(self.functions, self.labels, self.by if by is None else self._columns(by), self.nesting)

    def letters(self, *, alpha: float = 0.05, adjust: AdjustName | None = None) -> StatsTable:
        """Return the rows in increasing order with a compact letter display.

        Means that share a letter do not differ at level ``alpha``; this is no evidence that they are equal.

        Parameters
        ----------
        alpha : float
            Level of the tests, and one minus the level of the intervals.
        adjust : str, optional
            As for :meth:`contrast`; Tukey's if omitted.

        Returns
        -------
        StatsTable
            The rows (r) with a column ``letters``, without tests of the means.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
        >>> mfx.emmeans(fit, "Type").letters()["letters"].to_dict()
        {'T1': 'a', 'T4': 'a', 'T3': 'b', 'T2': 'c'}
        """
        level, pairs, groups = checked_alpha(alpha), self.pairs(adjust=adjust), split_by(self.labels, self.by)
        pvalues = pairs.to_frame()[pairs.column("pvalue")].to_numpy(dtype=float)
        letters = np.full(len(self.labels), "", dtype=object)
        start = 0
        for group in groups:
            k = len(group)
            differ = np.zeros((k, k), dtype=bool)
            count = k * (k - 1) // 2
            differ[np.triu_indices(k, 1)] = pvalues[start : start + count] < level
            letters[group] = compact_letters(self.functions.estimates[group], differ | differ.T)
            start += count
        frame, notes = self._whole(alpha)
        order = np.concatenate([group[np.argsort(self.estimates[group])] for group in groups])
        frame = frame.drop(columns=[self.column(self._letter), self.column("pvalue")])
        frame = frame.assign(letters=letters).iloc[order].reset_index(drop=True)
        label = pairs.adjustment.label
        how = f", p-values adjusted by {label}" if label else ""
        meaning = (
            f"Rows that share a letter do not differ at level {alpha:g}{how}; that does not show that they are equal."
        )
        return self._shown(frame, self.heading, (*notes, meaning))

    def _columns(self, names: str | Sequence[str]) -> tuple[str, ...]:
        chosen = (names,) if isinstance(names, str) else tuple(names)
        for name in chosen:
            if name not in self.labels.columns:
                known = ", ".join(map(repr, self.labels.columns))
                raise SpecificationError(f"by={name!r} is no column of the table; they are {known}")
        return chosen

    # ---------------------------------------------------------------- showing
    def _shown(self, frame: pd.DataFrame, heading: str, notes: Sequence[str]) -> StatsTable:
        named = [*self.by, *self.specs]
        frame = frame.assign(**{name: shown_levels(frame[name]) for name in named})
        frame = frame.set_index(named) if named else frame.set_index(pd.Index(["overall"]))
        return StatsTable.from_frame(frame, heading=heading, notes=(*self.notes, *notes, *self._missing))

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return the table as text, HTML, LaTeX, CSV or Markdown; ``alpha`` is one minus the level of the intervals."""
        frame, notes = self._whole(alpha)
        if not self.is_comparison:
            frame = frame.drop(columns=[self.column(self._letter), self.column("pvalue")])
        level = f"Intervals of level {1 - alpha:g}."
        return self._shown(frame, self.heading, (*notes, level)).summary()

    @property
    def measured(self) -> str:
        """The quantity, the response and the scale of the estimates, as the label of an axis."""
        scale, response = self.model.scale, self.model.fit.response
        inside = response.removeprefix("cbind(")
        if inside != response:  # of counts out of trials that of the successes
            response = f"the proportion of {inside.split(',')[0].strip()}"
        words = f"{self.kind.words} of {response}" if response else self.kind.words
        if not self.kind.is_on_link or not self.scale.is_identity or scale.is_identity:
            return words
        return f"{words}, {scale.name if scale.has_mean else 'latent'} scale"

    def plot(self, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
        """Draw the estimates with their intervals; see :func:`mixedfx.plots.plot_marginal_means`."""
        axes: Axes = higher("plot_marginal_means")(self, alpha=alpha, ax=ax)
        return axes

    def changed(self, **fields: Any) -> MarginalMeans:
        """Return a copy with other fields."""
        return replace(self, **fields)

    def __len__(self) -> int:
        return len(self.labels)

    def __str__(self) -> str:
        return str(self.summary())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.summary().as_html()
