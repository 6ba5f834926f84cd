"""Colours, sizes and small habits that the pictures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx._typing import AnyArray, Array
from mixedfx.exceptions import SpecificationError
from mixedfx.results.base import results_of_ours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "LETTER",
    "LIGHT",
    "MARKERS",
    "ORANGE",
    "PALETTE",
    "ink",
    "label_axes",
    "legend_beside",
    "level_names",
    "name_levels",
    "one_panel",
    "paper",
    "point_size",
    "refuse_fit",
    "short",
    "smooth",
]

# The palette of Okabe and Ito, safe for colour-blind readers.
BLUE, ORANGE, GREEN, PINK, SKY, YELLOW = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
GREY, LIGHT = "#8A8A8A", "#8A8A8A59"  # the second one is seen through, on light and on dark paper
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, YELLOW, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SIZE = (5.0, 3.6)  # inches
GRID_POINTS = 60
LETTER = 0.078  # inches, of a letter of a tick label
LONGEST = 28  # letters of a name
MOST_AVERAGED, CELLS = 100_000, 20_000  # rows that are averaged one by one; cells of more
BANDWIDTH = 0.12  # of a smoother, relative to the range


def ink() -> str:
    """Return the colour of writing: dark on light themes, light on dark ones."""
    from matplotlib import rcParams

    return str(rcParams["text.color"])


def paper() -> str:
    """Return the colour of the ground; that of the axes where the figure has none."""
    from matplotlib import rcParams

    return str(rcParams["axes.facecolor"])


def short(name: object, most: int = LONGEST) -> str:
    """Return a name of ``most`` letters at the most: its beginning and its end."""
    text = str(name)
    return text if len(text) <= most else f"{text[: most - most // 3 - 1]}…{text[-(most // 3) :]}"


def level_names(levels: Iterable[object]) -> list[str]:
    """Return levels as text, the parts of those of several factors joined by colons."""
    return [":".join(map(str, level)) if isinstance(level, tuple) else str(level) for level in levels]


def name_levels(ax: Axes, names: Sequence[object]) -> None:
    """Write the levels of a factor below the x axis, slanted if they are too long to stand side by side."""
    from matplotlib.figure import Figure

    labels = [short(name) for name in names]
    figure = ax.figure if isinstance(ax.figure, Figure) else ax.figure.figure
    room = ax.get_position().width * figure.get_size_inches()[0] / max(len(labels), 1)
    fits = LETTER * max(map(len, labels), default=0) < 0.9 * room
    slant: dict[str, Any] = (
        {} if fits else {"rotation": 35 if room > 2.5 * LETTER else 90, "ha": "right", "rotation_mode": "anchor"}
    )
    ax.set_xticks(np.arange(len(labels)), labels, **slant)


def legend_beside(ax: Axes, title: str | None = None) -> None:
    """Put the legend to the right of the panel, where no data are."""
    ax.legend(title=title, frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))


def one_panel(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """Return the Axes given, or new ones."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def label_axes(ax: Axes, *, x: str = "", y: str = "", title: str = "") -> Axes:
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
