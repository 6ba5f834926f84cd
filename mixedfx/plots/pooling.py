"""Complete, no and partial pooling: shrinkage arrows, and panels of groups with the three lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_names
from mixedfx._suggestions import meant
from mixedfx._typing import Array
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.diagnostics.level_estimates import estimates_by_level, fit_of_rows
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices import RandomEffects
from mixedfx.plots.effects import response_label, response_shown
from mixedfx.plots.look import BLUE, GREEN, GREY, ORANGE, drawn_ends, ink, one_panel, panel_grid, paper, point_size
from mixedfx.plots.names import label_axes, legend_beside, level_names, name_levels, plain, write_over
from mixedfx.results.effects import spelled_as

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.diagnostics.pooling import Pooling
    from mixedfx.results.base import MixedResults

__all__ = [
    "ELLIPSES",
    "ellipses",
    "group_panels",
    "group_panels_frame",
    "joint_covariance",
    "pooling_panels",
    "shrinkage",
    "shrinkage_frame",
]

ELLIPSES = (1.0, 2.0)  # standard deviations of the random effects
POINTS = 61  # of a curve
ENDLESS = 30.0  # of a linear predictor, for infinite
MOST_PANELS, MOST_BESIDE = 12, 4
PANEL = (2.1, 2.0)  # inches
LINES = {"complete": (GREY, "--"), "no": (ORANGE, ":"), "partial": (BLUE, "-")}


# ------------------------------------------------------------------ estimates
def _term(fit: MixedResults, group: str | None) -> RandomEffects:
    terms = {term.group: term for term in reversed(fit.design.grouped)}
    if not terms:
        raise SpecificationError("the model has no random effects to draw")
    name = fit.design.grouped[0].group if group is None else group
    if not isinstance(name, str) or name not in terms:
        raise SpecificationError(f"there is no grouping factor {name!r}; choose from {', '.join(map(repr, terms))}")
    return terms[name]


def _own_estimates(fit: MixedResults, term: RandomEffects) -> Array:
    """Estimates (m, q) from the rows of each level alone, given the other fixed effects; nan or infinite without."""
    names, design = list(fit.params.index), fit.design
    others = [i for i, name in enumerate(names) if spelled_as(name, term.names) not in term.names]
    offset = design.fixed.matrix[:, others] @ fit.params.to_numpy()[others]
    if design.offset is not None:
        offset = offset + design.offset
    partial = fit.coefficients[term.group]
    start = np.column_stack([partial[spelled_as(name, partial.columns)].to_numpy() for name in term.names])
    what = fit_of_rows(fit, "shrinkage")
    return estimates_by_level(what, term.codes, term.n_levels, term.matrix, offset, start)


def shrinkage_frame(fit: Any, group: str | None = None) -> pd.DataFrame:
    """Return the numbers behind :func:`shrinkage`.

    Parameters
    ----------
    fit : MixedResults
    group : str, optional
        A grouping factor; the first one if omitted.

    Returns
    -------
    DataFrame
        Columns ``level, n, term, no, partial, complete``: estimates from the level alone (the other fixed effects, and
        dispersion or thresholds, given), from the model, and the fixed effect, on the scale of the link. nan where the
        rows of a level do not determine a coefficient, -inf or inf where they have no finite estimate: successes or
        failures only, counts of zero, outcomes that are separated.
    """
    results = mixed_results(fit, "shrinkage")
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
    fit : MixedResults
    group : str, optional
        A grouping factor; the first one if omitted.
    terms : two names, optional
        Coefficients on the axes; the first two if omitted. With one coefficient the levels stand side by side.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Of a generalised model on the scale of its link. Levels whose own estimate is infinite have a triangle at the
        edge, or in the plane of two coefficients no arrow; the title counts them.
    """
    results = mixed_results(fit, "shrinkage")
    term = _term(results, group)
    frame = shrinkage_frame(results, term.group)
    chosen = list(term.names[:2]) if terms is None else list(checked_names("terms", terms))
    if not 1 <= len(chosen) <= 2:
        raise SpecificationError(f"terms are one or two of {', '.join(term.names)}; found {terms!r}")
    unknown = [name for name in chosen if name not in term.names]
    if unknown:
        raise SpecificationError(f"{term.group} has no random effect {unknown[0]!r}; it has {', '.join(term.names)}")
    scale = _scale_of(results)
    if len(chosen) == 1:
        return _dumbbells(one_panel(ax), frame[frame["term"] == chosen[0]], term.group, scale)
    panel = one_panel(ax, (5.4, 4.4))
    first, second = (frame[frame["term"] == name].reset_index(drop=True) for name in chosen[:2])
    fixed = [float(results.params.get(spelled_as(name, results.params.index), 0.0)) for name in chosen]
    ellipses(panel, joint_covariance(results, term.group, chosen), fixed)
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
    lost = int((~np.isfinite(first["no"]) | ~np.isfinite(second["no"])).sum())
    title = _shrinkage_title(term.group, lost, len(first))
    return label_axes(panel, x=f"{chosen[0]}{scale}", y=f"{chosen[1]}{scale}", title=title)


