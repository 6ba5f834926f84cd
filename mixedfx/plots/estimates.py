"""Estimates with their intervals: coefficients, random effects, standard deviations of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import norm

from mixedfx._arguments import checked_alpha, checked_choice, checked_flag
from mixedfx._typing import Array, IntArray
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import (
    BLUE,
    GREY,
    LETTER,
    MARKERS,
    PALETTE,
    label_axes,
    legend_beside,
    level_names,
    one_panel,
    refuse_fit,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.analysis_of_variance.components.batches import Batches
    from mixedfx.results.base import MixedResults

__all__ = ["caterpillar", "caterpillar_frame", "forest", "forest_frame", "plot_batches"]

SdName: TypeAlias = Literal["finite", "super"]

# ------------------------------------------------------------------ coefficients
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
    alpha, intercept = checked_alpha(alpha), checked_flag("intercept", intercept)
    standardize = checked_flag("standardize", standardize)
    tables = []
    for name, fit in _named(fits).items():
        limits = fit.conf_int(alpha)
        scale = fit.design.fixed.matrix.std(axis=0) if standardize else np.ones(len(limits))
        frame = pd.DataFrame({"model": name, "term": list(fit.params.index), "estimate": fit.params.to_numpy() * scale})
        frame["lower"], frame["upper"] = limits["lower"].to_numpy() * scale, limits["upper"].to_numpy() * scale
        tables.append(frame if intercept else frame[frame["term"] != "Intercept"])
    out = pd.concat(tables, ignore_index=True)
    if out.empty:
        raise SpecificationError("there is no coefficient beside the intercept: use intercept=True")
    return out


def _named(fits: Any) -> dict[str, MixedResults]:
    if isinstance(fits, Mapping):
        named = {str(name): fit for name, fit in fits.items()}
    elif isinstance(fits, Sequence):
        named = {f"model {i}": fit for i, fit in enumerate(fits, 1)}
    else:
        named = {"": fits}
    if not named:
        raise SpecificationError("give at least one fitted model")
    return {name: mixed_results(fit, "forest") for name, fit in named.items()}


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

    Returns
    -------
    matplotlib Axes
    """
    frame = forest_frame(fits, alpha=alpha, intercept=intercept, standardize=standardize)
    terms, models = list(dict.fromkeys(frame["term"])), list(dict.fromkeys(frame["model"]))
    names = [short(term, MOST_LETTERS) for term in terms]
    width = 3.6 + LETTER * max(map(len, names)) + (1.0 if len(models) > 1 else 0.0)
    panel = one_panel(ax, (width, float(np.clip(0.35 * len(terms) * (1 + 0.25 * len(models)) + 0.9, 1.8, 10.0))))
    shifts = (np.arange(len(models)) - (len(models) - 1) / 2) * SPREAD / max(len(models), 1)
    panel.axvline(0.0, color=GREY, linewidth=0.8, zorder=0)
    for at, name in enumerate(models):
        rows = frame[frame["model"] == name]
        y = np.array([terms.index(term) for term in rows["term"]]) + shifts[at]
        colour = PALETTE[at % len(PALETTE)]
        panel.hlines(y, rows["lower"], rows["upper"], color=colour, linewidth=1.6)
        marker = MARKERS[at % len(MARKERS)]
        panel.plot(rows["estimate"], y, marker, color=colour, markersize=5, label=name)
    panel.set_yticks(np.arange(len(terms)), names)
    panel.set_ylim(len(terms) - 0.5, -0.5)
    if len(models) > 1:
        legend_beside(panel)
    return label_axes(panel, x="per standard deviation" if standardize else "coefficient")


