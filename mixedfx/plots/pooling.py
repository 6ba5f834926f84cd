"""Complete, no and partial pooling: shrinkage arrows, and panels of groups with the three lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_names
from mixedfx._typing import Array
from mixedfx.diagnostics.checks import independent_results
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import RandomEffects
from mixedfx.plots.look import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    ink,
    label_axes,
    legend_beside,
    level_names,
    one_panel,
    paper,
    point_size,
    short,
)
from mixedfx.results.effects import spelled_as
from mixedfx.results.linear import LinearMixedResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.diagnostics.pooling import Pooling

__all__ = ["group_panels", "group_panels_frame", "pooling_panels", "shrinkage", "shrinkage_frame"]

SPAN = 1e-8  # relative size of a singular value below which a level cannot be fitted by itself
ELLIPSES = (1.0, 2.0)  # standard deviations of the random effects
MOST_PANELS = 12
PANEL_LETTERS = 24  # of a line of a panel's title
LINES = {"complete": (GREY, "--"), "no": (ORANGE, ":"), "partial": (BLUE, "-")}


# ------------------------------------------------------------------ estimates
def _term(fit: LinearMixedResults, group: str | None) -> RandomEffects:
    terms = {term.group: term for term in reversed(fit.design.grouped)}
    if not terms:
        raise SpecificationError("the model has no random effects to draw")
    name = fit.design.grouped[0].group if group is None else group
    if not isinstance(name, str) or name not in terms:
        raise SpecificationError(f"there is no grouping factor {name!r}; choose from {', '.join(map(repr, terms))}")
    return terms[name]


def _own_estimates(fit: LinearMixedResults, term: RandomEffects) -> Array:
    """Least squares within every level (m, q), given the other fixed effects; nan where a level has too few rows."""
    names = list(fit.params.index)
    others = [i for i, name in enumerate(names) if spelled_as(name, term.names) not in term.names]
    y = fit.design.response.values if fit.design.offset is None else fit.design.response.values - fit.design.offset
    partial_response = y - fit.design.fixed.matrix[:, others] @ fit.params.to_numpy()[others]
    weights = np.ones(len(y)) if fit.design.weights is None else fit.design.weights
    q, m = term.n_columns, term.n_levels
    gram, side = np.empty((m, q, q)), np.empty((m, q))
    for a in range(q):
        side[:, a] = np.bincount(term.codes, weights=weights * term.matrix[:, a] * partial_response, minlength=m)
        for b in range(q):
            product = weights * term.matrix[:, a] * term.matrix[:, b]
            gram[:, a, b] = np.bincount(term.codes, weights=product, minlength=m)
    values = np.linalg.eigvalsh(gram)
    fitted = values[:, 0] > SPAN * values[:, -1]
    out = np.full((m, q), np.nan)
    out[fitted] = np.linalg.solve(gram[fitted], side[fitted][..., None])[..., 0]
    return out


def shrinkage_frame(fit: Any, group: str | None = None) -> pd.DataFrame:
    """Return the numbers behind :func:`shrinkage`.

    Parameters
    ----------
    fit : LinearMixedResults
    group : str, optional
        A grouping factor; the first one if omitted.

    Returns
    -------
    DataFrame
        Columns ``level, n, term, no, partial, complete``: estimates from the level alone (the other fixed effects
        given), from the model, and the fixed effect; nan where a level alone does not suffice.
    """
    results = independent_results(fit, "shrinkage")
    term = _term(results, group)
    alone, partial = _own_estimates(results, term), results.coefficients[term.group]
    counts = np.bincount(term.codes, minlength=term.n_levels)
    labels = level_names(term.levels)
    tables = [
        pd.DataFrame(
            {
                "level": labels,
                "n": counts,
                "term": name,
                "no": alone[:, k],
                "partial": partial[spelled_as(name, partial.columns)].to_numpy(),
                "complete": float(results.params.get(spelled_as(name, results.params.index), 0.0)),
            }
        )
        for k, name in enumerate(term.names)
    ]
    return pd.concat(tables, ignore_index=True)


# ------------------------------------------------------------------ arrows
def shrinkage(
    fit: Any, group: str | None = None, *, terms: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw arrows from the estimate of every level by itself to that of the model.

    Parameters
    ----------
    fit : LinearMixedResults
    group : str, optional
        A grouping factor; the first one if omitted.
    terms : two names, optional
        Coefficients on the axes; the first two if omitted. With one coefficient the levels stand side by side.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    results = independent_results(fit, "shrinkage")
    term = _term(results, group)
    frame = shrinkage_frame(results, term.group)
    chosen = list(term.names[:2]) if terms is None else list(checked_names("terms", terms))
    if not 1 <= len(chosen) <= 2:
        raise SpecificationError(f"terms are one or two of {', '.join(term.names)}; found {terms!r}")
    unknown = [name for name in chosen if name not in term.names]
    if unknown:
        raise SpecificationError(f"{term.group} has no random effect {unknown[0]!r}; it has {', '.join(term.names)}")
    if len(chosen) == 1:
        return _dumbbells(one_panel(ax), frame[frame["term"] == chosen[0]], term.group)
    panel = one_panel(ax, (5.4, 4.4))
    first, second = (frame[frame["term"] == name].reset_index(drop=True) for name in chosen[:2])
    _ellipses(panel, results, term, chosen[:2])
    panel.quiver(
        first["no"],
        second["no"],
        first["partial"] - first["no"],
        second["partial"] - second["no"],
        angles="xy",
        scale_units="xy",
        scale=1.0,
        color=GREY,
        width=0.003,
        zorder=1,
    )
    size = 1.3 * point_size(len(first))
    hollow: dict[str, Any] = {"color": ORANGE, "markerfacecolor": paper(), "markersize": size}
    panel.plot(first["no"], second["no"], "o", label="no pooling", **hollow)
    panel.plot(first["partial"], second["partial"], "o", color=BLUE, markersize=size, label="partial pooling")
    centre = (first["complete"].iloc[0], second["complete"].iloc[0])
    panel.plot(*centre, "P", color=ink(), markersize=8, label="fixed effects", zorder=4)
    legend_beside(panel)
    return label_axes(panel, x=chosen[0], y=chosen[1], title=f"Shrinkage by {term.group}")


def _ellipses(panel: Axes, fit: LinearMixedResults, term: RandomEffects, names: Sequence[str]) -> None:
    """Where one and two standard deviations of the random effects lie, those of one name in several terms together."""
    covariances = fit.varcorr.covariances[term.group]
    picked = np.array([covariances.index == name for name in names], dtype=float)
    covariance = picked @ covariances.to_numpy() @ picked.T
    values, vectors = np.linalg.eigh(covariance)
    angle = np.linspace(0.0, 2.0 * np.pi, 181)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    curve = vectors @ (np.sqrt(np.maximum(values, 0.0))[:, None] * circle)
    centre = [float(fit.params.get(spelled_as(name, fit.params.index), 0.0)) for name in names]
    for radius in ELLIPSES:
        panel.plot(centre[0] + radius * curve[0], centre[1] + radius * curve[1], color=GREEN, linewidth=0.8, zorder=0)


def _dumbbells(panel: Axes, frame: pd.DataFrame, group: str) -> Axes:
    rows = frame.sort_values("partial").reset_index(drop=True)
    x = np.arange(len(rows))
    if np.ptp(rows["complete"]) == 0:
        panel.axhline(rows["complete"].iloc[0], color=GREY, linestyle="--", linewidth=0.9, label="complete pooling")
    else:
        panel.plot(x, rows["complete"], "_", color=GREY, markersize=9, label="complete pooling")
    panel.vlines(x, rows["no"], rows["partial"], color=GREY, linewidth=1.0)
    size = point_size(len(rows))
    panel.plot(x, rows["no"], "o", color=ORANGE, markerfacecolor=paper(), markersize=size, label="no pooling")
    panel.plot(x, rows["partial"], "o", color=BLUE, markersize=size, label="partial pooling")
    few = len(rows) <= 30
    panel.set_xticks(x if few else [], [short(level) for level in rows["level"]] if few else [], rotation=90)
    legend_beside(panel)
    return label_axes(panel, x=group, y=str(rows["term"].iloc[0]), title=f"Shrinkage by {group}")


# ------------------------------------------------------------------ panels
def group_panels_frame(
    fit: Any, x: str, group: str | None = None, *, levels: Sequence[Any] | None = None
) -> pd.DataFrame:
    """Return the lines behind :func:`group_panels`.

    Parameters
    ----------
    fit : LinearMixedResults
    x : str
        A column of the fixed effects.
    group : str, optional
        A grouping factor; the first one if omitted.
    levels : sequence, optional
        Levels to draw; the twelve with the most rows at the most if omitted.

    Returns
    -------
    DataFrame
        Columns ``level, pooling, intercept, slope``: ``"complete"`` is the line through all rows, ``"no"`` that through
        the rows of the level, ``"partial"`` the model's (other predictors at their means in the level).
    """
    results = independent_results(fit, "group_panels")
    column = _column(results, x)
    term = _term(results, group)
    y, fitted = results.design.response.values, results.fittedvalues.to_numpy()
    partial_slope = results.coefficients[term.group][x].to_numpy()
    everything = np.zeros(len(y), dtype=np.intp)
    complete = _lines(column, y, everything, 1)
    alone = _lines(column, y, term.codes, term.n_levels)
    counts = np.bincount(term.codes, minlength=term.n_levels)
    mean_x = np.bincount(term.codes, weights=column, minlength=term.n_levels) / counts
    mean_fit = np.bincount(term.codes, weights=fitted, minlength=term.n_levels) / counts
    rows = []
    for k in _chosen_levels(term, counts, levels):
        label = term.levels[k]
        rows.append((label, "complete", *complete[0]))
        rows.append((label, "no", *alone[k]))
        rows.append((label, "partial", mean_fit[k] - partial_slope[k] * mean_x[k], partial_slope[k]))
    return pd.DataFrame(rows, columns=["level", "pooling", "intercept", "slope"])


def _column(fit: LinearMixedResults, x: str) -> Array:
    names = list(fit.params.index)
    if x not in names or x == "Intercept":
        known = ", ".join(repr(name) for name in names if name != "Intercept") or "none"
        raise SpecificationError(f"there is no fixed effect {x!r} to draw against; the model has {known}")
    return np.asarray(fit.design.fixed.matrix[:, names.index(x)])


def _lines(x: Array, y: Array, codes: Any, count: int) -> Array:
    """Intercept and slope (count, 2) of least squares by level; the slope is nan where x does not vary."""
    n = np.bincount(codes, minlength=count)
    mean_x = np.bincount(codes, weights=x, minlength=count) / n
    mean_y = np.bincount(codes, weights=y, minlength=count) / n
    centred = x - mean_x[codes]
    squares = np.bincount(codes, weights=centred**2, minlength=count)
    products = np.bincount(codes, weights=centred * y, minlength=count)
    slope = np.full(count, np.nan)
    np.divide(products, squares, out=slope, where=squares > SPAN * np.maximum(1.0, n * mean_x**2))
    return np.column_stack([mean_y - slope * mean_x, slope])


def _chosen_levels(term: RandomEffects, counts: Any, levels: Sequence[Any] | None) -> list[int]:
    if levels is None:
        return sorted(np.argsort(-counts, kind="stable")[:MOST_PANELS].tolist())
    known = {str(level): k for k, level in enumerate(term.levels)}
    if isinstance(levels, str) or not isinstance(levels, Iterable) or not len(levels := list(levels)):
        raise SpecificationError(f"levels is a list of levels of {term.group}, at least one; found {levels!r}")
    unknown = [level for level in levels if str(level) not in known]
    if unknown:
        raise SpecificationError(f"{term.group} has no level {unknown[0]!r}")
    return [known[str(level)] for level in levels]


def group_panels(
    fit: Any, x: str, group: str | None = None, *, levels: Sequence[Any] | None = None, ax: Any = None
) -> Any:
    """Draw the rows of each level in a panel of its own, with the lines of complete, no and partial pooling.

    Parameters
    ----------
    fit, x, group, levels
        As for :func:`group_panels_frame`.
    ax : array of matplotlib Axes, optional
        One for each level.

    Returns
    -------
    list of matplotlib Axes
    """
    results = independent_results(fit, "group_panels")
    frame = group_panels_frame(results, x, group, levels=levels)
    return _draw_panels(results, _term(results, group), x, frame, ax)


def pooling_panels(
    pooling: Pooling, x: str | None = None, *, levels: Sequence[Any] | None = None, ax: Any = None
) -> Any:
    """Draw the estimates of :func:`mixedfx.pooling`: panels with lines, or levels side by side.

    Parameters
    ----------
    pooling : Pooling
    x : str, optional
        A numeric predictor of the fixed effects; the first that varies within levels if omitted.
    levels : sequence, optional
        Levels to draw; the twelve with the most rows at the most if omitted.
    ax : matplotlib Axes, or an array of them, optional

    Returns
    -------
    list of matplotlib Axes, or Axes
    """
    fit, term = pooling.fit, _term(pooling.fit, pooling.group)
    name = _first_varying(fit, term) if x is None else x
    if name is None:
        frame = pooling.to_frame().reset_index()
        first = frame[frame["term"] == term.names[0]]
        first = first.drop_duplicates(list(first.columns[: first.columns.get_loc("term")]))
        return _dumbbells(one_panel(ax), first.assign(level=level_names(term.levels)), term.group)
    counts = np.bincount(term.codes, minlength=term.n_levels)
    chosen = [term.levels[k] for k in _chosen_levels(term, counts, levels)]
    return _draw_panels(fit, term, name, pooling.lines(name, chosen), ax)


def _first_varying(fit: LinearMixedResults, term: RandomEffects) -> str | None:
    """The first predictor that varies within levels, one whose slope is random if there is one."""
    names = [name for name in fit.params.index if name != "Intercept"]
    for name in sorted(names, key=lambda predictor: predictor not in term.names):
        column = _column(fit, name)
        total = np.bincount(term.codes, weights=column, minlength=term.n_levels)
        mean = total / np.bincount(term.codes, minlength=term.n_levels)
        if not np.allclose(column, mean[term.codes]):
            return str(name)
    return None


def _draw_panels(fit: LinearMixedResults, term: RandomEffects, x: str, frame: pd.DataFrame, ax: Any) -> Any:
    column = _column(fit, x)
    names = list(dict.fromkeys(frame["level"]))
    panels = _grid(len(names), ax)
    ends = np.array([column.min(), column.max()])
    for panel, level in zip(panels, names, strict=True):
        rows = term.codes == list(term.levels).index(level)
        panel.plot(column[rows], fit.design.response.values[rows], "o", color=ink(), markersize=3, alpha=0.6)
        lines = frame.loc[frame["level"] == level, ["pooling", "intercept", "slope"]]
        for pooling, intercept, slope in lines.to_numpy():
            colour, style = LINES[pooling]
            panel.plot(ends, intercept + slope * ends, style, color=colour, linewidth=1.6, label=f"{pooling} pooling")
        _title(panel, *level_names([level]))
    some = f"   ({len(names)} of the {term.n_levels} levels of {term.group})" if len(names) < term.n_levels else ""
    _legend(panels, f"{x}{some}", fit.model.endog_names)
    return panels


def _title(panel: Any, text: str) -> None:
    """Name a panel in the room that it has beside its neighbours."""
    label_axes(panel, title=fill(text, PANEL_LETTERS, max_lines=2, placeholder="…")).title.set_fontsize("small")


def _grid(count: int, axes: Any) -> list[Any]:
    if axes is not None:
        given = list(np.array(axes, dtype=object).ravel())
        if len(given) < count:
            raise SpecificationError(f"{count} levels need as many Axes; found {len(given)}")
        return given[:count]
    from matplotlib import pyplot as plt

    columns = min(count, 4)
    rows = -(-count // columns)
    size = (2.0 * columns + 0.4, 1.8 * rows + 0.7)
    _, grid = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained")
    panels = list(grid.ravel())
    for unused in panels[count:]:
        unused.set_visible(False)
    return panels[:count]


def _legend(panels: Sequence[Any], x: str, y: str) -> None:
    figure = panels[0].figure
    figure.supxlabel(x, fontsize="medium")
    figure.supylabel(y, fontsize="medium")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize="small")