def _scale_of(fit: MixedResults) -> str:
    """What is added to the name of a coefficient: the scale of a link that is not the identity."""
    link = fit.solution.link.name
    return "" if link == "identity" else f" ({link})"


def _shrinkage_title(group: str, lost: int, count: int) -> str:
    said = f"\n{lost} of {count} levels without a finite estimate of their own" if lost else ""
    return f"Shrinkage by {group}{said}"


def joint_covariance(fit: MixedResults, group: str, names: Sequence[str]) -> Array:
    """Return the covariance (k, k) of the random effects of some names, those of one name in several terms together."""
    covariances = fit.varcorr.covariances[group]
    picked = np.array([covariances.index == name for name in names], dtype=float)
    return np.asarray(picked @ covariances.to_numpy() @ picked.T)


def ellipses(panel: Axes, covariance: Array, centre: Sequence[float]) -> None:
    """Draw where one and two standard deviations of a covariance (2, 2) lie around a centre."""
    values, vectors = np.linalg.eigh(covariance)
    angle = np.linspace(0.0, 2.0 * np.pi, 181)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    curve = vectors @ (np.sqrt(np.maximum(values, 0.0))[:, None] * circle)
    for radius in ELLIPSES:
        panel.plot(centre[0] + radius * curve[0], centre[1] + radius * curve[1], color=GREEN, linewidth=0.8, zorder=0)


def _dumbbells(panel: Axes, frame: pd.DataFrame, group: str, scale: str = "") -> Axes:
    rows = frame.sort_values("partial").reset_index(drop=True)
    x, no = np.arange(len(rows)), rows["no"].to_numpy()
    if np.ptp(rows["complete"]) == 0:
        panel.axhline(rows["complete"].iloc[0], color=GREY, linestyle="--", linewidth=0.9, label="complete pooling")
    else:
        panel.plot(x, rows["complete"], "_", color=GREY, markersize=9, label="complete pooling")
    shown = drawn_ends(no, np.concatenate([no, rows["partial"], rows["complete"]]))
    panel.vlines(x, shown, rows["partial"], color=GREY, linewidth=1.0)
    size = point_size(len(rows))
    hollow: dict[str, Any] = {"color": ORANGE, "markerfacecolor": paper(), "markersize": size, "linestyle": ""}
    panel.plot(x, np.where(np.isfinite(no), no, np.nan), marker="o", label="no pooling", **hollow)
    for sign, marker in ((-1, "v"), (1, "^")):
        at = no == sign * np.inf
        if at.any():
            panel.plot(
                x[at], shown[at], marker=marker, label=f"no pooling: {'-' if sign < 0 else ''}infinite", **hollow
            )
    panel.plot(x, rows["partial"], "o", color=BLUE, markersize=size, label="partial pooling")
    few = len(rows) <= 30
    name_levels(panel, list(rows["level"])) if few else panel.set_xticks([])
    legend_beside(panel)
    title = _shrinkage_title(group, int((~np.isfinite(no)).sum()), len(no))
    return label_axes(panel, x=group, y=f"{rows['term'].iloc[0]}{scale}", title=title)