# ------------------------------------------------------------------ random effects
MOST_LABELS = 45  # more levels than this are drawn without their labels
ROW_HEIGHT, SMALLEST_HEIGHT, LARGEST_HEIGHT = 0.19, 2.4, 9.0  # inches
MANY_HEIGHT = 6.0  # inches, of more levels
EXTREMES = 5  # levels at each end that are named then
MOST_DRAWN = 2000  # of more levels than this only the ends are drawn, …
SHOWN_EXTREMES = 25  # … so many levels at each, …
GAP = 20  # … with the distribution of all in the height of so many rows between them
DENSITY_BINS = 80
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
    tables = [
        pd.DataFrame(
            {
                "level": level_names(modes.index),
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

    Of more than 2000 levels the 25 at each end, and between them how the modes of all are distributed.

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
    if len(order) > MOST_DRAWN:
        return _extremes(panels, frame, terms, name)
    for panel, term in zip(panels, terms, strict=True):
        _draw_panel(panel, frame.loc[frame["term"] == term].set_index("level").loc[order], term)
    _label_levels(panels[0], name, order)
    return panels


def _extremes(panels: list[Axes], frame: pd.DataFrame, terms: list[str], name: str) -> list[Axes]:
    """Draw the levels at each end, by the first coefficient, and between them how all are distributed."""
    wide = [frame.loc[frame["term"] == term].reset_index(drop=True) for term in terms]
    order = np.argsort(wide[0]["mode"].to_numpy(), kind="stable")
    ends = np.concatenate([order[:SHOWN_EXTREMES], order[-SHOWN_EXTREMES:]])
    y = np.concatenate([np.arange(SHOWN_EXTREMES), SHOWN_EXTREMES + GAP + np.arange(SHOWN_EXTREMES)])
    for panel, rows, term in zip(panels, wide, terms, strict=True):
        _draw_rows(panel, rows.iloc[ends], y, term)
        _draw_density(panel, rows["mode"].to_numpy(), SHOWN_EXTREMES + 0.5, GAP - 2.0)
        panel.set_ylim(-1.0, 2 * SHOWN_EXTREMES + GAP)
    panels[0].set_ylabel(f"{name} ({len(order):,} levels: the {SHOWN_EXTREMES} at each end, and all between)")
    panels[0].set_yticks(y, [short(level) for level in wide[0]["level"].iloc[ends]], fontsize="xx-small")
    return panels


def _draw_density(panel: Axes, modes: Array, base: float, height: float) -> None:
    counts, edges = np.histogram(modes, bins=DENSITY_BINS)
    top = base + height * counts / counts.max()
    panel.fill_between(np.repeat(edges, 2)[1:-1], base, np.repeat(top, 2), color=BLUE, alpha=0.35, linewidth=0)
    panel.axhline(base, color=GREY, linewidth=0.5)


def _panels(count: int, rows: int, ax: Axes | None) -> list[Axes]:
    from matplotlib import pyplot as plt

    if ax is not None:
        if count != 1:
            raise SpecificationError(f"ax= takes a term with one coefficient; this one has {count}: leave ax= out")
        return [ax]
    height = float(np.clip(ROW_HEIGHT * rows + 0.9, SMALLEST_HEIGHT, LARGEST_HEIGHT))
    if MOST_LABELS < rows <= MOST_DRAWN:
        height = MANY_HEIGHT
    _, axes = plt.subplots(
        1, count, figsize=(PANEL_WIDTH * count + 0.6, height), sharey=True, squeeze=False, layout="constrained"
    )
    return list(axes[0])


def _draw_panel(panel: Axes, rows: pd.DataFrame, term: str) -> None:
    _draw_rows(panel, rows, np.arange(len(rows)), term)
    panel.set_ylim(-1.0, len(rows))


def _draw_rows(panel: Axes, rows: pd.DataFrame, y: IntArray, term: str) -> None:
    panel.axvline(0.0, color="0.6", linewidth=0.8, zorder=0)
    many = len(rows) > 2 * SHOWN_EXTREMES
    panel.hlines(
        y, rows["lower"], rows["upper"], color=BLUE, linewidth=0.4 if many else 1.2, alpha=0.6 if many else 1.0
    )
    panel.plot(rows["mode"], y, "o", color=BLUE, markersize=1.2 if many else 3.5)
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


# ------------------------------------------------------------------ batches of an analysis of variance
SDS = {"finite": "among the coefficients at hand", "super": "in the population"}
BATCH_HEIGHT, MARGIN, WIDTH = 0.34, 1.0, 5.6  # inches
REACH = 4.0  # bars end at this multiple of the largest standard deviation


def plot_batches(frame: pd.DataFrame | Batches, *, kind: SdName = "finite", ax: Axes | None = None) -> Axes:
    """Draw what :func:`mixedfx.batches` found.

    Parameters
    ----------
    frame : pandas.DataFrame or Batches
        It, or its ``to_frame()``.
    kind : {"finite", "super"}
        ``"finite"``: standard deviations among the coefficients at hand; ``"super"``: in the population. A bar that
        goes on far beyond the others ends in an arrow.
    ax : matplotlib Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib Axes
    """
    from matplotlib import pyplot as plt

    meaning = checked_choice("kind", kind, SDS)
    refuse_fit(frame, "plot_batches", "mfx.batches(fit)")
    frame = frame if isinstance(frame, pd.DataFrame) else frame.to_frame()
    shown = frame.loc[frame[kind].notna()]
    y = np.arange(len(shown))[::-1]
    if ax is None:
        _, ax = plt.subplots(figsize=(WIDTH, BATCH_HEIGHT * len(shown) + MARGIN), layout="constrained")
    end = REACH * float(shown[kind].max())
    upper = shown[f"{kind}_upper"].to_numpy(dtype=float)
    ax.hlines(y, shown[f"{kind}_lower"], np.minimum(upper, end), color=BLUE, linewidth=1.2)
    ax.hlines(y, shown[f"{kind}_q25"], np.minimum(shown[f"{kind}_q75"], end), color=BLUE, linewidth=3.5)
    ax.plot(np.full(int((upper > end).sum()), end), y[upper > end], ">", color=BLUE, markersize=5)
    ax.plot(shown[kind], y, "o", label=kind, color=BLUE, markersize=5.5, markeredgecolor="white", markeredgewidth=0.8)
    ax.set_yticks(y, [f"{name} ({df:g})" for name, df in zip(shown.index, shown["df"])])
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_xlim(left=0.0)
    ax.set_xlabel(f"standard deviation {meaning}")
    ax.set_ylabel("source (df)")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
