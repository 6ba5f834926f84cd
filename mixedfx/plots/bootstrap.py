"""Distributions of bootstrap replicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import gaussian_kde

from mixedfx._typing import AnyArray, Array
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.given import refuse_fit
from mixedfx.plots.look import BLUE, ORANGE
from mixedfx.plots.panels import chosen_names, finish, parameter_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.results.bootstrap import Bootstrap

__all__ = ["plot_bootstrap", "reflected_density"]

FINE = 201  # points of a curve
SEEN = 5e-3  # of its height, below which a curve is not told from the axis
FEWEST = 10  # replicates that make a distribution
BINS = (8, 24)  # of a histogram, at least and at the most
MARGIN = 0.08  # of the range of the replicates that is shown on both sides of it


def reflected_density(values: Array, at: Array, lower: float = -np.inf, upper: float = np.inf) -> Array:
    """Return a kernel density at the points ``at`` (k,); what spills over a bound is reflected."""
    kernel = gaussian_kde(values)
    density = kernel(at)
    for bound in (lower, upper):
        if np.isfinite(bound):
            density = density + kernel(2.0 * bound - at)
    return np.where((at >= lower) & (at <= upper), density, 0.0)


def plot_bootstrap(
    replicates: Bootstrap,
    which: str = "all",
    *,
    kind: str = "percentile",
    alpha: float = 0.05,
    parameters: str | Sequence[str] | None = None,
    axes: Any = None,
) -> AnyArray:
    """Draw the distribution of the replicates of every quantity: a histogram, a density, the estimate, an interval.

    Parameters
    ----------
    replicates : Bootstrap
        From :func:`mixedfx.bootstrap`.
    which : str
        ``"fixed"``, ``"random"`` or ``"all"``.
    kind, alpha
        Of the interval below; see :meth:`Bootstrap.conf_int`.
    parameters : str or sequence of str, optional
        Which of them; all if left out.
    axes : array of matplotlib Axes, optional
        Where to draw; a figure of its own if left out.

    Returns
    -------
    array of matplotlib Axes
        One a quantity.

    Raises
    ------
    SpecificationError
        If there is no such quantity, or too few replicates to draw.
    """
    refuse_fit(replicates, "plot_bootstrap", "mfx.bootstrap(fit)")
    limits = replicates.conf_int(alpha, which, kind)
    names = chosen_names(list(limits.index), parameters)
    panels = parameter_panels(len(names), axes)
    bounds = replicates.bounds
    for panel, name in zip(panels, names, strict=True):
        column = replicates.replicates[name].to_numpy(dtype=float)
        values = column[np.isfinite(column)]
        if values.size < FEWEST:
            raise SpecificationError(f"{name} has {values.size} replicates; a picture needs at least {FEWEST}")
        _distribution(panel, values, *np.asarray(bounds.loc[name], dtype=float).tolist())
        _interval(panel, float(replicates.estimate[name]), np.asarray(limits.loc[name]).tolist())
        finish(panel, name)
    return panels


def _distribution(panel: Axes, values: Array, lower: float, upper: float) -> None:
    bins = int(np.clip(np.sqrt(values.size), *BINS))
    if np.ptp(values) == 0:
        panel.hist(values, bins=1, color=BLUE, alpha=0.25)
        return
    panel.hist(values, bins=bins, density=True, color=BLUE, alpha=0.25, linewidth=0)
    reach = MARGIN * np.ptp(values)
    at = np.linspace(max(values.min() - reach, lower), min(values.max() + reach, upper), FINE)
    density = reflected_density(values, at, lower, upper)
    seen = np.flatnonzero(density >= SEEN * density.max())
    shown = slice(seen[0], seen[-1] + 1)
    panel.plot(at[shown], density[shown], color=BLUE, linewidth=1.8)


def _interval(panel: Axes, estimate: float, interval: list[float]) -> None:
    top = panel.get_ylim()[1]
    panel.axvline(estimate, color=ORANGE, linestyle=(0, (4, 3)), linewidth=1.1)
    panel.plot(interval, [-0.05 * top] * 2, color=ORANGE, linewidth=3.0, solid_capstyle="butt")
    panel.set_ylim(-0.1 * top, top)
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
