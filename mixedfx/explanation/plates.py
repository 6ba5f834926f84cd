"""The plate diagram of a fitted model: what the nodes are called, and where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mixedfx._display.names import shortened
from mixedfx.explanation.diagram import LETTER, LINE, NOTE, RADIUS, Arrow, Diagram, Kind, Node, PlateBorder, text_width
from mixedfx.explanation.words import Further
from mixedfx.graphs.plates import Arrangement, Links, Plate
from mixedfx.results.base import MixedResults

__all__ = ["Symbols", "draw_up", "numbered", "symbols_of"]


# ------------------------------------------------------------------ names
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
MOST_LINES, MOST_LETTERS = 4, 24


@dataclass(frozen=True)
class Symbols:
    """Letters and small print; the tuples have one entry for each random-effects term.

    Attributes
    ----------
    response, predictor, rows : str
        Name of the response, letter of the linear predictor, label of the plate of rows.
    letters, covariances : tuple of str
        Of the random effects and of their covariances.
    effects, spread : tuple of tuple of str
        Names of the effects; their standard deviations.
    scales : tuple of (str, str)
        Symbol and small print of the parameters that shape the response.
    laws : tuple of str
        What the letters stand for.
    slopes : dict of int to str
        Small print of the coefficients of what enters by the mean of a term's effects.
    """

    response: str
    predictor: str
    rows: str
    letters: tuple[str, ...]
    covariances: tuple[str, ...]
    effects: tuple[tuple[str, ...], ...]
    spread: tuple[tuple[str, ...], ...]
    scales: tuple[tuple[str, str], ...]
    laws: tuple[str, ...]
    slopes: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def shown(names: Iterable[str]) -> tuple[str, ...]:
        """Return names as a few short lines."""
        lines = shortened(names, MOST_LETTERS)
        more = len(lines) - MOST_LINES
        return tuple(lines) if more <= 0 else (*lines[: MOST_LINES - 1], f"… {more + 1} more")


def numbered(letters: Sequence[str]) -> tuple[str, ...]:
    """Return letters with subscripts, if there are several."""
    return tuple(f"{a}{str(k + 1).translate(SUBSCRIPTS)}" if len(letters) > 1 else a for k, a in enumerate(letters))


def symbols_of(fit: MixedResults, further: Further) -> Symbols:
    """Return the symbols of a fitted model.

    Parameters
    ----------
    fit : fitted mixed model
    further : Further
        Of the fit.

    Returns
    -------
    Symbols
    """
    design = fit.design
    terms = fit.varcorr.terms
    letters = numbered(["b"] * len(terms))
    covariances = numbered([("σ" if len(terms) > 1 else "τ") if len(term.names) == 1 else "Σ" for term in terms])
    shown = Symbols.shown
    return Symbols(
        response=shown([design.response.words])[0],
        predictor="μᵢ" if fit.solution.response.has_normal_residuals else "ηᵢ",
        rows=f"rows: {fit.nobs}",
        letters=letters,
        covariances=covariances,
        effects=tuple(shown(term.names) for term in terms),
        spread=tuple(shown(f"sd {float(sd):.4g}" for sd in term.sd) for term in terms),
        scales=tuple(_scales(fit, further)),
        laws=tuple(_laws(fit, letters, covariances)),
    )


def _scales(fit: MixedResults, further: Further) -> Iterable[tuple[str, str]]:
    if fit.solution.response.has_normal_residuals:
        yield "σ", f"sd {fit.sigma:.4g}"
        if fit.model.residual is not None:
            yield "R", type(fit.model.residual).__name__
        return
    if further.thresholds:
        yield "θ", f"{len(further.thresholds)} thresholds"
    for name in [*further.components, *further.family][:3]:
        value = f" {further.family[name]:.4g}" if name in further.family else ""
        yield "π" if name == "zero_inflation" else "φ", name.replace("_", " ") + value


def _laws(fit: MixedResults, letters: tuple[str, ...], covariances: tuple[str, ...]) -> Iterable[str]:
    y, solution = fit.design.response.name, fit.solution
    sums = " + ".join(["Xβ" if fit.design.fixed.names else "0", *(f"Z{letter[1:]}{letter}" for letter in letters)])
    if solution.response.has_normal_residuals:
        yield f"{y} ~ normal(μ, {'σ²' if solution.residual is None else 'σ²R'}),  μ = {sums}"
    else:
        yield f"{y} ~ {solution.family.name},  {solution.link.name} of the mean: η = {sums}"
    for term, letter, covariance, design in zip(
        fit.varcorr.terms, letters, covariances, fit.design.random, strict=True
    ):
        spread = f"{covariance}²" if len(term.names) == 1 else covariance
        known = "" if design.loading is None else ", levels related as given"
        yield f"{letter} ~ normal(0, {spread})  for {design.term}{known}"


# ------------------------------------------------------------------ places
GAP = 14.0  # between a plate's border and what is in it
COLUMN = 70.0
PARAMETERS, EFFECTS, PREDICTOR, RESPONSE, SCALES = -40.0, 40.0, 125.0, 200.0, 285.0  # heights of the five rows of nodes
ABOVE, BELOW = 32.0, 40.0  # from the effects up, and from the response down, to the border of the innermost plate
STEP, LID = 18.0, 7.0  # between the lower borders of plates within each other (room for a name), and the upper ones
MARGIN, SIDE = 12.0, 30.0


class _Page:
    """Collects shapes from left to right."""

    def __init__(self, symbols: Symbols, links: Links) -> None:
        self.symbols, self.links, self.x = symbols, links, 0.0
        self.nodes: list[Node] = []
        self.joined: list[tuple[Node, Node]] = []
        self.added: list[Node] = []
        self.effect: dict[int, Node] = {}
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

    def node(self, x: float, y: float, kind: Kind, symbol: str, notes: tuple[str, ...] = ()) -> Node:
        """Add a node."""
        self.nodes.append(Node(x, y, kind, symbol, notes))
        return self.nodes[-1]

    def effects(self, plate: Plate) -> None:
        """Add the random effects of a plate, their covariances above and its predictors below; one column a term."""
        symbols, start = self.symbols, self.x
        widths = [self._width(k) for k in plate.terms]
        notes = symbols.shown(plate.predictors)
        least = max(text_width(notes, NOTE) + SIDE, text_width((_label(plate),), NOTE) + 6.0)
        widths = [width + max(0.0, least - sum(widths)) / len(widths) for width in widths]
        for k, width in zip(plate.terms, widths, strict=True):
            centre = self.x + 0.5 * (width - self._beside(k))
            effect = self.node(centre, EFFECTS, Kind.EFFECT, symbols.letters[k], symbols.effects[k])
            above = self.node(centre, PARAMETERS, Kind.PARAMETER, symbols.covariances[k], symbols.spread[k])
            self.joined.append((above, effect))
            if k in self.links.means:
                right = self.x + width - 0.75 * self._beside(k)
                self.joined.append((self.node(right, PARAMETERS, Kind.PARAMETER, "γ", (symbols.slopes[k],)), effect))
            if k in self.links.direct:
                self.added.append(effect)
            self.effect[k] = effect
            self.x += width
        if notes:
            data = self.node(0.5 * (start + self.x), RESPONSE, Kind.DATA, "", notes)
            home = next((self.effect[k] for k in plate.terms if k in self.links.means), None)
            if home is None:
                self.added.append(data)
            else:
                self.joined.append((data, home))

    def _width(self, k: int) -> float:
        beside = max(text_width(self.symbols.spread[k], NOTE), text_width((self.symbols.covariances[k],), LETTER))
        return max(COLUMN, text_width(self.symbols.effects[k], NOTE) + 10.0, 2.0 * beside + SIDE) + self._beside(k)

    def _beside(self, k: int) -> float:
        """Room for the coefficients of what enters by the mean of a term's effects."""
        if k not in self.links.means:
            return 0.0
        return max(COLUMN, text_width((self.symbols.slopes[k],), NOTE) + SIDE)

    def core(self, predictors: tuple[str, ...]) -> Node:
        """Add the rows: response, linear predictor (which is returned), and what varies from row to row."""
        symbols = self.symbols
        half = max(RADIUS + 8.0, 0.5 * text_width((symbols.response,), NOTE))
        centre = self.x + max(half, text_width((symbols.rows,), NOTE) - 4.0)  # arrows from below pass the plate's name
        predictor = self.node(centre, PREDICTOR, Kind.PREDICTOR, symbols.predictor)
        response = self.node(centre, RESPONSE, Kind.RESPONSE, "yᵢ", (symbols.response,))
        self.joined += [(predictor, response), (self.node(centre, PARAMETERS, Kind.PARAMETER, "β"), predictor)]
        right = centre + half
        if predictors:
            notes = symbols.shown(predictors)
            width = text_width(notes, NOTE) + 16.0
            self.added.append(self.node(right + 10.0 + 0.5 * width, RESPONSE, Kind.DATA, "", notes))
            right += 10.0 + width
        self.x = right
        self._scales(response)
        return predictor

    def _scales(self, response: Node) -> None:
        x = response.x
        for symbol, note in self.symbols.scales:
            self.joined.append((self.node(x, SCALES, Kind.PARAMETER, symbol, (note,)), response))
            x += text_width((symbol,), LETTER) + text_width((note,), NOTE) + SIDE


