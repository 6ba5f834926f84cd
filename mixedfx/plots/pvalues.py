"""P-values of pairwise differences, each between the two means that it compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._typing import Array
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.labels import split_by
from mixedfx.marginal_means.means import MarginalMeans
from mixedfx.plots.look import GREY, PALETTE, one_panel, short, tidy
from mixedfx.plots.marginal_means import joined

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["pairwise_pvalues", "pairwise_pvalues_frame"]

TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
ROW = 0.4  # inches


def pairwise_pvalues_frame(means: MarginalMeans, *, adjust: str | None = None) -> pd.DataFrame:
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
    names = np.array(joined(frame, [*means.by, *means.specs]), dtype=object)
    place = np.empty(len(means), dtype=np.intp)
    place[_order(means)] = np.arange(len(means))
    first, second = [], []
    for own in split_by(means.labels, means.by):
        i, j = np.triu_indices(len(own), 1)
        first.append(own[i])
        second.append(own[j])
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
    return np.concatenate([own[np.argsort(means.estimates[own])] for own in split_by(means.labels, means.by)])


def pairwise_pvalues(
    means: MarginalMeans, *, adjust: str | None = None, alpha: float = 0.05, ax: Axes | None = None
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
    names = np.array(joined(shown, [*means.by, *means.specs]), dtype=object)[order]
    estimates = shown[means.column(means.estimate)].to_numpy()[order]
    panel = one_panel(ax, (6.0, float(np.clip(ROW * len(names) + 1.2, 2.4, 10.0))))
    panel.set_xscale("function", functions=(np.cbrt, lambda x: x**3))  # as in R: small p-values get room
    ends = frame[["row_first", "row_second"]].to_numpy()
    for pvalue, own in zip(frame["pvalue"].tolist(), ends.tolist(), strict=True):
        colour = PALETTE[own[0] % len(PALETTE)]
        panel.plot([pvalue] * 2, own, color=colour, linewidth=1.3, marker="o", markersize=4)
    panel.axvline(checked_alpha(alpha), color=GREY, linewidth=1.0, linestyle="--", zorder=0.7)
    panel.set_xticks([*TICKS], [f"{tick:g}" for tick in TICKS])
    panel.set_xlim(0.0, 1.05)
    labels = [f"{short(name)} ({value:.3g})" for name, value in zip(names, estimates, strict=True)]
    panel.set_yticks(np.arange(len(names)), labels)
    panel.set_ylim(-0.5, len(names) - 0.5)
    used = means.pairs(adjust=adjust).adjustment.label
    return tidy(panel, x=f"p-value of the difference{f', adjusted: {used}' if used else ''}")
