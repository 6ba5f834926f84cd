"""Responses that the model would have drawn beside those that were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha, checked_whole
from mixedfx._typing import Array
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.plots.effects import response_label
from mixedfx.plots.look import BLUE, GREY, ink, one_panel
from mixedfx.plots.names import label_axes, name_levels, plain
from mixedfx.results.base import MixedResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["predictive", "predictive_frame"]

MOST_PLACES = 400  # of a curve
MOST_BARS = 50  # more values are a curve
MOST_NAMED = 12  # values that are all named below their bars
BAR = 0.8  # width, of the distance between values
MOST_COUNTED = 100_000  # values between the smallest and the largest, of which shares are counted
WHOLE = 1e-8  # by how much a count may miss a whole number


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
        Columns ``x`` (values of the response, names of categories), ``observed`` (share of responses), and ``median,
        lower, upper`` of that share in the simulated sets. Of counts, categories, and successes out of the same number
        of trials, the share of responses that are x: they sum to one but for values that were not seen and that the
        upper limit leaves out. Of other responses, and of counts that spread over more than 50 values, the share up to
        x.
    """
    return _frame(mixed_results(fit, "predictive"), n, seed, checked_alpha(alpha))[0]


def _frame(fit: MixedResults, n: int, seed: Any, level: float) -> tuple[pd.DataFrame, bool]:
    """The shares, and whether they are those of single values."""
    drawn = fit.simulate(checked_whole("n", n, 20), seed=seed).to_numpy(dtype=float)
    seen = np.asarray(fit.design.response.values, dtype=float)
    step = _step(fit, seen, drawn)
    bars = None if step is None else _of_values(seen, drawn, step, level)
    if bars is None:
        return _up_to_values(seen, drawn, level), False
    categories = fit.design.response.categories
    if categories is not None:
        first = int(fit.solution.family.has_categories)  # ordered categories are counted from 1
        bars["x"] = pd.Series([categories[int(code) - first] for code in bars["x"]], index=bars.index)
    return bars, True


def _step(fit: MixedResults, seen: Array, drawn: Array) -> float | None:
    """How far the values of counts, or of proportions of the same trials, are apart; None for other responses."""
    trials = fit.design.response.trials
    count = 1.0 if trials is None else float(trials[0])
    if trials is not None and np.any(trials != count):
        return None
    is_whole = all(np.all(np.abs(y * count - np.rint(y * count)) <= WHOLE) for y in (seen, drawn))
    return 1.0 / count if is_whole else None


def _of_values(seen: Array, drawn: Array, step: float, level: float) -> pd.DataFrame | None:
    """Shares of each value, but for those at the ends that neither the data nor the limits have; None of too many."""
    counts = np.rint(np.column_stack([seen, drawn]) / step)
    lowest, span = float(counts.min()), float(np.ptp(counts))
    if span >= MOST_COUNTED:
        return None
    size, (rows, columns) = int(span) + 1, counts.shape
    cells = (counts - lowest).astype(np.intp) + size * np.arange(columns)
    shares = np.bincount(cells.ravel(), minlength=size * columns).reshape(columns, size).T / rows
    lower, middle, upper = _limits(shares[:, 1:], level)
    shown = np.flatnonzero((shares[:, 0] > 0) | (upper > 0))
    kept = slice(shown[0], shown[-1] + 1)
    if shown[-1] - shown[0] >= MOST_BARS:
        return None
    values = step * (lowest + np.arange(size))
    columns_of = {"x": values, "observed": shares[:, 0], "median": middle, "lower": lower, "upper": upper}
    return pd.DataFrame({name: column[kept] for name, column in columns_of.items()})


def _up_to_values(seen: Array, drawn: Array, level: float) -> pd.DataFrame:
    """Shares up to each value, or up to some of very many."""
    values = np.unique(np.concatenate([seen, drawn[:, 0]]))
    if len(values) > MOST_PLACES:
        values = np.quantile(values, np.linspace(0.0, 1.0, MOST_PLACES))
    lower, middle, upper = _limits(np.column_stack([_shares(column, values) for column in drawn.T]), level)
    return pd.DataFrame(
        {"x": values, "observed": _shares(seen, values), "median": middle, "lower": lower, "upper": upper}
    )


def _limits(shares: Array, level: float) -> Array:
    return np.asarray(np.quantile(shares, [level / 2, 0.5, 1 - level / 2], axis=1))


def _shares(responses: Array, places: Array) -> Array:
    return np.asarray(np.searchsorted(np.sort(responses), places, side="right") / len(responses))


def predictive(fit: Any, n: int = 100, *, seed: Any = 0, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Draw how the responses are distributed, and the responses that the model draws.

    Counts and categories are bars: one whose top lies outside of its interval is a misfit. Other responses are curves:
    a line outside of the band is a misfit.

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

    >>> counts = mfx.load_dataset("salamanders")
    >>> ax = mfx.plots.predictive(mfx.glmer("count ~ mined + (1 | site)", counts, family="poisson"))
    >>> ax.get_ylabel()
    'share of responses'
    """
    results, panel = mixed_results(fit, "predictive"), one_panel(ax)
    frame, single = _frame(results, n, seed, checked_alpha(alpha))
    is_proportion = results.design.response.trials is not None
    name = response_label(results) if is_proportion else plain(results.model.endog_names)
    if single:
        _bars(panel, frame, 100 * (1 - alpha))
        panel.legend(frameon=False, fontsize="small", ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    else:
        panel.fill_between(frame["x"], frame["lower"], frame["upper"], step="post", color=GREY, alpha=0.35, linewidth=0)
        panel.step(frame["x"], frame["median"], where="post", color=GREY, linewidth=1.2, label="drawn by the model")
        panel.step(frame["x"], frame["observed"], where="post", color=BLUE, linewidth=1.8, label="seen")
        panel.legend(frameon=False, fontsize="small")
    return label_axes(panel, x=name, y="share of responses" if single else "share of responses up to x")


def _bars(panel: Axes, frame: pd.DataFrame, level: float) -> None:
    """Draw a bar for each value, with the median and the limits of what the model draws over it."""
    is_number = pd.api.types.is_numeric_dtype(frame["x"])
    places = frame["x"].to_numpy(dtype=float) if is_number else np.arange(float(len(frame)))
    width = float(np.diff(places[:2])[0]) if len(places) > 1 else 1.0
    panel.bar(places, frame["observed"], BAR * width, color=BLUE, alpha=0.55, linewidth=0, label="seen")
    at, drawn = places[frame["upper"] > 0], frame[frame["upper"] > 0]  # no points along the axis
    panel.vlines(at, drawn["lower"], drawn["upper"], color=ink(), linewidth=1.2)
    panel.plot(at, drawn["median"], "o", color=ink(), markersize=3.5, label=f"drawn by the model, {level:g} % interval")
    panel.set_ylim(bottom=0.0)
    if not is_number:
        name_levels(panel, list(frame["x"]))
    elif len(places) <= MOST_NAMED:
        panel.set_xticks(places, [f"{place:.3g}" for place in places])
