"""What a predictor does to the response, with the data."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_flag, checked_mapping, checked_name
from mixedfx._typing import BoolArray
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.matrices.encoder import Variable, read_variable
from mixedfx.matrices.frame import FrameRows
from mixedfx.plots.look import (
    GREY,
    MARKERS,
    PALETTE,
    label_axes,
    legend_beside,
    name_levels,
    one_panel,
    paper,
    point_size,
)
from mixedfx.results.base import MixedResults
from mixedfx.results.settings import success_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["effect", "effect_frame"]

FINE = 61  # points of a line
QUANTILES = (0.1, 0.5, 0.9)  # of a numeric by: a line for each
JITTER = 0.12
YES_OR_NO = 0.02  # jitter of responses of 0 and 1
TITLE_WIDTH = 64  # letters of a line
WIDTH, HEIGHT = 3.4, 3.6  # inches of one panel of several


def effect_frame(
    fit: Any, x: str, by: str | None = None, *, at: Mapping[str, Any] | None = None, alpha: float = 0.05
) -> pd.DataFrame:
    """Return the numbers behind :func:`effect`.

    Parameters
    ----------
    fit : MixedResults
    x : str
        A variable of the fixed effects.
    by : str, optional
        A second one: a line (or a set of points) for each of its levels, for three quantiles if it is numeric.
    at : dict, optional
        Values of other variables, those of an offset among them; means of numeric ones and the commonest level of
        factors if omitted. An offset that was given as an array stands at its mean.
    alpha : float
        One minus the level of the intervals.

    Returns
    -------
    DataFrame
        Columns ``x, by`` (if asked for), ``mean, lower, upper``: without random effects, on the scale of the response.
    """
    variables = _variables(mixed_results(fit, "effect"))
    fixed = checked_mapping("at", at, "{'x': 1.0}")
    for name in (checked_name("x", x), *([] if by is None else [checked_name("by", by)]), *fixed):
        if name not in variables:
            known = ", ".join(map(repr, variables)) or "none"
            raise SpecificationError(f"{name!r} is not a variable of the fixed effects or offset; they have {known}")
    values = {name: [_usual(variable)] for name, variable in variables.items()}
    values |= {name: [value] for name, value in fixed.items()}
    values[x] = _spread(variables[x], FINE)
    if by is not None:
        values[by] = _spread(variables[by], len(QUANTILES))
    order = [x] if by is None else [by, x]
    grid = pd.MultiIndex.from_product([values[name] for name in order], names=order).to_frame(index=False)
    for name, value in values.items():
        if name not in order:
            grid[name] = value * len(grid)
    offsets = fit.design.offsets.given
    offset = None if offsets is None else np.full(len(grid), offsets.mean())
    prediction = fit.get_prediction(grid, random=False, offset=offset).summary_frame(alpha)
    out = pd.DataFrame({"x": grid[x].to_numpy()})
    if by is not None:
        out["by"] = grid[by].to_numpy()
    out[["mean", "lower", "upper"]] = prediction[["mean", "mean_ci_lower", "mean_ci_upper"]].to_numpy()
    return out


def _variables(fit: MixedResults) -> dict[str, Variable]:
    """Return the variables of the fixed effects, of further linear predictors and of the offset."""
    design, variables = fit.design, dict(fit.design.variables)
    names = [name for fixed in fit.solution.components.values() for name in fixed.encoder.variables]
    further = [name for name in dict.fromkeys([*names, *design.offsets.variables]) if name not in variables]
    if further:
        if fit.model.inputs is None:
            raise SpecificationError(
                f"a refit does not keep the columns {', '.join(map(repr, further))}: fit the model to data with the "
                "new response"
            )
        variables |= {name: read_variable(name, FrameRows(fit.model.inputs.frame, design.keep)) for name in further}
    return variables


def _usual(variable: Variable) -> Any:
    if variable.labels is None:
        return variable.mean
    return variable.levels[int(np.argmax(np.bincount(variable.labels.codes)))]


def _spread(variable: Variable, count: int) -> list[Any]:
    if variable.is_factor:
        return list(variable.levels)
    if count < FINE and len(variable.levels) <= count:
        return list(variable.levels)
    numbers = np.asarray(variable.numbers)
    values = np.linspace(numbers.min(), numbers.max(), count) if count == FINE else np.quantile(numbers, QUANTILES)
    return [float(value) for value in values]


def effect(
    fit: Any,
    x: str,
    by: str | None = None,
    *,
    panels: str | None = None,
    at: Mapping[str, Any] | None = None,
    alpha: float = 0.05,
    data: bool = True,
    ax: Axes | None = None,
) -> Any:
    """Draw the expected response along a variable, with intervals and the data.

    Parameters
    ----------
    fit, x, by, at, alpha
        As for :func:`effect_frame`.
    panels : str, optional
        A third variable: a panel for each of its levels, for three quantiles if it is numeric. Each has the responses
        of its level, or of the rows that are nearest to its quantile.
    data : bool
        Whether the responses are drawn as well.
    ax : matplotlib Axes, optional
        Of a picture without panels.

    Returns
    -------
    matplotlib Axes
        A list of them if there are panels.

    Raises
    ------
    SpecificationError
        If a name is no variable of the fixed effects, or comes twice, or ``ax`` is given for several panels.

    Notes
    -----
    The title says where the other predictors stand: at their mean, or at the commonest level of a factor.
    """
    results = mixed_results(fit, "effect")
    with_rows = checked_flag("data", data) and results.design.represented is None  # sums over rows have no points
    if panels is None:
        return _panel(results, x, by, at, alpha, with_rows, ax)
    if ax is not None:
        raise SpecificationError("a picture with panels= makes its own Axes: leave ax out")
    if checked_name("panels", panels) in (x, by):
        raise SpecificationError(f"{panels!r} stands for two of x, by and panels: take another variable")
    effect_frame(results, panels)  # refuses what is no variable
    from matplotlib import pyplot as plt

    variable = _variables(results)[panels]
    levels = _spread(variable, len(QUANTILES))
    _, drawn = plt.subplots(
        1, len(levels), sharey=True, squeeze=False, figsize=(WIDTH * len(levels), HEIGHT), layout="constrained"
    )
    for panel, level in zip(drawn[0], levels, strict=True):
        is_last = panel is drawn[0][-1]
        fixed = {**(at or {}), panels: level}
        _panel(results, x, by, fixed, alpha, with_rows, panel, _rows_of(variable, level, levels), legend=is_last)
        panel.set_title(f"{panels} = {_shown(level)}", fontsize="medium")
        if panel is not drawn[0][0]:
            panel.set_ylabel("")
    return list(drawn[0])


def _rows_of(variable: Variable, level: Any, levels: list[Any]) -> BoolArray:
    """The rows of a level, or those that are nearer to it than to the other values."""
    if variable.labels is not None:
        return np.asarray(variable.labels.codes == variable.levels.index(level))
    apart = np.abs(np.asarray(variable.numbers)[:, None] - np.asarray(levels, dtype=float))
    return np.asarray(apart.argmin(axis=1) == levels.index(level))


def _panel(
    fit: MixedResults,
    x: str,
    by: str | None,
    at: Mapping[str, Any] | None,
    alpha: float,
    with_rows: bool,
    ax: Axes | None,
    shown_rows: BoolArray | None = None,
    *,
    legend: bool = True,
) -> Axes:
    frame = effect_frame(fit, x, by, at=at, alpha=alpha)
    panel = one_panel(ax)
    variables = _variables(fit)
    mask = np.ones(fit.design.n_rows, dtype=bool) if shown_rows is None else shown_rows
    groups = [None] if by is None else list(dict.fromkeys(frame["by"]))
    for k, level in enumerate(groups):
        rows = frame if by is None else frame[frame["by"] == level]
        colour, marker = PALETTE[k % len(PALETTE)], MARKERS[k % len(MARKERS)]
        label = None if by is None else f"{level:.3g}" if isinstance(level, float) else str(level)
        if with_rows:
            line = None if by is None else (variables[by], level)
            _responses(panel, fit, variables[x], line, colour, k, len(groups), mask)
        if variables[x].is_factor:
            shift = _shift(k, len(groups))
            places = np.arange(len(rows)) + shift
            panel.vlines(places, rows["lower"], rows["upper"], color=colour, linewidth=2.2)
            panel.plot(places, rows["mean"], marker, color=colour, markersize=7, markeredgecolor=paper(), label=label)
        else:
            panel.fill_between(
                rows["x"].astype(float), rows["lower"], rows["upper"], color=colour, alpha=0.2, linewidth=0
            )
            panel.plot(rows["x"].astype(float), rows["mean"], color=colour, linewidth=2.0, label=label)
    if variables[x].is_factor:
        name_levels(panel, variables[x].levels)
    if by is not None and legend:
        legend_beside(panel, by)
    categories = ordered_categories(fit)
    if categories:  # the mean of their numbers
        panel.set_yticks(1.0 + np.arange(len(categories)), list(map(str, categories)))
    others = [name for name in variables if name not in (x, by)]
    settings = ", ".join(f"{name} = {_shown((at or {}).get(name, _usual(variables[name])))}" for name in others)
    label_axes(panel, x=x, y=response_label(fit))
    panel.set_title(fill(f"at {settings}", TITLE_WIDTH) if settings else "", fontsize="small")
    return panel


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def ordered_categories(fit: MixedResults) -> tuple[Any, ...]:
    """Return the categories of an ordinal response; none of another one."""
    return tuple(fit.design.response.categories or ()) if fit.solution.family.has_categories else ()


def response_label(fit: MixedResults) -> str:
    """Return what the axis of the response is called: a probability is one of something."""
    if fit.solution.family.proportions:
        counts = fit.design.response.trials is not None
        return f"{'proportion' if counts else 'probability'} of {success_of(fit)}"
    name = str(fit.model.endog_names)
    return f"mean category of {name}" if ordered_categories(fit) else name


def _shift(k: int, count: int) -> float:
    return 0.0 if count == 1 else 0.5 * (k / (count - 1) - 0.5)


def _responses(
    panel: Axes,
    fit: MixedResults,
    variable: Variable,
    by: tuple[Variable, Any] | None,
    colour: str,
    k: int,
    count: int,
    mask: BoolArray,
) -> None:
    """Draw the responses of the rows that belong to one line; all rows once if the lines are values of a number."""
    y = fit.design.response.values
    if np.isin(y, (0.0, 1.0)).all():  # points of the same two heights would hide each other
        y = y + np.random.default_rng(1).uniform(-YES_OR_NO, YES_OR_NO, size=len(y))
    rows = mask
    if by is not None and by[0].labels is not None:
        rows = mask & (by[0].labels.codes == by[0].levels.index(by[1]))
    elif by is not None and k > 0:
        return
    if variable.labels is None:
        x = np.asarray(variable.numbers)[rows]
    else:
        noise = np.random.default_rng(0).uniform(-JITTER, JITTER, size=int(rows.sum()))
        shift = 0.0 if by is not None and by[0].labels is None else _shift(k, count)
        x = variable.labels.codes[rows] + shift + noise / count
    shown = GREY if by is not None and by[0].labels is None else colour
    size = 0.8 * point_size(len(y))
    panel.plot(x, y[rows], "o", color=shown, markersize=size, alpha=0.35, markeredgewidth=0, zorder=0)
