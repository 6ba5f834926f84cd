"""Writing pictures to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mixedfx.exceptions import SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["save_figure"]

DPI = 150


def save_figure(panel: Axes, path: str | Path) -> None:
    """Write the figure that ``panel`` belongs to and close it; the ending of ``path`` chooses the format.

    Raises
    ------
    SpecificationError
        If pictures cannot be written in that format.
    """
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    figure = panel.figure
    assert isinstance(figure, Figure)
    known = figure.canvas.get_supported_filetypes()
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in known:
        raise SpecificationError(f"cannot draw {str(path)!r}: the name must end in {', '.join(sorted(known))}")
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
