"""A plate diagram: shapes on a page, drawn on any canvas that knows circles, boxes, dots, arrows and text.

:class:`Diagram` decides what stands where. A canvas only draws: the one here writes SVG, the one of
:mod:`mixedfx.plots` paints on matplotlib's Axes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from xml.sax.saxutils import escape

import numpy as np

from mixedfx._typing import Array

__all__ = [
    *("DOT", "LETTER", "LINE", "NOTE", "RADIUS"),
    *("Arrow", "Canvas", "Diagram", "Kind", "Node", "PlateBorder", "svg", "text_width"),
]

RADIUS, DOT = 20.0, 3.5
LETTER, NOTE = 15.0, 10.5  # sizes of symbols and of small print
LETTER_WIDTH = 0.68  # of a letter, relative to its size: of the wide ones
LINE = 13.0
STEEP = 0.9  # sine of an angle beyond which an arrow would cross what stands below a circle


class Kind(StrEnum):
    """What a node stands for."""

    EFFECT = "effect"
    RESPONSE = "response"
    PREDICTOR = "predictor"
    DATA = "data"
    PARAMETER = "parameter"


class Canvas(Protocol):
    """Where a diagram is drawn; coordinates are points, y runs down, text is placed by its middle line."""

    def border(self, border: PlateBorder) -> None:
        """Draw the border of a plate."""

    def arrow(self, arrow: Arrow) -> None:
        """Draw an arrow."""

    def circle(self, x: float, y: float, radius: float, *, shaded: bool, dashed: bool) -> None:
        """Draw a circle."""

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """Draw a box about its centre; ``width`` and ``height`` are halves."""

    def dot(self, x: float, y: float, radius: float) -> None:
        """Draw a dot."""

    def symbol(self, x: float, y: float, text: str, size: float, anchor: str) -> None:
        """Write a symbol; ``anchor`` is SVG's: ``"start"``, ``"middle"`` or ``"end"``."""

    def note(self, x: float, y: float, text: str, size: float, anchor: str) -> None:
        """Write a line of small print."""


class Shape(ABC):
    """The outline of a node, and where its text stands."""

    @abstractmethod
    def half(self, notes: tuple[str, ...]) -> tuple[float, float]:
        """Return half the width and half the height."""

    def reach(self, unit: Array, notes: tuple[str, ...]) -> float:
        """Return how far the border is from the centre in the direction ``unit`` (2,)."""
        return self.half(notes)[0]

    def symbol_offset(self, notes: tuple[str, ...]) -> tuple[float, float, str]:
        """Return where the middle of the symbol stands, from the centre, and its alignment."""
        return 0.0, 0.0, "middle"

    @abstractmethod
    def note_offset(self, notes: tuple[str, ...]) -> tuple[float, float, str]:
        """Return where the middle of the first line of small print stands, from the centre, and its alignment."""

    @abstractmethod
    def draw(self, canvas: Canvas, node: Node) -> None:
        """Draw the outline."""


@dataclass(frozen=True)
class CircleShape(Shape):
    """A variable: the symbol within, small print below."""

    shaded: bool = False
    dashed: bool = False

    def half(self, notes: tuple[str, ...]) -> tuple[float, float]:
        """The radius, twice."""
        return RADIUS, RADIUS

    def reach(self, unit: Array, notes: tuple[str, ...]) -> float:
        """The radius; what comes from below ends under the small print."""
        return RADIUS + (LINE * len(notes) + 3.0 if unit[1] > STEEP else 0.0)

    def note_offset(self, notes: tuple[str, ...]) -> tuple[float, float, str]:
        """Below the circle."""
        return 0.0, RADIUS + 9.0, "middle"

    def draw(self, canvas: Canvas, node: Node) -> None:
        """A circle."""
        canvas.circle(node.x, node.y, RADIUS, shaded=self.shaded, dashed=self.dashed)


class BoxShape(Shape):
    """Known columns: their names within."""

    def half(self, notes: tuple[str, ...]) -> tuple[float, float]:
        """As large as the names need."""
        return 0.5 * text_width(notes, NOTE) + 8.0, 0.5 * LINE * len(notes) + 6.0

    def reach(self, unit: Array, notes: tuple[str, ...]) -> float:
        """To the nearer side."""
        with np.errstate(divide="ignore"):  # straight up or sideways
            return float(np.min(np.array(self.half(notes)) / np.abs(unit)))

    def note_offset(self, notes: tuple[str, ...]) -> tuple[float, float, str]:
        """In the middle of the box."""
        return 0.0, -0.5 * LINE * (len(notes) - 1), "middle"

    def draw(self, canvas: Canvas, node: Node) -> None:
        """A box."""
        canvas.box(node.x, node.y, *node.half)


