"""A plate diagram as shapes on a page; :mod:`mixedfx.explanation.svg` writes them, :mod:`mixedfx.plots` draws them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["DOT", "LETTER", "LINE", "NOTE", "RADIUS", "Arrow", "Diagram", "Frame", "Node", "text_width"]

RADIUS, DOT = 20.0, 3.5
LETTER, NOTE = 15.0, 10.5  # sizes of symbols and of small print
LETTER_WIDTH = 0.6  # of a letter, relative to its size
LINE = 13.0
STEEP = 0.9  # sine of an angle beyond which an arrow would cross what stands below a circle


@dataclass(frozen=True)
class Node:
    """A variable or parameter of the model.

    Attributes
    ----------
    x, y : float
        Centre; y runs down.
    kind : str
        ``"effect"`` (circle), ``"response"`` (shaded circle), ``"predictor"`` (dashed circle: a sum, not a variable),
        ``"data"`` (box of known columns), ``"parameter"`` (dot).
    symbol : str
        Within the shape, beside a dot.
    notes : tuple of str
        Lines of small print: beside a dot, below a circle, in the box of data.
    """

    x: float
    y: float
    kind: str
    symbol: str
    notes: tuple[str, ...] = ()

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and half the height of the shape."""
        if self.kind == "parameter":
            return DOT, DOT
        if self.kind == "data":
            return 0.5 * text_width(self.notes, NOTE) + 8.0, 0.5 * LINE * len(self.notes) + 6.0
        return RADIUS, RADIUS

    @property
    def symbol_at(self) -> tuple[float, float, str]:
        """Where the middle of the symbol stands, and its alignment."""
        if self.kind == "parameter":
            return self.x + 8.0, self.y - 7.0 - LINE * max(0, len(self.notes) - 1), "start"
        return self.x, self.y, "middle"

    @property
    def notes_at(self) -> tuple[float, float, str]:
        """Where the middle of the first line of small print stands, and its alignment."""
        if self.kind == "parameter":
            return self.x + 8.0, self.y + 9.0 - LINE * max(0, len(self.notes) - 1), "start"
        if self.kind == "data":
            return self.x, self.y - 0.5 * LINE * (len(self.notes) - 1), "middle"
        return self.x, self.y + RADIUS + 9.0, "middle"

    def edge(self, towards: Node, gap: float = 0.0) -> tuple[float, float]:
        """Return the point of the border on the way to another node."""
        step = np.array([towards.x - self.x, towards.y - self.y])
        length = float(np.hypot(*step))
        unit = step / length
        width, height = self.half
        reach = width
        if self.kind == "data":
            with np.errstate(divide="ignore"):  # straight up or sideways
                reach = float(np.min(np.array([width, height]) / np.abs(unit)))
        elif self.kind != "parameter" and unit[1] > STEEP:  # what comes from below ends under the small print
            reach += LINE * len(self.notes) + 3.0
        x, y = np.array([self.x, self.y]) + unit * (reach + gap)
        return float(x), float(y)


@dataclass(frozen=True)
class Frame:
    """A plate: what is in it stands once for each level of a factor.

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
    frames : tuple of Frame
        Plates, outer ones first.
    nodes : tuple of Node
    arrows : tuple of Arrow
    lines : tuple of str
        What the symbols mean, below the picture.
    """

    width: float
    height: float
    frames: tuple[Frame, ...]
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    lines: tuple[str, ...]

    def __repr__(self) -> str:
        plates = ", ".join(frame.label for frame in self.frames)
        return f"<Diagram: {len(self.nodes)} nodes, {len(self.arrows)} arrows, plates {plates}>"


def text_width(lines: tuple[str, ...], size: float) -> float:
    """Return about how wide the longest of some lines is."""
    return LETTER_WIDTH * size * max((len(line) for line in lines), default=0)
