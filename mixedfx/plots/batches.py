"""Gelman's picture of an analysis of variance: a dot and two bars for the standard deviation of every batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.exceptions import SpecificationError
from mixedfx.plots.given import refuse_fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.analysis_of_variance.components.batches import Batches

__all__ = ["plot_batches"]

KINDS = ("finite", "super")
MEANING = {"finite": "among the coefficients at hand", "super": "in the population"}
ROW_HEIGHT, MARGIN, WIDTH = 0.34, 1.0, 5.6  # inches
COLOR = "#0072B2"
REACH = 4.0  # bars end at this multiple of the largest standard deviation


def plot_batches(frame: pd.DataFrame | Batches, *, kind: str = "finite", ax: Axes | None = None) -> Axes:
    """Draw what :func:`mixedfx.batches` found.

    Parameters
    ----------
    frame : pandas.DataFrame or Batches
        It, or its ``to_frame()``.
    kind : str
        ``"finite"``: standard deviations among the coefficients at hand; ``"super"``: in the population. A bar that
        goes on far beyond the others ends in an arrow.
    ax : matplotlib Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib Axes
    """
    from matplotlib import pyplot as plt

    if kind not in KINDS:
        raise SpecificationError(f"kind is {' or '.join(map(repr, KINDS))}; found {kind!r}")
    refuse_fit(frame, "plot_batches", "mfx.batches(fit)")
    frame = frame if isinstance(frame, pd.DataFrame) else frame.to_frame()
    shown = frame.loc[frame[kind].notna()]
    y = np.arange(len(shown))[::-1]
    if ax is None:
        _, ax = plt.subplots(figsize=(WIDTH, ROW_HEIGHT * len(shown) + MARGIN), layout="constrained")
    end = REACH * float(shown[kind].max())
    upper = shown[f"{kind}_upper"].to_numpy(dtype=float)
    ax.hlines(y, shown[f"{kind}_lower"], np.minimum(upper, end), color=COLOR, linewidth=1.2)
    ax.hlines(y, shown[f"{kind}_q25"], np.minimum(shown[f"{kind}_q75"], end), color=COLOR, linewidth=3.5)
    ax.plot(np.full(int((upper > end).sum()), end), y[upper > end], ">", color=COLOR, markersize=5)
    ax.plot(shown[kind], y, "o", label=kind, color=COLOR, markersize=5.5, markeredgecolor="white", markeredgewidth=0.8)
    ax.set_yticks(y, [f"{name} ({df:g})" for name, df in zip(shown.index, shown["df"])])
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_xlim(left=0.0)
    ax.set_xlabel(f"standard deviation {MEANING[kind]}")
    ax.set_ylabel("source (df)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
