"""Residuals against fitted values, and their size against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.plots.look import BLUE, GREY, ORANGE, one_panel, point_size, smooth, tidy
from mixedfx.results.linear import LinearMixedResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["residual_frame", "residuals", "scale_location"]


def residual_frame(fit: Any, kind: str | None = None) -> pd.DataFrame:
    """Return the numbers behind :func:`residuals` and :func:`scale_location`.

    Parameters
    ----------
    fit : MixedResults
    kind : str, optional
        Kind of residuals; ``"pearson"`` for linear models and ``"quantile"`` for generalised ones if omitted.

    Returns
    -------
    DataFrame
        Columns ``fitted, residual, root`` (of the absolute residual); fitted values of a generalised model are on the
        scale of the linear predictor.
    """
    linear = isinstance(fit, LinearMixedResults)
    chosen = kind if kind is not None else ("pearson" if linear else "quantile")
    residual = fit.residuals(chosen)
    fitted = fit.fittedvalues if linear else fit.predict(which="linear")
    frame = pd.DataFrame({"fitted": fitted, "residual": residual})
    frame["root"] = np.sqrt(frame["residual"].abs())
    return pd.DataFrame(frame[np.isfinite(frame["residual"])])


def residuals(fit: Any, kind: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw residuals against fitted values, with a local mean that should lie on zero.

    Parameters
    ----------
    fit : MixedResults
    kind : str, optional
        As for :func:`residual_frame`.
    ax : matplotlib Axes, optional
    """
    frame = residual_frame(fit, kind)
    panel = one_panel(ax)
    panel.axhline(0.0, color=GREY, linewidth=0.8, zorder=0)
    _points(panel, frame["fitted"], frame["residual"])
    return tidy(panel, x=_fitted_name(fit), y=_name(fit, kind), title="Residuals and fitted values")


def scale_location(fit: Any, kind: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the root of the absolute residuals against fitted values: the line is level if the spread is.

    Parameters
    ----------
    fit, kind, ax
        As for :func:`residuals`.
    """
    frame = residual_frame(fit, kind)
    panel = one_panel(ax)
    _points(panel, frame["fitted"], frame["root"])
    panel.set_ylim(bottom=0.0)
    return tidy(panel, x=_fitted_name(fit), y="root of |residual|", title="Spread and fitted values")


def _points(panel: Axes, x: pd.Series[float], y: pd.Series[float]) -> None:
    size = point_size(len(x))
    panel.plot(x, y, "o", color=BLUE, markersize=size, alpha=0.55, markeredgewidth=0)
    panel.plot(*smooth(x.to_numpy(), y.to_numpy()), color=ORANGE, linewidth=1.8)


def _name(fit: Any, kind: str | None) -> str:
    chosen = kind or ("pearson" if isinstance(fit, LinearMixedResults) else "quantile")
    return f"{'Pearson' if chosen == 'pearson' else chosen} residual"


def _fitted_name(fit: Any) -> str:
    return "fitted value" if isinstance(fit, LinearMixedResults) else "linear predictor"
