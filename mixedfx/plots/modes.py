"""Modes beside means of random effects, and the joint density of effects and data beside the likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import BLUE, GREY, ORANGE, one_panel, paper, point_size
from mixedfx.plots.names import entry, label_axes, legend_beside, level_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["joint_and_marginal", "joint_and_marginal_frame", "modes_and_means", "modes_and_means_frame"]

SCALES = np.geomspace(1e-3, 3.0, 30)


def _with_modes(fit: Any, name: str) -> Any:
    """Return results whose random effects have modes and means."""
    results = mixed_results(fit, name)
    if results.solution.not_linear:
        raise SpecificationError(f"{name} {results.solution.not_linear}")
    return results


def modes_and_means_frame(fit: Any, group: str | None = None) -> pd.DataFrame:
    """Return the numbers behind :func:`modes_and_means`.

    Parameters
    ----------
    fit : results
        A fitted model with random effects.
    group : str, optional
        A grouping factor; the first one if omitted.

    Returns
    -------
    DataFrame
        Columns ``level, term, mode, mean, sd``: of the random effects given the data, the parameters held fixed.
    """
    results = _with_modes(fit, "modes_and_means")
    modes, means, sds = results.random_effects, results.random_effects_mean, results.random_effects_sd
    if not modes:
        raise SpecificationError("the model has no random effects, and so neither modes nor means of them")
    name = next(iter(modes)) if group is None else group
    if not isinstance(name, str) or name not in modes:
        known = ", ".join(map(repr, modes))
        raise SpecificationError(f"there is no grouping factor {group!r} with modes and means; choose from {known}")
    labels = level_names(modes[name].index)
    tables = [
        {"level": labels, "term": str(term), "mode": mode, "mean": mean, "sd": sd}
        for term, mode, mean, sd in zip(
            modes[name].columns,
            modes[name].to_numpy().T,
            means[name].to_numpy().T,
            sds[name].to_numpy().T,
            strict=True,
        )
    ]
    return pd.concat([pd.DataFrame(table) for table in tables], ignore_index=True)


def modes_and_means(fit: Any, group: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw how far the conditional mean of every random effect lies from its mode, against the mode.

    In a linear model they are the same; elsewhere they part where a level has little to say, or says it one-sidedly.

    Parameters
    ----------
    fit : results
        A fitted model with random effects.
    group : str, optional
        A grouping factor; the first one if omitted.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        A colour for each coefficient; bars reach one conditional standard deviation from the mean.
    """
    frame, panel = modes_and_means_frame(fit, group), one_panel(ax)
    size = point_size(len(frame))
    reach = [float(frame[["mode", "mean"]].min().min()), float(frame[["mode", "mean"]].max().max())]
    panel.plot(reach, reach, color=GREY, linewidth=0.8, label="mean = mode")
    for (term, rows), colour in zip(frame.groupby("term", sort=False), _colours(frame["term"].nunique()), strict=True):
        panel.vlines(rows["mode"], rows["mean"] - rows["sd"], rows["mean"] + rows["sd"], color=colour, alpha=0.25)
        panel.plot(rows["mode"], rows["mean"], "o", color=colour, markersize=size, label=entry(term))
    legend_beside(panel)
    panel.locator_params(axis="x", nbins=6)
    return label_axes(panel, x="conditional mode", y="conditional mean ± sd")


def _colours(count: int) -> list[str]:
    return [BLUE, ORANGE][:count] + [GREY] * max(0, count - 2)


def joint_and_marginal_frame(fit: Any, scales: Any = SCALES) -> pd.DataFrame:
    """Return the numbers behind :func:`joint_and_marginal`, those of ``fit.joint_map_path``.

    Parameters
    ----------
    fit : results
        A fitted model with random effects.
    scales : sequence of float
        Factors on the estimated standard deviations.

    Returns
    -------
    DataFrame
        Columns ``joint, marginal``, indexed by scale.
    """
    results = _with_modes(fit, "joint_and_marginal")
    if not results.random_effects:
        raise SpecificationError("the model has no random effects, and so neither modes nor means of them")
    path: pd.DataFrame = results.joint_map_path(scales)
    return path


def joint_and_marginal(fit: Any, scales: Any = SCALES, *, ax: Axes | None = None) -> Axes:
    """Draw the largest joint density of data and random effects, and the likelihood, while the deviations shrink.

    Parameters
    ----------
    fit, scales
        As for :func:`joint_and_marginal_frame`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Both logarithms less their values at the estimate nearest to scale 1.
    """
    frame, panel = joint_and_marginal_frame(fit, scales), one_panel(ax)
    x = frame.index.to_numpy(dtype=float)
    start = int(np.argmin(np.abs(np.log(x))))
    for name, colour, style, label in (
        ("joint", ORANGE, "--", "joint, at its mode"),
        ("marginal", BLUE, "-", "marginal"),
    ):
        values = frame[name].to_numpy()
        panel.plot(x, values - values[start], style, color=colour, label=label)
    panel.plot([x[start]], [0.0], "o", color=BLUE, markerfacecolor=paper(), markersize=5)
    panel.set_xscale("log")
    legend_beside(panel)
    return label_axes(panel, x="standard deviations, relative to the estimate", y="gain of the log density")
