"""Estimates with their intervals: coefficients, random effects, standard deviations of batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import norm

from mixedfx._arguments import checked_alpha, checked_choice, checked_flag
from mixedfx._display.names import shortened
from mixedfx._typing import Array, IntArray
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import BLUE, GREY, MARKERS, PALETTE, one_panel, refuse_fit
from mixedfx.plots.names import BESIDE, entry, label_axes, legend_beside, level_names, literal, name_rows, row_width
from mixedfx.results.settings import ratio_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.analysis_of_variance.components.batches import Batches
    from mixedfx.results.base import MixedResults

__all__ = ["caterpillar", "caterpillar_frame", "forest", "forest_frame", "group_name", "plot_batches"]

SdName: TypeAlias = Literal["finite", "super"]

# ------------------------------------------------------------------ coefficients
MOST_LETTERS = 56  # of a coefficient's name
SPREAD = 0.5  # of a row that the models take


def forest_frame(
    fits: Any, *, alpha: float = 0.05, intercept: bool = False, standardize: bool = False, exp: bool = False
) -> pd.DataFrame:
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
    exp : bool
        Exponentiate coefficients and limits: odds ratios, rate ratios.

    Returns
    -------
    DataFrame
        Columns ``model, term, estimate, lower, upper``.
    """
    exp = checked_flag("exp", exp)
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
    if exp:
        with np.errstate(over="ignore"):  # a separated coefficient has an infinite ratio
            out[["estimate", "lower", "upper"]] = np.exp(out[["estimate", "lower", "upper"]])
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
    exp: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the coefficients of one or several fits with their intervals.

    Parameters
    ----------
    fits, alpha, intercept, standardize, exp
        As for :func:`forest_frame`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Of exponentiated coefficients with a logarithmic axis and the line at 1. What is beyond all numbers, as in
        separated models, has no mark.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    >>> fit = mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial")
    >>> mfx.plots.forest(fit, exp=True).get_xlabel()
    'odds ratio'
    """
    frame = forest_frame(fits, alpha=alpha, intercept=intercept, standardize=standardize, exp=exp)
    terms, models = list(dict.fromkeys(frame["term"])), list(dict.fromkeys(frame["model"]))
    width = 3.6 + row_width(terms, MOST_LETTERS) + (1.0 if len(models) > 1 else 0.0)
    panel = one_panel(ax, (width, float(np.clip(0.35 * len(terms) * (1 + 0.25 * len(models)) + 0.9, 1.8, 10.0))))
    shifts = (np.arange(len(models)) - (len(models) - 1) / 2) * SPREAD / max(len(models), 1)
    panel.axvline(1.0 if exp else 0.0, color=GREY, linewidth=0.8, zorder=0)
    if exp:
        frame = frame[(frame["lower"] > 0) & np.isfinite(frame["upper"])]
        _ratio_axis(panel)
    else:
        panel.locator_params(axis="x", nbins=6)
    for at, name in enumerate(models):
        rows = frame[frame["model"] == name]
        y = np.array([terms.index(term) for term in rows["term"]]) + shifts[at]
        colour = PALETTE[at % len(PALETTE)]
        panel.hlines(y, rows["lower"], rows["upper"], color=colour, linewidth=1.6)
        marker = MARKERS[at % len(MARKERS)]
        panel.plot(rows["estimate"], y, marker, color=colour, markersize=5, label=entry(name))
    name_rows(panel, np.arange(len(terms)), terms, most=MOST_LETTERS)
    panel.set_ylim(len(terms) - 0.5, -0.5)
    if len(models) > 1:
        legend_beside(panel)
    kinds = {ratio_name(fit.solution) or "exp(coefficient)" for fit in _named(fits).values()}
    label = (kinds.pop() if len(kinds) == 1 else "exp(coefficient)") if exp else "coefficient"
    return label_axes(panel, x=f"{label} per standard deviation" if standardize else label)


def _ratio_axis(panel: Axes) -> None:
    """Make the axis logarithmic, with plain numbers at its ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


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
DEVIATION = "deviation from the mean"


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
    name = group_name(fit, group)
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


