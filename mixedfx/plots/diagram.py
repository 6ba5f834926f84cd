"""The plate diagram of a model on matplotlib's Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixedfx.plots.look import BLUE, LIGHT, ink, one_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patheffects import AbstractPathEffect

    from mixedfx.explanation.diagram import Arrow, Diagram, PlateBorder

__all__ = ["plate_diagram"]

POINTS = 72.0  # to an inch
ROUND = 6.0  # radius of a plate's corners
ANCHORS = {"middle": "center", "start": "left", "end": "right"}


def plate_diagram(diagram: Diagram, *, ax: Axes | None = None) -> Axes:
    """Draw a plate diagram.

    Parameters
    ----------
    diagram : Diagram
        As ``mixedfx.explain(fit).diagram``.
    ax : matplotlib Axes, optional
        New ones are as large as the diagram.

    Returns
    -------
    matplotlib Axes
    """
    panel = one_panel(ax, (diagram.width / POINTS, diagram.height / POINTS))
    panel.set(xlim=(0.0, diagram.width), ylim=(diagram.height, 0.0), aspect="equal")
    panel.axis("off")
    area = panel.get_position().bounds
    inches = panel.figure.figure.get_size_inches()
    scale = POINTS * min(area[2] * inches[0] / diagram.width, area[3] * inches[1] / diagram.height)
    diagram.draw(AxesCanvas(panel, 1.0 if ax is None else scale))
    return panel


class AxesCanvas:
    """Draws on Axes whose data coordinates are points; sizes of letters and lines are multiplied by ``scale``."""

    def __init__(self, panel: Axes, scale: float) -> None:
        self.panel, self.scale = panel, scale
        self.ground = panel.figure.get_facecolor()

    def border(self, border: PlateBorder) -> None:
        """Rounded corners."""
        from matplotlib.patches import FancyBboxPatch

        corner = border.x0 + ROUND, border.y0 + ROUND
        width, height = border.x1 - border.x0 - 2 * ROUND, border.y1 - border.y0 - 2 * ROUND
        style = f"round,pad={ROUND:g}"
        self.panel.add_patch(
            FancyBboxPatch(corner, width, height, boxstyle=style, fill=False, edgecolor=BLUE, lw=self.scale)
        )

    def arrow(self, arrow: Arrow) -> None:
        """A line with a filled head."""
        from matplotlib.patches import FancyArrowPatch

        ends = (arrow.x0, arrow.y0), (arrow.x1, arrow.y1)
        head: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9 * self.scale, "shrinkA": 0, "shrinkB": 0}
        self.panel.add_patch(FancyArrowPatch(*ends, color=ink(), lw=self.scale, **head))

    def circle(self, x: float, y: float, radius: float, *, shaded: bool, dashed: bool) -> None:
        """Opaque, as arrows end at its border."""
        from matplotlib.patches import Circle

        if shaded:  # the shade is seen through
            self.panel.add_patch(Circle((x, y), radius, facecolor=self.ground))
        inside, style = LIGHT if shaded else self.ground, "--" if dashed else "-"
        self.panel.add_patch(Circle((x, y), radius, facecolor=inside, edgecolor=ink(), ls=style, lw=self.scale))

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """Opaque, as a circle."""
        from matplotlib.patches import Rectangle

        corner, sides = (x - width, y - height), (2 * width, 2 * height)
        self.panel.add_patch(Rectangle(corner, *sides, facecolor=self.ground, edgecolor=ink(), lw=self.scale))

    def dot(self, x: float, y: float, radius: float) -> None:
        """A filled circle."""
        from matplotlib.patches import Circle

        self.panel.add_patch(Circle((x, y), radius, color=ink()))

    def symbol(self, x: float, y: float, text: str, size: float, anchor: str) -> None:
        """A large letter."""
        self._text(x, y, text, size * self.scale, anchor, [])

    def note(self, x: float, y: float, text: str, size: float, anchor: str) -> None:
        """Small print, with a halo where it crosses a line."""
        from matplotlib.patheffects import withStroke

        halo = withStroke(linewidth=0.25 * size * self.scale, foreground=self.ground)
        self._text(x, y, text, size * self.scale, anchor, [halo])

    def _text(self, x: float, y: float, text: str, size: float, anchor: str, effects: list[AbstractPathEffect]) -> None:
        style: dict[str, Any] = {"color": ink(), "parse_math": False, "path_effects": effects}
        self.panel.text(x, y, text, fontsize=size, ha=ANCHORS[anchor], va="center", **style)
