"""Marginal means, slopes and contrasts as dots with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from mixedfx.marginal_means.labels import shown_levels
from mixedfx.plots.given import refuse_fit
from mixedfx.plots.look import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["joined", "marginal_means_frame", "plot_marginal_means"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")  # Okabe and Ito
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
ROW_HEIGHT, SMALLEST_HEIGHT, LARGEST_HEIGHT = 0.42, 2.2, 10.0  # inches
EXTRA_HEIGHT = 0.16  # inches for each further group within a row
WIDTH = 6.0
SPREAD = 0.6  # of a row that its groups take
RATIOS = ("ratio", "odds_ratio", "hazard_ratio")


class HasIntervals(Protocol):
    """What a table must offer to be drawn."""

    @property
    def labels(self) -> pd.DataFrame:
        """What the rows are."""

    @property
    def by(self) -> tuple[str, ...]:
        """Columns of the labels that make groups."""

    @property
    def estimate(self) -> str:
        """Name of the column of estimates."""

    @property
    def heading(self) -> str:
        """Title."""

    @property
    def measured(self) -> str:
        """What the estimates are, of which response and on which scale."""

    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return labels, estimates and limits."""

    def column(self, name: str) -> str:
        """Return what a column of numbers is called beside the labels."""


def marginal_means_frame(means: HasIntervals, *, alpha: float = 0.05) -> pd.DataFrame:
    """Return the numbers behind :func:`plot_marginal_means`.

    Parameters
    ----------
    means : MarginalMeans
    alpha : float
        One minus the level of the intervals.

    Returns
    -------
    pandas.DataFrame
        Columns ``row, group, estimate, lower, upper``.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> from mixedfx.plots import marginal_means_frame
    >>> fit = mfx.lmer("score ~ Machine + (1 | Worker)", mfx.load_dataset("machines"))
    >>> marginal_means_frame(mfx.emmeans(fit, "Machine"))[["row", "estimate"]].round(1)
      row  estimate
    0   A      52.4
    1   B      60.3
    2   C      66.3
    """
    frame = means.to_frame(alpha)
    specs = [name for name in means.labels.columns if name not in means.by]
    return pd.DataFrame(
        {
            "row": joined(frame, specs),
            "group": joined(frame, list(means.by)),
            "estimate": frame[means.column(means.estimate)],
            "lower": frame[means.column("lower")],
            "upper": frame[means.column("upper")],
        }
    )


def joined(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return the names of rows: their labels one beside the other, long numbers rounded."""
    columns = [list(map(str, shown_levels(frame[name]))) for name in names]
    return [", ".join(row) for row in zip(*columns, strict=True)] if columns else [""] * len(frame)


def plot_marginal_means(means: HasIntervals, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Draw estimates as dots with their intervals, one line a row and one colour a group.

    Parameters
    ----------
    means : MarginalMeans
        Of :func:`mixedfx.emmeans`, :func:`mixedfx.trends` or their contrasts.
    alpha : float
        One minus the level of the intervals.
    ax : matplotlib Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib Axes
    """
    refuse_fit(means, "plot_marginal_means", 'mfx.emmeans(fit, "factor")')
    frame = marginal_means_frame(means, alpha=alpha)
    rows, groups = list(dict.fromkeys(frame["row"])), list(dict.fromkeys(frame["group"]))
    panel = _panel(len(rows), len(groups)) if ax is None else ax
    is_ratio = means.estimate in RATIOS
    for number, group in enumerate(groups):
        own = frame[frame["group"] == group]
        shift = SPREAD * ((number + 0.5) / len(groups) - 0.5)
        y = np.array([rows.index(row) for row in own["row"]]) + shift
        _draw(panel, own, y, number, group)
    if means.estimate not in ("mean", "probability"):
        panel.axvline(1.0 if is_ratio else 0.0, color="0.35", linewidth=1.0, linestyle="--", zorder=0.7)
    if is_ratio:
        _logarithmic(panel, frame)
    panel.set_yticks(np.arange(len(rows)), rows)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlabel(f"{means.measured} ({100 * (1 - alpha):g} % interval)")
    specs = [name for name in means.labels.columns if name not in means.by and name != "contrast"]
    panel.set_ylabel(", ".join(specs))
    panel.set_title(means.heading, fontsize="medium", loc="left")
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", color=GREY, alpha=0.2, linewidth=0.8)
    panel.set_axisbelow(True)
    if len(groups) > 1:
        panel.legend(
            title=", ".join(means.by), frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5)
        )
    return panel


def _panel(rows: int, groups: int) -> Axes:
    from matplotlib import pyplot as plt

    height = float(np.clip((ROW_HEIGHT + EXTRA_HEIGHT * (groups - 1)) * rows + 1.1, SMALLEST_HEIGHT, LARGEST_HEIGHT))
    _, panel = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    return panel


def _draw(panel: Axes, own: pd.DataFrame, y: np.ndarray, number: int, group: str) -> None:
    colour = COLOURS[number % len(COLOURS)]
    panel.hlines(y, own["lower"], own["upper"], color=colour, linewidth=1.8)
    panel.plot(
        own["estimate"], y, MARKERS[number % len(MARKERS)], color=colour, markersize=6, label=group, linestyle="none"
    )


def _logarithmic(panel: Axes, frame: pd.DataFrame) -> None:
    """Give a ratio and its inverse the same distance from 1, with plain numbers on the axis."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    panel.set_xscale("log")
    ends = frame[["lower", "upper"]].to_numpy(dtype=float)
    wide = np.nanmax(ends) / np.nanmin(ends) > 100.0
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