def group_name(fit: HasRandomEffects, group: str | None) -> str:
    """Return a grouping factor: the first one for None."""
    if not hasattr(fit, "random_effects"):
        raise TypeError(f"random effects of a fitted model are drawn, found {type(fit).__name__}")
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
    name = group_name(fit, group)
    frame = caterpillar_frame(fit, name, alpha=alpha)
    n_levels = frame["level"].nunique()
    wide = [rows.reset_index(drop=True) for _, rows in frame.groupby(np.arange(len(frame)) // n_levels)]
    terms = [str(rows["term"].iloc[0]) for rows in wide]  # two terms of a factor may have an effect of the same name
    order = wide[0].sort_values("mode")["level"].tolist()
    panels = _panels(len(terms), len(order), ax)
    if len(order) > MOST_DRAWN:
        return _extremes(panels, wide, terms, name)
    for panel, rows in zip(panels, wide, strict=True):
        _draw_rows(panel, rows.set_index("level").loc[order], np.arange(len(order)))
        panel.set_ylim(-1.0, len(order))
    if len(order) <= MOST_LABELS:
        name_rows(panels[0], np.arange(len(order)), order)
        return _label(panels, terms, name)
    names = shortened(order)
    low, high = names[EXTREMES - 1 :: -1], names[: -EXTREMES - 1 : -1]
    panels[0].set_yticks([0.0, len(order) - 1.0], ["\n".join(low), "\n".join(high)])
    literal(*panels[0].get_yticklabels())
    _label(panels, terms, f"{name} ({len(order)} levels, the {2 * EXTREMES} outermost named)", "x-small")
    for text, side in zip(panels[0].get_yticklabels(), ("bottom", "top"), strict=True):
        text.set(va=side)
    return panels


def _label(panels: list[Axes], terms: list[str], group: str, size: str = "small") -> list[Axes]:
    """Say what the panels show, and write the levels in their size."""
    panels[0].tick_params(axis="y", labelsize=size)
    for panel, term in zip(panels, terms, strict=True):
        label_axes(panel, x=DEVIATION, y=group if panel is panels[0] else "", title=term)
    panels[0].tick_params(axis="y", labelsize=size)
    return panels


def _extremes(panels: list[Axes], wide: list[pd.DataFrame], terms: list[str], name: str) -> list[Axes]:
    """Draw the levels at each end, by the first coefficient, and between them how all are distributed."""
    order = np.argsort(wide[0]["mode"].to_numpy(), kind="stable")
    ends = np.concatenate([order[:SHOWN_EXTREMES], order[-SHOWN_EXTREMES:]])
    y = np.concatenate([np.arange(SHOWN_EXTREMES), SHOWN_EXTREMES + GAP + np.arange(SHOWN_EXTREMES)])
    for panel, rows in zip(panels, wide, strict=True):
        _draw_rows(panel, rows.iloc[ends], y)
        _draw_density(panel, rows["mode"].to_numpy(), SHOWN_EXTREMES + 0.5, GAP - 2.0)
        panel.set_ylim(-1.0, 2 * SHOWN_EXTREMES + GAP)
    name_rows(panels[0], y, wide[0]["level"].iloc[ends].tolist())
    group = f"{name} ({len(order):,} levels: the {SHOWN_EXTREMES} at each end, and all between)"
    return _label(panels, terms, group, "xx-small")


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


def _draw_rows(panel: Axes, rows: pd.DataFrame, y: IntArray) -> None:
    panel.axvline(0.0, color="0.6", linewidth=0.8, zorder=0)
    many = len(rows) > 2 * SHOWN_EXTREMES
    panel.hlines(
        y, rows["lower"], rows["upper"], color=BLUE, linewidth=0.4 if many else 1.2, alpha=0.6 if many else 1.0
    )
    panel.plot(rows["mode"], y, "o", color=BLUE, markersize=1.2 if many else 3.5)


# ------------------------------------------------------------------ batches of an analysis of variance
SDS = {"finite": "among the coefficients at hand", "super": "in the population"}
BATCH_HEIGHT, MARGIN, WIDTH, USUAL = 0.34, 1.0, 5.6, 1.2  # inches; of names that need no more room
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
    names = [f"{name} ({df:g})" for name, df in zip(shown.index, shown["df"])]
    if ax is None:
        width = WIDTH + max(0.0, row_width(names) - USUAL)
        _, ax = plt.subplots(figsize=(width, BATCH_HEIGHT * len(shown) + MARGIN), layout="constrained")
    end = REACH * float(shown[kind].max())
    upper = shown[f"{kind}_upper"].to_numpy(dtype=float)
    ax.hlines(y, shown[f"{kind}_lower"], np.minimum(upper, end), color=BLUE, linewidth=1.2)
    ax.hlines(y, shown[f"{kind}_q25"], np.minimum(shown[f"{kind}_q75"], end), color=BLUE, linewidth=3.5)
    ax.plot(np.full(int((upper > end).sum()), end), y[upper > end], ">", color=BLUE, markersize=5)
    ax.plot(shown[kind], y, "o", label=kind, color=BLUE, markersize=5.5, markeredgecolor="white", markeredgewidth=0.8)
    name_rows(ax, y, names, most=BESIDE, lines=2)
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.set_xlim(left=0.0)
    return label_axes(ax, x=f"standard deviation {meaning}", y="source (df)")
