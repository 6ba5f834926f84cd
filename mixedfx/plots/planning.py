"""How the power of tests grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedfx.plots.look import MARKERS, PALETTE, one_panel
from mixedfx.plots.names import entry, label_axes, legend_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.planning import Power

__all__ = ["power_curve"]

USUAL = 0.8  # power that is asked for most often


def power_curve(power: Power, *, ax: Axes | None = None) -> Axes:
    """Draw the power along the sizes, a line for each effect, with the intervals of the Monte Carlo error.

    Parameters
    ----------
    power : Power
        What :func:`mixedfx.power` returned.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    frame, panel = power.to_frame(), one_panel(ax)
    for k, (name, rows) in enumerate(frame.groupby("effect", sort=False)):
        ordered = rows.sort_values("size")
        colour = PALETTE[k % len(PALETTE)]
        panel.fill_between(ordered["size"], ordered["lower"], ordered["upper"], color=colour, alpha=0.2, linewidth=0)
        panel.plot(
            ordered["size"],
            ordered["power"],
            color=colour,
            marker=MARKERS[k % len(MARKERS)],
            markersize=5,
            label=entry(name),
        )
    panel.axhline(USUAL, color="0.5", linewidth=0.8, linestyle="--")
    panel.set_ylim(0.0, 1.02)
    if frame["effect"].nunique() > 1:
        legend_beside(panel, "effect")
    named = (
        "rows"
        if power.along is None
        else "factor of the effect"
        if power.along == "effect"
        else f"levels of {power.along}"
    )
    return label_axes(panel, x=named, y=f"power at level {power.alpha:g}")
