"""Writing pictures to files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx.exceptions import SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["check_format", "figure_of", "save_figure"]

DPI = 150


def check_format(path: str | Path) -> None:
    """Refuse a file whose ending names no format of pictures."""
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if Path(path).suffix.lower().removeprefix(".") not in known:
        raise SpecificationError(f"cannot draw {str(path)!r}: the name must end in {', '.join(sorted(known))}")


def save_figure(panel: Axes | Figure | Any, path: str | Path) -> None:
    """Write a picture to a file and close it; the ending of ``path`` chooses the format.

    Parameters
    ----------
    panel : Axes, Figure, or list or array of Axes
        What a function of :mod:`mixedfx.plots` returned. The file holds the whole figure, long names included.
    path : str or Path

    Raises
    ------
    SpecificationError
        If pictures cannot be written in that format, or there is no such folder.
    TypeError
        If ``panel`` is no picture.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    >>> mfx.plots.save_figure(mfx.plots.forest(fit), "forest.png")  # doctest: +SKIP
    """
    from matplotlib import pyplot as plt

    check_format(path)
    if not Path(path).parent.is_dir():
        raise SpecificationError(f"cannot write {str(path)!r}: there is no folder {str(Path(path).parent)!r}")
    figure = figure_of(panel)
    figure.savefig(path, dpi=DPI, bbox_inches="tight")
    plt.close(figure)


def figure_of(panel: Any) -> Figure:
    """Return the figure of what a function of this room drew."""
    from matplotlib.figure import Figure

    if isinstance(panel, Figure):
        return panel
    figures = {id(f): f for f in _figures(panel)}
    if len(figures) > 1:
        raise SpecificationError(f"the panels belong to {len(figures)} figures: save each on its own")
    for figure in figures.values():
        return figure
    raise TypeError(f"save_figure takes what a function of mixedfx.plots returned, found {type(panel).__name__}")


def _figures(panel: Any) -> Iterator[Figure]:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if isinstance(panel, Axes):
        figure = panel.figure
        yield figure if isinstance(figure, Figure) else figure.figure
    elif isinstance(panel, list | tuple | np.ndarray):
        for one in np.asarray(panel, dtype=object).ravel():
            if one is not panel:
                yield from _figures(one)
