"""What a check looks at: residuals, quantiles, autocorrelations, influence, and all of it on one page."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_alpha
from mixedfx._display.names import short, shortened
from mixedfx._typing import AnyArray, Array, BoolArray, IntArray
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.diagnostics.influence import Influence, outstanding
from mixedfx.diagnostics.influence import influence as influence_of
from mixedfx.diagnostics.page import Check, check
from mixedfx.diagnostics.random_effects import standardized_effects
from mixedfx.diagnostics.residuals import standardized_residuals
from mixedfx.diagnostics.serial import SerialCorrelation
from mixedfx.diagnostics.simulated import QuantileResiduals
from mixedfx.exceptions import SpecificationError
from mixedfx.fitting.response import ResidualName
from mixedfx.plots.look import BLUE, GREY, ORANGE, ink, one_panel, point_size, smooth
from mixedfx.plots.names import label_axes, level_names, literal
from mixedfx.results.base import MixedResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

__all__ = [
    "correlogram",
    "dashboard",
    "influence",
    "qq",
    "qq_frame",
    "quantiles",
    "residual_frame",
    "residuals",
    "scale_location",
]


# ------------------------------------------------------------------ residuals and fitted values
MOST_POINTS = 50_000  # more rows are counted in hexagons


def residual_frame(fit: Any, kind: ResidualName | None = None) -> pd.DataFrame:
    """Return the numbers behind :func:`residuals` and :func:`scale_location`.

    Parameters
    ----------
    fit : MixedResults
    kind : str, optional
        Kind of residuals; ``"pearson"`` for linear models and ``"quantile"`` for generalised ones if omitted.

    Returns
    -------
    DataFrame
        Columns ``fitted, residual, root`` (of the absolute residual); fitted values of a generalised model are on the
        scale of the linear predictor.
    """
    results = mixed_results(fit, "residual_frame")
    residual = results.residuals(_chosen_residual(results, kind))
    frame = pd.DataFrame({"fitted": results.linear_predictors[:, 0], "residual": residual}, index=residual.index)
    frame["root"] = np.sqrt(frame["residual"].abs())
    return pd.DataFrame(frame[np.isfinite(frame["residual"])])


def residuals(fit: Any, kind: ResidualName | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw residuals against fitted values, with a local mean that should lie on zero.

    More than 50 000 rows are counted in hexagons.

    Parameters
    ----------
    fit : MixedResults
    kind : str, optional
        As for :func:`residual_frame`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    results = mixed_results(fit, "residuals")
    frame = residual_frame(results, kind)
    panel = one_panel(ax)
    panel.axhline(0.0, color=GREY, linewidth=0.8, zorder=0)
    _points(panel, frame["fitted"], frame["residual"])
    return label_axes(
        panel, x=_fitted_name(results), y=_residual_name(results, kind), title="Residuals and fitted values"
    )


def scale_location(fit: Any, kind: ResidualName | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the root of the absolute residuals against fitted values: the line is level if the spread is.

    Parameters
    ----------
    fit, kind, ax
        As for :func:`residuals`.

    Returns
    -------
    matplotlib Axes
    """
    results = mixed_results(fit, "scale_location")
    frame = residual_frame(results, kind)
    panel = one_panel(ax)
    _points(panel, frame["fitted"], frame["root"])
    panel.set_ylim(bottom=0.0)
    return label_axes(panel, x=_fitted_name(results), y="root of |residual|", title="Spread and fitted values")


def _points(panel: Axes, x: pd.Series[float], y: pd.Series[float]) -> None:
    if len(x) > MOST_POINTS:
        cells = panel.hexbin(x, y, gridsize=70, bins="log", mincnt=1, cmap="Blues", linewidths=0.1, zorder=0)
        bar = panel.figure.colorbar(cells, ax=panel, shrink=0.7, pad=0.02)
        bar.set_label("rows", fontsize="x-small")
        bar.ax.tick_params(labelsize="x-small")
    else:
        size = point_size(len(x))
        panel.plot(x, y, "o", color=BLUE, markersize=size, alpha=0.55, markeredgewidth=0)
    panel.plot(*smooth(x.to_numpy(), y.to_numpy()), color=ORANGE, linewidth=1.8)


