"""The curves of smooths with their bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_flag
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.formula import display
from mixedfx.matrices.frame import FrameRows
from mixedfx.matrices.pooled import smooth_encoder
from mixedfx.plots.look import GREY, PALETTE, one_panel, panel_grid
from mixedfx.plots.names import entry, label_axes, legend_beside, plain
from mixedfx.results.base import MixedResults
from mixedfx.results.smooths import CURVE_COLUMNS, chosen_smooths, smooth_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["smooth", "smooth_frame"]

POINTS = 101  # of a curve
PANEL = (4.2, 3.4)  # inches
MOST_BESIDE = 3  # panels in a row
RUG = 2_000  # marks of values below a curve


def smooth_frame(fit: Any, name: str | None = None, *, alpha: float = 0.05) -> pd.DataFrame:
    """Return the numbers behind :func:`smooth`.

    Parameters
    ----------
    fit : MixedResults
    name : str, optional
        A smooth (``"s(x)"``, ``"s(x):f"`` for all levels of ``by=f``, ``"s(x):f[a]"`` for one); all if omitted.
    alpha : float
        One minus the level of the bands, which hold at each point of their own.

    Returns
    -------
    DataFrame
        Columns ``smooth, level, x, fit, se, lower, upper``: on the scale of the linear predictor. A smooth sums to zero
        over the rows of the fit.

    Raises
    ------
    SpecificationError
        If there is no such smooth.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ s(Days, k=5) + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.plots.smooth_frame(fit)[["x", "fit", "lower", "upper"]].iloc[[0, 100]].round(0)
           x   fit  lower  upper
    0    0.0 -46.0  -60.0  -32.0
    100  9.0  48.0   34.0   62.0
    """
    results = mixed_results(fit, "smooth")
    alpha = checked_alpha(alpha)
    chosen = chosen_smooths(results.fitted_smooths, results.solution, name)
    curves = [smooth_curve(results.solution, one, POINTS, alpha) for one in chosen]
    return pd.concat(curves, ignore_index=True)[CURVE_COLUMNS]


def smooth(fit: Any, name: str | None = None, *, alpha: float = 0.05, rug: bool = True, ax: Any = None) -> Any:
    """Draw smooths along their variables, with pointwise bands; the smooths of the levels of a factor share a panel.

    Parameters
    ----------
    fit : MixedResults
    name : str, optional
        A smooth (``"s(x)"``, ``"s(x):f"`` for all levels of ``by=f``, ``"s(x):f[a]"`` for one); all if omitted.
    alpha : float
        One minus the level of the bands.
    rug : bool
        Mark the values of the data below the curves.
    ax : matplotlib Axes, optional
        Where to draw; only for smooths that share a panel.

    Returns
    -------
    Axes, or array of Axes
        One for each panel.

    Raises
    ------
    SpecificationError
        If there is no such smooth, or there are several panels and one ``ax``.
    """
    frame = smooth_frame(fit, name, alpha=alpha)
    results, rug = mixed_results(fit, "smooth"), checked_flag("rug", rug)
    by_label = {one.label: results.design.random[one.term] for one in results.fitted_smooths}
    groups = frame["smooth"].map({label: term.group for label, term in by_label.items()})
    panels = list(dict.fromkeys(groups))
    if ax is not None and len(panels) > 1:
        raise SpecificationError(
            f"the model has several smooths ({', '.join(panels)}) and one ax: name one, or leave out ax"
        )
    axes = [one_panel(ax)] if len(panels) == 1 else panel_grid(len(panels), MOST_BESIDE, PANEL)
    for panel, own in zip(axes, panels, strict=True):
        _draw(panel, frame[groups == own], results, own, rug)
    if len(panels) == 1:
        return axes[0]
    out: NDArray[np.object_] = np.array(axes, dtype=object)
    return out


def _draw(ax: Axes, frame: pd.DataFrame, results: MixedResults, group: str, rug: bool) -> None:
    term = next(term for term in results.design.random if term.group == group)
    encoder = smooth_encoder(term)
    variable = plain(display(encoder.smooth.arguments[0]))
    ax.axhline(0.0, color=GREY, linewidth=0.8, linestyle=":")
    for place, (_, curve) in enumerate(frame.groupby("smooth", sort=False)):
        colour = PALETTE[place % len(PALETTE)]
        level = curve["level"].iloc[0]
        ax.fill_between(curve["x"], curve["lower"], curve["upper"], color=colour, alpha=0.2, linewidth=0)
        ax.plot(curve["x"], curve["fit"], color=colour, label=None if level is None else entry(level))
    if rug and results.model.inputs is not None:
        rows = FrameRows(results.model.inputs.frame, results.design.keep)
        values = np.unique(encoder.inputs(rows).x)
        if values.size > RUG:
            values = np.quantile(values, np.linspace(0.0, 1.0, RUG))
        ax.plot(
            values, np.zeros(values.size), "|", color=GREY, markersize=5, transform=ax.get_xaxis_transform(), zorder=1
        )
    edf = results.smooths["edf"].reindex(frame["smooth"].unique())
    title = f"{plain(group)}: edf {edf.iloc[0]:.1f}" if len(edf) == 1 else plain(group)
    if encoder.by is not None:
        legend_beside(ax, encoder.by)
    value = f"s({variable})" if encoder.times is None else f"coefficient of {plain(encoder.times)}"
    label_axes(ax, x=variable, y=value, title=title)
