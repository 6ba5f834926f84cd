"""Colours, sizes and small habits that the pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfx._typing import AnyArray, Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "MARKERS",
    "ORANGE",
    "PALETTE",
    "one_panel",
    "point_size",
    "smooth",
    "tidy",
]

# The palette of Okabe and Ito, safe for colour-blind readers.
BLUE, ORANGE, GREEN, PINK, SKY, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
BLACK, GREY = "#222222", "#8A8A8A"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, YELLOW, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SIZE = (5.0, 3.6)  # inches
GRID_POINTS = 60
BANDWIDTH = 0.12  # of a smoother, relative to the range


def one_panel(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """Return the Axes given, or new ones."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def tidy(ax: Axes, *, x: str = "", y: str = "", title: str = "") -> Axes:
    """Name the axes and take away what distracts."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.set_title(title, fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize="small")
    return ax


def point_size(count: int) -> float:
    """Return a marker size that lets ``count`` points be told apart."""
    return float(np.clip(90.0 / np.sqrt(max(count, 1)), 1.5, 5.0))


def smooth(x: AnyArray, y: AnyArray) -> tuple[Array, Array]:
    """Return a local mean of ``y`` along ``x`` (Gaussian weights), where there is something to average."""
    low, high = np.quantile(x, [0.01, 0.99])
    if not high > low:
        return np.zeros(0), np.zeros(0)
    grid = np.linspace(low, high, GRID_POINTS)
    sums, means = np.zeros(GRID_POINTS), np.zeros(GRID_POINTS)
    for part in np.array_split(np.arange(x.size), max(1, x.size // 20_000)):
        weight = np.exp(-0.5 * ((grid[:, None] - x[part]) / (BANDWIDTH * (high - low))) ** 2)
        sums += weight.sum(axis=1)
        means += weight @ y[part]
    return grid, means / sums
