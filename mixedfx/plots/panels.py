"""Panels of a figure, one a parameter, and how they look."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedfx._typing import AnyArray
from mixedfx.exceptions import SpecificationError
from mixedfx.plots.look import tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["broken", "chosen_names", "finish", "parameter_panels"]

PANEL = (3.1, 2.3)  # inches
MOST_COLUMNS = 3
LONGEST_TITLE = 32  # characters in a line


def chosen_names(names: Sequence[str], parameters: str | Sequence[str] | None) -> list[str]:
    """Return the parameters to draw: those asked for, else all.

    Raises
    ------
    SpecificationError
        If there is no such parameter, or none at all.
    """
    given = names if parameters is None else parameters
    chosen = [given] if isinstance(given, str) else list(given)
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise SpecificationError(f"there is no parameter {unknown[0]!r}; choose from {', '.join(map(repr, names))}")
    if not chosen:
        raise SpecificationError("there is no parameter to draw")
    return chosen


def parameter_panels(count: int, axes: Any = None) -> AnyArray:
    """Return ``count`` Axes: new ones in a grid, or those given.

    Raises
    ------
    SpecificationError
        If fewer are given.
    """
    if axes is not None:
        given: AnyArray = np.array(axes, dtype=object).ravel()
        if given.size < count:
            raise SpecificationError(f"{count} parameters need as many Axes; found {given.size}")
        return given[:count]
    from matplotlib import pyplot as plt

    columns = _columns(count)
    rows = -(-count // columns)
    size = (PANEL[0] * columns, PANEL[1] * rows + 0.2)
    _, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    panels: AnyArray = grid.ravel()
    for unused in panels[count:]:
        unused.remove()
    return panels[:count]


def _columns(count: int) -> int:
    """Columns of the grid: as few as three rows need, four panels in a square."""
    return 2 if count == 4 else min(count, MOST_COLUMNS)


def finish(panel: Axes, title: str) -> None:
    """Give a panel its title, in lines that do not reach into the next panel, and take away what distracts."""
    tidy(panel, y=panel.get_ylabel(), title=broken(title))
    panel.yaxis.label.set_fontsize("small")
    panel.locator_params(axis="x", nbins=5)


def broken(title: str) -> str:
    """Return the name of a parameter in lines that fit a panel, broken behind the marks that it is made of."""
    lines = [""]
    for piece in re.findall(r"[^|:.\[\] ]*(?:[|:.\[\] ]+|$)", title):
        cut = [piece[i : i + LONGEST_TITLE] for i in range(0, len(piece), LONGEST_TITLE)]
        for part in cut:
            if lines[-1] and len(lines[-1]) + len(part.rstrip()) > LONGEST_TITLE:
                lines.append("")
            lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)
