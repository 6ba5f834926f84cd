"""Influence: Cook's distance of every row or group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfx._typing import AnyArray, BoolArray
from mixedfx.diagnostics.influence import CONVENTIONAL, Influence
from mixedfx.diagnostics.influence import influence as influence_of
from mixedfx.plots.look import BLUE, GREY, ORANGE, one_panel, short, tidy
from mixedfx.results.base import MixedResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

__all__ = ["influence"]

MOST_NAMES = 6  # sets that are named
MOST_LABELS = 25  # more sets are drawn in their order, without their names


def influence(found: Influence | MixedResults, *, ax: Axes | None = None) -> Axes:
    """Draw Cook's distances; those above the conventional line are named.

    Parameters
    ----------
    found : Influence or MixedResults
        Its ``to_frame()`` holds the numbers; of a fit, :func:`mixedfx.influence` of its rows.
    ax : matplotlib Axes, optional
    """
    found = found if isinstance(found, Influence) else influence_of(found)
    panel = one_panel(ax)
    distance: AnyArray = found.cooks_distance.to_numpy(dtype=np.float64)
    labels = np.array([":".join(map(str, x)) if isinstance(x, tuple) else str(x) for x in found.labels])
    distance = np.where(np.isfinite(distance), distance, np.nan)
    order = np.arange(distance.size) if distance.size > MOST_LABELS else np.argsort(-distance)
    distance, labels = distance[order], labels[order]
    x, limit = np.arange(distance.size), CONVENTIONAL / distance.size
    remarkable = distance > limit
    panel.vlines(x, 0.0, distance, color=np.where(remarkable, ORANGE, BLUE).tolist(), linewidth=1.2)
    for chosen, colour in ((~remarkable, BLUE), (remarkable, ORANGE)):
        panel.plot(x[chosen], distance[chosen], "o", color=colour, markersize=3.5 if distance.size < 100 else 2.0)
    panel.axhline(limit, color=GREY, linestyle="--", linewidth=0.8)
    panel.set_ylim(bottom=0.0, top=1.15 * max(float(np.max(distance, where=np.isfinite(distance), initial=0.0)), limit))
    if distance.size <= MOST_LABELS:
        panel.set_xticks(x, labels, rotation=90)
    else:
        panel.set_xticks([])
        _name(panel, distance, labels, remarkable)
    unit = "" if found.name == "row" else f", without each {found.name}"
    return tidy(panel, x=found.name, y="Cook's distance", title=f"Influence{unit}")


def _name(panel: Axes, distance: AnyArray, labels: AnyArray, which: BoolArray) -> None:
    """Name the largest ones, as long as the names do not run into each other or out of the panel."""
    largest = np.argsort(-distance)[:MOST_NAMES]
    taken: list[Bbox] = []
    for i in largest[which[largest]]:
        for side in ("center", "left", "right"):
            place = (i, distance[i] + 0.02 * distance[largest[0]])
            name = panel.text(*place, short(labels[i]), ha=side, fontsize="x-small")
            box, frame = name.get_window_extent(), panel.get_window_extent()
            if not any(box.overlaps(other) for other in taken) and frame.x0 <= box.x0 and box.x1 <= frame.x1:
                taken.append(box)
                break
            name.remove()
