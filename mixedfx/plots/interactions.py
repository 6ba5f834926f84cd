"""Means joined by lines along a factor: whether and how it interacts with another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedfx.exceptions import SpecificationError
from mixedfx.plots.given import refuse_fit
from mixedfx.plots.look import MARKERS, PALETTE, legend_beside, name_levels, one_panel, tidy
from mixedfx.plots.marginal_means import HasIntervals, joined

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["interaction", "interaction_frame"]

SHIFT = 0.08  # between the lines at a level, so that their intervals can be told apart


def interaction_frame(means: HasIntervals, x: str | None = None, *, alpha: float = 0.05) -> pd.DataFrame:
    """Return the numbers behind :func:`interaction`.

    Parameters
    ----------
    means : MarginalMeans
    x : str, optional
        The predictor along which means are joined; the first one if omitted.
    alpha : float
        One minus the level of the intervals.

    Returns
    -------
    DataFrame
        Columns ``x, line, mean, lower, upper``: ``line`` the combination of the other predictors.

    Raises
    ------
    SpecificationError
        If ``x`` does not label the means, or they are compared.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> from mixedfx.plots import interaction_frame
    >>> fit = mfx.lmer("yield ~ Variety * nitro + (1 | Block)", mfx.load_dataset("oats"))
    >>> means = mfx.emmeans(fit, ["nitro", "Variety"], at={"nitro": [0, 0.6]})
    >>> interaction_frame(means)[["x", "line", "mean"]].round(1).head(2)
         x         line   mean
    0  0.0  Golden Rain   81.9
    1  0.6  Golden Rain  127.1
    """
    refuse_fit(means, "interaction", "emmeans(fit, ['a', 'b'])")
    names = list(means.labels.columns)
    if not names or "contrast" in names or means.estimate in ("ratio", "odds_ratio", "hazard_ratio", "effect_size"):
        raise SpecificationError("an interaction picture is of means: give it emmeans(fit, ['a', 'b'])")
    along = names[0] if x is None else x
    if along not in names:
        raise SpecificationError(f"x={x!r} does not label the means; they have {', '.join(map(repr, names))}")
    frame = means.to_frame(alpha)
    others = [name for name in names if name != along]
    return pd.DataFrame(
        {
            "x": frame[along],
            "line": joined(frame, others),
            "mean": frame[means.column(means.estimate)],
            "lower": frame[means.column("lower")],
            "upper": frame[means.column("upper")],
        }
    )


def interaction(
    means: HasIntervals, x: str | None = None, *, interval: bool = True, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw marginal means along a predictor, those of each level of the others joined by a line.

    Parallel lines: no interaction on the scale that is shown. As R's ``emmip`` and ``interaction.plot``, of means that
    the model estimates instead of raw ones.

    Parameters
    ----------
    means, x, alpha
        As for :func:`interaction_frame`.
    interval : bool
        Whether the intervals are drawn. They are those of single means: their overlap is no test of a difference.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    frame = interaction_frame(means, x, alpha=alpha)
    panel = one_panel(ax)
    along = next(iter(means.labels.columns)) if x is None else x
    levels, lines = list(dict.fromkeys(frame["x"])), list(dict.fromkeys(frame["line"]))
    is_numeric = pd.api.types.is_numeric_dtype(frame["x"]) and not pd.api.types.is_bool_dtype(frame["x"])
    width = float(np.ptp(np.asarray(levels, dtype=float))) / max(len(levels) - 1, 1) if is_numeric else 1.0
    for k, line in enumerate(lines):
        own = frame[frame["line"] == line]
        places = own["x"].to_numpy(dtype=float) if is_numeric else np.array([float(levels.index(v)) for v in own["x"]])
        places = places + SHIFT * (width or 1.0) * (k - 0.5 * (len(lines) - 1)) if interval else places
        colour, marker = PALETTE[k % len(PALETTE)], MARKERS[k % len(MARKERS)]
        if interval:
            panel.vlines(places, own["lower"], own["upper"], color=colour, linewidth=1.2, alpha=0.7)
        panel.plot(places, own["mean"], marker=marker, color=colour, linewidth=1.6, markersize=5, label=line)
    if not is_numeric:
        name_levels(panel, levels)
    others = [name for name in means.labels.columns if name != along]
    if others:
        legend_beside(panel, ", ".join(others))
    return tidy(panel, x=along, y=means.measured)
