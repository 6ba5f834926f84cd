"""Responses that the model would have drawn beside those that were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_whole
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.plots.effects import response_label
from mixedfx.plots.look import BLUE, GREY, label_axes, one_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["predictive", "predictive_frame"]

MOST_PLACES = 400  # of a curve


def predictive_frame(fit: Any, n: int = 100, *, seed: Any = 0, alpha: float = 0.05) -> pd.DataFrame:
    """Return the numbers behind :func:`predictive`.

    Parameters
    ----------
    fit : MixedResults
    n : int
        Number of simulated sets of responses: parameters as estimated, random effects drawn afresh.
    seed : int, optional
    alpha : float
        One minus the level of the band, which holds at each place of its own.

    Returns
    -------
    DataFrame
        Columns ``x`` (values of the response), ``observed`` (share of responses up to x), and ``median, lower, upper``
        of that share in the simulated sets.
    """
    results, level = mixed_results(fit, "predictive"), checked_alpha(alpha)
    drawn = results.simulate(checked_whole("n", n, 20), seed=seed).to_numpy(dtype=float)
    seen = np.asarray(results.design.response.values, dtype=float)
    values = np.unique(np.concatenate([seen, drawn[:, 0]]))
    if len(values) > MOST_PLACES:
        values = np.quantile(values, np.linspace(0.0, 1.0, MOST_PLACES))
    shares = np.column_stack([_shares(column, values) for column in drawn.T])
    lower, middle, upper = np.quantile(shares, [level / 2, 0.5, 1 - level / 2], axis=1)
    return pd.DataFrame(
        {"x": values, "observed": _shares(seen, values), "median": middle, "lower": lower, "upper": upper}
    )


def _shares(responses: np.ndarray[Any, Any], places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.searchsorted(np.sort(responses), places, side="right") / len(responses))


def predictive(fit: Any, n: int = 100, *, seed: Any = 0, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Draw the distribution of the responses over those that the model draws: a line outside of the band is a misfit.

    Parameters
    ----------
    fit, n, seed, alpha
        As for :func:`predictive_frame`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import mixedfx as mfx
    >>> ax = mfx.plots.predictive(mfx.lmer("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff")))
    >>> ax.get_ylabel()
    'share of responses up to x'
    """
    frame, panel = predictive_frame(fit, n, seed=seed, alpha=alpha), one_panel(ax)
    panel.fill_between(frame["x"], frame["lower"], frame["upper"], step="post", color=GREY, alpha=0.35, linewidth=0)
    panel.step(frame["x"], frame["median"], where="post", color=GREY, linewidth=1.2, label="drawn by the model")
    panel.step(frame["x"], frame["observed"], where="post", color=BLUE, linewidth=1.8, label="seen")
    panel.legend(frameon=False, fontsize="small")
    return label_axes(panel, x=response_label(mixed_results(fit, "predictive")), y="share of responses up to x")