def _label(plate: Plate) -> str:
    """Return the label of a plate."""
    return f"{plate.name}: {plate.count}"


def draw_up(plates: Arrangement, links: Links, symbols: Symbols, nobs: int) -> Diagram:
    """Return the plate diagram of a model.

    Parameters
    ----------
    plates : Arrangement
        Nested plates lie in each other; of crossed ones two chains overlap, further ones stand apart.
    links : Links
        What the arrows say.
    symbols : Symbols
        What the nodes are called.
    nobs : int
        Number of rows.

    Returns
    -------
    Diagram
        On a page that begins at (0, 0).
    """
    page, rows = _Page(symbols, links), Plate("rows", nobs, np.zeros(0, dtype=np.intp), ())
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
    for plate in plates.outside:
        page.x += GAP
        page.open(plate)
        page.effects(plate)
        page.close(plate)
    page.joined += [(node, predictor) for node in page.added]
    page.joined += [(page.effect[k], page.effect[term]) for term, others in links.shifts.items() for k in others]
    return _finished(page, _frames(page, plates, rows), symbols.laws)


def _frames(page: _Page, plates: Arrangement, rows: Plate) -> list[PlateBorder]:
    """The borders, outer plates first: plates around others are higher."""
    around = (rows, *plates.inner[::-1], *plates.left[::-1], *plates.right[::-1])
    levels = [(plate, level) for level, plate in enumerate(around)]
    levels += [(plate, level) for chain in plates.apart for level, plate in enumerate(chain[::-1])]
    top = 1 + max(level for _, level in levels)
    levels += [(plate, top + level) for level, plate in enumerate(plates.outer[::-1])]
    levels += [(plate, 0) for plate in plates.outside]
    right = {plate.name for plate in plates.right}
    return [
        PlateBorder(
            page.borders[plate.name][0],
            EFFECTS - ABOVE - LID * level,
            page.borders[plate.name][1],
            RESPONSE + BELOW + STEP * (level + 1),
            _label(plate),
            plate.name in right,
        )
        for plate, level in sorted(levels, key=lambda pair: -pair[1])
    ]


def _finished(page: _Page, frames: list[PlateBorder], laws: tuple[str, ...]) -> Diagram:
    """Move everything onto a page that begins at (0, 0), and cut the arrows at the borders of their nodes."""
    floor = max(frame.y1 for frame in frames) + 26.0
    ceiling = min(frame.y0 for frame in frames) - 26.0
    move = {PARAMETERS: ceiling, SCALES: floor}
    beside = [
        node.x + 8.0 + max(text_width((node.symbol,), LETTER), text_width(node.notes, NOTE))
        for node in page.nodes
        if node.kind is Kind.PARAMETER
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
    shifted = [PlateBorder(f.x0 + MARGIN, f.y0 + dy, f.x1 + MARGIN, f.y1 + dy, f.label, f.right) for f in frames]
    return Diagram(width, height, tuple(shifted), tuple(moved.values()), tuple(arrows), laws)


def _arrow(tail: Node, head: Node) -> Arrow:
    return Arrow(*tail.edge(head, 2.0), *head.edge(tail, 2.0), tail, head)
