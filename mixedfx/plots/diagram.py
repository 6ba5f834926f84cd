"""The plate diagram of a model on matplotlib's Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedfx.plots.look import BLUE, LIGHT, ink, one_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.explanation.diagram import Diagram, Frame, Node

__all__ = ["plate_diagram"]

POINTS = 72.0  # to an inch
SHADED = "response"
ANCHORS = {"middle": "center", "start": "left", "end": "right"}


def plate_diagram(diagram: Diagram, *, ax: Axes | None = None) -> Axes:
    """Draw a plate diagram.

    Parameters
    ----------
    diagram : Diagram
        As ``mixedfx.explain(fit).diagram``.
    ax : matplotlib Axes, optional
        New ones are as large as the diagram.
    """
    from matplotlib.patches import FancyArrowPatch

    panel = one_panel(ax, (diagram.width / POINTS, diagram.height / POINTS))
    panel.set(xlim=(0.0, diagram.width), ylim=(diagram.height, 0.0), aspect="equal")
    panel.axis("off")
    area = panel.get_position().bounds
    inches = panel.figure.figure.get_size_inches()
    scale = POINTS * min(area[2] * inches[0] / diagram.width, area[3] * inches[1] / diagram.height)
    scale = 1.0 if ax is None else scale
    for frame in diagram.frames:
        _frame(panel, frame, scale)
    for arrow in diagram.arrows:
        ends = (arrow.x0, arrow.y0), (arrow.x1, arrow.y1)
        panel.add_patch(
            FancyArrowPatch(
                *ends, arrowstyle="-|>", mutation_scale=9 * scale, shrinkA=0, shrinkB=0, color=ink(), lw=scale
            )
        )
    for node in diagram.nodes:
        _node(panel, node, scale)
    for i, line in enumerate(diagram.lines):
        _text(panel, 6.5, diagram.height - 13.0 * (len(diagram.lines) - i), line, 10.5 * scale, "start")
    return panel


def _text(panel: Axes, x: float, y: float, text: str, size: float, anchor: str, *, halo: bool = True) -> None:
    from matplotlib.patheffects import withStroke

    effects = [withStroke(linewidth=0.25 * size, foreground=panel.figure.get_facecolor())] if halo else []
    panel.text(
        x, y, text, fontsize=size, ha=ANCHORS[anchor], va="center", color=ink(), parse_math=False, path_effects=effects
    )


def _frame(panel: Axes, frame: Frame, scale: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner, sides = (frame.x0 + 6, frame.y0 + 6), (frame.x1 - frame.x0 - 12, frame.y1 - frame.y0 - 12)
    panel.add_patch(FancyBboxPatch(corner, *sides, boxstyle="round,pad=6", fill=False, edgecolor=BLUE, lw=scale))
    at, anchor = (frame.x1 - 6.0, "end") if frame.right else (frame.x0 + 6.0, "start")
    _text(panel, at, frame.y1 - 9.0, frame.label, 10.5 * scale, anchor)


def _node(panel: Axes, node: Node, scale: float) -> None:
    from matplotlib.patches import Circle, Rectangle

    width, height = node.half
    ground = panel.figure.get_facecolor()
    if node.kind == "data":
        box = Rectangle(
            (node.x - width, node.y - height), 2 * width, 2 * height, facecolor=ground, edgecolor=ink(), lw=scale
        )
        panel.add_patch(box)
    elif node.kind == "parameter":
        panel.add_patch(Circle((node.x, node.y), width, color=ink()))
    else:
        style = "--" if node.kind == "predictor" else "-"
        if node.kind == SHADED:
            panel.add_patch(Circle((node.x, node.y), width, facecolor=ground))
        inside = LIGHT if node.kind == SHADED else ground
        circle = Circle((node.x, node.y), width, facecolor=inside, edgecolor=ink(), ls=style, lw=scale)
        panel.add_patch(circle)
    x, y, anchor = node.symbol_at
    _text(panel, x, y, node.symbol, 15.0 * scale, anchor, halo=False)
    x, y, anchor = node.notes_at
    for i, line in enumerate(node.notes):
        _text(panel, x, y + 13.0 * i, line, 10.5 * scale, anchor)