def _chosen_residual(fit: Any, kind: str | None) -> str:
    """The kind asked for; else quantile residuals, Pearson's where the response model has none."""
    return kind or ("quantile" if "quantile" in fit.solution.response.kinds else "pearson")


def _residual_name(fit: Any, kind: str | None) -> str:
    chosen = _chosen_residual(fit, kind)
    return f"{'Pearson' if chosen == 'pearson' else chosen} residual"


def _fitted_name(fit: Any) -> str:
    return "fitted value" if fit.solution.response.mean_is_linear else "linear predictor"


# ------------------------------------------------------------------ quantiles
MOST_QUANTILES = 20_000  # points of a picture


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
        statistics of independent normal values, which these are but approximately. Of more than 20 000 values the 2000
        at each end and others between them, as close as can be seen.
    """
    alpha = checked_alpha(alpha)
    sample = np.sort(_values(fit, group, term))
    n, rank = sample.size, _drawn_ranks(sample.size)
    if n == 0:
        raise SpecificationError("there is nothing to draw: no residual or random effect has a variance")
    limits = [special.ndtri(special.betaincinv(rank, n + 1 - rank, p)) for p in (alpha / 2, 1 - alpha / 2)]
    theoretical = special.ndtri((rank - 0.5) / n)
    return pd.DataFrame(
        {"theoretical": theoretical, "sample": sample[rank - 1], "lower": limits[0], "upper": limits[1]}
    )


def _drawn_ranks(n: int) -> IntArray:
    """Ranks that are drawn of n: all, or of very many those at the ends and others between them, evenly spaced."""
    if n <= MOST_QUANTILES:
        return np.arange(1, n + 1)
    ends, between = MOST_QUANTILES // 10, np.linspace(1, n, MOST_QUANTILES // 2).astype(np.intp)
    return np.unique(np.concatenate([np.arange(1, ends + 1), between, np.arange(n - ends + 1, n + 1)]))


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
    effects = frame[frame["group"] == str(group)]
    if effects.empty:
        known = ", ".join(map(repr, frame["group"].unique())) or "none, as there are no random effects"
        raise SpecificationError(f"there is no grouping factor {group!r}; choose from {known}")
    chosen = effects["term"].iloc[0] if term is None else term
    if chosen not in set(effects["term"]):
        known = ", ".join(map(repr, effects["term"].unique()))
        raise SpecificationError(f"{group} has no random effect {chosen!r}; choose from {known}")
    return effects.loc[effects["term"] == chosen, "value"].to_numpy(dtype=float)


def qq(
    fit: Any, group: str | None = None, term: str | None = None, *, alpha: float = 0.05, ax: Axes | None = None
) -> Axes:
    """Draw residuals or random effects against normal quantiles, with their band.

    Parameters
    ----------
    fit, group, term, alpha
        As for :func:`qq_frame`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    frame = qq_frame(fit, group, term, alpha=alpha)
    panel = one_panel(ax)
    x = frame["theoretical"]
    panel.fill_between(x, frame["lower"], frame["upper"], color=GREY, alpha=0.25, linewidth=0)
    panel.plot(x, x, color=GREY, linewidth=1.0)
    panel.plot(x, frame["sample"], "o", color=BLUE, markersize=point_size(len(frame)), markeredgewidth=0)
    what = "residuals" if group is None else f"{group}" if term is None else f"{term} of {group}"
    return label_axes(panel, x="normal quantile", y="standardised value", title=f"Quantiles: {what}")


def quantiles(found: QuantileResiduals, *, ax: Axes | None = None) -> Axes:
    """Draw simulated quantile residuals against normal quantiles; see :func:`qq`."""
    return qq(found, ax=ax)


