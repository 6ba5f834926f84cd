"""The layout of a plate diagram: plates beside and within each other, five rows of nodes."""

from __future__ import annotations

import numpy as np

from mixedfx.explanation.diagram import LETTER, LINE, NOTE, RADIUS, Arrow, Diagram, Frame, Node, text_width
from mixedfx.explanation.plates import Arrangement, Plate
from mixedfx.explanation.symbols import Symbols

__all__ = ["draw_up"]

GAP = 14.0  # between a plate's border and what is in it
COLUMN = 70.0
PARAMETERS, EFFECTS, PREDICTOR, RESPONSE, SCALES = -40.0, 40.0, 125.0, 200.0, 285.0  # heights of the five rows of nodes
ABOVE, BELOW = 32.0, 40.0  # from the effects up, and from the response down, to the border of the innermost plate
STEP, LID = 18.0, 7.0  # between the lower borders of plates within each other (room for a name), and the upper ones
MARGIN, SIDE = 12.0, 30.0


class _Page:
    """Collects shapes from left to right."""

    def __init__(self, symbols: Symbols) -> None:
        self.symbols, self.x = symbols, 0.0
        self.nodes: list[Node] = []
        self.joined: list[tuple[Node, Node]] = []
        self.added: list[Node] = []
        self.borders: dict[str, tuple[float, float]] = {}

    def open(self, *plates: Plate) -> None:
        """Begin plates here."""
        for plate in plates:
            self.borders[plate.name] = self.x, self.x
            self.x += GAP

    def close(self, *plates: Plate) -> None:
        """End plates here."""
        for plate in plates:
            self.x += GAP
            self.borders[plate.name] = self.borders[plate.name][0], self.x

    def node(self, x: float, y: float, kind: str, symbol: str, notes: tuple[str, ...] = ()) -> Node:
        """Add a node."""
        self.nodes.append(Node(x, y, kind, symbol, notes))
        return self.nodes[-1]

    def effects(self, plate: Plate) -> None:
        """Add the random effects of a plate, their covariances above and its predictors below; one column a term."""
        symbols, start = self.symbols, self.x
        widths = [self._width(k) for k in plate.terms]
        notes = symbols.shown(plate.predictors)
        least = max(text_width(notes, NOTE) + SIDE, text_width((label(plate),), NOTE) + 6.0)
        widths = [width + max(0.0, least - sum(widths)) / len(widths) for width in widths]
        for k, width in zip(plate.terms, widths, strict=True):
            centre = self.x + 0.5 * width
            effect = self.node(centre, EFFECTS, "effect", symbols.letters[k], symbols.effects[k])
            above = self.node(centre, PARAMETERS, "parameter", symbols.covariances[k], symbols.spread[k])
            self.joined.append((above, effect))
            self.added.append(effect)
            self.x += width
        if notes:
            self.added.append(self.node(0.5 * (start + self.x), RESPONSE, "data", "", notes))

    def _width(self, k: int) -> float:
        beside = max(text_width(self.symbols.spread[k], NOTE), text_width((self.symbols.covariances[k],), LETTER))
        return max(COLUMN, text_width(self.symbols.effects[k], NOTE) + 10.0, 2.0 * beside + SIDE)

    def core(self, predictors: tuple[str, ...]) -> Node:
        """Add the rows: response, linear predictor (which is returned), and what varies from row to row."""
        symbols = self.symbols
        half = max(RADIUS + 8.0, 0.5 * text_width((symbols.response,), NOTE))
        centre = self.x + max(half, text_width((symbols.rows,), NOTE) - 4.0)  # arrows from below pass the plate's name
        predictor = self.node(centre, PREDICTOR, "predictor", symbols.predictor)
        response = self.node(centre, RESPONSE, "response", "yᵢ", (symbols.response,))
        self.joined += [(predictor, response), (self.node(centre, PARAMETERS, "parameter", "β"), predictor)]
        right = centre + half
        if predictors:
            notes = symbols.shown(predictors)
            width = text_width(notes, NOTE) + 16.0
            self.added.append(self.node(right + 10.0 + 0.5 * width, RESPONSE, "data", "", notes))
            right += 10.0 + width
        self.x = right
        self._scales(response)
        return predictor

    def _scales(self, response: Node) -> None:
        x = response.x
        for symbol, note in self.symbols.scales:
            self.joined.append((self.node(x, SCALES, "parameter", symbol, (note,)), response))
            x += text_width((symbol,), LETTER) + text_width((note,), NOTE) + SIDE


