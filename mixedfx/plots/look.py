"""Colours, sizes and small habits that the pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx._typing import AnyArray, Array
from mixedfx.exceptions import SpecificationError
from mixedfx.results.base import results_of_ours

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "LIGHT",
    "MARKERS",
    "ORANGE",
    "PALETTE",
    "draw_intervals",
    "drawn_ends",
    "ink",
    "one_panel",
    "panel_grid",
    "paper",
    "point_size",
    "refuse_fit",
    "smooth",
]

# The palette of Okabe and Ito, safe for colour-blind readers.
BLUE, ORANGE, GREEN, PINK, SKY, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
GREY, LIGHT = "#8A8A8A", "#8A8A8A59"  # the second one is seen through, on light and on dark paper
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, YELLOW, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SIZE = (5.0, 3.6)  # inches
GRID_POINTS = 60
MOST_AVERAGED, CELLS = 100_000, 20_000  # rows that are averaged one by one; cells of more
BANDWIDTH = 0.12  # of a smoother, relative to the range
EDGE = 0.12  # of the range, beyond which what is infinite is drawn


def ink() -> str:
    """Return the colour of writing: dark on light themes, light on dark ones."""
    from matplotlib import rcParams

    return str(rcParams["text.color"])


def paper() -> str:
    """Return the colour of the ground; that of the axes where the figure has none."""
    from matplotlib import rcParams

    return str(rcParams["axes.facecolor"])


def one_panel(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """Return the Axes given, or new ones."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def panel_grid(
    count: int,
    columns: int,
    size: tuple[float, float],
    *,
    beside: float = 0.0,
    sharex: bool = False,
    sharey: bool = False,
) -> list[Axes]:
    """Return ``count`` new panels, ``columns`` in a row at the most; without axes where a row is not full.

    Parameters
    ----------
    size : tuple of float
        Of each, in inches.
    beside : float
        Inches for a legend beside them.
    """
    from matplotlib import pyplot as plt

    columns = min(count, columns)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(size[0] * columns + beside, size[1] * rows),
        sharex=sharex,
        sharey=sharey,
        squeeze=False,
        layout="constrained",
    )
    for empty in axes.ravel()[count:]:
        figure.delaxes(empty)
    return list(axes.ravel()[:count])


def point_size(count: int) -> float:
    """Return a marker size that lets ``count`` points be told apart."""
    return float(np.clip(90.0 / np.sqrt(max(count, 1)), 1.5, 5.0))


def drawn_ends(ends: AnyArray, known: AnyArray) -> Array:
    """Return the ends of intervals, those at infinity a little beyond all finite numbers that are ``known``."""
    finite = known[np.isfinite(known)]
    if finite.size == 0:
        return np.asarray(np.where(np.isinf(ends), np.nan, ends))
    margin = EDGE * (float(np.ptp(finite)) or 1.0)
    return np.asarray(np.clip(ends, finite.min() - margin, finite.max() + margin))


def draw_intervals(
    panel: Axes, places: AnyArray, rows: pd.DataFrame, known: AnyArray, *, level: bool = False, **style: Any
) -> None:
    """Draw the intervals ``lower`` to ``upper`` of some rows, upright or ``level``; arrows where they have no end.

    Parameters
    ----------
    panel : Axes
    places : (r,)
        On the other axis.
    rows : DataFrame
    known : (m,)
        All numbers that the panel shows along the intervals.
    level : bool
    **style
        Colour and width of the lines.
    """
    draw, marks = (panel.hlines, "<>") if level else (panel.vlines, "v^")
    ends = [rows[name].to_numpy(dtype=float) for name in ("lower", "upper")]
    lower, upper = (drawn_ends(end, known) for end in ends)
    draw(places, lower, upper, **style)
    for end, shown, mark in zip(ends, (lower, upper), marks, strict=True):
        open_ones = np.isinf(end) & np.isfinite(shown)
        at = (shown[open_ones], places[open_ones]) if level else (places[open_ones], shown[open_ones])
        if open_ones.any():
            panel.plot(*at, mark, color=style["color"], markersize=5, linestyle="none")


def smooth(x: AnyArray, y: AnyArray) -> tuple[Array, Array]:
    """Return a local mean of ``y`` along ``x`` (Gaussian weights), where there is something to average."""
    low, high = np.quantile(x, [0.01, 0.99])
    if not high > low:
        return np.zeros(0), np.zeros(0)
    grid, counts = np.linspace(low, high, GRID_POINTS), np.ones(x.size)
    if x.size > MOST_AVERAGED:
        x, y, counts = _binned(x, y)
    sums, means = np.zeros(GRID_POINTS), np.zeros(GRID_POINTS)
    for part in np.array_split(np.arange(x.size), max(1, x.size // 20_000)):
        weight = np.exp(-0.5 * ((grid[:, None] - x[part]) / (BANDWIDTH * (high - low))) ** 2)
        sums += weight @ counts[part]
        means += weight @ (counts * y)[part]
    return grid, means / sums


def _binned(x: AnyArray, y: AnyArray) -> tuple[Array, Array, Array]:
    """Means (c,), (c,) of x and y in narrow cells of x, and how many rows each has."""
    edges = np.linspace(float(x.min()), float(x.max()), CELLS + 1)[1:-1]
    cell = np.searchsorted(edges, x)
    counts = np.bincount(cell, minlength=CELLS)
    used = counts > 0
    sums = (np.bincount(cell, weights=values, minlength=CELLS)[used] for values in (x, y))
    mean_x, mean_y = (total / counts[used] for total in sums)
    return mean_x, mean_y, counts[used].astype(float)


def refuse_fit(given: Any, picture: str, made: str) -> None:
    """Refuse a fit where a picture is of ``made`` from it, and it is left open what to compute.

    Raises
    ------
    SpecificationError
        If ``given`` is a fit.
    """
    if results_of_ours(given) is not None:
        raise SpecificationError(f"{picture} draws what {made} returns, not a fit: write {picture}({made})")