class DotShape(Shape):
    """A parameter: symbol and small print beside it."""

    def half(self, notes: tuple[str, ...]) -> tuple[float, float]:
        """The radius, twice."""
        return DOT, DOT

    def symbol_offset(self, notes: tuple[str, ...]) -> tuple[float, float, str]:
        """To the right, above the small print."""
        return 8.0, -7.0 - LINE * max(0, len(notes) - 1), "start"

    def note_offset(self, notes: tuple[str, ...]) -> tuple[float, float, str]:
        """To the right."""
        return 8.0, 9.0 - LINE * max(0, len(notes) - 1), "start"

    def draw(self, canvas: Canvas, node: Node) -> None:
        """A dot."""
        canvas.dot(node.x, node.y, DOT)


SHAPES: dict[Kind, Shape] = {
    Kind.EFFECT: CircleShape(),
    Kind.RESPONSE: CircleShape(shaded=True),
    Kind.PREDICTOR: CircleShape(dashed=True),
    Kind.DATA: BoxShape(),
    Kind.PARAMETER: DotShape(),
}


@dataclass(frozen=True)
class Node:
    """A variable or parameter of the model.

    Attributes
    ----------
    x, y : float
        Centre; y runs down.
    kind : Kind
        ``"effect"`` (circle), ``"response"`` (shaded circle), ``"predictor"`` (dashed circle: a sum, not a variable),
        ``"data"`` (box of known columns), ``"parameter"`` (dot).
    symbol : str
        Within the shape, beside a dot.
    notes : tuple of str
        Lines of small print: beside a dot, below a circle, in the box of data.
    """

    x: float
    y: float
    kind: Kind
    symbol: str
    notes: tuple[str, ...] = ()

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and half the height of the shape."""
        return SHAPES[self.kind].half(self.notes)

    def edge(self, towards: Node, gap: float = 0.0) -> tuple[float, float]:
        """Return the point of the border on the way to another node."""
        step = np.array([towards.x - self.x, towards.y - self.y])
        unit = step / float(np.hypot(*step))
        x, y = np.array([self.x, self.y]) + unit * (SHAPES[self.kind].reach(unit, self.notes) + gap)
        return float(x), float(y)

    def draw(self, canvas: Canvas) -> None:
        """Draw the shape with its text."""
        shape = SHAPES[self.kind]
        shape.draw(canvas, self)
        if self.symbol:
            x, y, anchor = shape.symbol_offset(self.notes)
            canvas.symbol(self.x + x, self.y + y, self.symbol, LETTER, anchor)
        x, y, anchor = shape.note_offset(self.notes)
        for i, line in enumerate(self.notes):
            canvas.note(self.x + x, self.y + y + LINE * i, line, NOTE, anchor)


@dataclass(frozen=True)
class PlateBorder:
    """The border of a plate: what is in it stands once for each level of a factor.

    Attributes
    ----------
    x0, y0, x1, y1 : float
        Left, upper, right and lower border.
    label : str
        ``"Subject: 18"``.
    right : bool
        Whether the label stands in the right corner.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    label: str
    right: bool = False


@dataclass(frozen=True)
class Arrow:
    """From one point to another; ``tail`` and ``head`` are the nodes that it joins."""

    x0: float
    y0: float
    x1: float
    y1: float
    tail: Node = field(repr=False)
    head: Node = field(repr=False)


@dataclass(frozen=True)
class Diagram:
    """A plate diagram: shapes on a page of ``width`` times ``height`` points, y running down.

    Attributes
    ----------
    width, height : float
    frames : tuple of PlateBorder
        Plates, outer ones first.
    nodes : tuple of Node
    arrows : tuple of Arrow
    lines : tuple of str
        What the symbols mean, below the picture.
    """

    width: float
    height: float
    frames: tuple[PlateBorder, ...]
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    lines: tuple[str, ...]

    def draw(self, canvas: Canvas) -> None:
        """Draw plates, arrows, nodes and the lines below the picture."""
        for frame in self.frames:
            canvas.border(frame)
            at, anchor = (frame.x1 - 6.0, "end") if frame.right else (frame.x0 + 6.0, "start")
            canvas.note(at, frame.y1 - 9.0, frame.label, NOTE, anchor)
        for arrow in self.arrows:
            canvas.arrow(arrow)
        for node in self.nodes:
            node.draw(canvas)
        for i, line in enumerate(self.lines):
            canvas.note(0.5 * LINE, self.height - LINE * (len(self.lines) - i), line, NOTE, "start")

    def __repr__(self) -> str:
        plates = ", ".join(frame.label for frame in self.frames)
        return f"<Diagram: {len(self.nodes)} nodes, {len(self.arrows)} arrows, plates {plates}>"