def label(plate: Plate) -> str:
    """Return the label of a plate."""
    return f"{plate.name}: {plate.count}"


def draw_up(plates: Arrangement, symbols: Symbols, nobs: int) -> Diagram:
    """Return the plate diagram of a model.

    Parameters
    ----------
    plates : Arrangement
        Nested plates lie in each other; of crossed ones two chains overlap, further ones stand apart.
    symbols : Symbols
        What the nodes are called.
    nobs : int
        Number of rows.
    """
    page, rows = _Page(symbols), Plate("rows", nobs, np.zeros(0, dtype=np.intp), ())
    for plate in (*plates.outer, *plates.left):
        page.open(plate)
        page.effects(plate)
    page.open(*plates.right)
    for plate in plates.inner:
        page.open(plate)
        page.effects(plate)
    page.open(rows)
    predictor = page.core(plates.predictors)
    page.close(rows, *plates.inner[::-1], *plates.left[::-1])
    for plate in plates.right[::-1]:
        page.effects(plate)
        page.close(plate)
    for chain in plates.apart:
        page.x += GAP
        for plate in chain:
            page.open(plate)
            page.effects(plate)
        page.close(*chain[::-1])
    page.close(*plates.outer[::-1])
    page.joined += [(node, predictor) for node in page.added]
    return _finished(page, _frames(page, plates, rows), symbols.laws)


def _frames(page: _Page, plates: Arrangement, rows: Plate) -> list[Frame]:
    """The borders, outer plates first: plates around others are higher."""
    around = (rows, *plates.inner[::-1], *plates.left[::-1], *plates.right[::-1])
    levels = [(plate, level) for level, plate in enumerate(around)]
    levels += [(plate, level) for chain in plates.apart for level, plate in enumerate(chain[::-1])]
    top = 1 + max(level for _, level in levels)
    levels += [(plate, top + level) for level, plate in enumerate(plates.outer[::-1])]
    right = {plate.name for plate in plates.right}
    return [
        Frame(
            page.borders[plate.name][0],
            EFFECTS - ABOVE - LID * level,
            page.borders[plate.name][1],
            RESPONSE + BELOW + STEP * (level + 1),
            label(plate),
            plate.name in right,
        )
        for plate, level in sorted(levels, key=lambda pair: -pair[1])
    ]


def _finished(page: _Page, frames: list[Frame], laws: tuple[str, ...]) -> Diagram:
    """Move everything onto a page that begins at (0, 0), and cut the arrows at the borders of their nodes."""
    floor = max(frame.y1 for frame in frames) + 26.0
    ceiling = min(frame.y0 for frame in frames) - 26.0
    move = {PARAMETERS: ceiling, SCALES: floor}
    beside = [
        node.x + 8.0 + max(text_width((node.symbol,), LETTER), text_width(node.notes, NOTE))
        for node in page.nodes
        if node.kind == "parameter"
    ]
    has_scales = any(node.y == SCALES for node in page.nodes)
    bottom = floor + 20.0 if has_scales else floor - 14.0
    dy = MARGIN + 2.0 * LINE - ceiling
    moved = {
        id(node): Node(node.x + MARGIN, move.get(node.y, node.y) + dy, node.kind, node.symbol, node.notes)
        for node in page.nodes
    }
    arrows = [_arrow(moved[id(tail)], moved[id(head)]) for tail, head in page.joined]
    width = max([page.x, text_width(laws, NOTE), *beside]) + 2.0 * MARGIN
    height = bottom + dy + LINE * (len(laws) + 0.5) + MARGIN
    shifted = [Frame(f.x0 + MARGIN, f.y0 + dy, f.x1 + MARGIN, f.y1 + dy, f.label, f.right) for f in frames]
    return Diagram(width, height, tuple(shifted), tuple(moved.values()), tuple(arrows), laws)


def _arrow(tail: Node, head: Node) -> Arrow:
    return Arrow(*tail.edge(head, 2.0), *head.edge(tail, 2.0), tail, head)