# ------------------------------------------------------------------ panels
def group_panels_frame(
    fit: Any, x: str, group: str | None = None, *, levels: Sequence[Any] | None = None
) -> pd.DataFrame:
    """Return the lines behind :func:`group_panels`.

    Parameters
    ----------
    fit : MixedResults
    x : str
        A column of the fixed effects.
    group : str, optional
        A grouping factor; the first one if omitted.
    levels : sequence, optional
        Levels to draw; the twelve with the most rows at the most if omitted.

    Returns
    -------
    DataFrame
        Columns ``level, pooling, intercept, slope``, of the linear predictor: ``"complete"`` is the regression on x of
        all rows, ``"no"`` that of the rows of the level, ``"partial"`` the model's (other predictors at their means in
        the level). All are at the level's mean offset, with the family, weights, dispersion and residual structure of
        the model. nan and infinities as for :func:`shrinkage_frame`.
    """
    results = mixed_results(fit, "group_panels")
    if results.solution.family.has_categories:
        raise SpecificationError(
            "group_panels draws means along x, and the categories of an ordinal response have none: plots.effect draws "
            "their shares, plots.shrinkage the levels"
        )
    x = _spelled(results, x)
    column = _column(results, x)
    term = _term(results, group)
    solution = fit_of_rows(results, "group_panels")
    eta = results.predict(which="linear").to_numpy()
    offset = np.zeros(len(eta)) if results.design.offset is None else results.design.offset
    slope = results.coefficients[term.group][x].to_numpy()
    counts = np.bincount(term.codes, minlength=term.n_levels)
    mean_x, mean_eta, mean_offset = (
        np.bincount(term.codes, weights=v, minlength=term.n_levels) / counts for v in (column, eta, offset)
    )
    partial = np.column_stack([mean_eta - slope * mean_x, slope])
    start = partial - np.column_stack([mean_offset, np.zeros(term.n_levels)])
    Z = np.column_stack([np.ones(len(eta)), column])
    alone = estimates_by_level(solution, term.codes, term.n_levels, Z, offset, start)
    together = np.zeros(len(eta), dtype=np.intp)
    complete = estimates_by_level(solution, together, 1, Z, offset, np.average(start, axis=0, weights=counts)[None])
    rows = []
    for k in _chosen_levels(term, counts, levels):
        lines = {"complete": complete[0], "no": alone[k], "partial": partial[k]}
        for pooling, (intercept, own) in lines.items():
            at_offset = 0.0 if pooling == "partial" else mean_offset[k]
            rows.append((term.levels[k], pooling, intercept + at_offset, own))
    return pd.DataFrame(rows, columns=["level", "pooling", "intercept", "slope"])


def _spelled(fit: MixedResults, x: Any) -> Any:
    """A coefficient, which may stand in back-quotes as in a formula."""
    return plain(x) if x not in fit.params.index else x