def text_width(lines: tuple[str, ...], size: float) -> float:
    """Return about how wide the longest of some lines is."""
    return LETTER_WIDTH * size * max((len(line) for line in lines), default=0)


# ------------------------------------------------------------------ SVG
STYLE = (
    ".mixedfx text{font-family:'DejaVu Sans',sans-serif;fill:currentColor}.mixedfx .n{font-size:10.5px}"
    ".mixedfx .s{font-size:15px}.mixedfx .f{fill:none;stroke:#3a8fc7}"
    ".mixedfx .e,.mixedfx .d,.mixedfx .p{fill:none;stroke:currentColor}.mixedfx .p{stroke-dasharray:3 2}"
    ".mixedfx .y{fill:#8a8a8a;fill-opacity:.35;stroke:currentColor}.mixedfx .o{fill:currentColor}"
    ".mixedfx .a{stroke:currentColor;marker-end:url(#mixedfx-head)}"
)
HEAD = (
    '<defs><marker id="mixedfx-head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0,0L8,4L0,8z" fill="currentColor"/></marker></defs>'
)
BASELINE = 0.35  # of its size, from the middle of a letter down to the line that it stands on


class Svg:
    """Collects elements of SVG."""

    def __init__(self) -> None:
        self.elements: list[str] = []

    def border(self, border: PlateBorder) -> None:
        """Rounded corners."""
        size = f'width="{border.x1 - border.x0:.1f}" height="{border.y1 - border.y0:.1f}"'
        self.elements.append(f'<rect x="{border.x0:.1f}" y="{border.y0:.1f}" {size} rx="6" class="f"/>')

    def arrow(self, arrow: Arrow) -> None:
        """A line with a marker."""
        ends = f'x1="{arrow.x0:.1f}" y1="{arrow.y0:.1f}" x2="{arrow.x1:.1f}" y2="{arrow.y1:.1f}"'
        self.elements.append(f'<line {ends} class="a"/>')

    def circle(self, x: float, y: float, radius: float, *, shaded: bool, dashed: bool) -> None:
        """Shaded and dashed by its class."""
        style = "y" if shaded else "p" if dashed else "e"
        self.elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{style}"/>')

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """A rectangle."""
        size = f'width="{2 * width:.1f}" height="{2 * height:.1f}"'
        self.elements.append(f'<rect x="{x - width:.1f}" y="{y - height:.1f}" {size} class="d"/>')

    def dot(self, x: float, y: float, radius: float) -> None:
        """A filled circle."""
        self.elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="o"/>')

    def symbol(self, x: float, y: float, text: str, size: float, anchor: str) -> None:
        """A large letter."""
        self._text(x, y + BASELINE * size, text, "s", anchor)

    def note(self, x: float, y: float, text: str, size: float, anchor: str) -> None:
        """Small print."""
        self._text(x, y + BASELINE * size, text, "n", anchor)

    def _text(self, x: float, y: float, text: str, style: str, anchor: str) -> None:
        place = f'x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}"'
        self.elements.append(f"<text {place}>{escape(text)}</text>")


def svg(diagram: Diagram) -> str:
    """Return a diagram as one ``<svg>`` element; names are escaped."""
    canvas = Svg()
    diagram.draw(canvas)
    size = f'width="{diagram.width:.0f}" height="{diagram.height:.0f}"'
    box = f'viewBox="0 0 {diagram.width:.0f} {diagram.height:.0f}"'
    told = "; ".join(("Plate diagram", *(frame.label for frame in diagram.frames), *diagram.lines))
    words = escape(told, {'"': "&quot;"})
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img" aria-label="{words}" class="mixedfx">'
    return "\n".join([opening, f"<style>{STYLE}</style>{HEAD}", *canvas.elements, "</svg>"])
