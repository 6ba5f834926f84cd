"""Gelman's analysis of variance: the standard deviation of every batch of coefficients, in the data and beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._display import StatsTable
from mixedfx._lazy import higher
from mixedfx.analysis_of_variance.batch_kinds import Spread
from mixedfx.analysis_of_variance.batch_populations import populations_by
from mixedfx.analysis_of_variance.batch_terms import fixed_batches, frame_of, random_batches
from mixedfx.analysis_of_variance.coding import terms_of_design
from mixedfx.analysis_of_variance.joint_effects import joint_effects, least_squares_residual
from mixedfx.analysis_of_variance.strata import RESIDUAL
from mixedfx.results.linear import LinearMixedResults
from mixedfx.results.simulate import checked_count, generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Batches", "batches"]

NOTES = (
    "finite: standard deviation among the coefficients at hand; super: in the population that they come from.",
    "Intervals of finite sds: simulated given the estimated variances; for fixed terms from the noncentral F.",
)
NEAR_ZERO = "A variance near zero has no interval here: population='profile' finds its limits."
OVER_ROWS = "{}: the standard deviation of its contribution over the rows."


def batches(fit: Any, *, draws: int = 4000, seed: Any = 0, alpha: float = 0.05, population: str = "chi2") -> Batches:
    """Summarise a linear mixed model by one standard deviation a batch of coefficients (Gelman's ANOVA).

    Parameters
    ----------
    fit : LinearMixedResults
        Independent residuals. Factors that shall be treated alike are best all random: ``(1 | a) + (1 | b)``.
    draws : int
        Simulated sets of effects for the intervals.
    seed : int, SeedSequence, Generator or None
        Of the simulation.
    alpha : float
        One minus the level of the intervals.
    population : str
        How the intervals of population sds are made: ``"chi2"``, at once, from the precision of the variances; or
        ``"profile"``, from the profiled likelihood: better for few levels, and for variances estimated as zero.

    Returns
    -------
    Batches

    Raises
    ------
    TypeError, SpecificationError

    References
    ----------
    Gelman (2005), Ann. Stat. 33, 1; Gelman & Hill (2007), ch. 22.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mfx.load_dataset("penicillin"))
    >>> mfx.batches(fit).to_frame()[["n", "df", "finite", "super"]].round(3)
                n   df  finite  super
    plate      24   23   0.847  0.847
    sample      6    5   1.932  1.932
    Residual  144  115   0.550  0.550
    """
    if not isinstance(fit, LinearMixedResults):
        raise TypeError(f"batches is for linear mixed models, found {type(fit).__name__}")
    alpha = checked_alpha(alpha)
    intervals, about = populations_by(population)
    joint = joint_effects(fit)
    drawn = joint.draw(checked_count(draws), generator(seed))
    spreads = intervals(fit, alpha)
    rows = {}
    for batch in fixed_batches(fit):
        rows[batch.label] = _row("fixed", batch.size, batch.df, batch.finite(joint, drawn, alpha), Spread(np.nan))
    for random in random_batches(fit):
        spread = random.finite(joint, drawn, alpha)
        rows[random.label] = _row("random", random.size, random.df, spread, spreads[random.label])
    df, mean_sq = least_squares_residual(fit)
    rows[RESIDUAL] = _row("residual", fit.nobs, df, Spread(*([float(np.sqrt(mean_sq))] * 5)), spreads[RESIDUAL])
    return Batches(_table(fit, rows, about), alpha)


@dataclass(frozen=True, eq=False)
class Batches:
    """One row a batch of coefficients: made by :func:`mixedfx.batches`.

    Parameters
    ----------
    table : StatsTable
        Columns ``kind, n, df`` and for both standard deviations, ``finite`` and ``super``, the estimate, the limits of
        the interval (``_lower, _upper``) and those of 50 % (``_q25, _q75``).
    alpha : float

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("ca ~ 1 + (1 | plant/leaf)", mfx.load_dataset("turnip"))
    >>> list(mfx.batches(fit).table.index)
    ['plant', 'plant:leaf', 'Residual']
    """

    table: StatsTable
    alpha: float

    def to_frame(self) -> pd.DataFrame:
        """Return the unrounded numbers."""
        return self.table.to_frame()

    def plot(self, *, kind: str = "finite", ax: Axes | None = None) -> Axes:
        """Draw a dot and two bars a batch: the estimate, 50 % and ``1 - alpha``.

        Parameters
        ----------
        kind : str
            ``"finite"`` or ``"super"``.
        ax : matplotlib Axes, optional
        """
        axes: Axes = higher("plot_batches")(self.to_frame(), kind=kind, ax=ax)
        return axes

    def __str__(self) -> str:
        return str(self._shown)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self._shown._repr_html_()

    @property
    def _shown(self) -> StatsTable:
        columns = ["n", "df", "finite", "finite_lower", "finite_upper", "super", "super_lower", "super_upper"]
        names = [name.removeprefix("finite_").removeprefix("super_") for name in columns]
        return StatsTable.from_frame(
            self.to_frame()[columns].set_axis(names, axis=1),
            heading=self.table.heading,
            notes=self.table.notes,
            formats={"df": "count"},
        )


def _row(kind: str, size: int, df: int, finite: Spread, beyond: Spread) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": kind, "n": size, "df": df}
    for name, spread in (("finite", finite), ("super", beyond)):
        row |= {
            name: spread.sd,
            f"{name}_lower": spread.lower,
            f"{name}_q25": spread.q25,
            f"{name}_q75": spread.q75,
            f"{name}_upper": spread.upper,
        }
    return row


def _table(fit: LinearMixedResults, rows: dict[str, dict[str, Any]], about: str) -> StatsTable:
    frame = pd.DataFrame(list(rows.values()), index=list(rows))
    notes = [*NOTES, about]
    if (frame["super"].notna() & frame["super_upper"].isna()).any():
        notes.append(NEAR_ZERO)
    covariates = [term.label for term in terms_of_design(fit.design, frame_of(fit)) if term.covariates]
    if covariates:
        notes.append(OVER_ROWS.format(", ".join(covariates)))
    formats = dict.fromkeys(frame.columns[3:], "number")
    heading = f"Batches of coefficients of {fit.design.response.name}"
    return StatsTable.from_frame(frame, heading=heading, notes=notes, formats=formats | {"df": "count"})
