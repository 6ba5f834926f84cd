"""Marginal means and contrasts: dots with intervals, lines, p-values of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx._display.names import shortened
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.adjust import AdjustName
from mixedfx.marginal_means.labels import shown_levels, split_by
from mixedfx.marginal_means.means import MarginalMeans
from mixedfx.plots.look import GREY, MARKERS, PALETTE, draw_intervals, one_panel, refuse_fit
from mixedfx.plots.names import (
    BESIDE,
    entry,
    label_axes,
    legend_beside,
    literal,
    name_levels,
    name_rows,
    plain,
    row_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "interaction",
    "interaction_frame",
    "marginal_means_frame",
    "pairwise_pvalues",
    "pairwise_pvalues_frame",
    "plot_marginal_means",
    "row_names",
]

# ------------------------------------------------------------------ dots
COLOURS = (*PALETTE[:-1], "#000000")
ROW_HEIGHT, SMALLEST_HEIGHT, LARGEST_HEIGHT = 0.42, 2.2, 10.0  # inches
EXTRA_HEIGHT = 0.16  # inches for each further group within a row
WIDTH, USUAL = 6.0, 1.2  # inches; of names that need no more room
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
            "row": row_names(frame, specs),
            "group": row_names(frame, list(means.by)),
            "estimate": frame[means.column(means.estimate)],
            "lower": frame[means.column("lower")],
            "upper": frame[means.column("upper")],
        }
    )


def row_names(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
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
    panel = _panel(rows, len(groups)) if ax is None else ax
    is_ratio = means.estimate in RATIOS
    known = frame[["lower", "estimate", "upper"]].to_numpy(dtype=float)
    for number, group in enumerate(groups):
        members = frame[frame["group"] == group]
        shift = SPREAD * ((number + 0.5) / len(groups) - 0.5)
        y = np.array([rows.index(row) for row in members["row"]]) + shift
        _draw(panel, members, y, known, number, group)
    if means.estimate not in ("mean", "probability"):
        panel.axvline(1.0 if is_ratio else 0.0, color="0.35", linewidth=1.0, linestyle="--", zorder=0.7)
    if is_ratio:
        _logarithmic(panel, frame)
    name_rows(panel, np.arange(len(rows)), rows, most=BESIDE, lines=2)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    if len(groups) > 1:
        legend_beside(panel, ", ".join(means.by))
    specs = [name for name in means.labels.columns if name not in means.by and name != "contrast"]
    label_axes(panel, x=f"{plain(means.measured)} ({100 * (1 - alpha):g} % interval)", y=", ".join(specs))
    literal(panel.set_title(means.heading, fontsize="medium", loc="left"))
    panel.spines["left"].set_visible(False)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", color=GREY, alpha=0.2, linewidth=0.8)
    panel.set_axisbelow(True)
    return panel


def _panel(rows: Sequence[str], groups: int) -> Axes:
    from matplotlib import pyplot as plt

    height = float(
        np.clip((ROW_HEIGHT + EXTRA_HEIGHT * (groups - 1)) * len(rows) + 1.1, SMALLEST_HEIGHT, LARGEST_HEIGHT)
    )
    width = WIDTH + max(0.0, row_width(rows) - USUAL)
    _, panel = plt.subplots(figsize=(width, height), layout="constrained")
    return panel


def _draw(panel: Axes, members: pd.DataFrame, y: np.ndarray, known: np.ndarray, number: int, group: str) -> None:
    colour = COLOURS[number % len(COLOURS)]
    draw_intervals(panel, y, members, known, level=True, color=colour, linewidth=1.8)
    panel.plot(
        members["estimate"],
        y,
        MARKERS[number % len(MARKERS)],
        color=colour,
        markersize=6,
        label=entry(group),
        linestyle="none",
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


# ------------------------------------------------------------------ lines
SHIFT = 0.08  # between the lines at a level, so that their intervals can be told apart


def interaction_frame(means: HasIntervals, x: str | None = None, *, alpha: float = 0.05) -> pd.DataFrame:
    """Return the numbers behind :func:`interaction`.

    Parameters
    ----------
    means : MarginalMeans
    x : str, optional
        The predictor along which means are joined; the first one if omitted.
    alpha : float
        One minus the level of the intervals.

    Returns
    -------
    DataFrame
        Columns ``x, line, mean, lower, upper``: ``line`` the combination of the other predictors.

    Raises
    ------
    SpecificationError
        If ``x`` does not label the means, or they are compared.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> from mixedfx.plots import interaction_frame
    >>> fit = mfx.lmer("yield ~ Variety * nitro + (1 | Block)", mfx.load_dataset("oats"))
    >>> means = mfx.emmeans(fit, ["nitro", "Variety"], at={"nitro": [0, 0.6]})
    >>> interaction_frame(means)[["x", "line", "mean"]].round(1).head(2)
         x         line   mean
    0  0.0  Golden Rain   81.9
    1  0.6  Golden Rain  127.1
    """
    refuse_fit(means, "interaction", "emmeans(fit, ['a', 'b'])")
    names = list(means.labels.columns)
    if not names or "contrast" in names or means.estimate in ("ratio", "odds_ratio", "hazard_ratio", "effect_size"):
        raise SpecificationError("an interaction picture is of means: give it emmeans(fit, ['a', 'b'])")
    along = names[0] if x is None else x
    if along not in names:
        raise SpecificationError(f"x={x!r} does not label the means; they have {', '.join(map(repr, names))}")
    frame = means.to_frame(alpha)
    others = [name for name in names if name != along]
    return pd.DataFrame(
        {
            "x": frame[along],
            "line": row_names(frame, others),
            "mean": frame[means.column(means.estimate)],
            "lower": frame[means.column("lower")],
            "upper": frame[means.column("upper")],
        }
    )


def interaction(
    means: HasIntervals, x: str | None = None, *, interval: bool = True, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw marginal means along a predictor, those of each level of the others joined by a line.

    Parallel lines: no interaction on the scale that is shown. As R's ``emmip`` and ``interaction.plot``, of means that
    the model estimates instead of raw ones.

    Parameters
    ----------
    means, x, alpha
        As for :func:`interaction_frame`.
    interval : bool
        Whether the intervals are drawn. They are those of single means: their overlap is no test of a difference.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    interval = checked_flag("interval", interval)
    frame = interaction_frame(means, x, alpha=alpha)
    panel = one_panel(ax)
    along = next(iter(means.labels.columns)) if x is None else x
    levels, lines = list(dict.fromkeys(frame["x"])), list(dict.fromkeys(frame["line"]))
    known = frame[["lower", "mean", "upper"]].to_numpy(dtype=float)
    is_numeric = pd.api.types.is_numeric_dtype(frame["x"]) and not pd.api.types.is_bool_dtype(frame["x"])
    width = float(np.ptp(np.asarray(levels, dtype=float))) / max(len(levels) - 1, 1) if is_numeric else 1.0
    for k, line in enumerate(lines):
        members = frame[frame["line"] == line]
        places = (
            members["x"].to_numpy(dtype=float)
            if is_numeric
            else np.array([float(levels.index(v)) for v in members["x"]])
        )
        places = places + SHIFT * (width or 1.0) * (k - 0.5 * (len(lines) - 1)) if interval else places
        colour, marker = PALETTE[k % len(PALETTE)], MARKERS[k % len(MARKERS)]
        if interval:
            draw_intervals(panel, places, members, known, color=colour, linewidth=1.2, alpha=0.7)
        panel.plot(places, members["mean"], marker=marker, color=colour, linewidth=1.6, markersize=5, label=entry(line))
    if not is_numeric:
        name_levels(panel, levels)
    others = [name for name in means.labels.columns if name != along]
    if others:
        legend_beside(panel, ", ".join(others))
    return label_axes(panel, x=along, y=plain(means.measured))


# ------------------------------------------------------------------ pairs
TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
PAIR = 0.4  # inches


def pairwise_pvalues_frame(means: MarginalMeans, *, adjust: AdjustName | None = None) -> pd.DataFrame:
    """Return the numbers behind :func:`pairwise_pvalues`.

    Parameters
    ----------
    means : MarginalMeans
        Means, not contrasts.
    adjust : str, optional
        As for :meth:`~mixedfx.marginal_means.MarginalMeans.contrast`: Tukey's if omitted.

    Returns
    -------
    DataFrame
        One row a pair: ``first, second`` (the means), ``row_first, row_second`` (their places in increasing order) and
        ``pvalue``.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> from mixedfx.plots import pairwise_pvalues_frame
    >>> fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
    >>> pairwise_pvalues_frame(mfx.emmeans(fit, "Type"))[["first", "second", "pvalue"]].round(3).head(2)
      first second  pvalue
    0    T1     T2   0.000
    1    T1     T3   0.001
    """
    if not isinstance(means, MarginalMeans) or means.is_comparison:
        raise SpecificationError("a picture of p-values compares means: give it emmeans(fit, …), not contrasts")
    pairs = means.pairs(adjust=adjust)
    frame = means.to_frame()
    names = np.array(row_names(frame, [*means.by, *means.specs]), dtype=object)
    place = np.empty(len(means), dtype=np.intp)
    place[_order(means)] = np.arange(len(means))
    first, second = [], []
    for family in split_by(means.labels, means.by):
        i, j = np.triu_indices(len(family), 1)
        first.append(family[i])
        second.append(family[j])
    left, right = np.concatenate(first), np.concatenate(second)
    return pd.DataFrame(
        {
            "first": names[left],
            "second": names[right],
            "row_first": place[left],
            "row_second": place[right],
            "pvalue": pairs.to_frame()[pairs.column("pvalue")].to_numpy(),
        }
    )


def _order(means: MarginalMeans) -> Array:
    """Return the means of each family in increasing order, one family behind the other."""
    return np.concatenate([family[np.argsort(means.estimates[family])] for family in split_by(means.labels, means.by)])


def pairwise_pvalues(
    means: MarginalMeans, *, adjust: AdjustName | None = None, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw every pair of means as a line between them, at its p-value: R's ``pwpp``.

    More honest than letters: near misses are seen as such.

    Parameters
    ----------
    means, adjust
        As for :func:`pairwise_pvalues_frame`.
    alpha : float
        Where a dashed line stands.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    frame = pairwise_pvalues_frame(means, adjust=adjust)
    order = _order(means)
    shown = means.to_frame()
    names = np.array(row_names(shown, [*means.by, *means.specs]), dtype=object)[order]
    estimates = shown[means.column(means.estimate)].to_numpy()[order]
    panel = one_panel(ax, (6.0, float(np.clip(PAIR * len(names) + 1.2, 2.4, 10.0))))
    panel.set_xscale("function", functions=(np.cbrt, lambda x: x**3))  # as in R: small p-values get room
    ends = frame[["row_first", "row_second"]].to_numpy()
    for pvalue, pair in zip(frame["pvalue"].tolist(), ends.tolist(), strict=True):
        colour = PALETTE[pair[0] % len(PALETTE)]
        panel.plot([pvalue] * 2, pair, color=colour, linewidth=1.3, marker="o", markersize=4)
    panel.axvline(checked_alpha(alpha), color=GREY, linewidth=1.0, linestyle="--", zorder=0.7)
    panel.set_xticks([*TICKS], [f"{tick:g}" for tick in TICKS])
    panel.set_xlim(0.0, 1.05)
    labels = [f"{name} ({value:.3g})" for name, value in zip(shortened(names), estimates, strict=True)]
    name_rows(panel, np.arange(len(names)), labels, most=BESIDE, lines=2)
    panel.set_ylim(-0.5, len(names) - 0.5)
    used = means.pairs(adjust=adjust).adjustment.label
    return label_axes(panel, x=f"p-value of the difference{f', adjusted: {used}' if used else ''}")