# ------------------------------------------------------------------ autocorrelations
LARGEST = 9.0  # points, of the dot with most pairs


def correlogram(found: SerialCorrelation, *, ax: Axes | None = None) -> Axes:
    """Draw what :func:`mixedfx.acf` or :func:`mixedfx.variogram` found.

    Parameters
    ----------
    found : SerialCorrelation
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    panel = one_panel(ax)
    drawn: Axes = SERIAL[found.kind](found, panel)
    return drawn


def _acf(found: SerialCorrelation, panel: Axes) -> Axes:
    from matplotlib.ticker import MaxNLocator

    frame = found.to_frame()
    later = frame.loc[frame.index > 0]
    panel.fill_between(later.index, later["lower"], later["upper"], color=GREY, alpha=0.25, linewidth=0, step="mid")
    panel.vlines(frame.index, 0.0, frame["acf"], color=BLUE, linewidth=1.4)
    panel.plot(frame.index, frame["acf"], "o", color=BLUE, markersize=4.0)
    panel.axhline(0.0, color=GREY, linewidth=0.8)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return label_axes(panel, x="lag", y="autocorrelation", title="Autocorrelation of residuals")


def _variogram(found: SerialCorrelation, panel: Axes) -> Axes:
    frame = found.to_frame()
    sizes = (LARGEST**2 * frame["pairs"] / frame["pairs"].max()).clip(lower=6.0)
    panel.plot(frame["distance"], frame["variogram"], color=GREY, linewidth=0.8)
    panel.scatter(frame["distance"], frame["variogram"], s=sizes, color=BLUE, zorder=2)
    panel.set_ylim(bottom=0.0, top=1.1 * float(frame["variogram"].max()) or 1.0)
    panel.set_xlim(left=0.0)
    return label_axes(panel, x="distance", y="half mean squared difference", title="Variogram of residuals")


SERIAL: dict[str, Callable[[SerialCorrelation, Any], Any]] = {"acf": _acf, "variogram": _variogram}
"""Pictures by kind."""


# ------------------------------------------------------------------ influence
UPRIGHT = 18  # letters of a name that stands upright
MOST_NAMES = 6  # sets that are named
MOST_LABELS = 25  # more sets are drawn in their order, without their names


def influence(found: Influence | MixedResults, *, ax: Axes | None = None) -> Axes:
    """Draw Cook's distances; those above the dashed line stand out, orange and with their names.

    The line is at four divided by the number of sets, a convention, or at 1, where a set moves the fixed effects much.

    Parameters
    ----------
    found : Influence or MixedResults
        Its ``to_frame()`` holds the numbers; of a fit, :func:`mixedfx.influence` of its rows.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    found = found if isinstance(found, Influence) else influence_of(found)
    panel = one_panel(ax)
    distance: AnyArray = found.cooks_distance.to_numpy(dtype=np.float64)
    labels = np.array(level_names(found.labels))
    distance = np.where(np.isfinite(distance), distance, np.nan)
    order = np.arange(distance.size) if distance.size > MOST_LABELS else np.argsort(-distance)
    distance, labels = distance[order], labels[order]
    x, limit = np.arange(distance.size), outstanding(distance.size)
    remarkable = distance > limit
    panel.vlines(x, 0.0, distance, color=np.where(remarkable, ORANGE, BLUE).tolist(), linewidth=1.2)
    for chosen, colour in ((~remarkable, BLUE), (remarkable, ORANGE)):
        panel.plot(x[chosen], distance[chosen], "o", color=colour, markersize=3.5 if distance.size < 100 else 2.0)
    panel.axhline(limit, color=GREY, linestyle="--", linewidth=0.8)
    panel.set_ylim(bottom=0.0, top=1.15 * max(float(np.max(distance, where=np.isfinite(distance), initial=0.0)), limit))
    if distance.size <= MOST_LABELS:
        panel.set_xticks(x, shortened(labels, UPRIGHT), rotation=90)
        literal(*panel.get_xticklabels())
    else:
        panel.set_xticks([])
        _name_largest(panel, distance, labels, remarkable)
    unit = "" if found.name == "row" else f", without each {found.name}"
    return label_axes(panel, x=found.name, y="Cook's distance", title=f"Influence{unit}")


