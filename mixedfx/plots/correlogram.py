"""Autocorrelations as spikes by lag, a variogram as dots by distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedfx.diagnostics.serial import SerialCorrelation
from mixedfx.plots.look import BLUE, GREY, one_panel, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["correlogram"]

LARGEST = 9.0  # points, of the dot with most pairs


def correlogram(found: SerialCorrelation, *, ax: Axes | None = None) -> Axes:
    """Draw what :func:`mixedfx.acf` or :func:`mixedfx.variogram` found.

    Parameters
    ----------
    found : SerialCorrelation
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    panel = one_panel(ax)
    return _acf(found, panel) if found.kind == "acf" else _variogram(found, panel)


def _acf(found: SerialCorrelation, panel: Axes) -> Axes:
    from matplotlib.ticker import MaxNLocator

    frame = found.to_frame()
    later = frame.loc[frame.index > 0]
    panel.fill_between(later.index, later["lower"], later["upper"], color=GREY, alpha=0.25, linewidth=0, step="mid")
    panel.vlines(frame.index, 0.0, frame["acf"], color=BLUE, linewidth=1.4)
    panel.plot(frame.index, frame["acf"], "o", color=BLUE, markersize=4.0)
    panel.axhline(0.0, color=GREY, linewidth=0.8)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return tidy(panel, x="lag", y="autocorrelation", title="Autocorrelation of residuals")


def _variogram(found: SerialCorrelation, panel: Axes) -> Axes:
    frame = found.to_frame()
    sizes = (LARGEST**2 * frame["pairs"] / frame["pairs"].max()).clip(lower=6.0)
    panel.plot(frame["distance"], frame["variogram"], color=GREY, linewidth=0.8)
    panel.scatter(frame["distance"], frame["variogram"], s=sizes, color=BLUE, zorder=2)
    panel.set_ylim(bottom=0.0, top=1.1 * float(frame["variogram"].max()) or 1.0)
    panel.set_xlim(left=0.0)
    return tidy(panel, x="distance", y="half mean squared difference", title="Variogram of residuals")
