"""Writing pictures to files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx.exceptions import SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["check_format", "described", "figure_of", "save_figure"]

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


def described(panel: Any) -> str:
    """Return in words what a picture shows, for those who cannot see it: titles, axes, keys and texts of its panels."""
    figure = figure_of(panel)
    titles: dict[str, list[str]] = {}
    for ax in figure.axes:
        if ax.axison or ax.texts:
            titles.setdefault(_panel_in_words(ax), []).append(_line(ax.get_title() or ax.get_title("left")))
    said = [_sentences([", ".join(filter(None, named)), words]) for words, named in titles.items()]
    count = sum(map(len, titles.values()))
    keys = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return _sentences([figure.get_suptitle(), f"{count} panels" * (count > 1), _key("Key", keys), *said])


def _panel_in_words(ax: Axes) -> str:
    x, y = _axis_in_words(ax, "x"), _axis_in_words(ax, "y")
    axes = f"{y} against {x}" if x and y else x or y
    legend = ax.get_legend()
    keys = [] if legend is None else [text.get_text() for text in legend.get_texts()]
    heading = "Key" if legend is None else legend.get_title().get_text() or "Key"
    return _sentences([axes if ax.axison else "", _key(heading, keys), *(text.get_text() for text in ax.texts)])


def _axis_in_words(ax: Axes, name: str) -> str:
    """The name of an axis: its own, that of the axes that it is shared with, or of the whole figure."""
    siblings = getattr(ax, f"get_shared_{name}_axes")().get_siblings(ax)
    labels = [getattr(one, f"get_{name}label")() for one in (ax, *siblings)]
    return str(next(filter(None, labels), getattr(ax.figure, f"get_sup{name}label")()))


def _key(heading: str, keys: list[str]) -> str:
    return f"{heading}: {', '.join(map(_line, keys))}" if keys else ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _sentences(parts: Iterable[str]) -> str:
    return " ".join(f"{_line(part).rstrip('.')}." for part in parts if part)


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