def _name_largest(panel: Axes, distance: AnyArray, labels: AnyArray, which: BoolArray) -> None:
    """Name the largest ones, as long as the names do not run into each other or out of the panel."""
    largest = np.argsort(-distance)[:MOST_NAMES]
    taken: list[Bbox] = []
    for i in largest[which[largest]]:
        for side in ("center", "left", "right"):
            place = (i, distance[i] + 0.02 * distance[largest[0]])
            name = panel.text(*place, short(labels[i]), ha=side, fontsize="x-small", parse_math=False)
            box, frame = name.get_window_extent(), panel.get_window_extent()
            if not any(box.overlaps(other) for other in taken) and frame.x0 <= box.x0 and box.x1 <= frame.x1:
                taken.append(box)
                break
            name.remove()


# ------------------------------------------------------------------ one page
def dashboard(fit: Any) -> Any:
    """Draw residuals, their spread and quantiles, random effects, influence and dispersion on one page.

    Under each picture stands what :func:`mixedfx.check` says of it, and what to do about it.

    Parameters
    ----------
    fit : MixedResults or Check
        What :func:`mixedfx.check` found, whose ``panels()`` holds the lines; a fit is checked.

    Returns
    -------
    array of matplotlib Axes
    """
    from matplotlib import pyplot as plt

    found = fit if isinstance(fit, Check) else check(fit)
    model, scaled = found.fit, found.residuals
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 7.8))
    figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.08)
    residuals(model, ax=axes[0, 0])
    scale_location(model, ax=axes[0, 1])
    qq(scaled, ax=axes[0, 2]).set_title("Quantiles: simulated residuals", fontsize="medium")
    _random_effects(model, axes[1, 0])
    if found.influence is not None:
        influence(found.influence, ax=axes[1, 1])
    elif found.last_but_one == "zeros":
        _histogram(axes[1, 1], scaled.drawn_zeros, scaled.zeros, "number of zeros", "Zeros")
    else:
        outside = int(scaled.outside.sum())
        _histogram(axes[1, 1], scaled.drawn_outside, outside, "rows beyond all draws", "Outliers")
    _histogram(
        axes[1, 2],
        scaled.drawn_spread,
        scaled.spread,
        "mean squared distance",
        "Spread of data and of draws",
    )
    for panel, line in zip(axes.flat, found.panels()["line"], strict=True):
        _line_below(panel, line)
    return axes


LINE = 44  # letters that fit under a panel of the page


def _line_below(panel: Axes, line: str) -> None:
    """Write a line under the name of the x axis, broken to the width of the panel."""
    text = "\n".join(wrap(line.replace(" = ", "\u00a0=\u00a0"), LINE))
    panel.annotate(
        text,
        xy=(0.5, 0.0),
        xycoords=panel.xaxis.label if panel.axison else panel.transAxes,
        xytext=(0, -6),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize="small",
        color=ink(),
        parse_math=False,
        annotation_clip=False,
    )


def _random_effects(fit: Any, panel: Any) -> None:
    """Quantiles of the first effect that has a variance; words where none has."""
    frame = standardized_effects(fit).dropna()
    if frame.empty:
        words = "no random effect has a variance" if fit.design.random else "no random effects"
        panel.text(0.5, 0.5, words, ha="center", transform=panel.transAxes)
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
    label_axes(panel, x=name, title=title)
    panel.spines["left"].set_visible(False)
    panel.axhline(0.0, color=GREY, linewidth=0.8)