def _column(fit: MixedResults, x: str) -> Array:
    names = list(fit.params.index)
    if x not in names or x == "Intercept":
        known = ", ".join(repr(name) for name in names if name != "Intercept") or "none"
        advice = meant(x, names) or f"the model has {known}"
        raise SpecificationError(f"there is no fixed effect {x!r} to draw against; {advice}")
    return np.asarray(fit.design.fixed.matrix[:, names.index(x)])


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
        Of a generalised model on the scale of the response, where the lines are curves. Where x does not vary in a
        level, a diamond stands for its line of no pooling; where the level's own line is not finite, its panel says so.
    """
    results = mixed_results(fit, "group_panels")
    frame = group_panels_frame(results, x, group, levels=levels)
    return _draw_panels(results, _term(results, group), _spelled(results, x), frame, ax)


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
        first = first.assign(level=level_names(term.levels))
        return _dumbbells(one_panel(ax), first, term.group, _scale_of(fit))
    counts = np.bincount(term.codes, minlength=term.n_levels)
    chosen = [term.levels[k] for k in _chosen_levels(term, counts, levels)]
    return _draw_panels(fit, term, name, pooling.lines(name, chosen), ax)


def _first_varying(fit: MixedResults, term: RandomEffects) -> str | None:
    """The first predictor that varies within levels, one whose slope is random if there is one."""
    names = [name for name in fit.params.index if name != "Intercept"]
    for name in sorted(names, key=lambda predictor: predictor not in term.names):
        column = _column(fit, name)
        total = np.bincount(term.codes, weights=column, minlength=term.n_levels)
        mean = total / np.bincount(term.codes, minlength=term.n_levels)
        if not np.allclose(column, mean[term.codes]):
            return str(name)
    return None


def _draw_panels(fit: MixedResults, term: RandomEffects, x: str, frame: pd.DataFrame, ax: Any) -> Any:
    column, response = _column(fit, x), response_shown(fit)
    names = list(dict.fromkeys(frame["level"]))
    panels = _grid(len(names), ax)
    grid = np.linspace(column.min(), column.max(), 2 if fit.solution.response.mean_is_linear else POINTS)
    labels = list(term.levels)
    for panel, level in zip(panels, names, strict=True):
        rows = term.codes == labels.index(level)
        panel.plot(column[rows], response[rows], "o", color=ink(), markersize=3, alpha=0.6)
        lines = frame.loc[frame["level"] == level, ["pooling", "intercept", "slope"]]
        for pooling, intercept, slope in lines.to_numpy():
            colour, style = LINES[pooling]
            height = _mean_along(fit, rows, _straight(grid, intercept, slope))
            panel.plot(grid, height, style, color=colour, linewidth=1.6, label=f"{pooling} pooling")
            if np.isnan(height).any():
                _unknown_line(panel, column[rows], fit.design.response.values[rows], colour)
        _title(panel, *level_names([level]))
    some = f"   ({len(names)} of the {term.n_levels} levels of {term.group})" if len(names) < term.n_levels else ""
    _legend(panels, f"{x}{some}", response_label(fit))
    return panels


def _straight(x: Array, intercept: float, slope: float) -> Array:
    """The linear predictor along x: endless everywhere if the intercept is and there is no slope to it."""
    if np.isinf(intercept) and np.isnan(slope):
        return np.full(x.size, np.sign(intercept) * ENDLESS)
    return np.asarray(intercept + slope * x if np.isfinite(slope) else np.full(x.size, np.nan))


def _mean_along(fit: MixedResults, rows: Array, eta: Array) -> Array:
    """The mean of the response at values of the linear predictor, further predictors at their means in some rows."""
    response = fit.solution.response
    further = {name: np.repeat(X[rows].mean(axis=0)[None], eta.size, axis=0) for name, X in response.matrices.items()}
    with np.errstate(all="ignore"):  # nan where there is no line
        return np.asarray(response.mean(response.predictors(eta, further)), dtype=float)


def _unknown_line(panel: Axes, x: Array, y: Array, colour: str) -> None:
    """Say what a level without a line of its own has: a mean at its one x, or outcomes that are separated."""
    if np.ptp(x) == 0:
        panel.plot(x[:1], [y.mean()], "D", color=colour, markerfacecolor=paper(), markersize=6, zorder=3)
        return
    panel.text(
        0.5, 0.5, "no finite\nline of its own", transform=panel.transAxes, color=colour, ha="center", va="center"
    )


def _title(panel: Any, text: str) -> None:
    """Name a panel in the room that it has beside its neighbours."""
    label_axes(panel, title=text, small=True)


def _grid(count: int, axes: Any) -> list[Any]:
    if axes is not None:
        given = list(np.array(axes, dtype=object).ravel())
        if len(given) < count:
            raise SpecificationError(f"{count} levels need as many Axes; found {len(given)}")
        return given[:count]
    return panel_grid(count, MOST_BESIDE, PANEL, sharex=True, sharey=True)


def _legend(panels: Sequence[Any], x: str, y: str) -> None:
    figure = panels[0].figure
    write_over(figure.supxlabel("", fontsize="medium"), x)
    write_over(figure.supylabel("", fontsize="medium"), y)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize="small")
