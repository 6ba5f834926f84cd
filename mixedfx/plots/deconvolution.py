"""A deconvolution: the law, the observations that it was estimated from, and how each is shrunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._display.names import short
from mixedfx._typing import Array
from mixedfx.deconvolution import Deconvolution
from mixedfx.deconvolution.laws import NormalLaw
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import BLUE, GREY, LIGHT, ORANGE, paper, point_size
from mixedfx.plots.names import label_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["deconvolution", "deconvolution_frame"]

PANELS = 3
CURVE = 301  # points of a curve
MOST_BARS = 400
LEAST = 0.005  # share of a law that is worth a word
REACH = 0.05  # of the range, beyond the outermost estimates


def _checked(found: Any) -> Deconvolution:
    if not isinstance(found, Deconvolution):
        raise TypeError(
            f"plots.deconvolution draws what fit.deconvolve(group) or mfx.deconvolve(y, …) returns; found "
            f"{type(found).__name__}"
        )
    return found


def deconvolution_frame(found: Deconvolution) -> pd.DataFrame:
    """Return the laws behind :func:`deconvolution`; ``found.to_frame()`` has the observations.

    Parameters
    ----------
    found : Deconvolution

    Returns
    -------
    DataFrame
        Columns ``law, theta, height, se``. The law ``"normal"``: the density of the normal law. The law that was
        estimated, under the name of its method: the masses of atoms, or the density of a spline with its standard
        error.
    """
    law = _checked(found)
    points = np.linspace(*_range(law), CURVE)
    tables = [_normal_curve(law.normal, points)]
    if law.smooth is not None:
        width = np.gradient(law.grid)
        columns = {"theta": law.grid, "height": law.density / width, "se": law.se / width}
        tables.append(pd.DataFrame({"law": "spline"} | columns))
    elif not isinstance(law.law, NormalLaw):
        tables.append(pd.DataFrame({"law": "npmle", "theta": law.support, "height": law.mass, "se": np.nan}))
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def _range(found: Deconvolution) -> tuple[float, float]:
    """Where the finite estimates lie, and a little more; an effect that is infinite is not shown."""
    estimates, errors = found.kernel.estimates
    shown = estimates[np.isfinite(errors)] if np.isfinite(errors).any() else estimates
    low, high = float(shown.min()), float(shown.max())
    beyond = REACH * (high - low) if high > low else 1.0
    least, most = found.kernel.domain
    return max(low - beyond, least), min(high + beyond, most)


def _normal_curve(law: NormalLaw, points: Array) -> pd.DataFrame:
    """The density of a normal law, by differences of its distribution function; nothing for a spread of zero."""
    if law.spread == 0:
        return pd.DataFrame({"law": [], "theta": [], "height": [], "se": []})
    height = np.diff(law.cdf(points)) / np.diff(points)
    return pd.DataFrame({"law": "normal", "theta": 0.5 * (points[1:] + points[:-1]), "height": height, "se": np.nan})


def deconvolution(found: Deconvolution, *, ax: Any = None) -> list[Axes]:
    """Draw the law beside the normal one, the observations with their errors, and how each is shrunk by both laws.

    Parameters
    ----------
    found : Deconvolution
        Of ``fit.deconvolve(group)`` or :func:`mixedfx.deconvolve`.
    ax : three matplotlib Axes, optional

    Returns
    -------
    list of matplotlib Axes
        Of the law (atoms with their masses on an axis of their own), of the observations, and of the posterior means.
    """
    law = _checked(found)
    panels = _panels(ax)
    _draw_law(panels[0], law)
    _draw_observations(panels[1], law)
    _draw_shrinkage(panels[2], law)
    return panels


def _panels(ax: Any) -> list[Any]:
    if ax is not None:
        given = list(np.array(ax, dtype=object).ravel())
        if len(given) != PANELS:
            raise SpecificationError(f"a deconvolution is drawn on {PANELS} Axes; found {len(given)}")
        return given
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(8.6, 4.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1.0), height_ratios=(1.2, 1.0))
    top = figure.add_subplot(grid[0, 0])
    return [top, figure.add_subplot(grid[1, 0], sharex=top), figure.add_subplot(grid[:, 1])]


def _name(found: Deconvolution) -> str:
    return f"effect of {short(found.group)}" if found.group else "theta"


def _draw_law(panel: Any, found: Deconvolution) -> None:
    frame = deconvolution_frame(found)
    normal = frame[frame["law"] == "normal"]
    panel.plot(normal["theta"], normal["height"], "--", color=ORANGE, label="normal law")
    own = frame[frame["law"] != "normal"]
    handles, labels = panel.get_legend_handles_labels()
    if found.smooth is not None:
        low, high = (np.maximum(own["height"] + side * own["se"], 0.0) for side in (-1.0, 1.0))
        panel.fill_between(own["theta"], low, high, color=LIGHT, linewidth=0)
        panel.plot(own["theta"], own["height"], color=BLUE, label="spline ± standard error")
    elif len(own):
        beside = panel.twinx()
        beside.vlines(own["theta"], 0.0, own["height"], color=BLUE, linewidth=2.0)
        atoms = beside.plot(own["theta"], own["height"], "o", color=BLUE, markersize=4, label="atoms")
        beside.set_ylim(0.0, 1.15 * float(own["height"].max()))
        beside.set_ylabel("mass", color=BLUE)
        beside.tick_params(labelsize="small", colors=BLUE)
        beside.spines[["top", "left", "bottom"]].set_visible(False)
        handles, labels = [*handles, *atoms], [*labels, "atoms"]
    if found.smooth is not None:
        handles, labels = panel.get_legend_handles_labels()
    panel.set_xlim(*_range(found))
    panel.set_ylim(bottom=0.0)
    outside = 0.0 if isinstance(found.law, NormalLaw) else _outside(found)
    label_axes(panel, y="density", title=f"The law, {outside:.0%} of it beyond" if outside > LEAST else "The law")
    if handles:
        panel.legend(
            handles, labels, frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.12), ncols=2
        )


def _outside(found: Deconvolution) -> float:
    """The mass of the atoms that are not in the picture."""
    low, high = _range(found)
    return float(found.mass[(found.support < low) | (found.support > high)].sum())


def _draw_observations(panel: Any, found: Deconvolution) -> None:
    """Estimates with one standard error to either side, in ascending order."""
    estimate, se = found.kernel.estimates
    order = np.flatnonzero(np.isfinite(se)) if np.isfinite(se).any() else np.arange(se.size)
    order = order[np.argsort(estimate[order], kind="stable")]
    if order.size > MOST_BARS:
        order = order[np.unique(np.linspace(0, order.size - 1, MOST_BARS).astype(int))]
    y = np.arange(order.size)
    reach = np.where(np.isfinite(se[order]), se[order], 0.0)  # all are infinite, or none
    panel.hlines(y, estimate[order] - reach, estimate[order] + reach, color=GREY, linewidth=0.8)
    panel.plot(estimate[order], y, ".", color=GREY, markersize=0.6 * point_size(order.size))
    panel.set_yticks([])
    shown = "" if order.size == estimate.size else f", {order.size} of {estimate.size} shown"
    label_axes(panel, x=f"{_name(found)}{shown}", y="estimates ± error")


def _draw_shrinkage(panel: Any, found: Deconvolution) -> None:
    frame = found.to_frame()
    size, (low, high) = point_size(len(frame)), _range(found)
    frame["estimate"] = frame["estimate"].clip(low, high)  # infinite ones stand at the edge
    ends = [float(frame["estimate"].min()), float(frame["estimate"].max())]
    panel.plot(ends, ends, color=GREY, linewidth=0.8, label="not shrunk")
    hollow = {"color": ORANGE, "markerfacecolor": paper(), "markersize": size, "label": "normal law"}
    panel.plot(frame["estimate"], frame["normal"], "o", **hollow)
    if not isinstance(found.law, NormalLaw):
        label = {"npmle": "atoms", "spline": "spline"}[found.method]
        panel.plot(frame["estimate"], frame["posterior_mean"], "o", color=BLUE, markersize=0.8 * size, label=label)
    panel.legend(frameon=False, fontsize="small", loc="best")
    label_axes(panel, x="estimate", y="posterior mean", title="Shrinkage")
