"""The pictures of a check on one page."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfx._typing import Array
from mixedfx.diagnostics.influence import influence
from mixedfx.diagnostics.random_effects import standardized_effects
from mixedfx.diagnostics.simulated import QuantileResiduals, quantile_residuals
from mixedfx.plots.cooks import influence as draw_influence
from mixedfx.plots.look import BLUE, GREY, ORANGE, tidy
from mixedfx.plots.quantiles import qq
from mixedfx.plots.residual_panels import residuals, scale_location
from mixedfx.results.linear import LinearMixedResults

__all__ = ["dashboard"]


def dashboard(fit: Any, simulated: QuantileResiduals | None = None) -> Any:
    """Draw residuals, their spread and quantiles, random effects, influence and dispersion on one page.

    Parameters
    ----------
    fit : MixedResults
    simulated : QuantileResiduals, optional
        Simulated residuals; drawn if omitted.

    Returns
    -------
    array of matplotlib Axes
    """
    from matplotlib import pyplot as plt

    found = quantile_residuals(fit, seed=0, random="posterior") if simulated is None else simulated
    _, axes = plt.subplots(2, 3, figsize=(10.5, 6.4), layout="constrained")
    residuals(fit, ax=axes[0, 0])
    scale_location(fit, ax=axes[0, 1])
    qq(found, ax=axes[0, 2]).set_title("Quantiles: simulated residuals", fontsize="medium")
    if fit.design.random:
        _random_effects(fit, axes[1, 0])
    linear = isinstance(fit, LinearMixedResults) and fit.fit.problem.residual is None and fit.design.random
    if linear:
        group = min(fit.n_groups, key=lambda name: fit.n_groups[name])
        draw_influence(influence(fit, group), ax=axes[1, 1])
    elif found.zeros or found.drawn_zeros.any():
        _histogram(axes[1, 1], found.drawn_zeros, found.zeros, "number of zeros", "Zeros")
    else:
        outside = int(found.outside.sum())
        _histogram(axes[1, 1], found.drawn_outside, outside, "rows beyond all draws", "Outliers")
    _histogram(
        axes[1, 2],
        found.drawn_spread,
        found.spread,
        "mean squared distance",
        "Spread of data and of draws",
    )
    return axes


def _random_effects(fit: Any, panel: Any) -> None:
    """Quantiles of the first effect that has a variance; words where none has."""
    frame = standardized_effects(fit).dropna()
    if frame.empty:
        panel.text(0.5, 0.5, "no random effect has a variance", ha="center", transform=panel.transAxes)
        panel.set_axis_off()
        return
    group, term = frame[["group", "term"]].iloc[0]
    qq(fit, group, term, ax=panel)


def _bins(draws: Array) -> Array:
    """Edges of a histogram; between whole numbers if the draws are whole."""
    count = int(np.clip(np.sqrt(draws.size), 8, 40))
    if np.any(draws != np.round(draws)):
        return np.asarray(np.histogram_bin_edges(draws, bins=count))
    step = max(1, round(np.ptp(draws) / count))
    return np.arange(draws.min() - 0.5, draws.max() + step + 0.5, step)


def _histogram(panel: Any, draws: Array, value: float, name: str, title: str) -> None:
    panel.hist(draws, bins=_bins(draws), color=BLUE, alpha=0.55, label="draws")
    panel.axvline(value, color=ORANGE, linewidth=2.0, label="data")
    panel.legend(frameon=False, fontsize="small")
    panel.set_yticks([])
    tidy(panel, x=name, title=title)
    panel.spines["left"].set_visible(False)
    panel.axhline(0.0, color=GREY, linewidth=0.8)
