"""Quantile-quantile plots with the band in which the points lie if the distribution is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_alpha
from mixedfx.diagnostics.random_effects import standardized_effects
from mixedfx.diagnostics.residuals import standardized_residuals
from mixedfx.diagnostics.simulated import QuantileResiduals
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import BLUE, GREY, one_panel, point_size, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["qq", "qq_frame", "quantiles"]


def qq_frame(fit: Any, group: str | None = None, term: str | None = None, *, alpha: float = 0.05) -> pd.DataFrame:
    """Return the numbers behind :func:`qq`.

    Parameters
    ----------
    fit : MixedResults or QuantileResiduals
        Residuals of a fit, or simulated residuals. Those of a linear model are conditional residuals in their own
        standard deviations, ``sigma sqrt(1 - h)`` with h the leverage; those of a generalised model are randomised
        quantile residuals about a draw of the linear predictor given the data.
    group, term : str, optional
        Random effects of this grouping factor and coefficient (the first, if only the group is named) in place of
        residuals, each in its own standard deviation.
    alpha : float
        If the distribution is right each point leaves the band with about this probability (less often, as the
        parameters were estimated from the same data). Points hang together: if one leaves, neighbours do.

    Returns
    -------
    DataFrame
        Columns ``theoretical, sample, lower, upper``, in increasing order: normal quantiles, and the band of the order
        statistics of independent normal values, which these are but approximately.
    """
    alpha = checked_alpha(alpha)
    sample = np.sort(_values(fit, group, term))
    n, rank = sample.size, np.arange(1, sample.size + 1)
    if n == 0:
        raise SpecificationError("there is nothing to draw: no residual or random effect has a variance")
    limits = [special.ndtri(special.betaincinv(rank, n + 1 - rank, p)) for p in (alpha / 2, 1 - alpha / 2)]
    theoretical = special.ndtri((rank - 0.5) / n)
    return pd.DataFrame({"theoretical": theoretical, "sample": sample, "lower": limits[0], "upper": limits[1]})


def _values(fit: Any, group: str | None, term: str | None) -> Any:
    if isinstance(fit, QuantileResiduals):
        values = fit.normal.to_numpy()
    elif group is None:
        values = standardized_residuals(fit)
    else:
        values = _effects(fit, group, term)
    return values[np.isfinite(values)]


def _effects(fit: Any, group: str, term: str | None) -> Any:
    frame = standardized_effects(fit)
    own = frame[frame["group"] == str(group)]
    if own.empty:
        known = ", ".join(map(repr, frame["group"].unique()))
        raise SpecificationError(f"there is no grouping factor {group!r}; choose from {known}")
    chosen = own["term"].iloc[0] if term is None else term
    if chosen not in set(own["term"]):
        known = ", ".join(map(repr, own["term"].unique()))
        raise SpecificationError(f"{group} has no random effect {chosen!r}; choose from {known}")
    return own.loc[own["term"] == chosen, "value"].to_numpy(dtype=float)


def qq(
    fit: Any, group: str | None = None, term: str | None = None, *, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw residuals or random effects against normal quantiles, with their band.

    Parameters
    ----------
    fit, group, term, alpha
        As for :func:`qq_frame`.
    ax : matplotlib Axes, optional
    """
    frame = qq_frame(fit, group, term, alpha=alpha)
    panel = one_panel(ax)
    x = frame["theoretical"]
    panel.fill_between(x, frame["lower"], frame["upper"], color=GREY, alpha=0.25, linewidth=0)
    panel.plot(x, x, color=GREY, linewidth=1.0)
    panel.plot(x, frame["sample"], "o", color=BLUE, markersize=point_size(len(frame)), markeredgewidth=0)
    what = "residuals" if group is None else f"{group}" if term is None else f"{term} of {group}"
    return tidy(panel, x="normal quantile", y="standardised value", title=f"Quantiles: {what}")


def quantiles(found: QuantileResiduals, *, ax: Axes | None = None) -> Axes:
    """Draw simulated quantile residuals against normal quantiles; see :func:`qq`."""
    return qq(found, ax=ax)
