"""What a predictor does to the response, with the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_flag, checked_mapping, checked_name
from mixedfx._display.names import shortened
from mixedfx._typing import Array, BoolArray
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.labels import shown_levels
from mixedfx.matrices.encoder import Variable, read_variable
from mixedfx.matrices.frame import FrameRows
from mixedfx.plots.look import MARKERS, PALETTE, draw_intervals, drawn_ends, one_panel, panel_grid, paper, point_size
from mixedfx.plots.names import MOST_LINES, entry, label_axes, legend_beside, name_levels, name_rows, plain, write_over
from mixedfx.results.base import MixedResults
from mixedfx.results.settings import success_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["effect", "effect_frame"]

FINE = 61  # points of a line
QUANTILES = (0.1, 0.5, 0.9)  # of a numeric by: a line for each
JITTER = 0.12
YES_OR_NO = 0.02  # jitter of responses of 0 and 1
CATEGORY = 18  # letters of a line beside the axis
MOST_BESIDE = 4  # panels in a row
PANEL, SMALL_PANEL = (3.0, 3.6), (2.8, 2.6)  # inches of one panel of a row, and of several rows
LEGEND = 1.3  # inches
TITLE = 30  # letters of a line


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
    x, by, fixed = plain(checked_name("x", x)), _asked("by", by), _held(at)
    for name in (x, *([] if by is None else [by]), *fixed):
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


def _asked(argument: str, name: Any) -> Any:
    """Return the name of a variable, which may stand in back-quotes as in a formula."""
    return name if name is None else plain(checked_name(argument, name))


def _held(at: Any) -> dict[str, Any]:
    return {plain(name): value for name, value in checked_mapping("at", at, "{'x': 1.0}").items()}


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
    return list(dict.fromkeys(map(float, values)))  # a value that many rows have is several quantiles


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
        Whether the responses are drawn as well, in the colour of their level of ``by`` or of the nearest quantile.
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
    x, by, panels, at = plain(checked_name("x", x)), _asked("by", by), _asked("panels", panels), _held(at)
    with_rows = checked_flag("data", data) and results.design.represented is None  # sums over rows have no points
    if panels is None:
        return _panel(results, x, by, at, alpha, with_rows, ax)
    if ax is not None:
        raise SpecificationError("a picture with panels= makes its own Axes: leave ax out")
    if panels in (x, by):
        raise SpecificationError(f"{panels!r} stands for two of x, by and panels: take another variable")
    effect_frame(results, panels)  # refuses what is no variable
    variable = _variables(results)[panels]
    levels = _spread(variable, len(QUANTILES))
    size, legend = PANEL if len(levels) <= MOST_BESIDE else SMALL_PANEL, 0.0 if by is None else LEGEND
    drawn = panel_grid(len(levels), MOST_BESIDE, size, beside=legend, sharey=True)
    for k, (panel, level) in enumerate(zip(drawn, levels, strict=True)):
        fixed, is_last = {**at, panels: level}, k == min(len(levels), MOST_BESIDE) - 1
        _panel(results, x, by, fixed, alpha, with_rows, panel, _rows_of(variable, level, levels), legend=is_last)
    write_over(drawn[0].figure.suptitle("", fontsize="small"), _settings(results, (x, by, panels), at))
    texts = shortened(_shown(levels), TITLE)
    joined = " = " if len(panels) + max(map(len, texts)) < TITLE else " =\n"
    for k, (panel, shown) in enumerate(zip(drawn, texts, strict=True)):  # what takes room is there
        is_left, is_lowest = k % MOST_BESIDE == 0, k + MOST_BESIDE >= len(levels)
        across, upwards = x if is_lowest else "", response_label(results) if is_left else ""
        label_axes(panel, x=across, y=upwards, title=f"{panels}{joined}{shown}")
    return drawn


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
    known = frame[["lower", "mean", "upper"]].to_numpy(dtype=float).ravel()
    for k, (level, shown) in enumerate(zip(groups, _shown(groups), strict=True)):
        rows = frame if by is None else frame[frame["by"] == level]
        colour, marker = PALETTE[k % len(PALETTE)], MARKERS[k % len(MARKERS)]
        label = None if by is None else entry(shown)
        if with_rows:
            own = mask if by is None else mask & _rows_of(variables[by], level, groups)
            _responses(panel, fit, variables[x], own, colour, _shift(k, len(groups)), len(groups))
            known = np.append(known, panel.get_ylim())
        if variables[x].is_factor:
            shift = _shift(k, len(groups))
            places = np.arange(len(rows)) + shift
            draw_intervals(panel, places, rows, known, color=colour, linewidth=2.2)
            panel.plot(places, rows["mean"], marker, color=colour, markersize=7, markeredgecolor=paper(), label=label)
        else:
            lower, upper = (drawn_ends(rows[end].to_numpy(dtype=float), known) for end in ("lower", "upper"))
            panel.fill_between(rows["x"].astype(float), lower, upper, color=colour, alpha=0.2, linewidth=0)
            panel.plot(rows["x"].astype(float), rows["mean"], color=colour, linewidth=2.0, label=label)
    if variables[x].is_factor:
        name_levels(panel, variables[x].levels)
    categories = ordered_categories(fit)
    if categories:  # the mean of their numbers
        name_rows(panel, 1.0 + np.arange(len(categories)), categories, most=CATEGORY, lines=2)
    if by is not None and legend:
        legend_beside(panel, by)
    return label_axes(
        panel, x=x, y=response_label(fit), title=_settings(fit, (x, by), at), small=True, lines=MOST_LINES
    )


def _settings(fit: MixedResults, drawn: Collection[str | None], at: Mapping[str, Any] | None) -> str:
    """Where the variables stand that are not drawn, in words."""
    others = {name: variable for name, variable in _variables(fit).items() if name not in drawn}
    values = {name: (at or {}).get(name, _usual(variable)) for name, variable in others.items()}
    said = [f"{name} = {_shown([value])[0]}" for name, value in values.items()]
    return f"at {', '.join(said)}" if said else ""


def _shown(values: Sequence[Any]) -> list[str]:
    """Return values as text: numbers with the digits that tell them apart, whole ones without a point."""
    shown = shown_levels(pd.Series(list(values), dtype=object))
    return [str(text).removesuffix(".0") if isinstance(v, float) else str(v) for v, text in zip(values, shown)]


def ordered_categories(fit: MixedResults) -> tuple[Any, ...]:
    """Return the categories of an ordinal response; none of another one."""
    return tuple(fit.design.response.categories or ()) if fit.solution.family.has_categories else ()


def response_label(fit: MixedResults) -> str:
    """Return what the axis of the response is called: a probability is one of something."""
    if fit.solution.family.proportions:
        counts = fit.design.response.trials is not None
        return f"{'proportion' if counts else 'probability'} of {plain(success_of(fit))}"
    name = plain(fit.model.endog_names)
    return f"mean category of {name}" if ordered_categories(fit) else name


def response_shown(fit: MixedResults) -> Array:
    """Return the responses (n,) as they are drawn: points of the same two heights would hide each other."""
    y = np.asarray(fit.design.response.values, dtype=float)
    binary = fit.solution.family.proportions and np.isin(y, (0.0, 1.0)).all()
    return y + np.random.default_rng(1).uniform(-YES_OR_NO, YES_OR_NO, size=len(y)) if binary else y


def _shift(k: int, count: int) -> float:
    return 0.0 if count == 1 else 0.5 * (k / (count - 1) - 0.5)


def _responses(
    panel: Axes, fit: MixedResults, variable: Variable, rows: BoolArray, colour: str, shift: float, count: int
) -> None:
    """Draw the responses of some rows, beside the levels of a factor where one of ``count`` lines stands."""
    y = response_shown(fit)
    if variable.labels is None:
        x = np.asarray(variable.numbers)[rows]
    else:
        noise = np.random.default_rng(0).uniform(-JITTER, JITTER, size=int(rows.sum()))
        x = variable.labels.codes[rows] + shift + noise / count
    size = 0.8 * point_size(len(y))
    panel.plot(x, y[rows], "o", color=colour, markersize=size, alpha=0.35, markeredgewidth=0, zorder=0)
