"""The caterpillar plot: every level's random effects with intervals, one panel a coefficient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
from scipy.stats import norm

from mixedfx._arguments import checked_alpha
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import BLUE, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["caterpillar", "caterpillar_frame"]

MOST_LABELS = 45  # more levels than this are drawn without their labels
ROW_HEIGHT, SMALLEST_HEIGHT, LARGEST_HEIGHT = 0.19, 2.4, 9.0  # inches
MANY_HEIGHT = 6.0  # inches, of more levels
EXTREMES = 5  # levels at each end that are named then
PANEL_WIDTH = 3.4  # inches


class HasRandomEffects(Protocol):
    """What a fit must offer to be drawn."""

    @property
    def random_effects(self) -> Mapping[str, pd.DataFrame]:
        """Conditional modes by group: levels x columns."""

    @property
    def random_effects_sd(self) -> Mapping[str, pd.DataFrame]:
        """Their conditional standard deviations."""


def caterpillar_frame(fit: HasRandomEffects, group: str | None = None, *, alpha: float = 0.05) -> pd.DataFrame:
    """Return the numbers behind :func:`caterpillar`.

    Parameters
    ----------
    fit : results
        A fitted model with random effects.
    group : str, optional
        Name of the grouping factor; the first one if left out.
    alpha : float
        The intervals cover ``1 - alpha``, the estimated variances taken as known.

    Returns
    -------
    pandas.DataFrame
        Columns ``level, term, mode, sd, lower, upper``, one row for every level and coefficient.
    """
    name = _group_name(fit, group)
    modes, sds = fit.random_effects[name], fit.random_effects_sd[name]
    half = norm.ppf(1 - checked_alpha(alpha) / 2) * sds
    levels = [":".join(map(str, level)) if isinstance(level, tuple) else str(level) for level in modes.index]
    tables = [
        pd.DataFrame(
            {
                "level": levels,
                "term": str(term),
                "mode": modes.iloc[:, place].to_numpy(),
                "sd": sds.iloc[:, place].to_numpy(),
                "lower": (modes.iloc[:, place] - half.iloc[:, place]).to_numpy(),
                "upper": (modes.iloc[:, place] + half.iloc[:, place]).to_numpy(),
            }
        )
        for place, term in enumerate(modes.columns)  # two terms of a factor may have an effect of the same name
    ]
    return pd.concat(tables, ignore_index=True)


def _group_name(fit: HasRandomEffects, group: str | None) -> str:
    names = list(fit.random_effects)
    if not names:
        raise SpecificationError("the model has no random effects to draw")
    if group is None:
        return names[0]
    if group not in names:
        raise SpecificationError(f"there is no grouping factor {group!r}; choose from {', '.join(map(repr, names))}")
    return group


def caterpillar(
    fit: HasRandomEffects, group: str | None = None, *, alpha: float = 0.05, ax: Axes | None = None
) -> list[Axes]:
    """Draw every level's random effects with intervals, sorted by the first coefficient.

    Parameters
    ----------
    fit : results
        A fitted model with random effects.
    group : str, optional
        Name of the grouping factor; the first one if left out.
    alpha : float
        The intervals cover ``1 - alpha``.
    ax : matplotlib Axes, optional
        Where to draw, if the term has one coefficient.

    Returns
    -------
    list of matplotlib Axes
        One a coefficient.
    """
    name = _group_name(fit, group)
    frame = caterpillar_frame(fit, name, alpha=alpha)
    terms = list(frame["term"].unique())
    order = frame.loc[frame["term"] == terms[0]].sort_values("mode")["level"].tolist()
    panels = _panels(len(terms), len(order), ax)
    for panel, term in zip(panels, terms, strict=True):
        _draw_panel(panel, frame.loc[frame["term"] == term].set_index("level").loc[order], term)
    _label_levels(panels[0], name, order)
    return panels


def _panels(count: int, rows: int, ax: Axes | None) -> list[Axes]:
    from matplotlib import pyplot as plt

    if ax is not None:
        if count != 1:
            raise SpecificationError(f"ax= takes a term with one coefficient; this one has {count}: leave ax= out")
        return [ax]
    height = float(np.clip(ROW_HEIGHT * rows + 0.9, SMALLEST_HEIGHT, LARGEST_HEIGHT))
    if rows > MOST_LABELS:
        height = MANY_HEIGHT
    _, axes = plt.subplots(
        1, count, figsize=(PANEL_WIDTH * count + 0.6, height), sharey=True, squeeze=False, layout="constrained"
    )
    return list(axes[0])


def _draw_panel(panel: Axes, rows: pd.DataFrame, term: str) -> None:
    y = np.arange(len(rows))
    panel.axvline(0.0, color="0.6", linewidth=0.8, zorder=0)
    many = len(rows) > MOST_LABELS
    panel.hlines(
        y, rows["lower"], rows["upper"], color=BLUE, linewidth=0.4 if many else 1.2, alpha=0.6 if many else 1.0
    )
    panel.plot(rows["mode"], y, "o", color=BLUE, markersize=1.2 if many else 3.5)
    panel.set_ylim(-1.0, len(rows))
    panel.set_xlabel("deviation from the mean", fontsize="small")
    panel.set_title(term, fontsize="medium")
    panel.spines[["top", "right"]].set_visible(False)


def _label_levels(panel: Axes, name: str, order: list[str]) -> None:
    labels, count = [short(level) for level in order], len(order)
    if count <= MOST_LABELS:
        panel.set_ylabel(name)
        panel.set_yticks(np.arange(count), labels, fontsize="small")
        return
    panel.set_ylabel(f"{name} ({count} levels, the {2 * EXTREMES} outermost named)")
    panel.set_yticks(
        [0.0, count - 1.0], ["\n".join(labels[EXTREMES - 1 :: -1]), "\n".join(labels[: -EXTREMES - 1 : -1])]
    )
    for text, side in zip(panel.get_yticklabels(), ("bottom", "top"), strict=True):
        text.set(va=side, fontsize="x-small")
