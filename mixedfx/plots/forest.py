"""Coefficients of one or several fits with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import GREY, LETTER, MARKERS, PALETTE, legend_beside, one_panel, short, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["forest", "forest_frame"]

MOST_LETTERS = 56  # of a coefficient's name
SPREAD = 0.5  # of a row that the models take


def forest_frame(fits: Any, *, alpha: float = 0.05, intercept: bool = False, standardize: bool = False) -> pd.DataFrame:
    """Return the numbers behind :func:`forest`.

    Parameters
    ----------
    fits : MixedResults, or dict or sequence of them
        Names of the models are the keys of the dict.
    alpha : float
        One minus the level of the intervals.
    intercept : bool
        Whether the intercept is shown.
    standardize : bool
        Multiply every coefficient by the standard deviation of its column, so that they can be compared.

    Returns
    -------
    DataFrame
        Columns ``model, term, estimate, lower, upper``.
    """
    tables = []
    for name, fit in _named(fits).items():
        limits = fit.conf_int(checked_alpha(alpha))
        scale = fit.design.fixed.matrix.std(axis=0) if standardize else np.ones(len(limits))
        frame = pd.DataFrame({"model": name, "term": list(fit.params.index), "estimate": fit.params.to_numpy() * scale})
        frame["lower"], frame["upper"] = limits["lower"].to_numpy() * scale, limits["upper"].to_numpy() * scale
        tables.append(frame if intercept else frame[frame["term"] != "Intercept"])
    out = pd.concat(tables, ignore_index=True)
    if out.empty:
        raise SpecificationError("there is no coefficient beside the intercept: use intercept=True")
    return out


def _named(fits: Any) -> dict[str, Any]:
    if isinstance(fits, Mapping):
        return {str(name): fit for name, fit in fits.items()}
    if isinstance(fits, Sequence):
        return {f"model {i}": fit for i, fit in enumerate(fits, 1)}
    return {"": fits}


def forest(
    fits: Any,
    *,
    alpha: float = 0.05,
    intercept: bool = False,
    standardize: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the coefficients of one or several fits with their intervals.

    Parameters
    ----------
    fits, alpha, intercept, standardize
        As for :func:`forest_frame`.
    ax : matplotlib Axes, optional
    """
    frame = forest_frame(fits, alpha=alpha, intercept=intercept, standardize=standardize)
    terms, models = list(dict.fromkeys(frame["term"])), list(dict.fromkeys(frame["model"]))
    names = [short(term, MOST_LETTERS) for term in terms]
    width = 3.6 + LETTER * max(map(len, names)) + (1.0 if len(models) > 1 else 0.0)
    panel = one_panel(ax, (width, float(np.clip(0.35 * len(terms) * (1 + 0.25 * len(models)) + 0.9, 1.8, 10.0))))
    shifts = (np.arange(len(models)) - (len(models) - 1) / 2) * SPREAD / max(len(models), 1)
    panel.axvline(0.0, color=GREY, linewidth=0.8, zorder=0)
    for at, name in enumerate(models):
        own = frame[frame["model"] == name]
        y = np.array([terms.index(term) for term in own["term"]]) + shifts[at]
        colour = PALETTE[at % len(PALETTE)]
        panel.hlines(y, own["lower"], own["upper"], color=colour, linewidth=1.6)
        marker = MARKERS[at % len(MARKERS)]
        panel.plot(own["estimate"], y, marker, color=colour, markersize=5, label=name)
    panel.set_yticks(np.arange(len(terms)), names)
    panel.set_ylim(len(terms) - 0.5, -0.5)
    if len(models) > 1:
        legend_beside(panel)
    return tidy(panel, x="per standard deviation" if standardize else "coefficient")
